//! Keeps the groups' marks as the mount table asks: at start, when a mount comes or goes, and after a reload. The group
//! for opens, where there is one, gets the same marks, but for those through which it must not ask ([`Mark::sees_opens`]).
//!
//! What each mark should be is planned in [`crate::watch::plan`], which is pure; here the plan is carried out, and what
//! the kernel refused is kept as a problem until it holds. The watched directories of other mount namespaces are found by
//! [`crate::watch::namespaces`] and marked through the descriptors that it hands out.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use crate::event::{Device, Timestamp};
use crate::notify::{self, Group};
use crate::sys::clock;
use crate::watch::links::Directories;
use crate::watch::mounts::{Mount, MountTable};
use crate::watch::namespaces::Namespaces;
use crate::watch::place::{self, View};
use crate::watch::plan::{self, Change, Inputs, Mark, Plan, Scope, Settings};
use crate::watch::storage;

/// The marks in force.
#[derive(Debug)]
pub struct Marks {
    group: Arc<Group>,
    opens: Option<Arc<Group>>,
    /// Another group for opens than at the last refresh.
    renewed: bool,
    view: View,
    directories: Directories,
    settings: Settings,
    plan: Plan,
    held: Vec<Held>,
    /// The table that the plan was made from.
    table: MountTable,
    /// Other mount namespaces; `None` where they are not watched.
    namespaces: Option<Namespaces>,
    foreign: Vec<Held>,
}

/// One mark and how it fares.
#[derive(Debug)]
pub struct Held {
    /// What it is on.
    pub mark: Mark,
    /// Since when.
    pub since: Timestamp,
    /// Why the kernel refused it.
    pub refused: Option<io::Error>,
    /// Why it refused the one for opens.
    pub opens_refused: Option<io::Error>,
}

impl Held {
    fn is_in_force(&self) -> bool {
        self.refused.is_none() && self.opens_refused.is_none()
    }
}

/// What a refresh changed.
#[derive(Debug, Default)]
pub struct Changed {
    /// Marks that are in place now.
    pub added: Vec<Mark>,
    /// Marks that are gone.
    pub dropped: Vec<Mark>,
    /// Marks that the kernel refused.
    pub refused: Vec<(Mark, io::Error)>,
}

/// How often a table is read again because it changed while marks were set from it. A host whose mounts change faster
/// is looked at again at the next change anyway.
const ATTEMPTS: usize = 5;

/// How many hidden mounts are opened together, through one copy of the namespace: each needs a descriptor.
const TOGETHER: usize = 256;

impl Marks {
    /// No marks, and nothing to watch yet: [`Marks::watch`] says what, [`Marks::refresh`] sets them.
    #[must_use]
    pub fn new(group: Arc<Group>, view: View) -> Self {
        Self {
            group,
            opens: None,
            renewed: false,
            view,
            directories: Directories::default(),
            settings: Settings::default(),
            plan: Plan::empty(),
            held: Vec::new(),
            table: MountTable::default(),
            namespaces: None,
            foreign: Vec::new(),
        }
    }

    /// What to watch, and how, from the next refresh on; `containers`: in other mount namespaces too.
    ///
    /// # Errors
    /// Our own namespaces can't be told, so that others could not be told from them.
    pub fn watch(
        &mut self,
        directories: Directories,
        settings: Settings,
        containers: bool,
    ) -> io::Result<()> {
        self.namespaces = if containers { Some(Namespaces::new(&directories, &self.view)?) } else { None };
        self.directories = directories;
        self.settings = settings;
        Ok(())
    }

