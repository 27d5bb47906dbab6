//! The bytes of a file, twice: as every reader sees them, and as the disk has them.
//!
//! ```text
//!   write ──► live     pages, shared copy-on-write ──► read
//!               │ dirty: which 512-byte sectors differ, by page
//!   sync  ──►   ▼
//!             durable  what a power cut leaves, whatever else happens
//! ```
//!
//! Invariants:
//! - A page that is not there is all zeroes; bytes past the length are zeroes in both contents.
//! - A sector in which `live` and `durable` differ is `dirty` (the next sync writes it) or `lost`
//!   (a failed sync marked it clean; only writing it again makes it dirty again). Never both.
//! - What is written to an `unwritten` sector never becomes durable, whatever a sync says: its first
//!   sync failed. Cutting it off is the only way out.
//! - Lengths are apart: `durable.len` becomes `live.len` at a sync, and not before.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What a disk writes in one piece.
pub(super) const SECTOR_BYTES: usize = 512;
/// What contents share among each other.
const PAGE_BYTES: usize = 4096;
const SECTORS_PER_PAGE: usize = PAGE_BYTES / SECTOR_BYTES;
const _: () = assert!(SECTORS_PER_PAGE == u8::BITS as usize, "one bit of a mask is one sector");

/// Writes past this offset are refused: they are a bug, and would fill the memory.
pub(super) const MAX_FILE_BYTES: u64 = 64 << 30;

type Page = [u8; PAGE_BYTES];
pub(super) type Sector = [u8; SECTOR_BYTES];

/// A run of bytes in shared pages: cloning copies no bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    len: u64,
    pages: Vec<Option<Arc<Page>>>,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Reads into the front of `buf`; returns how many bytes there were.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let count = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        let mut done = 0;
        while done < count {
            let at = offset as usize + done;
            let (page, from) = (at / PAGE_BYTES, at % PAGE_BYTES);
            let piece = (PAGE_BYTES - from).min(count - done);
            match self.pages.get(page) {
                Some(Some(bytes)) => {
                    buf[done..done + piece].copy_from_slice(&bytes[from..from + piece]);
                }
                Some(None) | None => buf[done..done + piece].fill(0),
            }
            done += piece;
        }
        count
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read(&mut bytes, 0);
        bytes
    }

    pub(super) fn write(&mut self, data: &[u8], offset: u64) {
        let mut done = 0;
        while done < data.len() {
            let at = offset as usize + done;
            let (page, from) = (at / PAGE_BYTES, at % PAGE_BYTES);
            let piece = (PAGE_BYTES - from).min(data.len() - done);
            self.page_mut(page)[from..from + piece].copy_from_slice(&data[done..done + piece]);
            done += piece;
        }
        if !data.is_empty() {
            self.len = self.len.max(offset + data.len() as u64);
        }
    }

    /// Cuts or extends, and makes all behind `len` zeroes.
    pub(super) fn set_len(&mut self, len: u64) {
        self.pages.truncate(len.div_ceil(PAGE_BYTES as u64) as usize);
        let kept = (len % PAGE_BYTES as u64) as usize;
        let last = (len / PAGE_BYTES as u64) as usize;
        if kept > 0
            && let Some(Some(page)) = self.pages.get_mut(last)
            // Zeroes stay shared.
            && page[kept..].iter().any(|&byte| byte != 0)
        {
            Arc::make_mut(page)[kept..].fill(0);
        }
        self.len = len;
    }

    fn page(&self, page: usize) -> Option<&Arc<Page>> {
        self.pages.get(page).and_then(Option::as_ref)
    }

    fn page_mut(&mut self, page: usize) -> &mut Page {
        if self.pages.len() <= page {
            self.pages.resize(page + 1, None);
        }
        Arc::make_mut(self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE_BYTES])))
    }

    fn set_page(&mut self, page: usize, bytes: Option<Arc<Page>>) {
        if let Some(slot) = self.pages.get_mut(page) {
            *slot = bytes;
        } else if bytes.is_some() {
            self.pages.resize(page, None);
            self.pages.push(bytes);
        }
    }

    pub(super) fn sector(&self, sector: usize) -> Sector {
        self.page(sector / SECTORS_PER_PAGE).map_or([0; SECTOR_BYTES], |page| cut(page, sector))
    }

    /// Puts a sector in place; the length stays, so the caller sets it afterwards.
    pub(super) fn set_sector(&mut self, sector: usize, bytes: &Sector) {
        let from = sector % SECTORS_PER_PAGE * SECTOR_BYTES;
        let page = self.page_mut(sector / SECTORS_PER_PAGE);
        page[from..from + SECTOR_BYTES].copy_from_slice(bytes);
    }
}

