//! Whether the running kernel has a system call or a flag of one, asked with arguments that can do nothing.
//!
//! For those that the guard itself never makes. Called by the survey of the host.

#![allow(
    unsafe_code,
    reason = "calls that no binding wraps, or that a binding would not make with such arguments"
)]

use std::io;

/// Whether a filesystem can be made that is mounted nowhere: fsopen(2), Linux 5.2.
#[must_use]
pub fn has_detached_mounts() -> bool {
    // SAFETY: the name is a null pointer, which the kernel refuses to read (EFAULT), and before that whom it does not
    // permit (EPERM); nothing is opened.
    let result = unsafe { libc::syscall(libc::SYS_fsopen, std::ptr::null::<libc::c_char>(), 0_u32) };
    result >= 0 || !is(libc::ENOSYS)
}

/// Whether a program can ask if it might execute a file: AT_EXECVE_CHECK of execveat(2), Linux 6.14.
#[must_use]
pub fn has_exec_check() -> bool {
    let empty = c"".as_ptr();
    let nothing = std::ptr::null::<*const libc::c_char>();
    let flags = libc::AT_EMPTY_PATH | AT_EXECVE_CHECK;
    // SAFETY: the path is a static text and the vectors are null, which execveat(2) permits. No descriptor has the number
    // -1, so nothing can be executed, and with this flag nothing would be.
    let result = unsafe { libc::syscall(libc::SYS_execveat, -1, empty, nothing, nothing, flags) };
    // A flag that the kernel does not know is EINVAL, before it looks at the descriptor (EBADF).
    result == 0 || !is(libc::EINVAL) && !is(libc::ENOSYS)
}

/// What the call before this one in the same thread failed with.
fn is(errno: libc::c_int) -> bool {
    io::Error::last_os_error().raw_os_error() == Some(errno)
}

/// linux/fcntl.h.
const AT_EXECVE_CHECK: libc::c_int = 0x10000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kernel_of_today_has_is_found() {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        let version: (u32, u32) = (numbers.next().unwrap(), numbers.next().unwrap());
        // Vendors take features into older kernels, so only what must be there is asked.
        assert!(has_detached_mounts() || version < (5, 2));
        assert!(has_exec_check() || version < (6, 14));
    }
}
