//! The log: gives each record its number and writes it, before the answer, to the record of truth.
//!
//! Owns the sequence and the one mutex under which lines are made and written; the order in the file is the order of
//! the numbers. May not wait for anything but that write. Called by every thread that settles attempts.

use super::Host;
use super::alerts::Alerts;
use super::feeder::{Count, Feeder, Outlet, Queue};
use super::file::{Appender, Place, errno};
use super::format::{self, Entry, Frame, Notice, Redact};
use super::journal::{self, Journal};
use super::keeper::{Bell, Keeper};
use super::settings::{FileSettings, Settings, Stderr, Sync};
use super::stderr::NonBlocking;
use super::syslog::Syslog;
use super::terminal::Terminal;
use crate::event::Timestamp;
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
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    redact: Redact,
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

#[derive(Debug)]
struct Writer {
    next: u64,
    line: Vec<u8>,
    primary: Primary,
    missing: Option<Missing>,
    written: u64,
    lost: u64,
    error: Option<Errno>,
    /// The path does not name the open file, and cannot be opened anew: what is written may be lost with the file.
    adrift: Option<Errno>,
}

/// Records that are not where they should be, and nothing there says so yet.
#[derive(Clone, Copy, Debug)]
struct Missing {
    first: u64,
    last: u64,
    count: u64,
}

/// The record of truth.
#[derive(Debug)]
enum Primary {
    File { appender: Appender, sync: Sync, large: Large },
    Stderr(NonBlocking),
}

/// When a file is large, and whether the keeper has been told.
#[derive(Debug)]
struct Large {
    size: u64,
    told: bool,
}

/// The open file as the keeper sees it.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) file: Arc<File>,
    pub(super) size: u64,
    pub(super) written: u64,
    pub(super) failing: Option<Errno>,
}

impl Log {
    /// Opens every sink and starts the log's threads. The file is made where it is missing; what a crash left at its end
    /// is repaired; the sequence goes on where this boot's last record ended.
    ///
    /// # Errors
    /// When there is no record of truth, or it cannot be opened. Other sinks may come and go.
    pub fn open(settings: &Settings, host: Host) -> Result<Self, RecordError> {
        let stderr = std::io::stderr();
        let colour =
            stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let stderr =
            stderr.as_fd().try_clone_to_owned().map_err(|error| RecordError::Stderr(number(&error)))?;
        Self::open_with(settings, host, stderr, colour)
    }

