//! One attempt as a line of JSON.

use super::json::Json;
use super::{Case, Cut, Entry, Evidence, Frame, capability, knowledge, summary};
use crate::event::{
    Arguments, Basis, Capabilities, Credentials, Effect, Fact, FileFacts, Gid, Image, Mode, Object,
    Privileges, Process, Response, Texts, Timestamp, Trust, Uid, Users,
};
use crate::policy::{About, Severity, Threat, ThreatItem};
use crate::record::escape::{self, Style};

pub(super) fn write(line: &mut Vec<u8>, sequence: u64, entry: &Entry<'_>, frame: &Frame<'_>) {
    let case = entry.case();
    Json::document(line, |json| {
        json.time("@timestamp", entry.attempt.at);
        json.texts("tags", &[case.name()]);
        json.filled("message", |out| summary::attempt(out, Style::Message, entry));
        json.object("event", |json| event(json, sequence, case, entry, frame));
        json.object("process", |json| process(json, entry, frame));
        json.object("user", |json| user(json, &entry.attempt.subject.user, entry.users));
        json.object("group", |json| group(json, &entry.attempt.subject.group, entry.users));
        json.object("file", |json| file(json, entry));
        json.object("container", |json| json.known_value("id", &entry.attempt.subject.container));
        if let Some(about) = entry.subject_rule() {
            json.object("rule", |json| rule(json, about));
            json.object("threat", |json| threat(json, &about.threats));
        }
        json.object("related", |json| related(json, entry));
        json.object("shmguard", |json| own(json, entry, frame));
        json.ready(frame.host.members());
    });
    line.push(b'\n');
}

fn event(json: &mut Json<'_>, sequence: u64, case: Case, entry: &Entry<'_>, frame: &Frame<'_>) {
    let (kind, categories, types, outcome): (_, &[&str], &[&str], _) = match case {
        Case::Denied => ("alert", &MATCHED, &["start", "denied"], "success"),
        Case::WouldDeny => ("alert", &MATCHED, &["start", "allowed"], "unknown"),
        Case::NotDelivered => ("alert", &MATCHED, &["start", "denied"], "failure"),
        // The exec may still fail after our answer.
        Case::Excepted | Case::Allowed => ("event", &["process"], &["start"], "unknown"),
    };
    json.text("kind", kind);
    json.texts("category", categories);
    json.texts("type", types);
    json.text("action", "exec");
    json.text("outcome", outcome);
    identity(json, sequence, "shmguard.exec", frame.host.boot_id());
    json.text("provider", "fanotify");
    if let Some(about) = entry.subject_rule() {
        json.text("code", &about.id);
        if kind == "alert" {
            json.number("severity", u64::from(about.severity.score()));
            json.number("risk_score", u64::from(about.risk_score));
        }
    }
    if let Some(duration) = entry.duration_ns {
        json.number("duration", duration);
    }
}

const MATCHED: [&str; 2] = ["process", "intrusion_detection"];

/// What tells one record from all others: its number in this boot.
pub(super) fn identity(json: &mut Json<'_>, sequence: u64, dataset: &str, boot: &str) {
    json.number("sequence", sequence);
    json.filled("id", |out| {
        escape::push(out, boot.as_bytes(), Style::Text);
        out.push(b'-');
        super::json::push_number(out, sequence);
    });
    json.text("module", "shmguard");
    json.text("dataset", dataset);
}

fn process(json: &mut Json<'_>, entry: &Entry<'_>, frame: &Frame<'_>) {
    let subject = &entry.attempt.subject;
    let users = entry.users;
    if let Fact::Known(pid) = subject.process {
        pid_of(json, pid.0);
        entity(json, frame, pid.0, &subject.start);
    }
    if let Some(path) = entry.attempt.object.names.first() {
        json.value("executable", path);
        json.value("name", split(path).1);
    }
    json.object("thread", |json| {
        if let Fact::Known(thread) = subject.thread {
            json.number("id", u64::from(thread.0.unsigned_abs()));
        }
        json.known_value("name", &subject.name);
        if let Fact::Known(privileges) = &subject.privileges {
            json.object("capabilities", |json| {
                capabilities(json, "permitted", privileges.permitted);
                capabilities(json, "effective", privileges.effective);
            });
        }
    });
    json.object("user", |json| user(json, &subject.user, users));
    json.object("group", |json| group(json, &subject.group, users));
    if let Fact::Known(credentials) = &subject.credentials {
        real_and_saved(json, credentials, users);
    }
    if let Fact::Known(arguments) = &subject.arguments {
        args(json, &arguments.args, arguments.truncated, frame);
        if !arguments.args.is_empty() {
            command_line(json, &arguments.args, frame);
        }
        if !arguments.environment.is_empty() {
            shown(json, "env_vars", &arguments.environment, frame);
        }
    }
    json.known_value("working_directory", &subject.directory);
    json.known_flag("interactive", &subject.interactive);
    start(json, frame, &subject.start);
    if let Fact::Known(hash) = &entry.attempt.object.sha256 {
        json.object("hash", |json| json.hexadecimal("sha256", hash));
    }
    if let Fact::Known(previous) = &subject.previous {
        json.array("previous", |json| json.element(|json| image(json, previous, frame)));
    }
    json.object("parent", |json| parent(json, entry, frame));
    for (name, leader) in [
        ("group_leader", &subject.group_leader),
        ("session_leader", &subject.session_leader),
        ("entry_leader", &subject.entry_leader),
    ] {
        if let Fact::Known(leader) = leader {
            json.object(name, |json| other(json, leader, users, frame));
        }
    }
}

