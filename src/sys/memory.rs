//! Reading another process's memory.
//!
//! Such a read can block for as long as the other side likes: its pages may be FUSE's or userfaultfd's. Never
//! called by a thread that owes an answer.

use std::io::{self, IoSliceMut};

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

/// Reads from `address` of the process `pid` into `buffer`; returns how many bytes were there. What lies behind an
/// unreadable page is left out; EFAULT: nothing could be read. EPERM: we may not; ESRCH: it has ended.
pub fn read(pid: i32, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let base = usize::try_from(address).map_err(|_| io::Error::from_raw_os_error(libc::EFAULT))?;
    let remote = [RemoteIoVec { base, len: buffer.len() }];
    Ok(process_vm_readv(Pid::from_raw(pid), &mut [IoSliceMut::new(buffer)], &remote)?)
}
