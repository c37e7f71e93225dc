//! `shmguard run`: the guard, in the foreground.

use std::io::Write;
use std::path::PathBuf;

use super::exit;
use super::words::chain;
use crate::daemon::{self, StartError};
use crate::event::Mode;
use crate::notify::NotifyError;
use crate::privileges::PrivilegeError;
use crate::record::RecordError;

/// Flags of `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The configuration; without it /etc/shmguard/shmguard.toml if that exists, else the embedded policy, audit mode,
    /// and records to standard error only
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Stands above the configuration's mode
    #[arg(long, value_name = "MODE", value_parser = mode)]
    pub mode: Option<Mode>,
    /// A small parent keeps the waiting execs and starts the guard again when it dies; for hosts without systemd
    #[arg(long)]
    pub supervise: bool,
}

const EXAMPLES: &str = "\
Prints `ready` on standard error when every mark is in place. SIGHUP reads policy and configuration again; \
SIGTERM and SIGINT answer what waits and end.

Examples:
  shmguard run
  shmguard run --mode prevent 2>events.ndjson
  shmguard run --config /etc/shmguard/shmguard.toml";

/// Runs until a signal ends it.
pub fn run(args: &Args, err: &mut dyn Write) -> u8 {
    let options = daemon::Options { config: args.config.clone(), mode: args.mode, supervise: args.supervise };
    let error = match daemon::run(&options) {
        Ok(status) => return status,
        Err(error) => error,
    };
    // Where standard error is closed, the exit status still tells.
    let _written = writeln!(err, "shmguard: {}", chain(&error));
    status(&error)
}

fn status(error: &StartError) -> u8 {
    match error {
        StartError::Problems(_) | StartError::NothingToWatch(_) => exit::CONFIG,
        StartError::Privileges(PrivilegeError::Missing(_)) | StartError::Group(NotifyError::NotPermitted) => {
            exit::NO_PERMISSION
        }
        StartError::Privileges(_) => exit::OS,
        StartError::Group(NotifyError::NoFanotify | NotifyError::NoPermissionEvents)
        | StartError::SwitchedOff => exit::UNAVAILABLE,
        StartError::Busy { .. } | StartError::Log(RecordError::Held(_)) => exit::BUSY,
        StartError::Group(NotifyError::Failed(_))
        | StartError::Marks(_)
        | StartError::Log(_)
        | StartError::Control(_)
        | StartError::Identify(_)
        | StartError::System { .. } => exit::OS,
    }
}

/// Reads a mode.
///
/// # Errors
/// What the modes are.
pub fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "audit" => Ok(Mode::Audit),
        "prevent" => Ok(Mode::Prevent),
        _ => Err("the modes are `audit` and `prevent`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::server;

    #[test]
    fn an_error_at_the_start_names_its_cause() {
        let cause = std::io::Error::from_raw_os_error(nix::libc::ENOENT);
        let error = server::Error::Failed("make the directory", "/nonexist/a".into(), cause);
        let told = chain(&StartError::Control(error));
        assert_eq!(told, "cannot make the directory /nonexist/a: No such file or directory (os error 2)");
    }
}
