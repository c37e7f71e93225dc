//! The guard's threads: how they are started, what each gives up first, and how they end.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use super::error::{StartError, system};
use super::pace::Pace;
use super::pipeline::{Job, Pipeline, Shared};
use super::reader::{self, EVIDENCE_QUEUE, ReaderControl};
use super::thread::{give_way, have_ended, spawn};
use super::warden::{self, OpensGroup, Warden};
use crate::control::status::Scheduling;
use crate::identify::Identifier;
use crate::notify::{Group, PendingExec};
use crate::privileges;
use crate::record::Log;
use crate::supervise::service::Service;

/// The longest that one attempt may wait for evidence, whatever the answer's deadline: others wait behind it.
const EVIDENCE_PATIENCE: Duration = Duration::from_millis(200);

/// A reader's thread before it has anything to read: it has its priority, and no capability more than it keeps. It is
/// started first, because only it needs CAP_SYS_NICE, and the others start with what the main thread has left by then.
#[derive(Debug)]
pub(super) struct Seat {
    thread: JoinHandle<()>,
    work: SyncSender<Life>,
    /// The priority that it got.
    pub(super) scheduling: Scheduling,
}

/// What a reader does, to its end.
type Life = Box<dyn FnOnce(Pace) + Send>;

/// What the reader of execs gets to do.
struct Work {
    group: Arc<Group>,
    control: Arc<ReaderControl>,
    shared: Arc<Shared<Log>>,
    pipeline: Pipeline<Identifier, Log>,
    queue: SyncSender<Job<PendingExec>>,
    pool: reader::Pool,
}

impl Seat {
    /// Starts the thread.
    pub(super) fn take(name: &'static str) -> Result<Self, StartError> {
        let (work, given): (_, Receiver<Life>) = mpsc::sync_channel(1);
        let (tell, told) = mpsc::sync_channel(1);
        let thread = spawn(name, move || {
            let (pace, scheduling) = Pace::new();
            // The receiver waits for this one message.
            let given_up = if pace.needs_capability() {
                privileges::give_up_but_priority()
            } else {
                privileges::give_up()
            };
            let confined = given_up
                .and_then(|()| privileges::confine_guard())
                .and_then(|()| privileges::confine_answering());
            let _told = tell.send(confined.map(|()| scheduling));
            // Without work the start has failed, and there is nothing to read.
            if let Ok(live) = given.recv() {
                live(pace);
            }
        })?;
        let scheduling = told.recv().map_err(|_| no_reader())?.map_err(StartError::Privileges)?;
        Ok(Self { thread, work, scheduling })
    }

    /// Gives the thread its work.
    pub(super) fn fill(self, life: impl FnOnce(Pace) + Send + 'static) -> Result<JoinHandle<()>, StartError> {
        self.work.send(Box::new(life)).map_err(|_| no_reader())?;
        Ok(self.thread)
    }
}

fn no_reader() -> StartError {
    StartError::System { what: "start a reader", error: io::ErrorKind::BrokenPipe.into() }
}

/// The answering threads.
pub(super) struct Threads {
    group: Arc<Group>,
    control: Arc<ReaderControl>,
    reader: JoinHandle<()>,
    evidence: JoinHandle<()>,
    relief: JoinHandle<()>,
    warden: JoinHandle<()>,
}

impl Threads {
    /// Gives the reader its work, and a second one that stands by. From here on events are read.
    pub(super) fn start(
        [seat, second]: [Seat; 2],
        group: &Arc<Group>,
        opens: &OpensGroup,
        shared: &Arc<Shared<Log>>,
        deadline: Duration,
    ) -> Result<Self, StartError> {
        reader::catch_interrupts().map_err(system("catch a signal"))?;
        let control = Arc::new(ReaderControl::new().map_err(system("make an eventfd"))?);
        let (queue, jobs) = mpsc::sync_channel(EVIDENCE_QUEUE);
        let (give_back, pool) = mpsc::channel();
        let pipeline = || -> Result<_, StartError> {
            Ok(Pipeline::new(Identifier::new().map_err(StartError::Identify)?, Arc::clone(shared)))
        };
        // Half of the deadline, so that the answer is ours and not the warden's.
        let patience = (deadline / 2).min(EVIDENCE_PATIENCE);
        let of_evidence = pipeline()?;
        let done = Arc::clone(&control);
        let evidence = spawn("evidence", move || {
            // Without it the thread goes on under the guard's own filter, which is in force already.
            let _confined = privileges::confine_answering();
            reader::take_evidence(&jobs, &done, &give_back, of_evidence, patience);
        })?;
        let work = Work {
            group: Arc::clone(group),
            control: Arc::clone(&control),
            shared: Arc::clone(shared),
            pipeline: pipeline()?,
            queue,
            pool,
        };
        let reader = seat.fill(move |pace| work.go(pace))?;
        let (call, calls) = mpsc::sync_channel(1);
        let in_place = (Arc::clone(group), Arc::clone(&control), Arc::clone(shared), pipeline()?);
        let relief = second.fill(move |_pace| {
            let (group, control, shared, pipeline) = in_place;
            warden::stand_by(&calls, &group, &control, &shared, pipeline);
        })?;
        let warden = Warden {
            group: Arc::clone(group),
            opens: Arc::clone(opens),
            control: Arc::clone(&control),
            shared: Arc::clone(shared),
            deadline,
            service: Service::new(),
            call,
        };
        let warden = spawn("warden", move || {
            let _confined = privileges::confine_answering();
            warden.watch();
        })?;
        Ok(Self { group: Arc::clone(group), control, reader, evidence, relief, warden })
    }

    /// Lets the threads answer what waits, and ends them. False: they did not end in time.
    pub(super) fn end(self) -> bool {
        self.control.stop();
        // Where that fails a reader has not ended in time, which is told.
        let _interrupted = reader::interrupt(&self.group, &[&self.reader, &self.relief]);
        have_ended(&[&self.reader, &self.evidence, &self.relief, &self.warden])
    }
}

impl Work {
    /// The reader's life. A group that can't be read any more is the end of the guard: the process ends, loudly, and
    /// whoever started it starts it again.
    fn go(self, mut pace: Pace) {
        let Self { group, control, shared, pipeline, queue, pool } = self;
        if let Err(error) = reader::read_events(&group, &control, &shared, pipeline, &queue, &pool, &mut pace)
        {
            give_way(&shared.sink, &error);
        }
    }
}