    fn open_with(
        settings: &Settings,
        host: Host,
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
        let (primary, next) = match (&settings.file, settings.stderr) {
            (Some(_), Stderr::Record) => return Err(RecordError::TwoRecords),
            (None, Stderr::Off | Stderr::Readable) => return Err(RecordError::NoRecord),
            (None, Stderr::Record) => (Primary::Stderr(stderr), 1),
            (Some(file), wanted) => {
                if wanted == Stderr::Readable {
                    outlets.push(Box::new(Terminal::new(stderr, colour)));
                }
                let opened = open_file(file, &host);
                let (appender, next) =
                    opened.map_err(|errno| RecordError::File(file.path.clone(), errno as i32))?;
                let large = Large { size: file.max_size, told: false };
                (Primary::File { appender, sync: file.sync, large }, next)
            }
        };
        let feeder = (!outlets.is_empty()).then(|| Feeder::new(outlets));
        let shared = Arc::new(Shared {
            writer: Mutex::new(Writer::new(primary, next)),
            host,
            redact: Redact::new(&settings.redact),
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
        let frame = Frame { host: &self.host, redact: &self.redact };
        let mut writer = self.writer();
        let sequence = writer.begin();
        format::attempt(&mut writer.line, sequence, entry, &frame);
        let result = writer.finish(sequence);
        self.after(&mut writer, result.is_ok());
        if let Some(queue) = &self.queue {
            queue.push(|parcel| {
                parcel.level = entry.case().level();
                format::summary(&mut parcel.summary, entry);
                if self.journal {
                    journal::attempt(&mut parcel.fields, sequence, entry);
                }
            });
        }
        result
    }

    /// Writes a notice. A loss is counted and told later.
    pub(super) fn notice(&self, notice: &Notice<'_>) {
        let mut writer = self.writer();
        let (sequence, result) = writer.notice(notice, &self.host);
        self.after(&mut writer, result.is_ok());
        self.copy(notice, sequence);
    }

    /// After each write: tells of what was lost, in the log where it works again, elsewhere where it begins not to; and
    /// rings for the keeper.
    fn after(&self, writer: &mut Writer, written: bool) {
        let sink = writer.primary.name();
        if written {
            writer.tell_missing(&self.host);
            if writer.primary.is_large() {
                self.bell.rotate();
            }
        } else if let Some(errno) = writer.begins_to_lose() {
            self.copy(&Notice::SinkLost { sink, count: 1, error: errno.desc() }, writer.next);
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

    /// The open file, its size, how many lines were written so far, and what writing fails with.
    pub(super) fn current(&self) -> Option<Current> {
        let mut writer = self.writer();
        let (written, failing) = (writer.written, writer.missing.and(writer.error));
        match &mut writer.primary {
            Primary::File { appender, .. } => {
                appender.measure();
                Some(Current { file: appender.file(), size: appender.size(), written, failing })
            }
            Primary::Stderr(_) => None,
        }
    }

    /// Goes on in another file, with a notice as its first line. Gives the old one.
    pub(super) fn go_on_in(&self, next: Appender, told: &Notice<'_>) -> Option<Arc<File>> {
        let mut writer = self.writer();
        let Primary::File { appender, large, .. } = &mut writer.primary else { return None };
        let old = std::mem::replace(appender, next);
        large.told = false;
        let (sequence, result) = writer.notice(told, &self.host);
        self.after(&mut writer, result.is_ok());
        self.copy(told, sequence);
        Some(old.file())
    }

    /// Says whether the path can be opened anew where it does not name the open file.
    pub(super) fn set_adrift(&self, adrift: Option<Errno>) {
        self.writer().adrift = adrift;
    }

    /// Writes the rest of a line on standard error.
    pub(super) fn flush(&self) {
        if let Primary::Stderr(stderr) = &mut self.writer().primary {
            // Where the reader still sleeps, the next tick tries again.
            stderr.flush().unwrap_or_default();
        }
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

impl Writer {
    fn new(primary: Primary, next: u64) -> Self {
        let line = Vec::with_capacity(LINE);
        Self { next, line, primary, missing: None, written: 0, lost: 0, error: None, adrift: None }
    }

    fn state(&self) -> SinkState {
        SinkState {
            sink: self.primary.name().to_owned(),
            written: self.written,
            lost: self.lost,
            working: self.missing.is_none() && self.adrift.is_none(),
            error: self.adrift.or(self.error).map(|errno| errno.desc().to_owned()),
        }
    }

    /// What the write failed with, where it is the first that did.
    fn begins_to_lose(&self) -> Option<Errno> {
        self.error.filter(|_| self.missing.is_some_and(|missing| missing.count == 1))
    }

    fn begin(&mut self) -> u64 {
        if self.line.capacity() > LONG_LINE {
            self.line = Vec::with_capacity(LINE);
        }
        self.line.clear();
        let sequence = self.next;
        // The number is used up even where the write fails: other sinks may have it, and a gap tells of the loss.
        self.next = self.next.saturating_add(1);
        sequence
    }

    fn finish(&mut self, sequence: u64) -> Result<u64, NotRecorded> {
        match self.primary.write(&self.line) {
            Ok(()) => {
                self.written += 1;
                Ok(sequence)
            }
            Err(errno) => {
                self.lost += 1;
                self.error = Some(errno);
                let before = self.missing.unwrap_or(Missing { first: sequence, last: sequence, count: 0 });
                self.missing = Some(Missing { last: sequence, count: before.count + 1, ..before });
                Err(NotRecorded { sequence, errno: errno as i32 })
            }
        }
    }

    fn notice(&mut self, notice: &Notice<'_>, host: &Host) -> (u64, Result<u64, NotRecorded>) {
        let sequence = self.begin();
        format::notice(&mut self.line, sequence, now(), notice, host);
        (sequence, self.finish(sequence))
    }

    /// After a record that was written: says which ones before it were not.
    fn tell_missing(&mut self, host: &Host) {
        let Some(missing) = self.missing.take() else { return };
        let told = Notice::SinkBack {
            sink: self.primary.name(),
            lost: missing.count,
            missing: Some((missing.first, missing.last)),
        };
        if self.notice(&told, host).1.is_err() {
            // What was to be told is still to be told, and the notice is missing as well.
            self.missing = self.missing.map(|notice| Missing {
                first: missing.first,
                count: missing.count + notice.count,
                ..notice
            });
        }
    }
}

impl Primary {
    fn name(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Stderr(_) => "stderr",
        }
    }

    fn write(&mut self, line: &[u8]) -> Result<(), Errno> {
        match self {
            Self::File { appender, sync, .. } => {
                appender.append(line)?;
                if *sync == Sync::Each { appender.sync() } else { Ok(()) }
            }
            Self::Stderr(stderr) => stderr.line(line),
        }
    }
}

impl Primary {
    /// True once for each file that has become large.
    fn is_large(&mut self) -> bool {
        match self {
            Self::File { appender, large, .. } if appender.size() >= large.size => {
                !std::mem::replace(&mut large.told, true)
            }
            Self::File { .. } | Self::Stderr(_) => false,
        }
    }
}

fn number(error: &std::io::Error) -> i32 {
    errno(error) as i32
}

fn open_file(settings: &FileSettings, host: &Host) -> Result<(Appender, u64), Errno> {
    let place = Place::new(&settings.path, settings.keep);
    let file = place.open()?;
    let tail = place.tail()?;
    let mut next = tail
        .last
        .filter(|last| last.boot == host.boot_id())
        .map_or(1, |last| last.sequence.saturating_add(1));
    if let Some(torn) = tail.torn {
        let mut line = Vec::new();
        let told = Notice::Torn { bytes: torn.bytes, text: &torn.text };
        format::notice(&mut line, next, now(), &told, host);
        place.replace(&torn, &line)?;
        next += 1;
    }
    Ok((Appender::new(file), next))
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
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

/// A line at full depth is about 4,000 bytes; one with long arguments may need more for a moment.
const LINE: usize = 8 << 10;
const LONG_LINE: usize = 256 << 10;
/// Parcels on their way to other sinks: at 20,000 records a second the feeder may be away for 50 ms. Their buffers hold
/// a few hundred bytes each as a rule, and at most about 12,000.
const QUEUE: usize = 1024;

#[cfg(test)]
mod sink_tests;
#[cfg(test)]
mod tests;
