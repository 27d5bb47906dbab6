//! Little-endian integers and varints, decoded without trust.
//!
//! A [`Decoder`] walks over bytes that may hold anything: each step answers `None` where the bytes
//! run out or make no sense, never panics and never allocates. The caller, who knows the file and
//! the offset, turns `None` into a [`Corruption`](crate::Corruption).
//!
//! A varint is LEB128: seven bits a byte, least significant first, the high bit set on all but the
//! last byte. Longer encodings than needed are accepted up to ten bytes; overflow is refused.

/// Longest encoding of a varint, in bytes.
pub const MAX_VARINT_BYTES: usize = 10;

/// Appends `n` as a varint: one byte below 128.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// How many bytes [`put_varint`] appends for `n`.
#[inline]
pub const fn varint_len(n: u64) -> usize {
    let bits = 64 - (n | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends the length of `bytes` as a varint, then `bytes`.
#[inline]
pub fn put_slice(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads from the front of bytes that may hold anything.
#[derive(Clone, Copy, Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    /// Starts at the front of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes have been read.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// The next `count` bytes.
    #[inline]
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// The next `N` bytes as an array.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    /// The next byte.
    #[inline]
    pub fn u8(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// The next two bytes, little-endian.
    #[inline]
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes, little-endian.
    #[inline]
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes, little-endian.
    #[inline]
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next varint.
    #[inline]
    pub fn varint(&mut self) -> Option<u64> {
        let first = self.u8()?;
        if first < 0x80 {
            return Some(u64::from(first));
        }
        let mut n = u64::from(first & 0x7f);
        for shift in (7..70).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            n |= bits << shift;
            if byte < 0x80 {
                return Some(n);
            }
        }
        None
    }

    /// The next varint as a length of what follows: `None` if it exceeds what is left.
    #[inline]
    pub fn length(&mut self) -> Option<usize> {
        let length = usize::try_from(self.varint()?).ok()?;
        (length <= self.remaining()).then_some(length)
    }

    /// The next length-prefixed bytes, as [`put_slice`] wrote them.
    #[inline]
    pub fn slice(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.bytes(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varints_decode_to_what_was_encoded(n: u64, shift in 0u32..64) {
            let n = n >> shift;
            let mut out = Vec::new();
            put_varint(&mut out, n);
            prop_assert_eq!(out.len(), varint_len(n));
            let mut decoder = Decoder::new(&out);
            prop_assert_eq!(decoder.varint(), Some(n));
            prop_assert!(decoder.is_empty());
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes: Vec<u8>) {
            let mut decoder = Decoder::new(&bytes);
            while decoder.slice().is_some() && !decoder.is_empty() {}
            let mut decoder = Decoder::new(&bytes);
            while decoder.varint().is_some() {}
            prop_assert!(decoder.position() <= bytes.len());
        }
    }

    #[test]
    fn a_varint_over_64_bits_is_refused() {
        assert_eq!(Decoder::new(&[0xff; 11]).varint(), None);
        let mut most = [0xff; 10];
        most[9] = 1;
        assert_eq!(Decoder::new(&most).varint(), Some(u64::MAX));
        most[9] = 2;
        assert_eq!(Decoder::new(&most).varint(), None);
    }

    #[test]
    fn a_length_beyond_the_end_is_refused_before_anything_is_taken() {
        assert_eq!(Decoder::new(&[5, 1, 2]).slice(), None);
        assert_eq!(Decoder::new(&[2, 1, 2]).slice(), Some(&[1, 2][..]));
    }
}
