//! A successor that cannot stand, or not as it should: whoever waits for it gets an answer all the same.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bed::{Bed, Exec, Guard, bed, exec, records_in, wait_until};
use crate::faults::{file_sink, is, logging_to, verified};

#[test]
fn a_successor_whose_log_cannot_be_opened_stands_without_it_and_says_so() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let log = bed.path("log");
        let guard = bed.supervised_with(&logging_to(bed, &log, "mode = \"prevent\"\n"));
        assert_eq!(exec(&program), Exec::Denied);
        let worker = guard.worker();
        // Where the file lies and the directory cannot be moved away, as on a disk that has become read-only.
        fs::rename(&log, bed.path("moved")).unwrap();
        fs::write(&log, "in the way").unwrap();
        kill(worker, Signal::SIGKILL).unwrap();
        assert_eq!(exec(&program), Exec::Denied);
        assert_ne!(guard.worker(), worker);
        let sink = file_sink(&guard);
        assert_eq!(
            (&sink["state"], &sink["last_error"]),
            (&"failing".into(), &"File exists".into()),
            "{sink}"
        );
        assert!(guard.stderr().contains("the log cannot be used yet: File exists"), "{}", guard.stderr());
        assert_eq!(guard.ask(&["status"]).1, Some(1));
        fs::remove_file(&log).unwrap();
        fs::rename(bed.path("moved"), &log).unwrap();
        wait_until("the log goes on", || file_sink(&guard)["state"] == "working");
        assert_eq!(exec(&program), Exec::Denied);
        let records = records_in(&log.join("events.ndjson"));
        assert!(records.iter().any(|record| is(record, "guard-taken-over")));
        assert_eq!(records.iter().filter(|record| is(record, "exec")).count(), 2, "one was lost");
        let (whole, says) = verified(&log);
        assert!(whole, "{says}");
    });
}

#[test]
fn while_no_successor_can_start_what_waits_is_denied_in_prevention_and_told_later() {
    bed(|bed| {
        let guard = cannot_start(bed, "prevent", &Exec::Denied);
        let (whole, says) = verified(bed.path("events.ndjson").parent().unwrap());
        assert!(whole, "{says}");
        let missing = |record: &serde_json::Value| record.to_string().contains("missing");
        wait_until("what was not recorded is told", || guard.records().iter().any(missing));
    });
}

#[test]
fn while_no_successor_can_start_nothing_is_denied_in_audit_mode() {
    bed(|bed| drop(cannot_start(bed, "audit", &Exec::Ran(0))));
}

#[test]
fn while_each_successor_dies_before_it_stands_what_waits_is_denied_all_the_same() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.supervised_with(&bed.configure("mode = \"prevent\"\n", ""));
        assert_eq!(exec(&program), Exec::Denied);
        guard.worker();
        let parent = guard.pid();
        let goes_on = AtomicBool::new(true);
        let killed = std::thread::scope(|scope| {
            let killer = scope.spawn(|| {
                let mut killed = 0;
                while goes_on.load(Ordering::Relaxed) {
                    let children =
                        fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
                    for child in children.split_whitespace().map(|pid| pid.parse().unwrap()) {
                        std::thread::sleep(Duration::from_millis(4));
                        killed += usize::from(kill(Pid::from_raw(child), Signal::SIGKILL).is_ok());
                    }
                }
                killed
            });
            std::thread::sleep(Duration::from_millis(100));
            for _ in 0..3 {
                // Without an answer this waits for ever.
                assert_eq!(exec(&program), Exec::Denied);
            }
            goes_on.store(false, Ordering::Relaxed);
            killer.join().unwrap()
        });
        assert!(killed > 5, "{killed}");
        guard.worker();
        assert_eq!(exec(&program), Exec::Denied);
    });
}

/// A configuration with a mistake, then the worker's death; execs; and the mistake is mended.
fn cannot_start(bed: &Bed, mode: &str, expected: &Exec) -> Guard {
    let program = bed.program("/dev/shm/x");
    let config = bed.configure(&format!("mode = \"{mode}\"\n"), "");
    let guard = bed.supervised_with(&config);
    assert_eq!(&exec(&program), expected);
    let good = fs::read(&config).unwrap();
    writeln!(OpenOptions::new().append(true).open(&config).unwrap(), "mistake = ").unwrap();
    kill(guard.worker(), Signal::SIGKILL).unwrap();
    for _ in 0..3 {
        // Without an answer this waits for ever.
        assert_eq!(&exec(&program), expected);
    }
    wait_until("it says so", || guard.stderr().contains("no guard stands"));
    fs::write(&config, good).unwrap();
    guard.worker();
    assert_eq!(&exec(&program), expected);
    guard
}
