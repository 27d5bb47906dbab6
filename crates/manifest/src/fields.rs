//! Tagged fields: how records can grow without breaking older readers.
//!
//! ```text
//! field := tag: varint | length: varint | length bytes
//! ```
//!
//! What a field's bytes are depends on its tag: a varint, plain bytes, or fields again. A reader
//! that does not know an **odd** tag refuses the record, for it would misunderstand the rest; it
//! skips an **even** one that it does not know.

use alluvium_base::codec::{Decoder, put_slice, put_varint};
use alluvium_base::{FileNumber, KeyspaceId, Seq};

use crate::level::Level;
use crate::record::Malformed;

pub(crate) fn put_bytes(out: &mut Vec<u8>, tag: u64, bytes: &[u8]) {
    put_varint(out, tag);
    put_slice(out, bytes);
}

pub(crate) fn put_number(out: &mut Vec<u8>, tag: u64, n: u64) {
    put_varint(out, tag);
    put_varint(out, alluvium_base::codec::varint_len(n) as u64);
    put_varint(out, n);
}

/// Appends a field whose bytes are what `write` appends.
pub(crate) fn put_nested(out: &mut Vec<u8>, tag: u64, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    put_bytes(out, tag, &inner);
}

/// Walks over fields that may hold anything.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    decoder: Decoder<'a>,
    /// Where in the record these fields begin.
    start: usize,
    /// What they make up, for messages.
    of: &'static str,
}

/// One field, its bytes not yet understood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) tag: u64,
    pub(crate) bytes: &'a [u8],
    /// Where in the record its bytes begin.
    at: usize,
    of: &'static str,
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(bytes: &'a [u8], of: &'static str) -> Self {
        Self { decoder: Decoder::new(bytes), start: 0, of }
    }

    /// An error about these fields as a whole.
    pub(crate) fn malformed(&self, what: &str) -> Malformed {
        Malformed::new(self.start, format!("{}: {what}", self.of))
    }

    /// The value of a field that must have been there.
    pub(crate) fn required<T>(&self, found: Option<T>, name: &str) -> Result<T, Malformed> {
        found.ok_or_else(|| self.malformed(&format!("{name} is missing")))
    }

    fn read(&mut self) -> Option<Field<'a>> {
        let tag = self.decoder.varint()?;
        let length = self.decoder.length()?;
        let at = self.start + self.decoder.position();
        Some(Field { tag, bytes: self.decoder.bytes(length)?, at, of: self.of })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.decoder.is_empty() {
            return None;
        }
        let at = self.start + self.decoder.position();
        let field = self.read();
        if field.is_none() {
            // Nothing behind a broken field can be trusted.
            self.decoder = Decoder::new(&[]);
        }
        Some(field.ok_or_else(|| Malformed::new(at, format!("{}: a field is cut off", self.of))))
    }
}

impl<'a> Field<'a> {
    pub(crate) fn malformed(&self, what: &str) -> Malformed {
        Malformed::new(self.at, format!("{}, field {}: {what}", self.of, self.tag))
    }

    /// What to do with a tag that this program does not know.
    pub(crate) fn unknown(&self) -> Result<(), Malformed> {
        if self.tag.is_multiple_of(2) {
            return Ok(());
        }
        Err(self.malformed("a later version of Alluvium wrote it, and it must not be skipped"))
    }

    /// Keeps the value of a field that may stand once.
    pub(crate) fn once<T>(&self, slot: &mut Option<T>, value: T) -> Result<(), Malformed> {
        if slot.replace(value).is_some() {
            return Err(self.malformed("it stands twice"));
        }
        Ok(())
    }

    pub(crate) const fn nested(&self, of: &'static str) -> Fields<'a> {
        Fields { decoder: Decoder::new(self.bytes), start: self.at, of }
    }

    pub(crate) fn number(&self) -> Result<u64, Malformed> {
        let mut decoder = Decoder::new(self.bytes);
        let n = decoder.varint().filter(|_| decoder.is_empty());
        n.ok_or_else(|| self.malformed("it is no number"))
    }

    pub(crate) fn file_number(&self) -> Result<FileNumber, Malformed> {
        self.number().map(FileNumber)
    }

    pub(crate) fn seq(&self) -> Result<Seq, Malformed> {
        let seq = Seq::decode(self.number()?);
        seq.ok_or_else(|| self.malformed("a sequence number has 56 bits"))
    }

    pub(crate) fn keyspace(&self) -> Result<KeyspaceId, Malformed> {
        let id = u32::try_from(self.number()?);
        id.map(KeyspaceId).map_err(|_| self.malformed("a keyspace id has 32 bits"))
    }

    pub(crate) fn level(&self) -> Result<Level, Malformed> {
        let level = Level::decode(self.number()?);
        level.ok_or_else(|| self.malformed("there is no such level"))
    }
}
