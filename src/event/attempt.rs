//! One attempt to run a file: who (subject), what (object), by which means, and what is known of each.
//!
//! An attempt is filled in two steps. The *essential* facts are there for every attempt; the others stay
//! [`Fact::Unread`] until a rule or the record asks for their group ([`super::Groups`]).

use super::{Capabilities, Device, Fact, Gid, Pid, Texts, Uid};

/// Nanoseconds since the Unix epoch (CLOCK_REALTIME), read when the event was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

/// One attempt.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// When the event was read.
    pub at: Timestamp,
    /// By which means the file is to run.
    pub action: Action,
    /// No event told of it before it ran: by which way.
    pub unseen: Option<Unseen>,
    /// Who.
    pub subject: Subject,
    /// What.
    pub object: Object,
}

/// By which means a file is to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// execve(2): a program replaces the caller's image.
    #[default]
    Exec,
    /// ld.so(8) opens it to map it into a process, which goes on with the identity that it has.
    Load,
    /// An interpreter opens the file that it was given to run.
    Interpret,
}

/// The way of a program that ran without an event: told after the fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unseen {
    /// A file of memfd_create(2).
    Memfd,
    /// A System V shared memory segment, through /proc/PID/map_files.
    SharedMemory,
    /// Memory that processes share without a name, through /proc/PID/map_files.
    Anonymous,
    /// A file of a filesystem in memory that is mounted nowhere.
    Detached,
    /// A file of a watched directory that was executed before its filesystem had its mark.
    Unmarked,
}

/// Who attempts: the exact thread that called execve, and its process.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// The calling thread (FAN_REPORT_TID). Essential.
    pub thread: Fact<Pid>,
    /// Its process (thread group). Essential.
    pub process: Fact<Pid>,
    /// The parent's process id; `Absent` for a process whose parent is outside our namespace. Essential.
    pub parent_pid: Fact<Pid>,
    /// The credentials of the thread, before the exec. Essential.
    pub credentials: Fact<Credentials>,
    /// `user.id`: "0" if the real uid or the effective uid after the exec is 0, else the effective uid after the
    /// exec. May over-estimate; under-estimates only where another file than the one that is judged gives the privilege.
    /// Where no exec is awaited: "0" if any of the four uids is 0, for a process can go back to its saved one; else the
    /// effective uid. Essential.
    pub user: Fact<Uid>,
    /// The effective gid after the exec. Essential.
    pub group: Fact<Gid>,
    /// The thread's name before the exec, `/proc/TID/comm` (bytes, at most 15).
    pub name: Fact<Vec<u8>>,
    /// Group PRIVILEGES.
    pub privileges: Fact<Privileges>,
    /// Group PRIVILEGES: the new image would hold a capability that its user id alone does not give (file or
    /// ambient capabilities). Where no exec is awaited: the process holds one, in our user namespace.
    pub gains_privilege: Fact<bool>,
    /// Group PREVIOUS: the calling image, which the exec replaces (or which loads or interprets the file).
    pub previous: Fact<Image>,
    /// Group PARENT.
    pub parent: Fact<Process>,
    /// Group LEADERS.
    pub group_leader: Fact<Process>,
    /// Group LEADERS.
    pub session_leader: Fact<Process>,
    /// Group LEADERS: the ancestor whose parent is init, or that is pid 1 of its pid namespace.
    pub entry_leader: Fact<Process>,
    /// Group ARGUMENTS. Where no exec is awaited: those that the process was started with.
    pub arguments: Fact<Arguments>,
    /// Group LOGIN.
    pub login: Fact<Login>,
    /// Group LOGIN: the process has a controlling terminal.
    pub interactive: Fact<bool>,
    /// Group CGROUP: the path in the unified hierarchy (or the first of v1), without the leading "0::".
    pub cgroup: Fact<Vec<u8>>,
    /// Group CGROUP: the container id found in the cgroup path.
    pub container: Fact<Vec<u8>>,
    /// Group DIRECTORY: the working directory, as the link /proc/TID/cwd reads.
    pub directory: Fact<Vec<u8>>,
    /// Group NAMESPACES.
    pub namespaces: Fact<Namespaces>,
    /// When the process started, nanoseconds since boot (CLOCK_BOOTTIME), from /proc/PID/stat. Group PARENT.
    pub start: Fact<u64>,
}

/// The four user and four group ids of one thread (credentials(7)), in our user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Real user id.
    pub ruid: Uid,
    /// Effective user id.
    pub euid: Uid,
    /// Saved set-user-id.
    pub suid: Uid,
    /// Filesystem user id.
    pub fsuid: Uid,
    /// Real group id.
    pub rgid: Gid,
    /// Effective group id.
    pub egid: Gid,
    /// Saved set-group-id.
    pub sgid: Gid,
    /// Filesystem group id.
    pub fsgid: Gid,
}

/// What decides whether an exec gains privilege, from /proc/TID/status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privileges {
    /// PR_SET_NO_NEW_PRIVS is set.
    pub no_new_privs: bool,
    /// CapPrm.
    pub permitted: Capabilities,
    /// CapEff.
    pub effective: Capabilities,
    /// CapInh.
    pub inheritable: Capabilities,
    /// CapBnd.
    pub bounding: Capabilities,
    /// CapAmb: kept over an exec of a file without set-id bits or capabilities.
    pub ambient: Capabilities,
}

/// The image that a task runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// /proc/PID/exe as it reads; `Absent` for a kernel thread.
    pub executable: Fact<Vec<u8>>,
    /// /proc/PID/cmdline split at NUL. Group COMMAND_LINES. The process can rewrite it: evidence, not proof.
    pub args: Fact<Texts>,
}

