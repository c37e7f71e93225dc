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

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Reaction {
    /// The effect that holds in prevention mode, and that the record names.
    pub effect: Effect,
    /// What the kernel is told; `None` where it does not wait for an answer of ours.
    pub response: Option<Response>,
}

/// What follows `failure`, given what the rules had decided by then, if anything.
///
/// Audit mode never denies, whatever fails.
pub fn reaction(failure: Failure, mode: Mode, settings: &Settings, decided: Option<Effect>) -> Reaction {
    let deny = decided == Some(Effect::Deny);
    let effect = match failure {
        Failure::SubjectUnknown | Failure::ObjectUnknown => settings.on_unknown,
        Failure::NotRecorded if deny => Effect::Deny,
        Failure::NotRecorded => settings.on_record_failure,
        Failure::DeadlinePassed => decided.unwrap_or(Effect::Deny),
        Failure::TakenOver | Failure::Dropped => Effect::Deny,
        // The answer is given again as it was; with none, the safe one.
        Failure::NotDelivered => decided.unwrap_or(Effect::Deny),
        Failure::KernelDenied => Effect::Deny,
        Failure::QueueOverflow => Effect::Allow,
    };
    let response = match (failure, mode, effect) {
        (Failure::KernelDenied | Failure::QueueOverflow, _, _) => None,
        (_, Mode::Prevent, Effect::Deny) => Some(Response::Deny),
        (_, Mode::Audit | Mode::Prevent, _) => Some(Response::Allow),
    };
    Reaction { effect, response }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_never_denies_whatever_fails() {
        let strict = Settings { on_unknown: Effect::Deny, on_record_failure: Effect::Deny };
        for failure in Failure::ALL {
            for decided in [None, Some(Effect::Deny), Some(Effect::Allow)] {
                assert_ne!(
                    reaction(failure, Mode::Audit, &strict, decided).response,
                    Some(Response::Deny),
                    "{failure}"
                );
            }
        }
    }

    #[test]
    fn in_prevention_a_decided_denial_stands_and_the_rest_follows_the_table() {
        let settings = Settings::default();
        let respond = |failure, decided| reaction(failure, Mode::Prevent, &settings, decided).response;
        let (allow, deny) = (Some(Response::Allow), Some(Response::Deny));
        assert_eq!(respond(Failure::SubjectUnknown, None), deny);
        assert_eq!(respond(Failure::ObjectUnknown, None), deny);
        assert_eq!(respond(Failure::NotRecorded, Some(Effect::Deny)), deny);
        assert_eq!(respond(Failure::NotRecorded, Some(Effect::Allow)), allow);
        assert_eq!(respond(Failure::DeadlinePassed, Some(Effect::Allow)), allow);
        assert_eq!(respond(Failure::DeadlinePassed, None), deny);
        assert_eq!(respond(Failure::TakenOver, None), deny);
        assert_eq!(respond(Failure::Dropped, None), deny);
        assert_eq!(respond(Failure::KernelDenied, None), None);
        let open = Settings { on_unknown: Effect::Allow, on_record_failure: Effect::Deny };
        assert_eq!(reaction(Failure::SubjectUnknown, Mode::Prevent, &open, None).response, allow);
        assert_eq!(reaction(Failure::NotRecorded, Mode::Prevent, &open, Some(Effect::Allow)).response, deny);
    }
}
