//! Ids and weights, alike in all formats: what makes two events one, what places them in a trace, how many requests they stand for.

use super::{Coordinate, Reason};
use crate::event::MAX_WEIGHT;
use xxhash_rust::{xxh3::xxh3_128, xxh64::xxh64};

/// Most bytes of a de-duplication id, its parts together.
pub const MAX_ID: usize = 128;

/// Joins the parts of de-duplication ids. Kept between events, so that it does not allocate.
#[derive(Debug, Default)]
pub struct DedupId {
    joined: Vec<u8>,
    whole: bool,
}

impl DedupId {
    /// Takes the next event's id. Each part is joined behind its length, so that `ab`, `c` is not `a`, `bc`; an event that lacks a part,
    /// or has an empty one, has no id.
    ///
    /// # Errors
    /// `SizeExceeded` when the parts have more than `MAX_ID` bytes together.
    pub fn set<'p>(&mut self, parts: impl IntoIterator<Item = Option<&'p [u8]>>) -> Result<(), Reason> {
        self.clear();
        let mut size = 0;
        for part in parts {
            let Some(part) = part.filter(|part| !part.is_empty()) else {
                self.clear();
                return Ok(());
            };
            size += part.len();
            let length = u8::try_from(part.len()).ok().filter(|_| size <= MAX_ID).ok_or(Reason::SizeExceeded)?;
            self.joined.push(length);
            self.joined.extend_from_slice(part);
            self.whole = true;
        }
        Ok(())
    }

    /// The next event has no id.
    pub fn clear(&mut self) {
        self.joined.clear();
        self.whole = false;
    }

    /// Hash of the id; `None` for an event without one.
    #[must_use]
    pub fn hash(&self) -> Option<u128> {
        self.whole.then(|| xxh3_128(&self.joined))
    }

    /// A number that is the same for the same event: of its id, else of its place (`at` in the record). Decides how weights are rounded.
    #[must_use]
    pub fn draw(&self, coordinate: Coordinate, at: u32) -> u64 {
        if self.whole {
            return xxh64(&self.joined, 0);
        }
        let mut place = [0; 16];
        let parts = coordinate.partition.to_le_bytes().into_iter().chain(coordinate.offset.to_le_bytes()).chain(at.to_le_bytes());
        place.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        xxh64(&place, 0)
    }
}

/// Requests that an event stands for, from a decimal number. A fraction rounds up if `draw` / 2⁶⁴ lies below it: right on average, and the
/// same whenever the event is read.
///
/// # Errors
/// `WeightInvalid` for what is no plain decimal number, or outside 1 to `MAX_WEIGHT`.
pub fn weight(text: &str, draw: impl FnOnce() -> u64) -> Result<u32, Reason> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let number = whole.parse::<u32>().ok().filter(|_| digits(whole) && digits(fraction) && text.ends_with(|c: char| c.is_ascii_digit()));
    let number = number.filter(|n| (1..=MAX_WEIGHT).contains(n)).ok_or(Reason::WeightInvalid)?;
    // 18 digits: 10^18 · 2^64 still fits.
    let (numerator, denominator) =
        fraction.bytes().take(18).fold((0_u128, 1_u128), |(n, d), digit| (n * 10 + u128::from(digit - b'0'), d * 10));
    if numerator == 0 {
        return Ok(number);
    }
    if number == MAX_WEIGHT {
        return Err(Reason::WeightInvalid);
    }
    Ok(number + u32::from(u128::from(draw()) * denominator < numerator << 64))
}

/// A trace id of 32 or 16 hex digits; nothing for all zeros and for anything else.
#[must_use]
pub fn trace_id(text: &str) -> Option<u128> {
    hex(text, &[32, 16])
}

/// A span id of 16 hex digits; nothing for all zeros and for anything else.
#[must_use]
pub fn span_id(text: &str) -> Option<u64> {
    hex(text, &[16]).and_then(|id| u64::try_from(id).ok())
}

fn hex(text: &str, lengths: &[usize]) -> Option<u128> {
    if !lengths.contains(&text.len()) {
        return None;
    }
    let (eights, _) = text.as_bytes().as_chunks();
    let number = eights.iter().try_fold(0_u128, |number, eight| Some(number << 32 | u128::from(eight_hex(*eight)?)));
    number.filter(|number| *number != 0)
}

