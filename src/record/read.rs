//! Reading records back: the head of any line of ours, for sequence and repair, and whole attempts, to be judged again.
//! Pure.
//!
//! Knows two kinds of document. In a record of ours a field is there, or named as absent or unknown, or was not
//! collected (`Fact::Unread`). In any other ECS document a field that is missing is absent, and texts are taken as they
//! are: only our own records escape bytes.

mod attempt;
mod document;

pub use attempt::{Recorded, attempt};
pub use document::Unreadable;

use serde::Deserialize;

/// What every line of ours says about itself: which record of which boot it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// `host.boot.id`; empty where the machine has none.
    pub boot: String,
    /// `event.sequence`.
    pub sequence: u64,
    /// `event.action`.
    pub action: String,
    /// `shmguard.missing`: sequence numbers that a notice says were lost, first and last.
    pub missing: Option<(u64, u64)>,
}

impl Head {
    /// The head of a line; `None` where the line is not one of ours.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line: Line = serde_json::from_slice(line).ok()?;
        Some(Self {
            boot: line.host.boot.id,
            sequence: line.event.sequence?,
            action: line.event.action,
            missing: line.shmguard.missing.map(|missing| (missing.first, missing.last)),
        })
    }
}

#[derive(Deserialize)]
struct Line {
    event: Event,
    #[serde(default)]
    host: Machine,
    #[serde(default)]
    shmguard: Own,
}

#[derive(Deserialize)]
struct Event {
    sequence: Option<u64>,
    #[serde(default)]
    action: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Machine {
    boot: Boot,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Boot {
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Own {
    missing: Option<Missing>,
}

#[derive(Deserialize)]
struct Missing {
    first: u64,
    last: u64,
}
