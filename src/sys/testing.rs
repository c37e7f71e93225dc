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

/// execve(2) by the calling thread with these addresses of argv and envp; comes back with the kernel's refusal.
///
/// # Panics
/// Does not: a success would replace the test, so the file must be one that is denied or that no kernel can run.
pub(crate) fn execve(path: &CStr, arguments: usize, environment: usize) -> io::Error {
    // SAFETY: `path` is NUL-terminated; the kernel checks every address that it reads through the other two.
    unsafe { libc::syscall(libc::SYS_execve, path.as_ptr(), arguments, environment) };
    io::Error::last_os_error()
}

/// execveat(2) of the open `file` itself.
pub(crate) fn execveat(file: BorrowedFd<'_>, arguments: usize) -> io::Error {
    let fd = file.as_raw_fd();
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_execveat, fd, c"".as_ptr(), arguments, 0_usize, libc::AT_EMPTY_PATH) };
    io::Error::last_os_error()
}

/// Memory of which every address has 32 bits, for calls of 32-bit programs.
pub(crate) struct LowPage {
    address: *mut libc::c_void,
}

impl LowPage {
    /// One page.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn new() -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: without MAP_FIXED no memory of ours is replaced.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), 4096, access, flags, -1, 0) };
        assert_ne!(address, libc::MAP_FAILED);
        Self { address }
    }

    /// Writes `bytes` at `offset` and returns their address.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) -> u32 {
        assert!(offset + bytes.len() <= 4096);
        // SAFETY: the page is ours, and the offset and the length lie in it.
        let place = unsafe { self.address.cast::<u8>().add(offset) };
        // SAFETY: as above, and `bytes` lies elsewhere: nobody has a reference into the page.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
        u32::try_from(place.addr()).unwrap()
    }
}

/// execve(2) as a 32-bit program calls it, with 32-bit addresses.
#[cfg(target_arch = "x86_64")]
pub(crate) fn execve_32(path: u32, arguments: u32, environment: u32) -> i32 {
    let result: u64;
    // SAFETY: the call takes eax, ebx, ecx and edx and changes eax alone; rbx, which Rust keeps for itself, is put back.
    // The kernel checks every address.
    unsafe {
        std::arch::asm!(
            "xchg {path}, rbx",
            "int 0x80",
            "xchg {path}, rbx",
            path = inout(reg) u64::from(path) => _,
            inout("rax") 11_u64 => result,
            in("rcx") u64::from(arguments),
            in("rdx") u64::from(environment),
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    i32::from_ne_bytes(result.to_ne_bytes()[..4].try_into().unwrap())
}

/// A page that nobody fills: whoever reads it waits until this is dropped (userfaultfd(2)).
pub(crate) struct Bottomless {
    /// Where it is.
    pub(crate) address: usize,
    _descriptor: OwnedFd,
}

impl Bottomless {
    /// Needs root. The page stays mapped when the descriptor is gone, so that no reader is left without memory.
    pub(crate) fn new() -> io::Result<Self> {
        #[repr(C)]
        struct Api(u64, u64, u64);
        #[repr(C)]
        struct Register(u64, u64, u64, u64);
        // SAFETY: integers only.
        let fd = done(unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) })?;
        // SAFETY: the kernel has just made this descriptor for us and nobody else knows its number.
        let fd = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: without MAP_FIXED no memory of ours is replaced.
        let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, flags, -1, 0) };
        let address = page.addr();
        let mut api = Api(0xAA, 0, 0);
        let request = libc::_IOWR::<Api>(0xAA, 0x3F);
        // SAFETY: the request's size is that of `api`.
        done(unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut api) }.into())?;
        let mut register = Register(u64::try_from(address).map_err(io::Error::other)?, 4096, 1, 0);
        let request = libc::_IOWR::<Register>(0xAA, 0x00);
        // SAFETY: the request's size is that of `register`; the range is the page that was just mapped.
        done(unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut register) }.into())?;
        Ok(Self { address, _descriptor: fd })
    }
}
