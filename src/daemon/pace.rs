//! The reader's scheduling class, which follows how busy the host is.
//!
//! Every answer wakes every waiter of the group, and where there are many of them all of them run before a reader of their
//! own class gets to the next event: with SCHED_FIFO it comes first. Otherwise that class does harm. On a host with idle
//! CPUs the scheduler takes the CPU of a real-time task for a smaller one, moves the caller away from it, and each of the
//! two then wakes the other on a CPU that sleeps (measured: a denied exec costs twice as much). Where something else
//! keeps a CPU busy, a real-time reader interrupts it in the middle of its slice, and the caller that is then woken waits
//! until that slice has ended (measured: 4 ms, and not 0.1). So the class is SCHED_FIFO while more than two tasks for
//! each CPU want to run, and the usual one otherwise.
//!
//! Called by the reader alone, for its own thread.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use crate::control::status::Scheduling;
use crate::sys::scheduling;

/// The class of the calling thread.
#[derive(Debug)]
pub(super) struct Pace {
    /// Where the number of tasks that want to run is told; `None`: the class stays what it is.
    load: Option<File>,
    cpus: u64,
    first: bool,
    looked: u64,
    calm: u32,
    needs_capability: bool,
}

/// How long a look at the load is believed.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// More tasks than this for each CPU are a crowd.
const CROWD: u64 = 2;

/// How many looks in a row must find idle CPUs before the class changes back: changing is cheap, and being late is not.
const CALM_LOOKS: u32 = 25;

impl Pace {
    /// Tries what the thread may be, before it gives up CAP_SYS_NICE, and tells it for `status`. Where the limit that it
    /// changes its class by cannot be raised, it [needs](Self::needs_capability) the capability for that.
    pub(super) fn new() -> (Self, Scheduling) {
        let fixed = Self { load: None, cpus: 0, first: true, looked: 0, calm: 0, needs_capability: false };
        let refused = match scheduling::fifo() {
            Ok(()) => match File::open("/proc/loadavg") {
                Ok(load) => {
                    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
                    let cpus = u64::try_from(cpus).unwrap_or(u64::MAX);
                    let needs_capability = scheduling::keep_fifo().is_err();
                    let told =
                        in_force("SCHED_FIFO 1 while more than two tasks for each CPU want to run", None);
                    return (Self { load: Some(load), cpus, needs_capability, ..fixed }, told);
                }
                Err(error) => {
                    return (fixed, in_force("SCHED_FIFO 1", Some(format!("/proc/loadavg: {error}"))));
                }
            },
            Err(error) => format!("SCHED_FIFO: {error}"),
        };
        let told = match scheduling::nice(-20) {
            Ok(()) => in_force("nice -20", Some(refused)),
            Err(error) => in_force("default", Some(format!("{refused}; nice -20: {error}"))),
        };
        (fixed, told)
    }

    /// Whether only CAP_SYS_NICE lets the thread change its class again.
    pub(super) fn needs_capability(&self) -> bool {
        self.needs_capability
    }

    /// Looks at the load, if the last look is old, and changes the class where it should be another. `now` in
    /// nanoseconds since boot.
    pub(super) fn adapt(&mut self, now: u64) {
        let Some(load) = &self.load else { return };
        if u128::from(now.saturating_sub(self.looked)) < LOOK_EVERY.as_nanos() {
            return;
        }
        self.looked = now;
        let mut text = [0; 64];
        let length = load.read_at(&mut text, 0).unwrap_or(0);
        // A load that can't be read is taken for a high one.
        let short = text
            .get(..length)
            .and_then(running)
            .is_none_or(|running| running > self.cpus.saturating_mul(CROWD));
        self.calm = if short { 0 } else { self.calm.saturating_add(1) };
        let first = short || self.first && self.calm < CALM_LOOKS;
        if first != self.first {
            let changed = if first { scheduling::fifo() } else { scheduling::usual() };
            // Refused, it stays what it is, and is tried again at the next look.
            self.first = if changed.is_ok() { first } else { self.first };
        }
    }
}

/// How many tasks run or want to, from the text of /proc/loadavg: "0.20 0.18 0.12 1/80 11206".
fn running(text: &[u8]) -> Option<u64> {
    let field = text.split(|byte| *byte == b' ').nth(3)?;
    let count = field.split(|byte| *byte == b'/').next()?;
    std::str::from_utf8(count).ok()?.parse().ok()
}

fn in_force(what: &str, refused: Option<String>) -> Scheduling {
    Scheduling { in_force: what.to_owned(), refused }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_number_of_running_tasks_is_read() {
        assert_eq!(running(b"0.20 0.18 0.12 1/80 11206\n"), Some(1));
        assert_eq!(running(b"43.98 22.01 12.14 115/170 32604\n"), Some(115));
        for broken in [&b""[..], b"0.20", b"0.20 0.18 0.12 x/80 1", b"0.20 0.18 0.12 \xff/80 1"] {
            assert_eq!(running(broken), None);
        }
    }

    #[test]
    fn a_load_is_believed_for_a_while_and_a_calm_one_only_when_it_lasts() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0.00 0.00 0.00 5/80 1\n").unwrap();
        let mut pace = Pace {
            load: Some(file.try_clone().unwrap()),
            cpus: 2,
            first: true,
            looked: 0,
            calm: 0,
            needs_capability: false,
        };
        let step = u64::try_from(LOOK_EVERY.as_nanos()).unwrap();
        pace.adapt(step);
        assert_eq!((pace.first, pace.calm), (true, 0));
        file.write_all_at(b"0.00 0.00 0.00 4/80 1\n", 0).unwrap();
        pace.adapt(step + 1);
        assert_eq!(pace.calm, 0, "it was looked again at once");
        for look in 2..u64::from(CALM_LOOKS) + 1 {
            pace.adapt(look * step);
            assert!(pace.first);
        }
        pace.adapt(1000 * step);
        assert!(!pace.first);
    }
}
