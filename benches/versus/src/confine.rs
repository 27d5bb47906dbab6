//! A limit to the memory of this process, page cache included, set by the system: a control group.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where control groups of either version are, and how a limit is called there.
const PLACES: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

/// Confines this process. Needs root.
pub fn memory(bytes: u64) -> Result<()> {
    let group = format!("alluvium-versus-{}", std::process::id());
    let (root, limit) = PLACES
        .iter()
        .find(|(root, _)| Path::new(root).join("cgroup.procs").exists())
        .context("there are no control groups here")?;
    let group: PathBuf = Path::new(root).join(group);
    fs::create_dir(&group).context("making a control group: are you root?")?;
    fs::write(group.join(limit), bytes.to_string()).context("setting the limit")?;
    fs::write(group.join("cgroup.procs"), std::process::id().to_string())?;
    Ok(())
}
