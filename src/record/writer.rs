//! The writer that the log's threads use in turn: the sequence, the line in the making, and the record of truth it goes to.
//!
//! Owns what is missing there and tells of it as soon as the place works again. Called by [`super::log`] alone.

use super::file::{Appender, Place};
use super::format::{self, Entry, Frame, Host, Notice};
use super::settings::{FileSettings, Sync};
use super::stderr::NonBlocking;
use crate::event::Timestamp;
use nix::errno::Errno;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Keeps the numbering where it outlives this process. The file alone does not tell: it may have been moved away, and
/// on a full disk the last numbers are in none.
pub trait Numbering: std::fmt::Debug + Send + std::marker::Sync {
    /// The next number, and the first of those before it that could not be written while nothing says so (0: none).
    /// Called before each line, which then counts as missing, and after it.
    fn note(&self, next: u64, missing: u64);
    /// What was noted last, by a process before this one; zeros where there was none.
    fn noted(&self) -> (u64, u64);
    /// So many records are missing that have no number: there was no writer to give them one.
    fn owe(&self, records: u64);
    /// So many of those have their numbers now, and are noted as missing or told.
    fn pay(&self, records: u64);
    /// How many are owed, also by processes before this one.
    fn owed(&self) -> u64;
}

/// What was noted before a log was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noted {
    next: u64,
    /// The first that is missing.
    first: u64,
    pub(super) owed: u64,
}

impl Noted {
    pub(super) fn of(numbering: &dyn Numbering) -> Self {
        let (next, first) = numbering.noted();
        Self { next, first, owed: numbering.owed() }
    }
}

/// A record could not be written; its number is used up, and a later notice tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotRecorded {
    /// The number it would have had.
    pub sequence: u64,
    /// What the write failed with.
    pub errno: i32,
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

/// The writer of one log.
#[derive(Debug)]
pub(super) struct Writer {
    next: u64,
    numbering: Option<Arc<dyn Numbering>>,
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
    File { appender: Appender, settings: FileSettings, large_told: bool },
    Stderr(NonBlocking),
}

/// The open file as the keeper sees it.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) file: Arc<File>,
    pub(super) size: u64,
    /// It is shorter than what was written to it: somebody has cut it since the last look.
    pub(super) cut: bool,
    /// How many lines were written so far.
    pub(super) written: u64,
    /// What writing fails with.
    pub(super) failing: Option<Errno>,
}

/// What became of a line.
#[derive(Debug)]
#[must_use]
pub(super) struct Outcome {
    /// The line's number, in any case.
    pub(super) sequence: u64,
    /// Whether it was written.
    pub(super) result: Result<u64, NotRecorded>,
    /// Set where this is the first line that is lost.
    pub(super) begins_to_lose: Option<Errno>,
    /// Set once for each file that has become large.
    pub(super) is_large: bool,
}

impl Writer {
    /// Writes to a file: makes it where it is missing, repairs what a crash left at its end, and goes on with the sequence
    /// where this boot's last record ended, or behind what was noted. Notes nothing itself before it is
    /// [told where](Self::note_in).
    pub(super) fn to_file(settings: &FileSettings, host: &Host, noted: Noted) -> Result<Self, Errno> {
        let place = Place::new(&settings.path, settings.keep);
        let file = place.open()?;
        let tail = place.tail()?;
        let last = tail.last.filter(|last| last.boot == host.boot_id());
        let held = last.map_or(0, |last| last.sequence);
        let mut next = held.saturating_add(1).max(noted.next);
        let before = noted.next.saturating_sub(1);
        // The last number was noted before its line was written: the file may hold it. One that holds later ones says
        // nothing about it.
        let last = if held == before { before.saturating_sub(1) } else { before };
        let missing = (noted.first != 0 && noted.first <= last).then(|| Missing {
            first: noted.first,
            last,
            count: (last - noted.first).saturating_add(1),
        });
        if let Some(torn) = tail.torn {
            let mut line = Vec::new();
            let told = Notice::Torn { bytes: torn.bytes, text: &torn.text };
            format::notice(&mut line, next, now(), &told, host);
            place.replace(&torn, &line)?;
            next += 1;
        }
        let appender = Appender::new(file);
        let primary = Primary::File { appender, settings: settings.clone(), large_told: false };
        let mut writer = Self { missing, ..Self::new(primary, next) };
        writer.miss(noted.owed);
        Ok(writer)
    }

