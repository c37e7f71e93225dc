//! `shmguard policy check`.

use crate::cli::effective::{self, Which, tell};
use crate::cli::words::print;
use crate::policy::Generation;
use std::io::Write;
use std::path::PathBuf;

/// Say what is wrong with policy files
///
/// All mistakes are shown, each with file, line and column. Without files: what the guard would read.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shmguard policy check
  shmguard policy check my.toml other.toml")]
pub(super) struct Args {
    /// Files, or directories of *.toml; these alone
    files: Vec<PathBuf>,
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> Result<(), u8> {
    let generation = if args.files.is_empty() {
        let config = effective::config(&args.which, err)?;
        effective::configured(&config, err)?
    } else {
        let texts = effective::texts(&args.files, err)?;
        let generation = effective::of(&texts, false).map_err(|problems| tell(&problems, err))?;
        // What is right by itself may still not go together with what is built in.
        if let Err(problems) = effective::of(&texts, true) {
            for problem in problems {
                let _written =
                    writeln!(err, "note, unless the configuration says builtin = false: {problem}\n");
            }
        }
        generation
    };
    for warning in generation.warnings() {
        let _written = writeln!(err, "warning: {warning}\n");
    }
    print(out, &summary(&generation))
}

fn summary(generation: &Generation) -> String {
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let mut text = format!(
        "{} in {}, {}\n",
        count(generation.rules().len(), "rule"),
        count(generation.files().len(), "file"),
        count(generation.warnings().len(), "warning")
    );
    if generation.rules().is_empty() {
        text.push_str("without a rule everything is allowed\n");
    }
    text
}
