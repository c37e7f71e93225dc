//! The log: gives each record its number and writes it, before the answer, to the record of truth.
//!
//! Owns the one writer that threads use in turn, so that the order in the file is the order of the numbers, and the
//! threads behind it. May not wait for anything but that write, and for another thread's only so long: while a disk
//! hangs, what is not written is counted. Called by every thread that settles attempts.

use super::Host;
use super::alerts::Alerts;
use super::feeder::{Count, Feeder, Outlet, Queue};
use super::file::{Appender, errno};
use super::format::{self, Entry, Frame, Notice, Redact};
use super::journal::{self, Journal};
use super::keeper::{Bell, Keeper};
use super::settings::{FileSettings, Settings, Stderr};
use super::stderr::NonBlocking;
use super::syslog::Syslog;
use super::terminal::Terminal;
use super::turn::Turn;
use super::writer::{Current, Numbering, Outcome, Writer};
use nix::errno::Errno;
use std::fmt;
use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
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
    writer: Turn<Writer>,
    /// What the writer has written and lost, for when it hangs.
    done: [AtomicU64; 2],
    /// Records and notices since the writer hangs, which are lost: it gives them their numbers when it is back.
    owed: Mutex<u64>,
    numbering: Option<Arc<dyn Numbering>>,
    redact: RwLock<Redact>,
    host: Host,
    /// Towards the other sinks; `None` where there are none.
    queue: Option<Queue>,
    journal: bool,
    outlets: Vec<Arc<Count>>,
    alerts: Mutex<Option<SinkState>>,
    pub(super) bell: Bell,
}

