//! The command line: flags, and words on the terminal.
//!
//! One file per command, each with its `Args` and a `run` that writes to the streams it is given and returns the exit
//! status. Touches no kernel interface: `run` hands over to the daemon, the other commands read files or talk to the
//! running guard.

pub mod doctor;
pub mod drill;
mod effective;
pub mod events;
pub mod exit;
pub mod explain;
mod guard;
mod log_files;
pub mod mode;
mod output;
pub mod policy;
pub mod reload;
pub mod replay;
pub mod report;
pub mod run;
pub mod status;
mod words;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use output::Output;

/// Stops programs from being executed out of shared memory, before their first instruction.
#[derive(Debug, Parser)]
#[command(name = "shmguard", version, max_term_width = 100, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Guard the watched directories, in the foreground
    Run(run::Args),
    /// Show the state of the running guard
    ///
    /// The first line says whether this host is guarded. Below it stands everything that was promised and does not
    /// hold, each with what to do about it; then what is watched, the rules and how often each matched, what was
    /// counted, and how each log does.
    Status(status::Args),
    /// Show or change the mode of the running guard
    ///
    /// Without a mode: prints the one in force. A change holds until the guard is restarted or told otherwise, or, with
    /// --for, for so long; the configuration is not changed. Every change is recorded with who asked for it.
    Mode(mode::Args),
    /// Make the running guard read its policy and configuration again
    ///
    /// All of it is taken over at once or not at all: where there is a mistake, it is shown with file, line and column,
    /// and the guard goes on with what it had. SIGHUP does the same, without showing anything.
    Reload(reload::Args),
    /// Check, show, test and import rules
    Policy(policy::Args),
    /// Say what would be decided for a file and a user, and why
    Explain(explain::Args),
    /// Decide recorded exec events again
    Replay(replay::Args),
    /// Show what was recorded, or prove that nothing of it is missing
    Events(events::Args),
    /// Show what prevention denies or would deny, grouped, with proposed exceptions
    Report(report::Args),
    /// Say which ways around the guard this host leaves open, and what closes each
    ///
    /// For this kernel and host each way is covered (denied, or at least recorded), open, not applicable, or unknown; with
    /// what was found that says so, what closes it, and what that breaks. Changes nothing.
    Doctor(doctor::Args),
    /// Try known attack sequences, with harmless stand-ins, against a guard of its own
    Drill(drill::Args),
}

const EXAMPLES: &str = "\
Examples:
  shmguard run                          guard in audit mode, records to standard error
  shmguard run --mode prevent           the same, and deny
  shmguard status                       is this host guarded, and what does not hold
  shmguard report                       what prevention would deny, and exceptions to it
  shmguard explain /dev/shm/x           what would be decided, and why
  shmguard doctor                       which ways around it are open here, and what closes them
  shmguard drill                        prove on this kernel that it works; changes nothing

Exit status: 0 done; 1 the answer is no; 2 usage; 64 to 78 as in sysexits.h: 69 unavailable, 77 not permitted, \
78 mistake in policy or configuration.";

/// Reads the arguments, does what they say, returns the exit status.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut out = Output::new(std::io::stdout().lock());
    // Not locked: threads of the guard write to standard error too.
    let mut err = std::io::stderr();
    match Cli::try_parse_from(arguments) {
        Ok(cli) => {
            let status = dispatch(cli.command, &mut out, &mut err);
            ExitCode::from(out.end(status, &mut err))
        }
        Err(error) if error.use_stderr() => {
            // A closed terminal cannot be told that it is closed.
            let _printed = error.print();
            ExitCode::from(exit::USAGE)
        }
        // `--help` and `--version`. What cannot be written is told at the end.
        Err(asked) => {
            let _written = write!(out, "{asked}");
            ExitCode::from(out.end(exit::DONE, &mut err))
        }
    }
}

fn dispatch(command: Command, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    match command {
        Command::Run(args) => run::run(&args, err),
        Command::Status(args) => status::run(&args, out, err),
        Command::Mode(args) => mode::run(&args, out, err),
        Command::Reload(args) => reload::run(&args, out, err),
        Command::Policy(args) => policy::run(&args, out, err),
        Command::Explain(args) => explain::run(&args, out, err),
        Command::Replay(args) => replay::run(&args, out, err),
        Command::Events(args) => events::run(&args, out, err),
        Command::Report(args) => report::run(&args, out, err),
        Command::Doctor(args) => doctor::run(&args, out, err),
        Command::Drill(args) => drill::run(&args, out, err),
    }
}
