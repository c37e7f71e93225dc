//! A mount namespace: its table, and a way to each of its mounts.
//!
//! A service manager gives a service a copy of the host's namespace. A mark of a single mount is to be on the host's own,
//! or it sees nobody: then the namespace is that of process 1.
//!
//! Owns the reading of mountinfo and the opening of what the plan wants marked. A path can lead elsewhere by the time it
//! is opened, so what was opened is compared with what was planned. May not place marks: it hands out descriptors, and
//! `/proc/self/fd/N` is the path to mark. Called by the daemon.

use super::mounts::{MountTable, Step, UniqueId};
use super::plan::{Mark, MarkKind};
use crate::event::Device;
use crate::sys;
use crate::sys::mounts::Uncover;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// A mount namespace, by a process in it.
#[derive(Clone, Debug)]
pub struct View {
    process: PathBuf,
    own: bool,
}

impl View {
    /// The namespace of the calling thread.
    #[must_use]
    pub fn own() -> Self {
        Self { process: "/proc/thread-self".into(), own: true }
    }

    /// The namespace of another process. Only as good as the pid: for one that never ends, such as 1.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self { process: format!("/proc/{pid}").into(), own: false }
    }

    /// The namespace of process 1, where ours is another one; else ours.
    #[must_use]
    pub fn of_the_host() -> Self {
        let (host, own) = (Self::of(1), Self::own());
        let namespace = |view: &Self| std::fs::read_link(view.namespace());
        match (namespace(&host), namespace(&own)) {
            (Ok(theirs), Ok(ours)) if theirs != ours => host,
            _ => own,
        }
    }

    /// Ours, and not another one's.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// Its mount table now, with unique ids where the kernel tells them. Does not block on any filesystem.
    pub fn table(&self) -> io::Result<MountTable> {
        // The ids first: a mount that comes between has none, and is then known by its recycled id, like all were
        // before Linux 6.8.
        let namespace = self.namespace_id().ok();
        // Another namespace than ours is asked by its id.
        let ids = if self.own || namespace.is_some() { self.ids(namespace) } else { Ok(Vec::new()) };
        let table = MountTable::parse(&std::fs::read(self.mountinfo())?);
        Ok(table.with_unique_ids(&ids.unwrap_or_default()).of_namespace(namespace))
    }

    /// Opens (O_PATH) what a mark is for. ESTALE: something else is there now, so the table is to be read again. Hidden
    /// ones: see [`View::open_hidden`], which is cheaper for many.
    pub fn open(&self, mark: &Mark, table: &MountTable) -> io::Result<OwnedFd> {
        if mark.covered {
            let gone = || Err(io::Error::from_raw_os_error(libc::ESTALE));
            return self.open_hidden(&[mark], table).pop().unwrap_or_else(gone);
        }
        let found = if self.own {
            sys::mounts::open_path(&mark.path)?
        } else {
            let root = std::fs::File::open(self.process.join("root"))?;
            sys::mounts::open_in_root(root.as_fd(), &mark.path)?
        };
        match sys::mounts::mount_id_of(found.as_fd())? == mark.mount_id {
            true => Ok(found),
            false => Err(io::Error::from_raw_os_error(libc::ESTALE)),
        }
    }

    /// Opens what several marks of whole filesystems are for, where other mounts hide them; one answer for each, in their
    /// order. Goes through a short-lived copy of our own namespace, which needs CAP_SYS_ADMIN, unshare(2), mount(2) and
    /// umount2(2); where another one is looked at, and ours does not have that filesystem, EXDEV. So with single mounts:
    /// a copy of the mount is not the mount.
    pub fn open_hidden(&self, marks: &[&Mark], table: &MountTable) -> Vec<io::Result<OwnedFd>> {
        if self.own {
            return open_covered(marks, table);
        }
        // What another namespace hides, through our own: for a mark of the whole filesystem every way to it is as good.
        let own = Self::own();
        match own.table() {
            Ok(table) => marks.iter().map(|mark| own.open_copy(mark, &table)).collect(),
            Err(error) => marks.iter().map(|_| Err(again(&error))).collect(),
        }
    }

    fn open_copy(&self, mark: &Mark, table: &MountTable) -> io::Result<OwnedFd> {
        let mut copies = table.mounts().iter().filter(|mount| mount.device == mark.device);
        let copy = copies.clone().find(|mount| table.is_visible(mount)).or_else(|| copies.next());
        let Some(copy) = copy.filter(|_| mark.kind == MarkKind::Filesystem) else {
            return Err(io::Error::from_raw_os_error(libc::EXDEV));
        };
        let covered = !table.is_visible(copy);
        self.open(&Mark { covered, ..Mark::of(mark.kind, copy, mark.superblock) }, table)
    }

    pub(super) fn mountinfo(&self) -> PathBuf {
        self.process.join("mountinfo")
    }

    pub(super) fn namespace(&self) -> PathBuf {
        self.process.join("ns/mnt")
    }

    fn namespace_id(&self) -> io::Result<u64> {
        sys::mounts::mount_namespace_id(std::fs::File::open(self.namespace())?.as_fd())
    }

    fn ids(&self, namespace: Option<u64>) -> io::Result<Vec<UniqueId>> {
        let ids = sys::mounts::mount_ids(namespace.filter(|_| !self.own))?;
        Ok(ids
            .into_iter()
            .map(|found| UniqueId {
                id: found.recycled,
                device: Device { major: found.device.0, minor: found.device.1 },
                unique: found.unique,
            })
            .collect())
    }
}

fn open_covered(marks: &[&Mark], table: &MountTable) -> Vec<io::Result<OwnedFd>> {
    let hidden: Vec<_> = marks
        .iter()
        .filter(|mark| mark.kind == MarkKind::Filesystem)
        .filter_map(|mark| table.by_id(mark.mount_id))
        .collect();
    let steps = table.uncovering(&hidden);
    let reached = steps.iter().filter_map(|step| match step {
        Step::Reach(mount) => Some(mount.id),
        Step::Unmount(_) => None,
    });
    let calls: Vec<_> = steps
        .iter()
        .map(|step| match step {
            Step::Unmount(point) => Uncover::Unmount(at(point)),
            Step::Reach(mount) => {
                Uncover::Open(at(&mount.point), libc::makedev(mount.device.major, mount.device.minor))
            }
        })
        .collect();
    let mut opened: HashMap<u32, io::Result<OwnedFd>> = match sys::mounts::uncover(&calls) {
        Ok(opened) => reached.zip(opened).collect(),
        Err(error) => reached.map(|id| (id, Err(again(&error)))).collect(),
    };
    let none = |mark: &Mark| match mark.kind {
        MarkKind::Mount => Err(io::Error::from_raw_os_error(libc::EXDEV)),
        MarkKind::Filesystem => Err(io::Error::from_raw_os_error(libc::ESTALE)),
    };
    marks.iter().map(|mark| opened.remove(&mark.mount_id).unwrap_or_else(|| none(mark))).collect()
}

fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::from(error.kind()), io::Error::from_raw_os_error)
}

fn at(point: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(point))
}

/// The path through which the kernel marks what a descriptor stands for.
#[must_use]
pub fn path_of(fd: &OwnedFd) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    Path::new("/proc/thread-self/fd").join(fd.as_raw_fd().to_string())
}
