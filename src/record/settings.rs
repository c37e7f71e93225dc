//! Where records go, as the configuration says.

use std::path::PathBuf;

/// Every sink. Exactly one of them is the record of truth: the file, or [`Stderr::Record`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The file.
    pub file: Option<FileSettings>,
    /// The local syslog daemon.
    pub syslog: Option<SyslogSettings>,
    /// systemd's journal.
    pub journal: Option<JournalSettings>,
    /// Standard error.
    pub stderr: Stderr,
    /// Patterns of arguments to hide, see [`super::format::Redact`].
    pub redact: Vec<String>,
}

/// The record file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// Its path; older generations get `.1` (newest) to `.keep`.
    pub path: PathBuf,
    /// A file of this size is followed by a new one. The keeper's thread does that, so a file may become somewhat
    /// larger.
    pub max_size: u64,
    /// How many older generations stay.
    pub keep: u32,
    /// When records are forced to the disk.
    pub sync: Sync,
    /// The file beside it that holds matched attempts once more.
    pub alerts: Option<AlertSettings>,
}

/// `alerts.ndjson`, in the directory of the record file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSettings {
    /// As in [`FileSettings`].
    pub max_size: u64,
    /// As in [`FileSettings`].
    pub keep: u32,
}

/// When records are forced to the disk. A written record survives the guard's death in any case; this is about power
/// cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// When the kernel likes.
    #[default]
    None,
    /// Once a second, from another thread.
    Interval,
    /// Each record before its answer: any local user can then slow execs to the disk's pace.
    Each,
}

/// The local syslog daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogSettings {
    /// Its datagram socket, `/dev/log`.
    pub socket: PathBuf,
    /// `authpriv` and the like.
    pub facility: String,
}

/// systemd's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalSettings {
    /// Its native socket, `/run/systemd/journal/socket`.
    pub socket: PathBuf,
}

/// What goes to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stderr {
    /// Nothing.
    #[default]
    Off,
    /// Readable lines, after the record, in colour on a terminal.
    Readable,
    /// There is no file: JSON lines, before the answer, without ever waiting for the reader.
    Record,
}
