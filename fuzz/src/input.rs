//! An input taken apart. Every byte string is a valid input: what is missing is empty or zero.

use alluvium_base::codec::Decoder;

/// What is done to the bytes before they are handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Raw,
    /// Checksums and the file's own number are made to agree with the rest.
    Resealed,
    /// They are parts, and are laid out as a writer would.
    Assembled,
}

/// What is left of an input.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    decoder: Decoder<'a>,
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// Begins at the front.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { decoder: Decoder::new(bytes), rest: bytes }
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.decoder.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        self.number::<1>() as u8
    }

    /// Two bytes, little-endian.
    pub fn short(&mut self) -> u16 {
        self.number::<2>() as u16
    }

    /// Four bytes, little-endian.
    pub fn word(&mut self) -> u32 {
        self.number::<4>() as u32
    }

    /// Takes what there is of `N` bytes: a loop until nothing is left comes to its end.
    fn number<const N: usize>(&mut self) -> u64 {
        let mut word = [0; 8];
        let bytes = self.bytes(N);
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    }

    /// A mode and six more bits.
    pub fn mode(&mut self) -> (Mode, u8) {
        let byte = self.byte();
        let mode = [Mode::Raw, Mode::Resealed, Mode::Assembled, Mode::Resealed];
        (mode[usize::from(byte & 3)], byte >> 2)
    }

    /// The next `count` bytes, or as many as there are.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        self.decoder.bytes(count.min(self.decoder.remaining())).unwrap_or_default()
    }

    /// A piece that begins with its length in two bytes.
    pub fn piece(&mut self) -> &'a [u8] {
        let len = self.short();
        self.bytes(len.into())
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.rest[self.decoder.position()..];
        self.decoder.bytes(rest.len()).unwrap_or_default()
    }
}

/// The counterpart of [`Input::piece`], for seeds.
pub fn put_piece(out: &mut Vec<u8>, piece: &[u8]) {
    let len = u16::try_from(piece.len()).expect("pieces of seeds are short");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(piece);
}
