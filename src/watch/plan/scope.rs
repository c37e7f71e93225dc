//! Which superblocks are watched, and the names of the files in them.
//!
//! A name is made from (superblock, path inside it) and the links of the watched directories, so it is the same
//! whatever mount or namespace the file is run through. Everything that can be worked out beforehand is: naming a
//! file is a binary search and a few copies. Built by the plan, asked for every attempt.

use crate::event::{Cause, Device, Fact, Texts};
use crate::watch::links::Link;
use crate::watch::mounts::below;
use std::os::unix::ffi::OsStrExt as _;

/// Which superblocks are watched, and the names of the files in them.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Sorted by device.
    superblocks: Vec<Superblock>,
    /// The watched directories under all their names, each with a trailing `/`.
    everywhere: Vec<Box<[u8]>>,
    /// The mount namespace that is guarded.
    home: Option<u64>,
}

/// Where a file lies with regard to the watched directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In a watched directory (or, with the inner path unknown, possibly so).
    Inside,
    /// In a watched superblock, but surely outside every watched directory: allowed at once, unrecorded.
    Outside,
}

#[derive(Clone, Debug)]
pub(super) struct Superblock {
    device: Device,
    /// What no entry names lies outside, because the whole filesystem had to be marked for a part of it.
    shared: bool,
    /// Sorted by `inner`.
    entries: Vec<Entry>,
    /// The directories behind all entries, each with a trailing `/`.
    directories: Vec<Box<[u8]>>,
    /// Another mount namespace has it, and ours has not.
    namespace: Option<u64>,
    /// Only some mounts of it are watched.
    mounts: bool,
    /// What each of those shows, and where; more of them than one can show the same.
    shown: Vec<Entry>,
    /// The mounts that show all of it.
    whole: Vec<u64>,
    /// It was mounted nowhere when the scope was made: its number can be another's.
    gone: bool,
}

/// One directory (or file) of a superblock and its names.
#[derive(Clone, Debug)]
struct Entry {
    /// Its path inside the superblock; empty for the root.
    inner: Box<[u8]>,
    names: Vec<Name>,
}

/// One way to write the names below an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    /// It holds only for what lies below this, which it replaces: `/lock` for the link `/var/lock` -> `/run/lock`.
    only: Vec<u8>,
    /// What stands before the rest.
    base: Vec<u8>,
}

impl Scope {
    /// Appends to `names` every name of the file at `inner` of the superblock `device`, the kernel's own spelling
    /// first. Where `inner` is not known: the watched directories of that superblock, each with a trailing `/`; where
    /// the superblock is not known either: all watched directories, because only what is marked raises an event.
    /// Where single mounts of the superblock are watched and the file's mount is nowhere ([`Cause::Unsupported`]), it is
    /// in no watched directory any more: container runtimes bind their own binary below /run, open it, take the bind away
    /// and execute what they hold.
    ///
    /// `device` is the number in mountinfo. On btrfs and overlay, statx(2) of a file says another one.
    pub fn name(&self, device: Device, inner: Fact<&[u8]>, names: &mut Texts) -> Placement {
        let Some(superblock) = self.superblock(device) else { return all(&self.everywhere, names) };
        if superblock.directories.is_empty() {
            return Placement::Outside;
        }
        let inner = match inner {
            Fact::Known(inner) => inner,
            Fact::Unknown(Cause::Unsupported) if superblock.mounts => return Placement::Outside,
            Fact::Absent | Fact::Unknown(_) | Fact::Unread => return all(&superblock.directories, names),
        };
        if !inner.starts_with(b"/") {
            return all(&superblock.directories, names);
        }
        if let Some((entry, rest)) = superblock.entry(inner) {
            entry.name(rest, names);
            return Placement::Inside;
        }
        if superblock.shared {
            return Placement::Outside;
        }
        all(&superblock.directories, names)
    }

    /// The same where single mounts of the superblock are watched, and two of them can show the same file: appends the
    /// names of `inner` of which one is `seen`, the path at which the file was run in the namespace that is guarded.
    /// False, and nothing appended, where there are none.
    pub fn name_as_seen(&self, device: Device, inner: &[u8], seen: &[u8], names: &mut Texts) -> bool {
        let shown = self.superblock(device).map(|superblock| superblock.shown.as_slice()).unwrap_or_default();
        let shown = shown.iter().find_map(|entry| {
            let rest = below(inner, &entry.inner)?;
            entry.names.iter().any(|name| name.is(rest, seen)).then_some((entry, rest))
        });
        if let Some((entry, rest)) = shown {
            entry.name(rest, names);
        }
        shown.is_some()
    }

    /// The mount namespace in which this superblock was found, where that is not ours: its id as statmount(2) takes it.
    #[must_use]
    pub fn namespace(&self, device: Device) -> Option<u64> {
        self.superblock(device)?.namespace
    }

