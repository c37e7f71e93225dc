//! Execs that no mark can see, told after the fact: memfds and the like, and who mounts and executes at once.
//!
//! One thread. The kernel tells of every exec on the host; of each the program's file is taken hold of at once, because
//! the process may end, and mostly that is all: it comes through a mount that is known to be none of ours. The others
//! are looked at closer when nothing waits to be taken hold of. A file of a filesystem that is not watched may be of one
//! that has just been mounted in a watched directory: it is asked about again when its mark has had time to come.
//!
//! What is found is judged by the rules like an attempt, so that an allow rule can except it; nothing is denied, for it
//! runs already.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::error::{StartError, system};
use super::pipeline::{Duty, Pipeline, Shared};
use super::reader::ReaderControl;
use super::threads::{have_ended, spawn};
use crate::event::{Attempt, Device, Failure, Pid, Response, Settled, Timestamp, Unseen};
use crate::identify::Identifier;
use crate::identify::running::{self, Running, Whence};
use crate::privileges;
use crate::record::{Log, Notice};
use crate::sys::clock;
use crate::sys::connector::{Connector, Told};
use crate::sys::scheduling;
use crate::watch::plan::Placement;

/// The thread that is told.
#[derive(Debug)]
pub(super) struct Watch {
    control: Arc<ReaderControl>,
    shared: Arc<Shared<Log>>,
    thread: JoinHandle<()>,
}

/// How long a mark may take to come after its mount.
const MARK_WITHIN: Duration = Duration::from_millis(500);
/// How long a program is looked at that is to be recorded.
const PATIENCE: Duration = Duration::from_millis(200);
/// How many programs are held at most.
const HELD: usize = 1024;
/// How many of one mount.
const OF_ONE_MOUNT: usize = 32;
/// How many mounts are remembered as none of ours.
const MOUNTS: usize = 4096;

impl Watch {
    /// Starts the thread on a connector that was opened while that was still allowed. Called when the marks are there.
    ///
    /// # Errors
    /// No thread, no memory.
    pub(super) fn start(connector: Connector, shared: &Arc<Shared<Log>>) -> Result<Self, StartError> {
        let control = Arc::new(ReaderControl::new().map_err(system("make an eventfd"))?);
        let identifier = || Identifier::new().map_err(StartError::Identify);
        let memory = running::memory().map_err(system("make a file in memory"))?;
        let mut listener = Listener {
            connector,
            shared: Arc::clone(shared),
            identifier: identifier()?,
            pipeline: Pipeline::new(identifier()?, Arc::clone(shared)),
            memory,
            taken: VecDeque::new(),
            waiting: VecDeque::new(),
            none_of_ours: HashSet::new(),
            asked: HashMap::new(),
            done: VecDeque::new(),
            lost: 0,
        };
        shared.seen.switch(true);
        let told = Arc::clone(&control);
        let thread = spawn("unseen", move || {
            // What it is late for has ended. Where it is refused, it is as early as it can be.
            let _nimble = scheduling::nice_alone(-20);
            // Without it the thread goes on under the guard's own filter, which is in force already.
            let _confined = privileges::confine_answering();
            if let Err(error) = listener.listen(&told) {
                let text = format!("execs are not told of any more: {error}");
                listener.shared.sink.notice(&Notice::Other {
                    action: "unseen-failed",
                    text: &text,
                    failed: true,
                });
            }
        })?;
        Ok(Self { control, shared: Arc::clone(shared), thread })
    }

    /// It has ended by itself: the kernel tells nothing any more.
    pub(super) fn is_deaf(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the thread. False: it did not end in time.
    pub(super) fn end(self) -> bool {
        self.shared.seen.switch(false);
        self.control.stop();
        have_ended(&[&self.thread])
    }
}

/// The thread's life.
struct Listener {
    connector: Connector,
    shared: Arc<Shared<Log>>,
    identifier: Identifier,
    pipeline: Pipeline<Identifier, Log>,
    /// The superblock of memfds.
    memory: Device,
    /// Programs to look at.
    taken: VecDeque<Program>,
    /// Those whose filesystem may yet turn out to be watched, in the order of their time.
    waiting: VecDeque<(Instant, Program, Box<Attempt>)>,
    /// Mounts of filesystems that are not watched; their ids are never given anew.
    none_of_ours: HashSet<u64>,
    /// For each mount of which that is not sure yet, how many programs wait, and how many were let go.
    asked: HashMap<u64, (usize, u64)>,
    /// What was found out about lately. A process that executes one program after the other has the last one when we
    /// look, and has it again when we are told of that.
    done: VecDeque<Done>,
    /// Messages that the kernel had lost when we last looked.
    lost: u32,
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

/// A program and when we were told of it.
struct Program {
    running: Running,
    at: Timestamp,
    since: u64,
}

impl Listener {
    /// Listens until it is told to stop.
    fn listen(&mut self, control: &ReaderControl) -> io::Result<()> {
        loop {
            match self.connector.read()? {
                Some(Told::Exec(process)) => self.take_hold(process),
                Some(Told::Answer { .. } | Told::Other) => {}
                Some(Told::Lost) => self.tell_loss(),
                None if control.is_to_stop() => return Ok(()),
                None => match self.taken.pop_front() {
                    Some(program) => self.look(program),
                    None => {
                        self.look_again();
                        self.wait(control)?;
                    }
                },
            }
        }
    }

