//! A detection rule of Elastic's repository, as TOML, to a rule of ours, as text for the operator to read and keep.
//!
//! What the rule matches is taken word for word; only what cannot be decided before the exec is refused.

#![allow(clippy::wildcard_enum_match_arm, reason = "a version is a text or a number, or not worth keeping")]

use super::check::check;
use super::origin::in_file;
use super::problem::Problem;
use super::table::{Reader, Table};
use crate::event::{Effect, Field, Groups};
use std::fmt::Write;
use std::path::Path;
use toml::de::DeTable;

/// A rule that was taken.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Our policy file.
    pub text: String,
    /// What was not taken, and what to know about it.
    pub notes: Vec<String>,
}

/// Turns the detection rule in `text` into a policy file of ours.
///
/// # Errors
/// Why it cannot be taken: every reason, with its place.
pub fn import(file: Option<&Path>, text: &str) -> Result<Imported, Vec<Problem>> {
    let mut reader = Reader::new(file, text);
    let Some(document) = reader.document() else { return Err(reader.problems) };
    let mut table = Table::new(&document, 0..0);
    let mut rules = table.tables("rule", &mut reader);
    let imported = match rules.as_mut_slice() {
        [rule] => take(rule, &mut reader),
        _ => {
            reader.wrong_with_help(
                0..0,
                "this is no detection rule: it has no [rule]",
                "rules of Elastic's detection-rules repository are taken; rules of ours need no import",
            );
            None
        }
    };
    match imported {
        Some(imported) if reader.problems.is_empty() => Ok(imported),
        _ => Err(reader.problems),
    }
}

fn take(rule: &mut Table<'_, '_>, reader: &mut Reader<'_>) -> Option<Imported> {
    let language = rule.text("language", reader);
    let kind = rule.text("type", reader);
    for (name, found) in [("language", &language), ("type", &kind)] {
        if let Some((given, range)) = found
            && *given != "eql"
        {
            let message =
                format!("the rule's {name} is `{given}`; only EQL rules about one event can be taken");
            reader.wrong(range.clone(), message);
        }
    }
    let Some((query, range)) = rule.text("query", reader) else {
        if rule.value("query").is_none() {
            rule.missing("query", reader);
        }
        return None;
    };
    if !reader.problems.is_empty() {
        return None;
    }
    let token = reader.text.get(range.clone()).unwrap_or_default();
    let (condition, warnings) = match check(query, Effect::Deny) {
        Ok(checked) => checked,
        Err(mistakes) => {
            for mistake in mistakes {
                let place = in_file(token, range.start, &mistake.range);
                let mut problem = Problem::at(reader.file, reader.text, place, mistake.message);
                problem.help = mistake.help;
                reader.problems.push(problem);
            }
            return None;
        }
    };
    let mut notes = Vec::new();
    for warning in warnings {
        let found = query.get(warning.range).unwrap_or_default();
        let help = warning.help.map(|help| format!(" ({help})")).unwrap_or_default();
        notes.push(format!("`{found}`: {}{help}", warning.message));
    }
    rests_on_arguments(condition.fields(), &mut notes);
    let text = written(rule, query, reader);
    left_out(rule.entries(), &mut notes);
    Some(Imported { text, notes })
}

fn rests_on_arguments(fields: &[Field], notes: &mut Vec<String>) {
    let claimed: Vec<_> = fields
        .iter()
        .filter(|field| field.groups().intersects(Groups::ARGUMENTS))
        .map(|field| field.name())
        .collect();
    if !claimed.is_empty() {
        notes.push(format!(
            "it rests on {}, which the caller chooses: whoever knows the rule can write other arguments, and an \
             exception by argument is open to everybody",
            claimed.join(", ")
        ));
    }
}

/// Keys that say how often and where Kibana runs a rule, or what an analyst reads. None of them changes what matches.
const NOT_NEEDED: &[&str] = &[
    "actions",
    "alert_suppression",
    "enabled",
    "from",
    "index",
    "interval",
    "investigation_fields",
    "max_signals",
    "meta",
    "note",
    "related_integrations",
    "required_fields",
    "setup",
    "tags",
    "throttle",
    "timestamp_override",
    "to",
];

