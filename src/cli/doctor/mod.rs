//! `shmguard doctor`: which ways around the guard this host leaves open, and what closes each.
//!
//! Changes nothing on the host. `gather` finds the facts out, as far as whoever asks may; each check is a pure function
//! from these facts to a finding, one file for each area; this file prints them.

mod configuration;
mod facts;
mod finding;
mod gather;
mod guard;
mod host;
mod kernel;
mod ways;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::exit;
use super::guard::Socket;
use super::words::{Style, Tone, plain, print};
use facts::Facts;
use finding::{Check, Finding, State};

/// Flags of `doctor`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The configuration to look at [default: /etc/shmguard/shmguard.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print everything as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

const EXAMPLES: &str = "\
Changes nothing. Sees most as root, while the guard runs; what it cannot see is unknown, with the reason.

Exit status: 0 nothing is open; 1 a hole was found; 78 the configuration that was named cannot be read.

Examples:
  shmguard doctor
  shmguard doctor --json | jq -r '.checks[] | select(.state == \"open\") | .id, .close[]'
  shmguard doctor >/dev/null || echo 'look at shmguard on this host'";

/// The areas in the order in which they are printed.
const AREAS: [(&str, &str, &[Check]); 5] = [
    ("guard", "The guard", guard::CHECKS),
    ("ways", "Ways around it", ways::CHECKS),
    ("host", "Mounts", host::CHECKS),
    ("kernel", "Kernel", kernel::CHECKS),
    ("configuration", "Configuration", configuration::CHECKS),
];

/// Looks, and prints. The exit status of the command.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let facts = match gather::facts(args.config.as_deref(), &args.socket) {
        Ok(facts) => facts,
        Err(problems) => return super::effective::tell(&problems, err),
    };
    let report = Report::of(&facts);
    let text = if args.json {
        let mut json = serde_json::to_string_pretty(&report).unwrap_or_default();
        json.push('\n');
        json
    } else {
        report.readable(Style::of_stdout())
    };
    match print(out, &text) {
        Ok(()) if report.summary.open > 0 => exit::NO,
        Ok(()) => exit::DONE,
        Err(status) => status,
    }
}

/// What `--json` prints: documented in the manual.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    host: Host,
    summary: Summary,
    checks: Vec<Checked>,
}

#[derive(Debug, Serialize)]
struct Host {
    name: String,
    kernel: String,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    covered: usize,
    open: usize,
    not_applicable: usize,
    unknown: usize,
}

#[derive(Debug, Serialize)]
struct Checked {
    id: &'static str,
    area: &'static str,
    state: State,
    what: &'static str,
    found: String,
    close: Vec<String>,
    breaks: Option<String>,
}

impl Report {
    fn of(facts: &Facts) -> Self {
        let mut summary = Summary::default();
        let mut checks = Vec::new();
        for (area, _, of_area) in AREAS {
            for check in of_area {
                let Finding { state, found, close, breaks } = (check.judge)(facts);
                *match state {
                    State::Covered => &mut summary.covered,
                    State::Open => &mut summary.open,
                    State::NotApplicable => &mut summary.not_applicable,
                    State::Unknown => &mut summary.unknown,
                } += 1;
                let Check { id, what, .. } = *check;
                checks.push(Checked { id, area, state, what, found, close, breaks });
            }
        }
        let host = Host { name: facts.host.name.clone(), kernel: facts.kernel.release.clone() };
        Self { version: env!("CARGO_PKG_VERSION"), host, summary, checks }
    }

    fn readable(&self, style: Style) -> String {
        let mut text = self.headline(style);
        let width = self.checks.iter().map(|check| check.id.len()).max().unwrap_or_default();
        for (area, title, _) in AREAS {
            text.push_str(&format!("\n{}\n", style.paint(Tone::Heading, title)));
            for check in self.checks.iter().filter(|check| check.area == area) {
                let state = style.paint(tone(check.state), &format!("{:<7}", word(check.state)));
                let found = plain(&check.found);
                text.push_str(&format!("  {state}  {:<width$}  {}: {found}\n", check.id, check.what));
                let indent = " ".repeat(width + 13);
                for line in &check.close {
                    text.push_str(&format!("{indent}-> {}\n", plain(line)));
                }
                if let Some(breaks) = &check.breaks {
                    text.push_str(&format!("{indent}   breaks: {}\n", plain(breaks)));
                }
            }
        }
        text
    }

    /// The answer in one line, and which ways are open in another.
    fn headline(&self, style: Style) -> String {
        let Summary { covered, open, not_applicable, unknown } = self.summary;
        let (tone, word) = match (open, unknown) {
            (0, 0) => (Tone::Good, "NOTHING IS OPEN".to_owned()),
            (0, _) => (Tone::Warning, "NOTHING IS SEEN TO BE OPEN".to_owned()),
            (open, _) => (Tone::Bad, format!("{open} OPEN")),
        };
        let mut text = format!(
            "{}: {covered} covered, {open} open, {unknown} unknown, {not_applicable} not applicable, on {} with Linux {}\n",
            style.paint(tone, &word),
            plain(&self.host.name),
            plain(&self.host.kernel),
        );
        let names: Vec<_> =
            self.checks.iter().filter(|check| check.state == State::Open).map(|check| check.id).collect();
        if !names.is_empty() {
            text.push_str(&format!("  {}\n", names.join(", ")));
        }
        text
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Covered => "covered",
        State::Open => "OPEN",
        State::NotApplicable => "-",
        State::Unknown => "unknown",
    }
}

fn tone(state: State) -> Tone {
    match state {
        State::Covered => Tone::Good,
        State::Open => Tone::Bad,
        State::NotApplicable => Tone::Faint,
        State::Unknown => Tone::Warning,
    }
}
