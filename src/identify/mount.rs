//! Where a mount is: which part of its superblock it shows, at which point, and whose mount namespace it is in.
//!
//! Owns how that is asked (statmount(2), else the tables in /proc), in which namespaces, and what of the answers is kept.
//! The path that a file has through the mount is the caller's (`object`).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::Features;
use super::inner::Place;
use super::kept::Kept;
use super::parse::{fdinfo_mount, mountinfo};
use super::proc::{Entry, Proc, cause};
use crate::event::{Cause, Device};
use crate::sys::statx::{self, MountId, Stat, Want};
use crate::sys::{mounts, statmount};
use crate::watch::plan::Scope;

/// Asks for mounts; keeps buffers, and the numbers of namespaces, which are never given anew.
#[derive(Debug)]
pub(super) struct Mounts {
    /// The id of our own mount namespace, where the kernel tells ids of others.
    namespace: Option<u64>,
    /// The kernel's answer about a mount.
    answer: Vec<u8>,
    /// Root and point of the mount that was found last.
    root: Vec<u8>,
    point: Vec<u8>,
    /// The mount namespaces in which mounts were found, the last one first.
    spaces: Vec<Space>,
    kept: Kept,
}

/// Who asks, and with which of the kernel's means.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) proc: &'a Proc,
    pub(super) features: Features,
    pub(super) thread: Option<i32>,
    pub(super) answers: Answers,
}

impl<'a> Asking<'a> {
    /// The kernel itself is asked.
    pub(super) fn now(proc: &'a Proc, features: Features, thread: Option<i32>) -> Self {
        Self { proc, features, thread, answers: Answers::Asked }
    }
}

/// Which answers about a mount will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// Those that are kept.
    Kept,
    /// The kernel's, given now.
    Asked,
}

/// Whose namespace a mount is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// A whole filesystem at the root of ours: nobody moves it.
    OurRoot,
    /// Ours: only the host's root moves it.
    Ours,
    /// Another one's: its owner may be anybody. With its id, where namespaces have ids.
    Elsewhere(Option<u64>),
    /// In none that was asked (detached, a layer of an overlay), or not to be had.
    Nowhere,
}

/// A mount that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mounted {
    /// The superblock's device, as mountinfo has it.
    pub(super) device: Device,
    pub(super) nosuid: bool,
    pub(super) whereabouts: Whereabouts,
    /// This was kept.
    pub(super) kept: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    /// Ours.
    Own,
    /// The one with this id.
    Other(u64),
    /// That of a process, where namespaces have no ids.
    Unnumbered,
}

impl Default for Mounts {
    fn default() -> Self {
        Self {
            namespace: mounts::own_mount_namespace_id().ok(),
            answer: vec![0; 4096],
            root: Vec::with_capacity(256),
            point: Vec::with_capacity(256),
            spaces: vec![Space::Own],
            kept: Kept::default(),
        }
    }
}

impl Mounted {
    /// It is in our own mount namespace.
    pub(super) fn is_ours(self) -> bool {
        matches!(self.whereabouts, Whereabouts::OurRoot | Whereabouts::Ours)
    }
}

impl Whereabouts {
    /// It is in the namespace whose directories are watched.
    pub(super) fn is_home(self, scope: &Scope) -> bool {
        match self {
            Self::OurRoot | Self::Ours => true,
            Self::Elsewhere(namespace) => namespace.is_some_and(|id| scope.is_home(id)),
            Self::Nowhere => false,
        }
    }
}