    /// Looks for the watched directories in other mount namespaces, where they are watched: what is new there is marked.
    /// Cheap where nothing has changed.
    ///
    /// # Errors
    /// The namespaces can't be listed; the marks stay as they are.
    pub fn look_around(&mut self, mut put_in_force: impl FnMut(Scope)) -> io::Result<Changed> {
        let mut changed = Changed::default();
        let Some(namespaces) = &mut self.namespaces else { return Ok(changed) };
        let plan = &self.plan;
        let stored = |mount: &Mount| storage::images(mount).iter().find_map(|image| plan.holds(image));
        let scan = namespaces.scan(&self.table, &stored)?;
        if scan.changed {
            let known = namespaces.foreign();
            let is_there = |held: &Held| known.iter().any(|foreign| foreign.device == held.mark.device);
            changed.dropped =
                self.foreign.extract_if(.., |held| !is_there(held)).map(|held| held.mark).collect();
            let table = std::mem::take(&mut self.table);
            self.follow(&table, &mut put_in_force, &mut changed);
            self.table = table;
        }
        for found in scan.found {
            let path = place::path_of(&found.fd);
            let refused = self.group.mark(kind(&found.mark), &path).err();
            let opens = self.opens.as_ref().filter(|_| found.mark.sees_opens());
            let opens_refused = opens.and_then(|opens| opens.mark(kind(&found.mark), &path).err());
            if self.foreign.iter().any(|held| held.mark.device == found.mark.device && held.refused.is_none())
            {
                continue;
            }
            match &refused {
                None => changed.added.push(found.mark.clone()),
                Some(error) => changed.refused.push((found.mark.clone(), copy(error))),
            }
            self.foreign.retain(|held| held.mark.device != found.mark.device);
            let since = Timestamp(clock::realtime());
            self.foreign.push(Held { mark: found.mark, since, refused, opens_refused });
        }
        Ok(changed)
    }

    /// The group that carries the marks.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// The mounts that are followed are those of process 1, ours being a copy.
    #[must_use]
    pub fn of_the_host(&self) -> bool {
        !self.view.is_own()
    }

    /// The marks in other mount namespaces.
    #[must_use]
    pub fn foreign(&self) -> &[Held] {
        &self.foreign
    }

    /// Watches opens through this group too, or no more, from the next refresh on.
    pub fn watch_opens(&mut self, opens: Option<Arc<Group>>) {
        self.renewed = opens.is_some();
        self.opens = opens;
    }

    /// Reads the mount table and sets the marks that follow from it. `put_in_force` gets the scope after old marks are
    /// gone and before new ones are there: a file of a filesystem that the scope does not know counts as watched, and
    /// with `shared_filesystem = "mark"` that would be every program of the host.
    ///
    /// # Errors
    /// The mount table can't be read; the marks stay as they are.
    pub fn refresh(&mut self, mut put_in_force: impl FnMut(Scope)) -> io::Result<Changed> {
        let mut changed = Changed::default();
        for _ in 0..ATTEMPTS {
            let table = self.view.table()?;
            let steady = self.follow(&table, &mut put_in_force, &mut changed);
            self.table = table;
            if steady {
                break;
            }
        }
        Ok(changed)
    }

