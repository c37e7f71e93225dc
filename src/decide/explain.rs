//! Why a rule matched or not: the tree of its condition with the truth of every part.
//!
//! Allocates as it likes: nobody waits for an answer here.

#![allow(clippy::wildcard_enum_match_arm, reason = "every other value is shown by its texts")]

use super::evaluate::{Lean, evaluate, leaf};
use super::texts::{Shown, show};
use super::truth::Truth;
use crate::event::{Facts, Field, Timestamp, Value};
use crate::policy::condition::{Expression, Node, Test};
use crate::policy::{Generation, Rule};
use serde::Serialize;

/// What one rule says of the facts, and why.
#[derive(Clone, Debug, Serialize)]
pub struct RuleExplained {
    /// Its place, from 1.
    pub number: usize,
    /// Its id.
    pub id: String,
    /// `deny` or `allow`.
    pub effect: crate::event::Effect,
    /// Its mode, where it has one.
    pub mode: Option<crate::event::Mode>,
    /// It is past its end and was not asked.
    pub expired: bool,
    /// What its condition came to, ignorance settled as it is for a rule of this effect.
    pub outcome: Word,
    /// The condition.
    pub condition: Explained,
}

/// A part of a condition.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// `and`, `or`, `not`, or nothing for a comparison.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<&'static str>,
    /// The part as it stands in the rule.
    pub text: String,
    /// Its truth.
    pub truth: Word,
    /// For a comparison: the fields in it and what they hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Held>,
    /// The parts it joins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Explained>,
}

/// A field and what it holds.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// The field.
    pub field: &'static str,
    /// Its texts, if it has some and they are known.
    pub values: Vec<String>,
    /// What to know about them: `absent`, `unknown`, or that the values are all or directories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

/// A truth in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It may hold or not.
    Unknown,
    /// It is about a missing value: neither it nor its negation holds.
    Null,
}

/// What every rule of the generation says of the facts, those after the deciding one too.
#[must_use]
pub fn explain(generation: &Generation, now: Timestamp, facts: &impl Facts) -> Vec<RuleExplained> {
    let numbered = generation.rules().iter().enumerate();
    numbered.map(|(index, rule)| one(index + 1, rule, now, facts)).collect()
}

fn one(number: usize, rule: &Rule, now: Timestamp, facts: &impl Facts) -> RuleExplained {
    let lean = Lean { effect: rule.about.effect, arguments: false };
    RuleExplained {
        number,
        id: rule.about.id.clone(),
        effect: rule.about.effect,
        mode: rule.about.mode,
        expired: rule.about.expires.is_some_and(|expires| expires < now.0),
        outcome: evaluate(&rule.condition.root, facts, lean, true).into(),
        condition: part(&rule.condition.root, &rule.condition.text, facts, lean, true),
    }
}

fn part(node: &Node, text: &str, facts: &impl Facts, lean: Lean, positive: bool) -> Explained {
    let source = text.get(node.range.clone()).unwrap_or_default();
    let source = source.split_whitespace().collect::<Vec<_>>().join(" ");
    let (join, parts, truth) = match &node.test {
        Test::And(parts) => {
            (Some("and"), parts.iter().collect(), evaluate(node, facts, lean, positive).into())
        }
        Test::Or(parts) => (Some("or"), parts.iter().collect(), evaluate(node, facts, lean, positive).into()),
        // `a != b` is a `not` of the same text, which is better shown as one line.
        Test::Not(inner) if inner.range == node.range => {
            let shown = part(inner, text, facts, lean, !positive);
            return Explained { truth: shown.truth.negated(), ..shown };
        }
        Test::Not(inner) => (Some("not"), vec![&**inner], evaluate(node, facts, lean, positive).into()),
        Test::Constant(_)
        | Test::Null
        | Test::Exists(_)
        | Test::Text(..)
        | Test::Order(..)
        | Test::Number(..)
        | Test::Bool(..)
        | Test::Computed(_) => (None, Vec::new(), leaf(&node.test, facts, lean, positive).into()),
    };
    let parts =
        parts.into_iter().map(|inner| part(inner, text, facts, lean, positive != (join == Some("not"))));
    Explained {
        join,
        text: source,
        truth,
        parts: parts.collect(),
        fields: fields(&node.test).into_iter().map(|field| held(field, facts)).collect(),
    }
}

fn fields(test: &Test) -> Vec<Field> {
    match test {
        Test::Exists(field)
        | Test::Text(field, _)
        | Test::Order(field, ..)
        | Test::Number(field, ..)
        | Test::Bool(field, _) => vec![*field],
        Test::Computed(computed) => {
            let alone = matches!(computed.expression, Expression::Field(_));
            if alone { Vec::new() } else { computed.fields.to_vec() }
        }
        Test::And(_) | Test::Or(_) | Test::Not(_) | Test::Constant(_) | Test::Null => Vec::new(),
    }
}

fn held(field: Field, facts: &impl Facts) -> Held {
    let mut values = Vec::new();
    let value = facts.value(field);
    let note = match value {
        Value::Within(directories) => {
            values.extend(directories.iter().map(|text| text.escape_ascii().to_string()));
            Some("somewhere below")
        }
        value => match show(value, |text| {
            values.push(String::from_utf8_lossy(text).into_owned());
            false
        }) {
            Shown::None => Some("absent"),
            Shown::Unknown(_) if values.is_empty() => Some("unknown"),
            Shown::Unknown(_) => Some("and perhaps more"),
            Shown::Accepted | Shown::Refused => None,
        },
    };
    Held { field: field.name(), values, note }
}

impl Word {
    fn negated(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
            Self::Null => Self::Null,
        }
    }

    /// The word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Unknown => "unknown",
            Self::Null => "null",
        }
    }
}

impl From<Truth> for Word {
    fn from(truth: Truth) -> Self {
        match truth {
            Truth::True => Self::True,
            Truth::False => Self::False,
            Truth::Unknown(_) => Self::Unknown,
        }
    }
}

impl From<Option<Truth>> for Word {
    fn from(truth: Option<Truth>) -> Self {
        truth.map_or(Self::Null, Into::into)
    }
}
