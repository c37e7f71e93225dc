//! File handles: the same file, opened through another mount of its superblock.
//!
//! name_to_handle_at(2) and open_by_handle_at(2). The second needs CAP_DAC_READ_SEARCH.

#![allow(unsafe_code, reason = "nix has no binding of either call")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Opens `file` once more, without access to its content (O_PATH), through the mount of `place`, which is of the same
/// superblock and not itself O_PATH: the new descriptor's path is one below that mount.
///
/// EOPNOTSUPP: the filesystem has no handles; ESTALE: the file is not in that superblock; EPERM: no capability.
pub fn through(place: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut handle = Handle { bytes: MOST, kind: 0, handle: [0; MOST as usize] };
    let mut mount = 0;
    // SAFETY: the path is empty and ends with NUL; the kernel writes at most `bytes` bytes behind the header, which
    // `handle` has, and one int to `mount`.
    let named = unsafe {
        libc::name_to_handle_at(
            file.as_raw_fd(),
            c"".as_ptr(),
            (&raw mut handle).cast(),
            &raw mut mount,
            libc::AT_EMPTY_PATH,
        )
    };
    if named == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel reads the handle that it has just written, at most its `bytes`.
    let fd = unsafe {
        libc::open_by_handle_at(place.as_raw_fd(), (&raw mut handle).cast(), libc::O_PATH | libc::O_CLOEXEC)
    };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `struct file_handle` with the most that a filesystem may write.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    handle: [u8; MOST as usize],
}

/// MAX_HANDLE_SZ.
const MOST: u32 = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn the_same_file_is_opened_and_another_filesystem_does_not_know_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = tempfile::NamedTempFile::new_in(&directory).unwrap();
        let (place, proc) = (File::open(&directory).unwrap(), File::open("/proc").unwrap());
        match through(place.as_fd(), file.as_file().as_fd()) {
            Ok(again) => {
                let path = std::fs::read_link(format!("/proc/self/fd/{}", again.as_raw_fd())).unwrap();
                assert_eq!(path, file.path().canonicalize().unwrap());
            }
            Err(error) => assert!(matches!(error.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP))),
        }
        assert!(through(proc.as_fd(), file.as_file().as_fd()).is_err());
    }
}
