//! Execs that no mark can see, told after the fact: memfds and the like, and who mounts and executes at once.
//!
//! The kernel tells of every exec on the host. Of each the program's file is taken hold of at once, because the process
//! may end (`hold.rs`, a thread for each CPU), and mostly that is all: it comes through a mount that is known to be none
//! of ours. The others are looked at closer here, by one thread. A file of a filesystem that is not watched may be of
//! one that has just been mounted in a watched directory: it is asked about again when its mark has had time to come.
//!
//! What is found is judged by the rules like an attempt, so that an allow rule can except it; nothing is denied, for it
//! runs already.

mod hold;

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::hold::{Next, Program, Tray};
use super::error::{StartError, system};
use super::pipeline::{Duty, Pipeline, Shared};
use super::reader::ReaderControl;
use super::thread::{have_ended, spawn};
use crate::event::{Attempt, Device, Failure, Pid, Response, Settled, Unseen};
use crate::identify::Identifier;
use crate::identify::running::{self, Script, Whence};
use crate::privileges;
use crate::record::{Log, Notice};
use crate::sys::clock;
use crate::watch::plan::{Placement, Scope};

pub(super) use self::hold::{Seat, seats};

/// The threads that are told.
#[derive(Debug)]
pub(super) struct Watch {
    control: Arc<ReaderControl>,
    tray: Arc<Tray>,
    shared: Arc<Shared<Log>>,
    threads: Vec<JoinHandle<()>>,
}

/// How long a mark may take to come after its mount.
const MARK_WITHIN: Duration = Duration::from_millis(500);
/// How often it is asked whether it has come.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a program is looked at that is to be recorded.
const PATIENCE: Duration = Duration::from_millis(200);
/// How many of one mount.
const OF_ONE_MOUNT: usize = 32;
/// How often it is told that programs were missed.
const TELL_EVERY: Duration = Duration::from_secs(1);

impl Watch {
    /// Starts to be told, on threads that were made while that was still allowed. Called when the marks are there.
    ///
    /// # Errors
    /// No thread, no memory.
    pub(super) fn start(seats: Vec<Seat>, shared: &Arc<Shared<Log>>) -> Result<Self, StartError> {
        let control = Arc::new(ReaderControl::new().map_err(system("make an eventfd"))?);
        let identifier = || Identifier::new().map_err(StartError::Identify);
        let memory = running::memory().map_err(system("make a file in memory"))?;
        let tray = Arc::new(Tray::default());
        let mut watch =
            Self { control, tray, shared: Arc::clone(shared), threads: Vec::with_capacity(seats.len() + 1) };
        let mut looker = Looker {
            shared: Arc::clone(shared),
            identifier: identifier()?,
            pipeline: Pipeline::new(identifier()?, Arc::clone(shared)),
            memory,
            tray: Arc::clone(&watch.tray),
            waiting: VecDeque::new(),
            asked: HashMap::new(),
            done: VecDeque::new(),
            missed: Missed::default(),
        };
        shared.seen.switch(true);
        let looks = move || {
            // Without it the thread goes on under the guard's own filter, which is in force already.
            let _confined = privileges::confine_answering();
            looker.live();
        };
        let begin = || {
            watch.threads.push(spawn("unseen", looks)?);
            for seat in seats {
                watch.threads.push(seat.fill(identifier()?, memory, &watch.tray, shared, &watch.control)?);
            }
            Ok(())
        };
        if let Err(error) = begin() {
            watch.end();
            return Err(error);
        }
        Ok(watch)
    }

