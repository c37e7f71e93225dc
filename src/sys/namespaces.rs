//! The numbers of namespaces.

#![allow(unsafe_code, reason = "the ioctls of namespace files have no binding in libc or nix")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The id of the mount namespace behind `file` (an open /proc/PID/ns/mnt): never given twice since boot (Linux 6.11).
/// ENOTTY on an older kernel.
pub fn mount_namespace_id(file: BorrowedFd<'_>) -> io::Result<u64> {
    let mut id = 0_u64;
    // SAFETY: the request writes one u64, which `id` is.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), GET_MNTNS_ID, &raw mut id) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(id)
}

/// `NS_GET_MNTNS_ID`.
const GET_MNTNS_ID: libc::Ioctl = libc::_IOR::<u64>(0xB7, 5);
