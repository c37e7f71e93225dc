//! Which fields were looked at and are absent, and which could not be known: the flat list of every fact and the
//! field it fills.

use super::json::Json;
use crate::event::{Attempt, Cause, Fact, Image, Process};
use crate::record::escape::Style;

/// Writes `absent` and `unknown` into the object that is open.
pub(super) fn write(json: &mut Json<'_>, attempt: &Attempt) {
    let mut is_unknown = false;
    json.array("absent", |json| {
        every(attempt, &mut |prefix, name, state| match state {
            State::Absent => json.parts_element(&[prefix.as_bytes(), name.as_bytes()], Style::Text),
            State::Unknown(_) => is_unknown = true,
            State::Plain => {}
        });
    });
    if !is_unknown {
        return;
    }
    json.array("unknown", |json| {
        every(attempt, &mut |prefix, name, state| {
            if let State::Unknown(cause) = state {
                json.element(|json| {
                    json.parts("field", &[prefix.as_bytes(), name.as_bytes()], Style::Text);
                    json.text("cause", cause_name(cause));
                    if let Cause::Failed(errno) = cause {
                        json.number("errno", u64::from(errno.unsigned_abs()));
                    }
                });
            }
        });
    });
}

/// The word for a cause in records; reading knows its inverse.
pub(super) fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Gone => "gone",
        Cause::OutsideNamespace => "outside_namespace",
        Cause::Refused => "refused",
        Cause::Unsupported => "unsupported",
        Cause::Late => "late",
        Cause::TooLong => "too_long",
        Cause::Unsteady => "unsteady",
        Cause::Failed(_) => "failed",
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Known or not collected: the record's other fields say which.
    Plain,
    Absent,
    Unknown(Cause),
}

fn state<T>(fact: &Fact<T>) -> State {
    match fact {
        Fact::Known(_) | Fact::Unread => State::Plain,
        Fact::Absent => State::Absent,
        Fact::Unknown(cause) => State::Unknown(*cause),
    }
}

/// Takes the prefix and the name of a field, and what is known of it.
type Visit<'v> = &'v mut dyn FnMut(&'static str, &'static str, State);

fn every(attempt: &Attempt, visit: Visit<'_>) {
    let subject = &attempt.subject;
    visit("process.thread.", "id", state(&subject.thread));
    visit("process.", "pid", state(&subject.process));
    // The parent's own pid, where somebody looked, is the same number.
    visit("process.parent.", "pid", state(&subject.parent_pid));
    for name in ["real_user", "saved_user", "real_group", "saved_group"] {
        visit("process.", name, state(&subject.credentials));
    }
    visit("shmguard.", "caller", state(&subject.credentials));
    for name in ["user", "process.user"] {
        visit("", name, state(&subject.user));
    }
    for name in ["group", "process.group"] {
        visit("", name, state(&subject.group));
    }
    visit("process.thread.", "name", state(&subject.name));
    visit("process.thread.", "capabilities", state(&subject.privileges));
    visit("shmguard.", "privileges", state(&subject.privileges));
    visit("shmguard.", "gains_privilege", state(&subject.gains_privilege));
    visit("process.", "previous", state(&subject.previous));
    if let Fact::Known(image) = &subject.previous {
        every_of_image("process.previous.", image, visit);
    }
    for (prefix, name, process) in [
        ("process.parent.", "parent", &subject.parent),
        ("process.group_leader.", "group_leader", &subject.group_leader),
        ("process.session_leader.", "session_leader", &subject.session_leader),
        ("process.entry_leader.", "entry_leader", &subject.entry_leader),
    ] {
        visit("process.", name, state(process));
        if let Fact::Known(process) = process {
            every_of_process(prefix, process, visit);
        }
    }
    for name in ["process.args", "process.args_count", "process.command_line", "process.env_vars"] {
        visit("", name, state(&subject.arguments));
    }
    visit("shmguard.", "arguments", state(&subject.arguments));
    visit("shmguard.", "path_as_typed", state(&subject.arguments));
    visit("shmguard.", "login", state(&subject.login));
    visit("process.", "interactive", state(&subject.interactive));
    visit("shmguard.", "cgroup", state(&subject.cgroup));
    visit("container.", "id", state(&subject.container));
    visit("process.", "working_directory", state(&subject.directory));
    visit("shmguard.", "namespaces", state(&subject.namespaces));
    visit("process.", "start", state(&subject.start));
    every_of_object(attempt, visit);
}

fn every_of_object(attempt: &Attempt, visit: Visit<'_>) {
    let object = &attempt.object;
    if object.names.is_empty() {
        for name in ["process.executable", "process.name", "file.path", "file.name", "file.directory"] {
            visit("", name, state(&object.inner));
        }
    }
    visit("shmguard.", "path_inside", state(&object.inner));
    visit("shmguard.", "path_as_seen", state(&object.seen));
    visit("shmguard.", "deleted", state(&object.deleted));
    for name in ["device", "inode", "mode", "uid", "gid", "owner", "group", "size", "mtime", "ctime", "type"]
    {
        visit("file.", name, state(&object.file));
    }
    visit("shmguard.file.", "links", state(&object.file));
    visit("shmguard.mount.", "id", state(&object.mount.id));
    visit("shmguard.mount.", "nosuid", state(&object.mount.nosuid));
    visit("shmguard.file.", "capabilities", state(&object.capabilities));
    visit("process.hash.", "sha256", state(&object.sha256));
    visit("file.hash.", "sha256", state(&object.sha256));
}

fn every_of_process(prefix: &'static str, process: &Process, visit: Visit<'_>) {
    if prefix != "process.parent." {
        visit(prefix, "pid", state(&process.pid));
    }
    visit(prefix, "name", state(&process.name));
    every_of_image(prefix, &process.image, visit);
    for name in ["user", "real_user", "saved_user", "group", "real_group", "saved_group"] {
        visit(prefix, name, state(&process.credentials));
    }
    visit(prefix, "working_directory", state(&process.directory));
    visit(prefix, "interactive", state(&process.interactive));
    visit(prefix, "start", state(&process.start));
}

fn every_of_image(prefix: &'static str, image: &Image, visit: Visit<'_>) {
    visit(prefix, "executable", state(&image.executable));
    for name in ["args", "args_count"] {
        visit(prefix, name, state(&image.args));
    }
}