fn parent(json: &mut Json<'_>, entry: &Entry<'_>, frame: &Frame<'_>) {
    let subject = &entry.attempt.subject;
    let told = subject.parent.known();
    // The pid is known of every attempt, the rest only where somebody asked.
    if let (Fact::Known(pid), None) = (&subject.parent_pid, told.and_then(|parent| parent.pid.known())) {
        pid_of(json, pid.0);
    }
    if let Some(parent) = told {
        other(json, parent, entry.users, frame);
    }
}

fn other(json: &mut Json<'_>, process: &Process, users: &Users, frame: &Frame<'_>) {
    if let Fact::Known(pid) = process.pid {
        pid_of(json, pid.0);
        entity(json, frame, pid.0, &process.start);
    }
    json.known_value("name", &process.name);
    image(json, &process.image, frame);
    if let Fact::Known(args) = &process.image.args {
        command_line(json, args, frame);
    }
    if let Fact::Known(credentials) = &process.credentials {
        json.object("user", |json| user(json, &Fact::Known(credentials.euid), users));
        json.object("group", |json| group(json, &Fact::Known(credentials.egid), users));
        real_and_saved(json, credentials, users);
    }
    json.known_value("working_directory", &process.directory);
    json.known_flag("interactive", &process.interactive);
    start(json, frame, &process.start);
}

fn image(json: &mut Json<'_>, image: &Image, frame: &Frame<'_>) {
    json.known_value("executable", &image.executable);
    if let Fact::Known(list) = &image.args {
        args(json, list, false, frame);
    }
}

fn args(json: &mut Json<'_>, args: &Texts, truncated: bool, frame: &Frame<'_>) {
    shown(json, "args", args, frame);
    if !truncated {
        json.number("args_count", u64::try_from(args.len()).unwrap_or(u64::MAX));
    }
}

/// A list, written even where it is empty: it was looked at.
fn shown(json: &mut Json<'_>, name: &str, list: &Texts, frame: &Frame<'_>) {
    json.full_array(name, |json| {
        for (text, hidden) in frame.redact.show(list) {
            json.parts_element(&[text, hidden], Style::Value);
        }
    });
}

fn command_line(json: &mut Json<'_>, args: &Texts, frame: &Frame<'_>) {
    json.filled("command_line", |out| {
        for (index, (text, hidden)) in frame.redact.show(args).enumerate() {
            if index > 0 {
                out.push(b' ');
            }
            escape::push(out, text, Style::Value);
            escape::push(out, hidden, Style::Value);
        }
    });
}

fn pid_of(json: &mut Json<'_>, pid: i32) {
    json.number("pid", u64::from(pid.unsigned_abs()));
}

/// Pids are used again; pid, start and boot together are not.
fn entity(json: &mut Json<'_>, frame: &Frame<'_>, pid: i32, start: &Fact<u64>) {
    let Fact::Known(start) = start else { return };
    json.filled("entity_id", |out| {
        escape::push(out, frame.host.boot_id().as_bytes(), Style::Text);
        for number in [u64::from(pid.unsigned_abs()), *start] {
            out.push(b'-');
            super::json::push_number(out, number);
        }
    });
}

fn start(json: &mut Json<'_>, frame: &Frame<'_>, since_boot: &Fact<u64>) {
    if let Fact::Known(since_boot) = since_boot {
        json.time("start", Timestamp(frame.host.booted().0.saturating_add(*since_boot)));
    }
}

fn user(json: &mut Json<'_>, uid: &Fact<Uid>, users: &Users) {
    if let Fact::Known(uid) = uid {
        json.id("id", u64::from(uid.0));
        if let Some(name) = users.user(*uid) {
            json.value("name", name);
        }
    }
}

fn group(json: &mut Json<'_>, gid: &Fact<Gid>, users: &Users) {
    if let Fact::Known(gid) = gid {
        json.id("id", u64::from(gid.0));
        if let Some(name) = users.group(*gid) {
            json.value("name", name);
        }
    }
}

