//! What: the file's facts, its path as the caller sees it, its path inside the superblock, and the mount between.
//!
//! The file is the event's descriptor, so it is the right one whatever its names are. The path inside the superblock
//! is made anew for each attempt from two questions, the descriptor's path and the mount's place. About a mount nothing
//! is kept that the kernel does not say is still so (`kept`), and nothing at all where the place lets something run: a
//! remembered mount point that has moved would let its mover choose which exception holds.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, fstatvfs};

use super::aside::Aside;
use super::inner::{self, DELETED, Place};
use super::kept::Kept;
use super::parse::{fdinfo_mount, maps, mountinfo};
use super::proc::{Entry, Proc, cause, read_link, reuse};
use super::{Features, IdentifyError};
use crate::event::{Cause, Device, Fact, FileFacts, Gid, Object, Uid};
use crate::sys::mapping::Mapping;
use crate::sys::statx::{self, MountId, Stat, Want};
use crate::sys::{handle, mounts, statmount};

/// What is kept between attempts: descriptors, buffers, and the numbers of namespaces, which are never given anew.
#[derive(Debug)]
pub(super) struct Files {
    /// /proc/self/fd.
    own: OwnedFd,
    /// The id of our own mount namespace, where the kernel tells ids of others.
    namespace: Option<u64>,
    /// The kernel's answer about a mount.
    answer: Vec<u8>,
    /// The mount's root and point, as they were a moment ago.
    root: Vec<u8>,
    point: Vec<u8>,
    /// That mount is in our own namespace.
    ours: bool,
    /// The mount namespaces in which mounts were found, the last one first.
    spaces: Vec<Space>,
    kept: Kept,
    /// What was told of the mount last was kept.
    has_kept: bool,
}

/// Who asks, and with which of the kernel's means.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) proc: &'a Proc,
    pub(super) features: Features,
    pub(super) thread: Option<i32>,
    pub(super) mounts: Mounts,
}

/// Where the facts of a mount come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mounts {
    /// What is kept will do.
    Kept,
    /// The kernel is asked.
    Asked,
}

/// One look at a file's place.
pub(super) struct Look {
    /// `seen` was filled.
    pub(super) seen: Result<(), Cause>,
    /// `inner` was filled.
    pub(super) inner: Result<(), Cause>,
    /// The file has no name any more.
    pub(super) deleted: Fact<bool>,
    /// The mount's id, and what it says.
    id: Fact<u64>,
    mount: Result<Mounted, Cause>,
}

/// Whose namespace a mount is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// A whole filesystem at the root of ours: nobody moves it.
    OurRoot,
    /// Ours: only the host's root moves it.
    Ours,
    /// Another one: its owner may be anybody.
    Elsewhere,
}

#[derive(Clone, Copy)]
struct Mounted {
    device: Device,
    nosuid: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    /// Ours.
    Own,
    /// The one with this id.
    Other(u64),
}

