//! What the shop's instances use of their resources: OTLP metrics in JSON, every few seconds, as a collector would send them.
//!
//! A slow database keeps the processors of those who wait for it busy, and a provider that does not answer holds all connections to it. A
//! pure function of seed and tick, as the requests are.

use super::{Kind, SHOP, Service, TICK_NANOS, ongoing};
use crate::random::{Random, mix};
use platform_core::time::EventTime;
use std::fmt::Write as _;

/// Gauges come every so many ticks (5 s).
const EVERY: u64 = 25;
/// Connections that an instance may have to its database, and bytes of memory.
const CONNECTIONS: u64 = 20;
const MEMORY: u64 = 512 << 20;

/// The document of this tick; none for most.
pub(super) fn document(seed: u64, start: EventTime, tick: u64) -> Option<String> {
    if tick % EVERY != EVERY - 1 {
        return None;
    }
    let since = i64::try_from(tick).ok()?.saturating_mul(TICK_NANOS);
    let mut random = Random::new(mix(seed ^ 0x9a09) ^ tick);
    let mut out = "{\"resourceMetrics\":[".to_owned();
    for service in &SHOP {
        for host in 1..=service.hosts {
            if out.ends_with('}') {
                out.push(',');
            }
            instance(service, host, start.plus(since), ongoing(service.name, since), &mut random, &mut out);
        }
    }
    out.push_str("]}");
    Some(out)
}

fn instance(service: &Service, host: u64, time: EventTime, incident: Option<Kind>, random: &mut Random, out: &mut String) {
    let (cpu, connections) = match incident {
        Some(Kind::Slow) => (930 + random.below(50), 12 + random.below(6)),
        Some(Kind::Failing(_)) => (250 + random.below(100), CONNECTIONS),
        Some(Kind::FailingUnnoticed(_)) | None => (250 + random.below(250), 2 + random.below(6)),
    };
    let memory = MEMORY * (550 + random.below(100)) / 1000;
    // Writing to a text cannot fail.
    let _ = write!(
        out,
        r#"{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{}"}}}},{{"key":"service.instance.id","value":{{"stringValue":"{}-{host}"}}}}]}},"scopeMetrics":[{{"metrics":["#,
        service.name, service.name
    );
    let time = time.0;
    let whole =
        |name: &str, value: u64| format!(r#"{{"name":"{name}","gauge":{{"dataPoints":[{{"timeUnixNano":"{time}","asInt":"{value}"}}]}}}}"#);
    let metrics = [
        format!(
            r#"{{"name":"container.cpu.usage","gauge":{{"dataPoints":[{{"timeUnixNano":"{time}","asDouble":{}}}]}}}}"#,
            cpu as f64 / 1000.0
        ),
        whole("k8s.container.cpu_limit", 1),
        whole("container.memory.working_set", memory),
        whole("k8s.container.memory_limit", MEMORY),
        format!(
            r#"{{"name":"db.client.connection.count","sum":{{"aggregationTemporality":2,"dataPoints":[{{"timeUnixNano":"{time}","asInt":"{connections}","attributes":[{{"key":"db.client.connection.state","value":{{"stringValue":"used"}}}}]}}]}}}}"#
        ),
        whole("db.client.connection.max", CONNECTIONS),
    ];
    out.push_str(&metrics.join(","));
    out.push_str("]}]}");
}
