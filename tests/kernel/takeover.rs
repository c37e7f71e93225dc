//! A guard that dies or hangs while execs wait: the next one takes over.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::bed::{Exec, Guard, bed, bed_within, exec, wait_until};
use crate::faults::{generations, is, verified};

#[test]
fn no_exec_is_let_through_when_the_worker_is_killed_again_and_again() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.supervised("mode = \"prevent\"\n");
        let (denied, longest) = denied_while(4, &program, || {
            for _ in 0..5 {
                let worker = guard.worker();
                kill(worker, Signal::SIGKILL).unwrap();
                wait_until("another worker stands", || has_new_worker(&guard, worker));
            }
        });
        assert!(denied > 5, "{denied}");
        assert!(longest < Duration::from_secs(1), "{longest:?}");
        // Each has a record: of its own, or as settled by the take-over.
        let settled = settled_by_take_over(&guard);
        let recorded = guard.attempts().len();
        assert!(recorded + settled >= denied, "{recorded} recorded, {settled} settled, {denied} denied");
    });
}

#[test]
fn whatever_the_instant_of_a_workers_death_no_exec_is_let_through_and_each_is_recorded() {
    deaths(12);
}

#[test]
#[ignore = "long"]
fn two_hundred_deaths_at_any_instant_let_no_exec_through() {
    deaths(200);
}

/// Kills and aborts at times that no two runs share, while 16 threads and 4 processes wait.
fn deaths(count: u32) {
    bed_within(Duration::from_secs(300), move |bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.supervised("mode = \"prevent\"\n");
        let mut dice = u64::from(std::process::id()) << 20 | u64::from(count);
        let (denied, longest) = denied_while(8, &program, || {
            for _ in 0..count {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                std::thread::sleep(Duration::from_micros(dice >> 49));
                let worker = guard.worker();
                let signal = if dice >> 40 & 1 == 0 { Signal::SIGKILL } else { Signal::SIGABRT };
                kill(worker, signal).unwrap();
                wait_until("another worker stands", || has_new_worker(&guard, worker));
            }
        });
        let records = generations(bed);
        let recorded = records.iter().filter(|record| is(record, "exec")).count();
        let settled = settled_in(&records);
        eprintln!(
            "{count} deaths, {denied} denied, {recorded} recorded, {settled} settled, longest {longest:?}"
        );
        assert!(recorded + settled >= denied, "{recorded} recorded, {settled} settled, {denied} denied");
        assert!(longest < Duration::from_secs(2), "{longest:?}");
        let (whole, says) = verified(bed.path("events.ndjson").parent().unwrap());
        assert!(whole, "{says}");
    });
}

#[test]
fn a_worker_that_runs_out_of_memory_is_taken_over_and_lets_no_exec_through() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.supervised("mode = \"prevent\"\n");
        assert_eq!(exec(&program), Exec::Denied);
        let worker = guard.worker();
        let Some(cgroup) = Narrow::new() else {
            eprintln!("SKIPPED, NOT PASSED: no cgroup of this host limits memory");
            return;
        };
        cgroup.take(worker);
        let begun = Instant::now();
        while cgroup.kills() == 0 {
            assert_eq!(exec(&program), Exec::Denied);
            assert!(begun.elapsed() < Duration::from_secs(30), "it lives");
        }
        wait_until("another worker stands", || has_new_worker(&guard, worker));
        assert_eq!(exec(&program), Exec::Denied);
        assert!(guard.records().iter().any(|record| is(record, "guard-taken-over")));
    });
}

/// A cgroup that has no memory to give, of either version.
struct Narrow(PathBuf);

impl Narrow {
    fn new() -> Option<Self> {
        let name = format!("shmguard-test-{}", std::process::id());
        let limits = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        limits.into_iter().find_map(|(root, limit)| {
            let cgroup = Self(Path::new(root).join(&name));
            fs::create_dir(&cgroup.0).ok()?;
            // There is such a file only where this version rules the memory.
            fs::write(cgroup.0.join(limit), "131072").ok()?;
            Some(cgroup)
        })
    }

    fn take(&self, process: Pid) {
        fs::write(self.0.join("cgroup.procs"), process.to_string()).unwrap();
    }

