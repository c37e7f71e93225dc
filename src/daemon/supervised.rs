//! `run --supervise`: the parent that holds the group, and what each worker inherits.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::error::{StartError, say};
use crate::event::{Pid, Uid};
use crate::notify::Group;
use crate::supervise::parent::{self, End, Outcome, Watched};
use crate::sys::{clock, process};

/// What a worker begins with.
#[derive(Debug)]
pub(super) struct Inherited {
    /// The group; its marks are there unless this worker is the first.
    pub(super) group: Arc<Group>,
    /// How the worker before this one ended; `None` for the first.
    pub(super) predecessor: Option<String>,
}

/// What follows in this process.
pub(super) enum Role {
    /// It is a worker.
    Worker(Inherited),
    /// It was the parent, and all is over: end with this status.
    Over(u8),
}

/// Parts into parent and worker. Returns in each worker.
///
/// # Errors
/// No worker could be started.
pub(super) fn part(group: Group, deadline: Duration) -> Result<Role, StartError> {
    let group = Arc::new(group);
    let mut work = Work { group: Arc::clone(&group), deadline, read: 0, unmoved: 0 };
    let named = |error| StartError::System { what: "name the process", error };
    process::set_name(c"shmguard-parent").map_err(named)?;
    match parent::supervise(&mut work)
        .map_err(|error| StartError::System { what: "start a worker", error })?
    {
        Outcome::Ended(status) => Ok(Role::Over(status)),
        Outcome::Worker(last) => {
            process::set_name(c"shmguard").map_err(named)?;
            Ok(Role::Worker(Inherited { group, predecessor: last.map(|end| describe(end).to_owned()) }))
        }
    }
}

/// The parent's look at the group: it sees whether events wait and whether anybody takes them.
struct Work {
    group: Arc<Group>,
    deadline: Duration,
    read: u64,
    unmoved: u32,
}

impl Watched for Work {
    fn is_stuck(&mut self) -> bool {
        let in_flight = self.group.in_flight();
        // The worker itself answers what is past the deadline; half a second later it has had its chance.
        let late = self.deadline + Duration::from_millis(500);
        if in_flight.oldest(clock::boottime()).is_some_and(|waited| waited > late) {
            return true;
        }
        let read = in_flight.read();
        self.unmoved = if self.events_wait() && read == self.read { self.unmoved + 1 } else { 0 };
        self.read = read;
        Duration::from_millis(500) * self.unmoved > self.deadline
    }

    fn has_stood(&self) -> bool {
        self.group.in_flight().has_stood()
    }

    fn relays(&mut self, sender: u32, user: u32) {
        self.group.in_flight().note_sender(Pid(sender.cast_signed()), Uid(user));
    }

    fn died(&mut self, end: End) {
        self.unmoved = 0;
        say(&format!("shmguard: the guard {}; the next one takes over", describe(end)));
    }
}

impl Work {
    fn events_wait(&self) -> bool {
        let mut fds = [PollFd::new(self.group.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut fds, PollTimeout::ZERO), Ok(ready) if ready > 0)
    }
}

fn describe(end: End) -> String {
    match end {
        End::Exited(status) => format!("ended with status {status}"),
        End::Killed(signal) => format!("was killed by {signal}"),
        End::Stuck => "did not answer and was killed".to_owned(),
    }
}
