//! What is told to systemd: READY, RELOADING, STOPPING, STATUS, WATCHDOG.
//!
//! Without systemd (`NOTIFY_SOCKET` unset) every call does nothing. A message that cannot be sent is dropped: systemd
//! then acts as it does on silence, which is the truth.

use std::time::Duration;

use sd_notify::NotifyState;

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

    /// How often [`Service::alive`] must be called at least: half of what the manager asks for.
    #[must_use]
    pub fn heartbeat(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
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