    /// Writes to standard error. There is nothing to go on from: the sequence begins at 1. So many records are missing
    /// before that.
    pub(super) fn to_stderr(stderr: NonBlocking, owed: u64) -> Self {
        let mut writer = Self::new(Primary::Stderr(stderr), 1);
        writer.miss(owed);
        writer
    }

    fn new(primary: Primary, next: u64) -> Self {
        let line = Vec::with_capacity(LINE);
        Self {
            next,
            numbering: None,
            line,
            primary,
            missing: None,
            written: 0,
            lost: 0,
            error: None,
            adrift: None,
        }
    }

    /// Writes one attempt's record.
    pub(super) fn attempt(&mut self, entry: &Entry<'_>, frame: &Frame<'_>) -> Outcome {
        let sequence = self.begin();
        format::attempt(&mut self.line, sequence, entry, frame);
        self.finish(sequence, frame.host)
    }

    /// Writes a notice.
    pub(super) fn notice(&mut self, notice: &Notice<'_>, host: &Host) -> Outcome {
        let sequence = self.begin();
        format::notice(&mut self.line, sequence, now(), notice, host);
        self.finish(sequence, host)
    }

    /// So many records and notices could not be written while another thread hung in a write: uses up their numbers, and
    /// tells of them as of all that is missing.
    pub(super) fn lose(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        self.miss(count);
        self.lost = self.lost.saturating_add(count);
        self.error = Some(Errno::ETIMEDOUT);
        self.pay(count);
    }

    /// Keeps the numbering there from now on. So many that were owed there have their numbers.
    pub(super) fn note_in(&mut self, numbering: Option<Arc<dyn Numbering>>, owed: u64) {
        self.numbering = numbering;
        self.pay(owed);
    }

    /// Gives so many missing records their numbers.
    fn miss(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        let first = self.next;
        self.next = self.next.saturating_add(count);
        let before = self.missing.unwrap_or(Missing { first, last: first, count: 0 });
        let last = self.next.saturating_sub(1);
        self.missing = Some(Missing { last, count: before.count.saturating_add(count), ..before });
    }

    /// Notes what is missing, and then that it is not owed any more: whoever kills us in between has it told twice.
    fn pay(&self, owed: u64) {
        self.note(self.missing.map_or(0, |missing| missing.first));
        if let Some(numbering) = &self.numbering {
            numbering.pay(owed);
        }
    }

    /// How many lines were written, and how many lost.
    pub(super) fn done(&self) -> [u64; 2] {
        [self.written, self.lost]
    }

