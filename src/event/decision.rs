//! What the policy says (decision), what the kernel is told (response), and the failures on the way.

use std::fmt;

/// What a matching rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// The exec must not run.
    Deny,
    /// The exec may run.
    Allow,
}

/// The guard's mode, or a rule's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing is denied; the record says what prevention would have done.
    Audit,
    /// Denials are real.
    Prevent,
}

/// What the kernel is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Response {
    /// FAN_ALLOW.
    Allow,
    /// FAN_DENY: execve fails with EPERM.
    Deny,
}

/// A rule's place in its generation, in the order in which rules are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleIndex(pub u16);

/// What the policy says of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// The effect that holds: of the deciding rule, of `on_unknown`, or allow where nothing matched.
    pub effect: Effect,
    /// Why.
    pub basis: Basis,
    /// The first rule with `mode = "audit"` that matched on the way and was recorded only.
    pub trial: Option<RuleIndex>,
    /// The first rule that was passed over because a value was unknown.
    pub passed_over: Option<RuleIndex>,
}

/// Why a decision is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// This rule matched first.
    Rule(RuleIndex),
    /// No rule matched.
    NoMatch,
    /// This rule could not be judged, and could have changed the answer: `on_unknown` decided.
    Unknown(RuleIndex),
    /// There was no attempt to judge: a failure decided.
    Failure(Failure),
}

/// What can go wrong between the event and the answer. One table ([`crate::decide`]) says what follows each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The caller ended, or could not be identified.
    SubjectUnknown,
    /// The file could not be identified.
    ObjectUnknown,
    /// The record could not be written.
    NotRecorded,
    /// The answer's deadline passed.
    DeadlinePassed,
    /// A predecessor read the event and did not answer it.
    TakenOver,
    /// The kernel could not open the event's descriptor, and denied.
    KernelDenied,
    /// The kernel refused our answer.
    NotDelivered,
    /// An event was dropped inside the guard without an answer and was answered by its destructor.
    Dropped,
    /// The kernel's queue overflowed: execs ran unseen.
    QueueOverflow,
    /// Execs were not looked at after the fact: the kernel could not tell of them, or there were too many at once.
    ExecsLost,
}

/// How the answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The kernel took the answer.
    Delivered,
    /// The kernel found nobody waiting (ENOENT): the caller was killed.
    NobodyWaited,
    /// The kernel refused it with this errno.
    Refused(i32),
    /// Another thread had answered: the deadline had passed.
    Overtaken,
}

impl Failure {
    /// Every failure, in the order of the table.
    pub const ALL: [Self; 10] = [
        Self::SubjectUnknown,
        Self::ObjectUnknown,
        Self::NotRecorded,
        Self::DeadlinePassed,
        Self::TakenOver,
        Self::KernelDenied,
        Self::NotDelivered,
        Self::Dropped,
        Self::QueueOverflow,
        Self::ExecsLost,
    ];

    /// Its name in records and in `status`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SubjectUnknown => "subject_unknown",
            Self::ObjectUnknown => "object_unknown",
            Self::NotRecorded => "not_recorded",
            Self::DeadlinePassed => "deadline_passed",
            Self::TakenOver => "taken_over",
            Self::KernelDenied => "kernel_denied",
            Self::NotDelivered => "not_delivered",
            Self::Dropped => "dropped",
            Self::QueueOverflow => "queue_overflow",
            Self::ExecsLost => "execs_lost",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Audit => "audit",
            Self::Prevent => "prevent",
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
