//! The further groups of facts, each fetched only when a rule or the record asks.
//!
//! All facts of the caller come through one directory of /proc, so they are of one task. What can
//! take any time is asked by `questions`, at the same time.

use std::ffi::CStr;
use std::ops::BitOr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::outcome::{self, Sets};
use super::parse::{bracketed, capability, cgroup, decimal, stat, status};
use super::proc::{Task, cause, fact};
use super::subject::Last;
use super::{Identifier, arguments, object, questions, subject};
use crate::event::{
    Attempt, Cause, Fact, FileCapabilities, Groups, Image, Login, Namespaces, Object, Pid, Process, Subject,
    Timestamp, Uid,
};
use crate::sys::{tasks, xattr};

impl Identifier {
    /// Fills the unread facts of `groups` for an attempt whose essential facts are there; what has been read stays as
    /// it was. COMMAND_LINES brings PREVIOUS and PARENT with it, and covers the leaders as soon as they are read.
    ///
    /// The groups of [`Groups::MAY_BLOCK`] are unknown (`Late`) where they are not there before `deadline`; the others
    /// do not wait for anybody. Where the caller has ended, everything about it is unknown (`Gone`).
    pub fn fetch(&mut self, groups: Groups, file: BorrowedFd<'_>, attempt: &mut Attempt, deadline: Instant) {
        let mut groups = groups;
        self.threads = None;
        if groups.contains(Groups::COMMAND_LINES) {
            groups |= Groups::PREVIOUS | Groups::PARENT;
        } else if groups.contains(Groups::LEADERS) && has_command_lines(&attempt.subject) {
            groups |= Groups::COMMAND_LINES;
        }
        let groups = unread(groups, attempt);
        let thread = match &attempt.subject.thread {
            Fact::Known(Pid(id)) => Ok(*id),
            Fact::Unknown(cause) => Err(*cause),
            Fact::Absent | Fact::Unread => Err(Cause::Unsteady),
        };
        // These take the longest: they run while the others are read.
        let questions = questions::of_attempt(groups, self.environment, file, attempt, deadline);
        let running = self.ask(&questions, deadline);
        // The first look at a task's directory is dear, and two groups do without.
        let from_directory = groups.without(Groups::GAIN | Groups::HASH);
        match thread
            .and_then(|id| if from_directory.is_empty() { Ok(None) } else { self.proc.task(id).map(Some) })
        {
            Ok(Some(task)) => self.of_task(groups, &task, attempt),
            Ok(None) => {}
            Err(cause) => give_up(from_directory, cause, &mut attempt.subject),
        }
        if groups.intersects(Groups::PRIVILEGES | Groups::GAIN) && attempt.subject.gains_privilege.is_unread()
        {
            self.gain(thread, file, attempt);
        }
        self.hear(questions, running, attempt, deadline);
        if groups.contains(Groups::ARGUMENTS) && attempt.awaits_exec() {
            self.trust(&mut attempt.subject);
        }
        if groups.contains(Groups::COMMAND_LINES) {
            // Who the leaders are was not known before.
            let questions = questions::about_leaders(&attempt.subject);
            let running = self.ask(&questions, deadline);
            self.hear(questions, running, attempt, deadline);
        }
    }

    fn of_task(&mut self, groups: Groups, task: &Task, attempt: &mut Attempt) {
        if groups.contains(Groups::PREVIOUS) {
            attempt.subject.previous = match attempt.unseen {
                None => Fact::Known(Image { executable: executable(task), args: Fact::Unread }),
                // What ran before the program is gone.
                Some(_) => Fact::Unknown(Cause::Unsupported),
            };
        }
        if groups.contains(Groups::PARENT) {
            // Before our own stat: that shows whether this still was the parent after we had looked at it.
            attempt.subject.parent = self.process_of(&attempt.subject.parent_pid.clone());
        }
        if groups.intersects(Groups::PARENT | Groups::LOGIN | Groups::LEADERS) {
            self.stat(groups, task, attempt);
        }
        let subject = &mut attempt.subject;
        if groups.contains(Groups::PRIVILEGES) {
            let read = task.read(c"status", &mut self.text);
            self.privileges(read, subject);
        }
        if groups.contains(Groups::LOGIN) {
            subject.login = self.login(task);
        }
        if groups.contains(Groups::CGROUP) {
            self.cgroup(task, subject);
        }
        if groups.contains(Groups::DIRECTORY) {
            subject.directory = link(task, c"cwd");
        }
        if groups.contains(Groups::NAMESPACES) {
            subject.namespaces = fact(self.namespaces(task));
        }
    }