impl Files {
    /// Opens /proc/self/fd: what it lists is this process, so a fork needs a new one.
    pub(super) fn open() -> Result<Self, IdentifyError> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let own = open(c"/proc/self/fd", flags, Mode::empty())
            .map_err(|errno| IdentifyError::Open { path: "/proc/self/fd", error: errno.into() })?;
        Ok(Self {
            own,
            namespace: mounts::own_mount_namespace_id().ok(),
            answer: vec![0; 4096],
            root: Vec::with_capacity(256),
            point: Vec::with_capacity(256),
            ours: false,
            spaces: vec![Space::Own],
            kept: Kept::default(),
            has_kept: false,
        })
    }

    /// Fills the essential facts of `object`, all but its names.
    pub(super) fn identify(
        &mut self,
        asking: Asking<'_>,
        aside: &mut Aside,
        file: BorrowedFd<'_>,
        object: &mut Object,
    ) {
        let stat = match statx::of(file, asking.features.mount_id()) {
            Ok(stat) => stat,
            Err(error) => return unknown(object, cause(error)),
        };
        let (mut seen, mut inner) = (reuse(&mut object.seen), reuse(&mut object.inner));
        let look = self.look(asking, aside, file, &stat, &mut seen, &mut inner);
        object.seen = kept(look.seen, seen);
        object.inner = kept(look.inner, inner);
        object.deleted = look.deleted;
        object.mount.id = look.id;
        object.mount.unique = matches!(stat.mount, MountId::Unique(_));
        object.mount.nosuid = match &look.mount {
            Ok(mounted) => Fact::Known(mounted.nosuid),
            Err(_) => Fact::Unread,
        };
        let device = look.mount.map(|mounted| mounted.device);
        object.file = Fact::Known(facts(&stat, device.unwrap_or(device_of(&stat))));
    }

    /// Finds the path inside the superblock where the mount, which showed all of it, has been taken away: it is then the
    /// path that the kernel shows. To be asked after the mount was in no namespace: such a mount never comes back.
    pub(super) fn find_taken_away(&mut self, aside: &mut Aside, file: BorrowedFd<'_>, object: &mut Object) {
        let Ok(stat) = statx::of(file, Want::Nothing) else { return };
        let (mut seen, mut inner) = (reuse(&mut object.seen), reuse(&mut object.inner));
        let path = self.path(aside, file, &mut seen);
        let (deleted, shown) = shown(path, file, &stat, &seen);
        let all = Place { root: b"/", point: b"/" };
        let found = shown.and_then(|shown| inner::path(shown, all, &mut inner));
        object.seen = kept(path, seen);
        object.inner = kept(found, inner);
        object.deleted = deleted;
    }

    /// Finds the path inside the superblock where the mount is nowhere (detached, pivoted away, a layer of an overlay):
    /// opens the file once more, through the mount that our own namespace has at one of `directories`.
    ///
    /// Only for a file with at most one name, for it could else be found under another than the one it was opened by.
    pub(super) fn find_inside<'n>(
        &mut self,
        asking: Asking<'_>,
        aside: &mut Aside,
        file: BorrowedFd<'_>,
        directories: impl Iterator<Item = &'n [u8]>,
        object: &mut Object,
    ) {
        let Fact::Known(facts) = &object.file else { return };
        let mut inner = Vec::new();
        if facts.links <= 1
            && self.is_inside(asking, aside, file, (facts.device, facts.inode), directories, &mut inner)
        {
            object.inner = Fact::Known(inner);
        }
    }

    /// The same for a file with at most one name, of this superblock and inode: whether its path is in `inner`.
    pub(super) fn is_inside<'n>(
        &mut self,
        asking: Asking<'_>,
        aside: &mut Aside,
        file: BorrowedFd<'_>,
        (superblock, inode): (Device, u64),
        directories: impl Iterator<Item = &'n [u8]>,
        inner: &mut Vec<u8>,
    ) -> bool {
        for directory in directories {
            let Ok(place) = place(directory, superblock) else { continue };
            let Ok(again) = handle::through(place.as_fd(), file) else { continue };
            let Ok(stat) = statx::of(again.as_fd(), asking.features.mount_id()) else { continue };
            let look = self.look(asking, aside, again.as_fd(), &stat, &mut Vec::new(), inner);
            if look.inner.is_ok() && stat.inode == inode {
                return true;
            }
        }
        false
    }

    /// Looks where the file is: into `seen` comes its path as the kernel shows it, into `inner` its path inside the
    /// superblock; both are emptied before.
    ///
    /// The order matters: a file that has no name before its path is read has none in that path either.
    pub(super) fn look(
        &mut self,
        asking: Asking<'_>,
        aside: &mut Aside,
        file: BorrowedFd<'_>,
        stat: &Stat,
        seen: &mut Vec<u8>,
        inner: &mut Vec<u8>,
    ) -> Look {
        inner.clear();
        let path = self.path(aside, file, seen);
        let (deleted, shown) = shown(path, file, stat, seen);
        let id = mount_id(asking.proc, file, stat);
        let mount = id.and_then(|_| self.mount(asking, file, stat));
        let place = Place { root: &self.root, point: &self.point };
        let place = mount.and(shown).and_then(|shown| inner::path(shown, place, inner));
        Look { seen: path, inner: place, deleted, id: super::proc::fact(id), mount }
    }

    /// Where the mount that was looked at last is.
    pub(super) fn whereabouts(&self) -> Whereabouts {
        match (self.ours, self.root == b"/" && self.point == b"/") {
            (true, true) => Whereabouts::OurRoot,
            (true, false) => Whereabouts::Ours,
            (false, _) => Whereabouts::Elsewhere,
        }
    }

    /// Whether this very file stands at `inner` of the superblock, seen through the mount that our own namespace has at
    /// one of `directories`.
    pub(super) fn stands_inside<'n>(
        &mut self,
        asking: Asking<'_>,
        file: BorrowedFd<'_>,
        superblock: Device,
        inner: &[u8],
        directories: impl Iterator<Item = &'n [u8]>,
    ) -> bool {
        let Ok(stat) = statx::of(file, Want::Nothing) else { return false };
        for directory in directories {
            let Ok(found) = open_cached(directory) else { continue };
            let Ok(of) = statx::of(found.as_fd(), asking.features.mount_id()) else { continue };
            let (Ok(mounted), true) = (self.mount(asking, found.as_fd(), &of), self.ours) else { continue };
            let root = self.root.strip_suffix(b"/").unwrap_or(&self.root);
            let point = self.point.strip_suffix(b"/").unwrap_or(&self.point);
            let Some(below) = inner.strip_prefix(root).filter(|below| below.starts_with(b"/")) else {
                continue;
            };
            if mounted.device == superblock
                && at(&[point, below].concat())
                    .is_ok_and(|there| (there.device, there.inode) == (stat.device, stat.inode))
            {
                return true;
            }
        }
        false
    }

    /// Whether a file stands at one of `names` in our own mount namespace that is this very file. `None`: at none of
    /// them is its superblock there, and nothing is to be seen.
    pub(super) fn stands<'n>(
        &self,
        stat: &Stat,
        superblock: Device,
        inner: &[u8],
        names: impl Iterator<Item = &'n [u8]>,
    ) -> Option<bool> {
        let mut ours = None;
        for name in names {
            match at(name) {
                Ok(found) if (found.device, found.inode) == (stat.device, stat.inode) => return Some(true),
                Ok(_) | Err(_) => {}
            }
            let mounted = name.strip_suffix(inner).map(|root| if root.is_empty() { b"/" } else { root });
            let same = match mounted.map(at) {
                Some(Ok(root)) => root.device == stat.device || device_of(&root) == superblock,
                Some(Err(_)) => false,
                // A watched directory that is not its filesystem's root: of ours, for those of others are roots.
                None => true,
            };
            ours = Some(ours.unwrap_or(false) || same);
        }
        if ours == Some(false) { None } else { Some(false) }
    }

    /// Whether what was looked at last rests on a mount that was kept.
    pub(super) fn has_kept(&self) -> bool {
        self.has_kept
    }

    /// The mount of the descriptor.
    fn mount(&mut self, asking: Asking<'_>, file: BorrowedFd<'_>, stat: &Stat) -> Result<Mounted, Cause> {
        self.has_kept = false;
        let MountId::Unique(id) = stat.mount else {
            let id = mount_id(asking.proc, file, stat)?;
            return self.read_table(asking, id);
        };
        if asking.mounts == Mounts::Kept
            && let Some(mount) = self.kept.mount(id)
        {
            self.has_kept = true;
            self.ours = true;
            mount.root.clone_into(&mut self.root);
            mount.point.clone_into(&mut self.point);
            return Ok(Mounted { device: mount.device, nosuid: mount.nosuid });
        }
        match self.ask_kernel(asking, id) {
            Ok(mounted) => {
                if asking.mounts == Mounts::Kept && self.ours {
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

    /// The path of the descriptor.
    fn path(&self, aside: &mut Aside, file: BorrowedFd<'_>, seen: &mut Vec<u8>) -> Result<(), Cause> {
        let number = file.as_raw_fd();
        match read_link(self.own.as_fd(), Entry::of(format_args!("{number}")).as_c_str(), seen) {
            Err(Cause::TooLong) => long_path(aside, file, seen),
            done => done,
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
        self.ours = space == Space::Own;
        mount.root.clone_into(&mut self.root);
        mount.point.clone_into(&mut self.point);
        let (major, minor) = mount.device;
        Ok(Some(Mounted {
            device: Device { major, minor },
            nosuid: mount.attributes & statmount::NOSUID != 0,
        }))
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
        if let Some(mounted) = self.line(id) {
            self.ours = true;
            return Ok(mounted);
        }
        self.ours = false;
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
        let mounted = self.line(id).ok_or(Cause::Unsupported)?;
        at_root(&mut self.answer)?;
        Ok(mounted)
    }

    fn line(&mut self, id: u64) -> Option<Mounted> {
        let line = mountinfo::find(&self.answer, id)?;
        self.root.clear();
        self.point.clear();
        mountinfo::unescape(line.root, &mut self.root);
        mountinfo::unescape(line.point, &mut self.point);
        let (major, minor) = line.device;
        Some(Mounted { device: Device { major, minor }, nosuid: line.nosuid })
    }
}

/// Whether set-id bits are void on this mount, asked through the descriptor where its mount is in no table.
pub(super) fn nosuid(file: BorrowedFd<'_>, object: &mut Object) -> Fact<bool> {
    if object.mount.nosuid.is_unread() {
        object.mount.nosuid = match fstatvfs(file) {
            // The kernel takes this flag from the descriptor's mount, not from its superblock.
            Ok(filesystem) => Fact::Known(filesystem.flags().contains(FsFlags::ST_NOSUID)),
            Err(errno) => Fact::Unknown(cause(errno.into())),
        };
    }
    object.mount.nosuid.clone()
}

fn unknown(object: &mut Object, cause: Cause) {
    object.file = Fact::Unknown(cause);
    object.seen = Fact::Unknown(cause);
    object.inner = Fact::Unknown(cause);
    object.deleted = Fact::Unknown(cause);
    object.mount.id = Fact::Unknown(cause);
    object.mount.unique = false;
    object.mount.nosuid = Fact::Unread;
}

/// [`deletion`] where the path is known.
fn shown<'a>(
    path: Result<(), Cause>,
    file: BorrowedFd<'_>,
    stat: &Stat,
    seen: &'a [u8],
) -> (Fact<bool>, Result<&'a [u8], Cause>) {
    match path {
        Ok(()) => deletion(file, stat, seen),
        Err(cause) if stat.links == 0 => (Fact::Known(true), Err(cause)),
        Err(cause) => (Fact::Unknown(cause), Err(cause)),
    }
}

/// Whether the file has lost its name, and its path without the kernel's word for that.
fn deletion<'a>(file: BorrowedFd<'_>, stat: &Stat, seen: &'a [u8]) -> (Fact<bool>, Result<&'a [u8], Cause>) {
    let Some(shown) = seen.strip_suffix(DELETED) else {
        return (Fact::Known(stat.links == 0), Ok(seen));
    };
    let links = match stat.links {
        // It may have lost its last name after the first look.
        1.. => statx::of(file, Want::Nothing).map_or(1, |stat| stat.links),
        0 => 0,
    };
    if links == 0 {
        return (Fact::Known(true), Ok(shown));
    }
    // It has a name. Either that is truly called so, or this name is gone and another (a hard link) is left: then the
    // path says where the file was, not where it is.
    match at(seen) {
        Ok(found) if (found.device, found.inode) == (stat.device, stat.inode) => {
            (Fact::Known(false), Ok(seen))
        }
        Ok(_) | Err(_) => (Fact::Unknown(Cause::Unsteady), Err(Cause::Unsteady)),
    }
}

/// The facts of what stands at `name` in our namespace, without following a link in it.
pub(super) fn at(name: &[u8]) -> Result<Stat, Cause> {
    statx::of(open_cached(name)?.as_fd(), Want::Nothing).map_err(cause)
}

/// Opens what stands at `name` in our namespace (O_PATH), without following a link in it.
///
/// Only from what the kernel has in memory: a directory on the way may be a FUSE server's, which need not answer. An
/// open file's path is in memory.
fn open_cached(name: &[u8]) -> Result<OwnedFd, Cause> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC);
    let strict = ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let cached = ResolveFlag::from_bits_retain(strict.bits() | RESOLVE_CACHED);
    let mut resolve = cached;
    for _ in 0..TRIES {
        match openat2(AT_FDCWD, name, how.resolve(resolve)) {
            Ok(found) => return Ok(found),
            // Something was renamed somewhere meanwhile; or it is not in memory, and then this helps nothing.
            Err(Errno::EAGAIN) => {}
            // Before Linux 5.12.
            Err(Errno::EINVAL) if resolve == cached => resolve = strict,
            Err(errno) => return Err(cause(errno.into())),
        }
    }
    Err(Cause::Unsteady)
}

