//! `shmguard policy show`.

use crate::cli::effective::{self, Which};
use crate::cli::words::{moment, plain, plain_lines, print};
use crate::policy::{Generation, Rule};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

/// Print the rules that hold, in the order in which they are tried
///
/// The first rule that matches decides; what no rule matches is allowed. Without files: what the guard would read.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shmguard policy show
  shmguard policy show --json | jq '.rules[].id'")]
pub(super) struct Args {
    /// Files, or directories of *.toml; these alone
    files: Vec<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> Result<(), u8> {
    let generation = if args.files.is_empty() {
        let config = effective::config(&args.which, err)?;
        effective::configured(&config, err)?
    } else {
        effective::exactly(&args.files, false, err)?
    };
    if args.json {
        let shown = Shown::of(&generation);
        let json = serde_json::to_string_pretty(&shown).unwrap_or_default();
        return print(out, &format!("{json}\n"));
    }
    let mut text = String::new();
    for (index, rule) in generation.rules().iter().enumerate() {
        text.push_str(&readable(index + 1, rule));
    }
    text.push_str(&format!("What no rule matches is allowed.\npolicy {}\n", generation.hash()));
    print(out, &text)
}

fn readable(number: usize, rule: &Rule) -> String {
    let about = &rule.about;
    let mut text = format!("{number}. {} {}", about.effect, about.id);
    if let Some(mode) = about.mode {
        text.push_str(&format!(" (mode {mode})"));
    }
    if let Some(expires) = about.expires {
        text.push_str(&format!(", until {}", moment(expires / 1_000_000_000)));
    }
    text.push_str(&format!("   [{}]\n", plain(&about.ruleset)));
    if let Some(name) = &about.name {
        text.push_str(&format!("   {}\n", plain(name)));
    }
    for line in plain_lines(rule.condition.text().trim()).lines() {
        text.push_str(&format!("     {}\n", line.trim_end()));
    }
    if let Some(reason) = &about.reason {
        for line in plain_lines(reason.trim()).lines() {
            text.push_str(&format!("   | {}\n", line.trim()));
        }
    }
    text.push('\n');
    text
}

#[derive(Serialize)]
struct Shown<'a> {
    hash: &'a str,
    files: Vec<ShownFile<'a>>,
    rules: Vec<ShownRule<'a>>,
}

#[derive(Serialize)]
struct ShownFile<'a> {
    file: Option<String>,
    sha256: &'a str,
    rules: usize,
}

#[derive(Serialize)]
struct ShownRule<'a> {
    id: &'a str,
    name: Option<&'a str>,
    effect: crate::event::Effect,
    mode: Option<crate::event::Mode>,
    /// Nanoseconds since the epoch.
    expires: Option<u64>,
    severity: crate::policy::Severity,
    risk_score: u8,
    ruleset: &'a str,
    when: &'a str,
    reason: Option<&'a str>,
    fields: Vec<&'static str>,
}

impl<'a> Shown<'a> {
    fn of(generation: &'a Generation) -> Self {
        let files = generation.files().iter().map(|file| ShownFile {
            file: file.file.as_ref().map(|file| file.display().to_string()),
            sha256: &file.sha256,
            rules: file.rules,
        });
        let rules = generation.rules().iter().map(|rule| ShownRule {
            id: &rule.about.id,
            name: rule.about.name.as_deref(),
            effect: rule.about.effect,
            mode: rule.about.mode,
            expires: rule.about.expires,
            severity: rule.about.severity,
            risk_score: rule.about.risk_score,
            ruleset: &rule.about.ruleset,
            when: rule.condition.text(),
            reason: rule.about.reason.as_deref(),
            fields: rule.condition.fields().iter().map(|field| field.name()).collect(),
        });
        Self { hash: generation.hash(), files: files.collect(), rules: rules.collect() }
    }
}
