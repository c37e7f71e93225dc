//! From a thread's number and a file's descriptor to who attempts what.
//!
//! Owns how the kernel is asked, and that every answer is a fact, an absence or an unknown with its cause; judges
//! nothing and names nobody. The essential facts cost few system calls, never block and never touch another
//! process's memory ([`Identifier::essential`], for the thread that reads events); all others come in groups, when
//! somebody asks ([`Identifier::fetch`]). Called by `daemon`, one [`Identifier`] for each thread that looks.

mod arguments;
mod arrival;
mod aside;
mod further;
mod inner;
mod interpreters;
mod kept;
mod object;
pub mod opener;
mod outcome;
mod parse;
mod proc;
pub mod running;
mod script;
mod subject;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use self::aside::Aside;
use self::object::{Asking, Files, Mounts, Whereabouts};
use self::outcome::SetId;
use self::parse::{id_map, status};
use self::proc::Proc;
use self::script::Scripts;
use self::subject::Last;
use crate::event::{
    Attempt, Cause, Credentials, Fact, FileFacts, Interpreter, Object, Pid, Subject, Texts, Uid,
};
use crate::sys::statx::{self, Stat, Want};
use crate::sys::{mounts, pidfd, statmount};
use crate::watch::plan::{Placement, Scope};

/// Asks the kernel about attempts, keeping what can be kept: directories, buffers, and a thread for what can block.
///
/// Belongs to the process that made it: after a fork the child makes its own.
#[derive(Debug)]
pub struct Identifier {
    proc: Arc<Proc>,
    files: Files,
    last: Last,
    features: Features,
    aside: Aside,
    scripts: Scripts,
    environment: bool,
    /// How many threads the caller has, where [`Identifier::fetch`] has read it.
    threads: Option<u32>,
    /// The number of our own user namespace.
    user_namespace: Option<u64>,
    /// Whatever is being read.
    text: Vec<u8>,
    /// The two paths of [`Identifier::confirm`].
    seen: Vec<u8>,
    inner: Vec<u8>,
    /// Where a file may be that is nowhere.
    directories: Texts,
}

/// Reads bytes that a task chose as each of the texts of /proc; for fuzzing alone.
#[doc(hidden)]
pub fn read_foreign(text: &[u8]) {
    parse::read_each(text);
}

/// What the running kernel can tell. Tried, never concluded from its version: a sandbox can forbid what the kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// `pidfd_open(PIDFD_THREAD)` and `PIDFD_GET_INFO` (Linux 6.13); else /proc/TID/status.
    pub thread_info: bool,
    /// statmount(2) and unique mount ids (6.8); else mountinfo.
    pub statmount: bool,
    /// statmount(2) in other mount namespaces (6.11).
    pub foreign_statmount: bool,
    /// statx(2) tells mount ids (5.8); else /proc/self/fdinfo.
    pub statx_mount_id: bool,
}

/// Whether an exception may hold for the place of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is there, and was when the exec began.
    There,
    /// It is there, but may have come since the exec began: by which name the caller called it (the groups ARGUMENTS and
    /// DIRECTORY) decides that.
    Lately,
    /// It is not, or cannot be seen to be there.
    Gone,
}

/// Why there can be no [`Identifier`].
#[derive(Debug)]
pub enum IdentifyError {
    /// A directory of /proc could not be opened.
    Open {
        /// Which.
        path: &'static str,
        /// Why.
        error: io::Error,
    },
}

impl Identifier {
    /// Opens what is kept, and tries what the kernel can.
    pub fn new() -> Result<Self, IdentifyError> {
        Self::with(Features::probe())
    }

