//! Who: ids and credentials of exactly one thread.
//!
//! By a descriptor of the thread where the kernel has that, else from /proc/TID/status. Both tell the thread's own
//! credentials; /proc/TGID would tell those of the process's first thread, which need not be the same.
//!
//! *A number given anew.* The caller waits in the kernel for our answer and can only be killed. Once it has been
//! killed its number could be given to another task, and we would describe that one: the exec is over then, so
//! nothing runs that was judged wrongly, and the answer comes back with ENOENT, which the record tells. Through the
//! descriptor (and through [`super::proc::Task`]) all facts are at least of one task.

use std::os::fd::{AsFd, OwnedFd};

use super::Features;
use super::parse::status;
use super::proc::{Proc, cause};
use crate::event::{Cause, Credentials, Fact, Gid, Pid, Subject, Uid};
use crate::sys::pidfd;

/// The ids of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    /// Its process.
    pub(super) process: Pid,
    /// Its parent process; `None` where that is outside our pid namespace.
    pub(super) parent: Option<Pid>,
    /// Its credentials.
    pub(super) credentials: Credentials,
}

/// The thread that was looked at last: one that tries again and again, as a flood does, is not looked up each time.
#[derive(Debug, Default)]
pub(super) struct Last(Option<(i32, OwnedFd)>);

impl Last {
    /// The ids of the thread `id`, through the descriptor that is kept if that is still its, else through a new one.
    fn ids(&mut self, id: i32) -> Result<Ids, Cause> {
        if let Some((_, thread)) = self.0.as_ref().filter(|(kept, _)| *kept == id)
            && let Ok(info) = pidfd::info(thread.as_fd())
            && info.pid == id
        {
            return Ok(ids_of(&info));
        }
        // It has ended, and its number may have been given anew.
        let thread = pidfd::open_thread(id).map_err(cause)?;
        let info = pidfd::info(thread.as_fd()).map_err(|_| Cause::Unsupported)?;
        self.0 = Some((id, thread));
        Ok(ids_of(&info))
    }
}

/// Fills the essential facts of `subject` for the thread, all but `user` and `group`, which need the file.
pub(super) fn identify(
    proc: &Proc,
    features: Features,
    thread: Option<i32>,
    last: &mut Last,
    text: &mut Vec<u8>,
    subject: &mut Subject,
) {
    let found = match thread {
        Some(id) => {
            subject.thread = Fact::Known(Pid(id));
            ids(proc, features, id, last, text)
        }
        None => {
            subject.thread = Fact::Unknown(Cause::OutsideNamespace);
            Err(Cause::OutsideNamespace)
        }
    };
    match found {
        Ok(ids) => {
            subject.process = Fact::Known(ids.process);
            subject.parent_pid = ids.parent.map_or(Fact::Absent, Fact::Known);
            subject.credentials = Fact::Known(ids.credentials);
        }
        Err(cause) => {
            subject.process = Fact::Unknown(cause);
            subject.parent_pid = Fact::Unknown(cause);
            subject.credentials = Fact::Unknown(cause);
        }
    }
}

/// The ids of the thread `id` (a process's id names its first thread).
pub(super) fn ids(
    proc: &Proc,
    features: Features,
    id: i32,
    last: &mut Last,
    text: &mut Vec<u8>,
) -> Result<Ids, Cause> {
    if features.thread_info {
        match last.ids(id) {
            Ok(ids) => return Ok(ids),
            // It has surely ended: pidfd_open found nobody.
            Err(Cause::Gone) => return Err(Cause::Gone),
            // Early kernels also refuse a thread whose parent is in no namespace of ours; /proc knows.
            Err(_) => {}
        }
    }
    proc.read(id, "status", text)?;
    let status = status::parse(text).ok_or(Cause::Unsteady)?;
    Ok(Ids { process: Pid(status.process), parent: parent(status.parent), credentials: status.credentials })
}

/// The parent as a fact: the kernel's 0 is nobody that we could name.
fn parent(id: i32) -> Option<Pid> {
    (id > 0).then_some(Pid(id))
}

fn ids_of(info: &pidfd::Info) -> Ids {
    let [ruid, euid, suid, fsuid] = info.uids.map(Uid);
    let [rgid, egid, sgid, fsgid] = info.gids.map(Gid);
    Ids {
        process: Pid(info.tgid),
        parent: parent(info.ppid),
        credentials: Credentials { ruid, euid, suid, fsuid, rgid, egid, sgid, fsgid },
    }
}