/// A guard that goes on where another one ended.
#[derive(Clone, Copy, Debug)]
pub struct Successor<'a> {
    /// What its first record says.
    pub says: &'a str,
    /// How long it waits for its log: execs wait for it.
    pub patience: Duration,
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
        Self::open_numbered(settings, host, None, None)
    }

    /// The same; the sequence goes on where `numbering` says, if that is later, and is noted there. A successor says what
    /// it does there at once; where that hangs with its disk, it has its log later, and what it records until then is lost
    /// and counted.
    ///
    /// # Errors
    /// As [`Log::open`].
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
        let mut late = None;
        let writer = match (&settings.file, settings.stderr) {
            (Some(_), Stderr::Record) => return Err(RecordError::TwoRecords),
            (None, Stderr::Off | Stderr::Readable) => return Err(RecordError::NoRecord),
            (None, Stderr::Record) => Turn::new(Writer::to_stderr(stderr)),
            (Some(file), wanted) => {
                if wanted == Stderr::Readable {
                    outlets.push(Box::new(Terminal::new(stderr, colour)));
                }
                let failed = |errno| RecordError::File(file.path.clone(), errno as i32);
                let says = successor.map(|successor| successor.says.to_owned());
                let opening = open_aside(file, &host, numbering.clone(), says)?;
                let patience = successor.map_or(Duration::MAX, |successor| successor.patience);
                match opening.recv_timeout(patience) {
                    Ok(opened) => Turn::new(opened.map_err(failed)?),
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
            numbering,
            redact: RwLock::new(Redact::new(&settings.redact)),
            host,
            queue: feeder.as_ref().map(|_| Queue::new(QUEUE)),
            journal: settings.journal.is_some(),
            outlets: feeder.as_ref().map(Feeder::counts).unwrap_or_default(),
            alerts: Mutex::new(None),
            bell: Bell::default(),
        });
        if let Some(successor) = successor {
            let told = takes_over(successor.says);
            if settings.file.is_some() {
                shared.copy(&told, 0);
            } else {
                shared.notice(&told);
            }
        }
        Self::start(shared, Keeper::new(settings.file.as_ref(), late), feeder)
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

impl Shared {
    fn attempt(&self, entry: &Entry<'_>) -> Result<u64, NotRecorded> {
        let copy = |sequence| {
            let Some(queue) = &self.queue else { return };
            queue.push(|parcel| {
                parcel.level = entry.case().level();
                format::summary(&mut parcel.summary, entry);
                if self.journal {
                    journal::attempt(&mut parcel.fields, sequence, entry);
                }
            });
        };
        let recorded = self.with_writer(PATIENCE, |writer| {
            let redact = self.redact.read().unwrap_or_else(PoisonError::into_inner);
            let outcome = writer.attempt(entry, &Frame { host: &self.host, redact: &redact });
            drop(redact);
            self.after(writer, &outcome);
            copy(outcome.sequence);
            outcome.result
        });
        recorded.unwrap_or_else(|| {
            copy(0);
            Err(self.owe())
        })
    }

    /// Writes a notice. A loss is counted and told later.
    pub(super) fn notice(&self, notice: &Notice<'_>) {
        if self.with_writer(PATIENCE, |writer| self.notice_in(writer, notice)).is_none() {
            self.copy(notice, 0);
            let _counted = self.owe();
        }
    }

    fn notice_in(&self, writer: &mut Writer, notice: &Notice<'_>) {
        let outcome = writer.notice(notice, &self.host);
        self.after(writer, &outcome);
        self.copy(notice, outcome.sequence);
    }

    /// Uses the writer. `None`: another thread is stuck with it.
    fn with_writer<R>(&self, patience: Duration, work: impl FnOnce(&mut Writer) -> R) -> Option<R> {
        self.writer.with(patience, |writer| {
            let owed = std::mem::take(&mut *self.owed());
            writer.lose(owed);
            let result = work(writer);
            for (done, count) in self.done.iter().zip(writer.done()) {
                done.store(count, Ordering::Relaxed);
            }
            result
        })
    }

    /// The writer that was to come is there. It knows of what was lost until its file was opened.
    pub(super) fn arrive(&self, mut writer: Writer) {
        let mut owed = self.owed();
        if let Some(numbering) = &self.numbering {
            writer.lose(numbering.noted().0.saturating_sub(writer.next()));
            *owed = 0;
        }
        self.writer.put(Box::new(writer));
    }

    /// Counts what could not be written because the writer hangs. Its number is noted for a successor: a writer that
    /// hangs for ever tells nobody.
    fn owe(&self) -> NotRecorded {
        let mut owed = self.owed();
        if *owed == 0 {
            self.copy(&Notice::SinkLost { sink: "file", count: 1, error: HANGS.desc() }, 0);
        }
        *owed = owed.saturating_add(1);
        if let Some(numbering) = &self.numbering {
            let (next, missing) = numbering.noted();
            let next = next.max(1);
            numbering.note(next.saturating_add(1), if missing == 0 { next } else { missing });
        }
        NotRecorded { sequence: 0, errno: HANGS as i32 }
    }

    fn owed(&self) -> MutexGuard<'_, u64> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The open file; `None` where there is none, or where the writer hangs.
    pub(super) fn current(&self) -> Option<Current> {
        self.with_writer(PATIENCE, Writer::current).flatten()
    }

    /// Goes on in another file, with a notice as its first line behind what goes along (see [`Writer::go_on_in`]). Gives
    /// the old one, and where the notice begins.
    pub(super) fn go_on_in(
        &self,
        next: Appender,
        along_from: Option<u64>,
        told: &Notice<'_>,
    ) -> Option<(Arc<File>, u64)> {
        let go_on = |writer: &mut Writer| {
            let old = writer.go_on_in(next, along_from);
            self.notice_in(writer, told);
            old
        };
        self.with_writer(PATIENCE, go_on).flatten()
    }

    /// Says whether the path can be opened anew where it does not name the open file.
    pub(super) fn set_adrift(&self, adrift: Option<Errno>) {
        // While the writer hangs, that is what is told.
        let _set = self.with_writer(PATIENCE, |writer| writer.set_adrift(adrift));
    }

    /// Writes the rest of a line on standard error.
    pub(super) fn flush(&self) {
        let _flushed = self.with_writer(PATIENCE, Writer::flush);
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
        let state = self.with_writer(PATIENCE, |writer| writer.state());
        let mut states = vec![state.unwrap_or_else(|| self.hanging())];
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

    /// The state of a writer that does not come back.
    fn hanging(&self) -> SinkState {
        let [written, lost] = self.done.each_ref().map(|count| count.load(Ordering::Relaxed));
        SinkState {
            // Records on standard error never wait.
            sink: "file".to_owned(),
            written,
            lost: lost.saturating_add(*self.owed()),
            working: false,
            error: Some(HANGS.desc().to_owned()),
        }
    }
}

fn takes_over(says: &str) -> Notice<'_> {
    Notice::Other { action: "guard-taken-over", text: says, failed: false }
}

/// Opens the file on a thread of its own: that can take as long as the disk likes. What fails is tried again, for as long
/// as anybody listens.
fn open_aside(
    settings: &FileSettings,
    host: &Host,
    numbering: Option<Arc<dyn Numbering>>,
    says: Option<String>,
) -> Result<mpsc::Receiver<Result<Writer, Errno>>, RecordError> {
    let (tell, opening) = mpsc::channel();
    let (settings, host) = (settings.clone(), host.clone());
    let open = move || {
        loop {
            let mut opened = Writer::to_file(&settings, &host, numbering.clone());
            if let (Ok(writer), Some(says)) = (&mut opened, &says) {
                // What cannot be written is missing like any other record.
                let _told = writer.notice(&takes_over(says), &host);
            }
            let is_last = opened.is_ok();
            if tell.send(opened).is_err() || is_last {
                return;
            }
            thread::sleep(Duration::from_secs(1));
        }
    };
    let thread = thread::Builder::new().name("log-opener".to_owned()).spawn(open);
    thread.map(|_| opening).map_err(|error| RecordError::Thread(number(&error)))
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

/// How long a thread waits for another one's write: a disk that is busy takes milliseconds, one that hangs takes for ever.
const PATIENCE: Duration = Duration::from_millis(500);
/// What is said of a disk that hangs.
const HANGS: Errno = Errno::ETIMEDOUT;

/// Parcels on their way to other sinks: at 20,000 records a second the feeder may be away for 50 ms. Their buffers hold
/// a few hundred bytes each as a rule, and at most about 12,000.
const QUEUE: usize = 1024;

#[cfg(test)]
mod sink_tests;
#[cfg(test)]
mod tests;
