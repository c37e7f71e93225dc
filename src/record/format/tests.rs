//! Whole lines: their shape in every case, their names, and that nothing from outside breaks one.

use super::*;
use crate::event::{Cause, Fact, Pid, RuleIndex, Settled, Texts, Uid};
use crate::record::samples::{self, Sample, about, any_attempt, nasty};
use proptest::prelude::*;
use serde_json::{Value, json};

fn parsed(line: &str) -> Value {
    let body = line.strip_suffix('\n').expect("a line ends with a newline");
    assert!(!body.contains('\n'), "one line");
    serde_json::from_str(body).expect("a line is JSON")
}

fn noticed(told: &Notice<'_>) -> Value {
    let mut line = Vec::new();
    notice(&mut line, 7, Timestamp(1), told, &samples::host());
    parsed(std::str::from_utf8(&line).expect("UTF-8"))
}

fn readable(entry: &Entry<'_>) -> String {
    let mut text = Vec::new();
    summary(&mut text, entry);
    String::from_utf8(text).expect("UTF-8")
}

#[test]
fn a_denied_attempt_reads_as_documented() {
    let document = parsed(&Sample::denied().line(42));
    let rule = document.get("rule").and_then(|rule| rule.get("name"));
    assert_eq!(rule, Some(&json!("Binary executed from shared memory")));
    for (pointer, expected) in [
        ("/@timestamp", json!("2026-01-15T10:22:31.123456789Z")),
        ("/tags", json!(["denied"])),
        ("/ecs/version", json!("9.4.0")),
        ("/event/sequence", json!(42)),
        ("/event/action", json!("exec")),
        ("/event/id", json!("88a1f0ed-0000-4000-8000-000000000001-42")),
        ("/event/code", json!("shm-exec-root")),
        ("/event/severity", json!(73)),
        ("/event/risk_score", json!(73)),
        ("/event/duration", json!(48211)),
        ("/user", json!({"id": "0", "name": "root"})),
        ("/process/pid", json!(4242)),
        ("/process/thread/id", json!(4242)),
        ("/process/thread/name", json!("bash")),
        ("/process/executable", json!("/dev/shm/kdmtmpflush")),
        ("/process/name", json!("kdmtmpflush")),
        ("/process/real_user", json!({"id": "0", "name": "root"})),
        ("/process/saved_group/id", json!("0")),
        ("/process/parent", json!({"pid": 4200})),
        ("/file/path", json!("/dev/shm/kdmtmpflush")),
        ("/file/directory", json!("/dev/shm")),
        ("/file/mode", json!("0755")),
        ("/file/inode", json!("12")),
        ("/file/device", json!("0:24")),
        ("/file/mtime", json!("2026-01-15T10:22:30.000000000Z")),
        ("/rule/uuid", json!("3f3f9fe2-d095-11ec-95dc-f661ea17fbce")),
        ("/rule/reference", json!("https://example.org/a")),
        ("/threat/tactic/id", json!(["TA0002"])),
        ("/threat/technique/id", json!(["T1059"])),
        ("/threat/technique/subtechnique/id", json!(["T1059.004"])),
        ("/host/boot/id", json!("88a1f0ed-0000-4000-8000-000000000001")),
        ("/host/os/family", json!("debian")),
        ("/shmguard/names", json!(["/dev/shm/kdmtmpflush", "/run/shm/kdmtmpflush"])),
        ("/shmguard/path_inside", json!("/kdmtmpflush")),
        ("/shmguard/mode", json!("prevent")),
        ("/shmguard/decision", json!("deny")),
        ("/shmguard/response", json!("deny")),
        ("/shmguard/rule", json!("shm-exec-root")),
        ("/shmguard/evidence", json!({"level": "essential"})),
        (
            "/message",
            json!(
                "denied: root (uid 0) tried to execute /dev/shm/kdmtmpflush [rule shm-exec-root] by bash (pid 4242)"
            ),
        ),
    ] {
        assert_eq!(document.pointer(pointer), Some(&expected), "{pointer}");
    }
    for nothing in
        ["/shmguard/absent", "/shmguard/unknown", "/container", "/process/args", "/process/previous"]
    {
        assert_eq!(document.pointer(nothing), None, "{nothing} was not collected");
    }
}

/// kind, category, type, outcome, tag and `shmguard.excepted`.
fn shape(document: &Value) -> (Value, Value, Value, Value, Value, Value) {
    let at = |pointer: &str| document.pointer(pointer).cloned().unwrap_or_default();
    (
        at("/event/kind"),
        at("/event/category"),
        at("/event/type"),
        at("/event/outcome"),
        at("/tags/0"),
        at("/shmguard/excepted"),
    )
}