impl Mounts {
    /// Root and point of the mount that was found last.
    pub(super) fn place(&self) -> Place<'_> {
        Place { root: &self.root, point: &self.point }
    }

    /// The mount of the descriptor `file`, of which `stat` tells. `Unsupported`: it is nowhere.
    pub(super) fn find(
        &mut self,
        asking: Asking<'_>,
        file: BorrowedFd<'_>,
        stat: &Stat,
    ) -> Result<Mounted, Cause> {
        let MountId::Unique(id) = stat.mount else {
            let id = mount_id(asking.proc, file, stat)?;
            return self.read_table(asking, id);
        };
        if asking.answers == Answers::Kept
            && let Some(mount) = self.kept.mount(id)
        {
            mount.root.clone_into(&mut self.root);
            mount.point.clone_into(&mut self.point);
            let (device, nosuid) = (mount.device, mount.nosuid);
            return Ok(Mounted { kept: true, ..self.found(device, nosuid, Space::Own) });
        }
        match self.ask_kernel(asking, id) {
            Ok(mounted) => {
                if asking.answers == Answers::Kept && mounted.is_ours() {
                    self.kept.keep(id, mounted.device, mounted.nosuid, &self.root, &self.point);
                }
                Ok(mounted)
            }
            // From 6.8 to 6.10 the kernel tells of our own namespace only; the tables know the other kind of id.
            Err(Cause::Unsupported) if !asking.features.foreign_statmount => {
                let recycled = statx::of(file, Want::Recycled).map_err(cause)?;
                match recycled.mount {
                    MountId::Recycled(id) => self.read_table(asking, id),
                    MountId::Unique(_) | MountId::Unsaid => Err(Cause::Unsupported),
                }
            }
            Err(cause) => Err(cause),
        }
    }

    /// statmount(2), in our namespace, in those where mounts were found before, in the caller's, and in the host's.
    fn ask_kernel(&mut self, asking: Asking<'_>, id: u64) -> Result<Mounted, Cause> {
        for index in 0..self.spaces.len() {
            let Some(space) = self.spaces.get(index).copied() else { break };
            if let Some(mounted) = self.ask(id, space)? {
                if index > 0 {
                    self.spaces.swap(0, index);
                }
                return Ok(mounted);
            }
        }
        let Some(thread) = asking.thread.filter(|_| asking.features.foreign_statmount) else {
            return Err(Cause::Unsupported);
        };
        let space_of = |process| {
            let space = asking.proc.open_file(process, "ns/mnt")?;
            mounts::mount_namespace_id(space.as_fd()).map_err(cause)
        };
        // Where the host's cannot be had, none of its mounts carries a mark of ours.
        for namespace in [space_of(thread)?].into_iter().chain(space_of(HOST)) {
            let space = self.space(namespace);
            if self.spaces.contains(&space) {
                continue;
            }
            if let Some(mounted) = self.ask(id, space)? {
                self.remember(space);
                return Ok(mounted);
            }
        }
        Err(Cause::Unsupported)
    }

    /// `None`: there is no such mount in that namespace.
    fn ask(&mut self, id: u64, space: Space) -> Result<Option<Mounted>, Cause> {
        let namespace = match space {
            Space::Own => None,
            Space::Other(id) => Some(id),
            Space::Unnumbered => return Ok(None),
        };
        loop {
            match statmount::statmount(id, namespace, &mut self.answer).map_err(|error| error.raw_os_error())
            {
                Ok(()) => break,
                // EPERM: a mount that cannot be reached from our root.
                Err(Some(libc::ENOENT | libc::EPERM)) => return Ok(None),
                Err(Some(libc::EOVERFLOW)) if self.answer.len() < ANSWER_LIMIT => {
                    self.answer.resize(self.answer.len() * 2, 0);
                }
                Err(Some(libc::EOVERFLOW)) => return Err(Cause::TooLong),
                Err(errno) => return Err(Cause::Failed(errno.unwrap_or(0))),
            }
        }
        let mount = statmount::parse(&self.answer).ok_or(Cause::Unsupported)?;
        mount.root.clone_into(&mut self.root);
        mount.point.clone_into(&mut self.point);
        let (major, minor) = mount.device;
        let nosuid = mount.attributes & statmount::NOSUID != 0;
        Ok(Some(self.found(Device { major, minor }, nosuid, space)))
    }

    /// Looks for mounts in this namespace too, from now on; `false` if that is nothing new.
    pub(super) fn search(&mut self, namespace: u64) -> bool {
        let space = self.space(namespace);
        let new = !self.spaces.contains(&space);
        if new {
            self.remember(space);
        }
        new
    }

    fn space(&self, namespace: u64) -> Space {
        if self.namespace == Some(namespace) { Space::Own } else { Space::Other(namespace) }
    }

    fn remember(&mut self, space: Space) {
        if self.spaces.len() >= SPACES {
            let last_of_others = self.spaces.iter().rposition(|space| *space != Space::Own);
            self.spaces.remove(last_of_others.unwrap_or(0));
        }
        self.spaces.insert(0, space);
    }

    /// Our own mountinfo, else the caller's, else the host's.
    fn read_table(&mut self, asking: Asking<'_>, id: u64) -> Result<Mounted, Cause> {
        asking.proc.read_own(c"thread-self/mountinfo", TABLE_LIMIT, &mut self.answer)?;
        if let Some(mounted) = self.line(id, Space::Own) {
            return Ok(mounted);
        }
        let thread = asking.thread.ok_or(Cause::Unsupported)?;
        match self.read_table_of(asking, thread, id) {
            // Where the host's cannot be had, none of its mounts carries a mark of ours.
            Err(Cause::Unsupported) => self.read_table_of(asking, HOST, id).map_err(|_| Cause::Unsupported),
            read => read,
        }
    }

    /// The table of a process counts from its root, and the descriptor's path from that of its namespace. Were they
    /// not the same, a chroot could be chosen so that a path seems to lie below another directory.
    fn read_table_of(&mut self, asking: Asking<'_>, process: i32, id: u64) -> Result<Mounted, Cause> {
        let at_root = |text: &mut Vec<u8>| match asking.proc.link(process, "root", text) {
            Ok(()) if text == b"/" => Ok(()),
            Ok(()) => Err(Cause::Unsupported),
            Err(cause) => Err(cause),
        };
        at_root(&mut self.answer)?;
        asking.proc.read_all(process, "mountinfo", TABLE_LIMIT, &mut self.answer)?;
        let mounted = self.line(id, Space::Unnumbered).ok_or(Cause::Unsupported)?;
        at_root(&mut self.answer)?;
        Ok(mounted)
    }

    fn line(&mut self, id: u64, space: Space) -> Option<Mounted> {
        let line = mountinfo::find(&self.answer, id)?;
        self.root.clear();
        self.point.clear();
        mountinfo::unescape(line.root, &mut self.root);
        mountinfo::unescape(line.point, &mut self.point);
        let (major, minor) = line.device;
        let nosuid = line.nosuid;
        Some(self.found(Device { major, minor }, nosuid, space))
    }

    /// What was found, of which root and point are set.
    fn found(&self, device: Device, nosuid: bool, space: Space) -> Mounted {
        let whereabouts = match space {
            Space::Own if self.root == b"/" && self.point == b"/" => Whereabouts::OurRoot,
            Space::Own => Whereabouts::Ours,
            Space::Other(id) => Whereabouts::Elsewhere(Some(id)),
            Space::Unnumbered => Whereabouts::Elsewhere(None),
        };
        Mounted { device, nosuid, whereabouts, kept: false }
    }
}

/// The id of the descriptor's mount.
pub(super) fn mount_id(proc: &Proc, file: BorrowedFd<'_>, stat: &Stat) -> Result<u64, Cause> {
    match stat.mount {
        MountId::Unique(id) | MountId::Recycled(id) => Ok(id),
        MountId::Unsaid => {
            let mut text = Vec::new();
            let number = file.as_raw_fd();
            let entry = Entry::of(format_args!("thread-self/fdinfo/{number}"));
            proc.read_own(entry.as_c_str(), FDINFO_LIMIT, &mut text)?;
            fdinfo_mount(&text).ok_or(Cause::Unsupported)
        }
    }
}

/// The process whose mount namespace is the host's, or that of the container we are in: marks of single mounts are on
/// its mounts, where ours is a copy.
const HOST: i32 = 1;
/// How many mount namespaces are tried before the caller's is looked up: a miss costs a microsecond, the look-up of
/// a task that we have not looked at before costs twenty.
const SPACES: usize = 8;
const ANSWER_LIMIT: usize = 1 << 20;
const TABLE_LIMIT: usize = 64 << 20;
const FDINFO_LIMIT: usize = 64 << 10;
