//! The log: gives each record its number and writes it, before the answer, to the record of truth.
//!
//! Owns the one mutex under which lines are made and written, so that the order in the file is the order of the numbers,
//! and the threads behind it. May not wait for anything but that write. Called by every thread that settles attempts.

use super::Host;
use super::alerts::Alerts;
use super::feeder::{Count, Feeder, Outlet, Queue};
use super::file::{Appender, errno};
use super::format::{self, Entry, Notice, Redact};
use super::journal::{self, Journal};
use super::keeper::{Bell, Keeper};
use super::settings::{Settings, Stderr};
use super::stderr::NonBlocking;
use super::syslog::Syslog;
use super::terminal::Terminal;
use super::writer::{Current, Numbering, Outcome, Writer};
use nix::errno::Errno;
use std::fmt;
use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The log of one guard. Dropping it lets its threads end; [`Log::close`] waits for them.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    /// Closed by each thread when it ends.
    ended: Mutex<mpsc::Receiver<()>>,
}

/// What the threads of the log share.
#[derive(Debug)]
pub(super) struct Shared {
    writer: Mutex<Writer>,
    host: Host,
    /// Towards the other sinks; `None` where there are none.
    queue: Option<Queue>,
    journal: bool,
    outlets: Vec<Arc<Count>>,
    alerts: Mutex<Option<SinkState>>,
    pub(super) bell: Bell,
}

/// A record could not be written; its number is used up, and a later notice tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotRecorded {
    /// The number it would have had.
    pub sequence: u64,
    /// What the write failed with.
    pub errno: i32,
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
    /// Standard error cannot be used.
    Stderr(i32),
    /// A thread cannot be started.
    Thread(i32),
}

/// What a sink has done so far.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SinkState {
    /// `file`, `alerts`, `stderr`, `syslog` or `journal`.
    pub sink: String,
    /// Records and notices it took.
    pub written: u64,
    /// Records and notices it lost.
    pub lost: u64,
    /// It took the last one.
    pub working: bool,
    /// What it failed with last.
    pub error: Option<String>,
}

impl Log {
    /// Opens every sink and starts the log's threads. The file is made where it is missing; what a crash left at its end
    /// is repaired; the sequence goes on where this boot's last record ended.
    ///
    /// # Errors
    /// When there is no record of truth, or it cannot be opened. Other sinks may come and go.
    pub fn open(settings: &Settings, host: Host) -> Result<Self, RecordError> {
        Self::open_numbered(settings, host, None)
    }

