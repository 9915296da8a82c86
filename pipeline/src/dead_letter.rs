//! Dead letters: what could not be read, with the reason and where it lies (SIGNALS §4.3).
//!
//! They are written in the same transaction as the read positions, so each is there once. A flood keeps coordinates and reasons only:
//! nothing pauses for it, and one source of rubbish does not fill the log.

use crate::decode::Reason;
use crate::names::SCHEMA_DEAD_LETTER;
use base64::Engine as _;
use platform_core::record::{Offset, Partition, Topic};
use platform_core::time::AppendTime;
use sha2::{Digest, Sha256};

/// Most bytes of a payload that are kept.
pub const PAYLOAD: usize = 64 * 1024;

/// Detail of a whole record that was put aside: every process that looked into it died, and nothing of it was counted. Stable.
pub const UNREAD: &str = "not decoded: the process died of it each time";

/// Where a dead letter came from.
#[derive(Clone, Copy, Debug)]
pub struct Coordinates<'a> {
    /// Name of the source.
    pub source: &'a str,
    /// Partition of the source.
    pub partition: &'a Partition,
    /// Record.
    pub offset: Offset,
    /// Item in the record: its number from 0 in documents of many spans, its byte offset where lines or objects follow each other.
    pub item: u32,
    /// When the log took the record.
    pub append_time: Option<AppendTime>,
}

/// What is said of every dead letter of one deployment.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// Colour.
    pub colour: &'static str,
    /// Deployment counter.
    pub epoch: u32,
    /// Tenant.
    pub tenant: String,
}

/// Key of a dead letter: `topic/partition/offset/item`.
#[must_use]
pub fn key(at: &Coordinates<'_>) -> String {
    format!("{}/{}/{}/{}", at.partition.topic, at.partition.index, at.offset, at.item)
}

/// The value: a JSON object. `payload` is `None` above the rate cap.
#[must_use]
pub fn value(stamp: &Stamp, at: &Coordinates<'_>, reason: Reason, detail: &str, length: usize, payload: Option<&[u8]>) -> Vec<u8> {
    let mut fields = vec![
        ("schema", serde_json::json!(SCHEMA_DEAD_LETTER)),
        ("colour", stamp.colour.into()),
        ("epoch", stamp.epoch.into()),
        ("reason", reason.code().into()),
        ("detail", detail.into()),
        ("source", at.source.into()),
        ("topic", at.partition.topic.as_str().into()),
        ("partition", at.partition.index.into()),
        ("offset", at.offset.0.into()),
        ("item", at.item.into()),
        ("append_time", at.append_time.map(|t| t.0).into()),
        ("tenant", stamp.tenant.as_str().into()),
        ("length", length.into()),
    ];
    if let Some(payload) = payload {
        let digest: String = Sha256::digest(payload).iter().map(|b| format!("{b:02x}")).collect();
        fields.push(("sha256", digest.into()));
        let kept = payload.get(..PAYLOAD).unwrap_or(payload);
        fields.push(("payload_base64", base64::engine::general_purpose::STANDARD.encode(kept).into()));
    }
    let mut out = vec![b'{'];
    for (i, (name, value)) in fields.iter().enumerate() {
        out.extend_from_slice(if i == 0 { b"\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(value.to_string().as_bytes());
    }
    out.push(b'}');
    out
}

/// The record that a dead letter says was put aside without a look into it; `None` for every other one.
#[must_use]
pub fn unread(value: &[u8]) -> Option<(Partition, Offset)> {
    let value: serde_json::Value = serde_json::from_slice(value).ok()?;
    let text = |name: &str| value.get(name)?.as_str();
    let number = |name: &str| value.get(name)?.as_u64();
    if text("reason")? != Reason::Crash.code() || text("detail")? != UNREAD {
        return None;
    }
    Some((Partition::new(&Topic::new(text("topic")?), u32::try_from(number("partition")?).ok()?), Offset(number("offset")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_says_where_and_why_and_keeps_the_bytes() {
        let partition = Partition::new(&Topic::new("service-events"), 2);
        let at = Coordinates { source: "http", partition: &partition, offset: Offset(7), item: 3, append_time: Some(AppendTime(5)) };
        let stamp = Stamp { colour: "blue", epoch: 1, tenant: "default".into() };
        assert_eq!(key(&at), "service-events/2/7/3");
        let long = vec![b'x'; PAYLOAD + 5];
        let read: serde_json::Value =
            serde_json::from_slice(&value(&stamp, &at, Reason::TimeMissing, "no \"time\"", long.len(), Some(&long))).unwrap();
        assert_eq!((read["reason"].as_str(), read["length"].as_u64()), (Some("time_missing"), Some(65_541)));
        assert_eq!(read["payload_base64"].as_str().map(str::len), Some(PAYLOAD.div_ceil(3) * 4));
        let bare: serde_json::Value = serde_json::from_slice(&value(&stamp, &at, Reason::Crash, "", 9, None)).unwrap();
        assert!(bare.get("sha256").is_none() && bare.get("payload_base64").is_none());
        let aside = |reason, detail| unread(&value(&stamp, &at, reason, detail, 9, None));
        assert_eq!(aside(Reason::Crash, UNREAD), Some((partition.clone(), Offset(7))));
        // What panicked counts as far as it was decoded.
        assert_eq!((aside(Reason::Crash, "decoding panicked"), aside(Reason::DecodeJson, UNREAD)), (None, None));
    }
}