    /// How many it has killed.
    fn kills(&self) -> u64 {
        let files = ["memory.oom_control", "memory.events"].map(|name| self.0.join(name));
        let text: String = files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap()
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).unwrap_or_default();
    }
}

#[test]
fn in_audit_mode_a_crash_denies_nothing() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.supervised("mode = \"audit\"\n");
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        assert_eq!(exec(&program), Exec::Ran(0));
                    }
                });
            }
            for _ in 0..3 {
                let worker = guard.worker();
                kill(worker, Signal::SIGKILL).unwrap();
                wait_until("another worker stands", || has_new_worker(&guard, worker));
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn a_worker_that_is_stopped_is_replaced_and_its_exec_denied_within_the_deadline_and_a_second() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.supervised("mode = \"prevent\"\nanswer_deadline = \"500ms\"\n");
        let worker = guard.worker();
        kill(worker, Signal::SIGSTOP).unwrap();
        let begun = Instant::now();
        assert_eq!(exec(&program), Exec::Denied);
        // The deadline, a second, and one heartbeat until the parent looks.
        assert!(begun.elapsed() < Duration::from_millis(2000), "{:?}", begun.elapsed());
        wait_until("another worker stands", || has_new_worker(&guard, worker));
        assert_eq!(exec(&program), Exec::Denied);
    });
}

#[test]
fn a_stop_through_the_parent_names_who_asked_for_it() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let mut guard = bed.supervised("mode = \"prevent\"\n");
        let worker = guard.worker();
        assert_ne!(worker, guard.pid());
        let comm = |pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        assert_eq!(comm(guard.pid()).trim(), "shmguard-parent");
        let status = Command::new("kill").args(["-TERM", &guard.pid().to_string()]).status().unwrap();
        assert!(status.success());
        assert!(guard.wait().success());
        assert_eq!(exec(&program), Exec::Ran(0));
        let last = guard.records().pop().unwrap();
        assert_eq!(last["event"]["action"], "guard-stopping");
        assert_ne!(last["process"]["pid"].as_i64(), Some(i64::from(guard.pid().as_raw())), "{last:#}");
    });
}

#[test]
fn a_mode_that_was_set_for_a_time_survives_a_crash_and_a_reload() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.supervised("mode = \"audit\"\n");
        assert_eq!(guard.ask(&["mode", "prevent", "--for", "1h"]).1, Some(0));
        assert_eq!(exec(&program), Exec::Denied);
        let worker = guard.worker();
        kill(worker, Signal::SIGKILL).unwrap();
        wait_until("another worker stands", || has_new_worker(&guard, worker));
        assert_eq!(exec(&program), Exec::Denied);
        assert_eq!(guard.ask(&["reload"]).1, Some(0));
        assert_eq!(exec(&program), Exec::Denied);
    });
}

#[test]
fn a_worker_that_cannot_start_is_not_started_again() {
    bed(|bed| {
        let config = bed.configure("mode = \"audit\"\n", "directories = [\"/nonexistent\"]");
        let mut guard = bed.launch(&config, &["--supervise"]);
        assert_eq!(guard.wait().code(), Some(78));
    });
}

/// Executes the program on so many threads for as long as `work` takes: each must be denied. How often it was, and how long
/// the longest took.
fn denied_while(threads: usize, program: &Path, work: impl FnOnce()) -> (usize, Duration) {
    let (stop, denied) = (AtomicBool::new(false), AtomicUsize::new(0));
    let longest = Mutex::new(Duration::ZERO);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    assert_eq!(exec(program), Exec::Denied);
                    let mut longest = longest.lock().unwrap();
                    *longest = begun.elapsed().max(*longest);
                    denied.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        work();
        stop.store(true, Ordering::Relaxed);
    });
    (denied.into_inner(), longest.into_inner().unwrap())
}

fn has_new_worker(guard: &Guard, old: Pid) -> bool {
    let (text, _, _) = guard.ask(&["status", "--json"]);
    text.contains("\"pid\"") && guard.worker() != old
}

fn settled_by_take_over(guard: &Guard) -> usize {
    settled_in(&guard.records())
}

fn settled_in(records: &[Value]) -> usize {
    let settled =
        |record: &&Value| record.to_string().contains("taken_over\"") && !is(record, "guard-started");
    records.iter().filter(settled).count()
}
