//! From mount table and configuration to marks and names; pure.
//!
//! Owns the choice of what carries a mark, and of which kind. A *filesystem mark* sees every way to run a file of that
//! superblock, in whatever mount namespace; a *mount mark* sees one mount in one namespace, and no copy of it. So:
//!
//! - A filesystem mark for what is mounted on or below a watched directory and is at home there: tmpfs, ramfs, and
//!   disks and overlays (engines of containers mount those too, on a directory named `rootfs` or, an overlay, `merged`:
//!   there a mount mark, which the container, living in a copy of the mount, never meets). A filesystem that lies in a loop device over a
//!   file of a watched filesystem gets one wherever it is mounted.
//! - A mount mark for a piece of another filesystem that is bound into a watched directory: the rest of it is none of our
//!   business.
//! - Never a filesystem mark for the filesystem at `/` (but for `shared_filesystem = "mark"`), nor for what holds a
//!   layer of it: every program of the host would be judged. From Linux 6.5 on an overlay needs no mark for the sake of
//!   its layers: a run from it raises the event of the layer. Before, it gets one if a layer is watched.
//! - Nothing for what only the kernel fills (proc, nsfs...), nor for FUSE and network filesystems: see `kinds.rs`.
//!
//! Names stay: a later mount of a superblock never changes the names of its files, so the plan takes its predecessor.
//! May not do I/O. Called by the daemon at start, at a reload and whenever the mount table changed.

#![forbid(unsafe_code)]

mod choice;
mod kinds;
mod scope;
mod words;

pub use scope::{Placement, Scope, spellings};
pub use words::{
    Change, Coverage, Covered, Foreign, Inputs, LeftOut, Mark, MarkKind, Passed, PassedOver, Plan, Reason,
    Settings, SharedFilesystem, Stored,
};

use choice::{Group, Groups};
use kinds::Kind;
use scope::trimmed;
use words::{Choice, Named, Seen, Superblock, path_of};

use super::links::{Directory, State};
use super::mounts::{Mount, MountTable, below, is_in_any};
use crate::event::Device;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

/// How many superblocks that are mounted nowhere any more keep their names. They can live on, detached or in another
/// mount namespace, with our mark.
const REMEMBERED: usize = 1024;

/// What is to be marked now, what is not and why, and the names of the files. `previous` is the plan before this one:
/// it keeps names steady and marks where they are.
#[must_use]
pub fn plan(inputs: &Inputs<'_>, previous: Option<&Plan>) -> Plan {
    let groups = Groups::choose(inputs, previous);
    let mut plan = Plan { directories: inputs.directories.clone(), ..Plan::default() };
    plan.superblocks = superblocks(inputs, &groups, previous);
    place_marks(&mut plan, inputs.mounts, &groups);
    remember(&mut plan, &groups, previous);
    plan.scope = scope_of(inputs, &plan.superblocks);
    for directory in &inputs.directories.watched {
        cover(&mut plan, inputs, &groups, directory);
    }
    plan.mounted = inputs.mounts.mounts().iter().map(Seen::of).collect();
    plan
}

/// What to do to get from the marks of one plan to those of the next.
#[must_use]
pub fn changes(old: &Plan, new: &Plan) -> Vec<Change> {
    let known: HashMap<_, _> = old.marks.iter().map(|mark| (mark.identity(), mark)).collect();
    let wanted: HashSet<_> = new.marks.iter().map(Mark::identity).collect();
    let mut changes: Vec<_> = new
        .marks
        .iter()
        .map(|mark| match known.get(&mark.identity()) {
            Some(known) if mark.is_kept_by(known) => Change::Keep(mark.clone()),
            Some(_) => Change::Renew(mark.clone()),
            None => Change::Add(mark.clone()),
        })
        .collect();
    for mark in old.marks.iter().filter(|mark| !wanted.contains(&mark.identity())) {
        changes.push(match new.mounted.iter().any(|seen| seen.carries(mark)) {
            true => Change::Remove(mark.clone()),
            false => Change::Gone(mark.clone()),
        });
    }
    changes
}

