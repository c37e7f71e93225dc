//! The system calls that the guard makes once it has started: everything else fails, and some of the rest kills.
//!
//! Three seccomp(2) filters. All threads: calls that turn a taken-over guard into somebody else's tool kill the process;
//! what is not on the list of calls that the guard makes fails with EPERM. The threads that look at foreign processes and
//! files (reader, evidence) lose the calls that only the marking of mounts needs as well. The kernel takes the strictest
//! of all filters.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use super::PrivilegeError;

/// For the whole guard: called by the main thread before it starts any thread but the reader's, which calls it itself.
///
/// # Errors
/// The kernel has no seccomp filters, or refuses this one.
pub fn confine_guard() -> Result<(), PrivilegeError> {
    apply(DEADLY, Deadly::Arguments, SeccompAction::KillProcess, SeccompAction::Allow)?;
    apply(USED, Deadly::None, SeccompAction::Allow, SeccompAction::Errno(EPERM))
}

/// For a thread that answers: it has no business with mounts.
///
/// # Errors
/// As [`confine_guard`].
pub fn confine_answering() -> Result<(), PrivilegeError> {
    apply(MARKING, Deadly::None, SeccompAction::Errno(EPERM), SeccompAction::Allow)
}

const EPERM: u32 = libc::EPERM.cast_unsigned();

/// What needs a look at its arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deadly {
    /// Nothing.
    None,
    /// A socket that is neither local nor the kernel's, a new process, and a file by its handle for more than its path.
    Arguments,
}

/// Nothing of this does the guard ever do.
const DEADLY: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    libc::SYS_ptrace,
    libc::SYS_process_vm_writev,
    libc::SYS_bpf,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_add_key,
    libc::SYS_keyctl,
];

/// What only the marking of mounts needs: see `sys::mounts`.
const MARKING: &[libc::c_long] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bind,
    libc::SYS_listen,
];

/// What the guard does.
const USED: &[libc::c_long] = &[
    // Events and marks.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fanotify_mark,
    libc::SYS_fanotify_init,
    libc::SYS_ppoll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_fchdir,
    libc::SYS_chdir,
    // Who and what.
    libc::SYS_statx,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_statfs,
    libc::SYS_readlinkat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    libc::SYS_pidfd_open,
    libc::SYS_ioctl,
    libc::SYS_process_vm_readv,
    libc::SYS_kcmp,
    libc::SYS_fgetxattr,
    libc::SYS_getxattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_pread64,
    libc::SYS_readv,
    libc::SYS_getdents64,
    STATMOUNT,
    LISTMOUNT,
    // Files: the log, the configuration.
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_lseek,
    libc::SYS_pwrite64,
    libc::SYS_ftruncate,
    libc::SYS_fdatasync,
    libc::SYS_fsync,
    libc::SYS_flock,
    libc::SYS_fcntl,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_umask,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    // Sockets: control, syslog, journal, service manager.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_connect,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_shutdown,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_memfd_create,
    // Memory, threads, time, signals.
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getcwd,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_tgkill,
    libc::SYS_prctl,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_seccomp,
    libc::SYS_prlimit64,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setscheduler,
    libc::SYS_setpriority,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_uname,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
];

/// statmount(2) and listmount(2), Linux 6.8: the same number on every architecture; older C libraries do not name them.
const STATMOUNT: libc::c_long = 457;
const LISTMOUNT: libc::c_long = 458;

fn apply(
    calls: &[libc::c_long],
    deadly: Deadly,
    listed: SeccompAction,
    others: SeccompAction,
) -> Result<(), PrivilegeError> {
    let failed = |error: &dyn std::fmt::Display| PrivilegeError::Filter(error.to_string());
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = calls.iter().map(|call| (*call, Vec::new())).collect();
    if deadly == Deadly::Arguments {
        let foreign = foreign_socket().map_err(|error| failed(&error))?;
        rules.insert(libc::SYS_socket, vec![foreign]);
        rules.insert(libc::SYS_clone, vec![new_process().map_err(|error| failed(&error))?]);
        rules.insert(libc::SYS_open_by_handle_at, vec![by_handle().map_err(|error| failed(&error))?]);
    }
    let arch =
        std::env::consts::ARCH.try_into().map_err(|error: seccompiler::BackendError| failed(&error))?;
    let filter = SeccompFilter::new(rules, others, listed, arch).map_err(|error| failed(&error))?;
    let program: BpfProgram = filter.try_into().map_err(|error: seccompiler::BackendError| failed(&error))?;
    apply_filter(&program).map_err(|error| failed(&error))
}

/// socket(2) of any family but AF_UNIX and AF_NETLINK.
fn foreign_socket() -> Result<SeccompRule, seccompiler::BackendError> {
    let not = |family: i32| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(family.cast_unsigned()))
    };
    SeccompRule::new(vec![not(libc::AF_UNIX)?, not(libc::AF_NETLINK)?])
}

/// open_by_handle_at(2) with other flags than those for a path without access.
fn by_handle() -> Result<SeccompRule, seccompiler::BackendError> {
    let path = u64::from((libc::O_PATH | libc::O_CLOEXEC).cast_unsigned());
    SeccompRule::new(vec![SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, path)?])
}

/// clone(2) without CLONE_THREAD. The arguments of clone3(2) lie in memory, where no filter can look; what it makes is
/// still under this filter, and can execute nothing.
fn new_process() -> Result<SeccompRule, seccompiler::BackendError> {
    let thread = u64::from(libc::CLONE_THREAD.cast_unsigned());
    let without = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), 0)?;
    SeccompRule::new(vec![without])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_both_used_and_deadly() {
        let both: Vec<_> = USED.iter().filter(|call| DEADLY.contains(call)).collect();
        assert!(both.is_empty(), "{both:?}");
    }

    #[test]
    fn a_confined_thread_still_works_and_is_refused_what_it_does_not_need() {
        // In a thread of its own, without the killing filter: a filter can't be taken off again.
        let thread = std::thread::spawn(|| {
            nix::sys::prctl::set_no_new_privs().unwrap();
            apply(USED, Deadly::None, SeccompAction::Allow, SeccompAction::Errno(EPERM)).unwrap();
            confine_answering().unwrap();
            let read = std::fs::read("/proc/self/status").is_ok();
            let mount = nix::mount::umount("/nonexistent").unwrap_err();
            let group = nix::unistd::setpgid(nix::unistd::Pid::from_raw(0), nix::unistd::Pid::from_raw(0));
            (read, mount, group)
        });
        let refused = nix::Error::EPERM;
        assert_eq!(thread.join().unwrap(), (true, refused, Err(refused)));
    }
}
