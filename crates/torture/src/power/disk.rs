//! A disk of our own: a file in memory, behind a loop device, with a real file system on it.
//!
//! ```text
//!   tmpfs of our own       /ram/image ──► loop device ──► ext4 or XFS, mounted at /disk
//!   (fsync costs nothing,       ▲                              │
//!    its size is a limit)       └──────── write-back ──────────┘
//! ```
//!
//! All of it exists for the thread that made it and for its children: see
//! [`kernel`](super::kernel). The device is detached as soon as it is open, so the kernel frees it
//! with its last user.

#![allow(clippy::disallowed_methods, reason = "files and devices of the machine, not a database's")]

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use alluvium_base::{Clock, SystemClock};
use rustix::fs::FallocateFlags;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use super::kernel;
use crate::layer::Failure;

/// What a disk is formatted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileSystem {
    Ext4,
    Xfs,
    /// Only for what is special about it.
    #[cfg(test)]
    Btrfs,
}

impl FileSystem {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            #[cfg(test)]
            Self::Btrfs => "btrfs",
        }
    }

    /// What cuts of its power are counted as.
    pub(super) const fn cuts(self) -> &'static str {
        match self {
            Self::Ext4 => "cuts on ext4",
            Self::Xfs => "cuts on XFS",
            #[cfg(test)]
            Self::Btrfs => "cuts on btrfs",
        }
    }

    /// The smallest that is of use; XFS refuses to be smaller. Holes take no memory.
    pub(super) const fn bytes(self) -> u64 {
        match self {
            Self::Ext4 => 64 << 20,
            Self::Xfs => 320 << 20,
            #[cfg(test)]
            Self::Btrfs => 128 << 20,
        }
    }

    const fn format(self, bytes: u64) -> (&'static str, &'static [&'static str]) {
        match self {
            // Small blocks leave a small disk room beside the file system's own log.
            Self::Ext4 if bytes < SMALL_BYTES => {
                ("mkfs.ext4", &["-q", "-F", "-m", "0", "-b", "1024"])
            }
            Self::Ext4 => ("mkfs.ext4", &["-q", "-F", "-m", "0", "-b", "4096"]),
            Self::Xfs => ("mkfs.xfs", &["-q", "-f"]),
            #[cfg(test)]
            Self::Btrfs => ("mkfs.btrfs", &["-q", "-f"]),
        }
    }
}

/// What is smaller has blocks of 1 KiB.
const SMALL_BYTES: u64 = 32 << 20;

/// How long the kernel may take to let go of a file system, in steps of a millisecond.
const UNMOUNT_STEPS: u32 = 10_000;

/// The memory that a tmpfs takes at a time, in KiB.
const PAGE_KIB: &str = "4";

/// As much memory as a disk without a limit may take.
const UNLIMITED_BYTES: u64 = 1 << 30;

/// A disk, while it is there.
#[derive(Debug)]
pub(super) struct Disk {
    /// Declared first: it holds the device.
    device: Option<File>,
    device_path: PathBuf,
    pub(super) file_system: FileSystem,
    home: tempfile::TempDir,
}

