//! Tells what a file is by its first bytes, so that a person need not: its format, and how it is cut into records.
//!
//! For files only. Records of topics declare their format or are told one by one (`auto`); a guess there could count wrong for years, while
//! a person who replays a file sees at once what came of it. Looks at a sample that may end anywhere, so it reads keys and no values.

use crate::source::Format;

/// How a file is cut into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Lines that a decoder takes many at a time.
    Lines,
    /// A document on each line.
    Documents,
    /// One document.
    Document,
}

/// The format and shape of a file, from its first bytes. `given` is a format that somebody declared. `None`: it cannot be told.
#[must_use]
pub fn sniff(sample: &[u8], given: Option<Format>) -> Option<(Format, Shape)> {
    let start = sample.trim_ascii_start();
    // A list of numbers holds no events, so `[` in front of a digit is the time of an access log.
    let json = matches!(start, [b'{', ..]) || matches!(start, [b'[', next, ..] if !next.is_ascii_digit());
    let outline = if json { Outline::of(start) } else { Outline::default() };
    let format = match given {
        Some(format) => format,
        None if json => of_keys(&outline.keys),
        None => of_line(start)?,
    };
    let shape = match format {
        Format::EnvoyText | Format::NginxIngress | Format::Combined => Shape::Lines,
        Format::OtlpProto => Shape::Document,
        Format::Json | Format::NginxJson | Format::EnvoyJson if outline.on_one_line && start.first() == Some(&b'{') => Shape::Lines,
        _ if outline.on_one_line && outline.more_follows => Shape::Documents,
        // Lines that are no JSON stay lines: each is a dead letter of its own.
        Format::Json | Format::NginxJson | Format::EnvoyJson if !json => Shape::Lines,
        _ => Shape::Document,
    };
    Some((format, shape))
}

/// Names of keys in the first object of a JSON text, and where the text ends.
#[derive(Default)]
struct Outline<'a> {
    keys: Vec<&'a [u8]>,
    on_one_line: bool,
    more_follows: bool,
}

