//! One attempt as a line of JSON.

use super::common::{group, identity, user};
use super::json::Json;
use super::{Case, Entry, Frame, own, summary};
use crate::event::{
    Capabilities, Credentials, Fact, FileFacts, Image, Object, Process, Texts, Timestamp, Users,
};
use crate::policy::{About, Threat, ThreatItem};
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
            json.ready(about.told.text(|| of_rule(about)));
        }
        json.object("related", |json| related(json, entry));
        json.object("shmguard", |json| own::write(json, entry, frame));
        json.ready(frame.host.members());
    });
    line.push(b'\n');
}

fn event(json: &mut Json<'_>, sequence: u64, case: Case, entry: &Entry<'_>, frame: &Frame<'_>) {
    let (kind, categories, types, outcome): (_, &[&str], &[&str], _) = match case {
        Case::Denied => ("alert", &MATCHED, &["start", "denied"], "success"),
        Case::WouldDeny => ("alert", &MATCHED, &["start", "allowed"], "unknown"),
        Case::NotDelivered => ("alert", &MATCHED, &["start", "denied"], "failure"),
        Case::Unseen => ("alert", &MATCHED, &["start", "allowed"], "success"),
        // The exec may still fail after our answer.
        Case::Excepted | Case::Allowed => ("event", &["process"], &["start"], "unknown"),
    };
    json.text("kind", kind);
    json.texts("category", categories);
    json.texts("type", types);
    json.text("action", entry.attempt.action.name());
    json.text("outcome", outcome);
    identity(json, sequence, "shmguard.exec", frame.host.boot_id());
    json.text("provider", if entry.attempt.unseen.is_some() { "proc-connector" } else { "fanotify" });
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

fn process(json: &mut Json<'_>, entry: &Entry<'_>, frame: &Frame<'_>) {
    let subject = &entry.attempt.subject;
    let users = entry.users;
    if let Fact::Known(pid) = subject.process {
        pid_of(json, pid.0);
        entity(json, frame, pid.0, &subject.start);
    }
    if let Some(path) = entry.attempt.object.names.first() {
        json.value("executable", path);
        json.value("name", name(&entry.attempt.object, path));
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

fn real_and_saved(json: &mut Json<'_>, credentials: &Credentials, users: &Users) {
    json.object("real_user", |json| user(json, &Fact::Known(credentials.ruid), users));
    json.object("saved_user", |json| user(json, &Fact::Known(credentials.suid), users));
    json.object("real_group", |json| group(json, &Fact::Known(credentials.rgid), users));
    json.object("saved_group", |json| group(json, &Fact::Known(credentials.sgid), users));
}

fn capabilities(json: &mut Json<'_>, name: &str, set: Capabilities) {
    json.array(name, |json| set.names().for_each(|name| json.text_element(name)));
}

fn file(json: &mut Json<'_>, entry: &Entry<'_>) {
    let object = &entry.attempt.object;
    if let Some(path) = object.names.first() {
        json.value("path", path);
        json.value("name", name(object, path));
        json.value("directory", split(path).0);
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

/// The file's own name. Where only a directory is known in which it lies somewhere, it is the last part of the path that
/// the kernel shows, from the root of a mount that is nowhere.
fn name<'a>(object: &'a Object, path: &'a [u8]) -> &'a [u8] {
    let Some(seen) = object.seen.known().filter(|_| path.ends_with(b"/")) else { return split(path).1 };
    let seen = if object.deleted == Fact::Known(true) { seen.strip_suffix(b" (deleted)") } else { None }
        .unwrap_or(seen);
    split(seen).1
}

/// Directory and name of a path; a path that ends in `/` names a directory.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => (b"/", path.get(1..).unwrap_or_default()),
        Some(slash) => (path.get(..slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}

/// What is the same in every record about a rule.
fn of_rule(about: &About) -> Vec<u8> {
    let mut members = Vec::new();
    Json::members(&mut members, |json| {
        json.object("rule", |json| rule(json, about));
        json.object("threat", |json| threat(json, &about.threats));
    });
    members
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