    /// One of them has ended by itself: the kernel does not tell everything any more.
    pub(super) fn is_deaf(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Ends the threads. False: they did not end in time.
    pub(super) fn end(self) -> bool {
        self.shared.seen.switch(false);
        self.control.stop();
        self.tray.close();
        have_ended(&self.threads.iter().collect::<Vec<_>>())
    }
}

/// The life of the thread that looks closer.
struct Looker {
    shared: Arc<Shared<Log>>,
    identifier: Identifier,
    pipeline: Pipeline<Identifier, Log>,
    /// The superblock of memfds.
    memory: Device,
    /// Programs to look at.
    tray: Arc<Tray>,
    /// Those whose filesystem may yet turn out to be watched, in the order of their time.
    waiting: VecDeque<Waiting>,
    /// For each mount of which that is not sure yet, how many programs wait, and how many were let go.
    asked: HashMap<u64, (usize, u64)>,
    /// What was found out about lately. A process that executes one program after the other has the last one when we
    /// look, and has it again when we are told of that.
    done: VecDeque<Done>,
    missed: Missed,
}

/// Programs that nobody looked at: of each kind how many were told of, and when the last were.
#[derive(Debug, Default)]
struct Missed {
    told: [u64; 3],
    at: Option<Instant>,
}

const MISSED: [&str; 3] = [
    "programs ended before they could be looked at: any of them may have run from memory",
    "too many programs at once: not all were looked at",
    "the kernel's buffer was full: it could not tell of execs after the fact",
];

/// A program whose filesystem was not watched.
struct Waiting {
    due: Instant,
    program: Program,
    attempt: Box<Attempt>,
    /// It is mounted in a watched directory, or was.
    fresh: bool,
}

/// A process and its program: when we were told of it.
#[derive(Debug)]
struct Done {
    process: i32,
    file: (Device, u64),
    since: u64,
}

/// How long after the first message for one program the second can come.
const TWICE_WITHIN: u64 = 1_000_000_000;

impl Looker {
    /// Looks until the tray is closed.
    fn live(&mut self) {
        loop {
            let again = self.waiting.front().map(|first| first.due.min(Instant::now() + LOOK_EVERY));
            let until = [again, self.tell_missed()];
            match self.tray.next(until.into_iter().flatten().min()) {
                Next::Program(program) => self.look(program),
                Next::Nothing => self.look_again(),
                Next::End => return,
            }
        }
    }

    /// Tells how many programs were missed, at most once in a while; when to do so next, where there are more.
    fn tell_missed(&mut self) -> Option<Instant> {
        let counters = [&self.shared.counters.execs_gone, &self.tray.no_room, &self.tray.unheard];
        let missed = counters.map(|counter| counter.load(Ordering::Relaxed));
        if missed == self.missed.told {
            return None;
        }
        if let Some(due) = self.missed.at.map(|at| at + TELL_EVERY).filter(|due| Instant::now() < *due) {
            return Some(due);
        }
        for ((missed, told), detail) in missed.into_iter().zip(self.missed.told).zip(MISSED) {
            if missed > told {
                self.lose(missed - told, detail);
            }
        }
        self.missed = Missed { told: missed, at: Some(Instant::now()) };
        None
    }

    fn look(&mut self, program: Program) {
        let (process, file) = (program.running.process(), program.running.file());
        let live = self.shared.current.get();
        if live.scope.contains(file.0) && (self.is_done(process, file) || self.was_seen(process, file)) {
            return;
        }
        let mut attempt = Box::<Attempt>::default();
        attempt.at = program.at;
        let deadline = Instant::now() + PATIENCE;
        let whence =
            self.identifier.describe(&program.running, self.memory, &live.scope, deadline, &mut attempt);
        let matters = match program.running.script() {
            None => true,
            // Where a mark is by now, it may have been too late for it.
            Some(Script::Executed) => {
                matches!(whence, Whence::Unmarkable(_) | Whence::Fresh | Whence::Watched)
            }
            Some(Script::Given) => matches!(whence, Whence::Unmarkable(_) | Whence::Fresh),
        };
        if !matters {
            return;
        }
        match whence {
            // Where only mounts of it are watched, others of it mostly stay what they are.
            Whence::Outside if live.scope.watches_mounts(file.0) => self.tray.forget(program.running.mount()),
            Whence::Outside => {}
            Whence::Unmarkable(_) => self.report(program, attempt),
            Whence::Watched => {
                let file = attempt.object.file.known().map(|file| (file.device, file.inode));
                if !file.is_some_and(|file| self.was_seen(process, file)) {
                    self.report(program, attempt);
                }
            }
            Whence::Late => self.lose(1, "nobody said in time what filesystem a program came from"),
            Whence::Lost => {
                self.shared.counters.execs_gone.fetch_add(1, Ordering::Relaxed);
            }
            Whence::Fresh => self.ask_later(program, attempt, true),
            Whence::Elsewhere => {
                self.look_for_script(&program);
                self.ask_later(program, attempt, false);
            }
        }
    }

    /// A few programs of each mount are asked about again: mostly it is none of ours, and then they are for nothing.
    fn ask_later(&mut self, program: Program, attempt: Box<Attempt>, fresh: bool) {
        let (waiting, let_go) = self.asked.entry(asked_for(&program)).or_default();
        if *waiting < OF_ONE_MOUNT {
            *waiting += 1;
            let due = Instant::now() + MARK_WITHIN;
            self.waiting.push_back(Waiting { due, program, attempt, fresh });
        } else {
            *let_go += 1;
        }
    }

