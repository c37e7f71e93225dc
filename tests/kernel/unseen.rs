//! What fanotify cannot see: told after the fact, with the same fields.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::bed::{Bed, Exec, Guard, bed, bed_within, exec, exec_as, wait_until};

const REPORT: &str = "unseen = \"report\"\n";

/// Compiles the ways, and a program that stays long enough to be looked at.
fn furnish(bed: &Bed) {
    let at = |name: &str| bed.path(name).display().to_string();
    fs::write(at("ways.c"), include_str!("unseen/ways.c")).unwrap();
    fs::write(at("program.c"), "#include <unistd.h>\nint main(void) { usleep(300000); return 0; }\n")
        .unwrap();
    for name in ["ways", "program"] {
        let output = Command::new("cc")
            .args(["-w", "-o", &at(name), &at(&format!("{name}.c"))])
            .output()
            .expect("cc is needed by these tests");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    fs::write(at("script"), "#!/bin/sh\nsleep 0.3\n").unwrap();
}

/// Takes a way that must work, and tells the process in which the program ran.
#[track_caller]
fn take(bed: &Bed, way: &str, program: &str) -> u64 {
    let mut command = Command::new(bed.path("ways"));
    command.args([way, bed.path(program).to_str().unwrap()]).stdin(Stdio::null());
    let mut child = command.spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{way} does not work");
    child.id().into()
}

/// What ran unseen. A guard is told of the whole host: of the other tests' programs too.
fn unseen(guard: &Guard, is_ours: impl Fn(&Value) -> bool) -> Vec<Value> {
    let records = guard.records().into_iter();
    records.filter(|record| record["shmguard"]["unseen"].is_string() && is_ours(record)).collect()
}

#[track_caller]
fn one_unseen(guard: &Guard, process: u64) -> Value {
    let of_process = || unseen(guard, |record| record["process"]["pid"] == process);
    wait_until("it is recorded", || !of_process().is_empty());
    let mut records = of_process();
    let told: Vec<_> = records
        .iter()
        .map(|record| {
            (&record["shmguard"]["unseen"], &record["process"]["executable"], &record["event"]["sequence"])
        })
        .collect();
    assert_eq!(records.len(), 1, "{told:?}");
    records.remove(0)
}

#[track_caller]
fn reported(way: &'static str, program: &'static str, kind: &'static str, executable: Option<&'static str>) {
    bed(move |bed| {
        furnish(bed);
        take(bed, way, program);
        let guard = bed.guard_with("mode = \"prevent\"\n", REPORT);
        // It cannot be denied, only told.
        let record = one_unseen(&guard, take(bed, way, program));
        assert_eq!(record["shmguard"]["unseen"], kind, "{record:#}");
        assert_eq!(record["event"]["kind"], "alert");
        assert_eq!(record["event"]["action"], "exec");
        assert_eq!(record["event"]["type"], serde_json::json!(["start", "allowed"]));
        assert_eq!(record["event"]["provider"], "proc-connector");
        assert_eq!(record["user"]["id"], "0");
        assert_eq!(record["process"]["parent"]["pid"], std::process::id(), "{record:#}");
        match executable {
            Some(executable) => assert_eq!(record["process"]["executable"], executable, "{record:#}"),
            None => assert!(record["process"].get("executable").is_none(), "{record:#}"),
        }
    });
}

#[test]
fn a_memfd_is_told() {
    reported("memfd", "program", "memfd", Some("/memfd:way"));
}

#[test]
fn a_memfd_under_a_name_in_proc_is_told() {
    reported("descriptor", "program", "memfd", Some("/memfd:way"));
}

#[test]
fn a_script_in_a_memfd_is_told() {
    reported("script", "script", "memfd", Some("/memfd:way"));
}

#[test]
fn shared_anonymous_memory_is_told() {
    reported("anonymous", "program", "anonymous", Some("/dev/zero"));
}

#[test]
fn a_shared_memory_segment_is_told() {
    reported("segment", "program", "shared_memory", Some("/SYSV00000000"));
}

#[test]
fn a_tmpfs_that_is_mounted_nowhere_is_told_and_its_path_is_no_name() {
    reported("detached", "program", "detached", None);
}

#[test]
fn who_mounts_and_executes_at_once_and_wins_is_told() {
    race(60);
}

/// The figures in docs/limitations.md: run it alone, with --nocapture.
#[test]
#[ignore = "a measurement"]
fn a_thousand_mount_and_execute_at_once_and_each_that_wins_is_told() {
    race(1000);
}

/// Mounts and executes at once, so many times. Each try is denied or told.
#[track_caller]
fn race(tries: usize) {
    bed_within(Duration::from_secs(300), move |bed| {
        furnish(bed);
        fs::write(bed.path("quick.c"), "#include <unistd.h>\nint main(void) { usleep(30000); return 0; }\n")
            .unwrap();
        let at = |name: &str| bed.path(name).display().to_string();
        assert!(Command::new("cc").args(["-o", &at("quick"), &at("quick.c")]).status().unwrap().success());
        fs::create_dir_all("/dev/shm/race").unwrap();
        let race = || {
            let mut command = Command::new(bed.path("ways"));
            command.args(["race", bed.path("quick").to_str().unwrap(), "/dev/shm/race", &tries.to_string()]);
            let output = command.stdin(Stdio::null()).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().parse::<usize>().unwrap()
        };
        assert_eq!(race(), tries, "it does not work without a guard");
        let guard = bed.guard_with("mode = \"prevent\"\n", REPORT);
        let winners = race();
        std::thread::sleep(Duration::from_millis(1500));
        // Not those of another test that runs the same race elsewhere on this machine.
        let ways = bed.path("ways");
        let records = unseen(&guard, |record| {
            let parent = record["process"]["parent"]["executable"].as_str();
            record["shmguard"]["unseen"] == "unmarked"
                && parent.is_none_or(|parent| Path::new(parent) == ways)
        });
        let denied = guard.attempts().iter().filter(|one| one["tags"][0] == "denied").count();
        eprintln!("{winners} of {tries} won the race against the marks, {} were told of", records.len());
        assert_eq!(records.len(), winners, "{records:#?}");
        assert_eq!(winners + denied, tries);
    });
}

#[test]
fn what_an_event_told_of_is_told_once() {
    bed(|bed| {
        furnish(bed);
        let program = bed.program("/dev/shm/x");
        let guard = bed.guard_with("mode = \"prevent\"\n", REPORT);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        assert_eq!(exec_as(65534, &program), Exec::Ran(0));
                    }
                });
            }
        });
        assert_eq!(exec(&program), Exec::Denied);
        // Something that is told comes after all of them.
        one_unseen(&guard, take(bed, "memfd", "program"));
        std::thread::sleep(Duration::from_millis(700));
        let twice = unseen(&guard, |record| record["process"]["executable"] == "/dev/shm/x");
        assert_eq!(twice, Vec::<Value>::new());
        let once = guard.attempts().into_iter().filter(|one| one["process"]["executable"] == "/dev/shm/x");
        assert_eq!(once.count(), 201);
    });
}