/// Another process: the parent or a leader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub pid: Fact<Pid>,
    /// Its name, /proc/PID/comm.
    pub name: Fact<Vec<u8>>,
    /// What it runs.
    pub image: Image,
    /// Its credentials (of its first thread).
    pub credentials: Fact<Credentials>,
    /// Its working directory.
    pub directory: Fact<Vec<u8>>,
    /// It has a controlling terminal.
    pub interactive: Fact<bool>,
    /// When it started, nanoseconds since boot.
    pub start: Fact<u64>,
}

/// The arguments of the new image, read from the blocked caller's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// argv.
    pub args: Texts,
    /// envp. Empty unless a rule asks for it.
    pub environment: Texts,
    /// The file name as the caller typed it.
    pub typed: Vec<u8>,
    /// How far it can be believed.
    pub trust: Trust,
    /// There was more than we read; `args` is a prefix.
    pub truncated: bool,
}

/// How far the arguments can be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The caller has one thread: nobody but another process that shares its memory could rewrite them.
    SingleThreaded,
    /// Other threads, or a process that shares the memory, can rewrite them after we looked.
    #[default]
    Shared,
}

/// Who logged in (pam_loginuid), from /proc/PID/{loginuid,sessionid}.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    /// The login user; `None` where nobody logged in (daemons: 4294967295).
    pub user: Option<Uid>,
    /// The audit session; `None` where there is none.
    pub session: Option<u32>,
}

/// The inode numbers of the caller's namespaces (/proc/PID/ns/*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces {
    /// Mount namespace.
    pub mount: u64,
    /// Pid namespace.
    pub pid: u64,
    /// User namespace.
    pub user: u64,
}

/// What is to be executed.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// All names of the file, made from (superblock, path inside it) and the watched directories' links; the first is
    /// the kernel's own spelling (`/run/x`, not `/var/run/x`). Where the inner path is unknown they are the watched
    /// directories themselves with a trailing `/`, and `inner` says so. Essential.
    pub names: Texts,
    /// The path inside the superblock, from its root ("/kdmtmpflush"). Essential.
    pub inner: Fact<Vec<u8>>,
    /// The path as the caller's mount namespace shows it: readlink of the event's descriptor. Essential.
    pub seen: Fact<Vec<u8>>,
    /// The file has no name any more. Essential.
    pub deleted: Fact<bool>,
    /// What statx(2) says. Essential.
    pub file: Fact<FileFacts>,
    /// The mount through which it is executed. Essential: `id`; the rest only when it is read for another reason.
    pub mount: MountFacts,
    /// What runs in place of a `#!` file, and gives its privileges. Essential. Absent where the new program is root's anyhow,
    /// where the file is no script, and where its interpreter is not there.
    pub interpreter: Fact<Interpreter>,
    /// Group PRIVILEGES: the file carries capabilities (security.capability).
    pub capabilities: Fact<bool>,
    /// Group HASH: SHA-256 of the content.
    pub sha256: Fact<[u8; 32]>,
}

/// What statx(2) says of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// The superblock's device number.
    pub device: Device,
    /// Inode number.
    pub inode: u64,
    /// Type and permission bits (st_mode).
    pub mode: u32,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
    /// Bytes.
    pub size: u64,
    /// Number of names.
    pub links: u32,
    /// Last change of content, nanoseconds since the epoch (may be before it).
    pub modified: i64,
    /// Last change of the inode, nanoseconds since the epoch.
    pub changed: i64,
}

/// The interpreter that a script names, as far as it gives privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// What statx(2) says of it.
    pub file: FileFacts,
    /// Its mount is nosuid.
    pub nosuid: bool,
    /// What its attribute security.capability gives.
    pub capabilities: Option<FileCapabilities>,
}

/// The capabilities that a file gives, as bits by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileCapabilities {
    /// To whoever executes it.
    pub permitted: u64,
    /// To whoever has them inheritable.
    pub inheritable: u64,
    /// The user who is root in the user namespaces where that counts.
    pub root: u32,
}

/// The mount through which a file is executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountFacts {
    /// The mount's id: unique since boot where `unique`, else the recycled id of mountinfo.
    pub id: Fact<u64>,
    /// Whether `id` is STATX_MNT_ID_UNIQUE (Linux 6.8).
    pub unique: bool,
    /// The mount is nosuid.
    pub nosuid: Fact<bool>,
}

impl Attempt {
    /// True where the file is about to replace the caller's image; else it runs, or is to run, with the identity that
    /// the process has now.
    #[must_use]
    pub fn awaits_exec(&self) -> bool {
        self.action == Action::Exec && self.unseen.is_none()
    }
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 3] = [Self::Exec, Self::Load, Self::Interpret];

    /// Its name in `event.action`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Load => "load",
            Self::Interpret => "interpret",
        }
    }

    /// The action with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

impl Unseen {
    /// Every way.
    pub const ALL: [Self; 5] =
        [Self::Memfd, Self::SharedMemory, Self::Anonymous, Self::Detached, Self::Unmarked];

    /// Its name in `shmguard.unseen`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memfd => "memfd",
            Self::SharedMemory => "shared_memory",
            Self::Anonymous => "anonymous",
            Self::Detached => "detached",
            Self::Unmarked => "unmarked",
        }
    }

    /// The way with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }
}

impl FileFacts {
    /// The set-user-id bit.
    #[must_use]
    pub fn is_set_uid(&self) -> bool {
        self.mode & 0o4000 != 0
    }

    /// The set-group-id bit together with group execute: without the latter it does not change the group.
    #[must_use]
    pub fn is_set_gid(&self) -> bool {
        self.mode & 0o2010 == 0o2010
    }
}
