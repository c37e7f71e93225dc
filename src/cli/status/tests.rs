//! What an operator sees, word by word, and what a script gets.

use std::collections::BTreeMap;

use super::*;
use crate::control::protocol::{Code, Refusal};
use crate::control::server::{Limits, Listener, serve};
use crate::control::status::*;
use crate::event::{Effect, Failure};

const NOON: u64 = 1_767_268_800;

fn status() -> Status {
    Status {
        version: "0.1.0".to_owned(),
        pid: 812,
        started: NOON,
        uptime_seconds: 93_784,
        mode: ModeStatus {
            current: Mode::Prevent,
            until: None,
            then: None,
            source: ModeSource::Configuration,
        },
        problems: Vec::new(),
        marks: vec![mark("/dev/shm", "0:25", "watched directory"), mark("/run", "0:26", "watched directory")],
        left_out: vec![LeftOut {
            directory: "/run/shm".to_owned(),
            reason: "is not there".to_owned(),
            remedy: String::new(),
            harmless: true,
        }],
        policy: PolicyStatus {
            generation: 2,
            hash: "77af".to_owned(),
            loaded: NOON + 60,
            builtin: true,
            files: vec![file("/etc/shmguard/policy.d/10-site.toml", "c0ff"), file("(embedded)", "ee00")],
            failed_reload: None,
        },
        rules: vec![
            rule("site-agent", Effect::Allow, 12, None),
            rule("shm-exec-root", Effect::Deny, 3, Some(NOON + 86_400)),
        ],
        counters: Counters {
            attempts: 120,
            allowed: 117,
            denied: 3,
            excepted: 12,
            no_match: 105,
            ..Counters::new()
        },
        sinks: vec![SinkStatus {
            name: "file".to_owned(),
            target: "/var/log/shmguard/events.ndjson".to_owned(),
            state: SinkState::Working,
            written: 120,
            lost: 0,
            last_error: None,
        }],
        scheduling: Scheduling { in_force: "SCHED_FIFO 1".to_owned(), refused: None },
        evidence: EvidenceStatus { queued: 0, capacity: 64, full: 15, cut_short: 0 },
        answer_latency: Latency { count: 120, p50_us: 41, p99_us: 230, max_us: 12_400 },
        kernel: Kernel {
            release: "6.18.1".to_owned(),
            features: BTreeMap::from([("mount events".to_owned(), true), ("pidfd info".to_owned(), false)]),
        },
        watch: Watch {
            host_mounts: false,
            containers: true,
            loaders: "off".to_owned(),
            interpreters: "off".to_owned(),
            unseen: "off".to_owned(),
        },
        kept_by: KeptBy::ServiceManager,
    }
}

fn mark(path: &str, device: &str, reason: &str) -> Mark {
    Mark {
        path: path.to_owned(),
        filesystem: "tmpfs".to_owned(),
        device: device.to_owned(),
        kind: MarkKind::Filesystem,
        noexec: false,
        nosuid: true,
        since: NOON,
        reason: reason.to_owned(),
    }
}

fn file(path: &str, sha256: &str) -> PolicyFile {
    PolicyFile { path: path.to_owned(), sha256: sha256.to_owned() }
}

fn rule(id: &str, effect: Effect, hits: u64, expires: Option<u64>) -> RuleStatus {
    RuleStatus { id: id.to_owned(), effect, mode: None, hits, expires, expired: false }
}

