//! A mount namespace: its table, and a way to each of its mounts.
//!
//! A service manager gives a service a copy of the host's namespace. A mark of a single mount is to be on the host's own,
//! or it sees nobody: then the namespace is that of process 1.
//!
//! Owns the reading of mountinfo and the opening of what the plan wants marked. A path can lead elsewhere by the time it
//! is opened, so what was opened is compared with what was planned. May not place marks: it hands out descriptors, and
//! `/proc/self/fd/N` is the path to mark. Called by the daemon.

use super::mounts::{MountTable, UniqueId};
use super::plan::{Mark, MarkKind};
use crate::event::Device;
use crate::sys;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
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

    /// Its mount table now, with unique ids where the kernel tells them. Does not block on any filesystem.
    pub fn table(&self) -> io::Result<MountTable> {
        // The ids first: a mount that comes between has none, and is then known by its recycled id, like all were
        // before Linux 6.8.
        let ids = self.ids().unwrap_or_default();
        Ok(MountTable::parse(&std::fs::read(self.mountinfo())?).with_unique_ids(&ids))
    }

    /// Opens (O_PATH) what a mark is for. ESTALE: something else is there now, so the table is to be read again. A hidden
    /// mount is opened through a short-lived copy of our own namespace, which needs CAP_SYS_ADMIN, unshare(2), mount(2)
    /// and umount2(2); where another one is looked at, and ours does not have that filesystem, EXDEV.
    pub fn open(&self, mark: &Mark, table: &MountTable) -> io::Result<OwnedFd> {
        match (mark.covered, self.own) {
            (false, _) => {}
            (true, true) => return open_hidden(mark, table),
            (true, false) => return open_copy(mark),
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

    pub(super) fn mountinfo(&self) -> PathBuf {
        self.process.join("mountinfo")
    }

    pub(super) fn namespace(&self) -> PathBuf {
        self.process.join("ns/mnt")
    }

    fn ids(&self) -> io::Result<Vec<UniqueId>> {
        let namespace = match self.own {
            true => None,
            false => {
                let file = std::fs::File::open(self.namespace())?;
                Some(sys::mounts::mount_namespace_id(file.as_fd())?)
            }
        };
        let ids = sys::mounts::mount_ids(namespace)?;
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

fn open_hidden(mark: &Mark, table: &MountTable) -> io::Result<OwnedFd> {
    if mark.kind == MarkKind::Mount {
        return Err(io::Error::from_raw_os_error(libc::EXDEV));
    }
    let stale = || io::Error::from_raw_os_error(libc::ESTALE);
    let mount = table.by_id(mark.mount_id).ok_or_else(stale)?;
    let hiding = table.hiding(mount).ok_or_else(stale)?;
    let device = libc::makedev(mark.device.major, mark.device.minor);
    sys::mounts::open_hidden(&mark.path, &hiding, device)
}

/// What another namespace hides, through our own: for a mark of the whole filesystem every way to it is as good.
fn open_copy(mark: &Mark) -> io::Result<OwnedFd> {
    let own = View::own();
    let table = own.table()?;
    let mut copies = table.mounts().iter().filter(|mount| mount.device == mark.device);
    let copy = copies.clone().find(|mount| table.is_visible(mount)).or_else(|| copies.next());
    let Some(copy) = copy.filter(|_| mark.kind == MarkKind::Filesystem) else {
        return Err(io::Error::from_raw_os_error(libc::EXDEV));
    };
    let mark = Mark { covered: !table.is_visible(copy), ..Mark::of(mark.kind, copy, mark.superblock) };
    own.open(&mark, &table)
}

/// The path through which the kernel marks what a descriptor stands for.
#[must_use]
pub fn path_of(fd: &OwnedFd) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    Path::new("/proc/thread-self/fd").join(fd.as_raw_fd().to_string())
}