    /// What stat tells, and the leaders that it names.
    fn stat(&mut self, groups: Groups, task: &Task, attempt: &mut Attempt) {
        let Attempt { at, subject, .. } = attempt;
        let read = task.read(c"stat", &mut self.text);
        let stat = match read.and_then(|()| stat::parse(&self.text).ok_or(Cause::Unsteady)) {
            Ok(stat) if began_after(stat.start, *at) => Err(Cause::Gone),
            other => other,
        };
        let stat = match stat {
            Ok(stat) => stat,
            Err(cause) => return without_stat(groups, cause, subject),
        };
        subject.name = Fact::Known(stat.name.to_vec());
        subject.start = Fact::Known(stat.start);
        subject.interactive = Fact::Known(stat.interactive);
        let parent = if stat.parent > 0 { Fact::Known(Pid(stat.parent)) } else { Fact::Absent };
        if groups.contains(Groups::PARENT) && parent != subject.parent_pid {
            subject.parent = Fact::Unknown(Cause::Unsteady);
        }
        if groups.contains(Groups::LEADERS) {
            let (group, session) = (stat.group, stat.session);
            subject.group_leader = self.leader(group);
            subject.session_leader = self.leader(session);
            subject.entry_leader = self.entry_leader(&subject.process.clone());
        }
    }

    fn leader(&mut self, id: i32) -> Fact<Process> {
        if id > 0 { Fact::Known(self.process(id)) } else { Fact::Absent }
    }

    /// The nearest of the process and its ancestors whose parent is init, or that is the first of a pid namespace.
    fn entry_leader(&mut self, process: &Fact<Pid>) -> Fact<Process> {
        let mut id = match process {
            Fact::Known(Pid(id)) => *id,
            Fact::Unknown(cause) => return Fact::Unknown(*cause),
            Fact::Absent | Fact::Unread => return Fact::Unknown(Cause::Unsteady),
        };
        for _ in 0..ANCESTORS {
            let read = self.proc.read(id, "status", &mut self.text);
            let status = match read.and_then(|()| status::parse(&self.text).ok_or(Cause::Unsteady)) {
                Ok(status) => status,
                Err(cause) => return Fact::Unknown(cause),
            };
            // 0: of our own namespace's first process, and of one that was put into it from outside.
            if status.parent <= 1 || status.first_of_namespace {
                return Fact::Known(self.process(id));
            }
            id = status.parent;
        }
        Fact::Unknown(Cause::TooLong)
    }

    fn process_of(&mut self, id: &Fact<Pid>) -> Fact<Process> {
        match id {
            Fact::Known(Pid(id)) => Fact::Known(self.process(*id)),
            Fact::Absent => Fact::Absent,
            Fact::Unknown(cause) => Fact::Unknown(*cause),
            Fact::Unread => Fact::Unknown(Cause::Unsteady),
        }
    }

    /// Another process. What it is called, runs and may is each known or unknown for itself.
    fn process(&mut self, id: i32) -> Process {
        let mut process = Process { pid: Fact::Known(Pid(id)), ..Process::default() };
        let opened = self.proc.task(id);
        let task = match &opened {
            Ok(task) => task,
            Err(cause) => {
                process.name = Fact::Unknown(*cause);
                process.image.executable = Fact::Unknown(*cause);
                process.credentials = Fact::Unknown(*cause);
                process.directory = Fact::Unknown(*cause);
                process.interactive = Fact::Unknown(*cause);
                process.start = Fact::Unknown(*cause);
                return process;
            }
        };
        process.image.executable = executable(task);
        process.directory = link(task, c"cwd");
        let read = task.read(c"stat", &mut self.text);
        match read.and_then(|()| stat::parse(&self.text).ok_or(Cause::Unsteady)) {
            Ok(stat) => {
                process.name = Fact::Known(stat.name.to_vec());
                process.interactive = Fact::Known(stat.interactive);
                process.start = Fact::Known(stat.start);
            }
            Err(cause) => {
                process.name = Fact::Unknown(cause);
                process.interactive = Fact::Unknown(cause);
                process.start = Fact::Unknown(cause);
            }
        }
        let ids = subject::ids(&self.proc, self.features, id, &mut Last::default(), &mut self.text);
        process.credentials = fact(ids.map(|ids| ids.credentials));
        process
    }

