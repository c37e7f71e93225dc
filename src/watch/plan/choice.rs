//! Which superblock gets which kind of mark. The reasons are in the plan's own documentation.

use super::kinds::{Kind, renumbers};
use super::scope::trimmed;
use super::words::{Choice, Inputs, PassedOver, Plan, SharedFilesystem, Stored, Superblock, path_of};
use crate::event::Device;
use crate::watch::links::State;
use crate::watch::mounts::{Mount, MountTable, is_in_any};
use std::collections::{BTreeMap, BTreeSet};

/// All mounts of one superblock.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) device: Device,
    /// In the order of the table.
    pub(super) mounts: Vec<&'a Mount>,
    /// Those on or below a watched directory, the one that names the files first.
    pub(super) inside: Vec<&'a Mount>,
    /// One of them is a watched directory itself.
    at: bool,
    pub(super) choice: Choice,
    /// Named parts: of a shared filesystem, or of one that is stored in a watched one.
    parts: Vec<(Vec<u8>, Vec<u8>)>,
}

pub(super) struct Groups<'a> {
    groups: BTreeMap<Device, Group<'a>>,
    /// The filesystem at `/`; `None` where the table does not show it, as in a chroot.
    root: Option<Device>,
    /// What holds its layers.
    layers: BTreeSet<Device>,
}

impl<'a> Groups<'a> {
    pub(super) fn choose(inputs: &Inputs<'a>, previous: Option<&Plan>) -> Self {
        let targets = targets(inputs);
        let table: &'a MountTable = inputs.mounts;
        let root = table.visible(b"/").map(|mount| mount.device);
        let mut groups = Self { groups: group(table, &targets), root, layers: layers_of_root(table) };
        let steady = previous.filter(|plan| plan.directories == *inputs.directories);
        let choices: Vec<_> =
            groups.groups.values().map(|group| groups.choice(group, &targets, steady)).collect();
        for (group, choice) in groups.groups.values_mut().zip(choices) {
            group.choice = choice;
        }
        groups.share(inputs, &targets);
        groups.follow_storage(inputs, &targets);
        groups
    }

