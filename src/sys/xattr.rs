//! Extended attributes of files.

#![allow(unsafe_code, reason = "nix has no binding of getxattr(2)")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Reads the attribute `name` into `buffer` and returns its length. ENODATA: the file has none of that name;
/// EOPNOTSUPP: the filesystem has no attributes; ERANGE: it is longer than `buffer`; EBADF: an O_PATH descriptor.
pub fn read(file: BorrowedFd<'_>, name: &CStr, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `name` is NUL-terminated, and the kernel writes at most `buffer.len()` bytes into `buffer`; both are
    // borrowed for the call.
    let length =
        unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
    // Negative is the only value that does not fit.
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}

/// The same of what stands at `path`, following links; so it reaches, by its name in /proc/self/fd, what an O_PATH
/// descriptor leads to.
pub fn at(path: &CStr, name: &CStr, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: both texts are NUL-terminated, and the kernel writes at most `buffer.len()` bytes into `buffer`; all are
    // borrowed for the call.
    let length =
        unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
    // Negative is the only value that does not fit.
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}