/// True for a filesystem whose answers come from a process or another machine: a look at it can block for ever.
#[must_use]
pub fn is_remote(fs_type: &[u8]) -> bool {
    Kind::of(fs_type) == Kind::Remote
}

/// What is known of each superblock that is chosen: its number and its named directories.
fn superblocks(
    inputs: &Inputs<'_>,
    groups: &Groups<'_>,
    previous: Option<&Plan>,
) -> BTreeMap<Device, Superblock> {
    let highest = previous.and_then(|plan| plan.superblocks.values().map(|one| one.number).max());
    let mut next = highest.unwrap_or(0) + 1;
    // With other directories configured, the old names may mean nothing any more.
    let steady = previous.is_some_and(|plan| plan.directories == *inputs.directories);
    let mut superblocks = BTreeMap::new();
    for group in groups.chosen() {
        let known = previous.and_then(|plan| plan.same_superblock(group));
        let number = known.map_or(next, |known| known.number);
        next += u64::from(known.is_none());
        let named = known.filter(|_| steady).map(|known| known.named.as_slice()).unwrap_or_default();
        let superblock = Superblock {
            number,
            choice: group.choice,
            present: true,
            mounts: group.mounts.iter().map(|mount| Seen::of(mount)).collect(),
            named: names_of(group, named),
        };
        superblocks.insert(group.device, superblock);
    }
    superblocks
}

/// The directories that give the files of a superblock their names. What is already named keeps its name. A superblock
/// that belongs to the watched directories gets no further ones: a part of it that had no name (its first mount did
/// not show it) could else be given an excepted one.
fn names_of(group: &Group<'_>, known: &[Named]) -> Vec<Named> {
    let candidates: Vec<Named> = group.candidates().map(|(inner, point)| Named { inner, point }).collect();
    let mounted: HashSet<&Named> = candidates.iter().collect();
    let kept = |named: &&Named| group.choice != Choice::Each || mounted.contains(named);
    let mut named: Vec<Named> = known.iter().filter(kept).cloned().collect();
    if group.choice == Choice::Whole && !named.is_empty() {
        return named;
    }
    for candidate in &candidates {
        if !named.iter().any(|known| below(&candidate.inner, &known.inner).is_some()) {
            named.push(candidate.clone());
        }
    }
    named
}

fn place_marks(plan: &mut Plan, table: &MountTable, groups: &Groups<'_>) {
    for group in groups.all() {
        match group.choice {
            Choice::Nothing => {}
            Choice::Passed(why) => {
                for mount in &group.inside {
                    plan.passed_over.push(Passed::of(mount, why));
                }
            }
            Choice::Whole | Choice::Shared => {
                let number = plan.number_of(group.device);
                let seen = group.reach().find(|mount| table.is_visible(mount));
                if let Some(mount) = seen.or_else(|| group.reach().next()) {
                    plan.marks.push(Mark {
                        whole_filesystem_shared: group.choice == Choice::Shared,
                        covered: seen.is_none(),
                        ..Mark::of(MarkKind::Filesystem, mount, number)
                    });
                }
            }
            Choice::Each => {
                let number = plan.number_of(group.device);
                for mount in &group.inside {
                    if table.is_visible(mount) {
                        plan.marks.push(Mark::of(MarkKind::Mount, mount, number));
                    } else {
                        plan.passed_over.push(Passed::of(mount, PassedOver::Hidden));
                    }
                }
            }
        }
    }
}

