//! Variable-length integers and bounds-checked reading: the alphabet of all our encoded forms.
//!
//! Integers are LEB128 (as Protobuf's varints); signed ones are zig-zagged first. Reading never trusts a length: every field is checked
//! against what is left, and nothing is allocated by a number that came from outside.

/// Why bytes could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Fewer bytes than a field says it has.
    #[error("the bytes end inside a field")]
    Truncated,
    /// An integer of more than 64 bits.
    #[error("an integer has more than 64 bits")]
    Overlong,
    /// A tag, version or count that this program does not know.
    #[error("unknown {what} {value}")]
    Unknown {
        /// Which field.
        what: &'static str,
        /// What it held.
        value: u64,
    },
    /// Bytes remain behind the last field.
    #[error("{0} bytes remain behind the last field")]
    Trailing(usize),
    /// Text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
}

/// Appends an unsigned integer.
pub fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends an unsigned integer of 128 bits, low half first.
pub fn put_u128(out: &mut Vec<u8>, value: u128) {
    put_u64(out, value as u64);
    put_u64(out, (value >> 64) as u64);
}

/// Appends a signed integer.
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    put_u64(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Appends bytes behind their length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads fields one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte.
    ///
    /// # Errors
    /// At the end.
    pub fn u8(&mut self) -> Result<u8, CodecError> {
        let (&first, rest) = self.rest.split_first().ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// At the end, or above 64 bits.
    pub fn u64(&mut self) -> Result<u64, CodecError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(CodecError::Overlong);
            }
            value |= part << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(CodecError::Overlong)
    }

    /// An unsigned integer of 128 bits.
    ///
    /// # Errors
    /// At the end, or above 64 bits in one half.
    pub fn u128(&mut self) -> Result<u128, CodecError> {
        let low = self.u64()?;
        Ok(u128::from(low) | (u128::from(self.u64()?) << 64))
    }

    /// A signed integer.
    ///
    /// # Errors
    /// At the end, or above 64 bits.
    pub fn i64(&mut self) -> Result<i64, CodecError> {
        let raw = self.u64()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    /// A count of things that take at least one byte each, so never more than what is left.
    ///
    /// # Errors
    /// At the end, or when the count cannot be true.
    pub fn count(&mut self) -> Result<usize, CodecError> {
        let count = usize::try_from(self.u64()?).map_err(|_| CodecError::Overlong)?;
        if count > self.rest.len() { Err(CodecError::Truncated) } else { Ok(count) }
    }

    /// Bytes behind their length.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.count()?;
        self.take(length)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Text behind its length.
    ///
    /// # Errors
    /// When fewer bytes are left, or they are not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, CodecError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| CodecError::Text)
    }

    /// Says that nothing may be left.
    ///
    /// # Errors
    /// When something is.
    pub fn end(self) -> Result<(), CodecError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CodecError::Trailing(self.rest.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back_at_every_size() {
        let mut bytes = Vec::new();
        let unsigned = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        let signed = [0, -1, 1, i64::MIN, i64::MAX];
        unsigned.iter().for_each(|v| put_u64(&mut bytes, *v));
        signed.iter().for_each(|v| put_i64(&mut bytes, *v));
        put_u128(&mut bytes, u128::MAX - 5);
        let mut cursor = Cursor::new(&bytes);
        unsigned.iter().for_each(|v| assert_eq!(cursor.u64(), Ok(*v)));
        signed.iter().for_each(|v| assert_eq!(cursor.i64(), Ok(*v)));
        assert_eq!(cursor.u128(), Ok(u128::MAX - 5));
        assert_eq!(cursor.end(), Ok(()));
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        assert_eq!(Cursor::new(&[0x80]).u64(), Err(CodecError::Truncated));
        assert_eq!(Cursor::new(&[0xff; 11]).u64(), Err(CodecError::Overlong));
        assert_eq!(Cursor::new(&[5, 1]).bytes(), Err(CodecError::Truncated));
        assert_eq!(Cursor::new(&[1, 0xff]).text(), Err(CodecError::Text));
        assert_eq!(Cursor::new(&[1]).end(), Err(CodecError::Trailing(1)));
    }
}