    /// The same; the sequence goes on where `numbering` says, if that is later, and is noted there.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_after(
        settings: &Settings,
        host: Host,
        numbering: Arc<dyn Numbering>,
    ) -> Result<Self, RecordError> {
        Self::open_numbered(settings, host, Some(numbering))
    }

    fn open_numbered(
        settings: &Settings,
        host: Host,
        numbering: Option<Arc<dyn Numbering>>,
    ) -> Result<Self, RecordError> {
        let stderr = std::io::stderr();
        let colour =
            stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let stderr =
            stderr.as_fd().try_clone_to_owned().map_err(|error| RecordError::Stderr(number(&error)))?;
        Self::open_with(settings, host, numbering, stderr, colour)
    }

    fn open_with(
        settings: &Settings,
        host: Host,
        numbering: Option<Arc<dyn Numbering>>,
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
        let writer = match (&settings.file, settings.stderr) {
            (Some(_), Stderr::Record) => return Err(RecordError::TwoRecords),
            (None, Stderr::Off | Stderr::Readable) => return Err(RecordError::NoRecord),
            (None, Stderr::Record) => Writer::to_stderr(stderr),
            (Some(file), wanted) => {
                if wanted == Stderr::Readable {
                    outlets.push(Box::new(Terminal::new(stderr, colour)));
                }
                let failed = |errno| RecordError::File(file.path.clone(), errno as i32);
                Writer::to_file(file, &host, numbering).map_err(failed)?
            }
        };
        let mut writer = writer;
        writer.redact(Redact::new(&settings.redact));
        let feeder = (!outlets.is_empty()).then(|| Feeder::new(outlets));
        let shared = Arc::new(Shared {
            writer: Mutex::new(writer),
            host,
            queue: feeder.as_ref().map(|_| Queue::new(QUEUE)),
            journal: settings.journal.is_some(),
            outlets: feeder.as_ref().map(Feeder::counts).unwrap_or_default(),
            alerts: Mutex::new(None),
            bell: Bell::default(),
        });
        Self::start(shared, Keeper::new(settings.file.as_ref()), feeder)
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
        self.shared.writer().redact(Redact::new(patterns));
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

impl Shared {
    fn attempt(&self, entry: &Entry<'_>) -> Result<u64, NotRecorded> {
        let mut writer = self.writer();
        let outcome = writer.attempt(entry, &self.host);
        self.after(&writer, &outcome);
        if let Some(queue) = &self.queue {
            queue.push(|parcel| {
                parcel.level = entry.case().level();
                format::summary(&mut parcel.summary, entry);
                if self.journal {
                    journal::attempt(&mut parcel.fields, outcome.sequence, entry);
                }
            });
        }
        outcome.result
    }

    /// Writes a notice. A loss is counted and told later.
    pub(super) fn notice(&self, notice: &Notice<'_>) {
        self.notice_in(&mut self.writer(), notice);
    }

    fn notice_in(&self, writer: &mut Writer, notice: &Notice<'_>) {
        let outcome = writer.notice(notice, &self.host);
        self.after(writer, &outcome);
        self.copy(notice, outcome.sequence);
    }

    /// After each line: tells other sinks where the record of truth begins to lose, and rings for the keeper.
    fn after(&self, writer: &Writer, outcome: &Outcome) {
        if outcome.is_large {
            self.bell.rotate();
        }
        if let Some(errno) = outcome.begins_to_lose {
            let told = Notice::SinkLost { sink: writer.sink(), count: 1, error: errno.desc() };
            self.copy(&told, outcome.sequence);
        }
    }

    fn copy(&self, notice: &Notice<'_>, sequence: u64) {
        let Some(queue) = &self.queue else { return };
        queue.push(|parcel| {
            parcel.level = notice.level();
            parcel.about =
                self.outlets.iter().map(|outlet| outlet.sink).find(|sink| notice.sink() == Some(sink));
            format::notice_summary(&mut parcel.summary, notice);
            if self.journal {
                journal::notice(&mut parcel.fields, sequence);
            }
        });
    }

    /// The open file; `None` where there is none.
    pub(super) fn current(&self) -> Option<Current> {
        self.writer().current()
    }

    /// Goes on in another file, with a notice as its first line. Gives the old one.
    pub(super) fn go_on_in(&self, next: Appender, told: &Notice<'_>) -> Option<Arc<File>> {
        let mut writer = self.writer();
        let old = writer.go_on_in(next);
        self.notice_in(&mut writer, told);
        old
    }

    /// Says whether the path can be opened anew where it does not name the open file.
    pub(super) fn set_adrift(&self, adrift: Option<Errno>) {
        self.writer().set_adrift(adrift);
    }

    /// Writes the rest of a line on standard error.
    pub(super) fn flush(&self) {
        self.writer().flush();
    }

    /// Takes over what the copy of the alerts says of itself.
    pub(super) fn account_alerts(&self, alerts: &Alerts) {
        let state = SinkState {
            sink: "alerts".to_owned(),
            written: alerts.written,
            lost: alerts.lost,
            working: alerts.error.is_none(),
            error: alerts.error.map(|errno| errno.desc().to_owned()),
        };
        *self.alerts.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    fn counters(&self) -> Vec<SinkState> {
        let mut states = vec![self.writer().state()];
        states.extend(self.alerts.lock().unwrap_or_else(PoisonError::into_inner).clone());
        states.extend(self.outlets.iter().map(|count| {
            let last = count.last.load(Ordering::Relaxed);
            SinkState {
                sink: count.sink.to_owned(),
                written: count.written.load(Ordering::Relaxed),
                lost: count.lost.load(Ordering::Relaxed),
                working: count.errno.load(Ordering::Relaxed) == 0,
                error: (last != 0).then(|| Errno::from_raw(last).desc().to_owned()),
            }
        }));
        states
    }

    fn stop(&self) {
        self.bell.stop();
        if let Some(queue) = &self.queue {
            queue.stop();
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic while a line was made leaves a line that `begin` clears.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(error: &std::io::Error) -> i32 {
    errno(error) as i32
}

impl fmt::Display for NotRecorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} not written: {}", self.sequence, Errno::from_raw(self.errno).desc())
    }
}

impl std::error::Error for NotRecorded {}

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
