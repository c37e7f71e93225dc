//! The words of the plan: what goes in, what comes out.

use crate::event::Device;
use crate::watch::links::{Directories, Directory};
use crate::watch::mounts::{Mount, MountTable};
use crate::watch::plan::Scope;
use crate::watch::plan::kinds::Kind;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What the plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The configured directories, resolved.
    pub directories: &'a Directories,
    /// The mount table.
    pub mounts: &'a MountTable,
    /// The filesystems that lie in files or directories of others.
    pub stored: &'a [Stored],
    /// Superblocks that other mount namespaces have at a watched directory, marked by their finder.
    pub foreign: &'a [Foreign],
    /// The operator's settings.
    pub settings: Settings,
}

/// The operator's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What to do with a watched directory that lies on a larger filesystem.
    pub shared_filesystem: SharedFilesystem,
}

/// What to do with a watched directory that lies on a larger filesystem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SharedFilesystem {
    /// Leave it out, and say so.
    #[default]
    Skip,
    /// Mark the whole filesystem; what runs elsewhere on it is allowed at once, unrecorded.
    Mark,
}

/// A filesystem that lies in a file or directory of another one, whose runs the other's mark does not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its device number: of a loop device or a partition of it, or of an overlay.
    pub device: Device,
    /// The superblock in which the file or directory lies; `None` where only the path is known.
    pub on: Option<Device>,
    /// Its path as the kernel tells it: it can be another namespace's.
    pub path: Vec<u8>,
}

/// A superblock that another mount namespace has at a watched directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Foreign {
    /// Its device number.
    pub device: Device,
    /// Where it is mounted there.
    pub point: Vec<u8>,
    /// That namespace, by the id that statmount(2) takes, on kernels where it does; else any number.
    pub namespace: u64,
}

/// What to mark, what not, and the names of the files.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The marks, in the order of the devices.
    pub marks: Vec<Mark>,
    /// The configured directories that no mark covers.
    pub left_out: Vec<LeftOut>,
    /// Mounts in watched directories that carry no mark.
    pub passed_over: Vec<Passed>,
    /// For each configured directory, in their order: what covers it.
    pub coverage: Vec<Coverage>,
    /// The names.
    pub scope: Scope,
    pub(super) superblocks: BTreeMap<Device, Superblock>,
    pub(super) mounted: Vec<Seen>,
    pub(super) directories: Directories,
}

/// One mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Of the whole superblock, or of one mount.
    pub kind: MarkKind,
    /// The superblock's device number.
    pub device: Device,
    /// A path at which it is mounted, in the namespace of the table.
    pub path: PathBuf,
    /// The mount at that path, by its recycled id.
    pub mount_id: u32,
    /// The same, by the id that is never used again.
    pub unique_mount_id: Option<u64>,
    /// Another mount hides it: the path leads elsewhere.
    pub covered: bool,
    /// The filesystem's type.
    pub fs_type: String,
    /// What of the superblock that mount shows.
    pub root: PathBuf,
    /// That mount is nosuid.
    pub nosuid: bool,
    /// That mount is noexec.
    pub noexec: bool,
    /// The filesystem holds more than what is watched.
    pub whole_filesystem_shared: bool,
    /// Counts superblocks, so that a new one with a recycled device number is another mark.
    pub superblock: u64,
}

/// What a mark sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// Every way to run a file of the superblock (FAN_MARK_FILESYSTEM).
    Filesystem,
    /// Runs through this one mount, not through its copies in other namespaces (FAN_MARK_MOUNT).
    Mount,
}

/// A configured directory that no mark covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// As configured.
    pub directory: PathBuf,
    /// Why.
    pub reason: Reason,
    /// What the operator can do.
    pub remedy: String,
}

/// Why a configured directory is not watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It does not exist.
    Missing,
    /// It is not a directory.
    NotDirectory,
    /// Links lead in a circle.
    TooManyLinks,
    /// A link on the way belongs to another user than root.
    ForeignLink(PathBuf),
    /// It is not an absolute path.
    Relative,
    /// Looking at it failed with this errno.
    Unreadable(i32),
    /// It lies on a filesystem that holds more.
    Larger {
        /// Where that filesystem is mounted.
        point: PathBuf,
        /// Its type.
        fs_type: String,
    },
    /// It lies on a filesystem that holds more and whose files cannot be told apart by it.
    Renumbers {
        /// Its type.
        fs_type: String,
    },
    /// It lies on a filesystem that a process or another machine serves.
    Remote {
        /// Its type.
        fs_type: String,
    },
    /// It lies on a filesystem that only the kernel fills.
    Kernel {
        /// Its type.
        fs_type: String,
    },
    /// It lies on a filesystem that is a layer of the one at `/`.
    HoldsRoot {
        /// Its type.
        fs_type: String,
    },
    /// The mount table does not show what is mounted there.
    NotInTable,
}

