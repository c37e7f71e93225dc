//! The two threads that answer: the reader, which reads every event, and the evidence thread behind it.
//!
//! Nothing stands in front of the reader: it reads one event, and either answers it or hands it to the evidence thread
//! whose queue is bounded; a full queue means an essential record, never a wait. The next event is not touched before
//! this one is answered or handed over.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::pthread::pthread_kill;
use nix::sys::signal::Signal;

use super::pace::Pace;
use super::pipeline::{Identify, Job, Next, Pipeline, Shared, Sink, fallback};
use crate::event::{Attempt, Failure};
use crate::notify::{Group, Incoming, PendingExec};
use crate::record::{Cut, Notice};

/// How often the second reader looks whether the first one moves, in milliseconds.
const RELIEF_LOOK: u8 = 50;

/// How many attempts wait for full evidence at most.
pub(super) const EVIDENCE_QUEUE: usize = 64;

/// Tells the reader to come to an end, and what it has done.
#[derive(Debug)]
pub(super) struct ReaderControl {
    stop: AtomicBool,
    wake: EventFd,
    /// How many events the reader is done with.
    turns: AtomicU64,
    /// How many attempts it has handed on, and how many of them the evidence thread is done with.
    handed_on: AtomicU64,
    completed: AtomicU64,
    /// Nothing more is handed on: the evidence thread does not move.
    keeps_all: AtomicBool,
}

/// Attempts' memory on its way back to the reader.
pub(super) type Pool = Receiver<Box<Attempt>>;

