//! The log: gives each record its number and writes it, before the answer, to the record of truth.
//!
//! Owns the one writer that threads use in turn, so that the order in the file is the order of the numbers, and the
//! threads behind it. May not wait for anything but that write, and for another thread's only so long: while a disk
//! hangs, what is not written is counted. Called by every thread that settles attempts.

use super::Host;
use super::bell::Bell;
use super::errno::errno;
use super::feeder::{Feeder, Outlet, Queue};
use super::format::{Entry, Notice, Redact};
use super::journal::Journal;
use super::keeper::Keeper;
use super::occupied;
use super::opening::{self, Failed};
use super::settings::{Settings, Stderr};
use super::shared::Shared;
use super::stderr::NonBlocking;
use super::syslog::Syslog;
use super::terminal::Terminal;
use super::turn::Turn;
use super::writer::{NotRecorded, Noted, Numbering, SinkState, Writer};
use nix::errno::Errno;
use std::fmt;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI32;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

/// The log of one guard. Dropping it lets its threads end; [`Log::close`] waits for them.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    /// Closed by each thread when it ends.
    ended: Mutex<mpsc::Receiver<()>>,
}

/// A guard that goes on where another one ended.
#[derive(Clone, Copy, Debug)]
pub struct Successor<'a> {
    /// What its first record says.
    pub says: &'a str,
    /// How long it waits for its log: execs wait for it.
    pub patience: Duration,
}

/// Why a log cannot be opened.
#[derive(Debug)]
pub enum RecordError {
    /// There is neither a file nor records on standard error.
    NoRecord,
    /// There are both a file and records on standard error.
    TwoRecords,
    /// There is no syslog facility with this name.
    Facility(String),
    /// The file cannot be opened, or its end not be read or repaired.
    File(PathBuf, i32),
    /// Another guard writes its log in the same directory, and holds this lock file there.
    Held(PathBuf),
    /// Standard error cannot be used.
    Stderr(i32),
    /// A thread cannot be started.
    Thread(i32),
}

impl Log {
    /// Opens every sink and starts the log's threads. The file is made where it is missing; what a crash left at its end
    /// is repaired; the sequence goes on where this boot's last record ended.
    ///
    /// # Errors
    /// When there is no record of truth, it cannot be opened, or another guard's lies there. Other sinks may come and go.
    pub fn open(settings: &Settings, host: Host) -> Result<Self, RecordError> {
        Self::open_numbered(settings, host, None, None)
    }

    /// The same; the sequence goes on where `numbering` says, if that is later, and is noted there. A successor says what
    /// it does there at once; where that hangs with its disk, or the file cannot be opened, it has its log later, and what
    /// it records until then is lost and counted.
    ///
    /// # Errors
    /// As [`Log::open`], but for a successor not because of its file.
    pub fn open_after(
        settings: &Settings,
        host: Host,
        numbering: Arc<dyn Numbering>,
        successor: Option<Successor<'_>>,
    ) -> Result<Self, RecordError> {
        Self::open_numbered(settings, host, Some(numbering), successor)
    }

    fn open_numbered(
        settings: &Settings,
        host: Host,
        numbering: Option<Arc<dyn Numbering>>,
        successor: Option<Successor<'_>>,
    ) -> Result<Self, RecordError> {
        let stderr = std::io::stderr();
        let colour =
            stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let stderr =
            stderr.as_fd().try_clone_to_owned().map_err(|error| RecordError::Stderr(number(&error)))?;
        Self::open_with(settings, host, numbering, successor, stderr, colour)
    }

    fn open_with(
        settings: &Settings,
        host: Host,
        numbering: Option<Arc<dyn Numbering>>,
        successor: Option<Successor<'_>>,
        stderr: OwnedFd,
        colour: bool,
    ) -> Result<Self, RecordError> {
        let mut outlets: Vec<Box<dyn Outlet>> = Vec::new();
        if let Some(settings) = &settings.syslog {
            let facility = || RecordError::Facility(settings.facility.clone());
            outlets.push(Box::new(Syslog::new(settings).ok_or_else(facility)?));
        }
        if let Some(settings) = &settings.journal {
            outlets.push(Box::new(Journal::new(&settings.socket)));
        }
        let stderr = NonBlocking::new(stderr);
        let (mut late, mut unopened, mut occupied) = (None, 0, None);
        // Nobody notes anything before there is a writer.
        let noted = numbering.as_deref().map(Noted::of).unwrap_or_default();
        let writer = match (&settings.file, settings.stderr) {
            (Some(_), Stderr::Record) => return Err(RecordError::TwoRecords),
            (None, Stderr::Off | Stderr::Readable) => return Err(RecordError::NoRecord),
            (None, Stderr::Record) => {
                let writer = Writer::to_stderr(stderr, noted.owed);
                if let Some(numbering) = &numbering {
                    numbering.pay(noted.owed);
                }
                Turn::new(writer)
            }
            (Some(file), wanted) => {
                if wanted == Stderr::Readable {
                    outlets.push(Box::new(Terminal::new(stderr, colour)));
                }
                let failed = |failed: Failed| match failed {
                    Failed::Held => RecordError::Held(occupied::lock_file(&file.path)),
                    Failed::Errno(errno) => RecordError::File(file.path.clone(), errno as i32),
                };
                let says = successor.map(|successor| successor.says.to_owned());
                let opening = opening::aside(file, &host, noted, says)
                    .map_err(|error| RecordError::Thread(number(&error)))?;
                let patience = successor.map_or(Duration::MAX, |successor| successor.patience);
                match opening.recv_timeout(patience) {
                    Ok(Ok(mut opened)) => {
                        opened.writer.note_in(numbering.clone(), noted.owed);
                        occupied = opened.occupied;
                        Turn::new(opened.writer)
                    }
                    Ok(Err(why)) if successor.is_none() => return Err(failed(why)),
                    // Execs wait for a successor: it stands without its log, as one does whose disk fails later.
                    Ok(Err(why)) => {
                        unopened = match why {
                            Failed::Errno(errno) => errno as i32,
                            Failed::Held => Errno::EBUSY as i32,
                        };
                        late = Some(opening);
                        Turn::to_come()
                    }
                    Err(_) => {
                        late = Some(opening);
                        Turn::to_come()
                    }
                }
            }
        };
        let feeder = (!outlets.is_empty()).then(|| Feeder::new(outlets));
        let shared = Arc::new(Shared {
            writer,
            done: Default::default(),
            owed: Mutex::default(),
            unopened: AtomicI32::new(unopened),
            numbering,
            inherited: noted.owed,
            redact: RwLock::new(Redact::new(&settings.redact)),
            host,
            queue: feeder.as_ref().map(|_| Queue::new(QUEUE)),
            journal: settings.journal.is_some(),
            outlets: feeder.as_ref().map(Feeder::counts).unwrap_or_default(),
            alerts: Mutex::new(None),
            bell: Bell::default(),
        });
        if let Some(successor) = successor {
            let told = opening::takes_over(successor.says);
            if settings.file.is_some() {
                shared.copy(&told, 0);
            } else {
                shared.notice(&told);
            }
        }
        Self::start(shared, Keeper::new(settings.file.as_ref(), late, occupied), feeder)
    }

