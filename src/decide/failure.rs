//! What follows each failure: one table.

use crate::event::{Effect, Failure, Mode, Response};

/// What the operator chose for failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Caller or file unknown, in prevention mode.
    pub on_unknown: Effect,
    /// The record of an attempt that the rules allow could not be written, in prevention mode.
    pub on_record_failure: Effect,
}

impl Default for Settings {
    fn default() -> Self {
        Self { on_unknown: Effect::Deny, on_record_failure: Effect::Allow }
    }
}

/// What follows `failure` where the rules had not decided to deny: a decided denial stands, whatever fails, and is not
/// asked about here. Audit mode never denies.
pub fn reaction(failure: Failure, mode: Mode, settings: &Settings) -> Response {
    let effect = match failure {
        Failure::SubjectUnknown | Failure::ObjectUnknown => settings.on_unknown,
        Failure::NotRecorded => settings.on_record_failure,
        // Nothing was decided in time, or nobody knows what was.
        Failure::DeadlinePassed | Failure::TakenOver | Failure::Dropped | Failure::NotDelivered => {
            Effect::Deny
        }
        // These have no answer of ours; this is what happened.
        Failure::KernelDenied => return Response::Deny,
        Failure::QueueOverflow | Failure::ExecsLost => return Response::Allow,
    };
    match (mode, effect) {
        (Mode::Prevent, Effect::Deny) => Response::Deny,
        (Mode::Prevent | Mode::Audit, _) => Response::Allow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_never_denies_whatever_fails() {
        let strict = Settings { on_unknown: Effect::Deny, on_record_failure: Effect::Deny };
        for failure in Failure::ALL.into_iter().filter(|failure| *failure != Failure::KernelDenied) {
            assert_eq!(reaction(failure, Mode::Audit, &strict), Response::Allow, "{failure}");
        }
    }

    #[test]
    fn prevention_follows_the_table() {
        let respond = |failure| reaction(failure, Mode::Prevent, &Settings::default());
        assert_eq!(respond(Failure::SubjectUnknown), Response::Deny);
        assert_eq!(respond(Failure::ObjectUnknown), Response::Deny);
        assert_eq!(respond(Failure::NotRecorded), Response::Allow);
        assert_eq!(respond(Failure::DeadlinePassed), Response::Deny);
        assert_eq!(respond(Failure::TakenOver), Response::Deny);
        assert_eq!(respond(Failure::Dropped), Response::Deny);
        let open = Settings { on_unknown: Effect::Allow, on_record_failure: Effect::Deny };
        assert_eq!(reaction(Failure::SubjectUnknown, Mode::Prevent, &open), Response::Allow);
        assert_eq!(reaction(Failure::NotRecorded, Mode::Prevent, &open), Response::Deny);
    }
}