    /// The record of truth's name in counters and notices.
    pub(super) fn sink(&self) -> &'static str {
        match self.primary {
            Primary::File { .. } => "file",
            Primary::Stderr(_) => "stderr",
        }
    }

    /// What it has done so far.
    pub(super) fn state(&self) -> SinkState {
        SinkState {
            sink: self.sink().to_owned(),
            written: self.written,
            lost: self.lost,
            working: self.missing.is_none() && self.adrift.is_none(),
            error: self.adrift.or(self.error).map(|errno| errno.desc().to_owned()),
        }
    }

    /// The open file; `None` where there is none.
    pub(super) fn current(&mut self) -> Option<Current> {
        let (written, failing) = (self.written, self.missing.and(self.error));
        match &mut self.primary {
            Primary::File { appender, .. } => {
                let known = appender.size();
                appender.measure();
                let size = appender.size();
                Some(Current { file: appender.file(), size, cut: size < known, written, failing })
            }
            Primary::Stderr(_) => None,
        }
    }

    /// Goes on in another file. What the old one holds from `along_from` on goes along where it was removed: it is nowhere
    /// else; what cannot is lost. Gives the old one, and how much is in the new one.
    pub(super) fn go_on_in(
        &mut self,
        mut next: Appender,
        along_from: Option<u64>,
    ) -> Option<(Arc<File>, u64)> {
        match &mut self.primary {
            Primary::File { appender, large_told, .. } => {
                *large_told = false;
                let old = appender.file();
                let mut along = 0;
                if let Some(from) = along_from.filter(|_| is_removed(&old)) {
                    let lost = next.take_along(&old, from);
                    self.lost = self.lost.saturating_add(lost);
                    self.written = self.written.saturating_sub(lost);
                    along = next.size();
                }
                *appender = next;
                Some((old, along))
            }
            Primary::Stderr(_) => None,
        }
    }

    /// Says whether the path can be opened anew where it does not name the open file.
    pub(super) fn set_adrift(&mut self, adrift: Option<Errno>) {
        self.adrift = adrift;
    }

    /// Writes the rest of a line on standard error.
    pub(super) fn flush(&mut self) {
        if let Primary::Stderr(stderr) = &mut self.primary {
            // Where the reader still sleeps, the next tick tries again.
            stderr.flush().unwrap_or_default();
        }
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

    fn finish(&mut self, sequence: u64, host: &Host) -> Outcome {
        let result = self.write(sequence);
        if result.is_ok() {
            self.tell_missing(host);
        }
        self.note(self.missing.map_or(0, |missing| missing.first));
        let is_first = self.missing.is_some_and(|missing| missing.first == sequence);
        Outcome {
            sequence,
            result,
            begins_to_lose: self.error.filter(|_| is_first),
            is_large: self.is_large(),
        }
    }

    fn note(&self, missing: u64) {
        if let Some(numbering) = &self.numbering {
            numbering.note(self.next, missing);
        }
    }

    fn write(&mut self, sequence: u64) -> Result<u64, NotRecorded> {
        // Whoever kills us during the write leaves a line that may be there and may not.
        self.note(self.missing.map_or(sequence, |missing| missing.first));
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

    /// After a line that was written: says which ones before it were not.
    fn tell_missing(&mut self, host: &Host) {
        let Some(missing) = self.missing else { return };
        let told = Notice::SinkBack {
            sink: self.sink(),
            lost: missing.count,
            missing: Some((missing.first, missing.last)),
        };
        let sequence = self.begin();
        format::notice(&mut self.line, sequence, now(), &told, host);
        // Where that fails, what was to be told is still to be told, and the notice is missing as well.
        if self.write(sequence).is_ok() {
            self.missing = None;
        }
    }

    /// True once for each file that has become large.
    fn is_large(&mut self) -> bool {
        match &mut self.primary {
            Primary::File { appender, settings, large_told } if appender.size() >= settings.max_size => {
                !std::mem::replace(large_told, true)
            }
            Primary::File { .. } | Primary::Stderr(_) => false,
        }
    }
}

impl Primary {
    fn write(&mut self, line: &[u8]) -> Result<(), Errno> {
        match self {
            Self::File { appender, settings, .. } => {
                appender.append(line)?;
                if settings.sync == Sync::Each { appender.sync() } else { Ok(()) }
            }
            Self::Stderr(stderr) => stderr.line(line),
        }
    }
}

/// No path names it.
fn is_removed(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

/// A line at full depth is about 4,000 bytes; one with long arguments may need more for a moment.
const LINE: usize = 8 << 10;
const LONG_LINE: usize = 256 << 10;

impl fmt::Display for NotRecorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} not written: {}", self.sequence, Errno::from_raw(self.errno).desc())
    }
}

impl std::error::Error for NotRecorded {}
