//! `shmguard drill`: known attack sequences, with harmless stand-ins, against a guard of its own.
//!
//! Besides these, ways around exec control, as far as this kernel and host have them: one that they lack is shown as not
//! available, never as passed. Nothing on the host changes: the drill has a mount namespace of its own, with fresh tmpfs on /dev/shm and /run, and
//! the guard it starts is another process of this program, in prevention mode. Each sequence says beforehand what
//! should happen; what is seen is how the execs ended *and* what the guard recorded of each.

mod ground;
mod sequences;
mod stage;
mod ways;

use std::io::{IsTerminal, Write};
use std::path::Path;

use serde::Serialize;

use super::exit;
use sequences::{SEQUENCES, Sequence};
use stage::{Stage, StageError};
use ways::{WAYS, Way};

/// Flags of `drill`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub json: bool,
    /// Keep the records that the drill's guard wrote, and say where
    #[arg(long)]
    pub keep: bool,
}

const EXAMPLES: &str = "\
Needs root. Runs in a mount namespace of its own and leaves nothing behind. Exit status 0 only if everything that \
is available on this kernel and host ended as it should.

Examples:
  shmguard drill
  shmguard drill --json | jq '.sequences[] | select(.available and (.passed | not))'";

/// The drill starts itself again, in a process that takes the way of this name, in that empty directory.
const WAY: &str = "SHMGUARD_DRILL_WAY";
const PLACE: &str = "SHMGUARD_DRILL_PLACE";

/// How one sequence went.
#[derive(Debug, Serialize)]
struct Outcome {
    name: &'static str,
    about: &'static str,
    expected: String,
    seen: String,
    /// This kernel and host have what it needs.
    available: bool,
    passed: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    kernel: String,
    passed: bool,
    sequences: Vec<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<std::path::PathBuf>,
}

/// Runs every sequence.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    if let (Some(way), Some(place)) = (std::env::var_os(WAY), std::env::var_os(PLACE)) {
        return ways::take(&way.to_string_lossy(), Path::new(&place), err);
    }
    match drill(args, err) {
        Ok(report) => match print(args, &report, out) {
            Ok(()) if report.passed => exit::DONE,
            Ok(()) => exit::NO,
            Err(_) => exit::IO,
        },
        Err(error) => {
            // Where standard error is closed, the exit status still tells.
            let _written = writeln!(err, "shmguard: drill: {error}");
            error.status()
        }
    }
}

fn drill(args: &Args, err: &mut dyn Write) -> Result<Report, StageError> {
    let mut stage = Stage::new()?;
    let progress = !args.json && std::io::stderr().is_terminal();
    let mut sequences = Vec::new();
    let mut tell = |number: usize, name: &str| {
        if progress {
            // Progress is for a person; losing it loses nothing.
            let _written = write!(err, "\r{number}/{}  {name:<40}", SEQUENCES.len() + WAYS.len());
        }
    };
    for sequence in SEQUENCES {
        tell(sequences.len() + 1, sequence.name);
        sequences.push(try_one(&mut stage, sequence)?);
    }
    for way in WAYS {
        tell(sequences.len() + 1, way.name);
        sequences.push(take_one(&mut stage, way)?);
    }
    if progress {
        let _written = write!(err, "\r{:<60}\r", "");
    }
    let records = stage.end(args.keep)?;
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        kernel: nix::sys::utsname::uname()
            .map(|names| names.release().to_string_lossy().into_owned())
            .unwrap_or_default(),
        passed: sequences.iter().all(|outcome| outcome.passed || !outcome.available),
        sequences,
        records,
    })
}

fn try_one(stage: &mut Stage, sequence: &'static Sequence) -> Result<Outcome, StageError> {
    let seen = stage.play(sequence)?;
    let expected = sequence.expected();
    Ok(Outcome {
        name: sequence.name,
        about: sequence.about,
        available: true,
        passed: seen == expected,
        expected: expected.join(", "),
        seen: seen.join(", "),
    })
}

fn take_one(stage: &mut Stage, way: &'static Way) -> Result<Outcome, StageError> {
    let expected = way.end.words(true, true);
    let (available, seen) = match stage.take(way)? {
        Ok(seen) => (true, seen),
        Err(lacking) => (false, format!("not available here: {lacking}")),
    };
    let passed = available && seen == expected;
    Ok(Outcome { name: way.name, about: way.about, expected, seen, available, passed })
}

fn print(args: &Args, report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    if args.json {
        serde_json::to_writer(&mut *out, report)?;
        return writeln!(out);
    }
    let width = report.sequences.iter().map(|outcome| outcome.name.len()).max().unwrap_or(0);
    let expected = report.sequences.iter().map(|outcome| outcome.expected.len()).max().unwrap_or(0);
    writeln!(out, "{:<6}  {:<width$}  {:<expected$}  seen", "", "sequence", "expected")?;
    for outcome in &report.sequences {
        let verdict = match (outcome.available, outcome.passed) {
            (true, true) => "ok",
            (true, false) => "FAILED",
            (false, _) => "-",
        };
        writeln!(
            out,
            "{verdict:<6}  {:<width$}  {:<expected$}  {}",
            outcome.name, outcome.expected, outcome.seen
        )?;
    }
    let passed = report.sequences.iter().filter(|outcome| outcome.passed).count();
    let available = report.sequences.iter().filter(|outcome| outcome.available).count();
    writeln!(out, "\n{passed} of {available} as they should be, on Linux {}", report.kernel)?;
    match report.sequences.len() - available {
        0 => {}
        lacking => writeln!(out, "{lacking} not available here, and not tried")?,
    }
    if let Some(records) = &report.records {
        writeln!(out, "records: {}", records.display())?;
    }
    Ok(())
}
