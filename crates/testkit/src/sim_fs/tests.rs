//! The simulated disk is held to its own promises here, one file per part of them.

mod contents;
mod crashes;
mod faults;
mod names;

use std::io;
use std::path::Path;
use std::sync::Arc;

use alluvium_base::{File, Fs};

use super::*;

fn path(name: &str) -> &Path {
    Path::new(name)
}

/// A new file with a durable name and no content.
fn file(fs: &SimFs, name: &str) -> Arc<dyn File> {
    let file = fs.create(path(name)).expect("no faults yet");
    fs.sync_dir(path("/")).expect("no faults yet");
    file
}

/// What a crash leaves of a file.
fn left(fs: &SimFs, name: &str, survival: Survival) -> Option<Vec<u8>> {
    fs.crash(survival).read(path(name))
}

/// All survivals worth trying.
fn survivals() -> impl Iterator<Item = Survival> {
    let random = (0..200).map(Survival::Random);
    let masks = [0x5555_5555_5555_5555, 0xaaaa_aaaa_aaaa_aaaa, 1, !1].map(Survival::Mask);
    [Survival::All, Survival::None].into_iter().chain(masks).chain(random)
}
