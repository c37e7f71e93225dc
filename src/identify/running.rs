//! A program that already runs: which file it is, and whether an event should have told of it.
//!
//! Its file is held by a descriptor (O_PATH) from the first look on, so it stays known when the process ends. Nothing
//! here asks a file's server: what can block is done aside.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::statfs::{FsType, HUGETLBFS_MAGIC, TMPFS_MAGIC, fstatfs};

use super::inner::DELETED;
use super::proc::cause;
use super::{Identifier, arguments, interpreters};
use crate::event::{Attempt, Cause, Device, Fact, Unseen};
use crate::sys::shared::Words;
use crate::sys::statx::{self, MountId, Stat, Want};
use crate::watch::plan::{Placement, Scope};

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    process: i32,
    file: OwnedFd,
    stat: Stat,
}

/// Where its file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// From where no mark can be: every such exec is unseen.
    Unmarkable(Unseen),
    /// From a watched directory: unseen only if no event told of it.
    Watched,
    /// From a watched superblock, surely outside the watched directories.
    Outside,
    /// From a superblock that is not watched, or not yet.
    Elsewhere,
}

impl Running {
    /// The process.
    #[must_use]
    pub fn process(&self) -> i32 {
        self.process
    }

    /// The file's device number and inode, as statx(2) tells them.
    #[must_use]
    pub fn file(&self) -> (Device, u64) {
        let (major, minor) = self.stat.device;
        (Device { major, minor }, self.stat.inode)
    }

    /// The id of the mount it was executed through, where the kernel has ids that are never given anew.
    #[must_use]
    pub fn mount(&self) -> Option<u64> {
        match self.stat.mount {
            MountId::Unique(id) => Some(id),
            MountId::Recycled(_) | MountId::Unsaid => None,
        }
    }

    /// The file, open for reading: only for one in memory, which no server can hold up.
    #[must_use]
    pub fn content(&self) -> Option<OwnedFd> {
        let path = format!("/proc/thread-self/fd/{}", self.file.as_raw_fd());
        open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK, Mode::empty()).ok()
    }
}

impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The superblock in which the kernel keeps memfds, System V segments and shared anonymous memory.
///
/// # Errors
/// No memory or no descriptor for a file there.
pub fn memory() -> std::io::Result<Device> {
    let (major, minor) = statx::of(Words::new(1)?.as_fd(), Want::Nothing)?.device;
    Ok(Device { major, minor })
}

impl Identifier {
    /// Takes hold of the program that the process runs now. Does not block.
    ///
    /// # Errors
    /// `Gone`: it has ended.
    pub fn running(&self, process: i32) -> Result<Running, Cause> {
        let file = self.proc.open_path(process, "exe")?;
        let stat = statx::of(file.as_fd(), self.features.mount_id()).map_err(cause)?;
        Ok(Running { process, file, stat })
    }

    /// Makes `attempt` the one of that program. What is the caller's: `at`. `memory` is from [`memory`].
    pub fn describe(
        &mut self,
        running: &Running,
        memory: Device,
        scope: &Scope,
        deadline: Instant,
        attempt: &mut Attempt,
    ) -> Whence {
        // Until it is known by which way: what matters here is that no exec is awaited any more.
        attempt.unseen = Some(Unseen::Unmarked);
        let placement = self.essential(running.process, running.file.as_fd(), scope, attempt);
        let device = attempt.object.file.known().map(|file| file.device);
        if device.is_some_and(|device| scope.contains(device, running.mount())) {
            return if placement == Placement::Outside { Whence::Outside } else { Whence::Watched };
        }
        // The mount is in no table that its process or we could see.
        if attempt.object.inner != Fact::Unknown(Cause::Unsupported) {
            return Whence::Elsewhere;
        }
        let Some(way) = self.unmarkable(running, device == Some(memory), deadline, attempt) else {
            return Whence::Elsewhere;
        };
        attempt.unseen = Some(way);
        attempt.object.names.clear();
        if let (Unseen::Memfd | Unseen::SharedMemory | Unseen::Anonymous, Fact::Known(seen)) =
            (way, &attempt.object.seen)
        {
            // The kernel made this path, and no file of any mount has such a one.
            let name = seen.strip_suffix(DELETED).unwrap_or(seen).to_vec();
            attempt.object.names.push(&name);
            attempt.object.inner = Fact::Known(name);
        }
        Whence::Unmarkable(way)
    }

    /// The program's own file where an interpreter runs a `#!` script from memory: the script.
    pub fn script(&mut self, running: &Running, memory: Device, deadline: Instant) -> Option<Running> {
        let mut executable = Vec::new();
        self.proc.link(running.process, "exe", &mut executable).ok()?;
        if !interpreters::is_known(&executable) {
            return None;
        }
        let (proc, process, want) = (Arc::clone(&self.proc), running.process, self.features.mount_id());
        let found = self.aside.run(deadline, move || {
            let mut text = Vec::new();
            proc.read_all(process, "cmdline", arguments::BYTES, &mut text).ok()?;
            let texts = arguments::split(&text);
            let arguments: Vec<&[u8]> = texts.iter().collect();
            // The kernel writes a script that was executed by descriptor as /dev/fd/N.
            interpreters::programs(&executable, &arguments).into_iter().find_map(|name| {
                let file = proc.find_descriptor(name).or_else(|_| proc.find(process, name)).ok()?;
                let stat = statx::of(file.as_fd(), want).ok()?;
                Some((file, stat))
            })
        });
        let (file, stat) = found??;
        let (major, minor) = stat.device;
        (Device { major, minor } == memory).then_some(Running { process, file, stat })
    }

    fn unmarkable(
        &mut self,
        running: &Running,
        in_kernel_memory: bool,
        deadline: Instant,
        attempt: &Attempt,
    ) -> Option<Unseen> {
        let seen = attempt.object.seen.known().map(Vec::as_slice).unwrap_or_default();
        if in_kernel_memory {
            return Some(match seen {
                seen if seen.starts_with(b"/SYSV") => Unseen::SharedMemory,
                seen if seen.starts_with(b"/dev/zero") => Unseen::Anonymous,
                _ => Unseen::Memfd,
            });
        }
        let file = running.file.try_clone().ok()?;
        let kind =
            self.aside.run(deadline, move || fstatfs(&file).map(|about| about.filesystem_type()))?.ok()?;
        match kind {
            // With MFD_HUGETLB.
            HUGETLBFS_MAGIC if seen.starts_with(b"/memfd:") => Some(Unseen::Memfd),
            TMPFS_MAGIC | RAMFS_MAGIC => Some(Unseen::Detached),
            _ => None,
        }
    }
}

/// statfs(2).
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);