    /// Looks again at programs whose filesystem was not watched: whether it has its mark now, or will not get one.
    fn look_again(&mut self) {
        let (scope, now) = (Arc::clone(&self.shared.current.get().scope), Instant::now());
        for mut one in std::mem::take(&mut self.waiting) {
            let unmounted = self.identifier.is_unmounted(&one.program.running, &one.attempt);
            if unmounted && one.fresh {
                // It has come and gone. Which of the directory's files it was is not known: no mark vouches for it.
                running::lose_place(&mut one.attempt.object, &scope);
                self.found(one);
            } else if !unmounted && is_named(&mut one, &scope) {
                self.found(one);
            } else if one.due > now {
                self.waiting.push_back(one);
            } else {
                self.asked.remove(&asked_for(&one.program));
                self.tray.forget(one.program.running.mount());
            }
        }
    }

    /// It ran from a watched directory.
    fn found(&mut self, one: Waiting) {
        let (_, let_go) = self.asked.remove(&asked_for(&one.program)).unwrap_or_default();
        if let_go > 0 {
            self.lose(let_go, "more programs than are looked at ran from a new mount at once");
        }
        self.report(one.program, one.attempt);
    }

    /// The interpreter is none of ours; what it was started with may be.
    fn look_for_script(&mut self, program: &Program) {
        let deadline = Instant::now() + PATIENCE;
        if let Some(running) = self.identifier.script_of(&program.running, deadline) {
            self.tray.put(Program { running, at: program.at, since: program.since });
        }
    }

    /// Whether an event told of this exec.
    fn was_seen(&mut self, process: i32, file: (Device, u64)) -> bool {
        let seen = self.shared.seen.take(Pid(process), file.0, file.1);
        if seen {
            self.done.push_back(Done { process, file, since: clock::boottime() });
        }
        seen
    }

    fn is_done(&mut self, process: i32, file: (Device, u64)) -> bool {
        let now = clock::boottime();
        while self.done.front().is_some_and(|done| now.saturating_sub(done.since) > TWICE_WITHIN) {
            self.done.pop_front();
        }
        self.done.iter().any(|done| done.process == process && done.file == file)
    }

    fn report(&mut self, program: Program, attempt: Box<Attempt>) {
        let Program { running, since, .. } = program;
        let (process, file) = (running.process(), running.file());
        if self.is_done(process, file) {
            return;
        }
        self.done.push_back(Done { process, file, since });
        let in_memory = attempt.unseen.is_some_and(|way| way != Unseen::Unmarked);
        let content = if in_memory { running.content() } else { None };
        let Some(file) = content.or_else(|| running.as_fd().try_clone_to_owned().ok()) else {
            return self.lose(1, "no descriptor was left to look at a program");
        };
        let thread = attempt.subject.thread.known().map_or(0, |Pid(id)| *id);
        drop(self.pipeline.report(AfterTheFact { file, thread, since }, attempt, PATIENCE));
    }

    fn lose(&self, count: u64, detail: &str) {
        self.shared.counters.fail_times(Failure::ExecsLost, count);
        self.shared.sink.notice(&Notice::Gap { failure: Failure::ExecsLost, count, detail });
    }
}

/// Gives the file its names, if its filesystem is watched by now. The numbers of filesystems are given anew at once:
/// what the scope says of one must be what was seen, or it still speaks of another.
fn is_named(one: &mut Waiting, scope: &Scope) -> bool {
    let object = &mut one.attempt.object;
    let Some(device) = object.file.known().map(|file| file.device) else { return false };
    if !scope.is_mounted(device) {
        return false;
    }
    object.names.clear();
    let inner = object.inner.as_ref().map(Vec::as_slice);
    if scope.name(device, inner, &mut object.names) == Placement::Outside {
        return false;
    }
    if one.fresh {
        return object
            .seen
            .known()
            .is_some_and(|seen| object.names.iter().any(|name| name == seen.as_slice()));
    }
    scope.namespace(device).is_some_and(|space| one.program.running.namespace() == Some(space))
}

/// The mount whose programs are counted together; without an id all mounts are one.
fn asked_for(program: &Program) -> u64 {
    program.running.mount().unwrap_or(0)
}

/// The duty that nobody has: the program runs already.
#[derive(Debug)]
struct AfterTheFact {
    file: OwnedFd,
    thread: i32,
    since: u64,
}

impl AsFd for AfterTheFact {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Duty for AfterTheFact {
    fn thread(&self) -> i32 {
        self.thread
    }

    fn since(&self) -> u64 {
        self.since
    }

    fn note(&self, _device: Device, _inode: u64) {}

    fn set_fallback(&mut self, _fallback: Response) {}

    fn answer(self, _response: Response, _audit: bool) -> Settled {
        Settled::Delivered
    }
}
