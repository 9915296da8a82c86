use super::*;
use platform_core::time::EventTime;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

fn lines(settings: &Settings) -> (Vec<u8>, Vec<Fact>) {
    let mut generator = Generator::new(settings).unwrap();
    let mut out = Vec::new();
    let facts = std::iter::from_fn(|| generator.next_line(&mut out)).collect();
    (out, facts)
}

fn mixed() -> Settings {
    Settings {
        events: 20_000,
        ignored_share: 0.01,
        no_latency_share: 0.02,
        late_share: 0.05,
        bad_share: 0.02,
        duplicate_share: 0.03,
        ..Settings::default()
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let (first, facts) = lines(&mixed());
    assert!((&first, &facts) == (&lines(&mixed()).0, &lines(&mixed()).1));
    assert!(first != lines(&Settings { seed: 2, ..mixed() }).0);
    let mut filled = Vec::new();
    let mut generator = Generator::new(&mixed()).unwrap();
    assert_eq!([generator.fill(&mut filled, 15_000), generator.fill(&mut filled, 15_000)], [15_000, 5_000]);
    assert!(filled == first, "fill writes the same lines");
}

#[test]
fn a_line_has_fourteen_fields_in_about_325_bytes() {
    let (bytes, facts) = lines(&Settings { events: 20_000, ..Settings::default() });
    let mean = bytes.len() as f64 / facts.len() as f64;
    assert!((320.0..332.0).contains(&mean), "{mean}");
    let first: Value = serde_json::from_slice(bytes.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    let fields = first.as_object().unwrap().len() - 1 + first["tags"].as_object().unwrap().len();
    assert_eq!(fields, 14);
}

#[test]
fn every_good_line_says_what_its_fact_says() {
    let mut generator = Generator::new(&mixed()).unwrap();
    let mut timestamps = Timestamps::new();
    let (mut out, mut seen, mut duplicates) = (Vec::new(), BTreeSet::new(), 0);
    loop {
        out.clear();
        let Some(fact) = generator.next_line(&mut out) else { break };
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        let Fact::Event(event) = fact else { continue };
        let value: Value = serde_json::from_slice(&out).unwrap();
        let mut time = Vec::new();
        timestamps.write(event.time, &mut time);
        assert_eq!(value["timestamp"].as_str().unwrap().as_bytes(), time);
        assert_eq!(value["service"], generator.names().service(event.service));
        assert_eq!(value["operation"], generator.names().operation(event.operation));
        let outcome = match value["status"].as_u64().unwrap() {
            499 => Outcome::Ignored,
            500.. => Outcome::Error,
            _ => Outcome::Ok,
        };
        assert_eq!(outcome, event.outcome);
        assert_eq!(value.get("latency_ms").map(|ms| (ms.as_f64().unwrap() * 1e6).round() as u64), event.latency);
        duplicates += u64::from(event.duplicate);
        assert_eq!(event.duplicate, !seen.insert(out.clone()), "exactly the lines that were seen before are duplicates");
    }
    assert!((400..800).contains(&duplicates), "{duplicates}");
}

#[test]
fn every_kind_of_bad_record_comes_and_has_its_fault() {
    let settings = Settings { events: 2_000, bad_share: 1.0, ..Settings::default() };
    let mut generator = Generator::new(&settings).unwrap();
    let mut kinds = Vec::new();
    let mut out = Vec::new();
    while let Some(fact) = {
        out.clear();
        generator.next_line(&mut out)
    } {
        let Fact::Bad(kind) = fact else { panic!("a share of 1 leaves nothing good") };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
        let Ok(value) = serde_json::from_slice::<Value>(&out) else {
            let cannot_be_read = ["decode_json", "decode_utf8"].contains(&kind.reason());
            assert!(cannot_be_read, "{kind:?}: {}", String::from_utf8_lossy(&out));
            assert_eq!(kind == Bad::NotUtf8, std::str::from_utf8(&out).is_err());
            continue;
        };
        let text = std::str::from_utf8(&out).unwrap();
        let at_fault = match kind {
            Bad::RepeatedKey => text.matches(r#""service":"#).count() == 2,
            Bad::NoTime => value.get("timestamp").is_none(),
            Bad::NotATime => value["timestamp"] == "yesterday",
            Bad::ZeroTime => value["timestamp"] == 0,
            Bad::NoService => value.get("service").is_none(),
            Bad::ControlInService => value["service"].as_str().unwrap().ends_with('\u{7}'),
            Bad::LongService => value["service"].as_str().unwrap().len() == 300,
            Bad::ServiceIsObject => value["service"].is_object(),
            Bad::NegativeLatency => value["latency_ms"].as_f64().unwrap() < 0.0,
            Bad::LatencyIsText => value["latency_ms"].is_string(),
            Bad::StatusIsText => value["status"] == "banana",
            Bad::StatusOutOfRange => value["status"] == 42,
            Bad::ZeroWeight => value["weight"] == 0,
            Bad::TooDeep => text.matches(r#"{"a":"#).count() == 40,
            Bad::Truncated | Bad::NotJson | Bad::TrailingBytes | Bad::NotUtf8 => false,
        };
        assert!(at_fault, "{kind:?}: {text}");
    }
    assert_eq!(kinds.len(), Bad::ALL.len());
}

#[test]
fn times_stay_within_disorder_and_lateness() {
    let settings = Settings { events: 50_000, late_share: 0.1, lateness: Duration::from_secs(60), ..Settings::default() };
    let (_, facts) = lines(&settings);
    let mut late = 0;
    for (number, fact) in facts.iter().enumerate() {
        let Fact::Event(event) = fact else { panic!("nothing is bad") };
        let place = EventTime(settings.start.0 + number as i64 * SECOND / 10_000);
        let age = place.since(event.time);
        assert!((-5 * SECOND..=65 * SECOND).contains(&age), "{age}");
        late += u64::from(age > 5 * SECOND);
    }
    assert!((4_000..5_500).contains(&late), "{late}");
}

#[test]
fn bad_records_leave_the_good_lines_alone() {
    let (plain, _) = lines(&Settings { events: 2_000, ..Settings::default() });
    let (spoilt, facts) = lines(&Settings { events: 2_000, bad_share: 0.1, ..Settings::default() });
    let pairs = plain.split(|byte| *byte == b'\n').zip(spoilt.split(|byte| *byte == b'\n')).zip(facts);
    let mut bad = 0;
    for ((plain, spoilt), fact) in pairs {
        assert_eq!(plain == spoilt, matches!(fact, Fact::Event(_)));
        bad += u64::from(plain != spoilt);
    }
    assert!((150..250).contains(&bad), "{bad}");
}

#[test]
fn no_events_are_no_lines() {
    assert_eq!(lines(&Settings { events: 0, ..Settings::default() }).0, b"");
}