    /// What status tells, which was just read into `self.text`.
    fn privileges(&mut self, read: Result<(), Cause>, subject: &mut Subject) {
        let status = match read.and_then(|()| status::parse(&self.text).ok_or(Cause::Unsteady)) {
            // Another process has been given the number.
            Ok(status) if subject.process.known().is_some_and(|id| *id != Pid(status.process)) => {
                Err(Cause::Gone)
            }
            other => other,
        };
        subject.privileges = match status {
            Ok(status) => {
                let mut name = Vec::with_capacity(status.name.len());
                status::unescape_name(status.name, &mut name);
                subject.name = Fact::Known(name);
                self.threads = Some(status.threads);
                fact(status.privileges.ok_or(Cause::Unsupported))
            }
            Err(cause) => Fact::Unknown(cause),
        };
    }

    /// How far the arguments that were just read can be believed. A process of one thread that waits in an exec cannot
    /// become one of more, so it does not matter when they are counted.
    fn trust(&mut self, subject: &mut Subject) {
        let (Fact::Known(Pid(id)), Fact::Known(arguments)) = (&subject.thread, &mut subject.arguments) else {
            return;
        };
        let threads = self.threads.or_else(|| {
            self.proc.read(*id, "status", &mut self.text).ok()?;
            Some(status::parse(&self.text)?.threads)
        });
        let parent = subject.parent_pid.known().map(|Pid(id)| *id);
        arguments.trust = arguments::trust(*id, threads.unwrap_or(0), parent);
    }

    /// Whether the new program holds capabilities that its user does not give it.
    ///
    /// Those of a child user namespace are worth nothing outside it, where its maker has them all: they do not count.
    /// Mostly there are none, and two cheap questions show it: the file's attribute, and capget(2), for what is not both
    /// permitted and inheritable cannot be ambient. Only otherwise is status read.
    fn gain(&mut self, thread: Result<i32, Cause>, file: BorrowedFd<'_>, attempt: &mut Attempt) {
        if !attempt.awaits_exec() {
            attempt.subject.gains_privilege = fact(thread.and_then(|id| self.holds(id, &attempt.subject)));
            return;
        }
        let Attempt { subject, object, .. } = attempt;
        let of_interpreter = match &object.interpreter {
            Fact::Known(interpreter) => Ok(interpreter.capabilities.filter(|_| !interpreter.nosuid)),
            Fact::Unknown(cause) => Err(*cause),
            Fact::Absent | Fact::Unread => Ok(None),
        };
        // A script's own would not count, but it may be none any more when the kernel reads it.
        let mut gift = if of_interpreter == Ok(None) { gift(file, object) } else { of_interpreter };
        let is_foreign = |found: &FileCapabilities| found.root != 0;
        if let (Ok(id), Ok(Some(_))) = (thread, gift.map(|gift| gift.filter(is_foreign)))
            && self.is_in_child_namespace(id) == Some(false)
        {
            // They count in namespaces whose root is that user, and in those below: not in ours.
            gift = Ok(None);
        }
        subject.gains_privilege = match (thread, gift) {
            (Err(cause), _) => Fact::Unknown(cause),
            (Ok(id), gift) => match (self.sets(id, gift.as_ref().ok().copied().flatten(), subject), gift) {
                (Err(cause), _) => Fact::Unknown(cause),
                (Ok(sets), Ok(gift)) => Fact::Known(outcome::gains(gift, &sets)),
                (Ok(sets), Err(cause)) => {
                    if outcome::gains(None, &sets) {
                        Fact::Known(true)
                    } else {
                        Fact::Unknown(cause)
                    }
                }
            },
        };
        if let (Fact::Known(true), Ok(id)) = (&subject.gains_privilege, thread)
            && self.is_in_child_namespace(id) == Some(true)
        {
            subject.gains_privilege = Fact::Known(false);
        }
    }

    /// Whether a process that goes on as it is holds capabilities that its user does not give it. Those of another user
    /// namespace are worth nothing in ours.
    fn holds(&mut self, id: i32, subject: &Subject) -> Result<bool, Cause> {
        let told = tasks::capabilities(id).map_err(cause)?;
        if told.permitted == 0 || subject.user == Fact::Known(Uid::ROOT) {
            return Ok(false);
        }
        let mut other = Vec::new();
        self.proc.link(id, "ns/user", &mut other)?;
        self.proc.link_own(c"thread-self/ns/user", &mut self.text)?;
        Ok(other == self.text)
    }

