//! Mode and decision to what the kernel is told.

use crate::event::{Basis, Decision, Effect, Mode, Response};
use crate::policy::Generation;

/// Denial is real only in prevention mode, and only where the deciding rule is not on trial.
pub fn respond(mode: Mode, decision: &Decision, generation: &Generation) -> Response {
    let on_trial = match decision.basis {
        Basis::Rule(index) => generation.about(index).is_some_and(|about| about.mode == Some(Mode::Audit)),
        Basis::NoMatch | Basis::Unknown(_) | Basis::Failure(_) => false,
    };
    match (mode, decision.effect) {
        (Mode::Prevent, Effect::Deny) if !on_trial => Response::Deny,
        (Mode::Prevent | Mode::Audit, _) => Response::Allow,
    }
}
