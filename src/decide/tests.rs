use super::*;
use crate::event::{
    Arguments, Attempt, Cause, Credentials, Device, Fact, FileFacts, Gid, Image, Process, RuleIndex, Texts,
    Uid, Users, View,
};
use crate::policy::{Source, compile};

fn texts(texts: &[&str]) -> Texts {
    texts.iter().collect()
}

fn attempt(user: u32, names: &[&str]) -> Attempt {
    let mut attempt = Attempt::default();
    let (uid, gid) = (Uid(user), Gid(user));
    attempt.subject.user = Fact::Known(uid);
    attempt.subject.credentials = Fact::Known(Credentials {
        ruid: uid,
        euid: uid,
        suid: uid,
        fsuid: uid,
        rgid: gid,
        egid: gid,
        sgid: gid,
        fsgid: gid,
    });
    attempt.object.names = texts(names);
    attempt.object.inner = Fact::Known(b"/x".to_vec());
    attempt.object.file = Fact::Known(FileFacts {
        device: Device { major: 0, minor: 24 },
        inode: 12,
        mode: 0o100_755,
        uid,
        gid,
        size: 1,
        links: 1,
        modified: 0,
        changed: 0,
    });
    attempt
}

fn rules(text: &str) -> Generation {
    match compile(&[Source { file: None, text }], false) {
        Ok(generation) => generation,
        Err(problems) => {
            panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        }
    }
}

fn rule(id: &str, effect: &str, when: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\neffect = \"{effect}\"\nwhen = '''{when}'''\n")
}

fn ask(generation: &Generation, attempt: &Attempt) -> Outcome {
    let users = Users::parse(b"root:x:0:0::/:\nwww:x:33:33::/:\n", b"");
    decide(generation, Effect::Deny, Timestamp(0), &View { attempt, users: &users })
}

fn decided(generation: &Generation, attempt: &Attempt) -> Decision {
    match ask(generation, attempt) {
        Outcome::Decided(decision) => decision,
        Outcome::Needs(groups) => panic!("needs {groups:?}"),
    }
}

fn holds(when: &str, attempt: &Attempt) -> bool {
    decided(&rules(&rule("r", "deny", when)), attempt).effect == Effect::Deny
}

#[test]
fn the_embedded_policy_denies_root_and_allows_its_exception_and_others() {
    let policy = Generation::embedded();
    let shm = ["/dev/shm/kdmtmpflush", "/run/shm/kdmtmpflush"];
    let denied = decided(&policy, &attempt(0, &shm));
    assert_eq!((denied.effect, denied.basis), (Effect::Deny, Basis::Rule(RuleIndex(1))));
    let docker = decided(&policy, &attempt(0, &["/run/docker/x", "/var/run/docker/x"]));
    assert_eq!((docker.effect, docker.basis), (Effect::Allow, Basis::Rule(RuleIndex(0))));
    let mut user = attempt(1000, &shm);
    assert_eq!(ask(&policy, &user), Outcome::Needs(Groups::GAIN));
    user.subject.gains_privilege = Fact::Known(false);
    assert_eq!(decided(&policy, &user).basis, Basis::NoMatch);
    user.subject.gains_privilege = Fact::Known(true);
    assert_eq!(decided(&policy, &user).effect, Effect::Deny);
    assert_eq!(decided(&policy, &attempt(1000, &["/tmp/x"])).basis, Basis::NoMatch);
}

#[test]
fn what_is_settled_without_a_fact_does_not_ask_for_it() {
    let root = attempt(0, &["/dev/shm/x"]);
    assert!(holds("user.id == \"0\" or process.parent.name == \"cron\"", &root));
    assert!(!holds("user.id == \"1\" and process.parent.name == \"cron\"", &root));
    let asks = |when: &str| ask(&rules(&rule("r", "deny", when)), &root);
    assert_eq!(asks("process.parent.command_line == \"x\""), Outcome::Needs(Groups::PARENT));
    assert_eq!(
        asks("process.args == \"x\" and process.parent.name == \"y\""),
        Outcome::Needs(Groups::PARENT)
    );
    assert_eq!(asks("process.args == \"x\""), Outcome::Needs(Groups::ARGUMENTS));
    let mut known = root.clone();
    known.subject.parent = Fact::Known(Process {
        image: Image { executable: Fact::Known(b"/x".to_vec()), args: Fact::Unread },
        ..Process::default()
    });
    let policy = rules(&rule("r", "deny", "process.parent.command_line == \"x\""));
    assert_eq!(ask(&policy, &known), Outcome::Needs(Groups::COMMAND_LINES));
}

