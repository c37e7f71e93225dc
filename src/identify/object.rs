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

use super::IdentifyError;
use super::aside::Aside;
use super::inner::{self, DELETED, Place};
use super::mount::{Asking, Mounted, Mounts, Whereabouts, mount_id};
use super::parse::maps;
use super::proc::{Entry, Proc, cause, read_link, reuse};
use crate::event::{Cause, Device, Fact, FileFacts, Gid, Object, Uid};
use crate::sys::handle;
use crate::sys::mapping::Mapping;
use crate::sys::statx::{self, MountId, Stat, Want};

/// What is kept between attempts: descriptors, buffers, and the numbers of namespaces, which are never given anew.
#[derive(Debug)]
pub(super) struct Files {
    /// /proc/self/fd.
    own: OwnedFd,
    /// Where mounts are asked for.
    mounts: Mounts,
}

/// Where a file's mount is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Whose; nowhere, too, where it does not tell the file's place.
    pub(super) whereabouts: Whereabouts,
    /// That rests on an answer that was kept.
    pub(super) kept: bool,
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

impl Files {
    /// Opens /proc/self/fd: what it lists is this process, so a fork needs a new one.
    pub(super) fn open() -> Result<Self, IdentifyError> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let own = open(c"/proc/self/fd", flags, Mode::empty())
            .map_err(|errno| IdentifyError::Open { path: "/proc/self/fd", error: errno.into() })?;
        Ok(Self { own, mounts: Mounts::default() })
    }

    /// Fills the essential facts of `object`, all but its names, and says where its mount is.
    pub(super) fn identify(
        &mut self,
        asking: Asking<'_>,
        aside: &mut Aside,
        file: BorrowedFd<'_>,
        object: &mut Object,
    ) -> Found {
        let stat = match statx::of(file, asking.features.mount_id()) {
            Ok(stat) => stat,
            Err(error) => {
                unknown(object, cause(error));
                return Found { whereabouts: Whereabouts::Nowhere, kept: false };
            }
        };
        let (mut seen, mut inner) = (reuse(&mut object.seen), reuse(&mut object.inner));
        let look = self.look(asking, aside, file, &stat, &mut seen, &mut inner);
        let found = look.found();
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
        found
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
        let mount = id.and_then(|_| self.mounts.find(asking, file, stat));
        let place = self.mounts.place();
        let place = mount.and(shown).and_then(|shown| inner::path(shown, place, inner));
        Look { seen: path, inner: place, deleted, id: super::proc::fact(id), mount }
    }

    /// Looks for mounts in this namespace too, from now on; `false` if that is nothing new.
    pub(super) fn search(&mut self, namespace: u64) -> bool {
        self.mounts.search(namespace)
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
            let mounted = self.mounts.find(asking, found.as_fd(), &of).ok();
            let Some(mounted) = mounted.filter(|mounted| mounted.is_ours()) else { continue };
            let place = self.mounts.place();
            let root = place.root.strip_suffix(b"/").unwrap_or(place.root);
            let point = place.point.strip_suffix(b"/").unwrap_or(place.point);
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

    /// The path of the descriptor.
    fn path(&self, aside: &mut Aside, file: BorrowedFd<'_>, seen: &mut Vec<u8>) -> Result<(), Cause> {
        let number = file.as_raw_fd();
        match read_link(self.own.as_fd(), Entry::of(format_args!("{number}")).as_c_str(), seen) {
            Err(Cause::TooLong) => long_path(aside, file, seen),
            done => done,
        }
    }
}

impl Look {
    /// Where the mount is.
    pub(super) fn found(&self) -> Found {
        let kept = self.mount.is_ok_and(|mounted| mounted.kept);
        let whereabouts = match self.mount {
            Ok(mounted) if self.inner.is_ok() => mounted.whereabouts,
            Ok(_) | Err(_) => Whereabouts::Nowhere,
        };
        Found { whereabouts, kept }
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

const MAPS_LIMIT: usize = 4 << 20;
const LONG_PATH_PATIENCE: Duration = Duration::from_millis(50);
/// Any rename or mount on the host makes one try fail.
const TRIES: usize = 16;
/// Not in nix.
const RESOLVE_CACHED: u64 = 0x20;