/// A mount in a watched directory that carries no mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Where it is mounted.
    pub point: PathBuf,
    /// The filesystem's type.
    pub fs_type: String,
    /// Why.
    pub why: PassedOver,
}

/// Why a mount in a watched directory carries no mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PassedOver {
    /// Only the kernel puts files there.
    Kernel,
    /// A process or another machine answers for it, and could hang the guard.
    Remote,
    /// It holds a layer of the filesystem at `/`.
    HoldsRoot,
    /// It is a piece of another filesystem, hidden by a mount: no path leads to it now.
    Hidden,
}

/// What covers a configured directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// As configured.
    pub configured: PathBuf,
    /// Without links.
    pub path: PathBuf,
    /// The mark, or the reason why there is none.
    pub by: Covered,
    /// The mount point of a filesystem whose own directory of that name is hidden by what is mounted there and is not
    /// watched: who takes the mount away, in a namespace of their own, runs files from it unseen.
    pub unwatched_underneath: Option<PathBuf>,
}

/// An index into one of the plan's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    /// Into `Plan::marks`.
    Mark(usize),
    /// Into `Plan::left_out`.
    LeftOut(usize),
}

/// What to do with a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Place it.
    Add(Mark),
    /// It should be there. Place it again: device numbers and mount ids are recycled at once, and marking twice is
    /// harmless.
    Renew(Mark),
    /// It is there, if it could be placed: the same mount as before, by an id that is never used again.
    Keep(Mark),
    /// It is still mounted and no longer wanted: take the mark away.
    Remove(Mark),
    /// It is mounted here no more. Leave the mark: the kernel drops it with the superblock or mount, and until then
    /// it is wanted.
    Gone(Mark),
}

/// A superblock that the plan watches, or has watched.
#[derive(Clone, Debug)]
pub(super) struct Superblock {
    pub(super) number: u64,
    pub(super) choice: Choice,
    pub(super) present: bool,
    pub(super) mounts: Vec<Seen>,
    pub(super) named: Vec<Named>,
}

/// A directory of a superblock that has a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Named {
    /// Its path inside the superblock; empty for the root.
    pub(super) inner: Vec<u8>,
    /// Its name.
    pub(super) point: Vec<u8>,
}

/// A mount that was seen, to know it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    device: Device,
    pub(super) unique: Option<u64>,
    id: u32,
    parent: u32,
    pub(super) root: Vec<u8>,
    pub(super) point: Vec<u8>,
}

impl Mark {
    /// The filesystem mark for a mount of another namespace's table; the path is that namespace's.
    #[must_use]
    pub fn elsewhere(mount: &Mount) -> Self {
        Self::of(MarkKind::Filesystem, mount, 0)
    }

    pub(in crate::watch) fn of(kind: MarkKind, mount: &Mount, superblock: u64) -> Self {
        Self {
            kind,
            device: mount.device,
            path: bytes_path(&mount.point),
            mount_id: mount.id,
            unique_mount_id: mount.unique,
            covered: false,
            fs_type: String::from_utf8_lossy(&mount.fs_type).into_owned(),
            root: bytes_path(&mount.root),
            nosuid: mount.nosuid(),
            noexec: mount.noexec(),
            whole_filesystem_shared: false,
            superblock,
        }
    }

    /// Whether the group for opens may have this mark too. Not on a filesystem that holds more than what is watched: every
    /// open of the host would wait for us. Nor on one that lies over others: while the kernel hands us an event about
    /// a file of an overlay, it opens the file of the layer, and where that is watched it would wait for the answer of the very
    /// thread that reads. Opens of the layer's file tell of those through the overlay.
    #[must_use]
    pub fn sees_opens(&self) -> bool {
        !self.whole_filesystem_shared && Kind::of(self.fs_type.as_bytes()) != Kind::Layered
    }

    /// Equal where two plans mean the same superblock or mount, as far as can be told.
    pub(super) fn identity(&self) -> impl Eq + std::hash::Hash + '_ {
        let mount = (self.kind == MarkKind::Mount).then(|| match self.unique_mount_id {
            Some(id) => (id, None),
            None => (self.mount_id.into(), Some((&self.path, &self.root))),
        });
        (self.device, self.superblock, mount)
    }

    /// True where both were reached through the same mount, surely: then they are on the same superblock.
    pub(super) fn is_kept_by(&self, other: &Self) -> bool {
        self.unique_mount_id.is_some() && self.unique_mount_id == other.unique_mount_id
    }
}

impl Passed {
    pub(super) fn of(mount: &Mount, why: PassedOver) -> Self {
        Self {
            point: bytes_path(&mount.point),
            fs_type: String::from_utf8_lossy(&mount.fs_type).into_owned(),
            why,
        }
    }
}

