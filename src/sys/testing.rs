//! What tests need of the kernel and the product never does: changing one thread's identity and its mounts.

#![allow(unsafe_code, reason = "glibc's setresuid changes all threads; the mount calls have no binding")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

fn done(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Sets the real, effective and saved user of the calling thread alone.
pub(crate) fn set_thread_uids(real: u32, effective: u32, saved: u32) -> io::Result<()> {
    // SAFETY: integers only. The other threads keep their identity, which is the point; the thread ends with the test.
    done(unsafe { libc::syscall(libc::SYS_setresuid, real, effective, saved) }).map(|_| ())
}

/// Sets the real, effective and saved group of the calling thread alone.
pub(crate) fn set_thread_gids(real: u32, effective: u32, saved: u32) -> io::Result<()> {
    // SAFETY: as above.
    done(unsafe { libc::syscall(libc::SYS_setresgid, real, effective, saved) }).map(|_| ())
}

/// Sets the filesystem user of the calling thread alone.
pub(crate) fn set_thread_fsuid(user: u32) {
    // SAFETY: as above; it has no failure.
    unsafe { libc::syscall(libc::SYS_setfsuid, user) };
}

/// prctl(2) of the calling thread.
pub(crate) fn prctl(option: i32, two: u64, three: u64) -> io::Result<()> {
    // SAFETY: the tests use options that take integers only.
    done(unsafe { libc::syscall(libc::SYS_prctl, option, two, three, 0_u64, 0_u64) }).map(|_| ())
}

/// Sets the low 32 capabilities of the calling thread: effective, permitted, inheritable.
pub(crate) fn set_capabilities(effective: u32, permitted: u32, inheritable: u32) -> io::Result<()> {
    let header: [u32; 2] = [0x2008_0522, 0];
    let data: [u32; 6] = [effective, permitted, inheritable, 0, 0, 0];
    // SAFETY: version 3 reads two words and six words, which these are.
    done(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) }).map(|_| ())
}

/// Sets an extended attribute.
pub(crate) fn set_xattr(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> io::Result<()> {
    // SAFETY: `name` is NUL-terminated and `value` is as long as said; the kernel only reads them.
    let set =
        unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    done(set.into()).map(|_| ())
}

/// A detached copy of the mount at `path` (open_tree(2) with OPEN_TREE_CLONE).
pub(crate) fn detached_copy(path: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::O_CLOEXEC | 1;
    // SAFETY: `path` is NUL-terminated and only read.
    let fd = done(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
