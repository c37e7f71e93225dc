//! The way of an attempt against a scripted kernel: order, failures, races that no real kernel plays on demand.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, reason = "tests fail by panicking")]

mod fake_kernel;

use std::sync::atomic::Ordering;
use std::time::Duration;

use fake_kernel::{Script, Seen, bench, bench_of};
use shmguard::daemon::pipeline::Next;
use shmguard::event::{Arguments, Cause, Fact, Failure, Groups, Mode, Response, Settled, Texts, Uid};
use shmguard::identify::Standing;
use shmguard::policy::Generation;
use shmguard::record::Cut;
use shmguard::watch::plan::Placement;

const EXCEPTION: &str = r#"
[[rule]]
id = "mine"
effect = "allow"
when = 'process.executable like "/dev/shm/mine/*"'
[[rule]]
id = "root"
effect = "deny"
when = 'user.id == "0"'
"#;

const BY_ARGUMENT: &str = r#"
[[rule]]
id = "init"
effect = "deny"
when = 'process.args == "--init"'
"#;

fn answered<D>(next: Next<D>) -> bool {
    matches!(next, Next::Answered(_))
}

#[test]
fn the_record_is_written_before_the_answer() {
    let mut bench = bench(Mode::Prevent, "", Script::root("/dev/shm/x"));
    let exec = bench.exec();
    assert!(answered(bench.pipeline.judge(exec, Box::default())));
    let seen = bench.seen();
    assert!(matches!(seen[..], [Seen::Recorded(_), Seen::Answered(4242, Response::Deny)]), "{seen:?}");
}

#[test]
fn audit_mode_never_denies_whatever_is_known_or_fails() {
    for uid in [Fact::Known(Uid::ROOT), Fact::Unknown(Cause::Gone)] {
        for broken in [false, true] {
            let mut bench = bench(Mode::Audit, "", Script { uid: uid.clone(), ..Script::root("/dev/shm/x") });
            bench.sink.broken.store(broken, Ordering::Relaxed);
            let exec = bench.exec();
            assert!(answered(bench.pipeline.judge(exec, Box::default())));
            assert_eq!(bench.answers(), [Response::Allow]);
        }
    }
}

#[test]
fn a_caller_that_is_gone_is_denied_in_prevention_and_counted() {
    let script = Script { uid: Fact::Unknown(Cause::Gone), ..Script::root("/dev/shm/x") };
    let mut bench = bench(Mode::Prevent, "", script);
    let exec = bench.exec();
    assert!(answered(bench.pipeline.judge(exec, Box::default())));
    assert_eq!(bench.answers(), [Response::Deny]);
    let counted = bench.shared.counters.failures().find(|(kind, _)| *kind == Failure::SubjectUnknown);
    assert_eq!(counted, Some((Failure::SubjectUnknown, 1)));
}

#[test]
fn a_record_that_cannot_be_written_leaves_a_denial_standing_and_allows_the_rest() {
    for (uid, answer) in [(Uid::ROOT, Response::Deny), (Uid(1000), Response::Allow)] {
        let mut bench =
            bench(Mode::Prevent, "", Script { uid: Fact::Known(uid), ..Script::root("/dev/shm/x") });
        bench.sink.broken.store(true, Ordering::Relaxed);
        let exec = bench.exec();
        assert!(answered(bench.pipeline.judge(exec, Box::default())));
        assert_eq!(bench.answers(), [answer]);
        let counted = bench.shared.counters.failures().find(|(kind, _)| *kind == Failure::NotRecorded);
        assert_eq!(counted, Some((Failure::NotRecorded, 1)));
    }
}

#[test]
fn an_exception_holds_only_for_a_file_that_is_still_there() {
    let still = Script::root("/dev/shm/mine/tool");
    let moved = Script { confirms: vec![Standing::Gone], ..still.clone() };
    for (script, answer) in [(still, Response::Allow), (moved, Response::Deny)] {
        let mut bench = bench(Mode::Prevent, EXCEPTION, script);
        let exec = bench.exec();
        assert!(answered(bench.pipeline.judge(exec, Box::default())));
        assert_eq!(bench.answers(), [answer]);
    }
}

#[test]
fn an_exception_for_a_file_that_came_lately_waits_for_the_name_by_which_it_was_called() {
    for (then, answer) in [(Standing::There, Response::Allow), (Standing::Gone, Response::Deny)] {
        let script = Script {
            confirms: vec![then, Standing::Lately, Standing::Lately],
            ..Script::root("/dev/shm/mine/tool")
        };
        let mut bench = bench(Mode::Prevent, EXCEPTION, script);
        let exec = bench.exec();
        let Next::Evidence(job) = bench.pipeline.judge(exec, Box::default()) else {
            panic!("answered without its arguments");
        };
        let _memory = bench.pipeline.complete(job, Duration::from_secs(5));
        assert_eq!(bench.answers(), [answer]);
        assert!(bench.seen().contains(&Seen::Fetched(Groups::ARGUMENTS | Groups::DIRECTORY)));
    }
}

#[test]
fn a_place_that_a_deny_rule_leaves_out_is_confirmed_too() {
    const LEFT_OUT: &str = r#"
[[rule]]
id = "root"
effect = "deny"
when = 'user.id == "0" and not process.executable like "/dev/shm/mine/*"'
"#;
    let still = Script::root("/dev/shm/mine/tool");
    let moved = Script { confirms: vec![Standing::Gone], ..still.clone() };
    for (script, answer) in [(still, Response::Allow), (moved, Response::Deny)] {
        let mut bench = bench(Mode::Prevent, LEFT_OUT, script);
        let exec = bench.exec();
        assert!(answered(bench.pipeline.judge(exec, Box::default())));
        assert_eq!(bench.answers(), [answer]);
    }
}