impl<'a> Outline<'a> {
    fn of(text: &'a [u8]) -> Self {
        let mut outline = Outline::default();
        // Keys stand at depth 1, or inside the first element when the text is an array.
        let level = if text.first() == Some(&b'[') { 2 } else { 1 };
        let (mut depth, mut first_object, mut at) = (0_usize, true, 0);
        while let Some(byte) = text.get(at) {
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    if depth == level && *byte == b'}' {
                        first_object = false;
                    }
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        let (before, behind) = text.split_at(at);
                        outline.on_one_line = !before.contains(&b'\n');
                        outline.more_follows = !behind.get(1..).unwrap_or_default().trim_ascii().is_empty();
                        return outline;
                    }
                }
                b'"' => {
                    let length = string_length(text.get(at + 1..).unwrap_or_default());
                    let inner = text.get(at + 1..at + 1 + length).unwrap_or_default();
                    at += length + 1;
                    let is_key = text.get(at + 1..).is_some_and(|rest| rest.trim_ascii_start().first() == Some(&b':'));
                    if is_key && depth == level && first_object {
                        outline.keys.push(inner);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        outline
    }
}

/// Bytes before the quote that ends a string, or all of them.
fn string_length(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// In the order of SIGNALS §4.
fn of_keys(keys: &[&[u8]]) -> Format {
    let has = |name: &str| keys.contains(&name.as_bytes());
    if has("resourceSpans") || has("batches") {
        Format::OtlpJson
    } else if has("resourceMetrics") {
        Format::OtlpMetricsJson
    } else if has("specversion") {
        Format::CloudEvents
    } else if has("traceId") && has("id") {
        Format::ZipkinJson
    } else if (has("traceID") || has("traceId")) && has("operationName") || has("data") || has("spans") && has("processes") {
        Format::JaegerJson
    } else if has("response_flags") || has("upstream_cluster") {
        Format::EnvoyJson
    } else if has("request_uri") || has("request_time") && has("status") {
        Format::NginxJson
    } else {
        Format::Json
    }
}

/// A text line by its outline: Envoy's begins with a time in brackets, the others with an address, two words, and a time in brackets.
fn of_line(text: &[u8]) -> Option<Format> {
    let line = text.split(|b| *b == b'\n').next().and_then(|l| std::str::from_utf8(l).ok())?;
    let bracket = line.find('[')?;
    let quotes = line.matches('"').count();
    if bracket == 0 {
        let dated = line.get(1..5).is_some_and(|year| year.bytes().all(|b| b.is_ascii_digit()));
        return (dated && quotes >= 2).then_some(Format::EnvoyText);
    }
    let head = line.get(..bracket)?.split_whitespace().count();
    let dated = line.get(bracket + 1..).is_some_and(|rest| rest.get(2..3) == Some("/") && rest.get(6..7) == Some("/"));
    if !dated || head < 3 || quotes < 2 {
        return None;
    }
    // ingress-nginx adds lengths, times and the upstream's name in brackets behind the agent.
    let behind = line.rsplit('"').next().unwrap_or_default();
    Some(if behind.contains('[') && behind.split_whitespace().count() >= 4 { Format::NginxIngress } else { Format::Combined })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<(Format, Shape)> {
        sniff(text.as_bytes(), None)
    }

    #[test]
    fn files_are_told_by_their_first_bytes() {
        let cases = [
            ("{\"service\":\"a\"}\n{\"service\":\"b\"}\n", Format::Json, Shape::Lines),
            ("{\"service\":\"a\"}", Format::Json, Shape::Lines),
            ("{\n \"service\": \"a\"\n}", Format::Json, Shape::Document),
            ("[{\"service\":\"a\"}]", Format::Json, Shape::Document),
            (" {\"resourceSpans\":[{\"x\":1", Format::OtlpJson, Shape::Document),
            ("{\"resourceSpans\":[]}\n{\"resourceSpans\":[]}\n", Format::OtlpJson, Shape::Documents),
            ("{\"batches\":[]}", Format::OtlpJson, Shape::Document),
            ("[[{\"traceId\":\"1\",\"id\":\"2\"}]]", Format::Json, Shape::Document),
            ("[{\"traceId\":\"1\",\"tags\":{\"x\":1},\"id\":\"2\"}]", Format::ZipkinJson, Shape::Document),
            ("{\"data\":[{\"traceID\":\"x\"}]}", Format::JaegerJson, Shape::Document),
            ("{\"specversion\":\"1.0\"}\n{\"a\":1}", Format::CloudEvents, Shape::Documents),
            ("{\"response_flags\":\"-\"}\n", Format::EnvoyJson, Shape::Lines),
            ("{\"a\":\"\\\"specversion\\\":\"}\n", Format::Json, Shape::Lines),
            ("[2019-05-01T00:00:00.000Z] \"GET / HTTP/1.1\" 200 - \"-\"\n", Format::EnvoyText, Shape::Lines),
            ("1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"agent [x]\"\n", Format::Combined, Shape::Lines),
            (
                "1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"agent\" 10 0.1 [ns-app-80] [] 1.1.1.1:80 1 0.1 200 abc\n",
                Format::NginxIngress,
                Shape::Lines,
            ),
        ];
        for (text, format, shape) in cases {
            assert_eq!(told(text), Some((format, shape)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_not_guessed() {
        for text in ["", "hello", "a,b,c\n1,2,3\n", "\n\u{1}\u{2}"] {
            assert_eq!(told(text), None, "{text}");
        }
        assert_eq!(sniff(b"not json", Some(Format::Json)), Some((Format::Json, Shape::Lines)));
        assert_eq!(sniff(b"\x0a\x01", Some(Format::OtlpProto)), Some((Format::OtlpProto, Shape::Document)));
    }
}
