//! The commands about rules, as a program: what goes to which stream, and the exit status.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "tests start the program"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Done {
    status: i32,
    out: String,
    err: String,
}

fn shmguard(arguments: &[&str]) -> Done {
    fed(arguments, b"")
}

fn fed(arguments: &[&str], input: &[u8]) -> Done {
    let mut child = Command::new(env!("CARGO_BIN_EXE_shmguard"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing closes its end first.
    let _written = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    Done {
        status: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A directory with a file in it.
fn with(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(name);
    fs::write(&file, text).unwrap();
    (directory, file)
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

const RULES: &str = r#"
[[rule]]
id = "exception"
effect = "allow"
when = 'process.executable like "/dev/shm/ok/*"'
[[rule]]
id = "root"
effect = "deny"
when = 'process where event.type == "start" and user.id == "0" and process.executable like "/dev/shm/*"'
[[rule]]
id = "by-argument"
effect = "deny"
when = 'process.args : "--init"'
"#;

#[test]
fn check_tells_all_mistakes_on_standard_error_with_78() {
    let (_directory, file) =
        with("bad.toml", "[[rule]]\nid = \"r\"\neffect = \"denny\"\nwhen = \"user.di == 1\"\n");
    let done = shmguard(&["policy", "check", shown(&file)]);
    assert_eq!((done.status, done.out.as_str()), (78, ""));
    assert!(done.err.contains("bad.toml:3:10:") && done.err.contains("bad.toml:4:9:"), "{}", done.err);
    assert!(done.err.contains("did you mean `user.id`?"), "{}", done.err);
    let (_directory, file) = with("good.toml", RULES);
    let done = shmguard(&["policy", "check", shown(&file)]);
    assert_eq!((done.status, done.out.as_str()), (0, "3 rules in 1 file, 0 warnings\n"));
    assert_eq!(shmguard(&["policy", "check", "/nonexistent.toml"]).status, 78);
}

#[test]
fn show_prints_the_rules_in_order_and_as_json() {
    let (_directory, file) = with("mine.toml", RULES);
    let done = shmguard(&["policy", "show", shown(&file)]);
    assert_eq!(done.status, 0);
    assert!(done.out.starts_with("1. allow exception   [mine]\n"), "{}", done.out);
    let json: serde_json::Value =
        serde_json::from_str(&shmguard(&["policy", "show", "--json", shown(&file)]).out).unwrap();
    assert_eq!(json["rules"][1]["id"], "root");
    assert_eq!(json["hash"].as_str().unwrap().len(), 64);
}

#[test]
fn test_runs_cases_against_the_policy_they_name_and_says_which_failed() {
    let (directory, _file) = with("mine.toml", RULES);
    let cases = directory.path().join("cases.toml");
    let case = |expect: &str| {
        format!(
            "policy = [\"mine.toml\"]\n[[case]]\nname = \"root\"\nexpect = \"{expect}\"\n[case.given]\nuser.id = \"0\"\n\
             process.executable = \"/dev/shm/x\"\n"
        )
    };
    fs::write(&cases, case("deny")).unwrap();
    let done = shmguard(&["policy", "test", shown(&cases)]);
    assert_eq!((done.status, done.out.as_str()), (0, "ok      root\n1 passed, 0 failed\n"));
    fs::write(&cases, case("allow")).unwrap();
    let done = shmguard(&["policy", "test", shown(&cases)]);
    assert_eq!(done.status, 1);
    assert!(done.out.contains("cases.toml:2: expected allow; deny by rule root"), "{}", done.out);
    fs::write(&cases, case("never")).unwrap();
    assert_eq!(shmguard(&["policy", "test", shown(&cases)]).status, 78);
}

#[test]
fn import_writes_a_policy_that_compiles_and_warns_of_what_it_rests_on() {
    let rule = |query: &str| {
        format!(
            "[rule]\nname = \"Hidden File\"\nlanguage = \"eql\"\ntype = \"eql\"\nseverity = \"low\"\nrisk_score = 21\n\
             index = [\"logs-*\"]\nquery = '''\nprocess where {query}\n'''\n"
        )
    };
    let (directory, file) =
        with("rule.toml", &rule("process.args == \"x\" and ?process.parent.name : \"a\""));
    let done = shmguard(&["policy", "import", shown(&file)]);
    assert_eq!(done.status, 0);
    assert!(done.err.contains("process.args") && done.err.contains("index"), "{}", done.err);
    let ours = directory.path().join("ours.toml");
    fs::write(&ours, &done.out).unwrap();
    assert_eq!(shmguard(&["policy", "check", shown(&ours)]).status, 0);
    fs::write(&file, rule("process.executable like \"/etc/*\"")).unwrap();
    assert!(shmguard(&["policy", "import", shown(&file)]).err.contains("can never match"));
    fs::write(&file, rule("process.executable like \"/dev/shm/*\"")).unwrap();
    assert!(!shmguard(&["policy", "import", shown(&file)]).err.contains("never match"));
    fs::write(&file, rule("process.exit_code == 1")).unwrap();
    let done = shmguard(&["policy", "import", shown(&file)]);
    assert_eq!((done.status, done.out.as_str()), (65, ""));
    assert!(done.err.contains("rule.toml:9:15:"), "{}", done.err);
}

#[test]
fn explain_shows_the_tree_with_a_truth_at_each_part() {
    let (_directory, file) = with("mine.toml", RULES);
    let ask = |more: &[&str]| {
        let done = shmguard(&[&["explain", "/dev/shm/no/such", "--policy", shown(&file)], more].concat());
        assert_eq!(done.status, 0, "{}", done.err);
        done.out
    };
    let root = ask(&[]);
    assert!(root.ends_with("deny, by rule root\n"), "{root}");
    assert!(root.contains("false    process.executable like \"/dev/shm/ok/*\""), "{root}");
    let other = ask(&["--user", "4242"]);
    assert!(other.contains("rule by-argument hangs on what is not known"), "{other}");
    assert!(other.contains("unknown  process.args"), "{other}");
    let told =
        ask(&["--user", "4242", "--field", "process.args=x", "--field", "process.args=--INIT", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told["decision"].as_str(), told["rule"].as_str()), (Some("deny"), Some("by-argument")));
    assert_eq!(told["rules"][2]["condition"]["truth"], "true");
    assert_eq!(told["rules"][2]["condition"]["fields"][0]["values"][1], "--INIT");
    assert_eq!(shmguard(&["explain", "/x", "--user", "no-such-user"]).status, 2);
    assert_eq!(shmguard(&["explain", "/x", "--field", "user.di=0"]).status, 2);
}

/// What is judged lies in a directory of this test alone: the rules of the shipped policy would need the host's own /run.
#[test]
fn explain_judges_a_path_by_where_it_leads() {
    let directory = tempfile::tempdir().unwrap();
    let place = fs::canonicalize(directory.path()).unwrap();
    let at = |name: &str| format!("{}/{name}", shown(&place));
    fs::create_dir_all(at("watched/ok/sub")).unwrap();
    fs::create_dir_all(at("other")).unwrap();
    for (to, link) in [
        (at("watched/ok"), "to-ok"),
        (at("other"), "watched/ok/out"),
        ("../../watched/evil".to_owned(), "watched/ok/dangling"),
        (at("watched/ok/sub"), "watched/deep"),
    ] {
        std::os::unix::fs::symlink(to, at(link)).unwrap();
    }
    fs::write(at("watched/real"), "").unwrap();
    let rules = at("rules.toml");
    let text = format!(
        "[[rule]]\nid = \"ok\"\neffect = \"allow\"\nwhen = 'process.executable like \"{0}/ok/*\"'\n\
         [[rule]]\nid = \"all\"\neffect = \"deny\"\nwhen = 'process.executable like \"{0}/*\"'\n",
        at("watched")
    );
    fs::write(&rules, text).unwrap();
    let config = at("shmguard.toml");
    fs::write(&config, format!("[watch]\ndirectories = [\"{}\"]\n", at("watched"))).unwrap();
    let ask = |path: &str, more: &[&str]| {
        let asked = ["explain", path, "--policy", &rules, "--config", &config];
        let done = shmguard(&[&asked, more].concat());
        assert_eq!(done.status, 0, "{}", done.err);
        done.out
    };
    for (path, leads_to, rule) in [
        ("watched/ok/../nope", "watched/nope", "deny, by rule all"),
        ("watched/ok/../real", "watched/real", "deny, by rule all"),
        ("watched/ok/none/../../nope", "watched/nope", "deny, by rule all"),
        ("watched/ok/dangling", "watched/evil", "deny, by rule all"),
        ("watched/ok/dangling/x", "watched/evil/x", "deny, by rule all"),
        ("watched/deep/../x", "watched/ok/x", "allow, by rule ok"),
        ("watched/deep/../../x", "watched/x", "deny, by rule all"),
        ("to-ok/nope", "watched/ok/nope", "allow, by rule ok"),
        ("watched/ok/out/nope", "other/nope", "allow: no rule matches"),
    ] {
        let said = ask(&at(path), &[]);
        assert!(said.starts_with(&format!("{} leads to {}, run", at(path), at(leads_to))), "{said}");
        assert!(said.ends_with(&format!("{rule}\n")), "{said}");
        assert_eq!(said.contains("not in a watched directory"), leads_to.starts_with("other"), "{said}");
        let json: serde_json::Value = serde_json::from_str(&ask(&at(path), &["--json"])).unwrap();
        assert_eq!(json["path"], serde_json::json!([at(leads_to)]));
    }
    assert!(!ask(&at("watched/ok/nope"), &[]).contains("leads to"));
}

#[test]
fn replay_prints_one_line_for_each_attempt_and_nothing_else() {
    let (directory, file) = with("mine.toml", RULES);
    let events = directory.path().join("events.ndjson");
    let lines = [
        r#"{"event":{"type":["start"]},"user":{"id":"0"},"process":{"executable":"/dev/shm/x"}}"#,
        r#"{"event.type":"start","user.id":0,"process.executable":"/dev/shm/ok/x","process.args":["x","--INIT"]}"#,
        "",
        "not json",
        r#"{"event.type":"end","user.id":"0","process.executable":"/dev/shm/x"}"#,
        r#"{"process":{"args":["x","--INIT"]}}"#,
        r#"{"event":{"provider":"fanotify","module":"shmguard","dataset":"shmguard.exec"},"shmguard":{"decision":"allow","basis":"no_match","names":["/dev/shm/x"],"path_inside":"/x"},"user":{"id":"7"}}"#,
        r#"{"event":{"provider":"fanotify","module":"shmguard","dataset":"shmguard.guard"}}"#,
        "[1]",
    ];
    fs::write(&events, lines.join("\n")).unwrap();
    let done = shmguard(&["replay", shown(&events), "--policy", shown(&file)]);
    let wanted = [
        r#"{"line":1,"decision":"deny","rule":"root"}"#,
        r#"{"line":2,"decision":"allow","rule":"exception"}"#,
        r#"{"line":5,"decision":"allow","rule":null}"#,
        r#"{"line":6,"decision":"deny","rule":"by-argument"}"#,
        r#"{"line":7,"decision":"unknown","rule":"by-argument"}"#,
        "",
    ];
    assert_eq!((done.status, done.out), (0, wanted.join("\n")));
    assert!(done.err.contains("9 lines: 2 deny, 2 allow, 1 unknown"), "{}", done.err);
    assert!(done.err.contains("2 are no JSON object: line 4, 9"), "{}", done.err);
    assert!(done.err.contains("line 7: allow by no rule -> unknown by by-argument"), "{}", done.err);
    let summary = shmguard(&["replay", "--json", shown(&events), "--policy", shown(&file)]).err;
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!((summary["changed"].as_u64(), summary["unreadable"]["count"].as_u64()), (Some(1), Some(2)));
    let piped = fed(&["replay", "-", "--policy", shown(&file)], lines[0].as_bytes());
    assert_eq!(piped.out, format!("{}\n", wanted[0]));
}

#[test]
fn replay_says_what_it_cannot_read() {
    let done = shmguard(&["replay", "/nonexistent.ndjson"]);
    assert_eq!((done.status, done.out.as_str()), (66, ""));
    let (_directory, file) = with("bad.toml", "[[rule]]\n");
    assert_eq!(shmguard(&["replay", "/dev/null", "--policy", shown(&file)]).status, 78);
    let long = format!("{{\"a\":\"{}\"}}\n{{}}\n", "x".repeat(17 << 20));
    let done = fed(&["replay", "-"], long.as_bytes());
    assert_eq!(done.out, "{\"line\":2,\"decision\":\"allow\",\"rule\":null}\n");
    assert!(done.err.contains("line 1"), "{}", done.err);
}

#[test]
fn a_full_standard_output_is_told_and_is_74_for_every_command_and_one_that_has_gone_is_not() {
    let record = "{\"@timestamp\":\"2026-01-15T10:22:31.123456789Z\",\"message\":\"m\",\"event\":{\"action\":\"exec\"}}\n";
    let (_events, events) = with("events.ndjson", record);
    let (_rules, rules) = with("rules.toml", RULES);
    let (events, rules) = (shown(&events), shown(&rules));
    let commands: &[&[&str]] = &[
        &["--help"],
        &["--version"],
        &["policy", "check", rules],
        &["policy", "show", rules],
        &["explain", "/dev/shm/x"],
        &["events", events],
        &["events", "--json", events],
        &["events", "--verify", events],
        &["report", events],
        &["replay", events],
        &["doctor", "--json"],
    ];
    for command in commands {
        let ended = |stdout: Stdio| {
            let mut shmguard = Command::new(env!("CARGO_BIN_EXE_shmguard"));
            let output = shmguard.args(*command).stdout(stdout).output().unwrap();
            (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
        };
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (status, told) = ended(full.into());
        assert_eq!(status, 74, "{command:?}: {told}");
        assert!(told.contains("standard output cannot be written: No space left"), "{command:?}: {told}");
        assert!(!told.contains("cannot be read"), "{command:?}: {told}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (status, told) = ended(writer.into());
        assert!(status < 2, "{command:?}: {status}: {told}");
        assert!(!told.contains("standard output"), "{command:?}: {told}");
    }
}
