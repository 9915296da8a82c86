//! Whether bytes that could not be read name a service.
//!
//! Nobody knows of which service an item is that was not decoded. Where it is JSON, a text of it that is exactly the name counts: which
//! field holds the service depends on the source, so an operation of the same name counts, too. Where it is no JSON, the name counts when it
//! stands there as a whole word. `pay` is never found in `payment`. Formats that pack or hash names are not seen through.

use memchr::memmem;
use serde_json::Value;

/// How the bytes name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A text of the JSON is exactly the name.
    Text,
    /// No JSON; the name stands in it as a whole word.
    Word,
}

impl Named {
    /// As the API says it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Word => "word",
        }
    }
}

/// How `payload` names `service`; `None` when it does not.
pub(super) fn named(payload: &[u8], service: &str) -> Option<Named> {
    match serde_json::from_slice::<Value>(payload) {
        Ok(value) => holds(&value, service).then_some(Named::Text),
        Err(_) => {
            // What was cut off or broken may still have been JSON, in which a name is written with escapes.
            let escaped = Value::from(service).to_string();
            let escaped = escaped.trim_start_matches('"').trim_end_matches('"');
            (is_word(payload, service) || (escaped != service && is_word(payload, escaped))).then_some(Named::Word)
        }
    }
}

fn holds(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text == name,
        Value::Array(all) => all.iter().any(|value| holds(value, name)),
        Value::Object(fields) => fields.values().any(|value| holds(value, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_word(bytes: &[u8], name: &str) -> bool {
    let inside = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | 0x80..));
    memmem::find_iter(bytes, name).any(|at| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        !inside(before) && !inside(bytes.get(at + name.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_only_as_a_whole() {
        for (payload, service, expected) in [
            (r#"{"service":"pay"}"#, "pay", Some(Named::Text)),
            (r#"{"resource":[{"value":{"stringValue":"pay"}}]}"#, "pay", Some(Named::Text)),
            (r#"{"service":"payment","operation":"GET /pay"}"#, "pay", None),
            (r#"{"pay":1}"#, "pay", None),
            (r#"{"service":"a\"b\u00e9"}"#, "a\"bé", Some(Named::Text)),
            (r#"{"service":"pay","time"#, "pay", Some(Named::Word)),
            (r#"{"service":"a\"b","time"#, "a\"b", Some(Named::Word)),
            ("GET /payment pay-2 pay.x _pay 200", "pay", None),
            ("\u{3}pay\u{12}", "pay", Some(Named::Word)),
            ("repay pay", "pay", Some(Named::Word)),
            ("épay", "pay", None),
            ("", "pay", None),
        ] {
            assert_eq!(named(payload.as_bytes(), service), expected, "{service} in {payload}");
        }
    }
}