    /// True for the mount namespace whose watched directories these are: its id as statmount(2) takes it.
    #[must_use]
    pub fn is_home(&self, namespace: u64) -> bool {
        self.home == Some(namespace)
    }

    /// True where the superblock with this number was mounted when the scope was made, and is watched.
    #[must_use]
    pub fn is_mounted(&self, device: Device) -> bool {
        self.superblock(device).is_some_and(|superblock| !superblock.gone)
    }

    /// True where this path inside the superblock `device` lies in a directory that has a name.
    #[must_use]
    pub fn has_name(&self, device: Device, inner: &[u8]) -> bool {
        self.superblock(device).is_some_and(|superblock| superblock.entry(inner).is_some())
    }

    /// True where this mount showed all of the superblock `device` when it was last seen. `mount` is an id that is never
    /// given anew.
    #[must_use]
    pub fn is_whole(&self, device: Device, mount: u64) -> bool {
        self.superblock(device).is_some_and(|superblock| superblock.whole.contains(&mount))
    }

    /// True where only single mounts of the superblock `device` are watched: what runs through others is none of ours.
    #[must_use]
    pub fn watches_mounts(&self, device: Device) -> bool {
        self.superblock(device).is_some_and(|superblock| superblock.mounts)
    }

    /// True where the superblock `device` can raise an attempt whatever mount a file of it is run through.
    #[must_use]
    pub fn watches_whole(&self, device: Device) -> bool {
        self.superblock(device).is_some_and(|superblock| !superblock.mounts)
    }

    /// The first of the directories that give the files of this superblock their names.
    pub(super) fn directory(&self, device: Device) -> Option<&[u8]> {
        Some(trimmed(self.superblock(device)?.directories.first()?))
    }

    /// True where this path lies in a watched directory, under one of its names.
    #[must_use]
    pub fn covers(&self, path: &[u8]) -> bool {
        self.everywhere.iter().any(|directory| path.starts_with(directory))
    }

    /// True where a file of the superblock `device` can raise an attempt. One that is mounted nowhere any more is among
    /// them: its number may be another's by now, which nothing tells.
    #[must_use]
    pub fn contains(&self, device: Device) -> bool {
        self.superblock(device).is_some()
    }

    fn superblock(&self, device: Device) -> Option<&Superblock> {
        let found = self.superblocks.binary_search_by_key(&device, |superblock| superblock.device);
        self.superblocks.get(found.ok()?)
    }
}

impl Superblock {
    /// The entry with the longest path that `inner` lies in, and what follows it.
    fn entry<'a>(&self, inner: &'a [u8]) -> Option<(&Entry, &'a [u8])> {
        // The root is the empty path here.
        let inner = trimmed(inner);
        let mut end = inner.len();
        loop {
            let (head, rest) = inner.split_at_checked(end)?;
            if let Ok(found) = self.entries.binary_search_by(|entry| entry.inner.as_ref().cmp(head)) {
                return Some((self.entries.get(found)?, rest));
            }
            if head.is_empty() {
                return None;
            }
            end = head.iter().rposition(|byte| *byte == b'/')?;
        }
    }
}

impl Entry {
    fn name(&self, rest: &[u8], names: &mut Texts) {
        for name in &self.names {
            if let Some(rest) = below(rest, &name.only) {
                names.push_parts(&[&name.base, rest]);
            }
        }
    }
}

fn all(directories: &[Box<[u8]>], names: &mut Texts) -> Placement {
    for directory in directories {
        names.push(directory);
    }
    Placement::Inside
}

/// Collects what the plan finds.
pub(super) struct Builder<'a> {
    links: &'a [Link],
    watched: &'a [Vec<u8>],
    scope: Scope,
}

impl<'a> Builder<'a> {
    pub(super) fn new(links: &'a [Link], watched: &'a [Vec<u8>], home: Option<u64>) -> Self {
        let mut scope = Scope { home, ..Scope::default() };
        for directory in watched {
            add_directories(&aliases(directory, links), &mut scope.everywhere);
        }
        Self { links, watched, scope }
    }

    /// What nothing is added to lies outside.
    pub(super) fn superblock(&mut self, device: Device, shared: bool) -> Option<&mut Superblock> {
        let superblocks = &mut self.scope.superblocks;
        let found = superblocks.binary_search_by_key(&device, |superblock| superblock.device);
        let index = found.unwrap_or_else(|free| {
            let fresh = Superblock {
                device,
                shared,
                entries: Vec::new(),
                directories: Vec::new(),
                namespace: None,
                mounts: false,
                shown: Vec::new(),
                whole: Vec::new(),
                gone: false,
            };
            superblocks.insert(free, fresh);
            free
        });
        superblocks.get_mut(index)
    }

