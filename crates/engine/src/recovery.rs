//! Opening: from the files of a folder to a running database.
//!
//! ```text
//!   LOCK ─► survey                                all is read, nothing changed yet
//!             │  manifest ─► versions              which tables there are
//!             │  log segments ─► memtables         what came after
//!             ▼
//!   a manifest of our own
//!             ▼
//!   end the log: what is short is made durable now, what is long later
//!             ▼  (what does not fit in memory is replayed once more, and flushed as it comes)
//!   new segment ─► workers
//! ```
//!
//! What results is always a prefix of the commit order with batches whole. Nothing a crash here
//! could need is removed before what replaces it is durable: a crash during recovery is recovered
//! from like any other.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::atomic::AtomicBool;
use alluvium_base::sync::{ArcSwap, Mutex, OnceLock, RecursiveRwLock};
use alluvium_base::{Clock, FileName, FileNumber, FileNumbers, Fs, KeyspaceId, Seq};
use alluvium_manifest::{Cause, Manifest, ManifestOptions, VersionEdit};
use alluvium_wal::{EarlierSegments, Replayed, Wal, WalConfig, renew, replay, seal, settle, start};

use crate::core::{CommitState, Core, flushed_by};
use crate::db::DEFAULT_KEYSPACE;
use crate::durable::DurabilityQueue;
use crate::folder::{list_files, prepare_folder, take_lock};
use crate::options::{Background, Builder, KeyspaceOptions};
use crate::publish::Publisher;
use crate::replay::{LogReplay, Memtables};
use crate::schedule::Scheduler;
use crate::snapshot::SnapshotRegistry;
use crate::split::Waiters;
use crate::stall::Stalls;
use crate::stats::Counters;
use crate::survey::{FoundLog, Surveyed, known_segments, survey};
use crate::unsettled::{Recovered, Unsettled};
use crate::view::{MemtableMaker, ReadView, TreeView};
use crate::{Error, Result};

/// Opens or creates the database that `builder` describes.
pub(crate) fn recover(builder: Builder) -> Result<Core> {
    let (fs, dir) = (Arc::clone(&builder.fs), builder.dir.clone());
    prepare_folder(&builder)?;
    let lock = take_lock(&*fs, &dir)?;
    let names = list_files(&*fs, &dir)?;
    let Surveyed { manifest, log: found, tables, cache, maker } = survey(&builder, &names)?;
    let (mut manifest, numbers) = open_manifest(&builder, &names, manifest)?;
    // At once: on a full disk, attempts that fail further down must not pile them up.
    let is_manifest = |name: &&FileName| matches!(name, FileName::Manifest(_));
    remove_obsolete(&*fs, &dir, names.iter().filter(is_manifest), &manifest);
    adopt_default_keyspace(&builder, &mut manifest)?;
    crate::options_file::write(&builder)?;

    let EndedLog { earlier, last_seq, recovered } =
        end_log(&builder, &numbers, &mut manifest, &maker, found)?;
    let (log, wal) = start(WalConfig {
        fs: Arc::clone(&fs),
        dir: dir.clone(),
        numbers: Arc::clone(&numbers),
        options: builder.wal(),
        earlier,
    })?;
    name_log(&mut manifest, &wal, &*builder.clock)?;
    let is_other = |name: &&FileName| !is_manifest(name);
    remove_obsolete(&*fs, &dir, names.iter().filter(is_other), &manifest);

    let core = Core {
        dir,
        fs,
        clock: builder.clock,
        numbers,
        cache,
        memtables: maker,
        wal,
        default_persist: builder.default_persist,
        background: builder.background,
        flushes_give_way: builder.flushes_give_way,
        waits_before_flush: std::sync::atomic::AtomicU64::new(0),
        is_crowded: is_crowded(builder.background),
        max_log_bytes: builder.max_log_bytes,
        memory: builder.memory,
        manifest: Mutex::new(manifest),
        commit: Arc::new(Mutex::new(CommitState {
            log,
            next_seq: last_seq.next(),
            unchecked_bytes: 0,
        })),
        installing: Mutex::default(),
        view: ArcSwap::default(),
        publisher: Publisher::new(last_seq),
        unsettled: Unsettled::new(last_seq, &recovered),
        tables: Mutex::new(tables),
        snapshots: SnapshotRegistry::default(),
        schedule: Scheduler::default(),
        stalls: Stalls::default(),
        waiters: Waiters::default(),
        durable: DurabilityQueue::default(),
        counters: Counters::default(),
        poison: OnceLock::new(),
        closed: AtomicBool::new(false),
        cancel: AtomicBool::new(false),
        changing_files: RecursiveRwLock::new(()),
        lock: Mutex::new(Some(lock)),
    };
    install_recovered(&core, recovered, last_seq)?;
    Ok(core)
}