#[test]
fn content_counts_for_an_exception_only_while_nobody_can_change_it() {
    const BY_HASH: &str = r#"
[[rule]]
id = "known"
effect = "allow"
when = 'process.hash.sha256 == "abababababababababababababababababababababababababababababababab"'

[[rule]]
id = "others"
effect = "deny"
when = 'user.id == "0"'
"#;
    for (content_held, answer) in [(true, Response::Allow), (false, Response::Deny)] {
        let script = Script { content_held, ..Script::root("/dev/shm/tool") };
        let mut bench = bench(Mode::Prevent, BY_HASH, script);
        let exec = bench.exec();
        let Next::Evidence(job) = bench.pipeline.judge(exec, Box::default()) else {
            panic!("not for the reader")
        };
        let _memory = bench.pipeline.complete(job, Duration::from_secs(5));
        assert_eq!(bench.answers(), [answer]);
    }
}

#[test]
fn a_fact_is_fetched_only_where_the_decision_depends_on_it() {
    let of = |uid| {
        let mut bench =
            bench(Mode::Prevent, "", Script { uid: Fact::Known(uid), ..Script::root("/dev/shm/x") });
        let exec = bench.exec();
        assert!(answered(bench.pipeline.judge(exec, Box::default())));
        bench.seen().into_iter().filter(|seen| matches!(seen, Seen::Fetched(_))).collect::<Vec<_>>()
    };
    assert_eq!(of(Uid::ROOT), []);
    assert_eq!(of(Uid(1000)), [Seen::Fetched(Groups::GAIN)]);
}

#[test]
fn arguments_are_never_read_by_the_reader() {
    let arguments = Arguments { args: Texts::from_iter(["x", "--init"]), ..Arguments::default() };
    let script = Script { arguments: Fact::Known(arguments), ..Script::root("/dev/shm/x") };
    let mut bench = bench(Mode::Prevent, BY_ARGUMENT, script);
    let exec = bench.exec();
    let Next::Evidence(job) = bench.pipeline.judge(exec, Box::default()) else {
        panic!("answered without its arguments");
    };
    assert_eq!(bench.answers(), []);
    let _attempt = bench.pipeline.complete(job, Duration::from_secs(2));
    assert_eq!(bench.answers(), [Response::Deny]);
}

#[test]
fn a_full_queue_or_a_passed_deadline_means_an_essential_record_and_the_same_denial() {
    let mut bench = bench_of(Mode::Prevent, Generation::embedded(), Script::root("/dev/shm/x"), true);
    let exec = bench.exec();
    let Next::Evidence(job) = bench.pipeline.judge(exec, Box::default()) else {
        panic!("no evidence wanted")
    };
    let _attempt = bench.pipeline.cut(job, Cut::QueueFull);
    let mut late = bench.exec();
    late.since = 1;
    let Next::Evidence(job) = bench.pipeline.judge(late, Box::default()) else {
        panic!("no evidence wanted")
    };
    let _attempt = bench.pipeline.complete(job, Duration::from_secs(2));
    assert_eq!(bench.answers(), [Response::Deny, Response::Deny]);
    let reasons: Vec<_> =
        bench.records().iter().map(|record| record["shmguard"]["evidence"]["cut"].clone()).collect();
    assert_eq!(reasons, ["queue_full", "time_up"]);
}

#[test]
fn a_cut_attempt_waits_for_nobodys_memory() {
    let mut bench = bench(Mode::Prevent, BY_ARGUMENT, Script::root("/dev/shm/x"));
    let exec = bench.exec();
    let Next::Evidence(job) = bench.pipeline.judge(exec, Box::default()) else {
        panic!("no arguments wanted")
    };
    let _attempt = bench.pipeline.cut(job, Cut::QueueFull);
    // No match, and remembered: arguments that are unknown are no match.
    assert_eq!(bench.answers(), [Response::Allow]);
    let asked = bench.seen().iter().any(|seen| match seen {
        Seen::Fetched(groups) => groups.intersects(Groups::MAY_BLOCK),
        Seen::Recorded(_) | Seen::Answered(..) | Seen::Noticed(_) => false,
    });
    assert!(!asked);
}

#[test]
fn what_lies_outside_is_allowed_at_once_and_unrecorded() {
    let script = Script { placement: Placement::Outside, ..Script::root("/usr/bin/x") };
    let mut bench = bench(Mode::Prevent, "", script);
    let exec = bench.exec();
    assert!(answered(bench.pipeline.judge(exec, Box::default())));
    assert_eq!(bench.seen(), [Seen::Answered(4242, Response::Allow)]);
}

#[test]
fn an_answer_that_the_kernel_refused_is_told_and_a_killed_caller_is_not() {
    for (settled, told) in [(Settled::Refused(libc::EINVAL), 1), (Settled::NobodyWaited, 0)] {
        let mut bench = bench(Mode::Prevent, "", Script::root("/dev/shm/x"));
        let mut exec = bench.exec();
        exec.settled = settled;
        assert!(answered(bench.pipeline.judge(exec, Box::default())));
        let notices = bench.seen().iter().filter(|seen| matches!(seen, Seen::Noticed(_))).count();
        assert_eq!(notices, told);
    }
}

#[test]
fn a_file_whose_inner_path_is_unknown_is_in_the_directory_and_in_no_exception() {
    let mut bench =
        bench(Mode::Prevent, EXCEPTION, Script { inner_known: false, ..Script::root("/dev/shm/") });
    let exec = bench.exec();
    assert!(answered(bench.pipeline.judge(exec, Box::default())));
    assert_eq!(bench.answers(), [Response::Deny]);
}
