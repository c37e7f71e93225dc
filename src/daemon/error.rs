//! Why a guard does not stand, and the words for whoever started it.

use std::fmt;
use std::io;

use crate::control::server;
use crate::identify::IdentifyError;
use crate::notify::NotifyError;
use crate::policy::Problem;
use crate::privileges::PrivilegeError;
use crate::record::RecordError;
use crate::watch::plan;

/// Why the guard does not stand.
#[derive(Debug)]
pub enum StartError {
    /// Mistakes in configuration or policy.
    Problems(Vec<Problem>),
    /// Capabilities are missing or could not be given up.
    Privileges(PrivilegeError),
    /// The kernel gives no group.
    Group(NotifyError),
    /// No directory can be watched; each with its reason.
    NothingToWatch(Vec<plan::LeftOut>),
    /// The marks could not be set.
    Marks(io::Error),
    /// The log could not be opened.
    Log(RecordError),
    /// Another guard holds the control socket.
    Busy(server::Error),
    /// The control socket could not be made.
    Control(server::Error),
    /// The kernel's command line says `shmguard.mode=off`.
    SwitchedOff,
    /// Who executes can't be found out on this host.
    Identify(IdentifyError),
    /// The operating system refused something else.
    System {
        /// What.
        what: &'static str,
        /// Why.
        error: io::Error,
    },
}

pub(super) fn system(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |error| StartError::System { what, error }
}

/// One line for whoever started the guard. Standard error may be closed or full: nobody waits for it.
pub(super) fn say(line: &str) {
    use std::io::Write;
    let _written = writeln!(io::stderr(), "{line}");
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problems(problems) => {
                let count = problems.len();
                writeln!(
                    f,
                    "{count} mistake{} in configuration or policy:",
                    if count == 1 { "" } else { "s" }
                )?;
                problems.iter().try_for_each(|problem| write!(f, "\n{problem}"))
            }
            Self::Privileges(error) => error.fmt(f),
            Self::Group(error) => error.fmt(f),
            Self::NothingToWatch(left_out) => {
                f.write_str("no directory can be watched:")?;
                left_out.iter().try_for_each(|left| {
                    write!(f, "\n  {}: {}; {}", left.directory.display(), left.reason, left.remedy)
                })
            }
            Self::Marks(error) => write!(f, "no filesystem could be marked: {error}"),
            Self::SwitchedOff => f.write_str(
                "switched off by shmguard.mode=off on the kernel's command line; nothing is guarded",
            ),
            Self::Log(error) => error.fmt(f),
            Self::Busy(error) | Self::Control(error) => error.fmt(f),
            Self::Identify(error) => error.fmt(f),
            Self::System { what, error } => write!(f, "cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    /// What is below the errors whose words are ours: of those that name their cause themselves, nothing.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Busy(error) | Self::Control(error) => error.source(),
            Self::Identify(error) => error.source(),
            Self::Problems(_)
            | Self::Privileges(_)
            | Self::Group(_)
            | Self::NothingToWatch(_)
            | Self::Marks(_)
            | Self::Log(_)
            | Self::SwitchedOff
            | Self::System { .. } => None,
        }
    }
}
