//! Process descriptors of single threads, and what the kernel says through them.
//!
//! `PIDFD_THREAD` (Linux 6.9) makes a descriptor of one thread, `PIDFD_GET_INFO` (6.13) tells its ids and
//! credentials in one call. Who runs on an older kernel gets EINVAL or ENOTTY and asks /proc instead.

#![allow(unsafe_code, reason = "pidfd_open(2) and its ioctl have no binding in libc or nix")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What `PIDFD_GET_INFO` says of one thread, ids seen from our own namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// The thread.
    pub pid: i32,
    /// Its process.
    pub tgid: i32,
    /// Its parent process; 0 where that is outside our pid namespace.
    pub ppid: i32,
    /// Real, effective, saved and filesystem user id.
    pub uids: [u32; 4],
    /// Real, effective, saved and filesystem group id.
    pub gids: [u32; 4],
}

/// A descriptor of exactly this thread, close-on-exec. ESRCH: there is no such thread; EINVAL: this kernel makes
/// descriptors of whole processes only.
pub fn open_thread(tid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, tid, PIDFD_THREAD) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The ids and credentials of the thread behind `pidfd`.
///
/// ESRCH: it has ended (some kernels: or its parent is outside our pid namespace); ENOTTY or EINVAL: this kernel
/// does not have the call. ENODATA: it does, and left out a part that we need.
pub fn info(pidfd: BorrowedFd<'_>) -> io::Result<Info> {
    let mut raw = RawInfo { mask: INFO_PID | INFO_CREDS, ..RawInfo::default() };
    // SAFETY: the request number carries the structure's size, so the kernel writes at most these 64 bytes,
    // which `raw` owns and which may hold any bit pattern.
    let done = unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO, &raw mut raw) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    if raw.mask & (INFO_PID | INFO_CREDS) != INFO_PID | INFO_CREDS {
        return Err(io::Error::from_raw_os_error(libc::ENODATA));
    }
    let id = |id: u32| i32::try_from(id).map_err(io::Error::other);
    Ok(Info {
        pid: id(raw.pid)?,
        tgid: id(raw.tgid)?,
        ppid: id(raw.ppid)?,
        uids: [raw.ruid, raw.euid, raw.suid, raw.fsuid],
        gids: [raw.rgid, raw.egid, raw.sgid, raw.fsgid],
    })
}

/// `struct pidfd_info`, first published size; the kernel fills as much as the request's size says.
#[repr(C)]
#[derive(Default)]
struct RawInfo {
    mask: u64,
    cgroupid: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ruid: u32,
    rgid: u32,
    euid: u32,
    egid: u32,
    suid: u32,
    sgid: u32,
    fsuid: u32,
    fsgid: u32,
    exit_code: i32,
}

const _: () = assert!(size_of::<RawInfo>() == 64);

/// O_EXCL, by definition of the kernel.
const PIDFD_THREAD: libc::c_int = libc::O_EXCL;
const INFO_PID: u64 = 1;
const INFO_CREDS: u64 = 1 << 1;
const GET_INFO: libc::Ioctl = libc::_IOWR::<RawInfo>(0xFF, 11);

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn the_request_number_is_the_kernels() {
        assert_eq!(GET_INFO & 0xFFFF_FFFF, 0xC040_FF0B);
    }

    #[test]
    fn a_thread_that_does_not_exist_is_esrch_and_ours_is_ours() {
        // The kernel's largest pid is below 2^22.
        let error = open_thread(1 << 23).unwrap_err().raw_os_error();
        assert!(matches!(error, Some(libc::ESRCH | libc::EINVAL)), "{error:?}");
        let tid = nix::unistd::gettid().as_raw();
        let Ok(pidfd) = open_thread(tid) else { return };
        match info(pidfd.as_fd()) {
            Ok(info) => {
                assert_eq!(info.pid, tid);
                assert_eq!(info.tgid, nix::unistd::getpid().as_raw());
                assert_eq!(info.ppid, nix::unistd::getppid().as_raw());
                assert_eq!(info.uids[0], nix::unistd::getuid().as_raw());
                assert_eq!(info.gids[1], nix::unistd::getegid().as_raw());
            }
            Err(error) => assert!(matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL))),
        }
    }
}
