//! Takes hold of what was executed, before it can end: a thread for each CPU, and the tray they put it on.
//!
//! The kernel wakes a listener on the CPU that has just executed. A thread that is bound to that CPU and goes before all
//! others (SCHED_FIFO) runs before the program's first instruction; one that may run anywhere mostly wakes on another
//! CPU and comes too late (measured, programs that do nothing: 300 of 300 were held, against 189, and against 3 with
//! SCHED_FIFO but unbound). So it does only what cannot block, and what most execs need: nothing more than to see that
//! their mount is none of ours. May not judge or record an attempt.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::daemon::error::{StartError, system};
use crate::daemon::pipeline::Shared;
use crate::daemon::reader::ReaderControl;
use crate::daemon::thread::spawn;
use crate::event::{Device, Timestamp};
use crate::identify::Identifier;
use crate::identify::running::Running;
use crate::privileges;
use crate::record::{Log, Notice};
use crate::sys::connector::{Connector, Told};
use crate::sys::{clock, scheduling};

/// A program and when we were told of it.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) running: Running,
    pub(super) at: Timestamp,
    pub(super) since: u64,
}

/// Programs to look at, and the mounts of which none need be.
#[derive(Debug, Default)]
pub(super) struct Tray {
    content: Mutex<Content>,
    filled: Condvar,
    /// How many programs nobody looks at: there was no room for them here,
    pub(super) no_room: AtomicU64,
    /// or the kernel's buffer was full.
    pub(super) unheard: AtomicU64,
}

#[derive(Debug, Default)]
struct Content {
    programs: VecDeque<Program>,
    /// Mounts of filesystems that are not watched; their ids are never given anew.
    none_of_ours: HashSet<u64>,
    /// There may be something else to do.
    knocked: bool,
    closed: bool,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Next {
    /// This is to be looked at.
    Program(Program),
    /// The time has come, or somebody knocked.
    Nothing,
    /// It is over.
    End,
}

/// How many programs are held at most.
const HELD: usize = 1024;
/// How many mounts are remembered as none of ours.
const MOUNTS: usize = 4096;
/// How many threads there are at most; each then listens to several CPUs.
const THREADS: usize = 64;

/// A thread that waits for its work: it has its CPUs and its priority, and no capability more than it keeps. It is made
/// while the process may still give it those.
#[derive(Debug)]
pub(in crate::daemon) struct Seat {
    connector: Connector,
    thread: JoinHandle<()>,
    work: SyncSender<Life>,
}

/// What a thread does, to its end.
type Life = Box<dyn FnOnce() + Send>;

/// A thread for each CPU.
///
/// # Errors
/// The kernel tells nothing ([`Connector::open`]), or there is no thread.
pub(in crate::daemon) fn seats() -> Result<Vec<Seat>, StartError> {
    let count = scheduling::cpus().min(THREADS);
    (0..count).map(|place| Seat::take(place, count)).collect()
}

impl Seat {
    fn take(place: usize, count: usize) -> Result<Self, StartError> {
        let share = |number| u32::try_from(number).unwrap_or(0);
        let connector = Connector::open()
            .and_then(|connector| connector.divide(share(place), share(count)).map(|()| connector))
            .map_err(system("be told of execs"))?;
        let (work, given): (_, Receiver<Life>) = mpsc::sync_channel(1);
        let (tell, told) = mpsc::sync_channel(1);
        let thread = spawn("hold", move || {
            // Where it is refused, it is as early as it can be; unbound, real-time priority would make it late.
            if scheduling::bind(place, count).and_then(|()| scheduling::fifo()).is_err() {
                let _nimble = scheduling::nice_alone(-20);
            }
            let confined = privileges::give_up()
                .and_then(|()| privileges::confine_guard())
                .and_then(|()| privileges::confine_answering());
            // The receiver waits for this one message.
            let _told = tell.send(confined);
            if let Ok(live) = given.recv() {
                live();
            }
        })?;
        told.recv().map_err(|_| nobody())?.map_err(StartError::Privileges)?;
        Ok(Self { connector, thread, work })
    }

