//! The text of a record: one line of ECS 9.4 JSON, and one readable line for people. Pure.
//!
//! Owns every field name. Field names are ECS's where ECS has one, and stand under `shmguard` where it has not. A
//! reader can tell four things apart: a field that is there; one that was looked at and is absent (named in
//! `shmguard.absent`); one that could not be known (named with its cause in `shmguard.unknown`); and one that is in
//! none of these and was not collected. A name in those lists covers every field below it. The name of a user or
//! group is looked up wherever its id is there, so it is in neither list.
//!
//! Values that come from outside as bytes (paths, names, arguments) are written so that they come back:
//! an invalid byte is `\xHH`, a backslash `\\`. May not do I/O, and allocates only by growing the buffer it is given.

mod attempt;
mod common;
mod host;
mod json;
mod knowledge;
mod notice;
mod own;
mod redact;
mod summary;

pub use host::{Host, HostFacts};
pub use notice::Notice;
pub use redact::Redact;

use crate::event::{Attempt, Basis, Decision, Effect, Failure, Mode, Response, Timestamp, Users};
use crate::policy::About;

/// The version of the Elastic Common Schema whose names are used.
pub const ECS_VERSION: &str = "9.4.0";

/// Everything one attempt's record says.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Who and what.
    pub attempt: &'a Attempt,
    /// What the policy says.
    pub decision: &'a Decision,
    /// The guard's mode.
    pub mode: Mode,
    /// What the kernel is about to be told.
    pub response: Response,
    /// The rule that decided (or, with [`Basis::Unknown`], that could not be judged).
    pub rule: Option<&'a About>,
    /// The rule of `Decision::trial`.
    pub trial: Option<&'a About>,
    /// The rule of `Decision::passed_over`.
    pub passed_over: Option<&'a About>,
    /// The generation's hash.
    pub policy_hash: &'a str,
    /// How deep the look was.
    pub evidence: Evidence,
    /// What went wrong on the way to this record.
    pub failures: &'a [Failure],
    /// From the event's read to the formatting of this record, nanoseconds.
    pub duration_ns: Option<u64>,
    /// The generation's table of names.
    pub users: &'a Users,
}

/// How deep the look at an attempt was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Who, what, where; nothing else was asked for.
    Essential,
    /// All that could be had.
    Full,
    /// Full evidence was asked for, and cut short.
    Cut(Cut),
}

/// Why evidence was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Too many attempts waited for evidence.
    QueueFull,
    /// It would have taken longer than the answer may wait.
    TimeUp,
    /// The evidence thread is not there.
    Unavailable,
}

/// What became of an attempt: decides the record's kind, category, type and outcome, and the severity in syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// The exec was denied.
    Denied,
    /// It was allowed because of audit mode, the guard's or a rule's; prevention would have denied it.
    WouldDeny,
    /// It should have been denied, and the kernel was told otherwise or did not take the answer.
    NotDelivered,
    /// It ran before anybody was asked, and no allow rule matched.
    Unseen,
    /// An allow rule matched.
    Excepted,
    /// No rule matched.
    Allowed,
}

/// How loud a readable line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Something promised does not hold.
    Error,
    /// Denied.
    Warning,
    /// Would have been denied; the guard itself changes.
    Notice,
    /// Allowed.
    #[default]
    Info,
}