    /// The same, using no more of the kernel than `features`: older kernels are tested on newer ones with it.
    pub fn with(features: Features) -> Result<Self, IdentifyError> {
        let proc = Proc::open().map_err(|error| IdentifyError::Open { path: "/proc", error })?;
        let mut text = Vec::with_capacity(4096);
        let linked = proc.link(nix::unistd::gettid().as_raw(), "ns/user", &mut text);
        Ok(Self {
            user_namespace: linked.ok().and_then(|()| parse::bracketed(&text)),
            proc: Arc::new(proc),
            files: Files::open()?,
            last: Last::default(),
            features,
            aside: Aside::default(),
            scripts: Scripts::default(),
            environment: false,
            threads: None,
            text,
            seen: Vec::with_capacity(4096),
            inner: Vec::with_capacity(4096),
            directories: Texts::default(),
        })
    }

    /// What of the kernel is used.
    #[must_use]
    pub fn features(&self) -> Features {
        self.features
    }

    /// Whether the group ARGUMENTS reads the environment too, which it does not by default: it is long and holds
    /// secrets.
    pub fn read_environment(&mut self, wanted: bool) {
        self.environment = wanted;
    }

    /// Makes `attempt` the one of `thread` (from the event; 0 for a task outside our pid namespace) on `file` (the
    /// event's descriptor): fills every essential fact, and makes all others unread.
    ///
    /// Never blocks, never touches another process's memory, and allocates nothing once `attempt` has been used. For
    /// a file outside every watched directory the subject stays unread. What is the caller's: `at`, `action`, `unseen`.
    pub fn essential(
        &mut self,
        thread: i32,
        file: BorrowedFd<'_>,
        scope: &Scope,
        attempt: &mut Attempt,
    ) -> Placement {
        forget(attempt);
        let awaits_exec = attempt.awaits_exec();
        let Attempt { subject, object, .. } = attempt;
        let thread = (thread > 0).then_some(thread);
        let asking = Asking { proc: &self.proc, features: self.features, thread, mounts: Mounts::Asked };
        self.files.identify(Asking { mounts: Mounts::Kept, ..asking }, &mut self.aside, file, object);
        if object.inner.is_unknown() && self.files.has_kept() {
            // A directory above the mount was renamed.
            self.files.identify(asking, &mut self.aside, file, object);
        }
        // It can be a mount of a third namespace, reached through the root directory of a process there.
        if let (Fact::Known(facts), true) =
            (&object.file, self.features.foreign_statmount && object.inner.is_unknown())
            && scope.namespace(facts.device).is_some_and(|namespace| self.files.search(namespace))
        {
            self.files.identify(asking, &mut self.aside, file, object);
        }
        let nowhere = object.inner.is_unknown();
        if let (Fact::Known(facts), Fact::Known(mount), Fact::Unknown(Cause::Unsupported | Cause::Gone), true) =
            (&object.file, &object.mount.id, &object.inner, object.mount.unique)
            && scope.is_whole(facts.device, *mount)
        {
            self.files.find_taken_away(&mut self.aside, file, object);
        }
        if let (Fact::Known(facts), Fact::Unknown(cause)) = (&object.file, &object.inner) {
            // Its names are then those of the watched directories of its superblock.
            scope.name(facts.device, Fact::Unknown(*cause), &mut self.directories);
            self.files.find_inside(asking, &mut self.aside, file, self.directories.iter(), object);
            self.directories.clear();
        }
        if self.place(nowhere, thread, file, scope, object) == Placement::Outside {
            return Placement::Outside;
        }
        let Self { proc, last, text, .. } = self;
        subject::identify(proc, self.features, thread, last, text, subject);
        match subject.credentials {
            Fact::Known(caller) if !awaits_exec => {
                subject.user = Fact::Known(outcome::holder(&caller));
                subject.group = Fact::Known(caller.egid);
            }
            Fact::Known(_) | Fact::Absent | Fact::Unread | Fact::Unknown(_) => {
                self.predict(thread, file, subject, object);
            }
        }
        Placement::Inside
    }

