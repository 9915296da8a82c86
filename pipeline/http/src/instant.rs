//! Instants as text: RFC 3339 in UTC out, RFC 3339 or a number since 1970 in.

use golden_pipeline::decode::timestamp::{TimeUnit, Timestamps};
pub(crate) use golden_pipeline::emit::json::rfc3339;
use platform_core::time::EventTime;

/// An instant; the unit of a number is told by its size.
pub(crate) fn parse(text: &str) -> Option<EventTime> {
    // An unescaped `+` of an offset arrives as a space.
    let text = if text.contains('T') { text.replace(' ', "+") } else { text.to_owned() };
    Timestamps::new(TimeUnit::Auto, None).parse_text(&text).ok().map(EventTime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform_core::time::SECOND;

    #[test]
    fn instants_come_back() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_661_140_320 * SECOND, "2022-08-22T03:52:00Z"),
            (951_782_400 * SECOND + 500_000_000, "2000-02-29T00:00:00.5Z"),
            (4_107_542_399 * SECOND + 1, "2100-02-28T23:59:59.000000001Z"),
        ] {
            assert_eq!(rfc3339(EventTime(nanos)), text);
            assert!(nanos == 0 || parse(text) == Some(EventTime(nanos)));
        }
        assert_eq!(rfc3339(EventTime(-SECOND)), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn numbers_and_offsets_are_taken_and_nonsense_is_not() {
        let minute = Some(EventTime(1_661_140_320 * SECOND));
        assert_eq!(parse("1661140320"), minute);
        assert_eq!(parse("2022-08-22T05:52:00 02:00"), minute);
        assert_eq!(parse("yesterday"), None);
    }
}
