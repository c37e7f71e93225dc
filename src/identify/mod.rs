//! From a thread's number and a file's descriptor to who attempts what.
//!
//! Owns how the kernel is asked, and that every answer is a fact, an absence or an unknown with its cause; judges
//! nothing and names nobody. The essential facts cost few system calls, hardly ever block and never touch another
//! process's memory ([`Identifier::essential`], for the thread that reads events); all others come in groups, when
//! somebody asks ([`Identifier::fetch`]). Called by `daemon`, one [`Identifier`] for each thread that looks.

mod arguments;
mod arrival;
mod aside;
mod further;
mod inner;
mod interpreters;
mod kept;
mod mount;
mod object;
pub mod opener;
mod outcome;
mod parse;
mod prediction;
mod proc;
mod questions;
pub mod running;
mod script;
mod standing;
mod subject;
#[cfg(test)]
mod tests;
mod walk;

pub use standing::Standing;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use self::aside::Aside;
use self::mount::{Answers, Asking, Whereabouts};
use self::object::Files;
use self::proc::Proc;
use self::script::Scripts;
use self::subject::Last;
use crate::event::{Attempt, Cause, Fact, Object, Subject, Texts};
use crate::sys::statx::{self, Want};
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
    /// Never touches another process's memory; allocates nothing once `attempt` has been used, and waits for nobody, but
    /// for a script that another user than root executes: `script` says how long. For
    /// a file outside every watched directory the subject stays unread. What is the caller's: `at`, `action`, `unseen`.
    pub fn essential(
        &mut self,
        thread: i32,
        file: BorrowedFd<'_>,
        scope: &Scope,
        attempt: &mut Attempt,
    ) -> Placement {
        self.look(thread, file, scope, attempt).0
    }

    /// [`Identifier::essential`], and where the file's mount is.
    fn look(
        &mut self,
        thread: i32,
        file: BorrowedFd<'_>,
        scope: &Scope,
        attempt: &mut Attempt,
    ) -> (Placement, Whereabouts) {
        forget(attempt);
        let awaits_exec = attempt.awaits_exec();
        let Attempt { subject, object, .. } = attempt;
        let thread = (thread > 0).then_some(thread);
        let asking = Asking::now(&self.proc, self.features, thread);
        let mut found =
            self.files.identify(Asking { answers: Answers::Kept, ..asking }, &mut self.aside, file, object);
        if object.inner.is_unknown() && found.kept {
            // A directory above the mount was renamed.
            found = self.files.identify(asking, &mut self.aside, file, object);
        }
        // It can be a mount of a third namespace, reached through the root directory of a process there.
        if let (Fact::Known(facts), true) =
            (&object.file, self.features.foreign_statmount && object.inner.is_unknown())
            && scope.namespace(facts.device).is_some_and(|namespace| self.files.search(namespace))
        {
            found = self.files.identify(asking, &mut self.aside, file, object);
        }
        self.find_nowhere(thread, file, scope, object);
        if self.place(found.whereabouts, thread, file, scope, object) == Placement::Outside {
            return (Placement::Outside, found.whereabouts);
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
        (Placement::Inside, found.whereabouts)
    }

    /// Finds the place of a file that its own mount does not tell.
    fn find_nowhere(
        &mut self,
        thread: Option<i32>,
        file: BorrowedFd<'_>,
        scope: &Scope,
        object: &mut Object,
    ) {
        if let (Fact::Known(facts), Fact::Known(mount), Fact::Unknown(Cause::Unsupported | Cause::Gone), true) =
            (&object.file, &object.mount.id, &object.inner, object.mount.unique)
            && scope.is_whole(facts.device, *mount)
        {
            self.files.find_taken_away(&mut self.aside, file, object);
        }
        if let (Fact::Known(facts), Fact::Unknown(cause)) = (&object.file, &object.inner) {
            // Its names are then those of the watched directories of its superblock.
            scope.name(facts.device, Fact::Unknown(*cause), &mut self.directories);
            let asking = Asking::now(&self.proc, self.features, thread);
            self.files.find_inside(asking, &mut self.aside, file, self.directories.iter(), object);
            self.directories.clear();
        }
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
