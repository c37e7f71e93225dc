//! The fanotify group: its marks, its events, and the duty to answer each.
//!
//! Owns the group's descriptor: no other room reads, writes or marks it. There is a second group where every open of a
//! file is asked about, with a table of its own. An event that waits for an answer is a
//! [`PendingExec`]; whoever holds it holds the duty, and a value that is dropped still answers. Knows no rules, no
//! formats, no names. Called by the daemon alone.

mod group;
mod in_flight;
mod pending;

pub use group::{Features, Group, Incoming, Interest, MarkKind, NotifyError};
pub use in_flight::{InFlight, Waiting};
pub use pending::PendingExec;
