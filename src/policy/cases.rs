//! Case files: attempts with the decision that the policy must give. `policy test` runs them; shmguard-rules(5) says
//! how they are written.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a value that is no list stands for itself, whatever it is"
)]

use super::problem::Problem;
use super::table::{Reader, Table};
use super::unknowable;
use crate::event::Field;
use std::ops::Range;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// What stands in one case file.
#[derive(Clone, Debug, Default)]
pub struct Cases {
    /// The policy files that the cases are about, relative to the case file; `None` where the file names none.
    pub policy: Option<Vec<String>>,
    /// Whether the embedded policy follows these.
    pub builtin: bool,
    /// In the order of the file.
    pub cases: Vec<Case>,
}

/// One attempt and what must come of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// A sentence.
    pub name: String,
    /// The line at which it begins.
    pub line: usize,
    /// Fields and their texts; every other field is absent or follows from these.
    pub given: Vec<(Field, Vec<String>)>,
    /// Fields that cannot be known.
    pub unknown: Vec<Field>,
    /// The directories in which the file lies, where nothing else of its path is known.
    pub within: Vec<String>,
    /// What must be decided.
    pub expect: Verdict,
    /// The rule that must decide; empty where none may match.
    pub rule: Option<String>,
    /// The rule on trial that must match; empty where none may.
    pub trial: Option<String>,
}

/// What is decided of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It must not run.
    Deny,
    /// It may run.
    Allow,
    /// That hangs on what is not known.
    Unknown,
}

impl Verdict {
    /// Its name in case files and in what `replay` prints.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
            Self::Unknown => "unknown",
        }
    }
}

/// The cases in `text`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(file: Option<&Path>, text: &str) -> Result<Cases, Vec<Problem>> {
    let mut reader = Reader::new(file, text);
    let mut cases = Cases::default();
    if let Some(document) = reader.document() {
        let mut table = Table::new(&document, 0..0);
        if table.value("policy").is_some() {
            cases.policy = Some(table.strings("policy", &mut reader));
        }
        cases.builtin = table.boolean("builtin", &mut reader).unwrap_or(cases.policy.is_none());
        for mut entry in table.tables("case", &mut reader) {
            cases.cases.extend(case(&mut entry, &mut reader));
        }
        if table.value("case").is_none() {
            table.missing("case", &mut reader);
        }
        table.finish(&mut reader);
    }
    if reader.problems.is_empty() { Ok(cases) } else { Err(reader.problems) }
}

fn case(table: &mut Table<'_, '_>, reader: &mut Reader<'_>) -> Option<Case> {
    let name = table.string("name", reader);
    let words = [("deny", Verdict::Deny), ("allow", Verdict::Allow), ("unknown", Verdict::Unknown)];
    let expect = table.word("expect", &words, reader);
    let mut given = Vec::new();
    let fields = table.tables("given", reader);
    for entry in &fields {
        collect(entry.entries(), "", &mut given, reader);
    }
    for (key, missing) in
        [("name", name.is_none()), ("expect", expect.is_none()), ("given", fields.is_empty())]
    {
        if missing && table.value(key).is_none() {
            table.missing(key, reader);
        }
    }
    let mut unknown = Vec::new();
    for name in table.strings("unknown", reader) {
        unknown.extend(field(&name, table.range(), reader));
    }
    let case = Case {
        line: reader.line(table.range().start),
        within: table.strings("within", reader),
        rule: table.string("rule", reader),
        trial: table.string("trial", reader),
        name: name.unwrap_or_default(),
        given,
        unknown,
        expect: expect?,
    };
    table.finish(reader);
    Some(case)
}

/// The fields in a table; `user.id = "0"` and `"user.id" = "0"` are the same.
fn collect(
    table: &DeTable<'_>,
    prefix: &str,
    given: &mut Vec<(Field, Vec<String>)>,
    reader: &mut Reader<'_>,
) {
    for (key, value) in table {
        let name =
            if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        if let DeValue::Table(below) = value.get_ref() {
            collect(below, &name, given, reader);
            continue;
        }
        let Some(field) = field(&name, key.span(), reader) else { continue };
        let entries = match value.get_ref() {
            DeValue::Array(entries) => entries.iter().collect(),
            _ => vec![value],
        };
        let texts: Option<Vec<String>> = entries.iter().map(|entry| scalar(entry.get_ref())).collect();
        match texts {
            Some(texts) => given.push((field, texts)),
            None => reader.wrong(
                value.span(),
                format!("`{name}` takes a text, a number, a truth value or a list of these"),
            ),
        }
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn field(name: &str, range: Range<usize>, reader: &mut Reader<'_>) -> Option<Field> {
    let field = Field::named(name);
    if field.is_none() {
        let (message, help) = unknowable::explain(name);
        reader.wrong_with_help(range, message, help);
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_given_nested_or_with_dots_and_mistakes_are_all_told() {
        let text = "[[case]]\nname = 'a'\nexpect = 'deny'\nrule = 'r'\n[case.given]\nuser.id = 0\n\"process.executable\" = ['/a', '/b']\n";
        let cases = parse(None, text).unwrap();
        assert!(cases.builtin && cases.policy.is_none());
        let case = &cases.cases[0];
        assert_eq!(case.line, 1);
        assert!(case.given.contains(&(Field::UserId, vec!["0".into()])));
        assert!(case.given.contains(&(Field::ProcessExecutable, vec!["/a".into(), "/b".into()])));
        let wrong =
            "[[case]]\nexpect = 'denied'\nunknown = ['user.di']\n[case.given]\nuser.di = '0'\nnmae = 'x'\n";
        let problems = parse(None, wrong).unwrap_err();
        assert_eq!(problems.len(), 5, "{problems:#?}");
    }
}
