//! `shmguard policy`: look at rules without a guard.

mod check;
mod import;
mod show;
mod test;

use std::io::Write;

/// Check, show, test and import rules
///
/// A rule says which execs are denied, or excepted from being denied. shmguard-rules(5) describes the language.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do with rules.
#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Say what is wrong with policy files
    Check(check::Args),
    /// Print the rules that hold, in the order in which they are tried
    Show(show::Args),
    /// Run cases: attempts with the decision that must come of them
    Test(test::Args),
    /// Turn a detection rule of Elastic into one of ours
    Import(import::Args),
}

const EXAMPLES: &str = "\
Examples:
  shmguard policy check                             what the guard would read
  shmguard policy check my.toml                     one file, before it is installed
  shmguard policy show
  shmguard policy test /usr/share/shmguard/policy/cases/*.toml
  shmguard policy import rule.toml > /etc/shmguard/policy.d/50-rule.toml

Exit status: 0 as it should be; 1 a case failed; 65 the rule cannot be imported; 78 mistakes in policy or configuration.";

/// Does it. The exit status of the command.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let done = match &args.command {
        Command::Check(args) => check::run(args, out, err),
        Command::Show(args) => show::run(args, out, err),
        Command::Test(args) => test::run(args, out, err),
        Command::Import(args) => import::run(args, out, err),
    };
    done.err().unwrap_or(super::exit::DONE)
}