    /// Every group.
    pub(super) fn all(&self) -> impl Iterator<Item = &Group<'a>> {
        self.groups.values()
    }

    /// The groups that get a mark.
    pub(super) fn chosen(&self) -> impl Iterator<Item = &Group<'a>> {
        self.all().filter(|group| matches!(group.choice, Choice::Whole | Choice::Shared | Choice::Each))
    }

    /// True where no other superblock has this one's device number.
    pub(super) fn is_free_or(&self, device: Device, superblock: &Superblock) -> bool {
        self.groups.get(&device).is_none_or(|group| superblock.is_still(&group.mounts))
    }

    /// True where it is a layer of the filesystem at `/`.
    pub(super) fn holds_root(&self, device: Device) -> bool {
        self.layers.contains(&device)
    }

    /// The mount whose own directory `path` is hidden by what is mounted there, unless that mount is itself in a
    /// watched directory.
    pub(super) fn underneath(&self, table: &'a MountTable, path: &[u8]) -> Option<&'a Mount> {
        let lowest = table
            .mounts()
            .iter()
            .filter(|mount| mount.point == path)
            .filter_map(|mount| table.by_id(mount.parent))
            .find(|parent| parent.point != path)?;
        let group = self.groups.get(&lowest.device)?;
        (!group.inside.iter().any(|mount| mount.id == lowest.id)).then_some(lowest)
    }

    /// The choice from where it is mounted alone.
    fn choice(&self, group: &Group<'_>, targets: &[Vec<u8>], steady: Option<&Plan>) -> Choice {
        let Some(primary) = group.inside.first().or(group.mounts.first()) else { return Choice::Nothing };
        let kind = Kind::of(&primary.fs_type);
        if group.inside.is_empty() {
            return self.kept(group, kind, steady);
        }
        match kind {
            Kind::Kernel => return Choice::Passed(PassedOver::Kernel),
            Kind::Remote => return Choice::Passed(PassedOver::Remote),
            Kind::Memory | Kind::Disk | Kind::Layered => {}
        }
        if self.root == Some(group.device) {
            return Choice::Each;
        }
        if self.layers.contains(&group.device) {
            return Choice::Passed(PassedOver::HoldsRoot);
        }
        if self.kept(group, kind, steady) == Choice::Whole {
            return Choice::Whole;
        }
        // A table that does not show the root cannot tell a bind of it from a filesystem of its own.
        let may_be_root = self.root.is_none() && (kind != Kind::Memory || trimmed(&primary.root) != b"");
        let container = !group.at && group.inside.iter().any(|mount| is_of_container(mount, kind));
        let native = group.is_native(targets, steady.is_none());
        if may_be_root || container || !native { Choice::Each } else { Choice::Whole }
    }

    /// What had a filesystem mark keeps it, wherever it is mounted now.
    fn kept(&self, group: &Group<'_>, kind: Kind, steady: Option<&Plan>) -> Choice {
        let known = steady.and_then(|plan| plan.same_superblock(group));
        let may = self.root != Some(group.device) && !self.layers.contains(&group.device);
        match (known.map(|known| known.choice), kind) {
            (_, Kind::Kernel | Kind::Remote) => Choice::Nothing,
            (Some(Choice::Whole), _) if may => Choice::Whole,
            _ => Choice::Nothing,
        }
    }

    /// Watched directories that are a part of a larger filesystem, and those that a mount of theirs hides.
    fn share(&mut self, inputs: &Inputs<'a>, targets: &[Vec<u8>]) {
        for target in targets {
            let present = inputs
                .directories
                .watched
                .iter()
                .any(|one| one.state == State::Present && path_of(&one.path) == *target);
            if !present {
                continue;
            }
            if let Some(mount) = inputs.mounts.visible(target)
                && mount.point != *target
            {
                self.share_part(mount, target, inputs.settings.shared_filesystem);
            }
            if let Some(mount) = self.underneath(inputs.mounts, target) {
                self.share_part(mount, target, SharedFilesystem::Skip);
            }
        }
    }

    fn share_part(&mut self, mount: &Mount, target: &[u8], setting: SharedFilesystem) {
        let kind = Kind::of(&mount.fs_type);
        let root = self.root == Some(mount.device);
        // Nothing runs from a larger filesystem in memory (/dev) but what has no business there: that one is marked
        // without asking.
        let allowed = kind == Kind::Memory && !root && self.root.is_some();
        let asked = setting == SharedFilesystem::Mark
            && matches!(kind, Kind::Memory | Kind::Disk)
            && !renumbers(&mount.fs_type);
        if !(allowed || asked) || self.layers.contains(&mount.device) {
            return;
        }
        let Some(group) = self.groups.get_mut(&mount.device) else { return };
        if group.choice == Choice::Whole || group.inside.iter().any(|inside| inside.id == mount.id) {
            return;
        }
        if let Some(inner) = super::inner_path(mount, target) {
            group.choice = Choice::Shared;
            group.parts.push((inner, target.to_vec()));
        }
    }

    /// What lies in a file or directory of a watched filesystem is watched, wherever it is mounted, and so is what lies in
    /// a file of that one.
    fn follow_storage(&mut self, inputs: &Inputs<'a>, targets: &[Vec<u8>]) {
        for _ in 0..4 {
            let mut changed = false;
            for one in inputs.stored {
                let Some(name) = self.lies_in(one, inputs, targets) else { continue };
                let (root, layer) = (self.root == Some(one.device), self.layers.contains(&one.device));
                let Some(group) = self.groups.get_mut(&one.device) else { continue };
                // One that kept its mark has its name, too, after what it lies in: something may lie in it.
                let named = !group.inside.is_empty() || !group.parts.is_empty();
                if root || layer || (group.choice == Choice::Whole && named) {
                    continue;
                }
                group.choice = Choice::Whole;
                if group.inside.is_empty() {
                    group.parts.push((Vec::new(), name));
                }
                changed = true;
            }
            if !changed {
                return;
            }
        }
    }

    /// The name of that file or directory, if it lies in a watched filesystem.
    fn lies_in(&self, one: &Stored, inputs: &Inputs<'_>, targets: &[Vec<u8>]) -> Option<Vec<u8>> {
        let file = one.path.strip_suffix(b" (deleted)").unwrap_or(&one.path);
        let shown = inputs.mounts.visible(file);
        let device = one.on.or(shown.map(|mount| mount.device))?;
        let group = self.groups.get(&device)?;
        let in_target = is_in_any(file, targets);
        let watched = match group.choice {
            Choice::Whole => true,
            Choice::Shared => in_target,
            Choice::Each => {
                shown.is_some_and(|mount| group.inside.iter().any(|inside| inside.id == mount.id))
            }
            Choice::Nothing | Choice::Passed(_) => false,
        };
        let own = shown.is_some_and(|mount| mount.device == device);
        // The path can be another namespace's; then the place of the filesystem it lies in has to do.
        let elsewhere = || group.candidates().next().map(|(_, point)| point);
        watched.then(|| if own && in_target { Some(file.to_vec()) } else { elsewhere() }).flatten()
    }
}

