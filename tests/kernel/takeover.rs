//! A guard that dies or hangs while execs wait: the next one takes over.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::bed::{Exec, Guard, bed, exec, wait_until};

#[test]
fn no_exec_is_let_through_when_the_worker_is_killed_again_and_again() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.supervised("mode = \"prevent\"\n");
        let stop = AtomicBool::new(false);
        let denied = AtomicUsize::new(0);
        let longest = std::sync::Mutex::new(Duration::ZERO);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        assert_eq!(exec(&program), Exec::Denied);
                        let mut longest = longest.lock().unwrap();
                        *longest = begun.elapsed().max(*longest);
                        denied.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            for _ in 0..5 {
                let worker = guard.worker();
                kill(worker, Signal::SIGKILL).unwrap();
                wait_until("another worker stands", || has_new_worker(&guard, worker));
            }
            stop.store(true, Ordering::Relaxed);
        });
        let denied = denied.load(Ordering::Relaxed);
        assert!(denied > 5, "{denied}");
        assert!(*longest.lock().unwrap() < Duration::from_secs(1), "{longest:?}");
        // Each has a record: of its own, or as settled by the take-over.
        let settled = settled_by_take_over(&guard);
        let recorded = guard.attempts().len();
        assert!(recorded + settled >= denied, "{recorded} recorded, {settled} settled, {denied} denied");
    });
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

fn has_new_worker(guard: &Guard, old: nix::unistd::Pid) -> bool {
    let (text, _, _) = guard.ask(&["status", "--json"]);
    text.contains("\"pid\"") && guard.worker() != old
}

fn settled_by_take_over(guard: &Guard) -> usize {
    guard
        .records()
        .iter()
        .filter(|record| {
            record.to_string().contains("taken_over\"") && record["event"]["action"] != "guard-started"
        })
        .count()
}