    /// Whether `file` is where `attempt` says, and was when its exec began. Asked only when a rule is about to allow
    /// because of where it is: the path was made of two answers of the kernel, and whoever moves mounts or renames
    /// directories between the two could make up a path that never was, or bring the file there meanwhile.
    ///
    /// Looks several times, and in our own mount namespace at the name itself: the very file must stand there (one
    /// without a name cannot), unless `scope` has its superblock from another namespace. [`Standing::Gone`] for an unknown place. Does not block. Costs about as much as
    /// [`Identifier::essential`] twice; where the answer would be the same with the place unknown, it is not needed.
    pub fn confirm(&mut self, file: BorrowedFd<'_>, scope: &Scope, attempt: &Attempt) -> Standing {
        let Attempt { subject, object, .. } = attempt;
        let (Some(inner), Some(facts)) = (object.inner.known(), object.file.known()) else {
            return Standing::Gone;
        };
        let thread = subject.thread.known().map(|Pid(id)| *id);
        let Some(stat) = self.steady(LOOKS, thread, file, object) else { return Standing::Gone };
        // Before others are looked at.
        let elsewhere = self.files.whereabouts() == Whereabouts::Elsewhere;
        let stands = match self.files.stands(&stat, facts.device, inner, object.names.iter()) {
            Some(stands) => stands || was_there(object),
            // Its names are those of another namespace, or of a place that it was taken away from.
            None => elsewhere && scope.namespace(facts.device).is_some(),
        };
        match stands {
            false => Standing::Gone,
            true if attempt.awaits_exec() => arrival::standing(&stat, attempt),
            true => Standing::There,
        }
    }

    /// Names the file, and says whether it is in a watched directory. `nowhere`: its own mount did not tell its place.
    fn place(
        &mut self,
        nowhere: bool,
        thread: Option<i32>,
        file: BorrowedFd<'_>,
        scope: &Scope,
        object: &mut Object,
    ) -> Placement {
        let Fact::Known(FileFacts { device, .. }) = object.file else { return Placement::Inside };
        let inner = object.inner.as_ref().map(Vec::as_slice);
        let placement = scope.name(device, inner, &mut object.names);
        let Some(inner) = object.inner.known().filter(|_| placement == Placement::Outside) else {
            return placement;
        };
        // What is outside runs unrecorded, so whoever moves mounts must not make it seem so.
        let is_there = match self.files.whereabouts() {
            _ if nowhere => true,
            Whereabouts::OurRoot => true,
            Whereabouts::Ours => self.steady(LOOKS_OUTSIDE, thread, file, object).is_some(),
            Whereabouts::Elsewhere => {
                let asking =
                    Asking { proc: &self.proc, features: self.features, thread, mounts: Mounts::Asked };
                scope.name(device, Fact::Unknown(Cause::Unsteady), &mut self.directories);
                let there = self.files.stands_inside(asking, file, device, inner, self.directories.iter());
                self.directories.clear();
                there
            }
        };
        if is_there {
            return placement;
        }
        object.inner = Fact::Unknown(Cause::Unsteady);
        object.names.clear();
        scope.name(device, Fact::Unknown(Cause::Unsteady), &mut object.names)
    }

    /// Looks again, `looks` times: the file's facts if it is where `object` says each time. One whose mount is nowhere, as
    /// that of an overlay's layer, is looked at through our own mounts.
    fn steady(
        &mut self,
        looks: usize,
        thread: Option<i32>,
        file: BorrowedFd<'_>,
        object: &Object,
    ) -> Option<Stat> {
        let asking = Asking { proc: &self.proc, features: self.features, thread, mounts: Mounts::Asked };
        let inner = object.inner.known()?;
        let mut last = None;
        for _ in 0..looks {
            let stat = statx::of(file, self.features.mount_id()).ok()?;
            let look = self.files.look(asking, &mut self.aside, file, &stat, &mut self.seen, &mut self.inner);
            if look.inner == Err(Cause::Unsupported) && stat.links == 1 {
                let roots = object.names.iter().filter_map(|name| name.strip_suffix(inner.as_slice()));
                let which = (object.file.known()?.device, stat.inode);
                let Self { files, aside, inner, .. } = self;
                if !files.is_inside(asking, aside, file, which, roots, inner) {
                    return None;
                }
            } else if look.inner.is_err() {
                return None;
            }
            if self.inner != *inner || look.deleted != object.deleted {
                return None;
            }
            last = Some(stat);
        }
        last
    }

