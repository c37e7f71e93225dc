//! A program that already runs: which file it is, and whether an event should have told of it.
//!
//! Its file is held by a descriptor (O_PATH) from the first look on, so it stays known when the process ends. Nothing
//! here asks a file's server: what can block is done aside.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::statfs::{FsType, HUGETLBFS_MAGIC, fstatfs};

use super::inner::DELETED;
use super::mount::Whereabouts;
use super::parse::decimal;
use super::proc::cause;
use super::subject::Ids;
use super::{Identifier, arguments, interpreters, outcome, subject, walk};
use crate::event::{Attempt, Cause, Device, Fact, Object, Subject, Unseen};
use crate::sys::loops;
use crate::sys::mounts::{is_memory, mount_namespace_id};
use crate::sys::shared::Words;
use crate::sys::statx::{self, MountId, Stat, Want};
use crate::watch::plan::{Placement, Scope};

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    process: i32,
    file: OwnedFd,
    stat: Stat,
    /// Who runs it, where that was asked for before the process could end.
    who: Option<Who>,
    /// What it is if it is no program.
    script: Option<Script>,
}

/// What an interpreter was started for, as far as the process's name or arguments show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// It was executed itself: the kernel names the process after it.
    Executed,
    /// Its interpreter may only have been given it to read.
    Given,
}

/// Of a process.
#[derive(Clone, Debug)]
struct Who {
    ids: Option<Ids>,
    /// Its mount namespace.
    space: Option<Space>,
    /// The mount at its root.
    root: Option<MountId>,
}

/// A mount namespace's id, and what keeps it there: without its last process it would be gone, and its mounts nowhere.
#[derive(Clone, Debug)]
struct Space {
    id: u64,
    _kept: Arc<OwnedFd>,
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
    /// From a superblock that is not watched, or not yet, but in memory and mounted in a watched directory of ours.
    Fresh,
    /// From any other superblock that is not watched.
    Elsewhere,
    /// What its filesystem is was not known in time.
    Late,
    /// From memory; its process has ended and its mount is gone, so that nothing says more.
    Lost,
}

impl Running {
    /// The process.
    #[must_use]
    pub fn process(&self) -> i32 {
        self.process
    }

    /// Whether it is a script, and who runs it is its interpreter.
    #[must_use]
    pub fn script(&self) -> Option<Script> {
        self.script
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

    /// The mount namespace of its process, where who runs it was kept: its id as statmount(2) takes it.
    #[must_use]
    pub fn namespace(&self) -> Option<u64> {
        Some(self.who.as_ref()?.space.as_ref()?.id)
    }

    /// Where only mounts of its superblock are watched: it came through one of them, or a copy that is not a container's.
    fn is_of_watched_mount(&self, home: bool, device: Device, object: &Object, scope: &Scope) -> bool {
        let is_below = object.seen.known().is_some_and(|seen| scope.covers(seen));
        let is_named = object.inner.known().is_none_or(|inner| scope.has_name(device, inner));
        // Of a part of a larger filesystem, the rest can be executed where it lies.
        let is_copy = || !self.is_of_its_root() && (is_below || scope.has_name(device, b"/"));
        is_named && if home { is_below } else { is_copy() }
    }

    /// It lies on the mount that is its process's root, as in a container.
    fn is_of_its_root(&self) -> bool {
        let root = self.who.as_ref().and_then(|who| who.root);
        root.is_some_and(|root| root != MountId::Unsaid && root == self.stat.mount)
    }

    /// The file, open for reading: only for one in memory, which no server can hold up.
    #[must_use]
    pub fn content(&self) -> Option<OwnedFd> {
        let path = format!("/proc/thread-self/fd/{}", self.file.as_raw_fd());
        open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK, Mode::empty()).ok()
    }
}

impl Running {
    /// Fills in what was kept and can't be read any more.
    fn tell_who(&self, subject: &mut Subject) {
        let (Fact::Unknown(_), Some(Who { ids: Some(ids), .. })) = (&subject.credentials, &self.who) else {
            return;
        };
        subject.process = Fact::Known(ids.process);
        subject.parent_pid = ids.parent.map_or(Fact::Absent, Fact::Known);
        subject.credentials = Fact::Known(ids.credentials);
        subject.user = Fact::Known(outcome::holder(&ids.credentials));
        subject.group = Fact::Known(ids.credentials.egid);
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
        Ok(Running { process, file, stat, who: None, script: None })
    }

    /// Keeps who runs it: what can be told of it also when the process has ended. Does not block.
    pub fn keep_who(&mut self, running: &mut Running) {
        // First what tells where its mounts are: nothing else does when it has ended.
        let space = self.proc.open_file(running.process, "ns/mnt");
        let space = space.ok().and_then(|space| {
            let id = mount_namespace_id(space.as_fd()).ok()?;
            Some(Space { id, _kept: Arc::new(space) })
        });
        let mut last = subject::Last::default();
        let ids = subject::ids(&self.proc, self.features, running.process, &mut last, &mut self.text).ok();
        let root = self.proc.open_path(running.process, "root");
        let root = root.ok().and_then(|root| statx::of(root.as_fd(), self.features.mount_id()).ok());
        running.who = Some(Who { ids, space, root: root.map(|root| root.mount) });
    }