#[test]
fn every_case_has_the_kind_category_type_and_outcome_that_elastic_rules_ask_for() {
    let matched = json!(["process", "intrusion_detection"]);
    let denied = (
        json!("alert"),
        matched.clone(),
        json!(["start", "denied"]),
        json!("success"),
        json!("denied"),
        json!(null),
    );
    let would = (
        json!("alert"),
        matched.clone(),
        json!(["start", "allowed"]),
        json!("unknown"),
        json!("would-deny"),
        json!(null),
    );
    let failed = (
        json!("alert"),
        matched,
        json!(["start", "denied"]),
        json!("failure"),
        json!("not-delivered"),
        json!(null),
    );
    let plain = (
        json!("event"),
        json!(["process"]),
        json!(["start"]),
        json!("unknown"),
        json!("allowed"),
        json!(null),
    );

    let sample = Sample::denied();
    assert_eq!(shape(&parsed(&sample.line(1))), denied);
    let failures = [Failure::NotDelivered];
    let undelivered = Entry { failures: &failures, ..sample.entry() };
    assert_eq!(shape(&parsed(&samples::line(1, &undelivered))), failed);
    let let_run = Sample { response: Response::Allow, ..Sample::denied() };
    assert_eq!(shape(&parsed(&let_run.line(1))), failed);
    let audit = Sample { mode: Mode::Audit, ..let_run };
    assert_eq!(shape(&parsed(&audit.line(1))), would);
    assert_eq!(shape(&parsed(&Sample::allowed().line(1))), plain);
}

#[test]
fn an_excepted_attempt_names_its_rule_and_is_no_alert() {
    let mut sample = Sample { rule: Some(about("docker", Effect::Allow)), ..Sample::allowed() };
    sample.decision.basis = Basis::Rule(RuleIndex(1));
    let document = parsed(&sample.line(1));
    assert_eq!(
        shape(&document),
        (
            json!("event"),
            json!(["process"]),
            json!(["start"]),
            json!("unknown"),
            json!("excepted"),
            json!(true)
        )
    );
    assert_eq!(document.pointer("/rule/id"), Some(&json!("docker")));
    assert_eq!(document.pointer("/event/severity"), None);
}

#[test]
fn a_rule_on_trial_that_would_have_denied_makes_an_alert_of_an_allowed_attempt() {
    let sample = Sample { trial: Some(about("any-user", Effect::Deny)), ..Sample::allowed() };
    let document = parsed(&sample.line(1));
    assert_eq!(document.pointer("/tags/0"), Some(&json!("would-deny")));
    assert_eq!(document.pointer("/rule/id"), Some(&json!("any-user")));
    assert_eq!(document.pointer("/shmguard/trial"), Some(&json!("any-user")));
    assert_eq!(document.pointer("/shmguard/rule"), None);
}

#[test]
fn absent_unknown_and_not_collected_are_told_apart() {
    let mut sample = Sample::allowed();
    let subject = &mut sample.attempt.subject;
    subject.container = Fact::Absent;
    subject.parent = Fact::Unknown(Cause::Gone);
    subject.cgroup = Fact::Unknown(Cause::Failed(libc::EMFILE));
    let document = parsed(&sample.line(1));
    assert_eq!(document.pointer("/shmguard/absent"), Some(&json!(["container.id"])));
    assert_eq!(
        document.pointer("/shmguard/unknown"),
        Some(&json!([
            {"field": "process.parent", "cause": "gone"},
            {"field": "shmguard.cgroup", "cause": "failed", "errno": libc::EMFILE},
        ]))
    );
    assert_eq!(document.pointer("/process/working_directory"), None);
}

#[test]
fn secrets_in_arguments_are_hidden_and_the_record_says_where() {
    let mut sample = Sample::denied();
    sample.attempt.subject.arguments = Fact::Known(crate::event::Arguments {
        args: ["x", "--password=geheim"].into_iter().collect(),
        ..Default::default()
    });
    let mut line = Vec::new();
    let redact = Redact::new(&["--password=*"]);
    attempt(&mut line, 1, &sample.entry(), &Frame { host: &samples::host(), redact: &redact });
    let line = String::from_utf8(line).expect("UTF-8");
    assert!(!line.contains("geheim"), "{line}");
    let document = parsed(&line);
    assert_eq!(document.pointer("/process/command_line"), Some(&json!("x --password=[redacted]")));
    assert_eq!(document.pointer("/shmguard/redacted"), Some(&json!(["process.args"])));
}

