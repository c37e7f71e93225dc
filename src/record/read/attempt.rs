//! An attempt from its record, or from another product's ECS document of an exec.

use super::document::{Document, Unreadable, date, hexadecimal, number};
use crate::event::{
    Action, Arguments, Attempt, Capabilities, Credentials, Device, Effect, Fact, FileFacts, Gid, Image,
    Login, Mode, MountFacts, Namespaces, Object, Pid, Privileges, Process, Response, Subject, Texts,
    Timestamp, Trust, Uid, Unseen, Users,
};
use crate::record::format::Case;
use serde_json::Value;

/// An attempt, and what was decided at the time.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The record was written by a guard of ours.
    pub is_own: bool,
    /// Who and what.
    pub attempt: Attempt,
    /// The names that the record gives to ids.
    pub users: Users,
    /// What became of it; `None` in another product's document.
    pub case: Option<Case>,
    /// What the policy said.
    pub decision: Option<Effect>,
    /// What the kernel was told.
    pub response: Option<Response>,
    /// The guard's mode.
    pub mode: Option<Mode>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// The generation's hash.
    pub policy_hash: Option<String>,
}

/// Reads one line. `Ok(None)` where it is a notice, or another product's document of something that is no exec.
///
/// Of another process a record keeps real, effective and saved ids; its filesystem ids are taken to be the effective
/// ones. In another product's document real and saved ids of another process are taken to be its `user.id` where they
/// are missing. A user that has a name and no id gets 0 for `root` and else an id that no user has.
///
/// # Errors
/// When the line is not a JSON object, or is damaged.
pub fn attempt(line: &[u8]) -> Result<Option<Recorded>, Unreadable> {
    let root: Value = serde_json::from_slice(line).map_err(Unreadable::NotJson)?;
    if !root.is_object() {
        return Err(Unreadable::NotAnObject);
    }
    let document = Document::new(&root);
    if document.is_own() && document.text("event.dataset") != Some("shmguard.exec") {
        return Ok(None);
    }
    if !document.is_own() && !is_exec(&document) {
        return Ok(None);
    }
    let tag = document.value("tags").and_then(Value::as_array).and_then(|tags| tags.first()?.as_str());
    let own_text = |name| document.text(name).filter(|_| document.is_own()).map(str::to_owned);
    let users = names(&document);
    Ok(Some(Recorded {
        is_own: document.is_own(),
        attempt: Attempt {
            at: moment(&document),
            action: own_text("event.action").and_then(|name| Action::named(&name)).unwrap_or_default(),
            unseen: own_text("shmguard.unseen").and_then(|name| Unseen::named(&name)),
            subject: subject(&document, &users)?,
            object: object(&document)?,
        },
        users,
        case: tag.filter(|_| document.is_own()).and_then(Case::named),
        decision: own_text("shmguard.decision")
            .map(|effect| if effect == "deny" { Effect::Deny } else { Effect::Allow }),
        response: own_text("shmguard.response")
            .map(|told| if told == "deny" { Response::Deny } else { Response::Allow }),
        mode: own_text("shmguard.mode")
            .map(|mode| if mode == "prevent" { Mode::Prevent } else { Mode::Audit }),
        rule: own_text("shmguard.rule"),
        policy_hash: own_text("shmguard.policy.hash"),
    }))
}

/// A process that starts a program. Products differ in `event.action`; a fork alone has no program.
fn is_exec(document: &Document<'_>) -> bool {
    let is_start = |value: &Value| {
        let types = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        types.iter().any(|kind| kind == "start")
    };
    document.has("process.executable")
        && document.text("event.action") != Some("fork")
        && document.value("event.type").is_none_or(is_start)
}

fn moment(document: &Document<'_>) -> Timestamp {
    let at = document.value("@timestamp").and_then(date).and_then(|at| u64::try_from(at).ok());
    Timestamp(at.unwrap_or_default())
}

