//! Deciding what was written down: cases and recorded documents. There is nothing to fetch there.

use super::{Document, Outcome, decide};
use crate::event::{Basis, Effect, Facts, RuleIndex, Timestamp};
use crate::policy::cases::{Case, Verdict};
use crate::policy::{About, Generation};

/// What the policy says of facts that are all there are.
#[derive(Clone, Copy, Debug)]
pub struct Ruling<'g> {
    /// The answer, or that it hangs on what is not known.
    pub verdict: Verdict,
    /// The rule that decided, or that could not be judged.
    pub rule: Option<&'g About>,
    /// The first rule on trial that matched.
    pub trial: Option<&'g About>,
}

/// What the policy says of facts of which no more can be fetched.
#[must_use]
pub fn rule<'g>(generation: &'g Generation, now: Timestamp, facts: &impl Facts) -> Ruling<'g> {
    let about = |index: RuleIndex| generation.about(index);
    match decide(generation, Effect::Deny, now, facts) {
        // Only a living attempt has unread facts.
        Outcome::Needs(_) => Ruling { verdict: Verdict::Unknown, rule: None, trial: None },
        Outcome::Decided(decision) => {
            let (verdict, rule) = match (decision.basis, decision.effect) {
                (Basis::Unknown(rule), _) => (Verdict::Unknown, about(rule)),
                (Basis::Rule(rule), Effect::Deny) => (Verdict::Deny, about(rule)),
                (Basis::Rule(rule), Effect::Allow) => (Verdict::Allow, about(rule)),
                (Basis::NoMatch | Basis::Failure(_), Effect::Allow) => (Verdict::Allow, None),
                (Basis::NoMatch | Basis::Failure(_), Effect::Deny) => (Verdict::Deny, None),
            };
            Ruling { verdict, rule, trial: decision.trial.and_then(about) }
        }
    }
}

/// Runs one case; `Err` says what came instead of what must.
///
/// # Errors
/// The case fails.
pub fn try_case(generation: &Generation, now: Timestamp, case: &Case) -> Result<(), String> {
    let mut document = Document::case();
    for (field, texts) in &case.given {
        document.put_nothing(*field);
        for text in texts {
            document.put(*field, text.as_bytes());
        }
    }
    for field in &case.unknown {
        document.put_unknown(*field);
    }
    for directory in &case.within {
        document.put_within(directory.as_bytes());
    }
    let ruling = rule(generation, now, &document);
    let name = |about: Option<&About>| about.map_or("", |about| about.id.as_str()).to_owned();
    let shown = |id: &str| if id.is_empty() { "no rule".to_owned() } else { format!("rule {id}") };
    let mut wrong = Vec::new();
    if ruling.verdict != case.expect {
        let found = shown(&name(ruling.rule));
        wrong.push(format!("expected {}; {} by {found}", case.expect.name(), ruling.verdict.name()));
    }
    for (what, expected, found) in [("by", &case.rule, ruling.rule), ("on trial", &case.trial, ruling.trial)]
    {
        let found = name(found);
        if expected.as_ref().is_some_and(|expected| *expected != found) {
            let expected = expected.as_deref().unwrap_or_default();
            wrong.push(format!("expected {what} {}; it was {}", shown(expected), shown(&found)));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join(", ")) }
}
