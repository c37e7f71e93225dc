//! `shmguard report`: what prevention would have denied, grouped, with the exceptions that would let it go on.
//!
//! For whoever comes from audit mode and wants to know what breaks. Groups by file, user and calling program, because
//! that is what an exception names; proposes exceptions, and never writes one: each is a hole for root itself.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;
use toml::value::{Datetime, Offset, Time};

use super::effective::{self, Which};
use super::log_files::Ended;
use super::words::{self, Style, Tone, plain, print};
use super::{exit, log_files};
use crate::policy::{config, moment};

/// Show what prevention denies or would deny, grouped, with proposed exceptions
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
The proposals are a start, not advice: an exception for a path lets root run anything it puts there. Prefer one that \
names the calling program too, and give it an `expires` date.

Exit status: 0 done; 66 the log can't be read.

Examples:
  shmguard report
  shmguard report --since 7d --html report.html
  shmguard report old.ndjson --json | jq '.groups[].file'")]
pub struct Args {
    /// The log; without it, the one of the configuration, rotated files included
    #[arg(value_name = "EVENTS.ndjson")]
    events: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// Only what happened since: a span (30m, 24h, 7d) or a time (2026-01-31, 2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<String>,
    /// Also write a page to read and to hand on
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the groups as JSON
    #[arg(long)]
    json: bool,
}

/// Attempts that an exception would treat alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Group {
    file: String,
    user: String,
    caller: String,
    rule: String,
    denied: u64,
    would_deny: u64,
    first: String,
    last: String,
    sha256: Vec<String>,
    exception: String,
}

#[derive(Debug, Serialize)]
struct Report {
    attempts: u64,
    denied: u64,
    would_deny: u64,
    excepted: u64,
    unreadable: u64,
    groups: Vec<Group>,
}

/// Reports. The exit status of the command.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let files = match &args.events {
        Some(path) => vec![path.clone()],
        None => match effective::config(&args.which, err) {
            Ok(config) => log_files::generations(&config.log.file.path),
            Err(status) => return status,
        },
    };
    let report = match read(&files, args.since.as_deref().unwrap_or_default()) {
        Ok(report) => report,
        Err(ended) => return ended.tell(err),
    };
    if let Some(path) = &args.html
        && let Err(error) = std::fs::write(path, page(&report))
    {
        let _written = writeln!(err, "shmguard: {} cannot be written: {error}", path.display());
        return exit::IO;
    }
    let text = if args.json {
        serde_json::to_string(&report).unwrap_or_default() + "\n"
    } else {
        words(&report, Style::of_stdout())
    };
    print(out, &text).err().unwrap_or(exit::DONE)
}

fn read(files: &[PathBuf], since: &str) -> Result<Report, Ended> {
    let mut report =
        Report { attempts: 0, denied: 0, would_deny: 0, excepted: 0, unreadable: 0, groups: Vec::new() };
    let mut groups: BTreeMap<[String; 4], Group> = BTreeMap::new();
    log_files::lines(files, |_: &Path, _, line, _| {
        match serde_json::from_slice::<Value>(line) {
            Ok(record) => take(&record, since, &mut report, &mut groups),
            Err(_) => report.unreadable += 1,
        }
        Ok(())
    })?;
    report.groups = groups.into_values().collect();
    report.groups.sort_by_key(|group| std::cmp::Reverse(group.denied + group.would_deny));
    Ok(report)
}

