//! The log: gives each record its number and writes it, before the answer, to the record of truth.
//!
//! Owns the sequence and the one mutex under which lines are made and written; the order in the file is the order of
//! the numbers. May not wait for anything but that write. Called by every thread that settles attempts.

use super::Host;
use super::file::{Appender, Place};
use super::format::{self, Entry, Frame, Notice, Redact};
use super::settings::{FileSettings, Settings, Stderr, Sync};
use super::stderr::NonBlocking;
use crate::event::Timestamp;
use nix::errno::Errno;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The log of one guard.
#[derive(Debug)]
pub struct Log {
    writer: Mutex<Writer>,
    host: Host,
    redact: Redact,
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
    File(Appender, Sync),
    Stderr(NonBlocking),
}

impl Log {
    /// Opens every sink. A file is made where it is missing; what a crash left at its end is repaired; the sequence goes
    /// on where this boot's last record ended.
    ///
    /// # Errors
    /// When there is no record of truth, or it cannot be opened. Other sinks may come and go.
    pub fn open(settings: &Settings, host: Host) -> Result<Self, RecordError> {
        let stderr = std::io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| RecordError::Stderr(error.raw_os_error().unwrap_or(libc::EIO)))?;
        Self::open_with(settings, host, stderr)
    }

    fn open_with(settings: &Settings, host: Host, stderr: OwnedFd) -> Result<Self, RecordError> {
        let (primary, next) = match (&settings.file, settings.stderr) {
            (Some(_), Stderr::Record) => return Err(RecordError::TwoRecords),
            (None, Stderr::Off | Stderr::Readable) => return Err(RecordError::NoRecord),
            (None, Stderr::Record) => (Primary::Stderr(NonBlocking::new(stderr)), 1),
            (Some(file), Stderr::Off | Stderr::Readable) => {
                let (appender, next) = open_file(file, &host)
                    .map_err(|errno| RecordError::File(file.path.clone(), errno as i32))?;
                (Primary::File(appender, file.sync), next)
            }
        };
        let writer = Writer {
            next,
            line: Vec::with_capacity(LINE),
            primary,
            missing: None,
            written: 0,
            lost: 0,
            error: None,
        };
        Ok(Self { writer: Mutex::new(writer), host, redact: Redact::new(&settings.redact) })
    }

    /// Writes one attempt's record and gives its number. It is in the file (or on standard error) when this returns.
    ///
    /// # Errors
    /// When it is not. The loss is counted, and told as soon as there is a place to tell it.
    pub fn attempt(&self, entry: &Entry<'_>) -> Result<u64, NotRecorded> {
        let frame = Frame { host: &self.host, redact: &self.redact };
        let mut writer = self.writer();
        let sequence = writer.begin();
        format::attempt(&mut writer.line, sequence, entry, &frame);
        let result = writer.finish(sequence);
        if result.is_ok() {
            writer.tell_missing(&self.host);
        }
        result
    }

    /// Writes a notice. A loss is counted and told later.
    pub fn notice(&self, notice: &Notice<'_>) {
        let mut writer = self.writer();
        let written = writer.notice(notice, &self.host);
        if written.is_ok() {
            writer.tell_missing(&self.host);
        }
    }

    /// What each sink has done so far.
    #[must_use]
    pub fn counters(&self) -> Vec<SinkState> {
        let writer = self.writer();
        vec![SinkState {
            sink: writer.primary.name().to_owned(),
            written: writer.written,
            lost: writer.lost,
            working: writer.missing.is_none(),
            error: writer.error.map(|errno| errno.desc().to_owned()),
        }]
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic while a line was made leaves a line that `begin` clears.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
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

    fn notice(&mut self, notice: &Notice<'_>, host: &Host) -> Result<u64, NotRecorded> {
        let sequence = self.begin();
        format::notice(&mut self.line, sequence, now(), notice, host);
        self.finish(sequence)
    }

    /// After a record that was written: says which ones before it were not.
    fn tell_missing(&mut self, host: &Host) {
        let Some(missing) = self.missing.take() else { return };
        let told = Notice::SinkBack {
            sink: self.primary.name(),
            lost: missing.count,
            missing: Some((missing.first, missing.last)),
        };
        if self.notice(&told, host).is_err() {
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
            Self::File(..) => "file",
            Self::Stderr(_) => "stderr",
        }
    }

    fn write(&mut self, line: &[u8]) -> Result<(), Errno> {
        match self {
            Self::File(file, sync) => {
                file.append(line)?;
                if *sync == Sync::Each {
                    file.file().sync_data().map_err(|error| super::file::errno(&error))?;
                }
                Ok(())
            }
            Self::Stderr(stderr) => stderr.line(line),
        }
    }
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

#[cfg(test)]
mod tests;
