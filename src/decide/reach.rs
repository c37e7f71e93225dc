//! Whether a rule can ever match a file in given directories, whoever runs it.

#![allow(clippy::wildcard_enum_match_arm, reason = "every other field could hold anything")]

use super::evaluate::{Lean, evaluate};
use super::truth::Truth;
use crate::event::{Doubt, Facts, Field, Texts, Value};
use crate::policy::Rule;

/// True where some attempt on a file below one of `directories` could match. Each is given with all its names.
#[must_use]
pub fn can_match(rule: &Rule, directories: &[Texts]) -> bool {
    let lean = Lean { effect: crate::event::Effect::Deny, arguments: false };
    directories
        .iter()
        .any(|names| evaluate(&rule.condition.root, &Anything { names }, lean, true) != Truth::False)
}

/// An attempt of which nothing is known but the directory of the file.
struct Anything<'a> {
    names: &'a Texts,
}

impl Facts for Anything<'_> {
    fn value(&self, field: Field) -> Value<'_> {
        if let Some(constants) = field.constants() {
            return Value::Constants(constants);
        }
        match field {
            Field::EventAction => Value::Constants(&["exec", "load", "interpret"]),
            Field::ProcessExecutable | Field::FilePath => Value::Within(self.names),
            _ if field.is_path() => Value::Unknown(Doubt::PATH),
            _ => Value::Unknown(Doubt::OTHER),
        }
    }
}
