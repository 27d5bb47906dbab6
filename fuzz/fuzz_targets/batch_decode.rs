//! A write batch that may hold anything, as it comes from a log or from another node: walked, and
//! where it is one, written again with the same result.
#![no_main]

use alluvium_base::key::split_expiry;
use alluvium_base::{BatchEntry, BatchReader, Kind, Result, WriteBatch};
use alluvium_fuzz::memory::Budget;
use libfuzzer_sys::fuzz_target;

fn decode(bytes: &[u8]) -> Result<Vec<BatchEntry>> {
    BatchReader::new(bytes)?.collect()
}

/// The batch that these entries are, unless a writer cannot make one of them yet.
fn encode(bytes: &[u8], entries: &[BatchEntry]) -> Option<WriteBatch> {
    let mut batch = WriteBatch::new();
    for BatchEntry { keyspace, kind, key, value } in entries {
        let (key, value) = (&bytes[key.clone()], &bytes[value.clone()]);
        let added = match kind {
            Kind::Put => batch.put(*keyspace, key, value),
            Kind::Delete => batch.delete(*keyspace, key),
            Kind::PutExpiring => {
                let (expiry_ms, value) = split_expiry(value).expect("its expiry was checked");
                batch.put_expiring(*keyspace, key, value, expiry_ms)
            }
            Kind::Merge | Kind::DeleteRange => return None,
        };
        added.expect("what was decoded is within the limits");
    }
    Some(batch)
}

fuzz_target!(|data: &[u8]| {
    Budget::DECODER.bound(data.len(), || {
        let Ok(entries) = decode(data) else { return };
        assert!(entries.len() <= data.len());
        let Some(batch) = encode(data, &entries) else { return };
        let size_bytes = batch.size_bytes();
        let again = batch.into_bytes();
        assert!(
            again.len() == size_bytes && size_bytes <= data.len(),
            "encodings are the shortest"
        );
        let found = decode(&again).expect("just encoded");
        assert_eq!(found.len(), entries.len());
        for (old, new) in entries.iter().zip(found) {
            assert_eq!((old.keyspace, old.kind), (new.keyspace, new.kind));
            assert_eq!(data[old.key.clone()], again[new.key]);
            assert_eq!(data[old.value.clone()], again[new.value]);
        }
    });
});