    /// Sets the marks of one table. False: the table had changed by then.
    fn follow(
        &mut self,
        table: &MountTable,
        put_in_force: &mut impl FnMut(Scope),
        changed: &mut Changed,
    ) -> bool {
        let inputs = Inputs {
            directories: &self.directories,
            mounts: table,
            stored: &storage::stored(table),
            foreign: &self.namespaces.as_ref().map(Namespaces::foreign).unwrap_or_default(),
            settings: self.settings,
        };
        let next = plan::plan(&inputs, Some(&self.plan));
        let well: HashSet<MarkKey> =
            self.held.iter().filter(|held| held.is_in_force()).map(|held| key(&held.mark)).collect();
        let (mut wanted, mut gone) = (Vec::new(), HashSet::new());
        for change in plan::changes(&self.plan, &next) {
            match change {
                Change::Add(mark) | Change::Renew(mark) => wanted.push(mark),
                Change::Keep(mark) if self.renewed || !well.contains(&key(&mark)) => wanted.push(mark),
                Change::Keep(_) => {}
                Change::Remove(mark) => {
                    if let Ok(found) = self.view.open(&mark, table) {
                        for group in [Some(&self.group), self.opens.as_ref()].into_iter().flatten() {
                            // What is not there any more carries no mark.
                            let _removed = group.unmark(kind(&mark), &place::path_of(&found));
                        }
                    }
                    gone.insert(key(&mark));
                    changed.dropped.push(mark);
                }
                Change::Gone(mark) => {
                    gone.insert(key(&mark));
                    changed.dropped.push(mark);
                }
            }
        }
        self.held.retain(|held| !gone.contains(&key(&held.mark)));
        put_in_force(next.scope.clone());
        self.plan = next;
        let mut steady = true;
        // What can be reached comes first: somebody may be about to execute from it.
        let (hidden, plain): (Vec<Mark>, Vec<Mark>) = wanted.into_iter().partition(|mark| mark.covered);
        for mark in plain {
            let found = self.view.open(&mark, table);
            steady &= self.place(mark, found, changed);
        }
        for some in hidden.chunks(TOGETHER) {
            let found = self.view.open_hidden(&some.iter().collect::<Vec<_>>(), table);
            for (mark, found) in some.iter().zip(found) {
                steady &= self.place(mark.clone(), found, changed);
            }
        }
        self.renewed = false;
        steady
    }

    /// The plan in force: left-out directories are told from it.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Every mark, refused ones too.
    #[must_use]
    pub fn held(&self) -> &[Held] {
        &self.held
    }

    /// Takes every mark away: no further exec raises an event.
    ///
    /// # Errors
    /// What fanotify_mark(2) says; events then go on coming until the group is closed.
    pub fn clear(&mut self) -> io::Result<()> {
        self.held.clear();
        self.foreign.clear();
        let opens = self.opens.as_ref().map_or(Ok(()), |opens| opens.unmark_all());
        self.group.unmark_all().and(opens)
    }

    /// Sets a mark on what was opened for it. False: what the table shows is not there any more.
    fn place(&mut self, mark: Mark, found: io::Result<OwnedFd>, changed: &mut Changed) -> bool {
        let opens = self.opens.as_ref().filter(|_| mark.sees_opens());
        let mut opens_refused = None;
        let result = found.and_then(|found| {
            let path = place::path_of(&found);
            opens_refused = opens.and_then(|opens| opens.mark(kind(&mark), Path::new(&path)).err());
            self.group.mark(kind(&mark), Path::new(&path))
        });
        let stale = matches!(&result, Err(error) if is_stale(error));
        let known = self.held.iter_mut().find(|held| key(&held.mark) == key(&mark));
        let refused = result.err();
        match (known, refused) {
            (Some(held), refused) => {
                if held.refused.is_some() && refused.is_none() {
                    changed.added.push(mark.clone());
                }
                held.mark = mark;
                held.refused = refused;
                held.opens_refused = opens_refused;
            }
            (None, refused) => {
                match &refused {
                    None => changed.added.push(mark.clone()),
                    Some(error) if !stale => changed.refused.push((mark.clone(), copy(error))),
                    Some(_) => {}
                }
                let since = Timestamp(clock::realtime());
                self.held.push(Held { mark, since, refused, opens_refused });
            }
        }
        !stale
    }
}

fn kind(mark: &Mark) -> notify::MarkKind {
    match mark.kind {
        plan::MarkKind::Filesystem => notify::MarkKind::Filesystem,
        plan::MarkKind::Mount => notify::MarkKind::Mount,
    }
}

/// What makes two marks the same, whatever path leads to them at the moment: the superblock, and the mount where the mark
/// is one of a mount.
type MarkKey = (Device, u64, Option<u32>);

fn key(mark: &Mark) -> MarkKey {
    let mount = (mark.kind == plan::MarkKind::Mount).then_some(mark.mount_id);
    (mark.device, mark.superblock, mount)
}

/// Something else is at the mark's path by now, or nothing.
fn is_stale(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ESTALE | libc::ENOENT))
}

fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::from(error.kind()), io::Error::from_raw_os_error)
}