fn subject(document: &Document<'_>, users: &Users) -> Result<Subject, Unreadable> {
    let pid = |name: &str| document.fact(name, |value| number::<u32>(value).and_then(pid));
    let user = document.fact("user.id", |value| number(value).map(Uid))?;
    let user = match (user, document.text("user.name")) {
        // Only another product's document has a name without an id.
        (Fact::Absent, Some(name)) => Fact::Known(users.uid(name.as_bytes()).unwrap_or(NOBODY)),
        (user, _) => user,
    };
    Ok(Subject {
        thread: pid("process.thread.id")?,
        process: pid("process.pid")?,
        parent_pid: pid("process.parent.pid")?,
        credentials: credentials(document)?,
        user,
        group: document.fact("group.id", |value| number(value).map(Gid))?,
        name: document.bytes("process.thread.name")?,
        privileges: privileges(document)?,
        gains_privilege: document.flag("shmguard.gains_privilege")?,
        previous: match looked_at(document, "process.previous", &["executable", "args"]) {
            Some(missing) => missing,
            None => Fact::Known(image(document, "process.previous")?),
        },
        parent: process(document, "process.parent")?,
        group_leader: process(document, "process.group_leader")?,
        session_leader: process(document, "process.session_leader")?,
        entry_leader: process(document, "process.entry_leader")?,
        arguments: arguments(document)?,
        login: login(document)?,
        interactive: document.flag("process.interactive")?,
        cgroup: document.bytes("shmguard.cgroup")?,
        container: document.bytes("container.id")?,
        directory: document.bytes("process.working_directory")?,
        namespaces: namespaces(document)?,
        start: match document.number("shmguard.start_since_boot")? {
            Fact::Known(start) => Fact::Known(start),
            Fact::Absent | Fact::Unknown(_) | Fact::Unread => document.missing("process.start"),
        },
    })
}

fn credentials(document: &Document<'_>) -> Result<Fact<Credentials>, Unreadable> {
    let id = |name: &str| document.value(name).and_then(number::<u32>);
    let made = || {
        Some(Credentials {
            ruid: Uid(id("process.real_user.id")?),
            euid: Uid(id("shmguard.caller.euid")?),
            suid: Uid(id("process.saved_user.id")?),
            fsuid: Uid(id("shmguard.caller.fsuid")?),
            rgid: Gid(id("process.real_group.id")?),
            egid: Gid(id("shmguard.caller.egid")?),
            sgid: Gid(id("process.saved_group.id")?),
            fsgid: Gid(id("shmguard.caller.fsgid")?),
        })
    };
    // Another product tells the ids after the exec, and often the real ones.
    let foreign = || {
        let (user, group) = (id("user.id").or(id("process.user.id"))?, id("group.id").unwrap_or_default());
        let (ruid, rgid) = (id("process.real_user.id")?, id("process.real_group.id").unwrap_or(group));
        Some(all_ids((ruid, user, user), (rgid, group, group)))
    };
    if !document.is_own() {
        return Ok(foreign().map_or(Fact::Absent, Fact::Known));
    }
    document.fact("shmguard.caller", |_| made())
}

fn all_ids(users: (u32, u32, u32), groups: (u32, u32, u32)) -> Credentials {
    Credentials {
        ruid: Uid(users.0),
        euid: Uid(users.1),
        suid: Uid(users.2),
        fsuid: Uid(users.1),
        rgid: Gid(groups.0),
        egid: Gid(groups.1),
        sgid: Gid(groups.2),
        fsgid: Gid(groups.1),
    }
}

fn privileges(document: &Document<'_>) -> Result<Fact<Privileges>, Unreadable> {
    let set = |name: &str| {
        document.value(&format!("shmguard.privileges.{name}")).and_then(hexadecimal).map(Capabilities)
    };
    document.fact("shmguard.privileges", |_| {
        Some(Privileges {
            no_new_privs: document.value("shmguard.privileges.no_new_privs")?.as_bool()?,
            permitted: set("permitted")?,
            effective: set("effective")?,
            inheritable: set("inheritable")?,
            bounding: set("bounding")?,
            ambient: set("ambient")?,
        })
    })
}

fn image(document: &Document<'_>, at: &str) -> Result<Image, Unreadable> {
    Ok(Image {
        executable: document.bytes(&format!("{at}.executable"))?,
        args: document.texts(&format!("{at}.args"))?,
    })
}

