//! An attempt as a rule sees it: field by field, by the table of [`Field`].

use super::field::{Aspect, Attribute, Origin, Relative, Side, Trait};
use super::{
    Arguments, Attempt, Capabilities, Credentials, Doubt, Fact, Facts, Field, FileFacts, Gid, Groups, Login,
    Part, Process, Texts, Uid, Users, Value,
};

/// One attempt and the names of the users in it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The attempt.
    pub attempt: &'a Attempt,
    /// Names of users and groups.
    pub users: &'a Users,
}

impl Facts for View<'_> {
    fn value(&self, field: Field) -> Value<'_> {
        let row = field.row();
        match row.origin {
            Origin::Constant(texts) => Value::Constants(texts),
            Origin::Attempt(what) => self.attempt(what),
            Origin::Subject(what) => self.subject(what, row.groups),
            Origin::Object(what) => self.object(what, row.groups),
            Origin::Process(relative, attribute) => self.process(relative, attribute),
        }
    }
}

impl<'a> View<'a> {
    /// The attempt as rules see it.
    #[must_use]
    pub fn new(attempt: &'a Attempt, users: &'a Users) -> Self {
        Self { attempt, users }
    }

    fn attempt(&self, what: Side) -> Value<'a> {
        match what {
            Side::Action => Value::Text(self.attempt.action.name().as_bytes()),
            Side::Unseen => {
                self.attempt.unseen.map_or(Value::Absent, |way| Value::Text(way.name().as_bytes()))
            }
        }
    }

    fn subject(&self, what: Trait, groups: Groups) -> Value<'a> {
        let subject = &self.attempt.subject;
        let other = Doubt::OTHER;
        match what {
            Trait::Pid => of(&subject.process, groups, other, |pid| Value::Number(pid.0.into())),
            Trait::Thread => of(&subject.thread, groups, other, |pid| Value::Number(pid.0.into())),
            Trait::User => of(&subject.user, groups, other, |user| id(*user)),
            Trait::UserName => of(&subject.user, groups, other, |user| self.user_name(*user)),
            Trait::RealUser => of(&subject.credentials, groups, other, |c| id(c.ruid)),
            Trait::RealUserName => of(&subject.credentials, groups, other, |c| self.user_name(c.ruid)),
            Trait::SavedUser => of(&subject.credentials, groups, other, |c| id(c.suid)),
            Trait::SavedUserName => of(&subject.credentials, groups, other, |c| self.user_name(c.suid)),
            Trait::SavedGroup => of(&subject.credentials, groups, other, |c| gid(c.sgid)),
            Trait::SavedGroupName => of(&subject.credentials, groups, other, |c| self.group_name(c.sgid)),
            Trait::Group => of(&subject.group, groups, other, |group| gid(*group)),
            Trait::GroupName => of(&subject.group, groups, other, |group| self.group_name(*group)),
            Trait::RealGroup => of(&subject.credentials, groups, other, |c| gid(c.rgid)),
            Trait::RealGroupName => of(&subject.credentials, groups, other, |c| self.group_name(c.rgid)),
            Trait::Args | Trait::ArgsCount | Trait::CommandLine | Trait::Environment | Trait::Typed => {
                of(&subject.arguments, groups, Doubt::ARGUMENTS, |arguments| argument(arguments, what))
            }
            Trait::WorkingDirectory => text(&subject.directory, groups),
            Trait::Interactive => of(&subject.interactive, groups, other, |yes| Value::Bool(*yes)),
            Trait::PreviousExecutable => {
                of(&subject.previous, groups, other, |image| text(&image.executable, Groups::PREVIOUS))
            }
            Trait::PreviousArgs => {
                of(&subject.previous, groups, other, |image| args(&image.args, Attribute::Args))
            }
            Trait::PreviousArgsCount => {
                of(&subject.previous, groups, other, |image| args(&image.args, Attribute::ArgsCount))
            }
            Trait::EntryType => self.entry_type(),
            Trait::Permitted => {
                of(&subject.privileges, groups, other, |p| Value::Flags(p.permitted.0, Capabilities::NAMES))
            }
            Trait::Effective => {
                of(&subject.privileges, groups, other, |p| Value::Flags(p.effective.0, Capabilities::NAMES))
            }
            Trait::GainsPrivilege => of(&subject.gains_privilege, groups, other, |yes| Value::Bool(*yes)),
            Trait::NoNewPrivs => of(&subject.privileges, groups, other, |p| Value::Bool(p.no_new_privs)),
            Trait::LoginUser | Trait::LoginUserName | Trait::LoginSession => {
                of(&subject.login, groups, other, |login| self.login(login, what))
            }
            Trait::Cgroup => text(&subject.cgroup, groups),
            Trait::Container => text(&subject.container, groups),
            Trait::MountNamespace => of(&subject.namespaces, groups, other, |ns| Value::Id(ns.mount)),
            Trait::PidNamespace => of(&subject.namespaces, groups, other, |ns| Value::Id(ns.pid)),
            Trait::UserNamespace => of(&subject.namespaces, groups, other, |ns| Value::Id(ns.user)),
        }
    }

    fn object(&self, what: Aspect, groups: Groups) -> Value<'a> {
        let object = &self.attempt.object;
        let other = Doubt::OTHER;
        let file = |make: fn(&FileFacts) -> Value<'static>| of(&object.file, groups, other, make);
        match what {
            Aspect::Executable => match self.names() {
                Some(names) => Value::Texts(names),
                None if object.names.is_empty() => Value::Unknown(Doubt::PATH),
                None => Value::Within(&object.names),
            },
            Aspect::Name => self.part(Part::Name),
            Aspect::Directory => self.part(Part::Directory),
            Aspect::Extension => self.part(Part::Extension),
            Aspect::Type => file(|_| Value::Constants(&["file"])),
            Aspect::Mode => file(|file| Value::Octal(file.mode & 0o7777)),
            Aspect::Owner => file(|file| id(file.uid)),
            Aspect::OwnerName => of(&object.file, groups, other, |file| self.user_name(file.uid)),
            Aspect::Group => file(|file| gid(file.gid)),
            Aspect::GroupName => of(&object.file, groups, other, |file| self.group_name(file.gid)),
            Aspect::Inode => file(|file| Value::Id(file.inode)),
            Aspect::Device => file(|file| Value::Device(file.device)),
            Aspect::Size => file(|file| number(file.size)),
            Aspect::Links => file(|file| Value::Number(file.links.into())),
            Aspect::Inner => of(&object.inner, groups, Doubt::PATH, |path| Value::Text(path)),
            Aspect::Seen => text(&object.seen, groups),
            Aspect::Deleted => of(&object.deleted, groups, other, |yes| Value::Bool(*yes)),
            Aspect::Nosuid => of(&object.mount.nosuid, groups, other, |yes| Value::Bool(*yes)),
            Aspect::Capabilities => of(&object.capabilities, groups, other, |yes| Value::Bool(*yes)),
            Aspect::Hash => of(&object.sha256, groups, other, |hash| Value::Hex(hash)),
        }
    }

    /// The file's names, where they are whole.
    fn names(&self) -> Option<&'a Texts> {
        let object = &self.attempt.object;
        (object.inner.known().is_some() && !object.names.is_empty()).then_some(&object.names)
    }

    fn part(&self, part: Part) -> Value<'a> {
        self.names().map_or(Value::Unknown(Doubt::PATH), |names| Value::Parts(names, part))
    }

    fn process(&self, relative: Relative, attribute: Attribute) -> Value<'a> {
        let subject = &self.attempt.subject;
        let (process, group) = match relative {
            Relative::Parent if attribute == Attribute::Pid => {
                return of(&subject.parent_pid, Groups::NONE, Doubt::OTHER, |pid| {
                    Value::Number(pid.0.into())
                });
            }
            Relative::Parent => (&subject.parent, Groups::PARENT),
            Relative::GroupLeader => (&subject.group_leader, Groups::LEADERS),
            Relative::SessionLeader => (&subject.session_leader, Groups::LEADERS),
            Relative::EntryLeader => (&subject.entry_leader, Groups::LEADERS),
        };
        of(process, group, Doubt::OTHER, |process| self.attribute(process, attribute, group))
    }

    fn attribute(&self, process: &'a Process, attribute: Attribute, group: Groups) -> Value<'a> {
        let ids =
            |make: &dyn Fn(&Credentials) -> Value<'a>| of(&process.credentials, group, Doubt::OTHER, make);
        match attribute {
            Attribute::Pid => of(&process.pid, group, Doubt::OTHER, |pid| Value::Number(pid.0.into())),
            Attribute::Name => text(&process.name, group),
            Attribute::Executable => text(&process.image.executable, group),
            Attribute::Args | Attribute::ArgsCount | Attribute::CommandLine => {
                args(&process.image.args, attribute)
            }
            Attribute::WorkingDirectory => text(&process.directory, group),
            Attribute::Interactive => of(&process.interactive, group, Doubt::OTHER, |yes| Value::Bool(*yes)),
            Attribute::UserId => ids(&|c| id(c.euid)),
            Attribute::UserName => ids(&|c| self.user_name(c.euid)),
            Attribute::RealUserId => ids(&|c| id(c.ruid)),
            Attribute::RealUserName => ids(&|c| self.user_name(c.ruid)),
            Attribute::SavedUserId => ids(&|c| id(c.suid)),
            Attribute::GroupId => ids(&|c| gid(c.egid)),
            Attribute::GroupName => ids(&|c| self.group_name(c.egid)),
            Attribute::RealGroupId => ids(&|c| gid(c.rgid)),
            Attribute::RealGroupName => ids(&|c| self.group_name(c.rgid)),
            Attribute::SameAsProcess => of(&process.pid, group, Doubt::OTHER, |leader| {
                of(&self.attempt.subject.process, Groups::NONE, Doubt::OTHER, |own| {
                    Value::Bool(leader == own)
                })
            }),
            Attribute::SavedGroupId => ids(&|c| gid(c.sgid)),
        }
    }

    fn entry_type(&self) -> Value<'a> {
        let subject = &self.attempt.subject;
        match &subject.container {
            Fact::Known(_) => Value::Text(b"container"),
            Fact::Absent => of(&subject.entry_leader, Groups::LEADERS, Doubt::OTHER, |leader| {
                of(&leader.name, Groups::LEADERS, Doubt::OTHER, |name| match name.as_slice() {
                    b"sshd" => Value::Text(b"sshd"),
                    _ => Value::Text(b"init"),
                })
            }),
            Fact::Unknown(_) => Value::Unknown(Doubt::OTHER),
            Fact::Unread => Value::Unknown(Doubt::unread(Groups::CGROUP)),
        }
    }

    fn login(&self, login: &Login, what: Trait) -> Value<'a> {
        match (what, login.user, login.session) {
            (Trait::LoginUser, Some(user), _) => id(user),
            (Trait::LoginUserName, Some(user), _) => self.user_name(user),
            (Trait::LoginSession, _, Some(session)) => Value::Id(session.into()),
            _ => Value::Absent,
        }
    }

    fn user_name(&self, user: Uid) -> Value<'a> {
        self.users.user(user).map_or(Value::Absent, Value::Text)
    }

    fn group_name(&self, group: Gid) -> Value<'a> {
        self.users.group(group).map_or(Value::Absent, Value::Text)
    }
}

