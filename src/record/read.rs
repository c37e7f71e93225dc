//! Reading records back: the head of a line, for sequence and repair.

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
