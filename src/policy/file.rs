//! One policy file's text to its rules.

use super::check::check;
use super::condition::Condition;
use super::limits;
use super::mistake::Mistake;
use super::origin::in_file;
use super::problem::Problem;
use super::rule::{About, Severity, Threat, ThreatItem, Told};
use super::table::{Reader, Table};
use crate::event::{Effect, Mode};
use std::ops::Range;
use std::path::Path;
use toml::value::{Datetime, Offset};

/// One piece of policy text. Whoever reads files makes these; this room never opens one.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file as the operator named it; `None` for text without a file.
    pub file: Option<&'a Path>,
    /// What stands in it.
    pub text: &'a str,
}

/// A rule: what it says of itself, and its condition.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Everything but the condition.
    pub about: About,
    /// What it matches.
    pub condition: Condition,
}

/// A rule and where its id stands, for the mistakes that only show among all files.
pub(crate) struct Read {
    pub(crate) rule: Rule,
    pub(crate) id: Problem,
}

/// What stands in one file.
pub(crate) struct Contents {
    pub(crate) rules: Vec<Read>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

/// The rules of one source, and everything that is wrong with it.
pub(crate) fn read(source: Source<'_>, ruleset: &str) -> Contents {
    let mut contents = Contents { rules: Vec::new(), problems: Vec::new(), warnings: Vec::new() };
    let mut reader = Reader::new(source.file, source.text);
    if source.text.len() > limits::FILE {
        reader.wrong(0..0, format!("the file is longer than {} bytes", limits::FILE));
    } else if let Some(document) = reader.document() {
        let mut table = Table::new(&document, 0..0);
        for mut entry in table.tables("rule", &mut reader) {
            if let Some(read) = rule(&mut entry, ruleset, &mut reader, &mut contents.warnings) {
                contents.rules.push(read);
            }
        }
        table.finish(&mut reader);
    }
    contents.problems = reader.problems;
    contents
}

/// One `[[rule]]`. Everything in it is looked at before it is given up.
fn rule(
    table: &mut Table<'_, '_>,
    ruleset: &str,
    reader: &mut Reader<'_>,
    warnings: &mut Vec<Problem>,
) -> Option<Read> {
    let before = reader.problems.len();
    let id = table.text("id", reader);
    let effect = table.word("effect", &[("deny", Effect::Deny), ("allow", Effect::Allow)], reader);
    let when = table.text("when", reader);
    for (key, missing) in [("id", id.is_none()), ("effect", effect.is_none()), ("when", when.is_none())] {
        if missing && table.value(key).is_none() {
            table.missing(key, reader);
        }
    }
    if let Some((id, range)) = &id {
        check_id(id, range, reader);
    }
    let severity = table.word(
        "severity",
        &[
            ("low", Severity::Low),
            ("medium", Severity::Medium),
            ("high", Severity::High),
            ("critical", Severity::Critical),
        ],
        reader,
    );
    // What a rule without a severity means: a denial is worth a look, an exception is not.
    let severity =
        severity.unwrap_or(if effect == Some(Effect::Allow) { Severity::Low } else { Severity::Medium });
    let score = table.number("risk_score", 0..=100, reader).and_then(|score| u8::try_from(score).ok());
    let expires = table.datetime("expires", reader).and_then(|(when, range)| expiry(&when, range, reader));
    let mut references = table.strings("references", reader);
    references.extend(table.string("reference", reader));
    let about = About {
        told: Told::default(),
        id: id.as_ref().map(|(id, _)| (*id).to_owned()).unwrap_or_default(),
        name: table.string("name", reader),
        effect: effect.unwrap_or(Effect::Deny),
        mode: table.word("mode", &[("audit", Mode::Audit), ("prevent", Mode::Prevent)], reader),
        expires,
        severity,
        risk_score: score.unwrap_or(severity.score()),
        message: table.string("message", reader),
        reason: table.string("reason", reader),
        references,
        uuid: table.string("uuid", reader),
        version: table.string("version", reader),
        authors: table.strings("authors", reader),
        license: table.string("license", reader),
        ruleset: ruleset.to_owned(),
        threats: table
            .tables("threat", reader)
            .iter_mut()
            .filter_map(|entry| threat(entry, reader))
            .collect(),
    };
    table.finish(reader);
    let (when, range) = when?;
    let token = reader.text.get(range.clone()).unwrap_or_default();
    let placed = |reader: &Reader<'_>, mistake: Mistake| {
        let place = in_file(token, range.start, &mistake.range);
        let mut problem = Problem::at(reader.file, reader.text, place, mistake.message);
        problem.help = mistake.help;
        problem
    };
    let condition = match check(when, effect.unwrap_or(Effect::Deny)) {
        Ok((condition, odd)) => {
            warnings.extend(odd.into_iter().map(|mistake| placed(reader, mistake)));
            Some(condition)
        }
        Err(mistakes) => {
            for mistake in mistakes {
                let problem = placed(reader, mistake);
                reader.problems.push(problem);
            }
            None
        }
    };
    let (_, at) = id?;
    let id = Problem::at(reader.file, reader.text, at, "");
    (reader.problems.len() == before).then_some(Read { rule: Rule { about, condition: condition? }, id })
}

