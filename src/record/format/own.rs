//! The members under `shmguard`: everything that ECS has no name for.

use super::common::user;
use super::json::Json;
use super::{Cut, Entry, Evidence, Frame, knowledge};
use crate::event::{
    Arguments, Basis, Effect, Fact, Image, Mode, Object, Privileges, Process, Response, Trust,
};
use crate::policy::Severity;

/// Everything that ECS has no name for.
pub(super) fn write(json: &mut Json<'_>, entry: &Entry<'_>, frame: &Frame<'_>) {
    json.text("mode", mode(entry.mode));
    json.text("decision", effect(entry.decision.effect));
    json.text("basis", basis(entry.decision.basis));
    if let Basis::Failure(failure) = entry.decision.basis {
        json.text("basis_failure", failure.name());
    }
    json.text("response", response(entry.response));
    for (name, rule) in [("rule", entry.rule), ("trial", entry.trial), ("passed_over", entry.passed_over)] {
        if let Some(rule) = rule {
            json.text(name, &rule.id);
        }
    }
    if entry.is_excepted() {
        json.flag("excepted", true);
    }
    if let Some(way) = entry.attempt.unseen {
        json.text("unseen", way.name());
    }
    if let Some(about) = entry.subject_rule() {
        json.text("severity", severity(about.severity));
        if about.references.len() > 1 {
            json.array("references", |json| {
                about.references.iter().for_each(|link| json.text_element(link));
            });
        }
    }
    json.object("policy", |json| json.text("hash", entry.policy_hash));
    json.array("failures", |json| {
        entry.failures.iter().for_each(|failure| json.text_element(failure.name()));
    });
    who(json, entry);
    what(json, &entry.attempt.object);
    json.object("evidence", |json| {
        json.text("level", entry.evidence.level());
        if let Evidence::Cut(cut) = entry.evidence {
            json.text("cut", Cut::name(cut));
        }
    });
    json.array("redacted", |json| redacted(json, entry, frame));
    knowledge::write(json, entry.attempt);
}

fn who(json: &mut Json<'_>, entry: &Entry<'_>) {
    let subject = &entry.attempt.subject;
    if let Fact::Known(credentials) = &subject.credentials {
        // Before the exec; `process.user` and `process.group` say what is so after it.
        json.object("caller", |json| {
            json.id("euid", u64::from(credentials.euid.0));
            json.id("fsuid", u64::from(credentials.fsuid.0));
            json.id("egid", u64::from(credentials.egid.0));
            json.id("fsgid", u64::from(credentials.fsgid.0));
        });
    }
    json.known_flag("gains_privilege", &subject.gains_privilege);
    if let Fact::Known(privileges) = &subject.privileges {
        json.object("privileges", |json| privilege_sets(json, privileges));
    }
    if let Fact::Known(arguments) = &subject.arguments {
        json.value("path_as_typed", &arguments.typed);
        json.object("arguments", |json| argument_trust(json, arguments));
    }
    if let Fact::Known(login) = &subject.login {
        json.full_object("login", |json| {
            if let Some(uid) = login.user {
                json.object("user", |json| user(json, &Fact::Known(uid), entry.users));
            }
            if let Some(session) = login.session {
                json.id("session", u64::from(session));
            }
        });
    }
    json.known_value("cgroup", &subject.cgroup);
    if let Fact::Known(namespaces) = &subject.namespaces {
        json.object("namespaces", |json| {
            json.id("mount", namespaces.mount);
            json.id("pid", namespaces.pid);
            json.id("user", namespaces.user);
        });
    }
    if let Fact::Known(start) = subject.start {
        json.number("start_since_boot", start);
    }
}

fn argument_trust(json: &mut Json<'_>, arguments: &Arguments) {
    json.text(
        "trust",
        match arguments.trust {
            Trust::SingleThreaded => "single_threaded",
            Trust::Shared => "shared",
        },
    );
    json.flag("truncated", arguments.truncated);
}

fn privilege_sets(json: &mut Json<'_>, privileges: &Privileges) {
    json.flag("no_new_privs", privileges.no_new_privs);
    for (name, set) in [
        ("permitted", privileges.permitted),
        ("effective", privileges.effective),
        ("inheritable", privileges.inheritable),
        ("bounding", privileges.bounding),
        ("ambient", privileges.ambient),
    ] {
        json.hexadecimal(name, &set.0.to_be_bytes());
    }
}

fn what(json: &mut Json<'_>, object: &Object) {
    json.values("names", &object.names);
    json.known_value("path_inside", &object.inner);
    json.known_value("path_as_seen", &object.seen);
    json.known_flag("deleted", &object.deleted);
    json.object("file", |json| {
        if let Fact::Known(facts) = &object.file {
            json.number("links", u64::from(facts.links));
            json.number("st_mode", u64::from(facts.mode));
        }
        json.known_flag("capabilities", &object.capabilities);
    });
    json.object("mount", |json| {
        if let Fact::Known(id) = object.mount.id {
            json.id("id", id);
            json.flag("unique", object.mount.unique);
        }
        json.known_flag("nosuid", &object.mount.nosuid);
    });
}

/// The lists in which something was hidden: whoever judges this record again does not know them.
fn redacted(json: &mut Json<'_>, entry: &Entry<'_>, frame: &Frame<'_>) {
    let subject = &entry.attempt.subject;
    let arguments = subject.arguments.known();
    let process =
        |process: &'_ Fact<Process>| process.known().is_some_and(|process| hides(&process.image, frame));
    let previous = subject.previous.known().is_some_and(|image| hides(image, frame));
    for (name, is_hidden) in [
        ("process.args", arguments.is_some_and(|arguments| frame.redact.hides(&arguments.args))),
        ("process.env_vars", arguments.is_some_and(|arguments| frame.redact.hides(&arguments.environment))),
        ("process.previous.args", previous),
        ("process.parent.args", process(&subject.parent)),
        ("process.group_leader.args", process(&subject.group_leader)),
        ("process.session_leader.args", process(&subject.session_leader)),
        ("process.entry_leader.args", process(&subject.entry_leader)),
    ] {
        if is_hidden {
            json.text_element(name);
        }
    }
}

fn hides(image: &Image, frame: &Frame<'_>) -> bool {
    image.args.known().is_some_and(|args| frame.redact.hides(args))
}

fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Rule(_) => "rule",
        Basis::NoMatch => "no_match",
        Basis::Unknown(_) => "unknown",
        Basis::Failure(_) => "failure",
    }
}

pub(super) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Audit => "audit",
        Mode::Prevent => "prevent",
    }
}

pub(super) fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Deny => "deny",
        Effect::Allow => "allow",
    }
}

pub(super) fn response(response: Response) -> &'static str {
    match response {
        Response::Allow => "allow",
        Response::Deny => "deny",
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}
