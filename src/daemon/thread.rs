//! What every thread of the guard has in common: how it starts, how its end is waited for, and what it does where a
//! group cannot be read any more.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::error::{StartError, say, system};
use crate::record::{Log, Notice};

/// How long threads may take to end once they are asked to.
const LEAVE_WITHIN: Duration = Duration::from_millis(700);

/// Starts a thread of the guard.
pub(super) fn spawn(
    name: &'static str,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map_err(system("start a thread"))
}

/// Waits until the threads have ended. False: they did not in time.
pub(super) fn have_ended(threads: &[&JoinHandle<()>]) -> bool {
    let begun = Instant::now();
    while !threads.iter().all(|thread| thread.is_finished()) {
        if begun.elapsed() > LEAVE_WITHIN {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

/// The end of a guard that cannot read a group any more.
pub(super) fn give_way(log: &Log, error: &io::Error) -> ! {
    let text = format!("the group cannot be read any more: {error}");
    log.notice(&Notice::Other { action: "reader-failed", text: &text, failed: true });
    say(&format!("shmguard: {text}"));
    std::process::abort();
}