/// A directory in our own mount namespace, if it is of this superblock.
fn place(directory: &[u8], superblock: Device) -> Result<OwnedFd, Cause> {
    let found = open_cached(directory)?;
    let stat = statx::of(found.as_fd(), Want::Nothing).map_err(cause)?;
    if device_of(&stat) != superblock {
        return Err(Cause::Unsteady);
    }
    // Truly open only now that it is known not to be a FUSE server's: the kernel refuses handles through O_PATH.
    openat(found, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| cause(errno.into()))
}

/// The path of a descriptor that is longer than a link of /proc can be: from the list of our own mappings.
///
/// Not in this thread: a path may be as long as its filesystem has room for directories, and the kernel writes all of
/// it before we can say that it is too much.
fn long_path(aside: &mut Aside, file: BorrowedFd<'_>, seen: &mut Vec<u8>) -> Result<(), Cause> {
    let file = file.try_clone_to_owned().map_err(cause)?;
    let work = move || {
        let mapping = Mapping::of(file.as_fd()).map_err(cause)?;
        let mut text = Vec::new();
        Proc::open().map_err(cause)?.read_own(c"self/maps", MAPS_LIMIT, &mut text)?;
        let address = u64::try_from(mapping.address()).map_err(|_| Cause::TooLong)?;
        maps::path(&text, address).map(<[u8]>::to_vec).ok_or(Cause::TooLong)
    };
    let found = aside.run(Instant::now() + LONG_PATH_PATIENCE, work).unwrap_or(Err(Cause::TooLong));
    found.as_deref().unwrap_or_default().clone_into(seen);
    found.map(|_| ())
}

