//! Which database and keyspace a command works on, and how it opens them.

use std::path::{Path, PathBuf};

use alluvium::fs::{Fs, StdFs};
use alluvium::{Builder, Db, Keyspace, KeyspaceOptions, Persist};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;

/// The folder used when none is named.
const DEFAULT_DIR: &str = "./alluvium-data";

const MIB: u64 = 1 << 20;

/// Options that every command shares.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Target {
    /// Folder of the database [default: ./alluvium-data; for `bench` a new one, removed after]
    #[arg(long, global = true, value_name = "DIR")]
    db: Option<PathBuf>,

    /// Keyspace to work on; writing commands make it if there is none [default: default]
    #[arg(long, global = true, value_name = "NAME")]
    keyspace: Option<String>,

    /// Memory for cached blocks [default: 128]
    #[arg(long, global = true, value_name = "MIB", value_parser = mebibytes())]
    cache_size: Option<u64>,

    /// All the memory that the database may hold: memtables, tables, buffers, and cached blocks, which
    /// get what is left [default: no limit but those of each]
    #[arg(long, global = true, value_name = "MIB", value_parser = mebibytes(), conflicts_with = "cache_size")]
    memory: Option<u64>,

    /// Size at which a memtable is flushed; stays with the default keyspace from then on, and with
    /// another one that this command makes [default: 64]
    #[arg(long, global = true, value_name = "MIB", value_parser = mebibytes())]
    write_buffer: Option<u64>,

    /// Every write survives the loss of power when it is acknowledged, not only the death of the
    /// process
    #[arg(long, global = true)]
    sync: bool,
}

fn mebibytes() -> clap::builder::RangedU64ValueParser {
    clap::builder::RangedU64ValueParser::new().range(1..=1 << 20)
}

/// An open database and the keyspace a command works on.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) db: Db,
    pub(crate) keyspace: Keyspace,
}

impl Database {
    /// Makes everything durable and gives the folder back.
    pub(crate) fn close(self) -> Result<()> {
        drop(self.keyspace);
        Ok(self.db.close()?)
    }
}

impl Target {
    /// The folder that was named, if one was.
    pub(crate) fn named_dir(&self) -> Option<&Path> {
        self.db.as_deref()
    }

    /// The folder of the database.
    pub(crate) fn dir(&self) -> &Path {
        self.named_dir().unwrap_or(Path::new(DEFAULT_DIR))
    }

    /// The same options for the folder `dir`.
    pub(crate) fn in_dir(&self, dir: &Path) -> Self {
        Self { db: Some(dir.to_owned()), ..self.clone() }
    }

    /// The keyspace that was named, if one was.
    pub(crate) fn named_keyspace(&self) -> Option<&str> {
        self.keyspace.as_deref()
    }

    /// How durable a write is when it is acknowledged.
    pub(crate) fn persist(&self) -> Persist {
        if self.sync { Persist::Sync } else { Persist::Buffer }
    }

    /// Opens a database and keyspace that must be there: for commands that only read.
    pub(crate) fn open_existing(&self) -> Result<Database> {
        let db = self.open_existing_db()?;
        let keyspace = match self.named_keyspace() {
            None => db.default_keyspace(),
            Some(name) => db.find_keyspace(name)?.map_or_else(|| no_keyspace(&db, name), Ok)?,
        };
        Ok(Database { db, keyspace })
    }

    /// Opens the database and keyspace, making them if need be: for commands that write.
    pub(crate) fn open_or_create(&self) -> Result<Database> {
        let db = self.open_or_create_db()?;
        let keyspace = match self.named_keyspace() {
            None => db.default_keyspace(),
            Some(name) => self.make_keyspace(&db, name)?,
        };
        Ok(Database { db, keyspace })
    }

    /// Opens a database that must be there.
    pub(crate) fn open_existing_db(&self) -> Result<Db> {
        self.refuse_missing()?;
        Ok(self.builder()?.create_if_missing(false).open()?)
    }

    /// Opens the database, making it if need be.
    pub(crate) fn open_or_create_db(&self) -> Result<Db> {
        Ok(self.builder()?.open()?)
    }

    /// Opens the keyspace `name`, making it if need be.
    pub(crate) fn make_keyspace(&self, db: &Db, name: &str) -> Result<Keyspace> {
        let mut options = KeyspaceOptions::default();
        if let Some(mib) = self.write_buffer {
            options.write_buffer_size = mib * MIB;
        }
        Ok(db.keyspace(name, options)?)
    }

    /// Refuses a folder that holds no database, with what would make one.
    pub(crate) fn refuse_missing(&self) -> Result<()> {
        ensure!(
            !self.is_missing(),
            "there is no database in {}: `alluvium set` or `alluvium import` makes one, and --db \
             names another folder",
            self.dir().display()
        );
        Ok(())
    }

    /// Whether the folder has no file of a database at all. One that lost some of its files is for
    /// the engine to judge.
    fn is_missing(&self) -> bool {
        let is_ours = |name: &String| {
            name == "CURRENT" || [".table", ".wal"].iter().any(|suffix| name.ends_with(suffix))
        };
        match StdFs.list(self.dir()) {
            Ok(names) => !names.iter().any(is_ours),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }

    fn builder(&self) -> Result<Builder> {
        let mut builder = self.plain_builder();
        if let Some(mib) = self.write_buffer {
            let mut options = self.stored_options().context("cannot read the stored options")?;
            options.write_buffer_size = mib * MIB;
            builder = builder.default_keyspace(options);
        }
        Ok(builder)
    }

    fn plain_builder(&self) -> Builder {
        let builder = Db::builder(self.dir()).default_persist(self.persist());
        match (self.memory, self.cache_size) {
            (Some(mib), _) => builder.memory(mib * MIB),
            (None, Some(mib)) => builder.cache_bytes(mib * MIB),
            (None, None) => builder,
        }
    }

    /// What the default keyspace works with now: changing one option keeps the others.
    fn stored_options(&self) -> Result<KeyspaceOptions> {
        if self.is_missing() {
            return Ok(KeyspaceOptions::default());
        }
        // Not within a budget of memory, which would make some of them less than what is stored.
        let db = Db::builder(self.dir()).open()?;
        let options = db.default_keyspace().options()?;
        db.close()?;
        Ok(options)
    }
}

fn no_keyspace(db: &Db, name: &str) -> Result<Keyspace> {
    bail!(
        "there is no keyspace `{name}` in {}: it has {}; `alluvium set --keyspace {name} …` makes it",
        db.path().display(),
        db.keyspaces()?.join(", ")
    )
}