fn real_and_saved(json: &mut Json<'_>, credentials: &Credentials, users: &Users) {
    json.object("real_user", |json| user(json, &Fact::Known(credentials.ruid), users));
    json.object("saved_user", |json| user(json, &Fact::Known(credentials.suid), users));
    json.object("real_group", |json| group(json, &Fact::Known(credentials.rgid), users));
    json.object("saved_group", |json| group(json, &Fact::Known(credentials.sgid), users));
}

fn capabilities(json: &mut Json<'_>, name: &str, set: Capabilities) {
    json.array(name, |json| capability::names(set).for_each(|name| json.text_element(name)));
}

fn file(json: &mut Json<'_>, entry: &Entry<'_>) {
    let object = &entry.attempt.object;
    if let Some(path) = object.names.first() {
        let (directory, name) = split(path);
        json.value("path", path);
        json.value("name", name);
        json.value("directory", directory);
    }
    if let Fact::Known(facts) = &object.file {
        file_facts(json, facts, entry.users);
    }
    if let Fact::Known(hash) = &object.sha256 {
        json.object("hash", |json| json.hexadecimal("sha256", hash));
    }
}

fn file_facts(json: &mut Json<'_>, facts: &FileFacts, users: &Users) {
    json.text("type", "file");
    json.id("inode", facts.inode);
    json.filled("device", |out| {
        super::json::push_number(out, u64::from(facts.device.major));
        out.push(b':');
        super::json::push_number(out, u64::from(facts.device.minor));
    });
    json.filled("mode", |out| {
        // ls(1) and ECS write the permission bits alone, four octal digits.
        for shift in [9, 6, 3, 0] {
            out.push(b'0' + u8::try_from(facts.mode >> shift & 7).unwrap_or_default());
        }
    });
    json.id("uid", u64::from(facts.uid.0));
    json.id("gid", u64::from(facts.gid.0));
    if let Some(owner) = users.user(facts.uid) {
        json.value("owner", owner);
    }
    if let Some(group) = users.group(facts.gid) {
        json.value("group", group);
    }
    json.number("size", facts.size);
    json.date("mtime", i128::from(facts.modified));
    json.date("ctime", i128::from(facts.changed));
}

/// Directory and name of a path; a path that ends in `/` names a directory.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => (b"/", path.get(1..).unwrap_or_default()),
        Some(slash) => (path.get(..slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}

fn rule(json: &mut Json<'_>, about: &About) {
    json.text("id", &about.id);
    json.text("name", about.name.as_deref().unwrap_or(&about.id));
    json.text("ruleset", &about.ruleset);
    for (name, value) in [
        ("uuid", about.uuid.as_deref()),
        ("version", about.version.as_deref()),
        ("license", about.license.as_deref()),
        ("reference", about.references.first().map(String::as_str)),
    ] {
        if let Some(value) = value {
            json.text(name, value);
        }
    }
    json.array("author", |json| about.authors.iter().for_each(|author| json.text_element(author)));
}

fn threat(json: &mut Json<'_>, threats: &[Threat]) {
    let Some(first) = threats.first() else { return };
    json.text("framework", &first.framework);
    json.object("tactic", |json| items(json, threats.iter().map(|threat| &threat.tactic)));
    json.object("technique", |json| {
        items(json, threats.iter().flat_map(|threat| &threat.techniques));
        json.object("subtechnique", |json| {
            items(json, threats.iter().flat_map(|threat| &threat.subtechniques));
        });
    });
}

fn items<'a>(json: &mut Json<'_>, items: impl Iterator<Item = &'a ThreatItem> + Clone) {
    json.array("id", |json| items.clone().for_each(|item| json.text_element(&item.id)));
    json.array("name", |json| items.clone().for_each(|item| json.text_element(&item.name)));
    json.array("reference", |json| {
        items.clone().filter_map(|item| item.reference.as_deref()).for_each(|link| json.text_element(link));
    });
}

fn related(json: &mut Json<'_>, entry: &Entry<'_>) {
    if let Some(name) = entry.attempt.subject.user.known().and_then(|uid| entry.users.user(*uid)) {
        json.array("user", |json| json.value_element(name));
    }
    if let Fact::Known(hash) = &entry.attempt.object.sha256 {
        json.array("hash", |json| json.hexadecimal_element(hash));
    }
}

/// Everything that ECS has no name for.
fn own(json: &mut Json<'_>, entry: &Entry<'_>, frame: &Frame<'_>) {
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
            if let Some(user) = login.user {
                user_of_login(json, user, entry.users);
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

fn user_of_login(json: &mut Json<'_>, uid: Uid, users: &Users) {
    json.object("user", |json| user(json, &Fact::Known(uid), users));
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