#[test]
fn a_name_of_a_megabyte_is_recorded_whole_and_summarised_short() {
    let mut sample = Sample::denied();
    let name = [b"/dev/shm/".to_vec(), "ä".repeat(500_000).into_bytes()].concat();
    sample.attempt.object.names = [&name].into_iter().collect();
    let document = parsed(&sample.line(1));
    let path = document.pointer("/file/path").and_then(Value::as_str).expect("a path");
    assert_eq!(path.as_bytes(), name);
    let text = readable(&sample.entry());
    assert!(text.len() < 3000, "{}", text.len());
    assert!(text.contains("bytes)"), "{text}");
    assert!(!text.contains("\\x"), "no character is cut in two: {text}");
}

#[test]
fn the_summary_says_what_the_caller_saw_and_why_somebody_is_unknown() {
    let mut sample = Sample::denied();
    sample.attempt.subject.user = Fact::Unknown(Cause::Gone);
    sample.attempt.object.seen = Fact::Known(b"/mnt/\x1bx".to_vec());
    if let Some(rule) = &mut sample.rule {
        rule.message = Some("ask \"ops\"".into());
    }
    assert_eq!(
        readable(&sample.entry()),
        "denied: an unknown user (the task has ended) tried to execute /dev/shm/kdmtmpflush \
         (seen as /mnt/\\u{1b}x) [rule shm-exec-root] by bash (pid 4242): ask \"ops\""
    );
}

#[test]
fn every_notice_is_one_line_with_a_number_and_an_action() {
    let problems = ["a.toml:1:1: no such \"key\"\n | x".to_owned()];
    let device = crate::event::Device { major: 0, minor: 24 };
    let every = [
        Notice::Started {
            version: "0.1.0",
            mode: Mode::Audit,
            policy_hash: "5f",
            rules: 2,
            marks: 1,
            taken_over: false,
        },
        Notice::Stopping {
            signal: "SIGTERM",
            sender_pid: Some(Pid(9)),
            sender_uid: Some(Uid(0)),
            sender_exe: Some(b"/usr/bin/k\xffll"),
        },
        Notice::Reloaded { policy_hash: "5f", mode: Mode::Prevent, rules: 3 },
        Notice::ReloadFailed { problems: &problems },
        Notice::MarkAdded { path: b"/dev/shm/\n", fstype: b"tmpfs", device },
        Notice::MarkDropped { path: b"/dev/shm", fstype: b"tmpfs", device },
        Notice::LeftOut { directory: b"/run", reason: "it lies on the root filesystem" },
        Notice::ModeChanged { from: Mode::Audit, to: Mode::Prevent, by: "uid 0", until: Some(Timestamp(5)) },
        Notice::Gap { failure: Failure::QueueOverflow, count: 3, detail: "d" },
        Notice::SinkLost { sink: "syslog", count: 3, error: "e" },
        Notice::SinkBack { sink: "file", lost: 2, missing: Some((4, 5)) },
        Notice::NotDelivered { sequence: 6, response: Response::Deny, settled: Settled::Refused(22) },
        Notice::NotDelivered { sequence: 6, response: Response::Allow, settled: Settled::NobodyWaited },
        Notice::Torn { bytes: 3, text: b"{\"\xff" },
        Notice::Rotated { file: b"/var/log/x.1" },
        Notice::Other { action: "priority", text: "SCHED_FIFO refused", failed: true },
    ];
    for told in every {
        let document = noticed(&told);
        assert_eq!(document.pointer("/event/sequence"), Some(&json!(7)), "{told:?}");
        assert!(document.pointer("/event/action").is_some_and(Value::is_string), "{told:?}");
        assert!(document.pointer("/message").is_some_and(|message| message != ""), "{told:?}");
        assert_names(&document);
    }
    assert_eq!(noticed(&every[1]).pointer("/process/executable"), Some(&json!("/usr/bin/k\\xffll")));
    assert_eq!(noticed(&every[10]).pointer("/shmguard/missing"), Some(&json!({"first": 4, "last": 5})));
    assert_eq!(noticed(&every[11]).pointer("/event/outcome"), Some(&json!("failure")));
    assert_eq!(noticed(&every[11]).pointer("/event/kind"), Some(&json!("alert")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_attempt_is_one_line_of_json_with_known_names(attempt in any_attempt(), message in any::<String>()) {
        let mut sample = Sample { attempt, ..Sample::denied() };
        if let Some(rule) = &mut sample.rule {
            rule.message = Some(message);
        }
        let line = sample.line(3);
        prop_assert!(!line.trim_end_matches('\n').chars().any(char::is_control));
        assert_names(&parsed(&line));
    }

    #[test]
    fn a_name_never_moves_a_terminal(name in nasty(), typed in nasty()) {
        let mut sample = Sample::denied();
        sample.attempt.object.names = Texts::from_iter([&name]);
        sample.attempt.object.seen = Fact::Known(typed);
        prop_assert!(!readable(&sample.entry()).chars().any(char::is_control));
        let document = parsed(&sample.line(1));
        let message = document.pointer("/message").and_then(Value::as_str).expect("a message");
        prop_assert_eq!(message, readable(&sample.entry()));
    }
}

/// Every name is ECS's, or stands under `shmguard`.
fn assert_names(document: &Value) {
    let mut names = Vec::new();
    leaves(document, &mut String::new(), &mut names);
    for name in names {
        assert!(name.starts_with("shmguard.") || is_ecs(&name), "{name} is no ECS field");
    }
}

fn leaves(value: &Value, path: &mut String, names: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let before = path.len();
                if before > 0 {
                    path.push('.');
                }
                path.push_str(name);
                leaves(value, path, names);
                path.truncate(before);
            }
        }
        Value::Array(elements) if elements.iter().any(Value::is_object) => {
            elements.iter().for_each(|element| leaves(element, path, names));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            names.push(path.clone());
        }
    }
}

