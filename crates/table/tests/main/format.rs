//! `FORMAT.md` shows one whole table in bytes. It must be what is written, and be readable.

use alluvium_base::{Kind, Seq};
use alluvium_table::{BlockCache, ReadOptions, TableOptions, hash_key};

use crate::support::{Disk, Owned, walk};

const PAGE: &str = include_str!("../../FORMAT.md");

/// The table that the page describes in words.
fn documented() -> (Vec<Owned>, TableOptions) {
    let entries = vec![
        Owned::put("apple", 9, b"red"),
        Owned { kind: Kind::Delete, ..Owned::put("apple", 4, b"") },
        Owned { kind: Kind::PutExpiring, ..Owned::put("fig", 300, b"\xe8\x03\0\0\0\0\0\0ripe") },
        Owned::put("pear", 12, &[b'o'; 60]),
    ];
    (entries, TableOptions { block_size: 64, ..TableOptions::default() })
}

/// The bytes between the fences of the block marked `hex`: offset, bytes, `|`, remarks.
fn dump_of(page: &str) -> Vec<u8> {
    let (_, rest) = page.split_once("```hex\n").expect("the page has a dump");
    let (dump, _) = rest.split_once("```").expect("the dump ends");
    let mut bytes = Vec::new();
    for line in dump.lines() {
        let (offset, rest) = line.split_once(' ').expect("an offset, then bytes");
        let offset = usize::from_str_radix(offset, 16).expect("offsets are hexadecimal");
        assert_eq!(offset, bytes.len(), "the dump leaves nothing out");
        let digits = rest.split('|').next().unwrap_or_default().split_whitespace();
        bytes.extend(digits.map(|byte| u8::from_str_radix(byte, 16).expect("two digits a byte")));
    }
    bytes
}

/// The bytes as the page would show them, without remarks.
fn show(bytes: &[u8]) -> String {
    let lines = bytes.chunks(16).enumerate().map(|(line, bytes)| {
        let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{:04x}  {}\n", line * 16, digits.join(" "))
    });
    lines.collect()
}

#[test]
fn the_page_shows_the_bytes_that_are_written() {
    let (entries, options) = documented();
    let disk = Disk::new();
    disk.build(&entries, &options);
    let written = disk.bytes();
    assert!(written == dump_of(PAGE), "FORMAT.md should show\n{}", show(&written));
}

#[test]
fn the_page_s_bytes_can_be_read() {
    let (entries, options) = documented();
    let disk = Disk::new();
    disk.replace(&dump_of(PAGE));
    let table = disk.open(BlockCache::new(0)).unwrap();
    table.verify().unwrap();
    assert_eq!(table.options(), &options);
    assert_eq!(walk(&mut table.iter(ReadOptions::default())).unwrap(), entries);
    let gone = table.get(b"apple", hash_key(b"apple"), Seq::new(5)).unwrap().unwrap();
    assert_eq!((gone.kind, gone.seq), (Kind::Delete, Seq::new(4)));
}