fn check_id(id: &str, range: &Range<usize>, reader: &mut Reader<'_>) {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if id.is_empty() || id.len() > 128 || !id.chars().all(fits) {
        reader.wrong_with_help(
            range.clone(),
            format!("\"{}\" cannot be an id", id.escape_debug()),
            "an id has 1 to 128 letters, digits, `-`, `_` or `.`",
        );
    }
}

/// The last nanosecond of a date, or the moment itself.
fn expiry(when: &Datetime, range: Range<usize>, reader: &mut Reader<'_>) -> Option<u64> {
    let moment = moment(when);
    if moment.is_none() {
        reader.wrong_with_help(
            range,
            format!("`{when}` is no moment between 1970 and 2262"),
            "write a date, 2030-12-31, or a moment with its zone, 2030-12-31T18:00:00Z",
        );
    }
    moment
}

/// Nanoseconds since the epoch: of a moment with its zone, or the last one of a day in UTC. `None` before 1970 and
/// after 2262.
pub(crate) fn moment(when: &Datetime) -> Option<u64> {
    let date = when.date?;
    let days = days_since_1970(date.year.into(), date.month.into(), date.day.into());
    let Some(time) = when.time else {
        let nanoseconds = (days + 1).checked_mul(86_400)?.checked_mul(1_000_000_000)?.checked_sub(1)?;
        return u64::try_from(nanoseconds).ok();
    };
    let offset = match when.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let seconds =
        i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(time.second.unwrap_or(0));
    let seconds = days.checked_mul(86_400)?.checked_add(seconds)? - offset * 60;
    let nanoseconds =
        seconds.checked_mul(1_000_000_000)?.checked_add(i64::from(time.nanosecond.unwrap_or(0)))?;
    u64::try_from(nanoseconds).ok()
}

/// Days from 1970-01-01 in the Gregorian calendar, with years that begin in March so that a leap day is the last one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn threat(table: &mut Table<'_, '_>, reader: &mut Reader<'_>) -> Option<Threat> {
    let framework = table.string("framework", reader).unwrap_or_else(|| "MITRE ATT&CK".to_owned());
    let tactic = table.tables("tactic", reader).first_mut().and_then(|tactic| item(tactic, reader));
    if tactic.is_none() && table.value("tactic").is_none() {
        table.missing("tactic", reader);
    }
    let mut techniques = Vec::new();
    let mut subtechniques = Vec::new();
    for mut entry in table.tables("technique", reader) {
        for mut below in entry.tables("subtechnique", reader) {
            subtechniques.extend(item(&mut below, reader));
        }
        techniques.extend(item(&mut entry, reader));
    }
    table.finish(reader);
    Some(Threat { framework, tactic: tactic?, techniques, subtechniques })
}

fn item(table: &mut Table<'_, '_>, reader: &mut Reader<'_>) -> Option<ThreatItem> {
    let id = table.string("id", reader);
    let name = table.string("name", reader);
    for (key, missing) in [("id", id.is_none()), ("name", name.is_none())] {
        if missing && table.value(key).is_none() {
            table.missing(key, reader);
        }
    }
    let reference = table.string("reference", reader);
    table.finish(reader);
    Some(ThreatItem { id: id?, name: name?, reference })
}
