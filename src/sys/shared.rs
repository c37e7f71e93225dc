//! Memory that outlives the process: a memfd mapped shared, seen as a table of atomics.

#![allow(unsafe_code, reason = "maps memory and views it as atomics")]

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// A shared table of 64-bit words. The descriptor can be handed to another process, which maps the same words.
#[derive(Debug)]
pub struct Words {
    fd: OwnedFd,
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the words are atomics in a mapping that lives as long as the value; any thread may use them.
unsafe impl Send for Words {}
// SAFETY: as above: every access through a shared reference is atomic.
unsafe impl Sync for Words {}

impl Words {
    /// A new table, all zero, closed on exec.
    ///
    /// # Errors
    /// ENOMEM, EMFILE, or a size of zero (EINVAL).
    pub fn new(words: usize) -> io::Result<Self> {
        // The memory holds numbers only; sealed against execution where the kernel knows the flag (6.3).
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let noexec = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
        let fd = memfd_create(c"shmguard-in-flight", flags | noexec)
            .or_else(|_| memfd_create(c"shmguard-in-flight", flags))?;
        let bytes = words.checked_mul(8).and_then(|bytes| i64::try_from(bytes).ok());
        nix::unistd::ftruncate(&fd, bytes.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?)?;
        Self::adopt(fd)
    }

    /// Maps a table that another process made.
    ///
    /// # Errors
    /// The descriptor cannot be mapped, or its size is not a whole number of words.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
        // Sealed against shrinking before it is mapped: a mapping past the end would be SIGBUS.
        let seals = nix::fcntl::SealFlag::F_SEAL_SHRINK | nix::fcntl::SealFlag::F_SEAL_GROW;
        nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_ADD_SEALS(seals))?;
        let bytes = usize::try_from(nix::sys::stat::fstat(&fd)?.st_size).map_err(|_| invalid())?;
        let length = NonZeroUsize::new(bytes).filter(|bytes| bytes.get() % 8 == 0).ok_or_else(invalid)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice, so no existing memory changes; the file cannot
        // shrink (sealed above), so every byte of it stays backed.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, &fd, 0) }?;
        Ok(Self { fd, start: start.cast(), words: bytes / 8 })
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page aligned, holds `words` times 8 bytes, was zeroed or written as atomics only, and
        // is unmapped only in `drop`, which needs the value that this borrow keeps.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl AsFd for Words {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `adopt` made, whole, and no borrow of it can be alive here.
        let unmapped = unsafe { munmap(self.start.cast(), self.words * 8) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn another_mapping_of_the_same_table_sees_the_same_words() {
        let table = Words::new(512).unwrap();
        let copy = Words::adopt(table.as_fd().try_clone_to_owned().unwrap()).unwrap();
        table.words()[511].store(7, Ordering::Relaxed);
        assert_eq!(copy.words()[511].load(Ordering::Relaxed), 7);
        assert_eq!(copy.words().len(), 512);
    }

    #[test]
    fn a_descriptor_that_is_not_such_a_table_is_refused() {
        let file = tempfile::tempfile().unwrap();
        assert!(Words::adopt(file.into()).is_err());
    }
}