/// Runs the command against a server that gives this reply: exit status, standard output, standard error.
fn against(reply: Reply, json: bool) -> (u8, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let listener = Listener::bind(&path).unwrap();
    let (stop, stopped) = std::io::pipe().unwrap();
    let server =
        std::thread::spawn(move || serve(listener, Limits::default(), stop.into(), |_, _| reply.clone()));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = run(&Args { json, socket: Socket::at(path) }, &mut out, &mut err);
    drop(stopped);
    server.join().unwrap().unwrap();
    (status, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn a_guarded_host_reads_like_this() {
    let page = "\
GUARDED: 2 filesystems, denials are real, all holds
  mode        prevent, set by the configuration
  process     812, version 0.1.0, up 1 d 2 h since 2026-01-01 12:00:00 UTC
  answers     half within 41 us, 99 % within 230 us, slowest 12 ms
  scheduling  SCHED_FIFO 1
  evidence    0 of 64 waiting, 15 in full, 0 cut short

Watched
  /dev/shm  tmpfs  0:25  whole filesystem  nosuid  since 2026-01-01 12:00:00 UTC  watched directory
  /run      tmpfs  0:26  whole filesystem  nosuid  since 2026-01-01 12:00:00 UTC  watched directory

Left out
  /run/shm  is not there

Policy
  generation 2, sha256 77af, read 2026-01-01 12:01:00 UTC
  /etc/shmguard/policy.d/10-site.toml  c0ff
  (embedded)                           ee00

Rules, in order
  site-agent     allow  12  matches
  shm-exec-root  deny    3  matches    until 2026-01-02 12:00:00 UTC

Attempts
  attempts         120
  denied             3
  would be denied    0  allowed in audit mode only
  allowed          117
  excepted          12  allowed by a rule
  no match         105  no rule applies
  unknown            0  decided by on_unknown
  outside            0  not in a watched directory, unrecorded
  take-overs         0  the guard was replaced while execs could wait
  queue overflows    0

Logs
  file  works  120  written  0  lost  /var/log/shmguard/events.ndjson

Kernel
  release  6.18.1
  has      mount events
  has not  pidfd info
";
    assert_eq!(render(&status(), Style::Plain), page);
}

#[test]
fn the_first_line_says_whether_the_host_is_guarded() {
    let first = |status: &Status| render(status, Style::Plain).lines().next().unwrap().to_owned();
    let mut status = status();
    status.mode.current = Mode::Audit;
    assert_eq!(first(&status), "AUDIT ONLY: 2 filesystems watched, nothing is denied, all holds");
    status.problems = vec![Shortfall { what: "w".to_owned(), remedy: "r".to_owned() }];
    assert_eq!(
        first(&status),
        "AUDIT ONLY, WITH GAPS: 2 filesystems watched, nothing is denied, 1 promise does not hold"
    );
    status.mode.current = Mode::Prevent;
    status.problems.push(Shortfall { what: "w".to_owned(), remedy: String::new() });
    status.marks.truncate(1);
    assert_eq!(first(&status), "GUARDED, WITH GAPS: 1 filesystem, 2 promises do not hold");
    status.marks.clear();
    assert_eq!(first(&status), "NOT GUARDED: nothing is watched");
}

#[test]
fn what_does_not_hold_stands_below_the_first_line_with_its_remedy() {
    let mut status = status();
    status.counters.failures.insert(Failure::NotRecorded.name().to_owned(), 4);
    status.find_problems();
    let page = render(&status, Style::Plain);
    let lines: Vec<_> = page.lines().skip(1).take(2).collect();
    assert_eq!(
        lines,
        [
            "  ! not_recorded happened 4 times since the start",
            "    -> attempts have no record: see the sinks"
        ]
    );
    assert!(page.contains("\nFailures\n  not_recorded  4\n"), "{page}");
}

#[test]
fn a_mode_for_a_time_says_until_when_and_what_follows() {
    let mut status = status();
    status.mode = ModeStatus {
        current: Mode::Audit,
        until: Some(NOON),
        then: Some(Mode::Prevent),
        source: ModeSource::Control,
    };
    let page = render(&status, Style::Plain);
    let mode = "  mode        audit, set by shmguard mode, until 2026-01-01 12:00:00 UTC, then prevent\n";
    assert!(page.contains(mode), "{page}");
}

#[test]
fn nothing_that_the_guard_reports_can_move_the_terminal() {
    let mut status = status();
    let hostile = "x\x1b]0;y\x07\nGUARDED";
    status.marks.push(mark(hostile, hostile, hostile));
    status.left_out.push(LeftOut {
        directory: hostile.to_owned(),
        reason: hostile.to_owned(),
        remedy: hostile.to_owned(),
        harmless: false,
    });
    status.rules.push(rule(hostile, Effect::Deny, 0, None));
    status.kernel.release = hostile.to_owned();
    status.kernel.features.insert(hostile.to_owned(), true);
    status.policy.hash = hostile.to_owned();
    status.policy.failed_reload = Some(FailedReload { at: 0, message: hostile.to_owned() });
    status.policy.files.push(file(hostile, hostile));
    status.counters.failures.insert(hostile.to_owned(), 1);
    status.scheduling = Scheduling { in_force: hostile.to_owned(), refused: Some(hostile.to_owned()) };
    status.version = hostile.to_owned();
    status.sinks.push(SinkStatus {
        name: hostile.to_owned(),
        target: hostile.to_owned(),
        state: SinkState::Failing,
        written: 0,
        lost: 1,
        last_error: Some(hostile.to_owned()),
    });
    status.find_problems();
    let page = render(&status, Style::Plain);
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
    assert_eq!(page.lines().filter(|line| line.starts_with("GUARDED")).count(), 1);
    let coloured = render(&status, Style::Colour);
    assert!(coloured.contains("\x1b[1;31mGUARDED, WITH GAPS\x1b[0m"));
}

#[test]
fn the_exit_status_says_whether_all_holds() {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "this test needs root");
        eprintln!("SKIPPED: this test needs root");
        return;
    }
    let good = Reply::Status { status: Box::new(status()) };
    let (exit, out, err) = against(good.clone(), false);
    assert_eq!((exit, err.as_str()), (0, ""));
    assert!(out.starts_with("GUARDED"), "{out}");

    let (exit, out, _) = against(good, true);
    assert_eq!(exit, 0);
    assert_eq!(serde_json::from_str::<Status>(&out).unwrap(), status());

    let mut broken = status();
    broken.problems.push(Shortfall { what: "w".to_owned(), remedy: "r".to_owned() });
    let (exit, out, _) = against(Reply::Status { status: Box::new(broken) }, true);
    assert_eq!(exit, 1);
    assert!(out.contains("\"problems\""));

    let refused = Reply::Error(Refusal::new(Code::NotPermitted, "no"));
    let (exit, out, err) = against(refused, false);
    assert_eq!((exit, out.as_str()), (77, ""));
    assert!(
        err.starts_with("shmguard: only root may speak to the guard at ") && err.contains("run this as root")
    );

    let (exit, _, err) = against(Reply::Done { message: "x".to_owned() }, false);
    assert_eq!((exit, err.as_str()), (76, "shmguard: the guard answered another question\n"));
}

#[test]
fn without_a_guard_the_exit_status_is_69_and_names_the_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none.sock");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    assert_eq!(run(&Args { json: true, socket: Socket::at(&path) }, &mut out, &mut err), 69);
    assert!(out.is_empty());
    let err = String::from_utf8(err).unwrap();
    let expected = format!("shmguard: no guard is running at {}\n  = help: start one:", path.display());
    assert!(err.starts_with(&expected), "{err}");
}

#[test]
fn every_counter_that_json_has_is_on_the_page_too() {
    let mut status = status();
    let mut value = 700_000;
    let mut json = serde_json::to_value(&status.counters).unwrap();
    for (_, field) in json.as_object_mut().unwrap() {
        if field.is_number() {
            value += 1;
            *field = value.into();
        }
    }
    status.counters = serde_json::from_value(json).unwrap();
    let page = render(&status, Style::Plain);
    for number in 700_001..=value {
        assert!(page.contains(&number.to_string()), "{number} is missing:\n{page}");
    }
}
