//! Capabilities, no_new_privs, system calls: what the guard needs to start, and the steps of giving up that can't be undone.
//!
//! Owns the order of giving up. Runs once, after the group and the marks are there. Called by the daemon alone.
//!
//! What is kept, and for what: CAP_SYS_ADMIN for new marks and for statmount(2) of another mount namespace;
//! CAP_SYS_PTRACE for /proc/PID/{exe,cwd,ns} and the memory of other users' processes; CAP_DAC_READ_SEARCH for files of
//! other users below /proc and for opening watched directories; CAP_AUDIT_WRITE for FAN_AUDIT; CAP_LEASE for keeping a file
//! as it is while an answer rests on its content.

mod calls;

pub use crate::sys::tasks::become_alone;
pub use calls::{confine_answering, confine_guard};

use std::fmt;

use caps::{CapSet, Capability, CapsHashSet};

/// The capabilities without which the guard does not start.
const NEEDED: [Capability; 2] = [Capability::CAP_SYS_ADMIN, Capability::CAP_SYS_PTRACE];

/// The capabilities that are kept where we have them.
const KEPT: [Capability; 5] = [
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_AUDIT_WRITE,
    Capability::CAP_LEASE,
];

/// Why the guard may not start or could not give up its privileges.
#[derive(Debug)]
pub enum PrivilegeError {
    /// These capabilities are missing.
    Missing(Vec<Capability>),
    /// The capabilities of this process could not be read or set.
    Failed(String),
    /// The filter of system calls was refused.
    Filter(String),
    /// PR_SET_NO_NEW_PRIVS was refused with this errno.
    NoNewPrivileges(nix::Error),
}

/// Checks that the needed capabilities are there.
///
/// # Errors
/// Which ones are missing.
pub fn check() -> Result<(), PrivilegeError> {
    let ours = read(CapSet::Effective)?;
    let missing: Vec<_> = NEEDED.into_iter().filter(|capability| !ours.contains(capability)).collect();
    if missing.is_empty() { Ok(()) } else { Err(PrivilegeError::Missing(missing)) }
}

/// Keeps other processes of root from looking into our memory and from attaching (PR_SET_DUMPABLE), and cores from being
/// written: they would hold the arguments of other users' programs.
///
/// # Errors
/// The kernel refuses, which prctl(2) does not say it would.
pub fn hide_memory() -> Result<(), PrivilegeError> {
    nix::sys::prctl::set_dumpable(false).map_err(PrivilegeError::NoNewPrivileges)
}

/// Drops every capability that is not kept, for this thread and those it starts from now on, and forbids new ones.
///
/// # Errors
/// A step failed; the guard must not go on with more than it says.
pub fn give_up() -> Result<(), PrivilegeError> {
    give_up_but(None)
}

/// The same for a thread that goes on changing its scheduling class: it keeps CAP_SYS_NICE.
///
/// # Errors
/// As [`give_up`].
pub fn give_up_but_priority() -> Result<(), PrivilegeError> {
    give_up_but(Some(Capability::CAP_SYS_NICE))
}

fn give_up_but(one: Option<Capability>) -> Result<(), PrivilegeError> {
    nix::sys::prctl::set_no_new_privs().map_err(PrivilegeError::NoNewPrivileges)?;
    let permitted = read(CapSet::Permitted)?;
    let kept: CapsHashSet =
        KEPT.into_iter().chain(one).filter(|capability| permitted.contains(capability)).collect();
    let failed = |error: caps::errors::CapsError| PrivilegeError::Failed(error.to_string());
    caps::clear(None, CapSet::Ambient).map_err(failed)?;
    caps::set(None, CapSet::Effective, &kept).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed)?;
    caps::clear(None, CapSet::Inheritable).map_err(failed)
}

fn read(set: CapSet) -> Result<CapsHashSet, PrivilegeError> {
    caps::read(None, set).map_err(|error| PrivilegeError::Failed(error.to_string()))
}

impl fmt::Display for PrivilegeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => {
                let names: Vec<_> = missing.iter().map(ToString::to_string).collect();
                write!(f, "not permitted: {} missing; start the guard as root", names.join(" and "))
            }
            Self::Failed(error) => write!(f, "the capabilities of this process cannot be changed: {error}"),
            Self::Filter(error) => write!(f, "the filter of system calls was refused: {error}"),
            Self::NoNewPrivileges(errno) => write!(f, "no_new_privs was refused: {errno}"),
        }
    }
}

impl std::error::Error for PrivilegeError {}
