//! The priority of a thread, and its CPUs: sched_setscheduler(2), setpriority(2), sched_setaffinity(2).

#![allow(unsafe_code, reason = "calls that no binding wraps")]

use std::io;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

/// Gives the calling thread SCHED_FIFO at the lowest real-time priority; threads and processes it makes start at the
/// default again (SCHED_RESET_ON_FORK).
///
/// # Errors
/// EPERM without CAP_SYS_NICE, or in a cgroup without a real-time budget (CONFIG_RT_GROUP_SCHED).
pub fn fifo() -> io::Result<()> {
    set(libc::SCHED_FIFO, 1)
}

/// Gives the calling thread the usual class, SCHED_OTHER. What it starts is as before.
///
/// # Errors
/// None that sched_setscheduler(2) knows.
pub fn usual() -> io::Result<()> {
    set(libc::SCHED_OTHER, 0)
}

/// Lets this process come back to [`fifo`] without CAP_SYS_NICE (RLIMIT_RTPRIO).
///
/// # Errors
/// EPERM without CAP_SYS_RESOURCE, where the limit was lower.
pub fn keep_fifo() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_RTPRIO)?;
    Ok(setrlimit(Resource::RLIMIT_RTPRIO, 1, hard.max(1))?)
}

/// Gives the calling thread this nice value, and those it makes the default again.
///
/// # Errors
/// As [`nice`].
pub fn nice_alone(value: i32) -> io::Result<()> {
    // SAFETY: sched_param is plain integers; all zero is what the kernel wants for a time-sharing policy.
    let parameter: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: pid 0 is the calling thread and the pointer is to a live local that the kernel only reads.
    let result = unsafe {
        libc::sched_setscheduler(0, libc::SCHED_OTHER | libc::SCHED_RESET_ON_FORK, &raw const parameter)
    };
    if result == 0 { nice(value) } else { Err(io::Error::last_os_error()) }
}

/// Gives the calling thread this nice value (Linux: per thread).
///
/// # Errors
/// EACCES or EPERM without CAP_SYS_NICE.
pub fn nice(value: i32) -> io::Result<()> {
    // SAFETY: takes integers only; who 0 is the calling thread.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, value) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Binds the calling thread to its share of the CPUs: those whose number leaves `place` when it is divided by `threads`.
///
/// # Errors
/// EINVAL where the thread may use none of them.
pub fn bind(place: usize, threads: usize) -> io::Result<()> {
    let mut share = CpuSet::new();
    for cpu in (place..CpuSet::count()).step_by(threads.max(1)) {
        share.set(cpu)?;
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &share)?)
}

/// How many CPUs the machine can have.
#[must_use]
pub fn cpus() -> usize {
    // SAFETY: takes an integer and returns one.
    let told = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
    usize::try_from(told).unwrap_or(1).max(1)
}

/// The flag is set for either class: without CAP_SYS_NICE it can't be taken back.
fn set(class: libc::c_int, priority: libc::c_int) -> io::Result<()> {
    // SAFETY: sched_param is plain integers; all zero is a valid value of it.
    let mut parameter: libc::sched_param = unsafe { std::mem::zeroed() };
    parameter.sched_priority = priority;
    // SAFETY: pid 0 is the calling thread and the pointer is to a live local that the kernel only reads.
    let result =
        unsafe { libc::sched_setscheduler(0, class | libc::SCHED_RESET_ON_FORK, &raw const parameter) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
