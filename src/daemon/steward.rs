//! The main thread while the guard stands: signals, mounts that come and go.
//!
//! Wakes for events, and about once a second to look around. Never on the way of an answer.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::keeper::{Keeper, keep};
use super::pipeline::Shared;
use super::signals::{Order, Received, Signals};
use crate::event::{Pid, Uid};
use crate::notify::Group;
use crate::record::{Log, Notice};
use crate::supervise::service::Service;
use crate::watch::monitor::Monitor;

/// How often other mount namespaces are looked at: what appears there is to be found within a second, and an idle host is
/// not to be woken more often than that needs.
const HEARTBEAT: Duration = Duration::from_millis(900);

/// The same where nobody looks there and no parent is to be missed: what is left is the end of a mode that was set for a
/// while, which may come so much late.
const REST: Duration = Duration::from_secs(3);

/// The main thread's tools.
pub(super) struct Steward {
    pub(super) keeper: Arc<Mutex<Keeper>>,
    pub(super) shared: Arc<Shared<Log>>,
    pub(super) group: Arc<Group>,
    pub(super) service: Service,
    pub(super) signals: Signals,
    pub(super) monitor: Monitor,
    /// Somebody keeps the group for the next guard.
    pub(super) handed_on: bool,
    /// A parent hands its signals on to us.
    pub(super) supervised: Option<nix::unistd::Pid>,
}

impl Steward {
    /// Keeps the guard until a signal asks it to stop, and returns that signal.
    ///
    /// # Errors
    /// poll(2) failed for another reason than a signal.
    pub(super) fn watch(&mut self) -> io::Result<Received> {
        loop {
            let mounts_changed = self.wait()?;
            for received in self.signals.received() {
                match received.order {
                    Order::Stop => return Ok(received),
                    Order::Reload => self.reload(),
                }
            }
            if mounts_changed {
                // Drained first: what comes while the table is read wakes us again.
                self.monitor.drain()?;
                keep(&self.keeper).refresh_mounts();
            }
            keep(&self.keeper).look_around();
            keep(&self.keeper).end_override();
            self.look_at_parent();
        }
    }

    /// Who sent a signal: one that our parent handed on came from somebody else.
    pub(super) fn true_sender(&self, received: &Received) -> Option<(Pid, Uid)> {
        let sender = received.sender?;
        let relayed = self.supervised.is_some_and(|parent| parent.as_raw() == sender.0.0);
        if relayed { self.group.in_flight().sender() } else { Some(sender) }
    }

    /// Waits for a signal, a mount, or the next heartbeat. True where mounts came or went.
    fn wait(&self) -> io::Result<bool> {
        let mut fds = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.monitor.fd(), self.monitor.events()),
        ];
        let rest =
            if self.supervised.is_some() || keep(&self.keeper).looks_around() { HEARTBEAT } else { REST };
        let timeout = PollTimeout::try_from(rest).unwrap_or(PollTimeout::NONE);
        match poll(&mut fds, timeout) {
            Ok(_) => Ok(fds.last().and_then(PollFd::any).unwrap_or(false)),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn reload(&self) {
        self.service.reloading();
        let result = keep(&self.keeper).reload();
        match result {
            Ok(status) => self.service.ready(&status),
            Err(problems) => {
                let first = problems.first().map(ToString::to_string).unwrap_or_default();
                let line = first.lines().next().unwrap_or_default();
                self.service.ready(&format!("reload failed, the old rules stay: {line}"));
            }
        }
    }

    /// A parent that is gone can start no successor: the guard stands, and says so.
    fn look_at_parent(&mut self) {
        if self.supervised.is_some_and(|parent| parent != nix::unistd::getppid()) {
            self.supervised = None;
            let text = "the parent of this guard is gone: if the guard dies now, waiting execs run";
            self.shared.sink.notice(&Notice::Other { action: "parent-gone", text, failed: true });
            keep(&self.keeper).lose_parent();
        }
    }
}
