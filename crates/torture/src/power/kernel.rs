//! The two calls that no safe wrapper has: mounts of one's own, and the power cut.
//!
//! Mounts belong to a namespace, and this one to a thread and the children it starts: when they are
//! gone, however they went, the kernel unmounts what they had mounted and frees its loop devices. So
//! a run that is killed leaves nothing behind.
#![allow(unsafe_code, reason = "rustix has a safe wrapper for neither call")]

use std::fs::File;
use std::io;

use rustix::ioctl::{Setter, ioctl, opcode};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// `XFS_IOC_GOINGDOWN`, which ext4 knows as `EXT4_IOC_SHUTDOWN`.
const SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);
/// Do not write the file system's own log first: what was not synced is gone.
const NO_LOG_FLUSH: u32 = 2;

/// From here on, what the calling thread and its children mount is seen by nobody else.
pub(super) fn take_own_mounts() -> io::Result<()> {
    // SAFETY: a thread that shares its open files with others must not unshare those; only the
    // mounts are unshared here, and with them the thread's working folder, which nobody changes.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    Ok(mount_change("/", flags)?)
}

/// Cuts the power of the file system that `folder` lies on: every later access fails with EIO, and
/// what was not synced is gone.
pub(super) fn cut_power(folder: &File) -> io::Result<()> {
    // SAFETY: the call takes a pointer to a `u32`, which is what is passed.
    let request = unsafe { Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH) };
    // SAFETY: as above; a file system that does not know the call refuses it.
    Ok(unsafe { ioctl(folder, request) }?)
}
