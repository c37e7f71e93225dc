//! What is written comes back; what was not collected stays unread.

use super::*;
use crate::event::Cause;
use crate::record::samples::{self, Sample, any_attempt};
use proptest::prelude::*;

fn read(line: &str) -> Recorded {
    attempt(line.as_bytes()).expect("readable").expect("an attempt")
}

#[test]
fn a_record_says_what_was_decided() {
    let recorded = read(&Sample::denied().line(7));
    assert!(recorded.is_own);
    assert_eq!(recorded.case, Some(Case::Denied));
    assert_eq!(recorded.decision, Some(Effect::Deny));
    assert_eq!(recorded.response, Some(Response::Deny));
    assert_eq!(recorded.mode, Some(Mode::Prevent));
    assert_eq!(recorded.rule.as_deref(), Some("shm-exec-root"));
    assert_eq!(recorded.policy_hash.as_deref(), Some("5f0c"));
    assert_eq!(recorded.users.user(Uid(0)), Some(b"root".as_slice()));
    assert_eq!(recorded.attempt.subject.container, Fact::Unread);
}

#[test]
fn hidden_arguments_are_unknown_to_whoever_judges_again() {
    let mut sample = Sample::denied();
    sample.attempt.subject.arguments =
        Fact::Known(Arguments { args: ["x", "--password=y"].into_iter().collect(), ..Arguments::default() });
    let mut line = Vec::new();
    let redact = crate::record::format::Redact::new(&["--password=*"]);
    let frame = crate::record::format::Frame { host: &samples::host(), redact: &redact };
    crate::record::format::attempt(&mut line, 1, &sample.entry(), &frame);
    let recorded = attempt(&line).unwrap().unwrap();
    assert_eq!(recorded.attempt.subject.arguments, Fact::Unknown(Cause::Refused));
}

#[test]
fn in_another_products_document_what_is_missing_is_absent() {
    let recorded = read(
        r#"{"@timestamp":"2026-01-15T10:22:31.5Z","event":{"type":["start"],"action":"exec","category":["process"]},
            "process":{"pid":5,"executable":"/dev/shm/a\\b","args":["a","-x"],"previous":[{"executable":"/bin/sh"}],
                       "parent":{"pid":4,"executable":"/usr/sbin/cron","user":{"id":"0"}}},
            "user.id":"0","user.name":"root"}"#,
    );
    let subject = &recorded.attempt.subject;
    assert!(!recorded.is_own);
    assert_eq!(recorded.attempt.at, Timestamp(1_768_472_551_500_000_000));
    assert_eq!(recorded.attempt.object.names.first(), Some(br"/dev/shm/a\b".as_slice()));
    assert_eq!(subject.user, Fact::Known(Uid(0)));
    assert_eq!(subject.process, Fact::Known(Pid(5)));
    assert_eq!(subject.directory, Fact::Absent);
    assert_eq!(subject.container, Fact::Absent);
    assert_eq!(subject.session_leader, Fact::Absent);
    let previous = subject.previous.known().expect("a previous image");
    assert_eq!(previous.executable, Fact::Known(b"/bin/sh".to_vec()));
    assert_eq!(previous.args, Fact::Absent);
    let parent = subject.parent.known().expect("a parent");
    assert_eq!(parent.credentials.known().map(|ids| ids.euid), Some(Uid(0)));
    assert_eq!(parent.name, Fact::Absent);
    assert_eq!(subject.arguments.known().map(|arguments| arguments.args.len()), Some(2));
}

#[test]
fn a_name_without_an_id_still_names_root() {
    let line = |name: &str| {
        format!(
            r#"{{"event":{{"action":"exec"}},"process":{{"executable":"/x"}},"user":{{"name":"{name}"}}}}"#
        )
    };
    assert_eq!(read(&line("root")).attempt.subject.user, Fact::Known(Uid(0)));
    let recorded = read(&line("www"));
    let uid = *recorded.attempt.subject.user.known().expect("an id");
    assert_ne!(uid, Uid(0));
    assert_eq!(recorded.users.user(uid), Some(b"www".as_slice()));
}

