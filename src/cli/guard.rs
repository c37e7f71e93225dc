//! Asking the running guard, for the commands that do: where its socket is, and what each failure means as an exit
//! status.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::exit;
use super::words::{chain, plain_lines};
use crate::control::client::{self, Error};
use crate::control::protocol::{Code, Reply, Request};
use crate::policy::config;

/// Which guard.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Socket {
    /// The guard's control socket; by default the one that the configuration names
    #[arg(long = "socket", value_name = "PATH")]
    path: Option<PathBuf>,
}

impl Socket {
    /// The socket at this path.
    #[cfg(test)]
    pub(super) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: Some(path.into()) }
    }

    /// The path of the command line.
    pub(super) fn named(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The path of the command line, else of the configuration, else the default. A configuration that cannot be
    /// read is no reason not to look for a guard.
    pub(super) fn resolve(&self) -> PathBuf {
        self.path.clone().unwrap_or_else(|| {
            let file = Path::new(config::DEFAULT_PATH);
            let text = std::fs::read_to_string(file).unwrap_or_default();
            config::parse(Some(file), &text).unwrap_or_default().control.socket
        })
    }
}

/// The guard's reply; where there is none, `err` says why, and the exit status comes back. `failed` is the status for
/// a request that the guard understood and could not carry out.
pub(super) fn ask(
    socket: &Socket,
    request: &Request,
    patience: Duration,
    failed: u8,
    err: &mut dyn Write,
) -> Result<Reply, u8> {
    client::ask(&socket.resolve(), request, patience).map_err(|error| {
        let hints = Hints::of(has_systemd());
        let (status, help) = match &error {
            Error::NotRunning { .. } => (exit::UNAVAILABLE, Some(hints.start)),
            Error::NotPermitted { .. } => (exit::NO_PERMISSION, Some("run this as root")),
            Error::TimedOut { .. } => (exit::BUSY, Some(hints.look)),
            Error::Malformed(_) => {
                (exit::PROTOCOL, Some("is the guard of another version than this command?"))
            }
            Error::Failed(..) => (exit::OS, None),
            Error::Refused(refusal) => match refusal.code {
                Code::Failed => (failed, None),
                Code::Internal => (exit::SOFTWARE, Some("please report it")),
                Code::NotPermitted => (exit::NO_PERMISSION, None),
                Code::Malformed | Code::Unsupported | Code::Unknown => (exit::PROTOCOL, None),
            },
        };
        complain(err, &error, help);
        status
    })
}

/// Whether systemd manages this host (sd_booted(3)).
pub(super) fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// What to do about a guard that does not answer.
#[derive(Debug, PartialEq, Eq)]
struct Hints {
    start: &'static str,
    look: &'static str,
}

impl Hints {
    /// Where systemd manages the host, and where it does not.
    const fn of(systemd: bool) -> Self {
        if systemd {
            Self {
                start: "start one: systemctl start shmguard",
                look: "it may be stopped or overloaded: see systemctl status shmguard",
            }
        } else {
            Self {
                start: "start one: shmguard run --supervise",
                look: "it may be stopped or overloaded: see what its process does, and its standard error",
            }
        }
    }
}

/// A reply of the wrong kind: the guard answered another question.
pub(super) fn mismatch(err: &mut dyn Write) -> u8 {
    complain(err, &Error::Malformed("the guard answered another question".to_owned()), None);
    exit::PROTOCOL
}

/// The error with its chain, each on the same line, and what to do below it.
fn complain(err: &mut dyn Write, error: &dyn std::error::Error, help: Option<&str>) {
    let mut text = format!("shmguard: {}", plain_lines(&chain(error)));
    if let Some(help) = help {
        text.push_str(&format!("\n  = help: {help}"));
    }
    text.push('\n');
    // Nowhere is left to say that standard error is closed.
    err.write_all(text.as_bytes()).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_systemctl_where_there_is_no_systemd() {
        let told = |hints: Hints| [hints.start, hints.look].map(|hint| hint.contains("systemctl"));
        assert_eq!(told(Hints::of(true)), [true, true]);
        assert_eq!(told(Hints::of(false)), [false, false]);
    }

    #[test]
    fn what_to_do_fits_this_host() {
        let directory = tempfile::tempdir().unwrap();
        let mut err = Vec::new();
        let nobody = Socket::at(directory.path().join("control.sock"));
        let status = ask(&nobody, &Request::Status, Duration::from_secs(1), 1, &mut err).unwrap_err();
        assert_eq!(status, exit::UNAVAILABLE);
        let told = String::from_utf8(err).unwrap();
        assert_eq!(told.contains("systemctl"), Path::new("/run/systemd/system").exists(), "{told}");
    }
}
