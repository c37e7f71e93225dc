//! Says that the mount table has changed.
//!
//! Where the kernel has it (6.14) a notification-class fanotify group on the mount namespace tells of each mount that
//! comes or goes; else a poll of the mount table does (proc_pid_mountinfo(5)), a little later and for every remount too.
//! Owns that descriptor. What changed is not asked for: the table is read again, because a list of changes can overflow
//! and a table cannot. Called by the daemon's loop.

use super::place::View;
use crate::sys;
use nix::poll::PollFlags;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Says that the mount table has changed.
#[derive(Debug)]
pub struct Monitor {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Group(OwnedFd),
    Table(File),
}

/// By what a change is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// A fanotify group on the mount namespace.
    Events,
    /// A poll of the mount table.
    Poll,
}

impl Monitor {
    /// Begins to listen, by the best means that this kernel has. What changes after this call is told. So it is made
    /// before the table is read for the first time.
    pub fn new(view: &View) -> io::Result<Self> {
        let group = sys::mounts::mount_events().and_then(|group| {
            sys::mounts::tell_of_mounts(group.as_fd(), &view.namespace())?;
            Ok(group)
        });
        match group {
            Ok(group) => Ok(Self { source: Source::Group(group) }),
            Err(_) => Self::polling(view),
        }
    }

    /// The means that every kernel has.
    pub fn polling(view: &View) -> io::Result<Self> {
        Ok(Self { source: Source::Table(File::open(view.mountinfo())?) })
    }

    /// Which means is in force.
    #[must_use]
    pub fn means(&self) -> Means {
        match self.source {
            Source::Group(_) => Means::Events,
            Source::Table(_) => Means::Poll,
        }
    }

    /// The descriptor to poll for [`Self::events`].
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.source {
            Source::Group(group) => group.as_fd(),
            Source::Table(table) => table.as_fd(),
        }
    }

    /// What to poll for. A poll of the table returns `POLLERR` with it, and forgets the change in returning.
    #[must_use]
    pub fn events(&self) -> PollFlags {
        match self.source {
            Source::Group(_) => PollFlags::POLLIN,
            Source::Table(_) => PollFlags::POLLPRI,
        }
    }

    /// Forgets what was told so far. Does not block. Read the table after this, not before, or a change between the two
    /// is lost.
    pub fn drain(&mut self) -> io::Result<()> {
        match &self.source {
            Source::Group(group) => sys::mounts::read_all_away(group.as_fd()).map(drop),
            Source::Table(_) => Ok(()),
        }
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Events => "mount events",
            Self::Poll => "poll of the mount table",
        })
    }
}