    /// The user and the group after the exec.
    fn predict(
        &mut self,
        thread: Option<i32>,
        file: BorrowedFd<'_>,
        subject: &mut Subject,
        object: &mut Object,
    ) {
        object.interpreter = Fact::Absent;
        let caller = match &subject.credentials {
            Fact::Known(caller) => *caller,
            Fact::Absent | Fact::Unread => return,
            Fact::Unknown(cause) => {
                subject.group = Fact::Unknown(*cause);
                subject.user = self.suspect(thread, *cause);
                return;
            }
        };
        match object.file.clone() {
            Fact::Known(facts) => {
                let nosuid = || object::nosuid(file, object) == Fact::Known(true);
                let bits = self.set_id(thread, &caller, &facts, nosuid);
                subject.user = Fact::Known(outcome::user(&caller, &facts, bits));
                subject.group = Fact::Known(outcome::group(&caller, &facts, bits));
                if subject.user != Fact::Known(Uid::ROOT) {
                    self.predict_script(thread, file, &caller, subject, object);
                }
            }
            Fact::Absent | Fact::Unread => {}
            Fact::Unknown(cause) => {
                // It may be set-uid: only for root is that no question.
                let root = caller.ruid == Uid::ROOT || caller.euid == Uid::ROOT;
                subject.user = if root { Fact::Known(Uid::ROOT) } else { Fact::Unknown(cause) };
                subject.group = Fact::Unknown(cause);
            }
        }
    }

    /// The same where another file gives the privilege.
    fn predict_script(
        &mut self,
        thread: Option<i32>,
        file: BorrowedFd<'_>,
        caller: &Credentials,
        subject: &mut Subject,
        object: &mut Object,
    ) {
        object.interpreter = self.scripts.interpreter(&self.proc, &mut self.aside, thread, file);
        match object.interpreter {
            Fact::Known(Interpreter { file, nosuid, .. }) => {
                if self.set_id(thread, caller, &file, || nosuid) == SetId::Honoured {
                    subject.user = Fact::Known(outcome::user(caller, &file, SetId::Honoured));
                    subject.group = Fact::Known(outcome::group(caller, &file, SetId::Honoured));
                }
            }
            Fact::Unknown(cause) => {
                subject.user = Fact::Unknown(cause);
                subject.group = Fact::Unknown(cause);
            }
            Fact::Absent | Fact::Unread => {}
        }
    }

    /// Without credentials: the effective user is told even when there is no descriptor left to read a file. Only
    /// root is sure then, for another's real user may still be root.
    fn suspect(&self, thread: Option<i32>, cause: Cause) -> Fact<Uid> {
        match thread.map(|id| self.proc.owner(id)) {
            Some(Ok(Uid::ROOT)) if cause != Cause::Gone => Fact::Known(Uid::ROOT),
            _ => Fact::Unknown(cause),
        }
    }

    /// Whether the file's set-id bits may count; asked only where there are some that would change something.
    fn set_id(
        &mut self,
        thread: Option<i32>,
        caller: &Credentials,
        facts: &FileFacts,
        nosuid: impl FnOnce() -> bool,
    ) -> SetId {
        let changes =
            facts.is_set_uid() && facts.uid != caller.euid || facts.is_set_gid() && facts.gid != caller.egid;
        if !changes || nosuid() {
            return SetId::Ignored;
        }
        let read = thread.map(|id| self.proc.read(id, "status", &mut self.text));
        let privileges = match read {
            Some(Ok(())) => status::parse(&self.text).and_then(|status| status.privileges),
            Some(Err(_)) | None => None,
        };
        match privileges {
            Some(privileges) if privileges.no_new_privs => SetId::Ignored,
            Some(_) | None if thread.is_some_and(|id| self.is_unmapped(id, facts)) => SetId::Ignored,
            Some(_) | None => SetId::Honoured,
        }
    }

