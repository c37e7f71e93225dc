//! What was found out about this host: plain values, which the checks judge and nobody else fills in but `gather`.

use std::path::PathBuf;

use crate::control::status::Status;
use crate::policy::config::Config;

/// Something that was looked for; an error is why it could not be seen.
pub(super) type Seen<T> = Result<T, String>;

/// Everything that the checks ask for.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The kernel.
    pub(super) kernel: Kernel,
    /// The host outside the guard.
    pub(super) host: Host,
    /// The files.
    pub(super) files: Files,
    /// The guard.
    pub(super) guard: Guard,
    /// Its socket, where commands do not find it unless they are told.
    pub(super) elsewhere: Option<PathBuf>,
}

/// What the kernel can do.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    /// uname -r.
    pub(super) release: String,
    /// Marks for execs can be placed; the inner error is why they cannot.
    pub(super) exec_marks: Seen<Result<(), String>>,
    /// FAN_REPORT_FD_ERROR.
    pub(super) fd_error: Seen<bool>,
    /// FAN_ENABLE_AUDIT.
    pub(super) audit: Seen<bool>,
    /// FAN_MARK_MNTNS.
    pub(super) mount_events: Seen<bool>,
    /// PIDFD_GET_INFO.
    pub(super) thread_info: bool,
    /// statmount(2), listmount(2).
    pub(super) mount_ids: bool,
    /// fsopen(2).
    pub(super) detached_mounts: bool,
    /// AT_EXECVE_CHECK.
    pub(super) exec_check: bool,
    /// The process connector; the inner error is why it does not work.
    pub(super) connector: Seen<Result<(), String>>,
    /// /proc/PID/map_files.
    pub(super) map_files: bool,
    /// vm.memfd_noexec; `None` where the kernel has no such setting.
    pub(super) memfd_noexec: Option<u8>,
    /// What of `shmguard.mode=` stands on the command line.
    pub(super) mode_on_command_line: Option<String>,
}

/// The host.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// Its name.
    pub(super) name: String,
    /// systemd manages it.
    pub(super) systemd: bool,
    /// The unit is installed; `true`: it is started at boot.
    pub(super) unit: Option<bool>,
    /// A user without privilege can make user namespaces.
    pub(super) user_namespaces: bool,
    /// We are in the initial pid namespace, and so would a guard be.
    pub(super) initial_pid_namespace: bool,
    /// We are in the initial user namespace.
    pub(super) initial_user_namespace: bool,
    /// An audit daemon runs.
    pub(super) auditd: bool,
    /// What is mounted where it matters.
    pub(super) scope: Seen<Scope>,
}

/// What is watched, or would be.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// Marks on what is in watched directories.
    pub(super) marks: Vec<Mark>,
    /// Directories that are left out; those that are not there are not among them.
    pub(super) left_out: Vec<LeftOut>,
    /// Mounts in watched directories that carry no mark, and why; those that only the kernel fills are not among them.
    pub(super) unmarked: Vec<(String, String)>,
    /// Watched directories of filesystems that a mount hides and that carry no mark.
    pub(super) underneath: Vec<String>,
}

/// A directory that is left out.
#[derive(Clone, Debug)]
pub(super) struct LeftOut {
    /// As configured.
    pub(super) directory: String,
    /// Without links.
    pub(super) path: PathBuf,
    /// Its permissions.
    pub(super) mode: u32,
    /// Why.
    pub(super) reason: String,
    /// What to do.
    pub(super) remedy: String,
}

/// One mark.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) path: String,
    /// Of the whole filesystem, not of one mount.
    pub(super) whole: bool,
    pub(super) noexec: bool,
}

/// Configuration and policy.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// The configuration file, where there is one.
    pub(super) path: Option<PathBuf>,
    /// What it says, or what is wrong with it.
    pub(super) config: Result<Config, Trouble>,
    /// Files and directories that others could write to: what, and the remedy.
    pub(super) ownership: Vec<(String, String)>,
    /// The policy, or what is wrong with it.
    pub(super) policy: Result<Policy, Trouble>,
    /// What is wrong with the directory of the log.
    pub(super) log: Result<(), LogTrouble>,
}

/// Why a file is of no use.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// We may not read it.
    Unreadable(String),
    /// It has mistakes; the first one.
    Wrong(String),
}

/// Why records are not safe where they are to be.
#[derive(Clone, Debug)]
pub(super) enum LogTrouble {
    /// We may not look.
    Unreadable(String),
    /// The directory is not there.
    Missing,
    /// Others than root can write to it.
    Writable,
    /// It lies in memory: gone after a reboot.
    InMemory,
}

/// A file that may run, and the rule that says so.
pub(super) type Allowed = (String, Option<String>);

/// What the rules come to.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    /// Of all texts.
    pub(super) hash: String,
    /// The embedded policy is the last layer.
    pub(super) builtin: bool,
    /// Watched directories in which root may run a file that no exception is about: the path, and the rule that says so.
    pub(super) root_may: Vec<Allowed>,
    /// The same for a user whose program gains privilege.
    pub(super) gaining_may: Vec<Allowed>,
    /// The same as `root_may` for a library that root's program loads.
    pub(super) loads_may: Vec<Allowed>,
    /// And for a file that root gives to an interpreter.
    pub(super) programs_may: Vec<Allowed>,
    /// Some rule denies a user without privilege.
    pub(super) denies_users: bool,
    /// Allow rules: the exceptions.
    pub(super) exceptions: Vec<String>,
    /// Deny rules that are only tried.
    pub(super) trials: Vec<String>,
    /// Deny rules whose time is up.
    pub(super) expired: Vec<String>,
    /// Allow rules that ask for the file's content.
    pub(super) by_content: Vec<String>,
}

/// The guard.
#[derive(Clone, Debug)]
pub(super) enum Guard {
    /// It answers.
    Running {
        /// What it says.
        status: Box<Status>,
        /// Where it lives.
        home: Seen<Home>,
    },
    /// Nobody listens at this socket.
    Absent(String),
    /// It could not be asked, and why.
    Silent(String),
}

/// The namespaces of the guard's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Home {
    /// It is in the initial pid namespace.
    pub(super) initial_pid_namespace: bool,
    /// Its mount namespace is the one that we see.
    pub(super) our_mount_namespace: bool,
}

impl Facts {
    /// The running guard's state.
    pub(super) fn status(&self) -> Option<&Status> {
        match &self.guard {
            Guard::Running { status, .. } => Some(status),
            Guard::Absent(_) | Guard::Silent(_) => None,
        }
    }
}
