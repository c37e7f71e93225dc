//! One guard to a directory: its log and the copy of the alerts beside it have one writer each.
//!
//! Owns the lock file there. What is held is flock(2), which the kernel releases when the process ends, however it ends;
//! the file itself stays. Only another guard's lock is an obstacle: where there can be no lock file (a directory that
//! cannot be written, a filesystem without locks), the log is written without one. Opening may take as long as the disk
//! likes: called by the thread that opens the log and by the keeper's.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// The directory is ours for as long as this lives.
#[derive(Debug)]
pub(super) struct Occupied(#[expect(dead_code, reason = "held, not used")] Flock<File>);

/// Another guard writes in the directory.
#[derive(Debug)]
pub(super) struct Held;

impl Occupied {
    /// Occupies the directory of the log at `path`; `None` where that cannot be done.
    ///
    /// # Errors
    /// Another one has it.
    pub(super) fn take(path: &Path) -> Result<Option<Self>, Held> {
        // Only root can open it: a lock on the log itself could be taken by whoever may read that.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(lock_file(path));
        let Ok(file) = file else { return Ok(None) };
        // Where others may write, one of them could keep us from standing.
        if file.metadata().is_ok_and(|facts| facts.uid() != nix::unistd::geteuid().as_raw()) {
            return Ok(None);
        }
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Self(lock))),
            Err((_, Errno::EWOULDBLOCK)) => Err(Held),
            Err(_) => Ok(None),
        }
    }

    /// The same, for whoever comes after one that is about to end.
    ///
    /// # Errors
    /// Another one has it, and keeps it.
    pub(super) fn take_soon(path: &Path) -> Result<Option<Self>, Held> {
        for _ in 1..TRIES {
            if let Ok(taken) = Self::take(path) {
                return Ok(taken);
            }
            thread::sleep(PAUSE);
        }
        Self::take(path)
    }
}

/// Of all logs in one directory, because they would share the copy of the alerts.
pub(super) fn lock_file(path: &Path) -> PathBuf {
    path.with_file_name("shmguard.lock")
}

const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);
