use super::*;
use crate::decode::collected::{Collected, wanted};
use crate::decode::{Reason, decoder};
use crate::source::{Format, Source};
use std::io::Write;

const EVENT: &str = r#"{"timestamp":1700000000,"service":"a"}"#;
const UNTIMED: &str = r#"{"service":"a"}"#;
const NGINX: &str = r#"{"msec":"1700000000.5","request_method":"GET","request_uri":"/","status":"200","request_time":"0.01","host":"h"}"#;

fn decode(format: Format, value: &[u8]) -> Collected {
    let mut source = Source::for_format(format);
    source.defaults.service = Some("d".to_owned());
    let mut collected = Collected::default();
    decoder(&source, &wanted(&[])).decode(&Input::new(value), &mut collected);
    collected
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

#[test]
fn compressed_records_are_read_like_bare_ones() {
    let lines = format!("{EVENT}\n{EVENT}\n");
    let bare = decode(Format::Json, lines.as_bytes());
    assert_eq!(bare.events.len(), 2);
    for compressed in [gzip(lines.as_bytes()), zstd(lines.as_bytes())] {
        for format in [Format::Json, Format::Auto] {
            assert_eq!(decode(format, &compressed), bare);
        }
    }
    let members = [gzip(format!("{EVENT}\n").as_bytes()), gzip(EVENT.as_bytes())].concat();
    assert_eq!(decode(Format::Json, &members), bare);
}

#[test]
fn damaged_compression_is_a_broken_wrapper_and_gives_nothing() {
    for whole in [gzip(EVENT.as_bytes()), zstd(EVENT.as_bytes())] {
        let cut = &whole[..whole.len() - 5];
        let collected = decode(Format::Json, cut);
        assert_eq!((collected.len(), collected.reasons()), (1, vec![Reason::EnvelopeInvalid]));
        assert_eq!(collected.dead[0].2, cut);
    }
}

#[test]
fn what_grows_too_far_is_not_read_to_its_end() {
    let noise = |length: u64| (0..length).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect::<Vec<_>>();
    for bomb in [vec![b' '; 4 << 20], noise((8 << 20) + 1)] {
        for compressed in [gzip(&bomb), zstd(&bomb)] {
            assert_eq!(decode(Format::Json, &compressed).reasons(), [Reason::DecompressLimit]);
        }
    }
}

#[test]
fn shippers_and_connect_are_unwrapped_in_front_of_any_format() {
    for wrapped in [
        format!(r#"{{"@timestamp":1700000000.25,"log":{},"kubernetes":{{"pod":"p"}}}}"#, quoted(EVENT)),
        format!(r#"{{"@timestamp":"2024-01-01T00:00:00Z","@metadata":{{"beat":"filebeat"}},"message":{}}}"#, quoted(EVENT)),
        format!(r#"{{"@timestamp":1700000000.25,"log":{EVENT}}}"#),
        format!(r#"{{"schema":{{"type":"string"}},"payload":{}}}"#, quoted(EVENT)),
        format!(r#"{{"schema":null,"payload":{EVENT}}}"#),
    ] {
        for format in [Format::Json, Format::Auto] {
            let collected = decode(format, wrapped.as_bytes());
            assert_eq!((collected.only().service.as_str(), collected.only().time), ("a", 1_700_000_000_000_000_000), "{wrapped}");
        }
    }
    let shipped = format!(r#"{{"log":{},"@timestamp":1}}"#, quoted(NGINX));
    assert_eq!(decode(Format::NginxJson, shipped.as_bytes()).only().service, "d");
    let line = r#"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5 "-" "-""#;
    let shipped = format!(r#"{{"@timestamp":1,"message":{}}}"#, quoted(line));
    assert_eq!(decode(Format::Combined, shipped.as_bytes()).only().operation, "GET /a");
}

#[test]
fn a_wrappers_time_stands_in_for_a_missing_one() {
    for time in ["1700000000.25", "\"2023-11-14T22:13:20.25Z\""] {
        let wrapped = format!(r#"{{"@timestamp":{time},"log":{}}}"#, quoted(UNTIMED));
        for format in [Format::Json, Format::Auto] {
            assert_eq!(decode(format, wrapped.as_bytes()).only().time, 1_700_000_000_250_000_000);
        }
    }
}

#[test]
fn wrappers_around_nothing_are_tombstones_and_broken_ones_are_told() {
    for format in [Format::Json, Format::Auto, Format::NginxJson] {
        let collected = decode(format, br#"{"schema":null,"payload":null}"#);
        assert_eq!((collected.len(), collected.skipped.as_slice()), (1, [(0, Skip::Tombstone)].as_slice()));
        let collected = decode(format, br#"{"@timestamp":1,"log":5}"#);
        assert_eq!((collected.len(), collected.reasons()), (1, vec![Reason::EnvelopeInvalid]));
    }
}

#[test]
fn objects_of_their_own_that_only_resemble_wrappers_stay_whole() {
    for object in [
        r#"{"message":"hello","timestamp":1700000000,"service":"a"}"#,
        r#"{"timestamp":1700000000,"service":"a","@timestamp":1,"log":"hello"}"#,
        r#"{"schema":1,"payload":{"service":"b"},"timestamp":1700000000,"service":"a"}"#,
    ] {
        assert_eq!(decode(Format::Json, object.as_bytes()).only().service, "a", "{object}");
    }
}