/// The names of ECS 9.4 that are used here, from its generated/csv/fields.csv.
fn is_ecs(name: &str) -> bool {
    const OF_A_USER: [&str; 8] = [
        "user.id",
        "user.name",
        "real_user.id",
        "real_user.name",
        "saved_user.id",
        "saved_user.name",
        "group.id",
        "group.name",
    ];
    const OF_A_GROUP: [&str; 4] = ["real_group.id", "real_group.name", "saved_group.id", "saved_group.name"];
    const OF_A_PROCESS: [&str; 10] = [
        "pid",
        "entity_id",
        "executable",
        "name",
        "args",
        "args_count",
        "command_line",
        "working_directory",
        "interactive",
        "start",
    ];
    const OTHERS: [&str; 74] = [
        "@timestamp",
        "tags",
        "message",
        "ecs.version",
        "error.message",
        "event.kind",
        "event.category",
        "event.type",
        "event.action",
        "event.outcome",
        "event.sequence",
        "event.id",
        "event.module",
        "event.dataset",
        "event.provider",
        "event.code",
        "event.severity",
        "event.risk_score",
        "event.duration",
        "process.thread.id",
        "process.thread.name",
        "process.thread.capabilities.permitted",
        "process.thread.capabilities.effective",
        "process.env_vars",
        "process.hash.sha256",
        "process.previous.executable",
        "process.previous.args",
        "process.previous.args_count",
        "user.id",
        "user.name",
        "group.id",
        "group.name",
        "file.path",
        "file.name",
        "file.directory",
        "file.type",
        "file.inode",
        "file.device",
        "file.mode",
        "file.uid",
        "file.gid",
        "file.owner",
        "file.group",
        "file.size",
        "file.mtime",
        "file.ctime",
        "file.hash.sha256",
        "container.id",
        "rule.id",
        "rule.name",
        "rule.ruleset",
        "rule.uuid",
        "rule.version",
        "rule.license",
        "rule.reference",
        "rule.author",
        "threat.framework",
        "threat.tactic.id",
        "threat.tactic.name",
        "threat.tactic.reference",
        "related.user",
        "related.hash",
        "host.name",
        "host.hostname",
        "host.id",
        "host.architecture",
        "host.boot.id",
        "host.os.type",
        "host.os.family",
        "host.os.platform",
        "host.os.name",
        "host.os.version",
        "host.os.kernel",
        "observer.type",
    ];
    const TECHNIQUE: [&str; 3] = ["id", "name", "reference"];
    let technique = |rest: &str| TECHNIQUE.contains(&rest);
    if let Some(rest) = name.strip_prefix("threat.technique.") {
        return technique(rest) || rest.strip_prefix("subtechnique.").is_some_and(technique);
    }
    let of_process =
        |rest: &str| OF_A_PROCESS.contains(&rest) || OF_A_USER.contains(&rest) || OF_A_GROUP.contains(&rest);
    let leaders = [
        "process.",
        "process.parent.",
        "process.group_leader.",
        "process.session_leader.",
        "process.entry_leader.",
    ];
    leaders.iter().any(|prefix| name.strip_prefix(prefix).is_some_and(of_process))
        || OTHERS.contains(&name)
        || ["observer.product", "observer.version"].contains(&name)
}