impl<'a> Group<'a> {
    /// Directories of this superblock and the names they can have, the best first.
    pub(super) fn candidates(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + '_ {
        let most = if self.choice == Choice::Whole { 1 } else { self.inside.len() };
        let mounted =
            self.inside.iter().take(most).map(|mount| (trimmed(&mount.root).to_vec(), mount.point.clone()));
        self.parts.iter().cloned().chain(mounted)
    }

    /// The mounts through which it can be marked, the best first.
    pub(super) fn reach(&self) -> impl Iterator<Item = &'a Mount> + '_ {
        self.inside.iter().chain(&self.mounts).copied()
    }

    /// True where the superblock was brought here, and not a piece of something else bound here.
    fn is_native(&self, targets: &[Vec<u8>], first: bool) -> bool {
        if self.inside.len() == self.mounts.len() {
            return true;
        }
        // It is mounted outside as well. At the first look nobody knows which was first: over a watched directory
        // itself, too much is better than too little.
        let over = |mount: &&Mount| trimmed(&mount.root).is_empty() && targets.contains(&mount.point);
        if first && self.inside.iter().any(over) {
            return true;
        }
        let unique = self.mounts.iter().all(|mount| mount.unique.is_some());
        let oldest = match unique {
            true => self.mounts.iter().min_by_key(|mount| mount.unique),
            false => self.mounts.first(),
        };
        oldest.is_some_and(|oldest| self.inside.iter().any(|mount| mount.id == oldest.id))
    }
}

/// Where engines mount the root of a container: on `rootfs` (the OCI bundle's `root.path`), an overlay also on `merged`
/// (Docker, containers/storage).
fn is_of_container(mount: &Mount, kind: Kind) -> bool {
    match kind {
        Kind::Layered => mount.point.ends_with(b"/rootfs") || mount.point.ends_with(b"/merged"),
        Kind::Disk => mount.point.ends_with(b"/rootfs"),
        Kind::Memory | Kind::Kernel | Kind::Remote => false,
    }
}

/// The paths of the directories that can be watched, each once.
fn targets(inputs: &Inputs<'_>) -> Vec<Vec<u8>> {
    let mut targets = Vec::new();
    for one in &inputs.directories.watched {
        let path = path_of(&one.path);
        if matches!(one.state, State::Present | State::Missing) && !targets.contains(&path) {
            targets.push(path);
        }
    }
    targets
}

fn group<'a>(table: &'a MountTable, targets: &[Vec<u8>]) -> BTreeMap<Device, Group<'a>> {
    let mut groups: BTreeMap<Device, Group<'a>> = BTreeMap::new();
    for mount in table.mounts() {
        let group = groups.entry(mount.device).or_insert_with(|| Group {
            device: mount.device,
            mounts: Vec::new(),
            inside: Vec::new(),
            at: false,
            choice: Choice::Nothing,
            parts: Vec::new(),
        });
        group.mounts.push(mount);
        if is_in_any(&mount.point, targets) {
            group.inside.push(mount);
            group.at |= targets.contains(&mount.point);
        }
    }
    for group in groups.values_mut() {
        // Stable: what is equal stays in the order of the table.
        group.inside.sort_by_key(|mount| (!targets.contains(&mount.point), trimmed(&mount.root).len()));
    }
    groups
}

/// The superblocks in which the layers of an overlay at `/` lie.
fn layers_of_root(table: &MountTable) -> BTreeSet<Device> {
    let mut layers = BTreeSet::new();
    let Some(root) = table.visible(b"/") else { return layers };
    let mut open = vec![root];
    while let Some(mount) = open.pop() {
        for layer in mount.layers() {
            if let Some(below) = table.visible(&layer)
                && below.device != root.device
                && layers.insert(below.device)
            {
                open.push(below);
            }
        }
    }
    layers
}