    /// Whether the file's owner or group has surely no id in the caller's user namespace. Each of these tables is
    /// written once: one that is still empty can get any id later, but the user root, whom only root or who has CAP_SETUID
    /// in the namespace above may write into it (user_namespaces(7)).
    fn is_unmapped(&mut self, thread: i32, facts: &FileFacts) -> bool {
        let mut lacks = |table, id, while_empty| {
            let read = self.proc.read_all(thread, table, ID_MAP_LIMIT, &mut self.text);
            read.is_ok()
                && (while_empty && self.text.is_empty() || id_map::shows(&self.text, id) == Some(false))
        };
        lacks("uid_map", facts.uid.0, facts.uid.0 == 0) || lacks("gid_map", facts.gid.0, false)
    }

    /// Whether the thread is in another user namespace than we are: what it may do there, it may not do here. `None`
    /// where that is not known.
    fn is_in_child_namespace(&mut self, thread: i32) -> Option<bool> {
        let linked = self.proc.link(thread, "ns/user", &mut self.text);
        let theirs = linked.ok().and_then(|()| parse::bracketed(&self.text))?;
        Some(self.user_namespace? != theirs)
    }
}

impl Features {
    /// Tries each on ourselves.
    #[must_use]
    pub fn probe() -> Self {
        let thread = nix::unistd::gettid().as_raw();
        let thread_info = pidfd::open_thread(thread).and_then(|fd| pidfd::info(fd.as_fd()));
        let root = std::fs::File::open("/").and_then(|root| statx::of(root.as_fd(), Want::Unique));
        let mut answer = vec![0; 64 * 1024];
        let (mut statmount, mut foreign, mut said) = (false, false, false);
        if let Ok(root) = root {
            said = root.mount != statx::MountId::Unsaid;
            if let statx::MountId::Unique(id) = root.mount {
                statmount = statmount::statmount(id, None, &mut answer).is_ok();
                let space = mounts::own_mount_namespace_id();
                foreign = space.is_ok_and(|space| statmount::statmount(id, Some(space), &mut answer).is_ok());
            }
        }
        Self {
            thread_info: thread_info.is_ok_and(|info| info.pid == thread),
            statmount,
            foreign_statmount: statmount && foreign,
            statx_mount_id: said,
        }
    }

    /// Which mount id to ask statx for.
    fn mount_id(self) -> Want {
        match (self.statmount, self.statx_mount_id) {
            (true, _) => Want::Unique,
            (false, true) => Want::Recycled,
            (false, false) => Want::Nothing,
        }
    }
}

impl fmt::Display for IdentifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, .. } => write!(f, "cannot open {path}"),
        }
    }
}

impl std::error::Error for IdentifyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open { error, .. } => Some(error),
        }
    }
}

/// A deleted file, whose name was one of its names.
fn was_there(object: &Object) -> bool {
    let shown = object.seen.known().and_then(|seen| seen.strip_suffix(inner::DELETED));
    object.deleted == Fact::Known(true)
        && shown.is_some_and(|shown| object.names.iter().any(|name| name == shown))
}

/// Makes every fact of the last attempt unread, except those that are filled in any case: their buffers stay.
fn forget(attempt: &mut Attempt) {
    let Attempt { at: _, action: _, unseen: _, subject, object } = attempt;
    *subject = Subject::default();
    // Taken apart so that a new field cannot be forgotten here.
    let Object { names, inner: _, seen: _, deleted, file, mount, interpreter, capabilities, sha256 } = object;
    names.clear();
    *deleted = Fact::Unread;
    *file = Fact::Unread;
    mount.id = Fact::Unread;
    mount.nosuid = Fact::Unread;
    *interpreter = Fact::Unread;
    *capabilities = Fact::Unread;
    *sha256 = Fact::Unread;
}

/// How often a place is looked at again. Each look is two questions in turn; to deceive it, the mover would have
/// to be in step with all of them.
const LOOKS: usize = 4;
/// The same for a place outside, on a mount of ours.
const LOOKS_OUTSIDE: usize = 2;
/// The kernel takes at most 340 lines.
const ID_MAP_LIMIT: usize = 16 << 10;