    /// Waits for a message, for the end, or for the first program whose time has come.
    fn wait(&self, control: &ReaderControl) -> io::Result<()> {
        let left = self.waiting.front().map(|(due, ..)| due.saturating_duration_since(Instant::now()));
        // A millisecond more than the rest of one, or it would be asked again and again until it is over.
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::NONE)
        });
        let mut fds = [
            PollFd::new(self.connector.as_fd(), PollFlags::POLLIN),
            PollFd::new(control.wake(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes hold of what the process runs, unless it comes through a mount that is none of ours.
    fn take_hold(&mut self, process: i32) {
        let counters = &self.shared.counters;
        counters.execs.fetch_add(1, Ordering::Relaxed);
        let Ok(running) = self.identifier.running(process) else {
            counters.execs_gone.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let file @ (device, _) = running.file();
        let program_mount = running.mount();
        let is_watched = self.shared.current.get().scope.contains(device, program_mount);
        if is_watched && (self.is_done(process, file) || self.was_seen(process, file)) {
            return;
        }
        let program = Program { running, at: Timestamp(clock::realtime()), since: clock::boottime() };
        if !is_watched && program.running.mount().is_some_and(|mount| self.none_of_ours.contains(&mount)) {
            self.look_for_script(&program);
        } else if self.taken.len() < HELD {
            self.taken.push_back(program);
        } else {
            self.lose(1, "too many programs at once: one was not looked at");
        }
    }

    fn look(&mut self, program: Program) {
        let live = self.shared.current.get();
        let mut attempt = Box::<Attempt>::default();
        attempt.at = program.at;
        let deadline = Instant::now() + PATIENCE;
        let whence =
            self.identifier.describe(&program.running, self.memory, &live.scope, deadline, &mut attempt);
        match whence {
            Whence::Outside => {}
            Whence::Unmarkable(_) | Whence::Watched => self.report(program, attempt),
            Whence::Elsewhere => {
                self.look_for_script(&program);
                self.ask_later(program, attempt);
            }
        }
    }

    /// A few programs of each mount are asked about again: mostly it is none of ours, and then they are for nothing.
    fn ask_later(&mut self, program: Program, attempt: Box<Attempt>) {
        // Without an id all mounts are one.
        let (waiting, let_go) = self.asked.entry(program.running.mount().unwrap_or(0)).or_default();
        if *waiting < OF_ONE_MOUNT {
            *waiting += 1;
            self.waiting.push_back((Instant::now() + MARK_WITHIN, program, attempt));
        } else {
            *let_go += 1;
        }
    }

    /// Looks again at programs whose filesystem was not watched a while ago.
    fn look_again(&mut self) {
        while self.waiting.front().is_some_and(|(due, ..)| *due <= Instant::now()) {
            let Some((_, program, mut attempt)) = self.waiting.pop_front() else { return };
            let (_, let_go) = self.asked.remove(&program.running.mount().unwrap_or(0)).unwrap_or_default();
            let scope = Arc::clone(&self.shared.current.get().scope);
            let object = &mut attempt.object;
            let device = object.file.known().map(|file| file.device);
            match device.filter(|device| scope.contains(*device, program.running.mount())) {
                Some(device) => {
                    if let_go > 0 {
                        self.lose(let_go, "more programs than are looked at ran from a new mount at once");
                    }
                    object.names.clear();
                    let inner = object.inner.as_ref().map(Vec::as_slice);
                    if scope.name(device, inner, &mut object.names) == Placement::Inside {
                        self.report(program, attempt);
                    }
                }
                None => self.remember(program.running.mount()),
            }
        }
    }

    fn remember(&mut self, mount: Option<u64>) {
        if self.none_of_ours.len() >= MOUNTS {
            self.none_of_ours.clear();
        }
        self.none_of_ours.extend(mount);
    }

    /// The interpreter is none of ours; what it was started with may be.
    fn look_for_script(&mut self, program: &Program) {
        let deadline = Instant::now() + PATIENCE;
        if let Some(running) = self.identifier.script(&program.running, self.memory, deadline) {
            self.taken.push_back(Program { running, at: program.at, since: program.since });
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
        let in_table = attempt.object.file.known().map_or(file, |file| (file.device, file.inode));
        if self.is_done(process, file) || self.was_seen(process, in_table) {
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

    /// The kernel's buffer was full.
    fn tell_loss(&mut self) {
        let lost = self.connector.lost().unwrap_or(self.lost.wrapping_add(1));
        let count = u64::from(lost.wrapping_sub(self.lost).max(1));
        self.lost = lost;
        self.lose(count, "the kernel's buffer was full: it could not tell of execs after the fact");
    }

    fn lose(&self, count: u64, detail: &str) {
        self.shared.counters.fail_times(Failure::ExecsLost, count);
        self.shared.sink.notice(&Notice::Gap { failure: Failure::ExecsLost, count, detail });
    }
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