impl ReaderControl {
    /// A reader that is to run.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(super) fn new() -> io::Result<Self> {
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self {
            stop: AtomicBool::new(false),
            wake,
            turns: AtomicU64::new(0),
            handed_on: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            keeps_all: AtomicBool::new(false),
        })
    }

    /// The reader answers what waits and ends.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        // An event descriptor that is full is readable, which is all that is wanted.
        let _written = self.wake.write(1);
    }

    /// Readable once it was asked to.
    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// How many events the reader is done with: unchanged while events wait means that something holds it up.
    pub(super) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }

    /// How many attempts the evidence thread is done with, and whether it has more.
    pub(super) fn evidence(&self) -> (u64, bool) {
        let completed = self.completed.load(Ordering::Acquire);
        (completed, self.handed_on.load(Ordering::Acquire) > completed)
    }

    /// Whether the reader is to answer all by itself.
    pub(super) fn keep_all(&self, keep: bool) {
        self.keeps_all.store(keep, Ordering::Release);
    }

    /// Whether it was asked to.
    pub(super) fn is_to_stop(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// Reads and answers until it is told to stop, and then until nothing waits.
///
/// Sleeps in read(2) itself: a poll(2) before it and a read that finds nothing after each answer were a tenth of the
/// work on an attempt. Whoever stops it calls [`interrupt`].
///
/// # Errors
/// The group can't be read any more; the caller must not go on as if it could.
pub(super) fn read_events<I: Identify, S: Sink>(
    group: &Arc<Group>,
    control: &ReaderControl,
    shared: &Arc<Shared<S>>,
    mut pipeline: Pipeline<I, S>,
    queue: &SyncSender<Job<PendingExec>>,
    pool: &Pool,
    pace: &mut Pace,
) -> io::Result<()> {
    let mut spare = Some(Box::<Attempt>::default());
    group.set_waiting(true)?;
    if control.is_to_stop() {
        // It was told so a moment ago, and ours was the later word.
        group.set_waiting(false)?;
    }
    loop {
        let Some(incoming) = group.read(fallback(&shared.current.get()))? else {
            if control.is_to_stop() {
                return Ok(());
            }
            continue;
        };
        match incoming {
            Incoming::Exec(exec) => {
                let read = exec.since();
                let attempt = spare.take().unwrap_or_else(|| from_pool(pool));
                spare = match pipeline.judge(exec, attempt) {
                    Next::Answered(attempt) => Some(attempt),
                    Next::Evidence(job) if control.keeps_all.load(Ordering::Acquire) => {
                        Some(pipeline.cut(job, Cut::Unavailable))
                    }
                    Next::Evidence(job) => match queue.try_send(job) {
                        Ok(()) => {
                            control.handed_on.fetch_add(1, Ordering::Release);
                            shared.counters.evidence_queued.fetch_add(1, Ordering::Relaxed);
                            None
                        }
                        Err(TrySendError::Full(job)) => Some(pipeline.cut(job, Cut::QueueFull)),
                        Err(TrySendError::Disconnected(job)) => Some(pipeline.cut(job, Cut::Unavailable)),
                    },
                };
                // After the answer: nobody waits for it.
                pace.adapt(read);
            }
            other @ (Incoming::KernelDenied { .. } | Incoming::Overflow) => tell_gap(shared, other),
        }
        control.turns.fetch_add(1, Ordering::Release);
    }
}

/// Reads and answers in the reader's place, with essential records, until it moves: until its turns are no longer
/// `turns`. Told to stop, until nothing waits.
///
/// # Errors
/// As [`read_events`].
pub(super) fn relieve<I: Identify, S: Sink>(
    group: &Arc<Group>,
    control: &ReaderControl,
    shared: &Arc<Shared<S>>,
    pipeline: &mut Pipeline<I, S>,
    turns: u64,
) -> io::Result<()> {
    let mut spare = Box::<Attempt>::default();
    while control.turns() == turns {
        // A read sleeps, and is not ended by the first one's moving: only what is there is read. Should the first one take
        // it in between, the next event ends that sleep.
        if !wait_for(group.as_fd(), control, RELIEF_LOOK)? {
            if control.is_to_stop() {
                return Ok(());
            }
            continue;
        }
        match group.read(fallback(&shared.current.get()))? {
            None => {}
            Some(Incoming::Exec(exec)) => {
                spare = match pipeline.judge(exec, spare) {
                    Next::Answered(attempt) => attempt,
                    Next::Evidence(job) => pipeline.cut(job, Cut::Unavailable),
                };
            }
            Some(other @ (Incoming::KernelDenied { .. } | Incoming::Overflow)) => tell_gap(shared, other),
        }
    }
    Ok(())
}

/// Has readers that are told to stop see it, though they sleep in the kernel. Called once [`catch_interrupts`] was.
///
/// # Errors
/// The group's flags can't be changed; they then sleep on.
pub(super) fn interrupt(group: &Group, readers: &[&JoinHandle<()>]) -> io::Result<()> {
    // First: a read that the signal comes too early for does not sleep any more, and one that sleeps is ended by it.
    group.set_waiting(false)?;
    readers.iter().try_for_each(|reader| Ok(pthread_kill(reader.as_pthread_t(), INTERRUPT)?))
}

/// Makes the signal of [`interrupt`] one that ends a sleep and does nothing else.
///
/// # Errors
/// The kernel refuses a handler.
pub(super) fn catch_interrupts() -> io::Result<()> {
    signal_hook::flag::register(INTERRUPT as i32, Arc::new(AtomicBool::new(false))).map(drop)
}

/// Sent by nobody else, and without effect if it is.
const INTERRUPT: Signal = Signal::SIGURG;

/// Completes jobs until the reader is gone and the queue is empty.
pub(super) fn take_evidence<I: Identify, S: Sink>(
    jobs: &Receiver<Job<PendingExec>>,
    control: &ReaderControl,
    pool: &Sender<Box<Attempt>>,
    mut pipeline: Pipeline<I, S>,
    patience: Duration,
) {
    while let Some(job) = next(jobs, &mut pipeline) {
        pipeline.takes_from_queue();
        let attempt = pipeline.complete(job, patience);
        control.completed.fetch_add(1, Ordering::Release);
        // The reader may have ended before us; its memory is then nobody's.
        let _returned = pool.send(attempt);
    }
}

/// The next job; `None` when the reader is gone. Until it comes, files are let go in time.
fn next<I: Identify, S: Sink>(
    jobs: &Receiver<Job<PendingExec>>,
    pipeline: &mut Pipeline<I, S>,
) -> Option<Job<PendingExec>> {
    while let Some(left) = pipeline.let_go() {
        match jobs.recv_timeout(left) {
            Ok(job) => return Some(job),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
    jobs.recv().ok()
}

fn from_pool(pool: &Pool) -> Box<Attempt> {
    pool.try_recv().unwrap_or_default()
}

/// Waits for an event or for the end.
pub(super) fn wait(group: BorrowedFd<'_>, control: &ReaderControl) -> io::Result<()> {
    wait_for(group, control, PollTimeout::NONE).map(drop)
}

/// Whether an event is there.
fn wait_for(
    group: BorrowedFd<'_>,
    control: &ReaderControl,
    longest: impl Into<PollTimeout>,
) -> io::Result<bool> {
    let wake = control.wake();
    let mut fds = [PollFd::new(group, PollFlags::POLLIN), PollFd::new(wake, PollFlags::POLLIN)];
    match poll(&mut fds, longest) {
        Ok(_) => Ok(fds.first().and_then(PollFd::any).unwrap_or(false)),
        Err(nix::Error::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Tells of an event that is no exec to be answered.
fn tell_gap<S: Sink>(shared: &Shared<S>, incoming: Incoming) {
    match incoming {
        Incoming::KernelDenied { thread, errno } => {
            gap(shared, Failure::KernelDenied, &describe(thread, errno));
        }
        Incoming::Overflow => {
            gap(shared, Failure::QueueOverflow, "the kernel's queue was full: execs ran unseen");
        }
        // Dropped, it is answered.
        Incoming::Exec(_) => {}
    }
}

pub(super) fn gap<S: Sink>(shared: &Shared<S>, failure: Failure, detail: &str) {
    shared.counters.fail(failure);
    shared.sink.notice(&Notice::Gap { failure, count: 1, detail });
}

pub(super) fn describe(thread: i32, errno: Option<i32>) -> String {
    let who = if thread > 0 { format!("thread {thread}") } else { "an unknown thread".to_owned() };
    let why = errno
        .map_or_else(|| "it does not say why".to_owned(), |errno| Errno::from_raw(errno).desc().to_owned());
    format!("the kernel could not open the file that {who} executes, and denied it: {why}")
}