fn process(document: &Document<'_>, at: &str) -> Result<Fact<Process>, Unreadable> {
    let field = |name: &str| format!("{at}.{name}");
    // The parent's pid is told of every attempt, even where nobody looked at the parent.
    let fields = if at == "process.parent" { OF_A_PARENT } else { OF_A_LEADER };
    if let Some(missing) = looked_at(document, at, fields) {
        return Ok(missing);
    }
    let start = document.text(&field("entity_id")).filter(|_| document.is_own());
    let start = start.and_then(|id| id.rsplit('-').next()).and_then(|start| start.parse().ok());
    Ok(Fact::Known(Process {
        pid: document.fact(&field("pid"), |value| number::<u32>(value).and_then(pid))?,
        name: document.bytes(&field("name"))?,
        image: image(document, at)?,
        credentials: other_credentials(document, &field)?,
        directory: document.bytes(&field("working_directory"))?,
        interactive: document.flag(&field("interactive"))?,
        start: start.map_or_else(|| document.missing(&field("start")), Fact::Known),
    }))
}

/// `None` where the document holds anything of the thing at `at`; else what it says of the whole.
fn looked_at<T>(document: &Document<'_>, at: &str, fields: &[&str]) -> Option<Fact<T>> {
    let missing: Fact<T> = document.missing(at);
    let is_told = |name: &&str| {
        let field = format!("{at}.{name}");
        document.has(&field) || !document.missing::<()>(&field).is_unread()
    };
    let any =
        if document.is_own() { missing.is_unread() && fields.iter().any(is_told) } else { document.has(at) };
    (!any).then_some(missing)
}

const OF_A_PARENT: &[&str] =
    &["name", "executable", "args", "user", "working_directory", "interactive", "start"];
const OF_A_LEADER: &[&str] =
    &["pid", "name", "executable", "args", "user", "working_directory", "interactive", "start"];

fn other_credentials(
    document: &Document<'_>,
    field: &dyn Fn(&str) -> String,
) -> Result<Fact<Credentials>, Unreadable> {
    let id = |name: &str| document.value(&field(name)).and_then(number::<u32>);
    document.fact(&field("user.id"), |value| {
        let (user, group) = (number(value)?, id("group.id").unwrap_or_default());
        let users = (id("real_user.id").unwrap_or(user), user, id("saved_user.id").unwrap_or(user));
        let groups = (id("real_group.id").unwrap_or(group), group, id("saved_group.id").unwrap_or(group));
        Some(all_ids(users, groups))
    })
}

fn arguments(document: &Document<'_>) -> Result<Fact<Arguments>, Unreadable> {
    let args = match document.texts("process.args")? {
        Fact::Known(args) => args,
        Fact::Absent => return Ok(Fact::Absent),
        Fact::Unknown(cause) => return Ok(Fact::Unknown(cause)),
        Fact::Unread => return Ok(Fact::Unread),
    };
    let environment = match document.texts("process.env_vars")? {
        Fact::Known(environment) => environment,
        Fact::Unknown(cause) => return Ok(Fact::Unknown(cause)),
        Fact::Absent | Fact::Unread => Texts::new(),
    };
    // Another product's sensor has seen the arguments that the program got.
    let is_shared = document.is_own() && document.text("shmguard.arguments.trust") != Some("single_threaded");
    Ok(Fact::Known(Arguments {
        args,
        environment,
        typed: document.bytes("shmguard.path_as_typed")?.known().cloned().unwrap_or_default(),
        trust: if is_shared { Trust::Shared } else { Trust::SingleThreaded },
        truncated: document.flag("shmguard.arguments.truncated")?.known().copied().unwrap_or_default(),
    }))
}

fn login(document: &Document<'_>) -> Result<Fact<Login>, Unreadable> {
    let id = |name: &str| document.value(name).and_then(number::<u32>);
    document.fact("shmguard.login", |_| {
        Some(Login { user: id("shmguard.login.user.id").map(Uid), session: id("shmguard.login.session") })
    })
}