    /// The caller's sets, as exactly as the answer needs them.
    fn sets(
        &mut self,
        id: i32,
        gift: Option<FileCapabilities>,
        subject: &mut Subject,
    ) -> Result<Sets, Cause> {
        if subject.privileges.is_unread() {
            let told = tasks::capabilities(id).map_err(cause)?;
            let none = Sets {
                permitted: told.permitted,
                inheritable: told.inheritable,
                bounding: u64::MAX,
                ambient: told.permitted & told.inheritable,
                no_new_privs: false,
            };
            // Were this more than there is: it is nothing.
            if !outcome::gains(gift, &none) {
                return Ok(none);
            }
            let read = self.proc.read(id, "status", &mut self.text);
            self.privileges(read, subject);
        }
        match &subject.privileges {
            Fact::Known(privileges) => Ok(Sets {
                permitted: privileges.permitted.0,
                inheritable: privileges.inheritable.0,
                bounding: privileges.bounding.0,
                ambient: privileges.ambient.0,
                no_new_privs: privileges.no_new_privs,
            }),
            Fact::Unknown(cause) => Err(*cause),
            Fact::Absent | Fact::Unread => Err(Cause::Unsteady),
        }
    }

    fn login(&mut self, task: &Task) -> Fact<Login> {
        let mut number = |file| match task.read(file, &mut self.text) {
            Ok(()) => match decimal::<u32>(self.text.trim_ascii()) {
                Some(u32::MAX) => Ok(None),
                Some(number) => Ok(Some(number)),
                None => Err(Cause::Unsteady),
            },
            // A kernel without audit has no such file.
            Err(Cause::Gone) if task.is_there() => Err(Cause::Unsupported),
            Err(cause) => Err(cause),
        };
        let login = number(c"loginuid")
            .and_then(|user| Ok(Login { user: user.map(Uid), session: number(c"sessionid")? }));
        fact(login)
    }

    fn cgroup(&mut self, task: &Task, subject: &mut Subject) {
        let read = task.read(c"cgroup", &mut self.text);
        match read.map(|()| cgroup::path(&self.text)) {
            Ok(Some(path)) => {
                subject.cgroup = Fact::Known(path.to_vec());
                subject.container =
                    cgroup::container(path).map_or(Fact::Absent, |id| Fact::Known(id.to_vec()));
            }
            Ok(None) => (subject.cgroup, subject.container) = (Fact::Absent, Fact::Absent),
            // A kernel without cgroups has no such file.
            Err(Cause::Gone) if task.is_there() => {
                (subject.cgroup, subject.container) = (Fact::Absent, Fact::Absent);
            }
            Err(cause) => (subject.cgroup, subject.container) = (Fact::Unknown(cause), Fact::Unknown(cause)),
        }
    }

    fn namespaces(&mut self, task: &Task) -> Result<Namespaces, Cause> {
        let mut number = |link| {
            task.link(link, &mut self.text)?;
            bracketed(&self.text).ok_or(Cause::Unsteady)
        };
        Ok(Namespaces { mount: number(c"ns/mnt")?, pid: number(c"ns/pid")?, user: number(c"ns/user")? })
    }
}

/// The groups of which something is unread.
fn unread(groups: Groups, attempt: &Attempt) -> Groups {
    let Attempt { subject, object, .. } = attempt;
    let leaders = [&subject.group_leader, &subject.session_leader, &subject.entry_leader];
    let read = [
        (Groups::PRIVILEGES, !subject.privileges.is_unread() && !subject.gains_privilege.is_unread()),
        (Groups::GAIN, !subject.gains_privilege.is_unread()),
        (Groups::PREVIOUS, !subject.previous.is_unread()),
        (Groups::PARENT, !subject.parent.is_unread() && !subject.start.is_unread()),
        (Groups::LEADERS, leaders.iter().all(|leader| !leader.is_unread())),
        (Groups::ARGUMENTS, !subject.arguments.is_unread()),
        (Groups::LOGIN, !subject.login.is_unread() && !subject.interactive.is_unread()),
        (Groups::CGROUP, !subject.cgroup.is_unread()),
        (Groups::DIRECTORY, !subject.directory.is_unread()),
        (Groups::NAMESPACES, !subject.namespaces.is_unread()),
        (Groups::HASH, !object.sha256.is_unread()),
    ];
    read.iter().filter(|(_, read)| *read).fold(groups, |groups, (group, _)| groups.without(*group))
}