/// Keys that are taken.
const TAKEN: &[&str] = &[
    "author",
    "description",
    "false_positives",
    "language",
    "license",
    "name",
    "query",
    "references",
    "risk_score",
    "rule_id",
    "severity",
    "threat",
    "type",
    "version",
];

fn left_out(rule: &DeTable<'_>, notes: &mut Vec<String>) {
    let keys: Vec<&str> =
        rule.iter().map(|(key, _)| &**key.get_ref()).filter(|key| !TAKEN.contains(key)).collect();
    let (known, other): (Vec<&str>, Vec<&str>) = keys.into_iter().partition(|key| NOT_NEEDED.contains(key));
    if !known.is_empty() {
        notes.push(format!("not taken, because only Kibana uses it: {}", known.join(", ")));
    }
    for key in other {
        let why = match key {
            "exceptions_list" | "filters" => "write an allow rule in front of it for each exception",
            "building_block_type" => "it was meant as a part of other rules: it may match often",
            _ => "it has no meaning here",
        };
        notes.push(format!("`{key}` was not taken: {why}"));
    }
}

fn written(rule: &mut Table<'_, '_>, query: &str, reader: &mut Reader<'_>) -> String {
    let mut out = String::new();
    let name = rule.string("name", reader).unwrap_or_else(|| "imported".to_owned());
    out.push_str("[[rule]]\n");
    line(&mut out, "id", &basic(&id_of(&name)));
    line(&mut out, "name", &basic(&name));
    line(&mut out, "effect", "\"deny\"");
    let severity = [("low", "low"), ("medium", "medium"), ("high", "high"), ("critical", "critical")];
    if let Some(severity) = rule.word("severity", &severity, reader) {
        line(&mut out, "severity", &basic(severity));
    }
    if let Some(score) = rule.number("risk_score", 0..=100, reader) {
        line(&mut out, "risk_score", &score.to_string());
    }
    line(&mut out, "when", &block(query.trim()));
    for (theirs, ours) in [("description", "reason"), ("rule_id", "uuid"), ("license", "license")] {
        if let Some(text) = rule.string(theirs, reader) {
            line(&mut out, ours, &block(text.trim()));
        }
    }
    if let Some(value) = rule.value("version") {
        let version = match value.get_ref() {
            toml::de::DeValue::String(text) => text.to_string(),
            toml::de::DeValue::Integer(number) => number.as_str().to_owned(),
            _ => String::new(),
        };
        line(&mut out, "version", &basic(&version));
    }
    for (theirs, ours) in [("references", "references"), ("author", "authors")] {
        let list = rule.strings(theirs, reader);
        if !list.is_empty() {
            let list: Vec<_> = list.iter().map(|text| basic(text)).collect();
            line(&mut out, ours, &format!("[{}]", list.join(", ")));
        }
    }
    for mut entry in rule.tables("threat", reader) {
        threat(&mut entry, &mut out, reader);
    }
    out
}

fn threat(table: &mut Table<'_, '_>, out: &mut String, reader: &mut Reader<'_>) {
    let Some(mut tactic) = table.tables("tactic", reader).pop() else { return };
    out.push_str("\n[[rule.threat]]\n");
    if let Some(framework) = table.string("framework", reader) {
        line(out, "framework", &basic(&framework));
    }
    line(out, "tactic", &format!("{{ {} }}", item(&mut tactic, reader).join(", ")));
    for mut technique in table.tables("technique", reader) {
        out.push_str("\n[[rule.threat.technique]]\n");
        for entry in item(&mut technique, reader) {
            out.push_str(&entry);
            out.push('\n');
        }
        for mut below in technique.tables("subtechnique", reader) {
            out.push_str("\n[[rule.threat.technique.subtechnique]]\n");
            for entry in item(&mut below, reader) {
                out.push_str(&entry);
                out.push('\n');
            }
        }
    }
}

/// `id = ...`, `name = ...`, `reference = ...`, those that are there.
fn item(table: &mut Table<'_, '_>, reader: &mut Reader<'_>) -> Vec<String> {
    let keys = ["id", "name", "reference"];
    keys.into_iter()
        .filter_map(|key| Some(format!("{key} = {}", basic(&table.string(key, reader)?))))
        .collect()
}

