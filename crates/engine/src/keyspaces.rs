//! Creating and dropping keyspaces: one durable edit each.

use std::sync::Arc;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{FileNumber, KeyspaceId};
use alluvium_manifest::{Cause, KeyspaceChange, Version, VersionEdit};

use crate::core::Core;
use crate::db::{DEFAULT_KEYSPACE, Db};
use crate::options::KeyspaceOptions;
use crate::recovery::encode_options;
use crate::view::{OpenTables, TreeView};
use crate::{Error, Result};

impl Core {
    /// Creates the keyspace `name`, unless another thread was faster.
    pub(crate) fn create_keyspace(
        &self,
        name: &str,
        options: KeyspaceOptions,
    ) -> Result<KeyspaceId> {
        Db::check_name(name)?;
        options.check()?;
        let _inside = self.enter()?;
        self.check_writable()?;
        self.settle_recovered()?;
        let mut manifest = self.manifest.lock();
        let state = manifest.state();
        if let Some(existing) = state.keyspaces.values().find(|keyspace| keyspace.name == name) {
            return Ok(existing.id);
        }
        // Sequences in the manifest are never ahead of the durable log, or numbers could be missing
        // from it after a power cut.
        if !is_planted(Bug::CreateBeforeLogSync) {
            self.sync_to(self.wal.written())?;
        }
        let commit = self.commit.lock();
        let last = commit.next_seq.prev();
        let end = commit.log.end();
        drop(commit);
        if !is_planted(Bug::CreateBeforeLogSync) {
            self.sync_to(end)?;
        }

        let id = state.next_keyspace;
        let mut edit = VersionEdit::new(Cause::CreateKeyspace, self.clock.now_ms());
        edit.last_seq = Some(last);
        edit.created.push((id, name.to_owned(), encode_options(&options)));
        edit.changes.push(KeyspaceChange {
            keyspace: id,
            flushed: Some(last),
            removed: Vec::new(),
            added: Vec::new(),
        });
        self.apply(&mut manifest, edit)?;
        let tree = TreeView {
            id,
            name: name.into(),
            options: Arc::new(options.within(self.memory)),
            active: self.memtables.make(last.next()),
            immutable: Vec::new(),
            version: Arc::new(Version::default()),
            tables: Arc::new(OpenTables::default()),
            read_debt: Arc::default(),
            dead_stretches: self.new_dead_stretches(),
        };
        self.install(|view| view.set(id, Some(tree)));
        Ok(id)
    }

    /// Drops the keyspace `name` and removes its tables.
    pub(crate) fn drop_keyspace(&self, name: &str) -> Result<()> {
        let _inside = self.enter()?;
        self.check_writable()?;
        if name == DEFAULT_KEYSPACE {
            return Err(Error::invalid("the default keyspace cannot be dropped"));
        }
        self.settle_recovered()?;
        let mut manifest = self.manifest.lock();
        let found = manifest.state().keyspaces.values().find(|keyspace| keyspace.name == name);
        let Some(keyspace) = found else {
            return Err(Error::invalid(format!("there is no keyspace \"{name}\" to drop")));
        };
        let id = keyspace.id;
        let version = Arc::clone(&keyspace.version);
        let tree = Arc::clone(self.view.load().tree(id)?);
        // No batch comes to it any more, and those that did come first in the order: none of them
        // may be lost while the drop survives.
        let end = {
            // Under the commit lock: no batch is between its check of the keyspace and the log.
            let commit = self.commit.lock();
            self.install(|view| view.set(id, None));
            commit.log.end()
        };
        let dropped = self.sync_to(end).and_then(|()| {
            let mut edit = VersionEdit::new(Cause::DropKeyspace, self.clock.now_ms());
            edit.dropped.push(id);
            if is_planted(Bug::DropNotLogged) {
                return Ok(());
            }
            self.apply(&mut manifest, edit)
        });
        if dropped.is_err() {
            // Poisoned by that: it takes no writes, and reads go on.
            self.install(|view| view.set(id, Some(TreeView::clone(&tree))));
        }
        dropped?;
        self.schedule.lock().forget(id);
        self.release_log(&manifest);
        drop(manifest);
        let tables: Vec<FileNumber> = version.tables().map(|(_, meta)| meta.number).collect();
        self.remove_tables(tables.into_iter());
        self.schedule.notify_progress();
        Ok(())
    }
}
