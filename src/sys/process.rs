//! Processes of our own: fork(2) without exec, and what a parent needs of its child.

#![allow(unsafe_code, reason = "fork has no safe binding")]

use std::io;

use nix::sys::prctl;
use nix::unistd::{ForkResult, Pid, fork as fork_raw};

/// Which side of a fork goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forked {
    /// The parent, with the child's process id.
    Parent(Pid),
    /// The child, whose only thread this is.
    Child,
}

/// Forks. Refused for a process with more than one thread: the child would have locks that nobody ever gives back.
///
/// # Errors
/// EAGAIN or ENOMEM of fork(2); EINVAL for a process with several threads; what reading /proc/self/task says.
pub fn fork() -> io::Result<Forked> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: this process has one thread (counted above, and only we could start another), so no lock is held by a
    // thread that the child does not have.
    match unsafe { fork_raw() }? {
        ForkResult::Parent { child } => Ok(Forked::Parent(child)),
        ForkResult::Child => Ok(Forked::Child),
    }
}

/// Names this process, as `ps -o comm` shows it: at most 15 bytes.
///
/// # Errors
/// The kernel refuses, which prctl(2) does not say it would.
pub fn set_name(name: &std::ffi::CStr) -> io::Result<()> {
    prctl::set_name(name).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_does_not_fork() {
        // The test harness has more than one.
        let other = std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_millis(200)));
        assert_eq!(fork().map_err(|error| error.raw_os_error()), Err(Some(libc::EINVAL)));
        other.join().unwrap();
    }
}