fn namespaces(document: &Document<'_>) -> Result<Fact<Namespaces>, Unreadable> {
    let id = |name: &str| document.value(&format!("shmguard.namespaces.{name}")).and_then(number);
    document.fact("shmguard.namespaces", |_| {
        Some(Namespaces { mount: id("mount")?, pid: id("pid")?, user: id("user")? })
    })
}

fn object(document: &Document<'_>) -> Result<Object, Unreadable> {
    let names = if document.is_own() {
        document.texts("shmguard.names")?
    } else {
        document.texts("process.executable")?
    };
    let names = names.known().cloned().unwrap_or_default();
    // A foreign document's path is the name that its product saw; it knows no other.
    let inner = match names.first() {
        Some(path) if !document.is_own() => Fact::Known(path.to_vec()),
        _ => document.bytes("shmguard.path_inside")?,
    };
    Ok(Object {
        inner,
        names,
        seen: document.bytes("shmguard.path_as_seen")?,
        deleted: document.flag("shmguard.deleted")?,
        file: file(document)?,
        mount: MountFacts {
            id: document.number("shmguard.mount.id")?,
            unique: document.flag("shmguard.mount.unique")?.known().copied().unwrap_or_default(),
            nosuid: document.flag("shmguard.mount.nosuid")?,
        },
        // The record tells what follows from it.
        interpreter: Fact::Unread,
        capabilities: document.flag("shmguard.file.capabilities")?,
        sha256: document.fact("process.hash.sha256", digest)?,
    })
}

fn file(document: &Document<'_>) -> Result<Fact<FileFacts>, Unreadable> {
    let value = |name: &str| document.value(name);
    let moment = |name: &str| value(name).and_then(date).and_then(|at| i64::try_from(at).ok());
    document.fact("file.inode", |inode| {
        let (major, minor) = value("file.device")?.as_str()?.split_once(':')?;
        Some(FileFacts {
            device: Device { major: major.parse().ok()?, minor: minor.parse().ok()? },
            inode: number(inode)?,
            mode: number(value("shmguard.file.st_mode")?)?,
            uid: Uid(number(value("file.uid")?)?),
            gid: Gid(number(value("file.gid")?)?),
            size: number(value("file.size")?)?,
            links: number(value("shmguard.file.links")?)?,
            modified: moment("file.mtime")?,
            changed: moment("file.ctime")?,
        })
    })
}

fn digest(value: &Value) -> Option<[u8; 32]> {
    let digits = value.as_str().filter(|digits| digits.len() == 64)?;
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The table of the names that stand beside ids.
fn names(document: &Document<'_>) -> Users {
    let (mut passwd, mut group) = (Vec::new(), Vec::new());
    let add = |table: &mut Vec<u8>, at: &str, fallback: Option<u32>| {
        let id = document.value(&format!("{at}.id")).and_then(number::<u32>).or(fallback);
        let name = document.bytes(&format!("{at}.name")).ok().and_then(|name| name.known().cloned());
        if let (Some(id), Some(name)) =
            (id, name.filter(|name| !name.iter().any(|byte| matches!(byte, b':' | b'\n'))))
        {
            table.extend_from_slice(&[&name, b":x:".as_slice(), id.to_string().as_bytes(), b":\n"].concat());
        }
    };
    let nameless = if document.text("user.name") == Some("root") { Uid::ROOT } else { NOBODY };
    add(&mut passwd, "user", Some(nameless.0));
    for at in [
        "process",
        "process.parent",
        "process.group_leader",
        "process.session_leader",
        "process.entry_leader",
    ] {
        for user in ["user", "real_user", "saved_user"] {
            add(&mut passwd, &format!("{at}.{user}"), None);
        }
        for name in ["group", "real_group", "saved_group"] {
            add(&mut group, &format!("{at}.{name}"), None);
        }
    }
    Users::parse(&passwd, &group)
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().filter(|number| *number > 0).map(Pid)
}

/// An id that no user has: (uid_t) -2.
const NOBODY: Uid = Uid(u32::MAX - 1);

#[cfg(test)]
mod tests;
