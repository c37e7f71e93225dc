//! The main thread while the guard stands: signals, mounts that come and go.
//!
//! Wakes for events, when a mode's time is up, and, where there is something to look at, about once a second. Never on
//! the way of an answer.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;

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

/// The main thread's tools.
pub(super) struct Steward {
    pub(super) keeper: Arc<Mutex<Keeper>>,
    pub(super) shared: Arc<Shared<Log>>,
    pub(super) group: Arc<Group>,
    pub(super) service: Service,
    pub(super) signals: Signals,
    pub(super) monitor: Monitor,
    /// The keeper rings when a mode was set: its time may end before we would wake.
    pub(super) nudge: Arc<EventFd>,
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
            let left = keep(&self.keeper).end_override();
            let mounts_changed = self.wait(left)?;
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
            self.look_at_parent();
        }
    }

    /// Who sent a signal: one that our parent handed on came from somebody else.
    pub(super) fn true_sender(&self, received: &Received) -> Option<(Pid, Uid)> {
        let sender = received.sender?;
        let relayed = self.supervised.is_some_and(|parent| parent.as_raw() == sender.0.0);
        if relayed { self.group.in_flight().sender() } else { Some(sender) }
    }

    /// Waits for a signal, a mount, the next heartbeat, or until a mode holds no longer, which takes `left`. True where
    /// mounts came or went.
    fn wait(&self, left: Option<Duration>) -> io::Result<bool> {
        let mut fds = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.nudge.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.monitor.fd(), self.monitor.events()),
        ];
        let beats = self.supervised.is_some() || keep(&self.keeper).looks_around();
        match poll(&mut fds, timeout(beats.then_some(HEARTBEAT), left)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if fds.get(1).and_then(PollFd::any).unwrap_or(false) {
            // How often it was rung tells nothing: the keeper is asked in any case.
            let _rung = self.nudge.read();
        }
        Ok(fds.last().and_then(PollFd::any).unwrap_or(false))
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

/// The earlier of the two; for good where there is neither.
fn timeout(beat: Option<Duration>, left: Option<Duration>) -> PollTimeout {
    let Some(longest) = [beat, left].into_iter().flatten().min() else { return PollTimeout::NONE };
    // One more than the truncated milliseconds, else the last one is spent in a busy loop. What poll(2) cannot wait for
    // at once, three weeks and more, is waited for piece by piece.
    let milliseconds = i32::try_from(longest.as_millis().saturating_add(1)).unwrap_or(i32::MAX);
    PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_thread_sleeps_until_the_earlier_of_beat_and_end_and_never_shorter_than_it_is_away() {
        let of = |beat, left| i32::from(timeout(beat, left));
        assert_eq!(of(None, None), -1);
        assert_eq!(of(Some(HEARTBEAT), None), 901);
        assert_eq!(of(Some(HEARTBEAT), Some(Duration::from_secs(60))), 901);
        assert_eq!(of(Some(HEARTBEAT), Some(Duration::from_micros(2_500))), 3);
        assert_eq!(of(None, Some(Duration::from_hours(24 * 365))), i32::MAX);
    }
}
