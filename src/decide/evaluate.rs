//! A condition and the facts of one attempt to a truth. No allocation, no I/O.
//!
//! A predicate on a missing field is false and its negation true; a predicate on a null is neither. Three kinds of
//! ignorance are settled at the predicate itself, each towards the safe side, so that the rest of the tree is plain
//! three-valued logic:
//! - a path of which only the directory is known: towards denial, so that a deny rule matches and an allow rule does
//!   not;
//! - arguments that could not be read: towards no match (when [`Lean::arguments`] says so);
//! - a null: towards no match.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a value of another type than the field's own does not match, whatever it is"
)]

use super::call::{Bound, Datum, compute};
use super::texts::{Shown, lower, show};
use super::truth::{Truth, all, any};
use crate::event::{Doubt, Effect, Facts, Field, Texts, Value};
use crate::policy::condition::{Computed, Node, Number, Test, Wanted};
use crate::policy::pattern::{Below, Patterns};
use crate::policy::syntax::Order;

/// Towards which side ignorance is settled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lean {
    /// The rule's effect.
    pub(crate) effect: Effect,
    /// True: unread arguments count as those that do not match.
    pub(crate) arguments: bool,
}

/// The truth of `node`. `positive` is false below an odd number of `not`.
pub(crate) fn evaluate(node: &Node, facts: &impl Facts, lean: Lean, positive: bool) -> Truth {
    match &node.test {
        Test::And(parts) => all(parts.iter().map(|part| evaluate(part, facts, lean, positive))),
        Test::Or(parts) => any(parts.iter().map(|part| evaluate(part, facts, lean, positive))),
        Test::Not(inner) => evaluate(inner, facts, lean, !positive).not(),
        leaf => match self::leaf(leaf, facts, lean, positive) {
            Some(truth) => settle(truth, lean, positive),
            // Whatever makes the rule not match.
            None => (!positive).into(),
        },
    }
}

/// The truth of a test without parts, before ignorance is settled; `None` for a null.
pub(crate) fn leaf(test: &Test, facts: &impl Facts, lean: Lean, positive: bool) -> Option<Truth> {
    Some(match test {
        Test::Constant(value) => (*value).into(),
        Test::Null => return None,
        Test::Computed(computed) => return self::computed(computed, facts),
        Test::Exists(field) => exists(facts.value(*field)),
        Test::Text(field, patterns) => text(*field, patterns, facts, lean.effect, positive),
        Test::Order(field, order, wanted) => {
            truth(show(facts.value(*field), |text| order.holds(text.cmp(wanted))))
        }
        Test::Number(field, order, wanted) => number(facts.value(*field), *order, wanted),
        Test::Bool(field, wanted) => boolean(facts.value(*field), *wanted),
        Test::And(_) | Test::Or(_) | Test::Not(_) => Truth::False,
    })
}

fn settle(truth: Truth, lean: Lean, positive: bool) -> Truth {
    let Truth::Unknown(doubt) = truth else { return truth };
    if doubt.includes(Doubt::PATH) {
        return ((lean.effect == Effect::Deny) == positive).into();
    }
    if lean.arguments && doubt == Doubt::ARGUMENTS {
        return (!positive).into();
    }
    truth
}

fn truth(shown: Shown) -> Truth {
    match shown {
        Shown::None | Shown::Refused => Truth::False,
        Shown::Accepted => Truth::True,
        Shown::Unknown(doubt) => Truth::Unknown(doubt),
    }
}

fn text(field: Field, patterns: &Patterns, facts: &impl Facts, effect: Effect, positive: bool) -> Truth {
    let value = facts.value(field);
    if let Value::Within(directories) = value {
        return below(directories, patterns, effect, positive);
    }
    truth(show(value, |text| {
        if patterns.folds() { lower(text, |text| patterns.matches(text)) } else { patterns.matches(text) }
    }))
}

/// Whether a path below one of `directories` matches. They may be names of one directory or different directories,
/// so where they disagree the answer leans towards denial.
fn below(directories: &Texts, patterns: &Patterns, effect: Effect, positive: bool) -> Truth {
    let mut verdicts = directories.iter().map(|directory| {
        if patterns.folds() {
            lower(directory, |directory| patterns.below(directory))
        } else {
            patterns.below(directory)
        }
    });
    let wants_a_match = (effect == Effect::Deny) == positive;
    if wants_a_match {
        verdicts.any(|verdict| verdict != Below::Never).into()
    } else {
        verdicts.all(|verdict| verdict == Below::Always).into()
    }
}

