//! Identity of a record: the series (tenant, service, grouping, dimension values) and the window.
//!
//! Encoded so that the bytes sort by window first, then tenant, namespace, service, grouping and dimensions: the canonical order of all
//! outputs. Texts end with a zero byte, which no name may hold.

use platform_core::codec::CodecError;
use platform_core::time::EventTime;

/// Who and when a record is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Start of the window.
    pub window_start: EventTime,
    /// Length of the window, in ns.
    pub window_nanos: i64,
    /// Tenant.
    pub tenant: String,
    /// Namespace of the service; may be empty.
    pub namespace: String,
    /// Name of the service.
    pub service: String,
    /// Name of the grouping.
    pub grouping: String,
    /// Values of the grouping's dimensions, in its order.
    pub dimensions: Vec<String>,
}

impl Identity {
    /// Appends the sortable form: `window start (8 bytes, big-endian, sign flipped) | length (8) | texts, each ended by 0`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&sortable(self.window_start));
        out.extend_from_slice(&self.window_nanos.to_be_bytes());
        let texts = [&self.tenant, &self.namespace, &self.service, &self.grouping];
        for text in texts.into_iter().chain(&self.dimensions) {
            out.extend_from_slice(text.as_bytes());
            out.push(0);
        }
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// When the bytes are not an identity.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let (start, rest) = bytes.split_first_chunk::<8>().ok_or(CodecError::Truncated)?;
        let (nanos, rest) = rest.split_first_chunk::<8>().ok_or(CodecError::Truncated)?;
        let rest = rest.strip_suffix(&[0]).ok_or(CodecError::Truncated)?;
        let text = std::str::from_utf8(rest).map_err(|_| CodecError::Text)?;
        let mut texts = text.split('\0').map(str::to_owned);
        let mut next = || texts.next().ok_or(CodecError::Truncated);
        let (tenant, namespace, service, grouping) = (next()?, next()?, next()?, next()?);
        let window_start = EventTime((u64::from_be_bytes(*start) ^ (1 << 63)).cast_signed());
        let window_nanos = i64::from_be_bytes(*nanos);
        Ok(Self { window_start, window_nanos, tenant, namespace, service, grouping, dimensions: texts.collect() })
    }
}

/// Eight bytes that sort as the times do.
#[must_use]
pub fn sortable(time: EventTime) -> [u8; 8] {
    (time.0.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The time that [`sortable`] wrote.
#[must_use]
pub fn unsortable(bytes: [u8; 8]) -> EventTime {
    EventTime((u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed())
}

/// Key of a public record: `tenant/service`, each part percent-encoded but for RFC 3986 unreserved characters.
pub fn put_key(tenant: &str, service: &str, out: &mut Vec<u8>) {
    put_escaped(tenant, out);
    out.push(b'/');
    put_escaped(service, out);
}

fn put_escaped(part: &str, out: &mut Vec<u8>) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.push(b'%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(start: i64, service: &str, dimensions: &[&str]) -> Identity {
        Identity {
            window_start: EventTime(start),
            window_nanos: 60,
            tenant: "default".into(),
            namespace: String::new(),
            service: service.into(),
            grouping: "service".into(),
            dimensions: dimensions.iter().map(|d| (*d).into()).collect(),
        }
    }

    #[test]
    fn identities_come_back_and_their_bytes_sort_as_they_do() {
        let all = [identity(-5, "z", &[]), identity(5, "a", &[]), identity(5, "a", &["x", ""]), identity(5, "ab", &[])];
        let encoded: Vec<Vec<u8>> = all
            .iter()
            .map(|i| {
                let mut out = vec![];
                i.encode(&mut out);
                out
            })
            .collect();
        for (i, bytes) in all.iter().zip(&encoded) {
            assert_eq!(Identity::decode(bytes).as_ref(), Ok(i));
        }
        assert!(encoded.is_sorted());
    }

    #[test]
    fn keys_are_percent_encoded() {
        let mut key = vec![];
        put_key("default", "yelp_main/api_proxy", &mut key);
        assert_eq!(key, b"default/yelp_main%2Fapi_proxy");
    }

    #[test]
    fn damaged_identities_are_refused() {
        assert!(Identity::decode(b"short").is_err());
        assert!(Identity::decode(&[0; 17]).is_err());
    }
}
