//! Reading links without asking the allocator.

#![allow(unsafe_code, reason = "nix's readlinkat allocates for each call")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Reads the link `path` below `directory` into `buffer` and returns how many bytes it has. A link that fills the
/// buffer may have been cut. ENAMETOOLONG: a link of /proc whose text is longer than 4095 bytes.
pub fn read_link(directory: BorrowedFd<'_>, path: &CStr, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `path` is NUL-terminated, and the kernel writes at most `buffer.len()` bytes into `buffer`; both are
    // borrowed for the call.
    let length = unsafe {
        libc::readlinkat(directory.as_raw_fd(), path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len())
    };
    // Negative is the only value that does not fit.
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}
