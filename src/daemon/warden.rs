//! Sees to it that no answer is late, whatever holds up the threads that should give it.
//!
//! Two things hold them up for longer than they should: another process's memory, and a disk that hangs while a record
//! is written. The warden answers what waits past the deadline, calls a second reader while the first one does not move,
//! and has the reader keep to itself what it would hand on while the evidence thread does not. It also says to the
//! service manager that the guard lives: one that answers must not be killed because its steward waits for a disk.
//!
//! It touches no file, and takes no lock that another thread keeps while it waits except, for a bounded time, the log's.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::pipeline::{Pipeline, Shared};
use super::reader::{self, ReaderControl};
use super::thread::give_way;
use crate::event::{Failure, Response, Settled};
use crate::identify::Identifier;
use crate::notify::{Group, Waiting};
use crate::record::{Log, Notice};
use crate::supervise::service::Service;
use crate::sys::clock;

/// The group for opens, where there is one: it comes and goes with reloads.
pub(super) type OpensGroup = Arc<Mutex<Option<Arc<Group>>>>;

/// How often the reader is looked at, and at most how long it may stand still before another one reads.
const LOOK: Duration = Duration::from_millis(500);
/// How often while nothing waits: the next look then finds at most what has waited so long.
const IDLE_LOOK: Duration = Duration::from_secs(2);
/// A guard that reads nothing for so long although events wait is stuck, also for the service manager.
const STUCK: Duration = Duration::from_secs(3);
/// A deadline that is this near is waited for as if it were this far.
const SHORTEST: Duration = Duration::from_millis(5);

/// The thread's tools.
pub(super) struct Warden {
    pub(super) group: Arc<Group>,
    pub(super) opens: OpensGroup,
    pub(super) control: Arc<ReaderControl>,
    pub(super) shared: Arc<Shared<Log>>,
    pub(super) deadline: Duration,
    pub(super) service: Service,
    /// Calls the second reader, with the first one's turns at that time.
    pub(super) call: SyncSender<u64>,
}

impl Warden {
    /// Watches until the reader is told to stop.
    pub(super) fn watch(self) {
        let (mut reader, mut evidence) = (Standstill::default(), Standstill::default());
        let (mut execs, mut second) = (Standstill::default(), Standstill::default());
        loop {
            self.pause();
            if self.control.is_to_stop() {
                // The first one may be the one that is held up: what waits is answered by either.
                let _called = self.call.try_send(self.control.turns());
                return;
            }
            self.settle_late(&self.group);
            let opens = self.opens.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(opens) = &opens {
                self.settle_late(opens);
            }
            let turns = self.control.turns();
            if reader.lasts(turns, waits(&self.group)) >= self.look() {
                // Where it is at work already, it need not be called.
                let _called = self.call.try_send(turns);
            }
            // Nobody reads, in whatever place: whoever started us is to start another one.
            let dead = execs.lasts(self.group.in_flight().read(), waits(&self.group));
            let dead =
                opens.map_or(dead, |group| dead.max(second.lasts(group.in_flight().read(), waits(&group))));
            if dead < STUCK {
                self.service.alive();
            }
            let (done, has_more) = self.control.evidence();
            self.control.keep_all(evidence.lasts(done, has_more) >= self.look());
        }
    }

    fn look(&self) -> Duration {
        LOOK.min(self.deadline / 2)
    }

    /// Until the next look, or until the next answer is due.
    fn pause(&self) {
        let waited = self.group.in_flight().oldest(clock::boottime());
        let due = waited.map(|waited| self.deadline.saturating_sub(waited).max(SHORTEST).min(self.look()));
        let next = match due {
            Some(due) => due,
            None if waits(&self.group) => self.look(),
            None => IDLE_LOOK.min(self.deadline),
        };
        let timeout = PollTimeout::try_from(next).unwrap_or(PollTimeout::NONE);
        let mut fds = [PollFd::new(self.control.wake(), PollFlags::POLLIN)];
        // A signal only makes the next look come sooner.
        let _woken = poll(&mut fds, timeout);
    }

    /// Answers what waits past the deadline. All of them first: telling of one may take a moment.
    fn settle_late(&self, group: &Group) {
        let late: Vec<_> = std::iter::from_fn(|| group.settle_older(self.deadline)).collect();
        for (waiting, settled) in late {
            if let (Some(thread), Some((device, inode)), Response::Allow) =
                (waiting.thread, waiting.file, waiting.fallback)
            {
                // It runs, but an event told of it.
                self.shared.seen.note(thread, device, inode, clock::boottime());
            }
            tell_late(group, &self.shared, &waiting, settled);
        }
    }
}

/// Records an answer that was given in the place of whoever should have.
pub(super) fn tell_late(group: &Group, shared: &Shared<Log>, waiting: &Waiting, settled: Settled) {
    reader::gap(shared, Failure::DeadlinePassed, &waiting.told(settled));
    group.in_flight().pay(1);
}

/// For how long a thread has not moved although it has something to do.
#[derive(Default)]
struct Standstill {
    moves: u64,
    since: Option<Instant>,
}

impl Standstill {
    fn lasts(&mut self, moves: u64, has_work: bool) -> Duration {
        if moves != self.moves || !has_work {
            (self.moves, self.since) = (moves, None);
            return Duration::ZERO;
        }
        self.since.get_or_insert_with(Instant::now).elapsed()
    }
}

/// The second reader's life: each call lasts until the first one moves again.
pub(super) fn stand_by(
    calls: &Receiver<u64>,
    group: &Arc<Group>,
    control: &ReaderControl,
    shared: &Arc<Shared<Log>>,
    mut pipeline: Pipeline<Identifier, Log>,
) {
    for turns in calls {
        if control.is_to_stop() || control.turns() != turns {
            continue;
        }
        tell(shared, "the thread that reads is held up: another one reads in its place", true);
        if let Err(error) = reader::relieve(group, control, shared, &mut pipeline, turns) {
            give_way(&shared.sink, &error);
        }
        tell(shared, "the thread that reads moves again", false);
    }
    if let Err(error) = reader::relieve(group, control, shared, &mut pipeline, control.turns()) {
        give_way(&shared.sink, &error);
    }
}

fn tell(shared: &Shared<Log>, text: &str, failed: bool) {
    shared.counters.reliefs.fetch_add(u64::from(failed), Ordering::Relaxed);
    shared.sink.notice(&Notice::Other { action: "reader-relieved", text, failed });
}

/// Whether events wait to be read.
fn waits(group: &Group) -> bool {
    let mut fds = [PollFd::new(group.as_fd(), PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(ready) if ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stands_still_while_it_has_work_and_does_not_move() {
        let mut thread = Standstill::default();
        assert_eq!(thread.lasts(1, true), Duration::ZERO);
        thread.lasts(1, true);
        std::thread::sleep(Duration::from_millis(2));
        assert!(thread.lasts(1, true) >= Duration::from_millis(2));
        assert_eq!(thread.lasts(2, true), Duration::ZERO);
        thread.lasts(2, true);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(thread.lasts(2, false), Duration::ZERO);
    }
}
