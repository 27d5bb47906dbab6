//! How much memory the system lets this process have.
//!
//! Defaults that suit a server would be killed in a small container: whoever chooses one asks here
//! first. Three limits are looked at, and the least counts: the address space (`ulimit -v`), and
//! the memory of the control group, versions 1 and 2.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The least limit on this process's memory, in bytes; `None` when there is none, or none that
/// could be read. The system is asked once in the life of the process: defaults depend on it, and
/// they are made often.
pub fn limit_bytes() -> Option<u64> {
    static LIMIT: OnceLock<Option<u64>> = OnceLock::new();
    *LIMIT.get_or_init(|| address_space_bytes().into_iter().chain(control_group_limits()).min())
}

/// The limit on this process's address space, in bytes, if there is one (`ulimit -v`).
pub fn address_space_bytes() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::As).current
}

/// A limit this large is no limit: version 1 says "none" with a number near the largest.
const NO_LIMIT: u64 = 1 << 60;

fn control_group_limits() -> Vec<u64> {
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let files = groups.lines().flat_map(limit_files);
    files.filter_map(|file| parse_limit(&read(&file)?)).collect()
}

#[expect(clippy::disallowed_methods, reason = "these files are the kernel's, not a database's")]
fn read(path: &Path) -> Option<String> {
    std::fs::read(path).ok().and_then(|bytes| String::from_utf8(bytes).ok())
}

/// Where the limit of one line of `/proc/self/cgroup` may be found. Inside a container the group's
/// path is often not visible, and the root of the tree is the group itself.
fn limit_files(line: &str) -> Vec<PathBuf> {
    let mut parts = line.splitn(3, ':');
    let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
    else {
        return Vec::new();
    };
    let path = path.trim_start_matches('/');
    if controllers.is_empty() {
        let root = Path::new("/sys/fs/cgroup");
        return vec![root.join(path).join("memory.max"), root.join("memory.max")];
    }
    if controllers.split(',').any(|controller| controller == "memory") {
        let root = Path::new("/sys/fs/cgroup/memory");
        let name = "memory.limit_in_bytes";
        return vec![root.join(path).join(name), root.join(name)];
    }
    Vec::new()
}

fn parse_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|&limit| limit < NO_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_are_understood() {
        let in_group = PathBuf::from("/sys/fs/cgroup/a/b/memory.max");
        assert_eq!(limit_files("0::/a/b")[0], in_group);
        let in_group = PathBuf::from("/sys/fs/cgroup/memory/a/memory.limit_in_bytes");
        assert_eq!(limit_files("4:cpu,memory:/a")[0], in_group);
        assert!(limit_files("5:cpu:/a").is_empty() && limit_files("nonsense").is_empty());
    }

    #[test]
    fn no_limit_is_said_in_words_or_with_a_huge_number() {
        assert_eq!(parse_limit("536870912\n"), Some(512 << 20));
        assert_eq!(parse_limit("max\n"), None);
        assert_eq!(parse_limit("9223372036854771712\n"), None);
    }
}
