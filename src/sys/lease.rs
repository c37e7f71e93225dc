//! Leases on open files, fcntl(2).

#![allow(unsafe_code, reason = "nix has no binding of F_SETLEASE and F_GETLEASE")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Takes a read lease: whoever wants to open the file for writing, or to truncate it, waits until the last copy of `file`
/// is closed, or for /proc/sys/fs/lease-break-time (45 s); the kernel then sends SIGIO to this process. Does not block.
///
/// EAGAIN: somebody has the file open, or mapped, for writing; EACCES: the file is another user's, and CAP_LEASE is
/// missing; EINVAL: the filesystem has no leases, or the descriptor is not for reading alone.
pub fn take(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the argument of F_SETLEASE is a number; no memory is passed.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether the lease is there, and nobody waits for its end.
pub fn is_held(file: BorrowedFd<'_>) -> bool {
    // SAFETY: F_GETLEASE has no argument.
    let lease = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE) };
    lease == libc::F_RDLCK
}
