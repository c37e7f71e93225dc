//! The mount table, from the text of `/proc/PID/mountinfo`; pure.
//!
//! Owns the grammar of that file (proc_pid_mountinfo(5)) and the question which mount a path leads to. Paths are
//! bytes: a mount point may hold any byte but NUL, and whoever may mount chooses them. May not read files: the text
//! comes in. Called by the plan, and by whoever needs the mount behind an id.

#![forbid(unsafe_code)]

mod uncover;

pub use uncover::Step;

use crate::event::Device;
use std::collections::{HashMap, HashSet};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The id that mountinfo and fdinfo show. Recycled at once after an unmount.
    pub id: u32,
    /// The id of the mount it stands on. The root's parent is outside the table.
    pub parent: u32,
    /// The superblock's device number.
    pub device: Device,
    /// The path inside the superblock that this mount shows. Not always a path: nsfs writes `net:[4026531840]`.
    pub root: Vec<u8>,
    /// Where it is mounted, seen from the root directory of the process whose table it is.
    pub point: Vec<u8>,
    /// The options of this mount, as written: `rw,nosuid,nodev`.
    pub options: Vec<u8>,
    /// The filesystem's type: `tmpfs`, `fuse.sshfs`.
    pub fs_type: Vec<u8>,
    /// The source, as the one who mounted it wrote it.
    pub source: Vec<u8>,
    /// The options of the superblock, still escaped: values may hold an escaped comma.
    pub super_options: Vec<u8>,
    /// The id that is never used again (STATX_MNT_ID_UNIQUE, Linux 6.8), where the kernel tells it. Not in the text:
    /// see [`MountTable::with_unique_ids`].
    pub unique: Option<u64>,
}

/// The id of a mount that is never used again, beside the one that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniqueId {
    /// The recycled one, as in mountinfo.
    pub id: u32,
    /// The superblock's device number: it keeps a recycled id apart from its predecessor, most of the time.
    pub device: Device,
    /// The one that is never used again.
    pub unique: u64,
}

/// A mount table, in the order of the text.
#[derive(Clone, Debug, Default)]
pub struct MountTable {
    mounts: Vec<Mount>,
    skipped: Vec<Vec<u8>>,
    skipped_count: usize,
    ids: HashMap<u32, usize>,
    children: HashMap<u32, HashMap<Vec<u8>, usize>>,
    tops: HashMap<Vec<u8>, usize>,
    /// The ids of those that their own path leads to.
    seen: HashSet<u32>,
    namespace: Option<u64>,
}

impl MountTable {
    /// The table in `text`. A line that is not an entry is kept in [`Self::skipped`], and the rest is still read:
    /// a table with a hole guards more than none.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut table = Self::default();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match entry(line) {
                Some(mount) => table.mounts.push(mount),
                None => table.skip(line),
            }
        }
        table.connect();
        table
    }

    /// The same table, with the unique id of each mount whose recycled id and device are in `ids`.
    #[must_use]
    pub fn with_unique_ids(mut self, ids: &[UniqueId]) -> Self {
        let known: HashMap<(u32, Device), u64> =
            ids.iter().map(|one| ((one.id, one.device), one.unique)).collect();
        for mount in &mut self.mounts {
            mount.unique = known.get(&(mount.id, mount.device)).copied();
        }
        self
    }

    /// The same table, as that of the mount namespace with this id.
    #[must_use]
    pub fn of_namespace(self, namespace: Option<u64>) -> Self {
        Self { namespace, ..self }
    }

    /// The id of the mount namespace whose table it is, where the kernel tells it (Linux 6.11).
    #[must_use]
    pub fn namespace(&self) -> Option<u64> {
        self.namespace
    }

    /// All mounts in the order of the text: the order in which they were mounted, but for a copied namespace.
    #[must_use]
    pub fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// The first lines (at most 8, cut at 256 bytes) that are not entries.
    #[must_use]
    pub fn skipped(&self) -> &[Vec<u8>] {
        &self.skipped
    }

    /// How many lines are not entries.
    #[must_use]
    pub fn skipped_count(&self) -> usize {
        self.skipped_count
    }

    /// The mount with this recycled id.
    #[must_use]
    pub fn by_id(&self, id: u32) -> Option<&Mount> {
        self.ids.get(&id).and_then(|index| self.mounts.get(*index))
    }

    /// The mount that an absolute path without links leads to: the topmost one where several are stacked. `None`
    /// where the table shows none for it, as in a chroot.
    #[must_use]
    pub fn visible(&self, path: &[u8]) -> Option<&Mount> {
        let mut at: Option<usize> = None;
        for prefix in prefixes(path) {
            // Several mounts can be stacked on one path, each the child of the one below it; but what is mounted over
            // the root directory of a process is not seen by it. A table that loops (it is foreign text) cannot hold us
            // longer than its own length.
            let most = if prefix == b"/" { 1 } else { self.mounts.len() };
            for _ in 0..most {
                match self.step(at, prefix) {
                    Some(next) if Some(next) != at => at = Some(next),
                    _ => break,
                }
            }
        }
        at.and_then(|index| self.mounts.get(index))
    }

    /// True where the mount's own path leads to it. False for one that another mount hides, or whose directory was
    /// removed.
    #[must_use]
    pub fn is_visible(&self, mount: &Mount) -> bool {
        self.seen.contains(&mount.id)
    }

    fn step(&self, at: Option<usize>, prefix: &[u8]) -> Option<usize> {
        match at.and_then(|index| self.mounts.get(index)) {
            Some(mount) => self.children.get(&mount.id)?.get(prefix).copied(),
            None => self.tops.get(prefix).copied(),
        }
    }

    fn skip(&mut self, line: &[u8]) {
        self.skipped_count += 1;
        if self.skipped.len() < 8 {
            self.skipped.push(line.iter().copied().take(256).collect());
        }
    }

    fn connect(&mut self) {
        // Of several with one id, as foreign text can have them, the first counts.
        for (index, mount) in self.mounts.iter().enumerate().rev() {
            self.ids.insert(mount.id, index);
        }
        for (index, mount) in self.mounts.iter().enumerate() {
            if mount.parent != mount.id && self.ids.contains_key(&mount.parent) {
                self.children.entry(mount.parent).or_default().insert(mount.point.clone(), index);
            } else {
                self.tops.entry(mount.point.clone()).or_insert(index);
            }
        }
        // Once for each path: a stack of mounts on one path would else be climbed once for each of them.
        let points: HashSet<&[u8]> = self.mounts.iter().map(|mount| mount.point.as_slice()).collect();
        let seen = points.into_iter().filter_map(|point| {
            self.visible(point).filter(|mount| mount.point == point).map(|mount| mount.id)
        });
        self.seen = seen.collect();
    }
}

