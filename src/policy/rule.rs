//! What a rule says about itself: everything but its condition. It rides into the record.

use std::sync::OnceLock;

use crate::event::{Effect, Mode};

/// A rule without its condition.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// Unique in a generation: letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// A title for people; the id where none is given.
    pub name: Option<String>,
    /// What a match asks for.
    pub effect: Effect,
    /// `Some(Audit)`: the match is recorded and evaluation goes on. `Some(Prevent)` is as `None`: the global mode holds.
    pub mode: Option<Mode>,
    /// The last moment at which the rule holds, nanoseconds since the epoch.
    pub expires: Option<u64>,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: Severity,
    /// 0 to 100; by severity (21, 47, 73, 99) where none is given.
    pub risk_score: u8,
    /// What the record's `message` says beside who and what.
    pub message: Option<String>,
    /// Why the rule exists: shown by `policy show` and `explain`.
    pub reason: Option<String>,
    /// Links.
    pub references: Vec<String>,
    /// The id of the detection rule it comes from (`rule.uuid`).
    pub uuid: Option<String>,
    /// The version of the detection rule it comes from.
    pub version: Option<String>,
    /// The authors of the detection rule it comes from.
    pub authors: Vec<String>,
    /// The licence of the detection rule it comes from.
    pub license: Option<String>,
    /// The file it stands in, without directory and `.toml` (`rule.ruleset`).
    pub ruleset: String,
    /// MITRE ATT&CK.
    pub threats: Vec<Threat>,
    /// What every record about this rule says of it.
    pub told: Told,
}

/// A text that is made of a rule once, by whoever writes it, and kept with the rule: a record is written while an exec
/// waits. A copy of a rule begins without it, for it may be changed.
#[derive(Debug, Default)]
pub struct Told(OnceLock<Box<[u8]>>);

impl Told {
    /// The text; made now if this is the first time.
    pub fn text(&self, make: impl FnOnce() -> Vec<u8>) -> &[u8] {
        self.0.get_or_init(|| make().into())
    }
}

impl Clone for Told {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// It follows from the rest of the rule.
impl PartialEq for Told {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

/// How bad a match is. Elastic's scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// 21.
    Low,
    /// 47.
    Medium,
    /// 73.
    High,
    /// 99.
    Critical,
}

/// One entry of ATT&CK: a tactic and the techniques under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threat {
    /// "MITRE ATT&CK".
    pub framework: String,
    /// TA0002 and its name.
    pub tactic: ThreatItem,
    /// T1059 and the like.
    pub techniques: Vec<ThreatItem>,
    /// T1059.004 and the like.
    pub subtechniques: Vec<ThreatItem>,
}

/// An id of ATT&CK with its name and link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreatItem {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The link.
    pub reference: Option<String>,
}

impl Severity {
    /// The risk score that Elastic's rules give to this severity; also `event.severity`.
    #[must_use]
    pub fn score(self) -> u8 {
        match self {
            Self::Low => 21,
            Self::Medium => 47,
            Self::High => 73,
            Self::Critical => 99,
        }
    }
}
