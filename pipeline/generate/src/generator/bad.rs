//! Bad records: a good one with one fault.

use crate::fact::Bad;
use crate::timestamp::Timestamps;
use platform_core::time::EventTime;

/// Appends a bad record of this kind, with its newline.
pub(crate) fn write_bad(kind: Bad, time: EventTime, service: &str, operation: &str, timestamps: &mut Timestamps, out: &mut Vec<u8>) {
    let mut timestamp = Vec::new();
    timestamps.write(time, &mut timestamp);
    let good = Parts {
        timestamp: format!(r#""timestamp":"{}","#, String::from_utf8_lossy(&timestamp)),
        service: format!(r#""service":"{service}","#),
        operation: format!(r#""operation":"{operation}","#),
        rest: r#""status":200,"latency_ms":1.500000,"tags":{"env":"prod"}}"#.to_owned(),
    };
    let rest = |rest: &str| rest.to_owned();
    let bad = match kind {
        Bad::Truncated => Parts { rest: rest(r#""status":200,"latency_m"#), ..good },
        Bad::NotJson => Parts { timestamp: rest("connection reset by peer"), ..Parts::default() },
        Bad::RepeatedKey => Parts { service: good.service.repeat(2), ..good },
        Bad::TrailingBytes => Parts { rest: good.rest.clone() + " {}", ..good },
        Bad::NotUtf8 => Parts { operation: rest(r#""operation":"GET /caf?","#), ..good },
        Bad::NoTime => Parts { timestamp: String::new(), ..good },
        Bad::NotATime => Parts { timestamp: rest(r#""timestamp":"yesterday","#), ..good },
        Bad::ZeroTime => Parts { timestamp: rest(r#""timestamp":0,"#), ..good },
        Bad::NoService => Parts { service: String::new(), ..good },
        Bad::ControlInService => Parts { service: format!(r#""service":"{service}\u0007","#), ..good },
        Bad::LongService => Parts { service: format!(r#""service":"{}","#, "long".repeat(75)), ..good },
        Bad::ServiceIsObject => Parts { service: format!(r#""service":{{"name":"{service}"}},"#), ..good },
        Bad::NegativeLatency => Parts { rest: rest(r#""status":200,"latency_ms":-1.500000}"#), ..good },
        Bad::LatencyIsText => Parts { rest: rest(r#""status":200,"latency_ms":"fast"}"#), ..good },
        Bad::StatusIsText => Parts { rest: rest(r#""status":"banana","latency_ms":1.500000}"#), ..good },
        Bad::StatusOutOfRange => Parts { rest: rest(r#""status":42,"latency_ms":1.500000}"#), ..good },
        Bad::ZeroWeight => Parts { rest: rest(r#""status":200,"latency_ms":1.500000,"weight":0}"#), ..good },
        Bad::TooDeep => {
            Parts { rest: format!(r#""status":200,"latency_ms":1.500000,"tags":{}1{}}}"#, r#"{"a":"#.repeat(40), "}".repeat(40)), ..good }
        }
    };
    let open = if kind == Bad::NotJson { "" } else { "{" };
    for part in [open, &bad.timestamp, &bad.service, &bad.operation, &bad.rest] {
        // The one place where what is written is not UTF-8: no text of ours holds a question mark otherwise.
        out.extend(part.bytes().map(|byte| if kind == Bad::NotUtf8 && byte == b'?' { 0xFF } else { byte }));
    }
    out.push(b'\n');
}

/// The members of the object, each with its comma.
#[derive(Default)]
struct Parts {
    timestamp: String,
    service: String,
    operation: String,
    rest: String,
}