#[test]
fn the_first_match_decides_a_trial_is_noted_and_evaluation_goes_on() {
    let text = [
        rule("trial", "deny", "user.id == \"0\"").replace("effect", "mode = \"audit\"\neffect"),
        rule("first", "allow", "process.name == \"x\""),
        rule("second", "deny", "true"),
    ]
    .concat();
    let policy = rules(&text);
    let decision = decided(&policy, &attempt(0, &["/dev/shm/x"]));
    assert_eq!(decision.effect, Effect::Allow);
    assert_eq!(decision.basis, Basis::Rule(RuleIndex(1)));
    assert_eq!(decision.trial, Some(RuleIndex(0)));
    assert_eq!(decided(&policy, &attempt(1, &["/dev/shm/y"])).basis, Basis::Rule(RuleIndex(2)));
}

#[test]
fn a_rule_ends_after_its_last_moment() {
    let text = rule("r", "deny", "true").replace("effect", "expires = 1970-01-02\neffect");
    let policy = rules(&text);
    let at = |now| {
        let attempt = attempt(0, &["/x"]);
        let users = Users::default();
        decide(&policy, Effect::Deny, Timestamp(now), &View { attempt: &attempt, users: &users })
    };
    let effect = |outcome| match outcome {
        Outcome::Decided(decision) => decision.effect,
        Outcome::Needs(_) => panic!("needs nothing"),
    };
    assert_eq!(effect(at(2 * 86_400_000_000_000 - 1)), Effect::Deny);
    assert_eq!(effect(at(2 * 86_400_000_000_000)), Effect::Allow);
}

#[test]
fn an_unknown_that_could_change_the_answer_lets_on_unknown_decide() {
    let mut lost = attempt(0, &["/dev/shm/x"]);
    lost.subject.user = Fact::Unknown(Cause::Gone);
    let one = rules(&rule("r", "deny", "user.id == \"0\""));
    assert_eq!(decided(&one, &lost).basis, Basis::Unknown(RuleIndex(0)));
    assert_eq!(decided(&one, &lost).effect, Effect::Deny);
    let users = Users::default();
    let view = View { attempt: &lost, users: &users };
    let Outcome::Decided(open) = decide(&one, Effect::Allow, Timestamp(0), &view) else {
        panic!("needs nothing")
    };
    assert_eq!((open.effect, open.basis), (Effect::Allow, Basis::Unknown(RuleIndex(0))));
    // The next rule says the same, so nothing hangs on the unknown one.
    let same = rules(&[rule("a", "deny", "user.id == \"0\""), rule("b", "deny", "true")].concat());
    let decision = decided(&same, &lost);
    assert_eq!((decision.basis, decision.passed_over), (Basis::Rule(RuleIndex(1)), Some(RuleIndex(0))));
    // An unknown exception in front of a denial could have changed it.
    let exception = rules(&[rule("a", "allow", "user.id == \"0\""), rule("b", "deny", "true")].concat());
    assert_eq!(decided(&exception, &lost).basis, Basis::Unknown(RuleIndex(0)));
    // A trial changes nothing.
    let trial = rules(&rule("r", "deny", "user.id == \"0\"").replace("effect", "mode = \"audit\"\neffect"));
    let decision = decided(&trial, &lost);
    assert_eq!((decision.basis, decision.passed_over), (Basis::NoMatch, Some(RuleIndex(0))));
}

#[test]
fn unknown_arguments_are_no_match_and_are_remembered() {
    let mut attempt = attempt(0, &["/dev/shm/x"]);
    attempt.subject.arguments = Fact::Unknown(Cause::Late);
    for when in
        ["process.args == \"x\"", "not process.args == \"x\"", "user.id == \"0\" and process.args_count > 1"]
    {
        let decision = decided(&rules(&rule("r", "deny", when)), &attempt);
        assert_eq!((decision.basis, decision.passed_over), (Basis::NoMatch, Some(RuleIndex(0))), "{when}");
    }
    attempt.subject.user = Fact::Unknown(Cause::Gone);
    let both = rules(&rule("r", "deny", "process.args == \"x\" or user.id == \"0\""));
    assert_eq!(decided(&both, &attempt).basis, Basis::Unknown(RuleIndex(0)));
    let hangs_on_arguments = rules(&rule("r", "deny", "process.args == \"x\" and user.id == \"0\""));
    assert_eq!(decided(&hangs_on_arguments, &attempt).basis, Basis::NoMatch);
}

