//! Policy and attempt to a decision; mode and decision to a response; failure to a reaction.
//!
//! May do no I/O, read no clock and allocate nothing on the way of a decision, and knows no uid and no path: those
//! stand in the rules. `daemon` calls it for every attempt, `cli` for `explain`, `replay` and `policy test`.

#![forbid(unsafe_code)]

mod call;
mod candidates;
mod document;
mod evaluate;
pub mod explain;
mod failure;
mod moment;
mod reach;
mod response;
mod texts;
mod truth;
mod verdict;

pub use crate::event::View;
pub use document::{Document, DocumentKind, Shape};
pub use failure::{Settings, reaction};
pub use reach::can_match;
pub use response::respond;
pub use truth::Truth;
pub use verdict::{Ruling, rule, try_case};

use crate::event::{Basis, Decision, Doubt, Effect, Facts, Groups, Mode, Timestamp};
use crate::policy::{Generation, Rule};
use candidates::Candidates;
use evaluate::{Lean, evaluate};

/// What deciding came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// The decision.
    Decided(Decision),
    /// It rests on facts that nobody has read yet. Fetch these groups and ask again: what could not be fetched is then
    /// unknown, and no longer unread, so this ends. What can be read without blocking is asked for first.
    Needs(Groups),
}

/// What the policy says of one attempt.
///
/// The first rule that matches decides; none is allow. A rule that cannot be judged is passed over, and where it would
/// have changed the answer, `on_unknown` decides. The decision does not depend on which facts were read beforehand.
pub fn decide(generation: &Generation, on_unknown: Effect, now: Timestamp, facts: &impl Facts) -> Outcome {
    let mut passed_over = None;
    // The first rule of each effect that could not be judged.
    let (mut unjudged_deny, mut unjudged_allow) = (None, None);
    let mut trial = None;
    let mut found = None;
    for index in Candidates::of(generation.index(), facts) {
        let Some(rule) = generation.rule(index) else { break };
        if rule.about.expires.is_some_and(|expires| expires < now.0) {
            continue;
        }
        let is_trial = rule.about.mode == Some(Mode::Audit);
        let doubt = match judge(rule, facts) {
            Judged::Matches if is_trial => {
                trial = trial.or(Some(index));
                continue;
            }
            Judged::Matches => {
                found = Some((rule.about.effect, index));
                break;
            }
            Judged::No => continue,
            Judged::PassedOver => {
                passed_over = passed_over.or(Some(index));
                continue;
            }
            Judged::Unknown(doubt) => doubt,
        };
        if !doubt.groups().is_empty() {
            return Outcome::Needs(cheapest(doubt.groups()));
        }
        passed_over = passed_over.or(Some(index));
        match rule.about.effect {
            _ if is_trial => {}
            Effect::Deny => unjudged_deny = unjudged_deny.or(Some(index)),
            Effect::Allow => unjudged_allow = unjudged_allow.or(Some(index)),
        }
    }
    let effect = found.map_or(Effect::Allow, |(effect, _)| effect);
    let in_doubt = match effect {
        Effect::Allow => unjudged_deny,
        Effect::Deny => unjudged_allow,
    };
    let (effect, basis) = match (in_doubt, found) {
        (Some(index), _) => (on_unknown, Basis::Unknown(index)),
        (None, Some((effect, index))) => (effect, Basis::Rule(index)),
        (None, None) => (Effect::Allow, Basis::NoMatch),
    };
    Outcome::Decided(Decision { effect, basis, trial, passed_over })
}

/// What one rule says of one attempt.
enum Judged {
    Matches,
    No,
    /// No match, but only because arguments that could not be read count as those that do not match.
    PassedOver,
    Unknown(Doubt),
}

fn judge(rule: &Rule, facts: &impl Facts) -> Judged {
    let lean = Lean { effect: rule.about.effect, arguments: false };
    match evaluate(&rule.condition.root, facts, lean, true) {
        Truth::True => Judged::Matches,
        Truth::False => Judged::No,
        Truth::Unknown(doubt) if doubt.groups().is_empty() && doubt.includes(Doubt::ARGUMENTS) => {
            let lean = Lean { arguments: true, ..lean };
            match evaluate(&rule.condition.root, facts, lean, true) {
                Truth::True => Judged::Matches,
                Truth::False => Judged::PassedOver,
                Truth::Unknown(doubt) => Judged::Unknown(doubt),
            }
        }
        Truth::Unknown(doubt) => Judged::Unknown(doubt),
    }
}

/// What does not block, if any of it does not; else all.
fn cheapest(groups: Groups) -> Groups {
    let quick = groups.without(Groups::MAY_BLOCK);
    if quick.is_empty() { groups } else { quick }
}

#[cfg(test)]
mod tests;
