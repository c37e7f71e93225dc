//! One record per attempt: its text, and the places it is written to.
//!
//! Owns field names, escaping, sequence numbers and sinks. [`format`](mod@format), [`verify`] and [`read`] are pure; [`Log`] writes.
//! May not decide anything, and may not lose a record without counting it. The pipeline calls [`Log::attempt`]
//! before it answers the kernel; everything that could make it wait happens on threads of this room.

#![forbid(unsafe_code)]

mod alerts;
mod bell;
mod datagram;
mod errno;
mod escape;
mod feeder;
mod file;
pub mod format;
mod generations;
mod host;
mod journal;
mod keeper;
mod lines;
mod log;
mod occupied;
mod opening;
pub mod read;
#[cfg(test)]
pub(crate) mod samples;
mod settings;
mod shared;
mod stderr;
mod syslog;
mod terminal;
mod turn;
pub mod verify;
mod writer;

pub use format::{Case, Cut, Entry, Evidence, Host, Notice};
pub use generations::Generations;
pub use log::{Log, RecordError, Successor};
pub use settings::{AlertSettings, FileSettings, JournalSettings, Settings, Stderr, Sync, SyslogSettings};
pub use writer::{NotRecorded, Numbering, SinkState};