fn mount_id(proc: &Proc, file: BorrowedFd<'_>, stat: &Stat) -> Result<u64, Cause> {
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

/// The facts of a file of which the superblock's device does not matter.
pub(super) fn facts_of(stat: &Stat) -> FileFacts {
    facts(stat, device_of(stat))
}

fn facts(stat: &Stat, device: Device) -> FileFacts {
    let nanoseconds =
        |(seconds, rest): (i64, u32)| seconds.saturating_mul(1_000_000_000).saturating_add(rest.into());
    FileFacts {
        device,
        inode: stat.inode,
        mode: stat.mode,
        uid: Uid(stat.uid),
        gid: Gid(stat.gid),
        size: stat.size,
        links: stat.links,
        modified: nanoseconds(stat.modified),
        changed: nanoseconds(stat.changed),
    }
}

fn device_of(stat: &Stat) -> Device {
    let (major, minor) = stat.device;
    Device { major, minor }
}

fn kept(done: Result<(), Cause>, text: Vec<u8>) -> Fact<Vec<u8>> {
    match done {
        Ok(()) => Fact::Known(text),
        Err(cause) => Fact::Unknown(cause),
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
const MAPS_LIMIT: usize = 4 << 20;
const LONG_PATH_PATIENCE: Duration = Duration::from_millis(50);
/// Any rename or mount on the host makes one try fail.
const TRIES: usize = 16;
/// Not in nix.
const RESOLVE_CACHED: u64 = 0x20;