    /// The directory `inner` of `device` has the name `point`.
    pub(super) fn add(&mut self, device: Device, shared: bool, inner: &[u8], point: &[u8]) {
        let (links, watched) = (self.links, self.watched);
        let names = aliases(point, links);
        let Some(superblock) = self.superblock(device, shared) else { return };
        superblock.shared &= shared;
        add_directories(&names, &mut superblock.directories);
        for watched in watched.iter().filter(|watched| below(watched, point).is_some()) {
            add_directories(&aliases(watched, links), &mut superblock.directories);
        }
        let inner = trimmed(inner).into();
        if let Err(free) = superblock.entries.binary_search_by(|entry| entry.inner.cmp(&inner)) {
            superblock.entries.insert(free, Entry { inner, names });
        }
    }

    /// Only single mounts of the superblock `device` are watched.
    pub(super) fn only_mounts(&mut self, device: Device) {
        if let Some(superblock) = self.superblock(device, false) {
            superblock.mounts = true;
        }
    }

    /// A mount shows the directory `inner` of `device` at `point`.
    pub(super) fn shows(&mut self, device: Device, inner: &[u8], point: &[u8]) {
        let names = aliases(point, self.links);
        if let Some(superblock) = self.superblock(device, false) {
            superblock.shown.push(Entry { inner: trimmed(inner).into(), names });
        }
    }

    /// These mounts show all of the superblock `device`.
    pub(super) fn shown_whole(&mut self, device: Device, mounts: impl Iterator<Item = u64>) {
        if let Some(superblock) = self.superblock(device, false) {
            superblock.whole.extend(mounts);
        }
    }

    /// The superblock `device` is mounted nowhere any more.
    pub(super) fn is_gone(&mut self, device: Device) {
        if let Some(superblock) = self.superblock(device, false) {
            superblock.gone = true;
        }
    }

    /// The superblock `device` was found in this namespace.
    pub(super) fn is_in(&mut self, device: Device, namespace: u64) {
        if let Some(superblock) = self.superblock(device, false) {
            superblock.namespace = Some(namespace);
        }
    }

    pub(super) fn build(self) -> Scope {
        self.scope
    }
}

/// A path without its trailing slash, so that the root is empty.
pub(super) fn trimmed(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

fn add_directories(names: &[Name], directories: &mut Vec<Box<[u8]>>) {
    for name in names {
        let directory: Box<[u8]> = [name.base.as_slice(), b"/"].concat().into();
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
}

/// Every way to write the path of one file that has no links in it, the kernel's own first.
#[must_use]
pub fn spellings(path: &[u8], links: &[Link]) -> Texts {
    let whole = aliases(path, links).into_iter().filter(|name| name.only.is_empty());
    whole.map(|name| name.base).collect()
}

/// Every way to write what lies below `point`: the closure over the links, each used once on a way.
fn aliases(point: &[u8], links: &[Link]) -> Vec<Name> {
    // Links come from the configured directories: a handful. The bounds only keep a strange host from being slow.
    let links = links.get(..links.len().min(32)).unwrap_or_default();
    let mut names = vec![(Name { only: Vec::new(), base: trimmed(point).to_vec() }, 0_u32)];
    let mut next = 0;
    while let Some((name, used)) = names.get(next).cloned() {
        next += 1;
        for (number, link) in links.iter().enumerate() {
            let bit = 1 << number;
            if used & bit != 0 {
                continue;
            }
            if let Some(other) = through(&name, link)
                && names.len() < 64
                && !names.iter().any(|(known, _)| known.says(&other))
            {
                names.push((other, used | bit));
            }
        }
    }
    names.into_iter().map(|(name, _)| name).collect()
}

/// The same files, written through a link that leads to them.
fn through(name: &Name, link: &Link) -> Option<Name> {
    let at = trimmed(link.at.as_os_str().as_bytes());
    let to = trimmed(link.to.as_os_str().as_bytes());
    if let Some(rest) = below(&name.base, to) {
        return Some(Name { only: name.only.clone(), base: [at, rest].concat() });
    }
    // The link leads below this directory: it names a part.
    let part = below(to, &name.base)?;
    Some(Name { only: [name.only.as_slice(), part].concat(), base: at.to_vec() })
}

impl Name {
    /// True where this way to write what follows the entry yields this path.
    fn is(&self, rest: &[u8], path: &[u8]) -> bool {
        below(rest, &self.only).is_some_and(|rest| path.strip_prefix(self.base.as_slice()) == Some(rest))
    }

    /// True where this one already yields all that `other` would.
    fn says(&self, other: &Self) -> bool {
        below(&other.only, &self.only).is_some_and(|part| {
            other.base.strip_suffix(part).is_some_and(|base| base == self.base.as_slice())
        })
    }
}