/// Keeps the names of superblocks that went away: detached, or alive in another namespace, they still carry our mark.
fn remember(plan: &mut Plan, groups: &Groups<'_>, previous: Option<&Plan>) {
    let Some(previous) = previous else { return };
    let steady = previous.directories == plan.directories;
    let mut gone: Vec<_> = previous
        .superblocks
        .iter()
        .filter(|(device, old)| {
            // With other directories, a larger filesystem must lie outside until its mark is gone; the rest may be
            // judged a moment longer.
            (matches!(old.choice, Choice::Shared | Choice::Each) || (old.choice == Choice::Whole && steady))
                && !plan.superblocks.contains_key(device)
                // If its number is in use by another superblock, it is gone for good.
                && groups.is_free_or(**device, old)
        })
        .map(|(device, old)| {
            // Only a mount that was watched and is nowhere now can still be seen: its files are in no watched directory.
            let named = if steady && old.choice != Choice::Each { old.named.clone() } else { Vec::new() };
            (*device, Superblock { present: false, named, ..old.clone() })
        })
        .collect();
    // One of which only mounts were watched costs least to forget.
    gone.sort_by_key(|(_, old)| (old.choice == Choice::Each, std::cmp::Reverse(old.number)));
    plan.superblocks.extend(gone.into_iter().take(REMEMBERED));
}

fn scope_of(inputs: &Inputs<'_>, superblocks: &BTreeMap<Device, Superblock>) -> Scope {
    let mut watched: Vec<Vec<u8>> = Vec::new();
    for directory in &inputs.directories.watched {
        let path = path_of(&directory.path);
        if matches!(directory.state, State::Present | State::Missing) && !watched.contains(&path) {
            watched.push(path);
        }
    }
    let mut builder = scope::Builder::new(&inputs.directories.links, &watched, inputs.mounts.namespace());
    let taken = |device| inputs.foreign.iter().any(|foreign| foreign.device == device);
    for (device, superblock) in superblocks.iter().filter(|(device, one)| one.present || !taken(**device)) {
        builder.superblock(*device, superblock.choice == Choice::Shared);
        if !superblock.present {
            builder.is_gone(*device);
        }
        match superblock.choice {
            Choice::Each => {
                builder.only_mounts(*device);
                for mount in superblock.mounts.iter().filter(|mount| is_in_any(&mount.point, &watched)) {
                    builder.shows(*device, &mount.root, &mount.point);
                }
            }
            Choice::Whole => builder.shown_whole(*device, superblock.mounts.iter().filter_map(Seen::whole)),
            Choice::Shared | Choice::Nothing | Choice::Passed(_) => {}
        }
        for named in &superblock.named {
            builder.add(*device, superblock.choice == Choice::Shared, &named.inner, &named.point);
        }
    }
    for foreign in inputs.foreign {
        // The number of one that went away can be in use again, and the finder has just seen this one.
        if superblocks.get(&foreign.device).is_none_or(|known| !known.present) {
            builder.add(foreign.device, false, b"", &foreign.point);
            builder.is_in(foreign.device, foreign.namespace);
        }
    }
    builder.build()
}

/// Says by which mark a configured directory is covered, or why by none.
fn cover(plan: &mut Plan, inputs: &Inputs<'_>, groups: &Groups<'_>, directory: &Directory) {
    let found = match &directory.state {
        State::Present => cover_path(plan, inputs, groups, &directory.path),
        // Where it would be is watched already: what appears there is, too.
        State::Missing => cover_path(plan, inputs, groups, &directory.path)
            .ok()
            .filter(|index| plan.marks.get(*index).is_some_and(|mark| !mark.whole_filesystem_shared))
            .ok_or(Reason::Missing),
        State::NotDirectory => Err(Reason::NotDirectory),
        State::TooManyLinks => Err(Reason::TooManyLinks),
        State::ForeignLink(link) => Err(Reason::ForeignLink(link.clone())),
        State::Relative => Err(Reason::Relative),
        State::Unreadable(errno) => Err(Reason::Unreadable(*errno)),
    };
    let by = match found {
        Ok(index) => Covered::Mark(index),
        Err(reason) => {
            plan.left_out.push(LeftOut::new(directory, reason));
            Covered::LeftOut(plan.left_out.len() - 1)
        }
    };
    let underneath = matches!(directory.state, State::Present)
        .then(|| groups.underneath(inputs.mounts, &path_of(&directory.path)))
        .flatten()
        .filter(|mount| plan.mark_of(mount).is_none())
        .map(|mount| path_of_bytes(&mount.point));
    plan.coverage.push(Coverage {
        configured: directory.configured.clone(),
        path: directory.path.clone(),
        by,
        unwatched_underneath: underneath,
    });
}

