//! A datum's bytes to a JSON object of what is wanted in it, by the plan of its schema.
//!
//! Numbers stay exact: integers as they are, floats by the shortest text that means them, times with all their digits. What is neither text
//! nor number becomes `[0]`, which no field can be. Strict: every length is checked before it is believed, a block that says its size must
//! have it, bytes behind the datum are refused. A value may take no bytes at all, so values are counted, too: an array of a trillion nulls
//! is ten bytes.

use super::plan::{Member, Plan};
use crate::decode::Reason;
use crate::decode::timestamp::{TimeUnit, Unit};
use crate::source::Source;
use platform_core::time::SECOND;

/// Most values of a datum beyond one for each of its bytes.
const MAX_EMPTY: usize = 1 << 16;
/// What stands for a value that no field can be.
const OPAQUE: &str = "[0]";
/// What stands for a time before 1970, beyond 64 bits of nanoseconds, or without a zone: no time either.
const NO_TIME: &str = "-1";

/// Why bytes are no datum, and in words.
type Fault = (Reason, &'static str);
const END: Fault = (Reason::DecodeAvro, "the bytes end inside a value");

/// How times are written, so that the source reads them without guessing.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeForm {
    /// Nanoseconds of the unit, a power of ten.
    unit: i64,
    /// Seconds east of UTC where local times are.
    zone: Option<i32>,
}

impl TimeForm {
    /// The form of a source's numbers. Seconds are told by their magnitude as long as they fit a time.
    pub(super) fn of(source: &Source) -> Self {
        let unit = match source.timestamp_unit {
            TimeUnit::Auto | TimeUnit::Rfc3339 | TimeUnit::Number(Unit::Seconds) => SECOND,
            TimeUnit::Number(Unit::Millis) => SECOND / 1_000,
            TimeUnit::Number(Unit::Micros) => SECOND / 1_000_000,
            TimeUnit::Number(Unit::Nanos) => 1,
        };
        Self { unit, zone: source.timezone }
    }
}

/// Reads one datum.
pub(super) struct Walk<'a, 'o> {
    /// What is not read yet.
    rest: &'a [u8],
    out: &'o mut String,
    times: TimeForm,
    /// Values that may still come.
    left: usize,
    opaque: bool,
}

impl<'a, 'o> Walk<'a, 'o> {
    /// Starts before a datum whose wanted part is to be written to `out`.
    pub(super) fn new(bytes: &'a [u8], out: &'o mut String, times: TimeForm) -> Self {
        Self { rest: bytes, out, times, left: bytes.len().saturating_add(MAX_EMPTY), opaque: false }
    }

    /// Whether something wanted was neither text nor number.
    pub(super) fn opaque(&self) -> bool {
        self.opaque
    }

    /// Reads the datum, which must be all there is.
    pub(super) fn datum(&mut self, plan: &Plan) -> Result<(), Fault> {
        self.value(plan, true)?;
        if self.rest.is_empty() { Ok(()) } else { Err((Reason::DecodeAvro, "more bytes behind the datum")) }
    }

