//! Which keys a command is about.

use std::ops::Bound;

use alluvium::{Keyspace, Read, Scan};
use clap::Args;

use crate::notation::Input;

/// A range of keys, or a prefix, or everything.
#[derive(Debug, Args)]
pub(crate) struct Range {
    /// Only keys that begin with this
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["from", "to"])]
    prefix: Option<Input>,
    /// Only keys from this one on, it included
    #[arg(long, value_name = "KEY")]
    from: Option<Input>,
    /// Only keys before this one
    #[arg(long, value_name = "KEY")]
    to: Option<Input>,
}

impl Range {
    /// Whether it is every key.
    pub(crate) fn is_everything(&self) -> bool {
        self.prefix.is_none() && self.from.is_none() && self.to.is_none()
    }

    /// The entries of `keyspace` in it.
    pub(crate) fn scan(&self, keyspace: &Keyspace) -> Scan {
        if let Some(prefix) = &self.prefix {
            return keyspace.prefix(&prefix.0);
        }
        let from = self.from.as_ref().map_or(Bound::Unbounded, |key| Bound::Included(&key.0));
        let to = self.to.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(&key.0));
        keyspace.range((from, to))
    }
}
