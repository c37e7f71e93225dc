//! /proc, through one directory kept open: the files and links of one task, and what a failure means.
//!
//! Owns how a file of /proc is read into a buffer that stays. Knows nothing of what stands in it (`parse`). Used by
//! every other part of this room; reads only what cannot block, except where a function says so.

use std::ffi::CStr;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use crate::event::{Cause, Fact, Uid};
use crate::sys::{links, statx};

/// The directory /proc.
#[derive(Debug)]
pub(super) struct Proc {
    root: OwnedFd,
}

/// The directory of one task. It stays with that task: once the task has ended everything below fails, even when
/// another one has been given its number.
#[derive(Debug)]
pub(super) struct Task {
    directory: OwnedFd,
}

impl Proc {
    /// Opens /proc.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            root: open(c"/proc", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?,
        })
    }

    /// The directory of the task `id` (a process or any thread).
    pub(super) fn task(&self, id: i32) -> Result<Task, Cause> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = openat(&self.root, Entry::of(format_args!("{id}")).as_c_str(), flags, Mode::empty())
            .map_err(refused)?;
        Ok(Task { directory })
    }

    /// Reads one record of the task `id` into `text`.
    pub(super) fn read(&self, id: i32, file: &str, text: &mut Vec<u8>) -> Result<(), Cause> {
        read_record(
            open_file(self.root.as_fd(), Entry::of(format_args!("{id}/{file}")).as_c_str())?.as_fd(),
            text,
        )
    }

    /// Reads a file of many records of the task `id`, at most `limit` bytes.
    pub(super) fn read_all(
        &self,
        id: i32,
        file: &str,
        limit: usize,
        text: &mut Vec<u8>,
    ) -> Result<(), Cause> {
        read_to_end(
            open_file(self.root.as_fd(), Entry::of(format_args!("{id}/{file}")).as_c_str())?.as_fd(),
            limit,
            text,
        )
    }

    /// Reads a file of many records of this very thread, at most `limit` bytes.
    pub(super) fn read_own(&self, file: &CStr, limit: usize, text: &mut Vec<u8>) -> Result<(), Cause> {
        read_to_end(open_file(self.root.as_fd(), file)?.as_fd(), limit, text)
    }

    /// Opens a file of the task `id`.
    pub(super) fn open_file(&self, id: i32, file: &str) -> Result<OwnedFd, Cause> {
        open_file(self.root.as_fd(), Entry::of(format_args!("{id}/{file}")).as_c_str())
    }

    /// Reads a link of this very thread.
    pub(super) fn link_own(&self, link: &CStr, text: &mut Vec<u8>) -> Result<(), Cause> {
        read_link(self.root.as_fd(), link, text)
    }

    /// Opens (O_PATH) what a link of the task `id` leads to: nothing is read, and no event raised.
    pub(super) fn open_path(&self, id: i32, link: &str) -> Result<OwnedFd, Cause> {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        openat(&self.root, Entry::of(format_args!("{id}/{link}")).as_c_str(), flags, Mode::empty())
            .map_err(refused)
    }

    /// Reads a link of the task `id`.
    pub(super) fn link(&self, id: i32, link: &str, text: &mut Vec<u8>) -> Result<(), Cause> {
        read_link(self.root.as_fd(), Entry::of(format_args!("{id}/{link}")).as_c_str(), text)
    }

    /// The effective user of the task `id`: needs no descriptor, so it is there when those are used up.
    pub(super) fn owner(&self, id: i32) -> Result<Uid, Cause> {
        statx::below(self.root.as_fd(), Entry::of(format_args!("{id}")).as_c_str())
            .map(|stat| Uid(stat.uid))
            .map_err(cause)
    }
}

impl Task {
    /// Reads one record into `text`.
    pub(super) fn read(&self, file: &CStr, text: &mut Vec<u8>) -> Result<(), Cause> {
        read_record(open_file(self.directory.as_fd(), file)?.as_fd(), text)
    }

    /// Reads a link into `text`.
    pub(super) fn link(&self, link: &CStr, text: &mut Vec<u8>) -> Result<(), Cause> {
        read_link(self.directory.as_fd(), link, text)
    }

    /// True until the task has been reaped.
    pub(super) fn is_there(&self) -> bool {
        statx::below(self.directory.as_fd(), c"stat").is_ok()
    }
}

/// Reads a file that the kernel writes in one piece: less than there was room for is all of it.
pub(super) fn read_record(file: BorrowedFd<'_>, text: &mut Vec<u8>) -> Result<(), Cause> {
    fill(file, RECORD_LIMIT, Ends::Short, text)
}

/// Reads a file that the kernel writes record by record, to its end.
pub(super) fn read_to_end(file: BorrowedFd<'_>, limit: usize, text: &mut Vec<u8>) -> Result<(), Cause> {
    fill(file, limit, Ends::Empty, text)
}