fn take(record: &Value, since: &str, report: &mut Report, groups: &mut BTreeMap<[String; 4], Group>) {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let at = text("/@timestamp");
    // Both are RFC 3339 in UTC, which sorts as text.
    if text("/event/action") != "exec" || at.as_str() < since {
        return;
    }
    report.attempts += 1;
    let kind = text("/tags/0");
    match kind.as_str() {
        "denied" => report.denied += 1,
        "would-deny" => report.would_deny += 1,
        "excepted" => report.excepted += 1,
        _ => {}
    }
    if kind != "denied" && kind != "would-deny" {
        return;
    }
    let file = text("/process/executable");
    let user = text("/user/id");
    let caller = text("/process/previous/0/executable");
    let rule = text("/rule/id");
    let hash = text("/process/hash/sha256");
    let key = [file, user, caller, rule];
    let group = groups.entry(key).or_insert_with_key(|[file, user, caller, rule]| Group {
        file: file.clone(),
        user: user.clone(),
        caller: caller.clone(),
        rule: rule.clone(),
        denied: 0,
        would_deny: 0,
        first: at.clone(),
        last: at.clone(),
        sha256: Vec::new(),
        exception: exception(file, caller),
    });
    group.denied += u64::from(kind == "denied");
    group.would_deny += u64::from(kind == "would-deny");
    group.last = at.clone().max(std::mem::take(&mut group.last));
    group.first = at.min(std::mem::take(&mut group.first));
    if !hash.is_empty() && !group.sha256.contains(&hash) {
        group.sha256.push(hash);
    }
}

/// A rule that would let this go on. The condition is an EQL string in a TOML literal string, so a name with quotes,
/// backslashes or control characters gets none: it is for a person to think about.
fn exception(file: &str, caller: &str) -> String {
    let is_plain =
        |text: &str| !text.chars().any(|c| c.is_control() || matches!(c, '"' | '\'' | '\\' | '*' | '?'));
    if file.is_empty() || !is_plain(file) || !is_plain(caller) {
        return String::new();
    }
    let name = file.trim_start_matches('/');
    let id: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let by = if caller.is_empty() {
        String::new()
    } else {
        format!(" and\n          process.previous.executable == \"{caller}\"")
    };
    format!(
        "[[rule]]\nid = \"allow-{id}\"\neffect = \"allow\"\nreason = \"say why\"\n\
         when = '''process.executable == \"{file}\"{by}'''\n"
    )
}