/// The value made from a fact. A fact that comes with every attempt and is unread all the same could not be had.
fn of<'a, T>(
    fact: &'a Fact<T>,
    group: Groups,
    doubt: Doubt,
    make: impl FnOnce(&'a T) -> Value<'a>,
) -> Value<'a> {
    match fact {
        Fact::Known(value) => make(value),
        Fact::Absent => Value::Absent,
        Fact::Unread if !group.is_empty() => Value::Unknown(Doubt::unread(group)),
        Fact::Unknown(_) | Fact::Unread => Value::Unknown(doubt),
    }
}

fn text(fact: &Fact<Vec<u8>>, group: Groups) -> Value<'_> {
    of(fact, group, Doubt::OTHER, |text| Value::Text(text))
}

/// A command line of another process, where that process is known.
fn args(fact: &Fact<Texts>, attribute: Attribute) -> Value<'_> {
    of(fact, Groups::COMMAND_LINES, Doubt::OTHER, |args| {
        if attribute == Attribute::ArgsCount {
            count(args)
        } else if attribute == Attribute::CommandLine {
            Value::Joined(args)
        } else {
            Value::Texts(args)
        }
    })
}

fn argument(arguments: &Arguments, what: Trait) -> Value<'_> {
    match (what, arguments.truncated) {
        (Trait::Args, false) => Value::Texts(&arguments.args),
        (Trait::Args, true) => Value::AtLeast(&arguments.args),
        (Trait::ArgsCount, false) => count(&arguments.args),
        (Trait::CommandLine, false) => Value::Joined(&arguments.args),
        (Trait::Environment, false) => Value::Texts(&arguments.environment),
        (Trait::Environment, true) => Value::AtLeast(&arguments.environment),
        (Trait::Typed, _) => Value::Text(&arguments.typed),
        _ => Value::Unknown(Doubt::ARGUMENTS),
    }
}

fn count(texts: &Texts) -> Value<'static> {
    Value::Number(i64::try_from(texts.len()).unwrap_or(i64::MAX))
}

fn number(number: u64) -> Value<'static> {
    Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

fn id(user: Uid) -> Value<'static> {
    Value::Id(user.0.into())
}

fn gid(group: Gid) -> Value<'static> {
    Value::Id(group.0.into())
}
