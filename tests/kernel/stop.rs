//! Stops, reloads, refusals to start, and many execs at once.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::bed::{Bed, Exec, bed, end_of, exec, wait_until};

#[test]
fn two_hundred_execs_at_once_are_each_denied_and_recorded_once() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        assert_eq!(exec(&program), Exec::Denied);
                    }
                });
            }
        });
        let records = guard.records();
        let attempts = records.iter().filter(|record| record["event"]["action"] == "exec").count();
        assert_eq!(attempts, 200);
        let sequence: Vec<_> =
            records.iter().map(|record| record["event"]["sequence"].as_u64().unwrap()).collect();
        let first = sequence[0];
        assert!(sequence.iter().zip(first..).all(|(seen, wanted)| *seen == wanted), "{sequence:?}");
    });
}

#[test]
fn a_stop_answers_what_waits_names_the_sender_and_takes_less_than_a_second() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let mut guard = bed.prevent();
        let stop = Arc::new(AtomicBool::new(false));
        let loops: Vec<_> = (0..4)
            .map(|_| {
                let (program, stop) = (program.clone(), Arc::clone(&stop));
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        exec(&program);
                    }
                })
            })
            .collect();
        wait_until("execs are under way", || guard.attempts().len() > 20);
        let begun = Instant::now();
        guard.signal(Signal::SIGTERM);
        assert!(guard.wait().success());
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        stop.store(true, Ordering::Relaxed);
        for thread in loops {
            thread.join().unwrap();
        }
        assert_eq!(exec(&program), Exec::Ran(0));
        let last = guard.records().pop().unwrap();
        let text = last.to_string();
        assert!(text.contains(&format!("{}", std::process::id())), "{last:#}");
        assert!(!bed.path("control.sock").exists());
    });
}

#[test]
fn a_reload_changes_the_rules_and_a_bad_one_changes_nothing() {
    bed(|bed| {
        let program = bed.program("/dev/shm/tool");
        let policy = bed.path("policy.toml");
        fs::write(&policy, "").unwrap();
        let configuration = format!("mode = \"prevent\"\npolicy = [\"{}\"]\n", policy.display());
        let guard = bed.guard(&configuration);
        assert_eq!(exec(&program), Exec::Denied);
        fs::write(
            &policy,
            "[[rule]]\nid = \"tool\"\neffect = \"allow\"\nwhen = 'process.executable == \"/dev/shm/tool\"'\n",
        )
        .unwrap();
        guard.signal(Signal::SIGHUP);
        wait_until("the new rules hold", || exec(&program) == Exec::Ran(0));
        fs::write(
            &policy,
            "[[rule]]\nid = \"tool\"\neffect = \"allow\"\nwhen = 'proces.executable == \"x\"'\n",
        )
        .unwrap();
        guard.signal(Signal::SIGHUP);
        wait_until("the failed reload is recorded", || {
            guard.records().iter().any(|record| record.to_string().contains("policy.toml:4"))
        });
        assert_eq!(exec(&program), Exec::Ran(0));
        let (_, code, _) = guard.ask(&["status"]);
        assert_eq!(code, Some(1));
    });
}

#[test]
fn a_reload_hides_other_arguments_and_says_what_needs_a_restart() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.guard("mode = \"prevent\"\n[evidence]\nredact = [\"--password=*\"]\n");
        let call = || end_of(Command::new(&program).args(["--password=geheim", "--token=leise"]));
        assert_eq!(call(), Exec::Denied);
        let shown = &guard.only_attempt()["process"]["args"];
        assert_eq!(shown[1], "--password=[redacted]");
        assert_eq!(shown[2], "--token=leise");
        let changed = "mode = \"prevent\"\nanswer_deadline = \"3s\"\n[evidence]\nredact = [\"--token=*\"]\n";
        bed.configure(changed, "");
        let (told, code, _) = guard.ask(&["reload"]);
        assert_eq!(code, Some(0));
        assert!(told.contains("from the next start on: answer_deadline"), "{told}");
        assert_eq!(call(), Exec::Denied);
        let shown = &guard.attempts()[1]["process"]["args"];
        assert_eq!(shown[1], "--password=geheim");
        assert_eq!(shown[2], "--token=[redacted]");
        assert!(guard.records().iter().any(|record| record["event"]["action"] == "restart-needed"));
    });
}

