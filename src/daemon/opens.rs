//! The second group, for every open of a watched file: what ld.so loads and interpreters run is judged as execs are.
//!
//! Two threads. The reader glances at each open and answers all but a few at once. Those go to the judge, which may wait
//! for the opener's memory: it finds out what the open is for, and then goes the way of every attempt. Until somebody
//! knows better, the answer to an open is yes: who only reads is never denied.
//!
//! The reader itself opens no file outside /proc, and other threads of the guard may open what they like: it is there to
//! answer them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::error::{StartError, system};
use super::live::{Live, Opens};
use super::pace::Pace;
use super::pipeline::{Aim, Next, Pipeline, Shared};
use super::reader::{self, ReaderControl};
use super::thread::{give_way, have_ended, spawn};
use super::threads::Seat;
use crate::event::{Attempt, Failure, Response};
use crate::identify::Identifier;
use crate::identify::opener::{Glance, Judge, Opener, Purpose, Suspicion, Wanted};
use crate::notify::{Group, Incoming, Interest, PendingExec};
use crate::policy::config::{Extra, Watch};
use crate::privileges;
use crate::record::{Cut, Log};
use crate::sys::statx::{self, Want};

/// The group and its threads.
#[derive(Debug)]
pub(super) struct Guard {
    group: Arc<Group>,
    control: Arc<ReaderControl>,
    reader: JoinHandle<()>,
    judge: JoinHandle<()>,
}

/// A suspect open on its way to the judge.
type Suspect = (PendingExec, Suspicion);

/// How many wait for the judge at most.
const QUEUE: usize = 64;
/// How long it looks at one.
const PATIENCE: Duration = Duration::from_millis(100);

/// What is to be done, as configured.
pub(super) fn wanted(watch: &Watch) -> Opens {
    Opens { loads: watch.loaders, programs: watch.interpreters }
}

impl Guard {
    /// Starts the threads, on a `seat` taken earlier or on a new one. Marks are the caller's to set.
    ///
    /// # Errors
    /// The kernel gives no second group, or no thread.
    pub(super) fn start(
        seat: Option<Seat>,
        shared: &Arc<Shared<Log>>,
        answer_deadline: Duration,
    ) -> Result<Self, StartError> {
        let audit = shared.current.get().audit;
        let group = Arc::new(Group::of(Interest::Opens, audit).map_err(StartError::Group)?);
        let control = Arc::new(ReaderControl::new().map_err(system("make an eventfd"))?);
        let (queue, cases) = mpsc::sync_channel(QUEUE);
        let (opener, judge) = Opener::with_judge().map_err(StartError::Identify)?;
        let pipeline = || -> Result<_, StartError> {
            Ok(Pipeline::new(Identifier::new().map_err(StartError::Identify)?, Arc::clone(shared)))
        };
        let mut bench = Bench { judge, pipeline: pipeline()?, shared: Arc::clone(shared), answer_deadline };
        let judge = spawn("opens-judge", move || {
            // Without it the thread goes on under the guard's own filter, which is in force already.
            let _confined = privileges::confine_answering();
            bench.hear(&cases);
        })?;
        let mut gate = Gate {
            group: Arc::clone(&group),
            shared: Arc::clone(shared),
            opener,
            pipeline: pipeline()?,
            queue,
            spare: Some(Box::default()),
        };
        let seat = match seat {
            Some(seat) => seat,
            None => Seat::take("opens")?,
        };
        let told = Arc::clone(&control);
        let reader = seat.fill(move |mut pace| {
            if let Err(error) = gate.keep(&told, &mut pace) {
                give_way(&gate.shared.sink, &error);
            }
        })?;
        Ok(Self { group, control, reader, judge })
    }

    /// The group.
    pub(super) fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// Lets the threads answer what waits, and ends them. False: they did not end in time.
    pub(super) fn end(self) -> bool {
        self.control.stop();
        have_ended(&[&self.reader, &self.judge])
    }
}

/// The reader's side.
struct Gate {
    group: Arc<Group>,
    shared: Arc<Shared<Log>>,
    opener: Opener,
    /// For loads that the judge has no room for.
    pipeline: Pipeline<Identifier, Log>,
    queue: SyncSender<Suspect>,
    spare: Option<Box<Attempt>>,
}

