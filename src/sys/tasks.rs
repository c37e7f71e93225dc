//! Questions about a task that have a system call of their own, cheaper than a file of /proc; and what a single thread
//! can do to itself, where libc does it to all.

#![allow(
    unsafe_code,
    reason = "capget(2) and kcmp(2) have no binding in libc or nix, setresuid(2) only one for all threads"
)]

use std::io;

/// The capability sets of one thread, as capget(2) tells them: bit n is capability n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySets {
    /// CapEff.
    pub effective: u64,
    /// CapPrm.
    pub permitted: u64,
    /// CapInh.
    pub inheritable: u64,
}

/// The capability sets of exactly the thread `tid`. ESRCH: it has ended.
pub fn capabilities(tid: i32) -> io::Result<CapabilitySets> {
    let mut header = Header { version: VERSION_3, pid: tid };
    let mut data = [[0_u32; 3]; 2];
    // SAFETY: version 3 writes two elements of three u32, which `data` has, and may write the version into `header`.
    let done = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, &raw mut data) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    let [low, high] = data;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let ([el, pl, il], [eh, ph, ih]) = (low, high);
    Ok(CapabilitySets { effective: join(el, eh), permitted: join(pl, ph), inheritable: join(il, ih) })
}

/// Whether two tasks share their memory. ESRCH: one has ended; EPERM: we may not look; ENOSYS: built without kcmp(2).
pub fn share_memory(a: i32, b: i32) -> io::Result<bool> {
    // SAFETY: kcmp takes integers only and touches no memory of ours.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, a, b, KCMP_VM, 0_usize, 0_usize) };
    if order < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(order == 0)
}

/// Makes the calling thread, and no other of its process, run as this user.
pub fn become_alone(uid: u32) -> io::Result<()> {
    // SAFETY: setresuid takes integers only and touches no memory of ours.
    let done = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

const VERSION_3: u32 = 0x2008_0522;
const KCMP_VM: libc::c_int = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_sets_are_those_of_proc() {
        let tid = nix::unistd::gettid().as_raw();
        let sets = capabilities(tid).unwrap();
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        for (name, value) in
            [("CapEff", sets.effective), ("CapPrm", sets.permitted), ("CapInh", sets.inheritable)]
        {
            let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:\t"))).unwrap();
            assert_eq!(u64::from_str_radix(line, 16).unwrap(), value, "{name}");
        }
    }

    #[test]
    fn two_threads_of_one_process_share_memory_and_init_does_not() {
        let tid = nix::unistd::gettid().as_raw();
        match share_memory(tid, nix::unistd::getpid().as_raw()) {
            Ok(shared) => assert!(shared),
            Err(error) => assert!(matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))),
        }
        if let Ok(shared) = share_memory(tid, 1) {
            assert!(!shared);
        }
    }
}