    /// Reads a value, and writes it when it is wanted. Recursion is as deep as the plan, at most.
    fn value(&mut self, plan: &Plan, wanted: bool) -> Result<(), Fault> {
        self.left = self.left.checked_sub(1).ok_or((Reason::SizeExceeded, "more values than bytes and 65,536"))?;
        match plan {
            Plan::Null => self.write(wanted, "null"),
            Plan::Boolean => match self.take(1)? {
                [0] => self.write(wanted, "false"),
                [1] => self.write(wanted, "true"),
                _ => return Err((Reason::DecodeAvro, "a boolean that is neither 0 nor 1")),
            },
            Plan::Int => {
                let int = self.int()?;
                if wanted {
                    self.out.push_str(itoa::Buffer::new().format(int));
                }
            }
            Plan::Long => {
                let long = self.long()?;
                if wanted {
                    self.out.push_str(itoa::Buffer::new().format(long));
                }
            }
            Plan::Float => {
                let float = f32::from_le_bytes(*self.chunk()?);
                if wanted {
                    self.write_float(float, float.is_finite());
                }
            }
            Plan::Double => {
                let double = f64::from_le_bytes(*self.chunk()?);
                if wanted {
                    self.write_float(double, double.is_finite());
                }
            }
            Plan::Text => {
                let bytes = self.sized()?;
                if wanted {
                    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| (Reason::DecodeUtf8, "a text that is not UTF-8"))?;
                    quote(self.out, text);
                }
            }
            Plan::Bytes => {
                self.sized()?;
                self.write_opaque(wanted);
            }
            Plan::Fixed(size) => {
                self.take(*size)?;
                self.write_opaque(wanted);
            }
            Plan::Date => {
                self.int()?;
                self.write_opaque(wanted);
            }
            Plan::Time { nanos, local } => {
                let count = self.long()?;
                if wanted {
                    self.write_time(count, *nanos, *local);
                }
            }
            Plan::Enum(symbols) => {
                let number = usize::try_from(self.int()?).ok();
                let symbol = number.and_then(|n| symbols.get(n)).ok_or((Reason::DecodeAvro, "a symbol that the enum has not"))?;
                if wanted {
                    quote(self.out, symbol);
                }
            }
            Plan::Union(branches) => {
                let number = usize::try_from(self.int()?).ok();
                let branch = number.and_then(|n| branches.get(n)).ok_or((Reason::DecodeAvro, "a branch that the union has not"))?;
                return self.value(branch, wanted);
            }
            Plan::Array(items) => {
                let any = self.blocks(|walk| walk.value(items, false))?;
                self.write(wanted, if any { OPAQUE } else { "[]" });
            }
            Plan::Map(entries, others) => {
                self.write(wanted, "{");
                self.blocks(|walk| {
                    let key = walk.sized()?;
                    let entry = entries.iter().find(|entry| entry.key() == key);
                    match entry {
                        Some(entry) => walk.member(entry),
                        None => walk.value(others, false),
                    }
                })?;
                self.close(wanted);
            }
            Plan::Record(fields) => {
                self.write(wanted, "{");
                for field in fields {
                    if field.lead.is_empty() {
                        self.value(&field.plan, false)?;
                    } else {
                        self.member(field)?;
                    }
                }
                self.close(wanted);
            }
        }
        Ok(())
    }

    /// Reads and writes a wanted field or entry, with a comma behind it.
    fn member(&mut self, member: &Member) -> Result<(), Fault> {
        self.out.push_str(&member.lead);
        self.value(&member.plan, true)?;
        self.out.push(',');
        Ok(())
    }

    /// Ends an object; the comma behind its last member gives way.
    fn close(&mut self, wanted: bool) {
        if wanted {
            if self.out.ends_with(',') {
                self.out.pop();
            }
            self.out.push('}');
        }
    }

    /// Reads the blocks of an array or a map, item by item; says whether there was an item.
    fn blocks(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<bool, Fault> {
        let mut any = false;
        loop {
            let count = self.long()?;
            let size = if count < 0 { Some(self.length()?) } else { None };
            if count == 0 {
                return Ok(any);
            }
            let before = self.rest.len();
            for _ in 0..count.unsigned_abs() {
                item(self)?;
            }
            if size.is_some_and(|size| before - self.rest.len() != size) {
                return Err((Reason::DecodeAvro, "a block that has not the size it says"));
            }
            any = true;
        }
    }

    fn write(&mut self, wanted: bool, text: &str) {
        if wanted {
            self.out.push_str(text);
        }
    }

    /// Writes the shortest text that means the number; infinities and what is no number are nothing that a field can be.
    fn write_float(&mut self, float: impl ryu::Float, finite: bool) {
        let mut digits = ryu::Buffer::new();
        self.out.push_str(if finite { digits.format_finite(float) } else { OPAQUE });
    }

    fn write_opaque(&mut self, wanted: bool) {
        self.write(wanted, OPAQUE);
        self.opaque |= wanted;
    }

    /// Writes a time as a number of the source's unit.
    fn write_time(&mut self, count: i64, nanos: i64, local: bool) {
        let unit = self.times.unit;
        let east = if local { self.times.zone.map(i64::from) } else { Some(0) };
        let time = east.and_then(|east| count.checked_mul(nanos)?.checked_sub(east.checked_mul(SECOND)?)).filter(|time| *time >= 0);
        let Some(time) = time else { return self.out.push_str(NO_TIME) };
        let mut digits = itoa::Buffer::new();
        self.out.push_str(digits.format(time / unit));
        if unit > 1 {
            // One more digit in front keeps the zeros of the fraction; then a point stands in its place.
            let fraction = digits.format(unit + time % unit);
            self.out.push('.');
            self.out.push_str(fraction.get(1..).unwrap_or_default());
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(END)?;
        self.rest = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], Fault> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or(END)?;
        self.rest = rest;
        Ok(chunk)
    }

    /// Bytes behind their length.
    fn sized(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.length()?;
        self.take(length)
    }

    fn length(&mut self) -> Result<usize, Fault> {
        usize::try_from(self.long()?).map_err(|_| (Reason::DecodeAvro, "a length below zero"))
    }

    fn int(&mut self) -> Result<i32, Fault> {
        i32::try_from(self.long()?).map_err(|_| (Reason::DecodeAvro, "an int of more than 32 bits"))
    }

    /// A number in zigzag, seven bits in a byte, the lowest first.
    #[inline]
    fn long(&mut self) -> Result<i64, Fault> {
        match self.rest.split_first() {
            // Most numbers are lengths and branches of one byte.
            Some((byte, rest)) if *byte < 0x80 => {
                self.rest = rest;
                Ok(i64::from(byte >> 1) ^ -i64::from(byte & 1))
            }
            _ => self.long_of_many(),
        }
    }

    fn long_of_many(&mut self) -> Result<i64, Fault> {
        let mut number = 0;
        for (place, byte) in self.rest.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7F) << (7 * place);
            if *byte < 0x80 {
                if place == 9 && *byte > 1 {
                    break;
                }
                self.rest = self.rest.get(place + 1..).unwrap_or_default();
                return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
        Err(if self.rest.len() < 10 { END } else { (Reason::DecodeAvro, "a number of more than 64 bits") })
    }
}

/// Writes a text in quotes, escaped.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    // No early end, so that many bytes are looked at at once.
    if text.bytes().fold(false, |found, byte| found | (byte < 0x20) | (byte == b'"') | (byte == b'\\')) {
        escape(out, text);
    } else {
        out.push_str(text);
    }
    out.push('"');
}

#[cold]
fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\0'..='\u{1f}' => {
                let half = |digit: u32| char::from_digit(digit, 16).unwrap_or('0');
                let code = u32::from(character);
                out.extend(['\\', 'u', '0', '0', half(code >> 4), half(code & 15)]);
            }
            _ => out.push(character),
        }
    }
}