/// One sector of the page it lies in.
fn cut(page: &Page, sector: usize) -> Sector {
    let mut bytes = [0; SECTOR_BYTES];
    let from = sector % SECTORS_PER_PAGE * SECTOR_BYTES;
    bytes.copy_from_slice(&page[from..from + SECTOR_BYTES]);
    bytes
}

/// A file, whatever its names.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) live: Content,
    pub(super) durable: Content,
    /// By page, one bit per sector.
    dirty: BTreeMap<usize, u8>,
    /// By page, one bit per sector: clean in name only, since a sync failed.
    lost: BTreeMap<usize, u8>,
    /// By page, one bit per sector: its first sync failed. ext4 notes that a new block holds data
    /// when its first write succeeds; a later one takes the block for an old one, and a power cut
    /// leaves zeroes.
    unwritten: BTreeMap<usize, u8>,
    /// What some dirty pages held at an earlier moment since the last sync: the system may have
    /// written them back then.
    earlier: BTreeMap<usize, Arc<Page>>,
    /// The shortest it has been since the last sync.
    lowest_len: u64,
    /// Open handles and mappings: a file without a name lives as long as these.
    pub(super) handle_count: usize,
}

impl Inode {
    /// A file that holds `bytes`, durably.
    pub(super) fn of(content: Content) -> Self {
        let (lowest_len, durable) = (content.len, content.clone());
        Self { live: content, durable, lowest_len, ..Self::default() }
    }

    /// Writes to the page cache. `keep_earlier`: the system happens to write back what the pages
    /// held until now, so a crash may find that.
    pub(super) fn write(&mut self, data: &[u8], offset: u64, keep_earlier: bool) {
        let Some(last) = data.len().checked_sub(1) else { return };
        let (first, last) = (offset as usize, offset as usize + last);
        if keep_earlier {
            self.remember(first / PAGE_BYTES, last / PAGE_BYTES);
        }
        self.live.write(data, offset);
        self.mark_dirty(first / SECTOR_BYTES, last / SECTOR_BYTES);
    }