#[test]
fn arguments_of_which_only_a_part_was_read_match_by_that_part_alone() {
    let mut attempt = attempt(0, &["/dev/shm/x"]);
    attempt.subject.arguments =
        Fact::Known(Arguments { args: texts(&["x", "--init"]), truncated: true, ..Arguments::default() });
    assert!(holds("process.args == \"--init\"", &attempt));
    assert!(!holds("process.args == \"--other\"", &attempt));
    assert!(!holds("not process.args == \"--other\"", &attempt));
    assert!(!holds("process.args_count == 2", &attempt));
}

#[test]
fn an_unknown_path_is_denied_and_is_in_no_exception() {
    let mut lost = attempt(0, &["/dev/shm/", "/run/shm/"]);
    lost.object.inner = Fact::Unknown(Cause::Unsteady);
    assert!(holds("process.executable like \"/dev/shm/*\"", &lost));
    assert!(holds("process.executable like \"/dev/shm/x/*\"", &lost));
    assert!(holds("process.executable == \"/dev/shm/x\"", &lost));
    assert!(holds("process.name == \"x\"", &lost));
    assert!(holds("not process.executable like \"/dev/shm/ok/*\"", &lost));
    assert!(!holds("process.executable like \"/var/run/*\"", &lost));
    let policy = rules(
        &[rule("a", "allow", "process.executable like \"/dev/shm/ok/*\""), rule("b", "deny", "true")]
            .concat(),
    );
    assert_eq!(decided(&policy, &lost).basis, Basis::Rule(RuleIndex(1)));
    let negative =
        rules(&[rule("a", "allow", "not process.name == \"evil\""), rule("b", "deny", "true")].concat());
    assert_eq!(decided(&negative, &lost).basis, Basis::Rule(RuleIndex(1)));
}

#[test]
fn missing_is_false_and_its_negation_true() {
    let mut attempt = attempt(0, &["/dev/shm/x"]);
    attempt.subject.container = Fact::Absent;
    assert!(!holds("container.id == \"x\"", &attempt));
    assert!(holds("container.id != \"x\"", &attempt));
    assert!(holds("not container.id == \"x\"", &attempt));
    assert!(holds("not container.id in (\"x\", \"y\")", &attempt));
    assert!(holds("container.id not in (\"x\", \"y\")", &attempt));
    assert!(holds("container.id == null", &attempt));
    assert!(!holds("container.id != null", &attempt));
    assert!(!holds("?dns.question.name == \"x\"", &attempt));
    assert!(!holds("not ?dns.question.name == \"x\"", &attempt));
    assert!(!holds("?dns.question.name not in (\"x\")", &attempt));
    assert!(holds("?dns.question.name == null", &attempt));
}

#[test]
fn any_name_matches_and_any_name_excludes() {
    let attempt = attempt(0, &["/run/lock/x", "/var/lock/x", "/var/run/lock/x"]);
    assert!(holds("process.executable like \"/var/lock/*\"", &attempt));
    assert!(!holds("not process.executable like \"/var/lock/*\"", &attempt));
    assert!(holds(
        "process.executable == \"/run/lock/x\" and process.executable == \"/var/lock/x\"",
        &attempt
    ));
    assert!(holds("process.executable : \"/RUN/*\"", &attempt));
    assert!(!holds("process.executable like \"/RUN/*\"", &attempt));
    assert!(holds(
        "file.directory == \"/run/lock\" and file.mode == \"0755\" and file.device == \"0:24\"",
        &attempt
    ));
    assert!(holds(
        "user.name == \"root\" and event.action in (\"exec\", \"exec_event\") and file.size < 2",
        &attempt
    ));
}

#[test]
fn responses_follow_the_weaker_mode() {
    let policy = Generation::embedded();
    let denied = decided(&policy, &attempt(0, &["/dev/shm/x"]));
    assert_eq!(respond(Mode::Prevent, &denied, &policy), crate::event::Response::Deny);
    assert_eq!(respond(Mode::Audit, &denied, &policy), crate::event::Response::Allow);
}
