//! Which execs raised an event and were let run: what runs and is not here, ran unseen.
//!
//! Written by the threads that answer, before the answer; asked by the one that is told of execs after the fact.
//! Switched off it costs one look at a flag.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::event::{Device, Pid};

/// The execs of the last seconds.
#[derive(Debug, Default)]
pub struct Seen {
    on: AtomicBool,
    execs: Mutex<HashMap<Key, Times>>,
}

/// Process, superblock, inode.
type Key = (i32, Device, u64);

/// How often, and when the last was (nanoseconds since boot).
#[derive(Clone, Copy, Debug)]
struct Times {
    count: u32,
    last: u64,
}

/// After this time an exec has been told of, or has failed.
const KEPT: u64 = 10_000_000_000;
/// Past this many, old ones are looked for and forgotten.
const MANY: usize = 16 * 1024;

impl Seen {
    /// Begins to keep execs, or ends to.
    pub fn switch(&self, on: bool) {
        self.on.store(on, Ordering::Release);
        if !on {
            self.execs().clear();
        }
    }

    /// Notes an exec that is about to be let run.
    pub fn note(&self, process: Pid, device: Device, inode: u64, now: u64) {
        if !self.on.load(Ordering::Acquire) {
            return;
        }
        let mut execs = self.execs();
        if execs.len() >= MANY {
            execs.retain(|_, times| now.saturating_sub(times.last) < KEPT);
        }
        let times = execs.entry((process.0, device, inode)).or_insert(Times { count: 0, last: now });
        *times = Times { count: times.count.saturating_add(1), last: now };
    }

    /// Whether an event told of this exec; each note answers once.
    pub fn take(&self, process: Pid, device: Device, inode: u64) -> bool {
        let key = (process.0, device, inode);
        let mut execs = self.execs();
        let Some(times) = execs.get_mut(&key) else { return false };
        times.count = times.count.saturating_sub(1);
        if times.count == 0 {
            execs.remove(&key);
        }
        true
    }

    fn execs(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Times>> {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: Device = Device { major: 0, minor: 27 };

    #[test]
    fn each_note_answers_once() {
        let seen = Seen::default();
        seen.note(Pid(7), DEVICE, 1, 100);
        assert!(!seen.take(Pid(7), DEVICE, 1), "it was off");
        seen.switch(true);
        seen.note(Pid(7), DEVICE, 1, 100);
        seen.note(Pid(7), DEVICE, 1, 101);
        assert!(!seen.take(Pid(8), DEVICE, 1));
        assert!(seen.take(Pid(7), DEVICE, 1));
        assert!(seen.take(Pid(7), DEVICE, 1));
        assert!(!seen.take(Pid(7), DEVICE, 1));
    }

    #[test]
    fn what_failed_is_forgotten_in_time() {
        let seen = Seen::default();
        seen.switch(true);
        for inode in 0..MANY {
            seen.note(Pid(7), DEVICE, u64::try_from(inode).unwrap(), 100);
        }
        seen.note(Pid(7), DEVICE, u64::MAX, 100 + KEPT);
        assert_eq!(seen.execs().len(), 1);
    }
}