fn line(out: &mut String, key: &str, value: &str) {
    // Writing to a String cannot fail.
    let _written = writeln!(out, "{key} = {value}");
}

/// A name as an id: small letters, digits, hyphens.
fn id_of(name: &str) -> String {
    let mut id = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            id.push(c.to_ascii_lowercase());
        } else if !id.is_empty() && !id.ends_with('-') {
            id.push('-');
        }
        if id.len() >= 100 {
            break;
        }
    }
    let id = id.trim_end_matches('-');
    if id.is_empty() { "imported".to_owned() } else { id.to_owned() }
}

/// A TOML string on one line.
fn basic(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _written = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A TOML string as it stands, on several lines, where that can be.
fn block(text: &str) -> String {
    let plain = text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control());
    if !text.contains('\n') || !plain || text.contains("'''") {
        return basic(text);
    }
    format!("'''\n{text}\n'''")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Source, compile};

    const RULE: &str = r#"
[metadata]
maturity = "production"
[rule]
author = ["Somebody"]
description = "What it is.\nAnd why."
from = "now-9m"
language = "eql"
license = "MIT"
name = "A Rule: of Theirs!"
references = ["https://example.org/a"]
risk_score = 47
rule_id = "11111111-2222-3333-4444-555555555555"
severity = "medium"
type = "eql"
filters = []
query = '''
process where event.type == "start" and process.name : "x*" and
  process.args == "-i" // it's
'''
[[rule.threat]]
framework = "MITRE ATT&CK"
[[rule.threat.technique]]
id = "T1"
name = "One"
reference = "https://example.org/T1"
[[rule.threat.technique.subtechnique]]
id = "T1.001"
name = "Below"
reference = "https://example.org/T1.001"
[rule.threat.tactic]
id = "TA1"
name = "Tactic"
reference = "https://example.org/TA1"
"#;

    #[test]
    fn what_was_taken_compiles_and_says_what_it_said() {
        let imported = import(None, RULE).unwrap();
        let generation = compile(&[Source { file: None, text: &imported.text }], false).unwrap();
        let rule = &generation.rules()[0];
        assert_eq!(rule.about.id, "a-rule-of-theirs");
        assert_eq!(rule.about.uuid.as_deref(), Some("11111111-2222-3333-4444-555555555555"));
        assert_eq!(rule.about.risk_score, 47);
        assert_eq!(rule.about.reason.as_deref(), Some("What it is.\nAnd why.\n"));
        assert_eq!(rule.about.authors, ["Somebody"]);
        assert_eq!(rule.about.threats[0].subtechniques[0].id, "T1.001");
        assert!(rule.condition.text().contains("process.args == \"-i\""));
        let notes = imported.notes.join("\n");
        assert!(
            notes.contains("process.args") && notes.contains("from") && notes.contains("`filters`"),
            "{notes}"
        );
    }

    #[test]
    fn what_cannot_be_taken_says_why_and_where() {
        let told = |text: &str| import(None, text).unwrap_err()[0].to_string();
        let other = RULE.replace("language = \"eql\"", "language = \"kuery\"");
        assert!(told(&other).contains("kuery"), "{}", told(&other));
        let field = RULE.replace("process.name", "process.exit_code");
        assert!(told(&field).starts_with("(embedded):18:"), "{}", told(&field));
        let sequence = RULE.replace("process where event", "sequence by host.id [process where event");
        assert!(told(&sequence).contains("sequence"), "{}", told(&sequence));
        assert!(told("[[rule]]\nid = 'x'\n[[rule]]\n").contains("no detection rule"));
    }

    #[test]
    fn strings_of_every_kind_come_back() {
        for text in ["a\"b\\c", "a\nb'''c", "'''", "tab\there\nx", "\u{1}\u{7f}", "", "x'\ny'"] {
            for written in [basic(text), block(text)] {
                let table: toml::Table = format!("a = {written}").parse().unwrap();
                let back = table["a"].as_str().unwrap();
                assert_eq!(back.strip_suffix('\n').unwrap_or(back), text, "{written}");
            }
        }
    }
}
