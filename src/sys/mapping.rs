//! One page of a file, mapped without access: only so that the kernel lists the file in /proc/self/maps.
//!
//! That list is the one place where Linux tells a path of more than 4095 bytes.

#![allow(unsafe_code, reason = "mmap(2)")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The mapping; dropped, it is gone.
#[derive(Debug)]
pub struct Mapping {
    address: *mut libc::c_void,
}

/// The kernel rounds it up to its own page size, here as in munmap.
const LENGTH: usize = 1;

impl Mapping {
    /// Maps the first page of `file`, which must be open for reading. Nothing is read from it.
    pub fn of(file: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: without MAP_FIXED the kernel picks free addresses, so no memory of ours is replaced; with
        // PROT_NONE nobody can read or write through the result.
        let address = unsafe {
            libc::mmap(std::ptr::null_mut(), LENGTH, libc::PROT_NONE, libc::MAP_PRIVATE, file.as_raw_fd(), 0)
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { address })
    }

    /// Where it begins, as /proc/self/maps writes it in hexadecimal.
    #[must_use]
    pub fn address(&self) -> usize {
        self.address.addr()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `address` is what mmap gave for this length, and nothing else refers to it.
        let done = unsafe { libc::munmap(self.address, LENGTH) };
        debug_assert_eq!(done, 0, "munmap of our own mapping");
    }
}