#[test]
fn an_allow_rule_excepts_what_runs_unseen() {
    bed(|bed| {
        furnish(bed);
        let policy = bed.path("policy.toml");
        fs::write(
            &policy,
            "[[rule]]\nid = \"runc\"\neffect = \"allow\"\n\
             when = 'shmguard.unseen == \"memfd\" and process.executable == \"/memfd:way\"'\n",
        )
        .unwrap();
        let configuration = format!("mode = \"prevent\"\npolicy = [\"{}\"]\n", policy.display());
        let guard = bed.guard_with(&configuration, REPORT);
        let record = one_unseen(&guard, take(bed, "memfd", "program"));
        assert_eq!(record["event"]["kind"], "event", "{record:#}");
        assert_eq!(record["tags"][0], "excepted");
    });
}

#[test]
fn nothing_is_told_where_nobody_asks_and_a_reload_asks() {
    bed(|bed| {
        furnish(bed);
        let guard = bed.guard_with("mode = \"prevent\"\n", "");
        let before = take(bed, "memfd", "program");
        bed.configure("mode = \"prevent\"\n", REPORT);
        guard.signal(nix::sys::signal::Signal::SIGHUP);
        wait_until("it is told", || {
            let process = take(bed, "memfd", "program");
            !unseen(&guard, |record| record["process"]["pid"] == process).is_empty()
        });
        assert!(unseen(&guard, |record| record["process"]["pid"] == before).is_empty());
        let text = guard.ask(&["status"]).0;
        assert!(text.contains("ran unseen"), "{text}");
    });
}