impl Seen {
    pub(super) fn of(mount: &Mount) -> Self {
        Self {
            device: mount.device,
            unique: mount.unique,
            id: mount.id,
            parent: mount.parent,
            root: mount.root.clone(),
            point: mount.point.clone(),
        }
    }

    /// Its id, where it shows all of its filesystem: a path in it is then one inside the superblock, wherever it goes.
    pub(super) fn whole(&self) -> Option<u64> {
        self.unique.filter(|_| self.root == b"/")
    }

    /// True where this is surely that mount. Without unique ids a move cannot be told from an unmount and a new mount
    /// that got the same ids: then it is another one, or its predecessor's names would stick to new files.
    fn is(&self, mount: &Mount) -> bool {
        match (self.unique, mount.unique) {
            (Some(one), Some(another)) => one == another && self.device == mount.device,
            _ => *self == Self { unique: self.unique, ..Self::of(mount) },
        }
    }

    /// True where the mark is on this mount or its superblock.
    pub(super) fn carries(&self, mark: &Mark) -> bool {
        let same = match (self.unique, mark.unique_mount_id) {
            (Some(one), Some(another)) => one == another,
            _ => self.id == mark.mount_id,
        };
        self.device == mark.device && (mark.kind == MarkKind::Filesystem || same)
    }
}

impl Superblock {
    /// True where some mount of it is still there, so that it lived all the while.
    pub(super) fn is_still(&self, mounts: &[&Mount]) -> bool {
        self.mounts.iter().any(|seen| mounts.iter().any(|mount| seen.is(mount)))
    }
}

impl LeftOut {
    pub(super) fn new(directory: &Directory, reason: Reason) -> Self {
        Self { directory: directory.configured.clone(), remedy: reason.remedy(&directory.path), reason }
    }
}

impl Reason {
    fn remedy(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Missing => "create it and reload, or take it out of [watch] directories".into(),
            Self::NotDirectory | Self::Relative | Self::Unreadable(_) | Self::NotInTable => {
                "correct [watch] directories".into()
            }
            Self::TooManyLinks => "correct the links".into(),
            Self::ForeignLink(link) => format!("give {} to root, or configure its target", link.display()),
            Self::Larger { .. } => {
                format!("mount a tmpfs on {path}, or set shared_filesystem = \"mark\" in [watch]")
            }
            Self::Renumbers { .. } | Self::Remote { .. } | Self::Kernel { .. } | Self::HoldsRoot { .. } => {
                format!("mount a tmpfs on {path}")
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it does not exist"),
            Self::NotDirectory => f.write_str("it is not a directory"),
            Self::TooManyLinks => f.write_str("its links lead in a circle"),
            Self::ForeignLink(link) => {
                write!(f, "the link {} on its way does not belong to root", link.display())
            }
            Self::Relative => f.write_str("it is not an absolute path"),
            Self::Unreadable(errno) => {
                write!(f, "it cannot be looked at: {}", std::io::Error::from_raw_os_error(*errno))
            }
            Self::Larger { point, fs_type } => {
                write!(f, "it lies on the larger filesystem at {} ({fs_type})", point.display())
            }
            Self::Renumbers { fs_type } => {
                write!(f, "it lies on a larger filesystem whose files carry other device numbers ({fs_type})")
            }
            Self::Remote { fs_type } => {
                write!(f, "it lies on a filesystem that a process or another machine serves ({fs_type})")
            }
            Self::Kernel { fs_type } => {
                write!(f, "it lies on a filesystem that only the kernel fills ({fs_type})")
            }
            Self::HoldsRoot { fs_type } => {
                write!(f, "it lies on a filesystem that holds a layer of the one at / ({fs_type})")
            }
            Self::NotInTable => f.write_str("the mount table does not show what is mounted there"),
        }
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "only the kernel puts files there",
            Self::Remote => "a process or another machine answers for it, and could hang the guard",
            Self::HoldsRoot => "it holds a layer of the filesystem at /",
            Self::Hidden => "another mount hides it",
        })
    }
}

pub(super) fn path_of(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

pub(super) fn bytes_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

impl fmt::Display for MarkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Filesystem => "filesystem",
            Self::Mount => "mount",
        })
    }
}

/// For the tests of other rooms: a plan without any mount.
impl Plan {
    /// The plan of a host on which nothing is configured.
    #[must_use]
    pub fn empty() -> Self {
        super::plan(
            &Inputs {
                directories: &Directories::default(),
                mounts: &MountTable::default(),
                stored: &[],
                foreign: &[],
                settings: Settings::default(),
            },
            None,
        )
    }
}

/// What becomes of a superblock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Choice {
    /// It has nothing to do with the watched directories.
    #[default]
    Nothing,
    /// It is mounted in one and gets no mark.
    Passed(PassedOver),
    /// A filesystem mark: it belongs to the watched directories.
    Whole,
    /// A filesystem mark, of which only parts are watched.
    Shared,
    /// A mount mark for each mount in a watched directory.
    Each,
}
