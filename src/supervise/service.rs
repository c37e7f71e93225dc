//! What is told to systemd: READY, RELOADING, STOPPING, STATUS, WATCHDOG.
//!
//! Without systemd (`NOTIFY_SOCKET` unset) every call does nothing. A message that cannot be sent is dropped: systemd
//! then acts as it does on silence, which is the truth.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::sys::inherited;

/// The service manager, if there is one.
#[derive(Debug)]
pub struct Service {
    watchdog: Option<Duration>,
}

impl Service {
    /// Reads the environment that the service manager gave.
    #[must_use]
    pub fn new() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled() }
    }

    /// True where the service manager, process 1, started this process itself.
    #[must_use]
    pub fn started_us() -> bool {
        nix::unistd::getppid().as_raw() == 1 && std::env::var_os("INVOCATION_ID").is_some()
    }

    /// How often [`Service::alive`] must be called at least: half of what the manager asks for.
    #[must_use]
    pub fn heartbeat(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// The descriptors that the manager kept for us, by the names that we gave them (sd_listen_fds_with_names(3)). Taken
    /// once; the caller owns them.
    ///
    /// # Errors
    /// What we were told about them does not fit together.
    pub fn kept() -> io::Result<BTreeMap<String, OwnedFd>> {
        let kept = sd_notify::listen_fds_with_names()?;
        kept.map(|(number, name)| Ok((name, inherited::own(number)?))).collect()
    }

    /// Gives descriptors to the manager, to be kept for the next process of this service. True where there is a manager
    /// that took the message.
    pub fn keep(&self, descriptors: &[(&str, BorrowedFd<'_>)]) -> bool {
        std::env::var_os("NOTIFY_SOCKET").is_some()
            && descriptors.iter().all(|(name, descriptor)| {
                let state = [NotifyState::FdStore, NotifyState::FdName(name)];
                sd_notify::notify_with_fds(&state, &[*descriptor]).is_ok()
            })
    }

    /// Every mark is in place.
    pub fn ready(&self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// One line for `systemctl status`.
    pub fn status(&self, status: &str) {
        tell(&[NotifyState::Status(status)]);
    }

    /// A reload begins; [`Service::ready`] ends it.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    /// An orderly stop begins.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// The guard still answers.
    pub fn alive(&self) {
        tell(&[NotifyState::Watchdog]);
    }
}

impl Default for Service {
    fn default() -> Self {
        Self::new()
    }
}

fn tell(states: &[NotifyState<'_>]) {
    // Nobody to tell a failure to: see the module.
    drop(sd_notify::notify(states));
}