#[test]
fn notices_forks_and_ends_are_no_attempts_and_rubbish_is_an_error() {
    let mut notice = Vec::new();
    let told = crate::record::Notice::Other { action: "x", text: "y", failed: false };
    crate::record::format::notice(&mut notice, 1, Timestamp(1), &told, &samples::host());
    assert!(attempt(&notice).unwrap().is_none());
    for line in [
        r#"{"event":{"action":"fork","type":["start"]},"process":{"executable":"/x"}}"#,
        r#"{"event":{"type":["end"]},"process":{"executable":"/x"}}"#,
        r#"{"event":{"action":"exec"}}"#,
    ] {
        assert!(attempt(line.as_bytes()).unwrap().is_none(), "{line}");
    }
    assert!(matches!(attempt(b"x"), Err(Unreadable::NotJson(_))));
    assert!(matches!(attempt(b"[]"), Err(Unreadable::NotAnObject)));
    let damaged = Sample::denied().line(1).replace("/kdmtmpflush\",\"path_as", "/kdm\\\\q\",\"path_as");
    assert!(matches!(attempt(damaged.as_bytes()), Err(Unreadable::Malformed(_))), "{damaged}");
}

/// What a record cannot keep: a parent's pid apart from the attempt's `parent_pid` (which is essential), a process at which nobody looked, and
/// a start without a pid, which has no `entity_id` to stand in.
fn as_kept(mut attempt: Attempt) -> Attempt {
    let subject = &mut attempt.subject;
    match subject.parent {
        // Who has no parent, or one that is not known, says so of its pid as well.
        Fact::Absent if subject.parent_pid.is_unread() => subject.parent_pid = Fact::Absent,
        Fact::Unknown(cause) if subject.parent_pid.is_unread() => subject.parent_pid = Fact::Unknown(cause),
        Fact::Known(_) | Fact::Absent | Fact::Unknown(_) | Fact::Unread => {}
    }
    if let Fact::Known(parent) = &mut subject.parent {
        parent.pid = subject.parent_pid.clone();
    }
    if subject.previous == Fact::Known(Image::default()) {
        subject.previous = Fact::Unread;
    }
    let parent_nobody_saw = Process { pid: subject.parent_pid.clone(), ..Process::default() };
    if subject.parent == Fact::Known(parent_nobody_saw) {
        subject.parent = Fact::Unread;
    }
    for process in [
        &mut subject.parent,
        &mut subject.group_leader,
        &mut subject.session_leader,
        &mut subject.entry_leader,
    ] {
        if *process == Fact::Known(Process::default()) {
            *process = Fact::Unread;
        }
        if let Fact::Known(process) = process
            && process.pid.known().is_none()
            && process.start.known().is_some()
        {
            process.start = Fact::Unread;
        }
    }
    attempt
}

/// The first line in which two values differ.
fn difference(got: &impl std::fmt::Debug, put: &impl std::fmt::Debug) -> Option<String> {
    let (got, put) = (format!("{got:#?}"), format!("{put:#?}"));
    let place = got.lines().zip(put.lines()).position(|(got, put)| got != put)?;
    let around =
        |text: &str| text.lines().skip(place.saturating_sub(8)).take(12).collect::<Vec<_>>().join("\n");
    Some(format!("read:\n{}\nwritten:\n{}", around(&got), around(&put)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_fact_comes_back_with_its_state(attempt in any_attempt()) {
        let attempt = as_kept(attempt);
        let sample = Sample { attempt, ..Sample::denied() };
        let back = read(&sample.line(3)).attempt;
        let (put, got) = (&sample.attempt, &back);
        prop_assert_eq!(difference(&got.object, &put.object), None);
        prop_assert_eq!(difference(&got.subject, &put.subject), None);
        prop_assert_eq!(got.at, put.at);
    }

    #[test]
    fn no_line_makes_the_reader_panic(line in any::<Vec<u8>>(), cut in any::<prop::sample::Index>()) {
        attempt(&line).map(drop).unwrap_or_default();
        let whole = Sample::denied().line(1).into_bytes();
        attempt(&whole[..cut.index(whole.len())]).map(drop).unwrap_or_default();
    }
}
