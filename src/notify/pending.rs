//! The duty to answer one event.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::Group;
use crate::event::{Device, Response, Settled};
use crate::sys::clock;

/// An exec, or an open, that waits in the kernel. Answered by [`PendingExec::answer`]; dropped without that, it is answered with its
/// fallback and the group counts it. The event's file stays open until after the answer: the kernel matches answers by
/// the descriptor's number, and a number closed too early could be another event's.
#[derive(Debug)]
#[must_use = "an exec waits in the kernel for this value"]
pub struct PendingExec {
    group: Arc<Group>,
    file: OwnedFd,
    thread: i32,
    since: u64,
    fallback: Response,
    settled: bool,
}

impl PendingExec {
    pub(super) fn new(group: Arc<Group>, file: OwnedFd, thread: i32, fallback: Response) -> Self {
        let since = clock::boottime();
        group.in_flight().open(file.as_raw_fd(), since, thread, fallback);
        Self { group, file, thread, since, fallback, settled: false }
    }

    /// The calling thread; 0 where our pid namespace has no number for it.
    #[must_use]
    pub fn thread(&self) -> i32 {
        self.thread
    }

    /// When it was read, nanoseconds since boot.
    #[must_use]
    pub fn since(&self) -> u64 {
        self.since
    }

    /// Notes the file for a successor, should we die.
    pub fn note(&self, device: Device, inode: u64) {
        self.group.in_flight().note(self.file.as_raw_fd(), device, inode);
    }

    /// Changes what is answered if nobody decides in time.
    pub fn set_fallback(&mut self, fallback: Response) {
        if self.fallback != fallback {
            self.fallback = fallback;
            self.group.in_flight().set_fallback(self.file.as_raw_fd(), fallback);
        }
    }

    /// Answers, with a kernel audit record where `audit` (and the group was made with it). Never blocks.
    pub fn answer(mut self, response: Response, audit: bool) -> Settled {
        self.settle(response, audit)
    }

    fn settle(&mut self, response: Response, audit: bool) -> Settled {
        self.settled = true;
        let number = self.file.as_raw_fd();
        if !self.group.in_flight().claim(number) {
            self.group.in_flight().wait_until_answered(number);
            return Settled::Overtaken;
        }
        let settled = self.group.respond(number, response, audit);
        self.group.in_flight().close(number);
        settled
    }
}

impl AsFd for PendingExec {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for PendingExec {
    fn drop(&mut self) {
        if !self.settled {
            let _settled = self.settle(self.fallback, false);
            self.group.count_dropped();
        }
    }
}