impl Mount {
    /// Set-user-id bits and file capabilities have no effect through this mount.
    #[must_use]
    pub fn nosuid(&self) -> bool {
        self.has_option(b"nosuid")
    }

    /// Nothing is executed through this mount. It can be undone with a remount, so it is no reason not to watch.
    #[must_use]
    pub fn noexec(&self) -> bool {
        self.has_option(b"noexec")
    }

    /// The directories of which an overlay is made: lower ones, data-only ones and the upper one. Empty for all
    /// others. They are the words of whoever mounted it, read in the mount namespace of that moment.
    #[must_use]
    pub fn layers(&self) -> Vec<Vec<u8>> {
        if self.fs_type != b"overlay" {
            return Vec::new();
        }
        let mut layers = Vec::new();
        for option in self.super_options.split(|byte| *byte == b',') {
            let Some(at) = option.iter().position(|byte| *byte == b'=') else { continue };
            let (name, value) = option.split_at(at);
            let value = unescape(value.get(1..).unwrap_or_default());
            match name {
                b"lowerdir" => split_layers(&value, &mut layers),
                b"upperdir" | b"lowerdir+" | b"datadir+" => layers.push(value),
                _ => {}
            }
        }
        layers.retain(|layer| layer.starts_with(b"/"));
        layers
    }

    fn has_option(&self, wanted: &[u8]) -> bool {
        self.options.split(|byte| *byte == b',').any(|option| option == wanted)
    }
}

/// What follows `directory` in `path`, whole components compared: empty, or beginning with `/`. `None` where the path
/// does not lie in it.
#[must_use]
pub fn below<'a>(path: &'a [u8], directory: &[u8]) -> Option<&'a [u8]> {
    let directory = directory.strip_suffix(b"/").unwrap_or(directory);
    let rest = path.strip_prefix(directory)?;
    (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
}

/// True where the path lies in one of these directories, or is one.
#[must_use]
pub fn is_in_any(path: &[u8], directories: &[Vec<u8>]) -> bool {
    directories.iter().any(|directory| below(path, directory).is_some())
}

/// One line: `id parent major:minor root point options [optional fields] - type source super-options`.
fn entry(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = device(fields.next()?)?;
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    let options = fields.next()?.to_vec();
    // Any number of optional fields (shared:1, master:2), ended by a lone hyphen.
    fields.find(|field| *field == b"-")?;
    let fs_type = unescape(fields.next()?);
    // The source can be empty (mount -t tmpfs "" /x), and on old kernels so can be what follows.
    let source = unescape(fields.next().unwrap_or_default());
    let super_options = fields.next().unwrap_or_default().to_vec();
    let plausible = point.starts_with(b"/") && !root.is_empty() && !fs_type.is_empty();
    plausible.then_some(Mount {
        id,
        parent,
        device,
        root,
        point,
        options,
        fs_type,
        source,
        super_options,
        unique: None,
    })
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `major:minor`, in decimal.
pub(crate) fn device(text: &[u8]) -> Option<Device> {
    let at = text.iter().position(|byte| *byte == b':')?;
    Some(Device { major: number(text.get(..at)?)?, minor: number(text.get(at + 1..)?)? })
}

/// `\ooo` is the byte with that octal number; any other backslash stands for itself.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        if let (b'\\', Some(byte)) = (first, after.get(..3).and_then(octal)) {
            plain.push(byte);
            rest = after.get(3..).unwrap_or_default();
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    plain
}

fn octal(digits: &[u8]) -> Option<u8> {
    let value = digits.iter().try_fold(0_u16, |value, digit| match digit {
        b'0'..=b'7' => Some(value * 8 + u16::from(digit - b'0')),
        _ => None,
    })?;
    u8::try_from(value).ok()
}

/// Lower layers are joined with `:`, data-only ones follow `::`; a colon or backslash of a name has a backslash.
fn split_layers(value: &[u8], layers: &mut Vec<Vec<u8>>) {
    let mut layer = Vec::new();
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => layer.extend(bytes.next()),
            b':' => layers.push(std::mem::take(&mut layer)),
            other => layer.push(*other),
        }
    }
    layers.push(layer);
}

/// `/`, then each longer prefix that ends with a whole component, then the path itself.
fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let cuts = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let whole = (path.len() > 1).then_some(path.len());
    std::iter::once(1).chain(cuts).chain(whole).filter_map(|end| path.get(..end))
}

#[cfg(test)]
mod tests;