fn cover_path(plan: &Plan, inputs: &Inputs<'_>, groups: &Groups<'_>, path: &Path) -> Result<usize, Reason> {
    let path = path_of(path);
    let mount = inputs.mounts.visible(&path).ok_or(Reason::NotInTable)?;
    if let Some(index) = plan.mark_of(mount)
        && plan.reaches(index, mount, &path)
    {
        return Ok(index);
    }
    let fs_type = String::from_utf8_lossy(&mount.fs_type).into_owned();
    let own = mount.point == path;
    Err(match (Kind::of(&mount.fs_type), own) {
        (Kind::Remote, _) => Reason::Remote { fs_type },
        (Kind::Kernel, _) => Reason::Kernel { fs_type },
        _ if groups.holds_root(mount.device) => Reason::HoldsRoot { fs_type },
        (_, false) if inputs.settings.shared_filesystem == SharedFilesystem::Mark => {
            Reason::Renumbers { fs_type }
        }
        (_, false) => Reason::Larger { point: path_of_bytes(&mount.point), fs_type },
        (_, true) => Reason::NotInTable,
    })
}

fn path_of_bytes(bytes: &[u8]) -> std::path::PathBuf {
    words::bytes_path(bytes)
}

impl Plan {
    /// The index of the mark that sees runs through this mount.
    fn mark_of(&self, mount: &Mount) -> Option<usize> {
        self.marks.iter().position(|mark| match mark.kind {
            MarkKind::Filesystem => mark.device == mount.device,
            MarkKind::Mount => mark.mount_id == mount.id,
        })
    }

    /// The name of a file in which another filesystem lies, if that file lies in a watched one: its path where that is
    /// below the directory that names the files of its superblock, else that directory. Only the superblock decides: the
    /// path can be another namespace's.
    #[must_use]
    pub fn holds(&self, image: &Stored) -> Option<Vec<u8>> {
        let on = image.on?;
        // One that the plan does not know was found in another namespace.
        let whole = self.superblocks.get(&on).is_none_or(|known| known.choice == Choice::Whole);
        let directory = self.scope.directory(on).filter(|_| whole)?;
        let path = image.path.strip_suffix(b" (deleted)").unwrap_or(&image.path);
        Some(if below(path, directory).is_some() { path } else { directory }.to_vec())
    }

    /// A shared filesystem is watched in parts only.
    fn reaches(&self, mark: usize, mount: &Mount, path: &[u8]) -> bool {
        let shared = self.marks.get(mark).is_some_and(|mark| mark.whole_filesystem_shared);
        let named = |inner: &[u8]| {
            let known = self.superblocks.get(&mount.device);
            known.is_some_and(|one| one.named.iter().any(|named| below(inner, &named.inner).is_some()))
        };
        !shared || inner_path(mount, path).is_some_and(|inner| named(&inner))
    }

    fn number_of(&self, device: Device) -> u64 {
        self.superblocks.get(&device).map_or(0, |one| one.number)
    }

    /// What the plan knows of this group's superblock, if it is the same one and not another that got its number.
    fn same_superblock(&self, group: &Group<'_>) -> Option<&Superblock> {
        let known = self.superblocks.get(&group.device).filter(|one| one.present)?;
        known.is_still(&group.mounts).then_some(known)
    }
}

/// The path inside the superblock of a path seen through `mount`; the root is empty.
fn inner_path(mount: &Mount, path: &[u8]) -> Option<Vec<u8>> {
    let rest = below(path, &mount.point)?;
    Some([trimmed(&mount.root), trimmed(rest)].concat())
}

#[cfg(test)]
mod tests;
