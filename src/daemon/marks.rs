//! Keeps the group's marks as the mount table asks: at start, when a mount comes or goes, and after a reload.
//!
//! What each mark should be is planned in [`crate::watch::plan`], which is pure; here the plan is carried out, and what
//! the kernel refused is kept as a problem until it holds.

use std::fs;
use std::io;
use std::sync::Arc;

use crate::event::Timestamp;
use crate::notify::{self, Group};
use crate::sys::clock;
use crate::watch::mounts::MountTable;
use crate::watch::plan::{self, Change, Directories, Mark, Plan, Scope, Settings};

/// The marks in force.
#[derive(Debug)]
pub struct Marks {
    group: Arc<Group>,
    directories: Directories,
    settings: Settings,
    plan: Plan,
    held: Vec<Held>,
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

impl Marks {
    /// No marks yet; [`Marks::refresh`] sets them.
    #[must_use]
    pub fn new(group: Arc<Group>, directories: Directories, settings: Settings) -> Self {
        Self { group, directories, settings, plan: Plan::default(), held: Vec::new() }
    }

    /// Watches other directories, or in another way, from the next refresh on.
    pub fn watch(&mut self, directories: Directories, settings: Settings) {
        self.directories = directories;
        self.settings = settings;
    }

    /// Reads the mount table and sets the marks that follow from it.
    ///
    /// # Errors
    /// /proc/self/mountinfo can't be read; the marks stay as they are.
    pub fn refresh(&mut self) -> io::Result<Changed> {
        let table = MountTable::parse(&fs::read("/proc/self/mountinfo")?);
        let next = plan::plan(&self.directories, &table, &self.settings, Some(&self.plan));
        let mut changed = Changed::default();
        let wanted: Vec<Mark> = self.held.iter().filter(|held| held.refused.is_none()).map(|held| held.mark.clone()).collect();
        self.held.retain(|held| held.refused.is_none());
        for change in plan::changes(&wanted, &next.marks) {
            match change {
                Change::Add(mark) => self.add(mark, &mut changed),
                Change::Drop(mark) => self.drop_mark(&mark, &mut changed),
            }
        }
        self.plan = next;
        Ok(changed)
    }

    /// The scope that the marks in force give.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.plan.scope.clone()
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
    pub fn clear(&mut self) {
        for held in self.held.drain(..) {
            // A mark on a filesystem that is gone went with it.
            let _removed = self.group.unmark(kind(&held.mark), &held.mark.path);
        }
    }

    fn add(&mut self, mark: Mark, changed: &mut Changed) {
        let refused = self.group.mark(kind(&mark), &mark.path).err();
        match &refused {
            None => changed.added.push(mark.clone()),
            Some(error) => changed.refused.push((mark.clone(), copy(error))),
        }
        self.held.push(Held { mark, since: Timestamp(clock::realtime()), refused });
    }

    fn drop_mark(&mut self, mark: &Mark, changed: &mut Changed) {
        // The superblock may live on in another namespace and stays marked then: it is still the one that was watched.
        // A mark that its unmount took away is dropped by the kernel.
        self.held.retain(|held| held.mark != *mark);
        changed.dropped.push(mark.clone());
    }
}

fn kind(mark: &Mark) -> notify::MarkKind {
    match mark.kind {
        plan::MarkKind::Filesystem => notify::MarkKind::Filesystem,
        plan::MarkKind::Mount => notify::MarkKind::Mount,
    }
}

fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::from(error.kind()), io::Error::from_raw_os_error)
}
