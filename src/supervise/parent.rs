//! The parent of `run --supervise`: forks the worker, watches it, and starts the next one when it dies.
//!
//! The parent holds the group's descriptor, so that an exec that waits when a worker dies goes on waiting, and the next
//! worker finds it. It never reads an event, never answers one, and never executes a program: it forks. Owns the
//! worker's life; what a worker does is the caller's function, and whether it is stuck the caller says.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::sys::process::{Forked, fork};

/// What happened to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It ended by itself with this status.
    Exited(u8),
    /// A signal ended it.
    Killed(Signal),
    /// It did not move, and we killed it.
    Stuck,
}

/// How the parent's work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In the worker: go on as one. It is the first, or the next after another that ended so.
    Worker(Option<End>),
    /// In the parent: the worker ended in order, or refused to start; end with its status.
    Ended(u8),
}

/// What the parent knows of the worker's work without taking part in it.
pub trait Watched {
    /// Events wait and nobody answers them. Asked every half second.
    fn is_stuck(&mut self) -> bool;
    /// Some worker has ever stood. One that never did is not started again: it would fail again.
    fn has_stood(&self) -> bool;
    /// This user's process sent us a signal, which the worker gets next.
    fn relays(&mut self, sender: u32, user: u32);
    /// A worker died; the next one follows.
    fn died(&mut self, end: End);
}

/// How often a worker is looked at.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// The status where the first worker was killed before it stood: EX_SOFTWARE.
const NEVER_STOOD: u8 = 70;

/// A worker that was killed and is not gone after this time is looked at more closely.
const LET_GO: Duration = Duration::from_millis(300);

/// A worker that lives this long has started well.
const SETTLED: Duration = Duration::from_secs(10);

/// The longest pause before a new worker: callers wait that long.
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// Forks workers until one ends in order. Returns in each worker, and at last in the parent.
///
/// # Errors
/// No worker can be started at all.
pub fn supervise(work: &mut impl Watched) -> io::Result<Outcome> {
    let signals = watched();
    // Blocked in the parent only; a worker puts it back.
    let before = SigSet::thread_get_mask()?;
    signals.thread_block()?;
    let mut inbox = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let mut last = None;
    let mut pause = Duration::ZERO;
    let mut lingering = Vec::new();
    loop {
        let begun = Instant::now();
        let worker = match fork()? {
            Forked::Child => {
                before.thread_set_mask()?;
                return Ok(Outcome::Worker(last));
            }
            Forked::Parent(worker) => worker,
        };
        let end = watch(worker, &mut inbox, work, &mut lingering)?;
        match end {
            End::Exited(0) => return Ok(Outcome::Ended(0)),
            End::Exited(status) if !work.has_stood() => return Ok(Outcome::Ended(status)),
            End::Killed(_) | End::Stuck if !work.has_stood() => return Ok(Outcome::Ended(NEVER_STOOD)),
            End::Exited(_) | End::Killed(_) | End::Stuck => {}
        }
        work.died(end);
        last = Some(end);
        pause = if begun.elapsed() > SETTLED { Duration::ZERO } else { next_pause(pause) };
        std::thread::sleep(pause);
    }
}

/// Waits for the end of a worker; hands our signals on to it. `lingering` are workers that have ended for us and not for
/// the kernel.
fn watch(
    worker: Pid,
    inbox: &mut SignalFd,
    work: &mut impl Watched,
    lingering: &mut Vec<Pid>,
) -> io::Result<End> {
    let mut killed = false;
    let mut dying: Option<Instant> = None;
    loop {
        let mut fds = [PollFd::new(inbox.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(HEARTBEAT).unwrap_or(PollTimeout::NONE);
        let woken = match poll(&mut fds, timeout) {
            Ok(ready) => ready > 0,
            Err(Errno::EINTR) => true,
            Err(errno) => return Err(errno.into()),
        };
        while let Some(signal) = inbox.read_signal()? {
            hand_on(&signal, worker, work);
        }
        match waitpid(worker, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::Exited(_, _) | WaitStatus::Signaled(..) if killed => return Ok(End::Stuck),
            WaitStatus::Exited(_, status) => return Ok(End::Exited(u8::try_from(status).unwrap_or(u8::MAX))),
            WaitStatus::Signaled(_, signal, _) => return Ok(End::Killed(signal)),
            WaitStatus::Stopped(..)
            | WaitStatus::PtraceEvent(..)
            | WaitStatus::PtraceSyscall(_)
            | WaitStatus::Continued(_)
            | WaitStatus::StillAlive => {}
        }
        lingering
            .retain(|past| matches!(waitpid(*past, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive)));
        if !woken && !killed && work.is_stuck() {
            // SIGKILL also ends a process that is stopped. It is surely dead when waitpid says so, or when all that is left
            // of it waits in the kernel.
            killed = kill(worker, Signal::SIGKILL).is_ok();
        }
        let is_dying = killed || state(&format!("/proc/{worker}/stat")) == Some('Z');
        let since = dying.get_or_insert_with(Instant::now);
        if !is_dying {
            dying = None;
        } else if since.elapsed() >= LET_GO && has_left_user_space(worker) {
            lingering.push(worker);
            return Ok(End::Stuck);
        }
    }
}

/// Of a process that was killed: each of its threads has ended, or waits in the kernel where no signal reaches it (a disk
/// hangs). Such a thread ends on its way out of the system call: it never answers an exec again, and the group's events
/// can be another's. Its process can linger for as long as the disk does.
fn has_left_user_space(process: Pid) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return true };
    tasks.flatten().all(|task| {
        let state = task.path().to_str().and_then(|path| state(&format!("{path}/stat")));
        matches!(state, None | Some('D' | 'Z' | 'X'))
    })
}

/// The state in a stat file (proc_pid_stat(5)); `None` where there is none any more.
fn state(file: &str) -> Option<char> {
    fs::read_to_string(file).ok()?.rsplit_once(") ")?.1.chars().next()
}

/// Signals for the guard reach whoever holds its name: the parent. The worker is the one that acts on them.
fn hand_on(received: &siginfo, worker: Pid, work: &mut impl Watched) {
    let signal = i32::try_from(received.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
    if let Some(signal) = signal.filter(|signal| *signal != Signal::SIGCHLD) {
        work.relays(received.ssi_pid, received.ssi_uid);
        // A worker that has just died is found by waitpid.
        let _sent = kill(worker, signal);
    }
}

fn watched() -> SigSet {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD] {
        signals.add(signal);
    }
    signals
}

/// At once after the first death; then slower, so that a worker that cannot start does not take the machine with it.
fn next_pause(pause: Duration) -> Duration {
    if pause.is_zero() { Duration::from_millis(10) } else { (pause * 2).min(LONGEST_PAUSE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_runs_has_not_left_user_space() {
        assert!(!has_left_user_space(Pid::this()));
        assert_eq!(state("/proc/1/nonexistent"), None);
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let pauses: Vec<_> =
            std::iter::successors(Some(Duration::ZERO), |pause| Some(next_pause(*pause))).take(9).collect();
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
    }
}
