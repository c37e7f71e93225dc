//! `shmguard policy import`.

use crate::cli::effective::{self, Which, tell};
use crate::cli::exit;
use crate::cli::words::{plain, print};
use crate::daemon::load;
use crate::decide::can_match;
use crate::event::{Field, Texts};
use crate::policy::import::import;
use crate::policy::{Source, compile};
use std::io::Write;
use std::path::PathBuf;

/// Turn a detection rule of Elastic into one of ours
///
/// Reads a file of Elastic's detection-rules repository (TOML, language eql, one event) and prints a policy file. What
/// could not be taken, and what to know before it is used, goes to standard error. The rule denies: try it with
/// mode = "audit" first, or while the guard is in audit mode.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 taken; 65 it cannot be taken, and why.

Examples:
  shmguard policy import execution_from_shm.toml > /etc/shmguard/policy.d/50-execution.toml")]
pub(super) struct Args {
    /// The detection rule
    #[arg(value_name = "RULE.toml")]
    rule: PathBuf,
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> Result<(), u8> {
    let text = effective::text(&args.rule, err)?;
    let refuse = |problems: &[_], err: &mut dyn Write| {
        tell(problems, err);
        exit::DATA
    };
    let imported = import(Some(&args.rule), &text).map_err(|problems| refuse(&problems, err))?;
    let source = Source { file: Some(&args.rule), text: &imported.text };
    let generation = compile(&[source], false).map_err(|problems| refuse(&problems, err))?;
    let name = args.rule.display();
    for note in &imported.notes {
        let _written = writeln!(err, "{name}: note: {}", plain(note));
    }
    let config = effective::config(&args.which, err)?;
    let directories: Vec<Texts> = config
        .watch
        .directories
        .iter()
        .map(|directory| load::spellings(&directory.join(""), &config).names)
        .collect();
    for rule in generation.rules() {
        if !can_match(rule, &directories) {
            let _written = writeln!(
                err,
                "{name}: warning: it can never match: no file in a watched directory, started by an exec, satisfies it"
            );
        } else if !rule.condition.fields().iter().any(|field| ABOUT_THE_FILE.contains(field)) {
            let _written = writeln!(
                err,
                "{name}: note: it says nothing about the file: only execs from the watched directories are asked about"
            );
        }
    }
    print(out, &imported.text)
}

const ABOUT_THE_FILE: [Field; 4] =
    [Field::ProcessExecutable, Field::FilePath, Field::FileDirectory, Field::ProcessHash];