/// The number of eight hex digits, all at once: each trace has six times eight of them.
fn eight_hex(digits: [u8; 8]) -> Option<u32> {
    /// The same in each byte.
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let digits = u64::from_be_bytes(digits);
    if digits & each(0x80) != 0 {
        return None;
    }
    // No sum leaves its byte, because all are below 0x80. The highest bit then says: not below the first, and not above the last.
    let lower = digits | each(0x20);
    let is_digit = (digits + each(0x80 - b'0')) & !(digits + each(0x80 - b'9' - 1));
    let is_letter = (lower + each(0x80 - b'a')) & !(lower + each(0x80 - b'f' - 1));
    if (is_digit | is_letter) & each(0x80) != each(0x80) {
        return None;
    }
    // The low four bits of a digit are its number; of a letter, its number less 9.
    let numbers = (digits & each(0x0f)) + (digits >> 6 & each(1)) * 9;
    let pairs = (numbers | numbers >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    u32::try_from((fours | fours >> 16) & 0xffff_ffff).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_needs_all_its_parts_and_knows_where_each_ends() {
        let mut id = DedupId::default();
        let mut hash = |parts: &[Option<&str>]| {
            id.set(parts.iter().map(|part| part.map(str::as_bytes))).unwrap();
            id.hash()
        };
        assert_eq!(hash(&[Some("a"), Some("b")]), hash(&[Some("a"), Some("b")]));
        assert_ne!(hash(&[Some("ab"), Some("c")]), hash(&[Some("a"), Some("bc")]));
        assert_eq!(hash(&[Some("a"), None]), None);
        assert_eq!(hash(&[Some(""), Some("b")]), None);
        assert_eq!(hash(&[]), None);
    }

    #[test]
    fn an_id_beyond_its_limit_is_refused() {
        let mut id = DedupId::default();
        let long = [b'x'; MAX_ID];
        assert_eq!(id.set([Some(&long[..])]), Ok(()));
        assert_eq!(id.set([Some(&long[..]), Some(b"y")]), Err(Reason::SizeExceeded));
        assert_eq!(id.set([Some(&[b'x'; 300][..])]), Err(Reason::SizeExceeded));
    }

    #[test]
    fn weights_are_whole_or_rounded_by_the_draw() {
        let of = |text: &str, draw: u64| weight(text, || draw);
        assert_eq!(of("1", 0), Ok(1));
        assert_eq!(of("1000000", 0), Ok(1_000_000));
        assert_eq!(of("1000000.000", 0), Ok(1_000_000));
        assert_eq!(of("2.5", 0), Ok(3));
        assert_eq!(of("2.5", (1 << 63) - 1), Ok(3));
        assert_eq!(of("2.5", 1 << 63), Ok(2));
        assert_eq!(of("2.999999999999999999999", u64::MAX), Ok(2));
        for bad in ["0", "-1", "0.5", "1000000.5", "1000001", "9223372036854775808", "1e3", "1.", ".5", "+1", "NaN", "", "1.5x"] {
            assert_eq!(of(bad, 0), Err(Reason::WeightInvalid), "{bad}");
        }
    }

    #[test]
    fn the_draw_is_of_the_id_else_of_the_place() {
        let mut id = DedupId::default();
        let at = |partition, offset| Coordinate { partition, offset };
        assert_eq!(id.draw(at(1, 2), 3), id.draw(at(1, 2), 3));
        assert_ne!(id.draw(at(1, 2), 3), id.draw(at(1, 3), 2));
        id.set([Some(&b"a"[..])]).unwrap();
        assert_eq!(id.draw(at(1, 2), 3), id.draw(at(5, 6), 7));
    }

    #[test]
    fn hex_digits_are_those_of_the_standard_library_in_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                let mut digits = *b"09afAF5c";
                digits[place] = byte;
                let text = std::str::from_utf8(&digits).ok().filter(|text| !text.contains('+'));
                assert_eq!(eight_hex(digits), text.and_then(|text| u32::from_str_radix(text, 16).ok()), "{byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn ids_of_traces_are_hex_of_the_right_length() {
        assert_eq!(trace_id("0000000000000000ee744a66e6efcb2e"), trace_id("ee744a66e6efcb2e"));
        assert_eq!(span_id("EE744a66e6efcb2e"), Some(0xee74_4a66_e6ef_cb2e));
        for bad in ["", "0", "0000000000000000", "+e744a66e6efcb2e", "ee744a66e6efcb2", "eeé4a66e6efcb2ez", "ee744a66e6efcb2ee"] {
            assert_eq!((trace_id(bad), span_id(bad)), (None, None), "{bad}");
        }
    }
}