/// Runs `work` on a thread with mounts of its own: the only kind of thread that makes disks.
pub(super) fn with_own_mounts<T: Send>(
    work: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            kernel::take_own_mounts()?;
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What is missing for disks, if anything.
pub(super) fn needs() -> Result<(), String> {
    for program in ["mkfs.ext4", "mkfs.xfs", "losetup"] {
        is_there(program)?;
    }
    if !Path::new("/dev/loop-control").exists() {
        return Err("there are no loop devices".to_owned());
    }
    with_own_mounts(|| Ok(()))
        .map_err(|failure| format!("mounts need to be root ({})", failure.what))
}

/// Whether `program` can be started.
pub(super) fn is_there(program: &str) -> Result<(), String> {
    let started = Command::new(program).arg("-V").output();
    started.map(drop).map_err(|error| format!("{program}: {error}"))
}

/// Runs a program that must succeed.
fn run(program: &str, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| Failure::from(format!("{program}: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program} {arguments:?}: {said}").into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the folder for temporary files has a name in UTF-8")
}

impl Disk {
    /// A new disk of `bytes`, mounted.
    pub(super) fn new(file_system: FileSystem, bytes: u64) -> Result<Self, Failure> {
        let home = tempfile::Builder::new().prefix("alluvium-disk-").tempdir()?;
        let (ram, image) = (home.path().join("ram"), home.path().join("ram/image"));
        fs::create_dir(&ram)?;
        fs::create_dir(home.path().join("disk"))?;
        let mut disk = Self { device: None, device_path: PathBuf::new(), file_system, home };
        let options = CString::new("mode=700").expect("there is no zero in it");
        mount("none", &ram, "tmpfs", MountFlags::empty(), options.as_c_str())
            .map_err(io::Error::from)?;
        File::create(&image)?.set_len(bytes)?;
        let (program, arguments) = file_system.format(bytes);
        run(program, &[arguments, &[text(&image)]].concat())?;
        disk.device_path = run("losetup", &["--find", "--show", text(&image)])?.into();
        disk.device = Some(File::open(&disk.device_path)?);
        // It stays while it is open or mounted, and no longer.
        run("losetup", &["--detach", text(&disk.device_path)])?;
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(super) fn root(&self) -> PathBuf {
        self.home.path().join("disk")
    }

    /// A folder beside it, on another file system.
    pub(super) fn beside(&self) -> &Path {
        self.home.path()
    }

    /// Mounts it, which repairs the file system first if need be.
    pub(super) fn mount(&self) -> Result<(), Failure> {
        let (name, flags) = (self.file_system.name(), MountFlags::NOATIME);
        let mounted = mount(&self.device_path, self.root(), name, flags, None);
        mounted.map_err(|error| format!("mounting {name}: {error}").into())
    }

    /// Unmounts it; what was not written yet is, unless the power is off.
    pub(super) fn unmount(&self) -> Result<(), Failure> {
        let clock = SystemClock::new();
        for _ in 0..UNMOUNT_STEPS {
            match unmount(self.root(), UnmountFlags::empty()) {
                Ok(()) => return Ok(()),
                // A process that ended a moment ago may still be letting go.
                Err(rustix::io::Errno::BUSY) => clock.sleep(Duration::from_millis(1)),
                Err(error) => return Err(format!("unmounting: {error}").into()),
            }
        }
        Err("somebody still has files open on a disk that nobody should use".to_owned().into())
    }

    /// The power goes: what was not synced is gone, and nothing works until it is mounted again.
    pub(super) fn cut_power(&self) -> Result<(), Failure> {
        Ok(kernel::cut_power(&File::open(self.root())?)?)
    }

    /// As a machine that goes off and on again.
    pub(super) fn remount(&self) -> Result<(), Failure> {
        self.unmount()?;
        self.mount()
    }

    /// What lies behind free space of the file system is let go of, and so much of it can be had
    /// again at most: beyond that, writing back fails though the file system has room. `None` takes
    /// the limit away.
    ///
    /// Requests are made as small as a page: a loop device that could write a part of a request
    /// says that it wrote it all, and a disk that lies is nobody's promise.
    pub(super) fn limit_backing(&self, spare_bytes: Option<u64>) -> Result<(), Failure> {
        let ram = self.home.path().join("ram");
        let size = match spare_bytes {
            None => UNLIMITED_BYTES,
            Some(spare) => {
                let device = self.device_path.file_name().expect("a device has a name");
                let queue = Path::new("/sys/block").join(device).join("queue");
                fs::write(queue.join("max_sectors_kb"), PAGE_KIB)?;
                // Holes in what the file system needs for itself are filled first.
                let image = fs::OpenOptions::new().write(true).open(ram.join("image"))?;
                let len = image.metadata()?.len();
                rustix::fs::fallocate(&image, FallocateFlags::empty(), 0, len)
                    .map_err(io::Error::from)?;
                run("fstrim", &[text(&self.root())])?;
                let used = rustix::fs::statvfs(&ram).map_err(io::Error::from)?;
                (used.f_blocks - used.f_bfree) * used.f_frsize + spare
            }
        };
        let options = CString::new(format!("size={size}")).expect("there is no zero in it");
        let remounted = mount_remount(&ram, MountFlags::empty(), options.as_c_str());
        Ok(remounted.map_err(io::Error::from)?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Best effort: what cannot be unmounted goes with the thread's mounts.
        for folder in [self.root(), self.home.path().join("ram")] {
            unmount(&folder, UnmountFlags::DETACH).unwrap_or_default();
        }
    }
}
