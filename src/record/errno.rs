//! An I/O error's number, as counters and notices give it.

use nix::errno::Errno;

/// An error's number; EIO for one that has none.
pub(super) fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
