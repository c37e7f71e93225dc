//! Descriptors that a process begins with.

#![allow(unsafe_code, reason = "takes ownership of a number that another process chose")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, fcntl};

/// Takes ownership of a descriptor that was handed over at the start of this process.
///
/// # Errors
/// EBADF where there is none with this number, or it is one of the standard streams.
pub fn own(number: RawFd) -> io::Result<OwnedFd> {
    if number <= libc::STDERR_FILENO {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the number was handed over by the service manager for us to own, nothing of this program opened it, and the
    // caller asks for each number once; that it is open is checked below before it is used.
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    match fcntl(&owned, FcntlArg::F_GETFD) {
        Ok(_) => Ok(owned),
        Err(errno) => {
            // Not ours to close: it is not open.
            std::mem::forget(owned);
            Err(errno.into())
        }
    }
}