impl Gate {
    /// Reads and answers until it is told to stop, and then until nothing waits.
    fn keep(&mut self, control: &ReaderControl, pace: &mut Pace) -> io::Result<()> {
        loop {
            let Some(incoming) = self.group.read(Response::Allow)? else {
                if control.is_to_stop() {
                    return Ok(());
                }
                reader::wait(self.group.as_fd(), control)?;
                continue;
            };
            match incoming {
                Incoming::Exec(open) => {
                    let read = open.since();
                    self.look(open);
                    pace.adapt(read);
                }
                Incoming::KernelDenied { thread, errno } => {
                    reader::gap(&self.shared, Failure::KernelDenied, &reader::describe(thread, errno));
                }
                Incoming::Overflow => reader::gap(
                    &self.shared,
                    Failure::QueueOverflow,
                    "the kernel's queue was full: files were opened unseen",
                ),
            }
        }
    }

    fn look(&mut self, open: PendingExec) {
        self.shared.counters.opens.fetch_add(1, Ordering::Relaxed);
        if !is_file(open.as_fd()) {
            // Only fewer events would come of it.
            let _ignored = self.group.ignore(open.as_fd());
            return allow(open);
        }
        let wanted = looks_for(&self.shared.current.get());
        match self.opener.glance(open.thread(), open.as_fd(), wanted) {
            Glance::Ordinary => allow(open),
            Glance::Suspect(suspicion) => match self.queue.try_send((open, suspicion)) {
                Ok(()) => {}
                Err(
                    TrySendError::Full((open, suspicion)) | TrySendError::Disconnected((open, suspicion)),
                ) => {
                    self.decide_alone(open, suspicion);
                }
            },
        }
    }

    /// Nobody has time for a closer look: what is no load at first sight is let through, for most of it is data.
    fn decide_alone(&mut self, open: PendingExec, suspicion: Suspicion) {
        self.shared.counters.opens_unknown.fetch_add(1, Ordering::Relaxed);
        let (action, sure) = suspicion.first_sight();
        if !sure {
            return allow(open);
        }
        let aim = Aim { action, sure };
        let spare = self.spare.take().unwrap_or_default();
        self.spare = Some(match self.pipeline.judge_as(aim, open, spare) {
            Next::Answered(attempt) => attempt,
            Next::Evidence(job) => self.pipeline.cut(job, Cut::QueueFull),
        });
    }
}

/// The judge's side.
struct Bench {
    judge: Judge,
    pipeline: Pipeline<Identifier, Log>,
    shared: Arc<Shared<Log>>,
    answer_deadline: Duration,
}

impl Bench {
    /// Judges until the reader is gone and nothing is left.
    fn hear(&mut self, cases: &Receiver<Suspect>) {
        let mut spare = Some(Box::default());
        for (open, suspicion) in cases {
            let purpose = self.judge.judge(suspicion, open.as_fd(), Instant::now() + PATIENCE);
            let Some(aim) = self.aim(purpose, &suspicion) else {
                allow(open);
                continue;
            };
            let attempt = spare.take().unwrap_or_default();
            spare = Some(match self.pipeline.judge_as(aim, open, attempt) {
                Next::Answered(attempt) => attempt,
                Next::Evidence(job) => self.pipeline.complete(job, self.answer_deadline),
            });
        }
    }

    fn aim(&self, purpose: Purpose, suspicion: &Suspicion) -> Option<Aim> {
        match purpose {
            Purpose::Ordinary => None,
            Purpose::Surely(action) => Some(Aim { action, sure: true }),
            Purpose::Perhaps(action) => Some(Aim { action, sure: false }),
            Purpose::Unknown(_) => {
                self.shared.counters.opens_unknown.fetch_add(1, Ordering::Relaxed);
                let (action, sure) = suspicion.first_sight();
                Some(Aim { action, sure })
            }
        }
    }
}

fn looks_for(live: &Live) -> Wanted {
    Wanted { loads: live.opens.loads != Extra::Off, programs: live.opens.programs != Extra::Off }
}

fn allow(open: PendingExec) {
    // A refused answer is not lost, its fallback is the same.
    let _settled = open.answer(Response::Allow, false);
}

fn is_file(file: BorrowedFd<'_>) -> bool {
    // What cannot be looked at may be one.
    statx::of(file, Want::Nothing).map_or(true, |stat| stat.mode & libc::S_IFMT == libc::S_IFREG)
}