fn words(report: &Report, style: Style) -> String {
    let mut text = format!(
        "{} attempts: {} denied, {} would be denied, {} excepted\n",
        report.attempts, report.denied, report.would_deny, report.excepted
    );
    if report.unreadable > 0 {
        text.push_str(&format!("{} lines are no records\n", report.unreadable));
    }
    for group in &report.groups {
        let what = style.paint(Tone::Heading, &plain(&group.file));
        text.push_str(&format!("\n{what}\n"));
        let caller = if group.caller.is_empty() { "an unknown program" } else { &group.caller };
        text.push_str(&format!(
            "  uid {} by {}: {} denied, {} would be denied; rule {}\n  from {} to {}\n",
            plain(&group.user),
            plain(caller),
            group.denied,
            group.would_deny,
            plain(&group.rule),
            plain(&group.first),
            plain(&group.last)
        ));
        for hash in &group.sha256 {
            text.push_str(&format!("  sha256 {}\n", plain(hash)));
        }
        if group.exception.is_empty() {
            text.push_str("  no exception is proposed for this name\n");
        }
        for line in group.exception.lines() {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text
}

/// A page without scripts, and with nothing loaded from elsewhere.
fn page(report: &Report) -> String {
    let mut rows = String::new();
    for group in &report.groups {
        let cells = [
            &group.file,
            &group.user,
            &group.caller,
            &group.rule,
            &group.denied.to_string(),
            &group.would_deny.to_string(),
            &group.last,
            &group.exception,
        ];
        let cells: String = cells.map(|cell| format!("<td><pre>{}</pre></td>", escaped(cell))).concat();
        rows.push_str(&format!("<tr>{cells}</tr>\n"));
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>shmguard report</title>\n\
         <style>body{{font:15px sans-serif;margin:2em}}table{{border-collapse:collapse}}\
         td,th{{border:1px solid #bbb;padding:.3em .6em;text-align:left;vertical-align:top}}pre{{margin:0}}</style>\n\
         <h1>What prevention denies</h1>\n\
         <p>{} attempts: {} denied, {} would be denied, {} excepted.</p>\n\
         <table><tr><th>file<th>uid<th>caller<th>rule<th>denied<th>would be denied<th>last<th>exception</tr>\n{rows}</table></html>\n",
        report.attempts, report.denied, report.would_deny, report.excepted
    )
}

fn escaped(text: &str) -> String {
    plain(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A span before now, or a time, as the beginning of the timestamps that are not before it.
fn since(text: &str) -> Result<String, String> {
    let seconds = if let Ok(span) = config::duration(text) {
        let then = SystemTime::now().checked_sub(span).and_then(|then| then.duration_since(UNIX_EPOCH).ok());
        then.map(|then| then.as_secs())
    } else {
        let mut when: Datetime = text.parse().map_err(|_| {
            "is neither a span (30m, 24h, 7d) nor a time that there is (2026-01-31, 2026-01-31T12:00:00Z)"
        })?;
        // A date is its first second, and without a zone it is UTC.
        when.time = when.time.or(Some(Time { hour: 0, minute: 0, second: None, nanosecond: None }));
        when.offset = when.offset.or(Some(Offset::Z));
        moment(&when).map(|nanoseconds| nanoseconds / 1_000_000_000)
    };
    let seconds = seconds.ok_or("is not between 1970 and 2262")?;
    let moment = words::moment(seconds).replace(' ', "T");
    Ok(moment.get(..19).unwrap_or(&moment).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Source, compile};

    fn log(lines: &[Value]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.ndjson");
        std::fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        (directory, path)
    }

    fn record(at: &str, tag: &str, file: &str) -> Value {
        serde_json::json!({
            "@timestamp": at, "tags": [tag], "event": {"action": "exec"}, "user": {"id": "0"},
            "process": {"executable": file, "previous": [{"executable": "/usr/bin/ansible"}]}, "rule": {"id": "r"},
        })
    }

    #[test]
    fn attempts_are_grouped_and_the_proposed_exception_is_a_rule() {
        let (_directory, path) = log(&[
            record("2026-01-01T00:00:00Z", "would-deny", "/dev/shm/a"),
            record("2026-01-02T00:00:00Z", "denied", "/dev/shm/a"),
            record("2026-01-03T00:00:00Z", "allowed", "/dev/shm/b"),
        ]);
        let report = read(&[path], "").unwrap();
        assert_eq!((report.attempts, report.denied, report.would_deny), (3, 1, 1));
        let [group] = &report.groups[..] else { panic!("{report:?}") };
        assert_eq!((group.denied, group.would_deny), (1, 1));
        let sources = [Source { file: None, text: &group.exception }];
        compile(&sources, false).unwrap_or_else(|problems| panic!("{problems:?}"));
    }

    #[test]
    fn older_attempts_are_left_out() {
        let (_directory, path) = log(&[
            record("2026-01-01T00:00:00Z", "denied", "/dev/shm/a"),
            record("2026-01-02T00:00:00Z", "denied", "/dev/shm/a"),
        ]);
        assert_eq!(read(&[path], &since("2026-01-02").unwrap()).unwrap().denied, 1);
        for (text, expected) in [
            ("2026-01-31", "2026-01-31T00:00:00"),
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00"),
            ("2026-01-31T12:00:00", "2026-01-31T12:00:00"),
            ("2026-01-31T01:00:00+02:00", "2026-01-30T23:00:00"),
            ("2028-02-29", "2028-02-29T00:00:00"),
        ] {
            assert_eq!(since(text).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "yesterday",
            "",
            "12:00:00",
            "2026-13-01",
            "2026-02-29",
            "2026-00-10",
            "2026-01-31T25:00:00Z",
            "2026-01-31x",
            "1969-12-31",
            "99999999d",
        ] {
            assert!(since(text).is_err(), "{text}");
        }
        assert!(since("7d").unwrap().starts_with("20"));
    }

    #[test]
    fn a_name_that_could_break_out_of_a_rule_or_a_page_does_not() {
        assert_eq!(exception("/dev/shm/x'''\nid = 1", ""), "");
        assert!(!escaped("<script>").contains('<'));
    }
}