/// Whether flushes and compactions together leave no core to a writer.
fn is_crowded(background: Background) -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    matches!(background, Background::Threads(compactors) if cores <= compactors + 1)
}

/// A log that new records can follow.
struct EndedLog {
    earlier: EarlierSegments,
    last_seq: Seq,
    recovered: Recovered,
}

/// Ends the log where it stopped, durably where that is quickly done: see
/// [`Unsettled`](crate::unsettled::Unsettled).
fn end_log(
    builder: &Builder,
    numbers: &Arc<FileNumbers>,
    manifest: &mut Manifest,
    maker: &MemtableMaker,
    found: FoundLog,
) -> Result<EndedLog> {
    let (fs, dir) = (&*builder.fs, &builder.dir);
    let FoundLog { replayed, mut last_seq, sorted } = found;
    if let Some(torn) = &replayed.torn {
        tracing::info!(segment = %torn.segment, offset = torn.offset, bytes = torn.dropped_bytes,
            "dropped the torn end of the log: none of it was acknowledged as durable");
    }
    let known = manifest.state().log;
    let drops_known = known.is_some_and(|known| replayed.drops(known));
    let forget_known = |manifest: &mut Manifest| {
        let edit = VersionEdit::new(Cause::Recovery, builder.clock.now_ms());
        let edit = VersionEdit { log: Some(FileNumber(0)), ..edit };
        if drops_known { manifest.apply(edit) } else { Ok(()) }
    };
    let is_long = replayed.unsettled_bytes() > builder.max_copied_log_bytes;
    let sorted = match sorted {
        Some(sorted) if is_long => {
            forget_known(manifest)?;
            let earlier = seal(fs, dir, &replayed)?;
            return Ok(EndedLog { earlier, last_seq, recovered: Recovered::Waiting(sorted) });
        }
        settled_now => settled_now,
    };
    // Durable first: a flush during replay may only name what the log would bring back after a
    // power cut right then.
    renew(fs, dir, &replayed)?;
    let memtables = if let Some(sorted) = sorted {
        let fill = |(id, sorted)| Some((id, maker.fill(&sorted)?));
        sorted.into_iter().filter_map(fill).collect()
    } else {
        let (last, memtables) = replay_again(builder, numbers, manifest, maker, &replayed)?;
        last_seq = last;
        memtables
    };
    forget_known(manifest)?;
    let earlier = settle(fs, dir, &replayed)?;
    Ok(EndedLog { earlier, last_seq, recovered: Recovered::Settled(memtables) })
}

/// Replays a log that holds more than fits in memory, which was found before: what fills a memtable
/// is flushed. The log must be durable.
fn replay_again(
    builder: &Builder,
    numbers: &Arc<FileNumbers>,
    manifest: &mut Manifest,
    maker: &MemtableMaker,
    found: &Replayed,
) -> Result<(Seq, Memtables)> {
    let known = known_segments(manifest.state());
    let mut replaying = LogReplay::new(builder, numbers, manifest, maker)?;
    let replayed = replay(&*builder.fs, &builder.dir, known, &mut |first, payload, at| {
        replaying.record(first, &payload, at.segment, at.offset)
    })?;
    if !replayed.found_the_same(found) {
        let what = "the log reads differently each time: the disk, or its cable, is failing";
        return Err(Error::corrupt(&builder.dir, 0, what));
    }
    replaying.finish()
}