#[test]
fn reloads_under_load_lose_no_exec() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        assert_eq!(exec(&program), Exec::Denied);
                    }
                });
            }
            for _ in 0..20 {
                guard.signal(Signal::SIGHUP);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        assert_eq!(guard.attempts().len(), 200);
    });
}

#[test]
fn mistakes_in_configuration_and_policy_end_with_78_and_their_place() {
    bed(|bed| {
        let cases: [(&str, &str); 6] = [
            ("moed = \"audit\"", "shmguard.toml:1:1"),
            ("mode = 3", "shmguard.toml:1:8"),
            ("mode = \"prevent", "shmguard.toml:1:"),
            ("policy = [\"/nonexistent/x.toml\"]", "/nonexistent/x.toml"),
            ("answer_deadline = \"forever\"", "shmguard.toml:1:19"),
            ("builtin = false\npolicy = []", "no policy"),
        ];
        for (text, told) in cases {
            let stderr = refused(bed, text, 78);
            assert!(stderr.contains(told), "{text}: {stderr}");
        }
    });
}

#[test]
fn a_bad_policy_at_start_falls_back_to_the_last_good_one_where_that_is_wanted() {
    bed(|bed| {
        let program = bed.program("/dev/shm/tool");
        let policy = bed.path("policy.toml");
        let rule =
            "[[rule]]\nid = \"tool\"\neffect = \"allow\"\nwhen = 'process.executable == \"/dev/shm/tool\"'\n";
        fs::write(&policy, rule).unwrap();
        let configuration = format!(
            "mode = \"prevent\"\non_bad_policy = \"last-good\"\npolicy = [\"{}\"]\n",
            policy.display()
        );
        drop(bed.guard(&configuration));
        fs::write(&policy, "[[rule]]\nid = 3\n").unwrap();
        let guard = bed.guard(&configuration);
        assert_eq!(exec(&program), Exec::Ran(0));
        let (status, code, _) = guard.ask(&["status"]);
        assert_eq!(code, Some(1));
        assert!(status.contains("policy.toml:1"), "{status}");
        drop(guard);
        let strict = configuration.replace("last-good", "fail");
        assert!(refused(bed, &strict, 78).contains("policy.toml:1"));
    });
}

#[test]
fn a_policy_that_others_can_write_or_that_is_not_roots_is_refused() {
    bed(|bed| {
        let policy = bed.path("policy.toml");
        fs::write(&policy, "").unwrap();
        let configuration = format!("policy = [\"{}\"]\n", policy.display());
        fs::set_permissions(&policy, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(refused(bed, &configuration, 78).contains("writable by others"));
        fs::set_permissions(&policy, fs::Permissions::from_mode(0o644)).unwrap();
        chown(&policy, Some(1000), None).unwrap();
        assert!(refused(bed, &configuration, 78).contains("belongs to uid 1000"));
    });
}

#[test]
fn a_second_guard_on_the_same_socket_says_who_holds_it() {
    bed(|bed| {
        let guard = bed.prevent();
        let stderr = refused(bed, "mode = \"audit\"\n", 75);
        assert!(stderr.contains(&guard.pid().to_string()), "{stderr}");
    });
}

#[test]
fn nothing_to_watch_is_refused() {
    bed(|bed| {
        let config = bed.configure("mode = \"audit\"\n", "directories = [\"/nonexistent\"]");
        let mut guard = bed.start(&config);
        assert_eq!(guard.wait().code(), Some(78));
        assert!(guard.stderr().contains("/nonexistent"), "{}", guard.stderr());
    });
}

fn refused(bed: &Bed, configuration: &str, status: i32) -> String {
    let config = bed.configure(configuration, "");
    let mut guard = bed.start(&config);
    let ended = guard.wait();
    let stderr = guard.stderr();
    assert_eq!(ended.code(), Some(status), "{stderr}");
    stderr
}