/// Whether COMMAND_LINES was fetched before: leaders that are read later are to have theirs too.
fn has_command_lines(subject: &Subject) -> bool {
    let parent = subject.parent.known().is_some_and(|parent| !parent.image.args.is_unread());
    parent || subject.previous.known().is_some_and(|image| !image.args.is_unread())
}

/// What the file gives to whoever executes it, where the mount lets it.
fn gift(file: BorrowedFd<'_>, object: &mut Object) -> Result<Option<FileCapabilities>, Cause> {
    let mut attribute = [0; capability::LONGEST];
    match xattr::read(file, capability::ATTRIBUTE, &mut attribute) {
        Ok(length) => {
            object.capabilities = Fact::Known(true);
            if object::nosuid(file, object) == Fact::Known(true) {
                return Ok(None);
            }
            Ok(Some(capability::read(attribute.get(..length).unwrap_or_default())))
        }
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => {
            object.capabilities = Fact::Known(false);
            Ok(None)
        }
        Err(error) => {
            let cause = cause(error);
            object.capabilities = Fact::Unknown(cause);
            Err(cause)
        }
    }
}

/// /proc/PID/exe as it reads. A kernel thread, and a program that the kernel is about to start, have none.
fn executable(task: &Task) -> Fact<Vec<u8>> {
    let read = link(task, c"exe");
    if read == Fact::Unknown(Cause::Gone) && task.is_there() { Fact::Absent } else { read }
}

fn link(task: &Task, name: &CStr) -> Fact<Vec<u8>> {
    let mut text = Vec::new();
    fact(task.link(name, &mut text).map(|()| text.as_slice().to_vec()))
}

/// Whether a task that started `start` nanoseconds after boot is younger than the event: then it is another one, with
/// a number given anew. The start is rounded down, so it never seems younger than it is.
fn began_after(start: u64, event: Timestamp) -> bool {
    let now = |clock| clock_gettime(clock).map(|time| Duration::from(time).as_nanos());
    let (Ok(wall), Ok(boot)) = (now(ClockId::CLOCK_REALTIME), now(ClockId::CLOCK_BOOTTIME)) else {
        return false;
    };
    // start > event, on the clock that began with the boot: event + boot - wall.
    event != Timestamp::default() && u128::from(start) + wall > u128::from(event.0) + boot
}

fn without_stat(groups: Groups, cause: Cause, subject: &mut Subject) {
    subject.name = Fact::Unknown(cause);
    give_up(
        [Groups::PARENT, Groups::LEADERS]
            .into_iter()
            .filter(|group| groups.contains(*group))
            .fold(Groups::NONE, BitOr::bitor),
        cause,
        subject,
    );
    subject.start = Fact::Unknown(cause);
    subject.interactive = Fact::Unknown(cause);
}

/// Makes unknown what the caller's directory would have told.
fn give_up(groups: Groups, cause: Cause, subject: &mut Subject) {
    if groups.intersects(Groups::PRIVILEGES | Groups::PARENT | Groups::LEADERS | Groups::LOGIN) {
        subject.name = Fact::Unknown(cause);
    }
    if groups.contains(Groups::PRIVILEGES) {
        subject.privileges = Fact::Unknown(cause);
    }
    if groups.contains(Groups::PREVIOUS) {
        subject.previous = Fact::Unknown(cause);
    }
    if groups.contains(Groups::PARENT) {
        subject.parent = Fact::Unknown(cause);
        subject.start = Fact::Unknown(cause);
    }
    if groups.contains(Groups::LEADERS) {
        subject.group_leader = Fact::Unknown(cause);
        subject.session_leader = Fact::Unknown(cause);
        subject.entry_leader = Fact::Unknown(cause);
    }
    if groups.contains(Groups::LOGIN) {
        subject.login = Fact::Unknown(cause);
        subject.interactive = Fact::Unknown(cause);
    }
    if groups.contains(Groups::CGROUP) {
        subject.cgroup = Fact::Unknown(cause);
        subject.container = Fact::Unknown(cause);
    }
    if groups.contains(Groups::DIRECTORY) {
        subject.directory = Fact::Unknown(cause);
    }
    if groups.contains(Groups::NAMESPACES) {
        subject.namespaces = Fact::Unknown(cause);
    }
}

/// How many parents are asked for the entry leader.
const ANCESTORS: usize = 64;
