//! statx(2) of an open descriptor, with the id of the mount it was opened through.

#![allow(unsafe_code, reason = "nix has no binding of statx(2)")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What statx(2) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Device numbers as the filesystem reports them: overlay and btrfs report others than their superblock's.
    pub device: (u32, u32),
    /// Inode number.
    pub inode: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// Owner, through the mount's id mapping.
    pub uid: u32,
    /// Group, through the mount's id mapping.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Number of names.
    pub links: u32,
    /// Last change of content: seconds, nanoseconds.
    pub modified: (i64, u32),
    /// Last change of the inode: seconds, nanoseconds.
    pub changed: (i64, u32),
    /// The mount.
    pub mount: MountId,
}

/// The id of a mount. While a descriptor of the mount is open, neither kind can come to name another mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountId {
    /// Never given twice since boot (Linux 6.8).
    Unique(u64),
    /// As in mountinfo, given anew after an unmount (Linux 5.8).
    Recycled(u64),
    /// This kernel does not say.
    Unsaid,
}

/// Which id of the mount is wanted. A kernel that does not have it answers what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// [`MountId::Unique`].
    Unique,
    /// [`MountId::Recycled`].
    Recycled,
    /// None.
    Nothing,
}

/// The facts of an open descriptor, from what the kernel has in memory: a network or FUSE server is not asked.
pub fn of(file: BorrowedFd<'_>, want: Want) -> io::Result<Stat> {
    at(file, c"", libc::AT_EMPTY_PATH, want)
}

/// The facts of `path` below `directory`; a link at its end is itself the answer.
pub fn below(directory: BorrowedFd<'_>, path: &CStr) -> io::Result<Stat> {
    at(directory, path, libc::AT_SYMLINK_NOFOLLOW, Want::Nothing)
}

fn at(directory: BorrowedFd<'_>, path: &CStr, flags: libc::c_int, want: Want) -> io::Result<Stat> {
    let mut raw = std::mem::MaybeUninit::<libc::statx>::zeroed();
    let flags = flags | libc::AT_STATX_DONT_SYNC | libc::AT_NO_AUTOMOUNT;
    let mask = libc::STATX_BASIC_STATS
        | match want {
            Want::Unique => libc::STATX_MNT_ID | libc::STATX_MNT_ID_UNIQUE,
            Want::Recycled => libc::STATX_MNT_ID,
            Want::Nothing => 0,
        };
    // SAFETY: `path` is NUL-terminated and `raw` is a whole `struct statx`, both live over the call, and the kernel
    // keeps neither.
    let done = unsafe { libc::statx(directory.as_raw_fd(), path.as_ptr(), flags, mask, raw.as_mut_ptr()) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: every byte was zeroed before the call and all fields are integers, so any content is a value.
    let raw = unsafe { raw.assume_init() };
    Ok(Stat {
        device: (raw.stx_dev_major, raw.stx_dev_minor),
        inode: raw.stx_ino,
        mode: u32::from(raw.stx_mode),
        uid: raw.stx_uid,
        gid: raw.stx_gid,
        size: raw.stx_size,
        links: raw.stx_nlink,
        modified: (raw.stx_mtime.tv_sec, raw.stx_mtime.tv_nsec),
        changed: (raw.stx_ctime.tv_sec, raw.stx_ctime.tv_nsec),
        // Not every kernel keeps to what was asked: tmpfs tells the mount's id unasked.
        mount: if want == Want::Nothing {
            MountId::Unsaid
        } else if raw.stx_mask & libc::STATX_MNT_ID_UNIQUE != 0 {
            MountId::Unique(raw.stx_mnt_id)
        } else if raw.stx_mask & libc::STATX_MNT_ID != 0 {
            MountId::Recycled(raw.stx_mnt_id)
        } else {
            MountId::Unsaid
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_facts_are_those_of_the_standard_library() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(77).unwrap();
        let stat = of(file.as_fd(), Want::Unique).unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!((stat.inode, stat.size, stat.links), (metadata.ino(), 77, 0));
        assert_eq!((stat.mode, stat.uid, stat.gid), (metadata.mode(), metadata.uid(), metadata.gid()));
        assert_eq!(stat.modified.0, metadata.mtime());
        assert_eq!(libc::makedev(stat.device.0, stat.device.1), metadata.dev());
    }
}
