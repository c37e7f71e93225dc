//! How to get at mounts that others hide: which to take away, one after the other, in a copy of the namespace.
//!
//! Pure, like the table. One list of steps for all hidden mounts, because a copy of the namespace and each unmount in it
//! cost, and mounts can be stacked by the thousand.

use super::{Mount, MountTable, prefixes};
use std::collections::{HashMap, HashSet};

/// One step in the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Unmount what this path leads to, with what stands on it.
    Unmount(&'a [u8]),
    /// Now the own path of this mount leads to it.
    Reach(&'a Mount),
}

impl MountTable {
    /// The steps after which each of the hidden mounts was reached once. One that cannot be reached is left out: its
    /// directory was removed, or the table is not a tree.
    #[must_use]
    pub fn uncovering<'a>(&'a self, hidden: &[&'a Mount]) -> Vec<Step<'a>> {
        let mut rest = Rest::of(self);
        let mut waiting: HashSet<u32> = hidden.iter().map(|mount| mount.id).collect();
        let mut steps = Vec::new();
        for first in hidden {
            // What stands in the way of one can carry others that are to be reached as well: those come first.
            let mut goals = vec![*first];
            while let Some(goal) = goals.last().copied() {
                if !waiting.contains(&goal.id) {
                    goals.pop();
                    continue;
                }
                if rest.visible(&goal.point).is_some_and(|seen| seen.id == goal.id) {
                    steps.push(Step::Reach(goal));
                    waiting.remove(&goal.id);
                    continue;
                }
                let Some(obstacle) = rest.obstacle(goal) else {
                    waiting.remove(&goal.id);
                    continue;
                };
                let falling = rest.standing_on(obstacle);
                match falling.iter().find(|mount| waiting.contains(&mount.id) && !goals.contains(mount)) {
                    Some(other) => goals.push(other),
                    None => {
                        steps.push(Step::Unmount(&obstacle.point));
                        rest.gone.extend(falling.iter().map(|mount| mount.id));
                    }
                }
            }
        }
        steps
    }
}

/// What is left of a table.
struct Rest<'a> {
    table: &'a MountTable,
    /// What stands on each mount, in the order of the table.
    children: HashMap<u32, Vec<&'a Mount>>,
    /// And where.
    places: HashMap<u32, HashMap<&'a [u8], Vec<&'a Mount>>>,
    gone: HashSet<u32>,
    /// The mounts that each path led through, with the length of the prefix that led to them.
    walks: HashMap<&'a [u8], Vec<(usize, &'a Mount)>>,
}

impl<'a> Rest<'a> {
    fn of(table: &'a MountTable) -> Self {
        let mut children: HashMap<u32, Vec<&Mount>> = HashMap::new();
        let mut places: HashMap<u32, HashMap<&[u8], Vec<&Mount>>> = HashMap::new();
        for mount in table.mounts().iter().filter(|mount| mount.parent != mount.id) {
            children.entry(mount.parent).or_default().push(mount);
            places.entry(mount.parent).or_default().entry(&mount.point).or_default().push(mount);
        }
        Self { table, children, places, gone: HashSet::new(), walks: HashMap::new() }
    }

    /// As [`MountTable::visible`]. Goes on where the last walk to this path ended, less what is gone since.
    fn visible(&mut self, path: &'a [u8]) -> Option<&'a Mount> {
        let mut walk = self.walks.remove(path).unwrap_or_default();
        while walk.last().is_some_and(|(_, mount)| self.gone.contains(&mount.id)) {
            walk.pop();
        }
        let from = walk.last().map_or(0, |(prefix, _)| *prefix);
        for prefix in prefixes(path).filter(|prefix| prefix.len() >= from) {
            // What is mounted over the root directory of a process is not seen by it.
            while (prefix != b"/" || walk.is_empty()) && walk.len() <= self.table.mounts.len() {
                let at = walk.last().map(|(_, mount)| *mount);
                match self.step(at, prefix) {
                    Some(next) if at.is_none_or(|at| at.id != next.id) => walk.push((prefix.len(), next)),
                    _ => break,
                }
            }
        }
        let end = walk.last().map(|(_, mount)| *mount);
        self.walks.insert(path, walk);
        end
    }

    fn step(&mut self, at: Option<&'a Mount>, prefix: &[u8]) -> Option<&'a Mount> {
        let Some(at) = at else {
            let top = self.table.step(None, prefix).and_then(|top| self.table.mounts.get(top));
            return top.filter(|top| !self.gone.contains(&top.id));
        };
        let stack = self.places.get_mut(&at.id)?.get_mut(prefix)?;
        while stack.last().is_some_and(|mount| self.gone.contains(&mount.id)) {
            stack.pop();
        }
        stack.last().copied()
    }

    /// The first mount on the way to `goal` that it does not stand on.
    fn obstacle(&mut self, goal: &'a Mount) -> Option<&'a Mount> {
        let table = self.table;
        let mut chain = HashSet::from([goal.id]);
        let mut at = goal;
        while let Some(parent) = table.by_id(at.parent).filter(|parent| chain.insert(parent.id)) {
            at = parent;
        }
        prefixes(&goal.point)
            .filter_map(|prefix| self.visible(prefix))
            .find(|mount| !chain.contains(&mount.id))
    }

    /// The mount and everything that stands on it.
    fn standing_on(&self, mount: &'a Mount) -> Vec<&'a Mount> {
        let mut all = vec![mount];
        let mut known = HashSet::from([mount.id]);
        let mut next = 0;
        while let Some(at) = all.get(next) {
            let above = self.children.get(&at.id).into_iter().flatten();
            let above: Vec<_> = above
                .filter(|mount| !self.gone.contains(&mount.id) && known.insert(mount.id))
                .copied()
                .collect();
            all.extend(above);
            next += 1;
        }
        all
    }
}
