//! What a `#!` file is run by: the kernel takes set-id bits and capabilities from there, and never from the script.
//!
//! Owns the look at a file's first bytes and for the interpreter that they name, from the caller's root or directory. Called
//! only for callers that are not root. The look can hang (whoever serves a directory on the way may take his time), so
//! it is done [aside](super::aside); after one that was given up none is begun for a while, so that nobody slows the others.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::sys::uio::pread;

use super::aside::Aside;
use super::object::facts_of;
use super::parse::{capability, script};
use super::proc::{Entry, Proc, cause, fact};
use super::walk;
use crate::event::{Cause, Fact, FileCapabilities, Interpreter};
use crate::sys::statx::{self, Want};
use crate::sys::{mounts, xattr};

/// Looks for interpreters.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    /// No look is begun before.
    not_before: Option<Instant>,
}

impl Scripts {
    /// The interpreter of this file, which `thread` executes. Waits at most [`PATIENCE`], and that only where the file is a
    /// script or lies on a disk.
    pub(super) fn interpreter(
        &mut self,
        proc: &Arc<Proc>,
        aside: &mut Aside,
        thread: Option<i32>,
        file: BorrowedFd<'_>,
    ) -> Fact<Interpreter> {
        let in_memory = mounts::is_in_memory(file).unwrap_or(false);
        if in_memory && head(file).is_ok_and(|head| script::interpreter(&head).is_none()) {
            return Fact::Absent;
        }
        let now = Instant::now();
        if self.not_before.is_some_and(|then| now < then) {
            return Fact::Unknown(Cause::Late);
        }
        let proc = Arc::clone(proc);
        let file = match file.try_clone_to_owned() {
            Ok(file) => file,
            Err(error) => return Fact::Unknown(cause(error)),
        };
        let Some(found) = aside.run(now + PATIENCE, move || look(&proc, thread, &file)) else {
            self.not_before = Some(Instant::now() + PAUSE);
            return Fact::Unknown(Cause::Late);
        };
        match fact(found) {
            Fact::Known(Some(interpreter)) => Fact::Known(interpreter),
            // The exec will fail.
            Fact::Known(None) | Fact::Unknown(Cause::Gone) => Fact::Absent,
            Fact::Absent | Fact::Unread => Fact::Absent,
            Fact::Unknown(cause) => Fact::Unknown(cause),
        }
    }
}

fn look(proc: &Proc, thread: Option<i32>, file: &OwnedFd) -> Result<Option<Interpreter>, Cause> {
    let head = head(file.as_fd())?;
    let Some(name) = script::interpreter(&head) else { return Ok(None) };
    let found = walk::to(proc, thread.ok_or(Cause::Unsupported)?, name)?;
    let facts = facts_of(&statx::of(found.as_fd(), Want::Nothing).map_err(cause)?);
    let filesystem = fstatvfs(&found).map_err(|errno| cause(errno.into()))?;
    let nosuid = filesystem.flags().contains(FsFlags::ST_NOSUID);
    Ok(Some(Interpreter { file: facts, nosuid, capabilities: capabilities(&found)? }))
}

fn capabilities(found: &OwnedFd) -> Result<Option<FileCapabilities>, Cause> {
    let number = found.as_raw_fd();
    let entry = Entry::of(format_args!("/proc/self/fd/{number}"));
    let mut attribute = [0; capability::LONGEST];
    match xattr::at(entry.as_c_str(), capability::ATTRIBUTE, &mut attribute) {
        Ok(length) => Ok(Some(capability::read(attribute.get(..length).unwrap_or_default()))),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => Ok(None),
        Err(error) => Err(cause(error)),
    }
}

/// As much of the file as the kernel looks at.
fn head(file: BorrowedFd<'_>) -> Result<[u8; script::HEAD], Cause> {
    let mut head = [0; script::HEAD];
    pread(file, &mut head, 0).map_err(|errno| cause(errno.into()))?;
    Ok(head)
}

/// How long a look may take.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long none is begun after one that took longer.
const PAUSE: Duration = Duration::from_secs(1);
