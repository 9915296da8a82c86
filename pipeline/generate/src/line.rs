//! One event as a line of our `json` format, written by hand.
//!
//! 14 fields, about 325 bytes: what a service's request log has, of which most pipelines need five. Names given here hold nothing that JSON
//! must escape; the client's may hold an escape already.

use crate::timestamp::{Timestamps, digits};
use platform_core::time::EventTime;

/// What a line is written from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) time: EventTime,
    pub(crate) service: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) status: u16,
    /// ns; no field when absent.
    pub(crate) latency: Option<u64>,
    /// Number of the host among the service's.
    pub(crate) host: u32,
    pub(crate) place: Place,
    /// No tag when empty.
    pub(crate) swimlane: &'a str,
    pub(crate) version: &'a str,
    /// JSON text without its quotes.
    pub(crate) client: &'a str,
    pub(crate) trace: [u64; 2],
    pub(crate) span: u64,
}

/// Where a request was served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) region: &'static str,
    pub(crate) zone: &'static str,
}

/// Places of generated load.
pub(crate) const PLACES: [Place; 4] = [
    Place { region: "eu-west-1", zone: "a" },
    Place { region: "us-east-1", zone: "c" },
    Place { region: "us-west-2", zone: "b" },
    Place { region: "ap-south-1", zone: "a" },
];

/// Who asked. One in sixteen carries an escape sequence, as real headers do, in a field that nobody needs.
pub(crate) const CLIENTS: [&str; 16] = {
    let [a, b, c, d] = ["web", "ios", "android", "grpc"];
    [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, "web \\\"beta\\\""]
};

impl Line<'_> {
    /// Appends the line and its newline.
    #[inline]
    pub(crate) fn write(&self, timestamps: &mut Timestamps, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"timestamp\":\"");
        timestamps.write(self.time, out);
        text(b"\",\"service\":\"", self.service, out);
        text(b"\",\"operation\":\"", self.operation, out);
        out.extend_from_slice(b"\",\"status\":");
        number(u64::from(self.status), out);
        if let Some(latency) = self.latency {
            out.extend_from_slice(b",\"latency_ms\":");
            number(latency / 1_000_000, out);
            out.push(b'.');
            digits::<6>(latency % 1_000_000, out);
        }
        text(b",\"host\":\"", self.service, out);
        out.push(b'-');
        number(u64::from(self.host), out);
        text(b"\",\"tags\":{\"env\":\"prod\",\"region\":\"", self.place.region, out);
        text(b"\",\"zone\":\"", self.place.zone, out);
        if !self.swimlane.is_empty() {
            text(b"\",\"swimlane\":\"", self.swimlane, out);
        }
        text(b"\",\"version\":\"", self.version, out);
        text(b"\",\"client\":\"", self.client, out);
        out.extend_from_slice(b"\",\"retry\":0,\"trace_id\":\"");
        let [high, low] = self.trace;
        out.extend_from_slice(&hex(high));
        out.extend_from_slice(&hex(low));
        out.extend_from_slice(b"\",\"span_id\":\"");
        out.extend_from_slice(&hex(self.span));
        out.extend_from_slice(b"\"}}\n");
    }
}

#[inline]
fn text(before: &[u8], text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    out.extend_from_slice(text.as_bytes());
}

#[inline]
fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// 16 lower-case hex digits, eight at a time: each nibble gets a byte of its own, which then becomes its digit.
#[inline]
fn hex(value: u64) -> [u8; 16] {
    let half = |half: u64| {
        let pairs = (half | half << 16) & 0x0000_FFFF_0000_FFFF;
        let bytes = (pairs | pairs << 8) & 0x00FF_00FF_00FF_00FF;
        let nibbles = (bytes | bytes << 4) & 0x0F0F_0F0F_0F0F_0F0F;
        let letters = ((nibbles + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
        nibbles + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)
    };
    ((u128::from(half(value >> 32)) << 64) | u128::from(half(value & 0xFFFF_FFFF))).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_digits_are_those_of_the_standard_library() {
        for value in [0, 1, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX, 0x9a9a_a9a9_0000_ffff] {
            assert_eq!(hex(value).as_slice(), format!("{value:016x}").as_bytes());
        }
    }

    #[test]
    fn a_line_looks_like_this() {
        let line = Line {
            time: EventTime(1_767_225_600_000_000_001),
            service: "orders",
            operation: "GET /api/orders/{id}",
            status: 503,
            latency: Some(12_000_345),
            host: 3,
            place: PLACES[0],
            swimlane: "k8s",
            version: "1.2.3",
            client: CLIENTS[15],
            trace: [1, 2],
            span: 0xabc,
        };
        let mut out = Vec::new();
        line.write(&mut Timestamps::new(), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"timestamp":"2026-01-01T00:00:00.000000001Z","service":"orders","operation":"GET /api/orders/{id}","status":503,"#,
                r#""latency_ms":12.000345,"host":"orders-3","tags":{"env":"prod","region":"eu-west-1","zone":"a","swimlane":"k8s","#,
                r#""version":"1.2.3","client":"web \"beta\"","retry":0,"trace_id":"00000000000000010000000000000002","#,
                r#""span_id":"0000000000000abc"}}"#,
                "\n"
            )
        );
    }
}