    fn start(shared: Arc<Shared>, keeper: Keeper, feeder: Option<Feeder>) -> Result<Self, RecordError> {
        let (end, ended) = mpsc::channel();
        // Made first: where the second thread cannot be started, dropping it ends the first.
        let log = Self { shared: Arc::clone(&shared), ended: Mutex::new(ended) };
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = thread::Builder::new().name(name.to_owned());
            thread.spawn(work).map(drop).map_err(|error| RecordError::Thread(number(&error)))
        };
        let (kept, end_of_keeper) = (Arc::clone(&shared), end.clone());
        spawn(
            "log-keeper",
            Box::new(move || {
                keeper.run(&kept);
                drop(end_of_keeper);
            }),
        )?;
        if let Some(feeder) = feeder {
            spawn(
                "log-feeder",
                Box::new(move || {
                    if let Some(queue) = &shared.queue {
                        feeder.run(queue, &|notice| shared.notice(notice));
                    }
                    drop(end);
                }),
            )?;
        }
        Ok(log)
    }

    /// Writes one attempt's record and gives its number. It is in the file (or on standard error) when this returns;
    /// the other sinks get it later.
    ///
    /// # Errors
    /// When it is not there. The loss is counted, and told as soon as there is a place to tell it.
    pub fn attempt(&self, entry: &Entry<'_>) -> Result<u64, NotRecorded> {
        self.shared.attempt(entry)
    }

    /// Writes a notice. A loss is counted and told later.
    pub fn notice(&self, notice: &Notice<'_>) {
        self.shared.notice(notice);
    }

    /// What each sink has done so far; the record of truth is the first.
    #[must_use]
    pub fn counters(&self) -> Vec<SinkState> {
        self.shared.counters()
    }

    /// Hides other arguments from now on.
    pub fn redact(&self, patterns: &[String]) {
        *self.shared.redact.write().unwrap_or_else(PoisonError::into_inner) = Redact::new(patterns);
    }

    /// Has the file opened anew, soon: for whoever has moved it away.
    pub fn reopen(&self) {
        self.shared.bell.reopen();
    }

    /// Lets the threads finish what is under way, and waits for them, but not longer than `longest`. True where they did.
    /// What is recorded later goes to the record of truth alone.
    pub fn close(&self, longest: Duration) -> bool {
        self.shared.stop();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(ended.recv_timeout(longest), Err(RecvTimeoutError::Disconnected))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

fn number(error: &std::io::Error) -> i32 {
    errno(error) as i32
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let desc = |errno: &i32| Errno::from_raw(*errno).desc();
        match self {
            Self::NoRecord => f.write_str("neither a log file nor records on standard error are configured"),
            Self::TwoRecords => f.write_str("records go to the log file or to standard error, not to both"),
            Self::Facility(name) => write!(f, "there is no syslog facility `{name}`"),
            Self::File(path, errno) => {
                write!(f, "the log {} cannot be used: {}", path.display(), desc(errno))
            }
            Self::Held(lock) => {
                let directory = lock.parent().unwrap_or(Path::new("/")).display();
                write!(
                    f,
                    "another guard writes its log in {directory} and holds {}: stop that one, or give this one a \
                     log.file.path in another directory",
                    lock.display()
                )
            }
            Self::Stderr(errno) => write!(f, "standard error cannot be used: {}", desc(errno)),
            Self::Thread(errno) => write!(f, "a thread cannot be started: {}", desc(errno)),
        }
    }
}

impl std::error::Error for RecordError {}

/// Parcels on their way to other sinks: at 20,000 records a second the feeder may be away for 50 ms. Their buffers hold
/// a few hundred bytes each as a rule, and at most about 12,000.
const QUEUE: usize = 1024;

#[cfg(test)]
mod sink_tests;
#[cfg(test)]
mod tests;