/// Reads a link into `text`.
pub(super) fn read_link(directory: BorrowedFd<'_>, link: &CStr, text: &mut Vec<u8>) -> Result<(), Cause> {
    // One page is the most that the kernel puts into a link of /proc: longer ones are ENAMETOOLONG.
    let mut page = [0; PAGE];
    let length = links::read_link(directory, link, &mut page).map_err(cause)?;
    text.clear();
    text.extend_from_slice(page.get(..length).unwrap_or_default());
    Ok(())
}

/// What an error of a call about a task or a file means.
pub(super) fn cause(error: io::Error) -> Cause {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ESRCH) => Cause::Gone,
        Some(libc::EPERM | libc::EACCES) => Cause::Refused,
        Some(libc::ENAMETOOLONG) => Cause::TooLong,
        Some(libc::ENOSYS | libc::ENOTTY | libc::EOPNOTSUPP) => Cause::Unsupported,
        Some(errno) => Cause::Failed(errno),
        None => Cause::Unsteady,
    }
}

/// The knowledge that a look yielded.
pub(super) fn fact<T>(looked: Result<T, Cause>) -> Fact<T> {
    match looked {
        Ok(value) => Fact::Known(value),
        Err(cause) => Fact::Unknown(cause),
    }
}

/// The buffer of a text that was known before, emptied, to be filled again without asking the allocator.
pub(super) fn reuse(fact: &mut Fact<Vec<u8>>) -> Vec<u8> {
    match std::mem::take(fact) {
        Fact::Known(mut text) => {
            text.clear();
            text
        }
        Fact::Absent | Fact::Unknown(_) | Fact::Unread => Vec::new(),
    }
}

/// A short path, on the stack.
pub(super) struct Entry([u8; 48]);

impl Entry {
    /// The path that `text` writes, at most 47 bytes.
    pub(super) fn of(text: std::fmt::Arguments<'_>) -> Self {
        let mut bytes = [0; 48];
        let mut rest = bytes.as_mut_slice();
        let written = rest.write_fmt(text);
        debug_assert!(written.is_ok() && !rest.is_empty(), "{text} is made of names of this room's");
        Self(bytes)
    }

    /// The path.
    pub(super) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

fn open_file(directory: BorrowedFd<'_>, file: &CStr) -> Result<OwnedFd, Cause> {
    openat(directory, file, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).map_err(refused)
}

fn refused(errno: Errno) -> Cause {
    cause(errno.into())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// With a read that leaves room.
    Short,
    /// With a read that yields nothing.
    Empty,
}

fn fill(file: BorrowedFd<'_>, limit: usize, ends: Ends, text: &mut Vec<u8>) -> Result<(), Cause> {
    text.clear();
    loop {
        let used = text.len();
        if used >= limit {
            return Err(Cause::TooLong);
        }
        text.resize(used + used.max(PAGE), 0);
        let room = text.get_mut(used..).unwrap_or_default();
        let (size, read) = (room.len(), nix::unistd::read(file, room));
        let read = match read {
            Ok(read) => read,
            Err(errno) => {
                text.truncate(used);
                if errno == Errno::EINTR {
                    continue;
                }
                return Err(refused(errno));
            }
        };
        text.truncate(used + read);
        if read == 0 || (ends == Ends::Short && read < size) {
            return Ok(());
        }
    }
}

const PAGE: usize = 4096;
/// Far above any status, stat or cgroup file.
const RECORD_LIMIT: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_longer_than_the_first_read_is_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let content: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&file, &content).unwrap();
        let mut text = b"old".to_vec();
        read_to_end(file.as_fd(), 1 << 20, &mut text).unwrap();
        assert_eq!(text, content);
        let again = std::fs::File::open(&file).unwrap();
        assert_eq!(read_to_end(again.as_fd(), 10_000, &mut text), Err(Cause::TooLong));
    }

    #[test]
    fn a_task_s_directory_stays_with_the_task() {
        let proc = Proc::open().unwrap();
        let (stop, wait) = std::sync::mpsc::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            tell.send(nix::unistd::gettid().as_raw()).unwrap();
            wait.recv().ok()
        });
        let id = told.recv().unwrap();
        let task = proc.task(id).unwrap();
        let mut text = Vec::new();
        task.read(c"comm", &mut text).unwrap();
        assert!(task.is_there());
        drop(stop);
        thread.join().unwrap();
        // The kernel takes the thread away a moment after join returns.
        for _ in 0..1000 {
            if !task.is_there() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(task.read(c"comm", &mut text), Err(Cause::Gone));
        assert_eq!(proc.task(id).err(), Some(Cause::Gone));
    }
}