    /// The script for which an interpreter was started, where it may lie in memory and the name that the kernel gave the
    /// process shows it: that is the last part of the path that was executed, so of /dev/fd/N and /proc/self/fd/N the number. (From
    /// Linux 6.14 on, execveat(2) without a path leaves the interpreter's own name there.) Does not block, and finds the
    /// script whatever the interpreter is called.
    pub fn numbered_script(&mut self, running: &Running, memory: Device) -> Option<Running> {
        self.proc.read(running.process, "comm", &mut self.text).ok()?;
        let number: u32 = decimal(self.text.trim_ascii_end())?;
        let file = self.proc.open_path(running.process, &format!("fd/{number}")).ok()?;
        let stat = statx::of(file.as_fd(), self.features.mount_id()).ok()?;
        let (major, minor) = stat.device;
        // What its filesystem is cannot be asked here: somebody may serve it. No disk has such a device number.
        let is_script = (Device { major, minor } == memory || major == 0)
            && ![memory, Device { major, minor }].contains(&running.file().0);
        let script = Some(Script::Given);
        is_script.then_some(Running { process: running.process, file, stat, who: None, script })
    }

    /// Whether the arguments of a program could name a script in memory. Does not block.
    pub fn is_interpreter(&mut self, running: &Running) -> bool {
        let linked = self.proc.link(running.process, "exe", &mut self.text);
        linked.is_ok() && interpreters::is_known(&self.text)
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
        let space = running.who.as_ref().and_then(|who| who.space.as_ref());
        let space = space.map(|space| space.id).filter(|_| self.features.foreign_statmount);
        let (mut placement, mut whereabouts) =
            self.look(running.process, running.file.as_fd(), scope, attempt);
        let lacks_place = attempt.object.inner == Fact::Unknown(Cause::Gone);
        if lacks_place && space.is_some_and(|space| self.files.search(space)) {
            (placement, whereabouts) = self.look(running.process, running.file.as_fd(), scope, attempt);
        }
        running.tell_who(&mut attempt.subject);
        let device = attempt.object.file.known().map(|file| file.device);
        // A guard in a namespace of its own guards the mounts of another one.
        let home = !matches!(whereabouts, Whereabouts::Elsewhere(_))
            || space.is_some_and(|space| scope.is_home(space));
        let ours = attempt.object.inner.known().is_some() && home;
        let seen = attempt.object.seen.known().filter(|seen| ours && scope.covers(seen));
        // The number of one that is gone can be another's by now. It counts where the mount is one that was seen, or where
        // the path is in a watched directory.
        let is_it = |device: &Device| {
            scope.is_mounted(*device)
                || scope.contains(*device)
                    && (seen.is_some() || running.mount().is_some_and(|mount| scope.is_whole(*device, mount)))
        };
        if let Some(device) = device.filter(is_it) {
            let of_others = scope.watches_mounts(device)
                && !running.is_of_watched_mount(home, device, &attempt.object, scope);
            if placement == Placement::Outside || of_others {
                return Whence::Outside;
            }
            // The number may have been another filesystem's when the scope was made, and the names with it.
            if seen.is_some_and(|seen| attempt.object.names.iter().all(|name| name != seen.as_slice())) {
                lose_place(&mut attempt.object, scope);
            }
            return Whence::Watched;
        }
        // The mount is in no table that its process or we could see; not even in the one that was its process's.
        let nowhere = match attempt.object.inner {
            Fact::Unknown(Cause::Unsupported) => true,
            Fact::Unknown(Cause::Gone) => space.is_some(),
            Fact::Known(_) | Fact::Absent | Fact::Unknown(_) | Fact::Unread => false,
        };
        let in_memory = device == Some(memory);
        let is_lost = attempt.object.inner == Fact::Unknown(Cause::Gone) && space.is_none();
        if is_lost && !in_memory && self.kind(running, deadline).is_none_or(is_memory) {
            return Whence::Lost;
        }
        if !nowhere && !in_memory {
            let is_covered = seen.is_some();
            // What it is that is mounted there need not be known in time: a mark shows it, or that it comes and goes.
            let fresh = is_covered && self.kind(running, deadline).is_none_or(is_memory);
            return if fresh { Whence::Fresh } else { Whence::Elsewhere };
        }
        let way = match self.unmarkable(running, in_memory, deadline, scope, attempt) {
            Some(Some(way)) => way,
            Some(None) => return Whence::Elsewhere,
            None => return Whence::Late,
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

    /// The program's own file where an interpreter runs a `#!` script from memory: the script. It may be one that is
    /// mounted somewhere.
    pub fn script_of(&mut self, running: &Running, deadline: Instant) -> Option<Running> {
        let mut executable = Vec::new();
        self.proc.link(running.process, "exe", &mut executable).ok()?;
        if !interpreters::is_known(&executable) {
            return None;
        }
        let (proc, process, want) = (Arc::clone(&self.proc), running.process, self.features.mount_id());
        let found = self.aside.run(deadline, move || {
            let mut text = Vec::new();
            proc.read_all(process, "cmdline", arguments::BYTES, &mut text).ok()?;
            let mut name = Vec::new();
            proc.read(process, "comm", &mut name).ok()?;
            let texts = arguments::split(&text);
            let arguments: Vec<&[u8]> = texts.iter().collect();
            // The kernel writes a script that was executed by descriptor as /dev/fd/N.
            interpreters::programs(&executable, &arguments).into_iter().find_map(|path| {
                let file = walk::to(&proc, process, path).ok()?;
                let stat = statx::of(file.as_fd(), want).ok()?;
                let kind = fstatfs(&file).ok()?.filesystem_type();
                (is_memory(kind) || kind == HUGETLBFS_MAGIC).then_some((file, stat, named_after(&name, path)))
            })
        });
        let (file, stat, script) = found??;
        Some(Running { process, file, stat, who: running.who.clone(), script: Some(script) })
    }

    /// Whether the mount it was executed through has been taken away since `attempt` was described.
    pub fn is_unmounted(&mut self, running: &Running, attempt: &Attempt) -> bool {
        let link = format!("thread-self/fd/{}", running.file.as_raw_fd());
        let shown = CString::new(link).map_err(|_| Cause::Unsteady);
        let shown = shown.and_then(|link| self.proc.link_own(&link, &mut self.text));
        shown.is_ok() && attempt.object.seen.known().is_some_and(|seen| !self.text.starts_with(seen))
    }

    /// `None`: it was not known in time.
    fn unmarkable(
        &mut self,
        running: &Running,
        in_kernel_memory: bool,
        deadline: Instant,
        scope: &Scope,
        attempt: &Attempt,
    ) -> Option<Option<Unseen>> {
        let seen = attempt.object.seen.known().map(Vec::as_slice).unwrap_or_default();
        if in_kernel_memory {
            return Some(Some(match seen {
                seen if seen.starts_with(b"/SYSV") => Unseen::SharedMemory,
                seen if seen.starts_with(b"/dev/zero") => Unseen::Anonymous,
                _ => Unseen::Memfd,
            }));
        }
        Some(match self.kind(running, deadline)? {
            // With MFD_HUGETLB.
            HUGETLBFS_MAGIC if seen.starts_with(b"/memfd:") => Some(Unseen::Memfd),
            // Mounted by somebody, and nowhere any more.
            HUGETLBFS_MAGIC => Some(Unseen::Detached),
            kind => (is_memory(kind) || Self::lies_in_memory(running, scope)).then_some(Unseen::Detached),
        })
    }

    /// Whether its filesystem is on a loop device over a file in a watched directory, or over a memfd: such a path is no
    /// other file's.
    fn lies_in_memory(running: &Running, scope: &Scope) -> bool {
        let Device { major, minor } = running.file().0;
        let files = loops::images(major, minor);
        files.iter().any(|(_, image)| scope.covers(image) || image.starts_with(b"/memfd:"))
    }

    /// What its filesystem is. Somebody may serve it, and never answer.
    fn kind(&mut self, running: &Running, deadline: Instant) -> Option<FsType> {
        let file = running.file.try_clone().ok()?;
        self.aside.run(deadline, move || fstatfs(&file).map(|about| about.filesystem_type()))?.ok()
    }
}

/// Whether the kernel named a process after this script: by the last part of its path, cut at 15 bytes.
fn named_after(comm: &[u8], path: &[u8]) -> Script {
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let cut = last.get(..15).unwrap_or(last);
    let comm = comm.strip_suffix(b"\n").unwrap_or(comm);
    if comm == cut { Script::Executed } else { Script::Given }
}

/// Makes the place of a file of a watched directory an unknown one: no mark vouches for any.
pub fn lose_place(object: &mut Object, scope: &Scope) {
    object.inner = Fact::Unknown(Cause::Unsteady);
    object.names.clear();
    scope.name(UNKNOWN, Fact::Unknown(Cause::Unsteady), &mut object.names);
}

/// No filesystem has it.
const UNKNOWN: Device = Device { major: 0, minor: 0 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_after_the_script_that_was_executed_and_not_after_one_that_is_read() {
        for (comm, path, script) in [
            (b"x\n".as_slice(), b"/dev/shm/x".as_slice(), Script::Executed),
            (b"a-name-of-fifte\n", b"/dev/fd/3/a-name-of-fifteen-bytes-and-more", Script::Executed),
            (b"sh\n", b"/dev/shm/x", Script::Given),
            (b"x\n", b"/dev/shm/xy", Script::Given),
            (b"3\n", b"3", Script::Executed),
            (b"", b"/dev/shm/x", Script::Given),
        ] {
            assert_eq!(named_after(comm, path), script, "{path:?}");
        }
    }
}