/// The options of all keyspaces, as the manifest has them, but for what does not fit into the budget.
pub(crate) fn keyspace_options(
    builder: &Builder,
    manifest: &Manifest,
) -> Result<BTreeMap<KeyspaceId, KeyspaceOptions>> {
    let file = FileName::Manifest(manifest.number()).in_dir(&builder.dir);
    let keyspaces = manifest.state().keyspaces.values();
    keyspaces
        .map(|keyspace| {
            let options = parse_stored_options(&file, &keyspace.options)?;
            Ok((keyspace.id, options.within(builder.memory)))
        })
        .collect()
}

/// Has the manifest know the log segment that must be there from now on, and which are garbage.
fn name_log(manifest: &mut Manifest, wal: &Wal, clock: &dyn Clock) -> Result<()> {
    let mut edit = VersionEdit::new(Cause::Recovery, clock.now_ms());
    let needed = wal.needed(flushed_by(manifest.state(), None));
    (edit.log_first, edit.log) = (Some(*needed.start()), Some(*needed.end()));
    manifest.apply(edit)
}

/// Shows readers the recovered tables and memtables.
fn install_recovered(core: &Core, mut recovered: Recovered, last_seq: Seq) -> Result<()> {
    let mut view = ReadView::default();
    {
        let manifest = core.manifest.lock();
        let file = FileName::Manifest(manifest.number()).in_dir(&core.dir);
        for keyspace in manifest.state().keyspaces.values() {
            let options = parse_stored_options(&file, &keyspace.options)?.within(core.memory);
            let (active, immutable) =
                recovered.take(keyspace.id, (keyspace.flushed, last_seq), &core.memtables);
            let tables = core.open_version(keyspace.id, &keyspace.version);
            let tables = Arc::new(tables.map_err(missing_is_damage)?);
            let mut tree = TreeView {
                id: keyspace.id,
                name: keyspace.name.as_str().into(),
                options: Arc::new(options),
                active,
                immutable,
                version: Arc::default(),
                tables: Arc::default(),
                read_debt: Arc::default(),
                dead_stretches: core.new_dead_stretches(),
            };
            tree.set_tables(Arc::clone(&keyspace.version), tables, 0);
            view.set(keyspace.id, Some(tree));
        }
        core.release_log(&manifest);
    }
    core.stalls.update(&view);
    core.view.store(Arc::new(view));
    Ok(())
}

/// While nothing runs, a table that the manifest names and the folder lacks is damage: it was
/// removed, or the manifest is an old one.
pub(crate) fn missing_is_damage(error: Error) -> Error {
    if let Error::Io { path, source, .. } = &error
        && source.kind() == std::io::ErrorKind::NotFound
    {
        return Error::corrupt(path, 0, "it is missing, and the manifest names it");
    }
    error
}

fn open_manifest(
    builder: &Builder,
    names: &[FileName],
    recovered: Option<alluvium_manifest::Recovered>,
) -> Result<(Manifest, Arc<FileNumbers>)> {
    let (fs, dir) = (&builder.fs, &builder.dir);
    let now_ms = builder.clock.now_ms();
    let options = ManifestOptions { rewrite_min_bytes: builder.max_manifest_bytes };
    let highest = names.iter().filter_map(|name| name.number()).max().unwrap_or_default();
    let highest = if is_planted(Bug::FileNumberReused) { FileNumber(0) } else { highest };
    let unused = FileNumber(highest.0 + 1);
    if let Some(recovered) = recovered {
        let next = recovered.state.next_file.max(unused);
        let numbers = Arc::new(FileNumbers::starting_at(next));
        let manifest =
            Manifest::start(Arc::clone(fs), dir, recovered, Arc::clone(&numbers), now_ms, options)?;
        return Ok((manifest, numbers));
    }
    // A crash while a database is made leaves a manifest at most. Data without CURRENT is damage.
    let has_data = |name: &&FileName| matches!(name, FileName::Table(_) | FileName::Wal(_));
    if let Some(orphan) = names.iter().find(has_data) {
        return Err(Error::corrupt(
            FileName::Current.in_dir(dir),
            0,
            format!(
                "it is missing, though the folder holds {orphan}: restore it from a backup, or \
                 save what can be read with `alluvium repair`"
            ),
        ));
    }
    let numbers = Arc::new(FileNumbers::starting_at(unused));
    let manifest = Manifest::create(Arc::clone(fs), dir, Arc::clone(&numbers), now_ms, options)?;
    Ok((manifest, numbers))
}