    /// Gives the thread its work: to hold what is executed on its share of the CPUs, until it is told to stop.
    pub(super) fn fill(
        self,
        identifier: Identifier,
        memory: Device,
        tray: &Arc<Tray>,
        shared: &Arc<Shared<Log>>,
        control: &Arc<ReaderControl>,
    ) -> Result<JoinHandle<()>, StartError> {
        let (tray, shared, control) = (Arc::clone(tray), Arc::clone(shared), Arc::clone(control));
        let mut holder = Holder { connector: self.connector, identifier, memory, tray, shared, lost: 0 };
        self.work.send(Box::new(move || holder.live(&control))).map_err(|_| nobody())?;
        Ok(self.thread)
    }
}

fn nobody() -> StartError {
    StartError::System { what: "start a thread", error: io::ErrorKind::BrokenPipe.into() }
}

impl Tray {
    /// Puts a program on it; where there is no room for it that is counted.
    pub(super) fn put(&self, program: Program) {
        let mut content = self.content();
        if content.programs.len() < HELD {
            content.programs.push_back(program);
        } else {
            self.no_room.fetch_add(1, Ordering::Relaxed);
        }
        self.filled.notify_one();
    }

    /// Waits for the next program, until this moment where there is one.
    pub(super) fn next(&self, until: Option<Instant>) -> Next {
        let mut content = self.content();
        loop {
            if content.closed {
                return Next::End;
            }
            if let Some(program) = content.programs.pop_front() {
                return Next::Program(program);
            }
            if std::mem::take(&mut content.knocked) {
                return Next::Nothing;
            }
            content = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.filled.wait(content).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return Next::Nothing,
                Some(left) => {
                    self.filled.wait_timeout(content, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Programs that come through this mount need not be looked at any more.
    pub(super) fn forget(&self, mount: Option<u64>) {
        let mut content = self.content();
        if content.none_of_ours.len() >= MOUNTS {
            content.none_of_ours.clear();
        }
        content.none_of_ours.extend(mount);
    }

    /// Ends [`Self::next`].
    pub(super) fn close(&self) {
        self.content().closed = true;
        self.filled.notify_all();
    }

    fn knock(&self) {
        self.content().knocked = true;
        self.filled.notify_one();
    }

    fn is_none_of_ours(&self, mount: Option<u64>) -> bool {
        mount.is_some_and(|mount| self.content().none_of_ours.contains(&mount))
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread's part.
struct Holder {
    connector: Connector,
    identifier: Identifier,
    memory: Device,
    tray: Arc<Tray>,
    shared: Arc<Shared<Log>>,
    /// Messages that the kernel had lost when we last looked.
    lost: u32,
}

impl Holder {
    fn live(&mut self, control: &ReaderControl) {
        if let Err(error) = self.listen(control) {
            let text = format!("execs are not told of any more: {error}");
            self.shared.sink.notice(&Notice::Other { action: "unseen-failed", text: &text, failed: true });
        }
    }

    fn listen(&mut self, control: &ReaderControl) -> io::Result<()> {
        loop {
            match self.connector.read()? {
                Some(Told::Exec(process)) => self.take_hold(process),
                Some(Told::Answer { .. } | Told::Other) => {}
                Some(Told::Lost) => self.count_loss(),
                None if control.is_to_stop() => return Ok(()),
                None => self.wait(control)?,
            }
        }
    }

    fn wait(&self, control: &ReaderControl) -> io::Result<()> {
        let mut fds = [
            PollFd::new(self.connector.as_fd(), PollFlags::POLLIN),
            PollFd::new(control.wake(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
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
            return self.tray.knock();
        };
        let is_watched = self.shared.current.get().scope.watches_whole(running.file().0);
        if !is_watched && let Some(script) = self.identifier.numbered_script(&running, self.memory) {
            self.hand_over(script);
        }
        if is_watched
            || !self.tray.is_none_of_ours(running.mount())
            || self.identifier.is_interpreter(&running)
        {
            self.hand_over(running);
        }
    }

    fn hand_over(&mut self, mut running: Running) {
        self.identifier.keep_who(&mut running);
        let program = Program { running, at: Timestamp(clock::realtime()), since: clock::boottime() };
        self.tray.put(program);
    }

    /// The kernel's buffer was full.
    fn count_loss(&mut self) {
        let lost = self.connector.lost().unwrap_or(self.lost.wrapping_add(1));
        let count = lost.wrapping_sub(self.lost).max(1);
        self.lost = lost;
        self.tray.unheard.fetch_add(count.into(), Ordering::Relaxed);
        self.tray.knock();
    }
}