fn exists(value: Value<'_>) -> Truth {
    match value {
        Value::Within(_) => Truth::True,
        Value::AtLeast(texts) if !texts.is_empty() => Truth::True,
        Value::Number(_) | Value::Decimal(_) | Value::Bool(_) => Truth::True,
        value => truth(show(value, |_| true)),
    }
}

fn number(value: Value<'_>, order: Order, wanted: &[Number]) -> Truth {
    let number = match value {
        Value::Number(number) => Number::Integer(number),
        Value::Decimal(number) => Number::Decimal(number),
        Value::Unknown(doubt) => return Truth::Unknown(doubt),
        _ => return Truth::False,
    };
    wanted.iter().any(|wanted| number.compare(*wanted).is_some_and(|ordering| order.holds(ordering))).into()
}

fn boolean(value: Value<'_>, wanted: bool) -> Truth {
    match value {
        Value::Bool(value) => (value == wanted).into(),
        Value::Unknown(doubt) => Truth::Unknown(doubt),
        _ => Truth::False,
    }
}

/// What a predicate on functions is; `None` where it is null. Of fields with several values every combination is
/// tried, and one that holds is enough.
fn computed(computed: &Computed, facts: &impl Facts) -> Option<Truth> {
    let mut met = Met::default();
    combine(&computed.fields, None, facts, &mut met, &|bound| {
        holds(&computed.wanted, &compute(&computed.expression, bound))
    });
    if met.holds {
        Some(Truth::True)
    } else if let Some(doubt) = met.doubt {
        Some(Truth::Unknown(doubt))
    } else if met.fails {
        Some(Truth::False)
    } else {
        None
    }
}

/// What the combinations tried so far came to.
#[derive(Default)]
struct Met {
    holds: bool,
    fails: bool,
    doubt: Option<Doubt>,
}

fn combine<'a>(
    fields: &[Field],
    bound: Option<&'a Bound<'a>>,
    facts: &impl Facts,
    met: &mut Met,
    test: &dyn Fn(Option<&Bound<'_>>) -> Option<bool>,
) {
    let Some((field, rest)) = fields.split_first() else {
        match test(bound) {
            Some(true) => met.holds = true,
            Some(false) => met.fails = true,
            None => {}
        }
        return;
    };
    let with = |datum: &Datum<'_>, met: &mut Met| {
        let bound = Bound { field: *field, datum, next: bound };
        combine(rest, Some(&bound), facts, met, test);
    };
    match facts.value(*field) {
        Value::Number(number) => with(&Datum::Number(Number::Integer(number)), met),
        Value::Decimal(number) => with(&Datum::Number(Number::Decimal(number)), met),
        Value::Bool(value) => with(&Datum::Bool(value), met),
        value => match show(value, |text| {
            with(&Datum::Text(text), met);
            met.holds
        }) {
            Shown::None => with(&Datum::Null, met),
            Shown::Unknown(doubt) => met.doubt = Some(met.doubt.unwrap_or(Doubt::NONE) | doubt),
            Shown::Accepted | Shown::Refused => {}
        },
    }
}

/// Whether a value is what is wanted; `None` for a null, unless it is null that is asked for.
fn holds(wanted: &Wanted, datum: &Datum<'_>) -> Option<bool> {
    match wanted {
        Wanted::Exists => Some(!datum.is_null()),
        Wanted::Bool(wanted) => datum.truth().map(|value| value == *wanted),
        Wanted::Number(order, wanted) => datum.number().map(|number| {
            wanted.iter().any(|wanted| number.compare(*wanted).is_some_and(|ordering| order.holds(ordering)))
        }),
        Wanted::Order(order, wanted) => datum.text().map(|text| order.holds(text.cmp(wanted))),
        Wanted::Text(patterns) => datum.text().map(|text| {
            if patterns.folds() { lower(text, |text| patterns.matches(text)) } else { patterns.matches(text) }
        }),
    }
}