/// Makes sure there is a default keyspace, with the options given for it, if any.
fn adopt_default_keyspace(builder: &Builder, manifest: &mut Manifest) -> Result<()> {
    let now_ms = builder.clock.now_ms();
    let id = KeyspaceId::DEFAULT;
    match (manifest.state().keyspaces.get(&id), &builder.default_keyspace) {
        (None, given) => {
            let mut edit = VersionEdit::new(Cause::CreateKeyspace, now_ms);
            let options = encode_options(&given.clone().unwrap_or_default());
            edit.created.push((id, DEFAULT_KEYSPACE.to_owned(), options));
            manifest.apply(edit)
        }
        (Some(keyspace), Some(given)) if keyspace.options != encode_options(given) => {
            let mut edit = VersionEdit::new(Cause::Open, now_ms);
            edit.options.push((id, encode_options(given)));
            manifest.apply(edit)
        }
        (Some(_), _) => Ok(()),
    }
}

/// The bytes options are stored as: JSON, so that a later release can add some.
pub(crate) fn encode_options(options: &KeyspaceOptions) -> alluvium_base::Bytes {
    let json = serde_json::to_vec(options).expect("plain data serialises");
    alluvium_base::Bytes::from(json)
}

/// Reads the options of a keyspace as `manifest`, the file that holds them, has them.
pub(crate) fn parse_stored_options(manifest: &Path, stored: &[u8]) -> Result<KeyspaceOptions> {
    let damage =
        |what: String| Error::corrupt(manifest, 0, format!("the options of a keyspace: {what}"));
    let options: KeyspaceOptions =
        serde_json::from_slice(stored).map_err(|error| damage(error.to_string()))?;
    options.check().map_err(|error| damage(error.to_string()))?;
    Ok(options)
}

/// Removes files of ours that nothing names: tables of unfinished jobs and older manifests. What
/// resists is removed by the next open.
fn remove_obsolete<'a>(
    fs: &dyn Fs,
    dir: &Path,
    names: impl Iterator<Item = &'a FileName>,
    manifest: &Manifest,
) {
    let keyspaces = manifest.state().keyspaces.values();
    let live: std::collections::BTreeSet<FileNumber> = keyspaces
        .flat_map(|keyspace| keyspace.version.tables().map(|(_, meta)| meta.number))
        .collect();
    let is_obsolete = |name: &FileName| match *name {
        FileName::Table(number) => !live.contains(&number),
        FileName::Manifest(number) => number != manifest.number(),
        FileName::CurrentTemporary | FileName::OptionsTemporary | FileName::WalTemporary(_) => true,
        FileName::Wal(number) => number < manifest.state().log_first,
        FileName::Current | FileName::Lock | FileName::Options => false,
    };
    for name in names.copied().filter(is_obsolete) {
        let path = name.in_dir(dir);
        if let Err(error) = fs.remove(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove an obsolete file");
        }
    }
}

/// The sequences at or below which each keyspace has everything in tables.
pub(crate) fn flushed_seqs(manifest: &Manifest) -> BTreeMap<KeyspaceId, Seq> {
    manifest.state().keyspaces.iter().map(|(id, keyspace)| (*id, keyspace.flushed)).collect()
}