    fn remember(&mut self, first: usize, last: usize) {
        for page in first..=last {
            if self.dirty.contains_key(&page)
                && let Some(bytes) = self.live.page(page)
            {
                self.earlier.insert(page, bytes.clone());
            }
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.live.len {
            // What is cut off comes back as zeroes if the file grows again.
            let end = (self.live.len as usize).div_ceil(PAGE_BYTES);
            for page in len as usize / PAGE_BYTES..end.min(self.page_count()) {
                if self.live.page(page).is_some() || self.durable.page(page).is_some() {
                    let first = (page * SECTORS_PER_PAGE).max(len as usize / SECTOR_BYTES);
                    self.mark_dirty(first, (page + 1) * SECTORS_PER_PAGE - 1);
                }
            }
        }
        drop(self.unwritten.split_off(&(len as usize).div_ceil(PAGE_BYTES)));
        self.live.set_len(len);
        self.lowest_len = self.lowest_len.min(len);
    }

    fn page_count(&self) -> usize {
        self.live.pages.len().max(self.durable.pages.len())
    }

    /// Marks the sectors `first` to `last`, both included.
    fn mark_dirty(&mut self, first: usize, last: usize) {
        for page in first / SECTORS_PER_PAGE..=last / SECTORS_PER_PAGE {
            let start = page * SECTORS_PER_PAGE;
            let from = first.saturating_sub(start);
            let to = (last - start).min(SECTORS_PER_PAGE - 1);
            let mask = (u8::MAX << from) & (u8::MAX >> (SECTORS_PER_PAGE - 1 - to));
            *self.dirty.entry(page).or_default() |= mask;
            if let Some(lost) = self.lost.get_mut(&page) {
                *lost &= !mask;
            }
        }
    }

    /// Makes everything durable but what an earlier failure has lost. Returns how many bytes went
    /// to the disk.
    pub(super) fn sync(&mut self) -> u64 {
        let mut sector_count = 0;
        for (page, mask) in std::mem::take(&mut self.dirty) {
            let unwritten = mask & self.unwritten.get(&page).copied().unwrap_or_default();
            if unwritten != 0 {
                *self.lost.entry(page).or_default() |= unwritten;
            }
            let mask = mask & !unwritten;
            sector_count += u64::from(mask.count_ones());
            if self.lost.get(&page).is_none_or(|&lost| lost == 0) {
                self.durable.set_page(page, self.live.page(page).cloned());
            } else {
                for sector in sectors(page, mask) {
                    let bytes = self.live.sector(sector);
                    self.durable.set_sector(sector, &bytes);
                }
            }
        }
        self.earlier.clear();
        self.durable.set_len(self.live.len);
        self.lowest_len = self.live.len;
        sector_count * SECTOR_BYTES as u64
    }

    /// What the kernel does when writing back fails: marks the pages clean and forgets about it.
    pub(super) fn fail_sync(&mut self) {
        for (page, mask) in std::mem::take(&mut self.dirty) {
            *self.lost.entry(page).or_default() |= mask;
            let is_new = |&sector: &usize| self.durable.sector(sector) == [0; SECTOR_BYTES];
            let new = sectors(page, mask).filter(is_new);
            let new = new.fold(0, |mask, sector| mask | 1 << (sector % SECTORS_PER_PAGE));
            *self.unwritten.entry(page).or_default() |= new;
        }
        self.earlier.clear();
    }

    /// The sectors that a sync would write, ascending.
    pub(super) fn dirty_sectors(&self) -> impl Iterator<Item = usize> {
        self.dirty.iter().flat_map(|(&page, &mask)| {
            sectors(page, mask & !self.unwritten.get(&page).copied().unwrap_or_default())
        })
    }

    /// What a dirty sector held at an earlier moment since the last sync, if that was remembered.
    pub(super) fn earlier_sector(&self, sector: usize) -> Option<Sector> {
        self.earlier.get(&(sector / SECTORS_PER_PAGE)).map(|page| cut(page, sector))
    }

    /// The length the disk has, the shortest since, and the one readers see, when they differ.
    pub(super) fn unsynced_len(&self) -> Option<[u64; 3]> {
        let lens = [self.durable.len, self.lowest_len, self.live.len];
        (lens[0] != lens[1] || lens[1] != lens[2]).then_some(lens)
    }

    /// How many things a crash decides about: dirty sectors, and the length.
    pub(super) fn unsynced_count(&self) -> usize {
        let sector_count: u32 = self.dirty.values().map(|mask| mask.count_ones()).sum();
        sector_count as usize + usize::from(self.unsynced_len().is_some())
    }

    /// Changes both contents, behind the back of whoever uses the disk.
    pub(super) fn tamper(&mut self, change: impl Fn(&mut Content)) {
        change(&mut self.live);
        change(&mut self.durable);
        self.lowest_len = self.lowest_len.min(self.live.len).min(self.durable.len);
    }
}

/// The sectors of `page` whose bit in `mask` is set.
fn sectors(page: usize, mask: u8) -> impl Iterator<Item = usize> {
    (0..SECTORS_PER_PAGE)
        .filter(move |bit| mask & (1 << bit) != 0)
        .map(move |bit| page * SECTORS_PER_PAGE + bit)
}