impl Entry<'_> {
    /// What became of the attempt.
    #[must_use]
    pub fn case(&self) -> Case {
        let trial_denies = self.trial.is_some_and(|trial| trial.effect == Effect::Deny);
        match (self.response, self.decision.effect, self.mode) {
            _ if self.attempt.unseen.is_some() && self.is_excepted() => Case::Excepted,
            _ if self.attempt.unseen.is_some() => Case::Unseen,
            (Response::Deny, _, _) if self.failures.contains(&Failure::NotDelivered) => Case::NotDelivered,
            (Response::Deny, _, _) => Case::Denied,
            (Response::Allow, Effect::Deny, Mode::Prevent) => Case::NotDelivered,
            (Response::Allow, Effect::Deny, Mode::Audit) => Case::WouldDeny,
            (Response::Allow, Effect::Allow, _) if trial_denies => Case::WouldDeny,
            (Response::Allow, Effect::Allow, _) if self.is_excepted() => Case::Excepted,
            (Response::Allow, Effect::Allow, _) => Case::Allowed,
        }
    }

    /// An allow rule decided.
    #[must_use]
    pub fn is_excepted(&self) -> bool {
        self.decision.effect == Effect::Allow && matches!(self.decision.basis, Basis::Rule(_))
    }

    /// The rule that the record is about: the one that decided, or the one on trial where that would have denied
    /// what is allowed.
    #[must_use]
    pub fn subject_rule(&self) -> Option<&About> {
        match self.case() {
            Case::WouldDeny if self.decision.effect == Effect::Allow => self.trial,
            Case::Denied
            | Case::WouldDeny
            | Case::NotDelivered
            | Case::Unseen
            | Case::Excepted
            | Case::Allowed => self.rule,
        }
    }
}

impl Case {
    /// Its name in `tags`, and what such records are searched by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::WouldDeny => "would-deny",
            Self::NotDelivered => "not-delivered",
            Self::Unseen => "unseen",
            Self::Excepted => "excepted",
            Self::Allowed => "allowed",
        }
    }

    /// How loud its readable line is.
    #[must_use]
    pub fn level(self) -> Level {
        match self {
            Self::NotDelivered => Level::Error,
            Self::Denied | Self::Unseen => Level::Warning,
            Self::WouldDeny => Level::Notice,
            Self::Excepted | Self::Allowed => Level::Info,
        }
    }

    /// The case with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Denied, Self::WouldDeny, Self::NotDelivered, Self::Unseen, Self::Excepted, Self::Allowed]
            .into_iter()
            .find(|case| case.name() == name)
    }
}

impl Evidence {
    /// Its name in `shmguard.evidence.level`.
    #[must_use]
    pub fn level(self) -> &'static str {
        match self {
            Self::Essential => "essential",
            Self::Full => "full",
            Self::Cut(_) => "cut",
        }
    }
}

impl Cut {
    /// Its name in `shmguard.evidence.cut`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::TimeUp => "time_up",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What is the same in every record of one log.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The machine.
    pub host: &'a Host,
    /// What must not be shown.
    pub redact: &'a Redact,
}

/// Appends one attempt as one line of JSON with its newline.
pub fn attempt(line: &mut Vec<u8>, sequence: u64, entry: &Entry<'_>, frame: &Frame<'_>) {
    attempt::write(line, sequence, entry, frame);
}

/// Appends one notice, an event of the guard itself, as one line of JSON with its newline.
pub fn notice(line: &mut Vec<u8>, sequence: u64, at: Timestamp, notice: &Notice<'_>, host: &Host) {
    notice::write(line, sequence, at, notice, host);
}

/// True for a line about a matched attempt: denied, would-deny, not delivered, unseen, excepted. Looks at the first bytes alone,
/// which are of fixed length up to the tag; nothing from outside stands before it.
#[must_use]
pub fn is_matched(line: &[u8]) -> bool {
    let case = line
        .get(BEFORE_TAG.len()..)
        .filter(|_| line.starts_with(b"{\"@timestamp\":\""))
        .and_then(|rest| rest.split(|byte| *byte == b'"').next())
        .and_then(|name| std::str::from_utf8(name).ok())
        .and_then(Case::named);
    case.is_some_and(|case| case != Case::Allowed)
}

const BEFORE_TAG: &str = r#"{"@timestamp":"2026-01-15T10:22:31.123456789Z","tags":[""#;

/// Appends one readable line about an attempt, without a newline: printable, and at most about 3,000 bytes, because
/// long paths are cut short.
pub fn summary(text: &mut Vec<u8>, entry: &Entry<'_>) {
    summary::attempt(text, super::escape::Style::Plain, entry);
}

/// Appends one readable line about a notice, as [`summary()`] does.
pub fn notice_summary(text: &mut Vec<u8>, notice: &Notice<'_>) {
    summary::notice(text, super::escape::Style::Plain, notice);
}

#[cfg(test)]
mod tests;
