//! One fanotify group, for execs (FAN_OPEN_EXEC_PERM) or for every open of a file (FAN_OPEN_PERM).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit};

use super::{InFlight, PendingExec, Waiting};
use crate::event::{Response, Settled};
use crate::sys::{clock, fanotify};

/// The group and the table of its events in flight.
#[derive(Debug)]
pub struct Group {
    fd: OwnedFd,
    interest: Interest,
    features: Features,
    in_flight: InFlight,
    dropped: AtomicU64,
}

/// What raises a group's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Execs: no other open costs anything.
    Execs,
    /// Every open of a file, execs among them.
    Opens,
}

/// What the kernel gave this group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// The errno of a failed open is told (FAN_REPORT_FD_ERROR, Linux 6.12).
    pub fd_error: bool,
    /// Answers can be written to the kernel's audit log (FAN_ENABLE_AUDIT, needs CAP_AUDIT_WRITE).
    pub audit: bool,
}

/// What a read gives.
#[derive(Debug)]
pub enum Incoming {
    /// An exec, or an open, waits for an answer.
    Exec(PendingExec),
    /// The kernel could not open the file for us and has denied this exec or open itself.
    KernelDenied {
        /// The calling thread, 0 where it is not known.
        thread: i32,
        /// Why, where the kernel says.
        errno: Option<i32>,
    },
    /// The kernel's queue overflowed; what did not fit ran.
    Overflow,
}

/// What carries the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MarkKind {
    /// The superblock, through whatever mount (FAN_MARK_FILESYSTEM).
    Filesystem,
    /// One mount (FAN_MARK_MOUNT).
    Mount,
}

/// Why there is no group.
#[derive(Debug)]
pub enum NotifyError {
    /// CAP_SYS_ADMIN is missing.
    NotPermitted,
    /// The kernel has no fanotify (CONFIG_FANOTIFY).
    NoFanotify,
    /// The kernel has no permission events, or is older than 5.0 (CONFIG_FANOTIFY_ACCESS_PERMISSIONS).
    NoPermissionEvents,
    /// Anything else that fanotify_init(2) says.
    Failed(io::Error),
}

impl Group {
    /// A new group for execs, without marks. `audit` asks for kernel audit records; where that is refused the group has none.
    ///
    /// # Errors
    /// The kernel cannot, or we may not.
    pub fn new(audit: bool) -> Result<Self, NotifyError> {
        Self::of(Interest::Execs, audit)
    }

    /// A new group for `interest`.
    ///
    /// # Errors
    /// As [`Group::new`].
    pub fn of(interest: Interest, audit: bool) -> Result<Self, NotifyError> {
        let base = fanotify::FAN_CLASS_CONTENT
            | fanotify::FAN_REPORT_TID
            | fanotify::FAN_UNLIMITED_QUEUE
            | fanotify::FAN_UNLIMITED_MARKS
            | fanotify::FAN_CLOEXEC
            | fanotify::FAN_NONBLOCK;
        let mut last = None;
        // From the most to the least: features are probed, never guessed from a version, because distributions backport.
        for (fd_error, audit) in [(true, audit), (true, false), (false, audit), (false, false)] {
            let extra = if fd_error { fanotify::FAN_REPORT_FD_ERROR } else { 0 }
                | if audit { fanotify::FAN_ENABLE_AUDIT } else { 0 };
            match fanotify::init(base | extra) {
                Ok(fd) => {
                    let in_flight = InFlight::new().map_err(NotifyError::Failed)?;
                    in_flight.set_features(Features { fd_error, audit });
                    return Ok(Self { interest, ..Self::adopt(fd, in_flight) });
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or(NotifyError::NoFanotify, NotifyError::of_init))
    }

    /// The group for execs that a predecessor left, with its table. The caller settles what it left ([`Group::settle_left_over`])
    /// before it reads, and is sure that the predecessor is dead.
    #[must_use]
    pub fn adopt(fd: OwnedFd, in_flight: InFlight) -> Self {
        let features = in_flight.features();
        Self { fd, interest: Interest::Execs, features, in_flight, dropped: AtomicU64::new(0) }
    }

    /// What the kernel gave.
    #[must_use]
    pub fn features(&self) -> Features {
        self.features
    }

    /// The table of events in flight.
    #[must_use]
    pub fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// Marks the filesystem or mount that holds `path` (a symbolic link is followed). Marking again changes nothing.
    ///
    /// # Errors
    /// What fanotify_mark(2) says: ENOENT, ENODEV, EINVAL for a filesystem without permission events, EPERM without
    /// CAP_SYS_ADMIN.
    pub fn mark(&self, kind: MarkKind, path: &Path) -> io::Result<()> {
        fanotify::mark(self.fd.as_fd(), fanotify::FAN_MARK_ADD | kind.flag(), self.interest.mask(), path)
    }

    /// Takes a mark away.
    ///
    /// # Errors
    /// As [`Group::mark`]; ENOENT where there is no such mark.
    pub fn unmark(&self, kind: MarkKind, path: &Path) -> io::Result<()> {
        fanotify::mark(self.fd.as_fd(), fanotify::FAN_MARK_REMOVE | kind.flag(), self.interest.mask(), path)
    }

    /// Raises no event any more for the file behind a descriptor, whatever becomes of it. For what is no file of bytes:
    /// until Linux 6.14 the kernel raises events for FIFOs and devices too, and opening those on somebody's behalf is
    /// felt at their other end.
    ///
    /// # Errors
    /// What fanotify_mark(2) says.
    pub fn ignore(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        let path = format!("/proc/thread-self/fd/{}", file.as_raw_fd());
        let flags =
            fanotify::FAN_MARK_ADD | fanotify::FAN_MARK_IGNORED_MASK | fanotify::FAN_MARK_IGNORED_SURV_MODIFY;
        fanotify::mark(self.fd.as_fd(), flags, self.interest.mask(), Path::new(&path))
    }

    /// Takes every mark of the group away: no further exec raises an event. What waits already still waits.
    ///
    /// # Errors
    /// What fanotify_mark(2) says.
    pub fn unmark_all(&self) -> io::Result<()> {
        for kind in [MarkKind::Filesystem, MarkKind::Mount] {
            fanotify::mark(self.fd.as_fd(), fanotify::FAN_MARK_FLUSH | kind.flag(), 0, Path::new("/"))?;
        }
        Ok(())
    }

    /// Whether [`Group::read`] waits for an event. It does not at first; a call that waits already goes on waiting.
    ///
    /// # Errors
    /// What fcntl(2) says.
    pub fn set_waiting(&self, waits: bool) -> io::Result<()> {
        let flags = if waits { OFlag::empty() } else { OFlag::O_NONBLOCK };
        fcntl(&self.fd, FcntlArg::F_SETFL(flags))?;
        Ok(())
    }

    /// Reads one event; `None` where none waits, or a signal came. Blocks only after [`Group::set_waiting`]: else poll
    /// the descriptor for reading.
    ///
    /// One at a time: of a batch whose second event has no descriptor, the kernel would have denied that one already.
    ///
    /// # Errors
    /// InvalidData for a record of an unknown form; other errors of read(2) that are not about one event.
    pub fn read(self: &Arc<Self>, fallback: Response) -> io::Result<Option<Incoming>> {
        let event = match fanotify::read(self.fd.as_fd()) {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(None),
            // Without FAN_REPORT_FD_ERROR the read itself fails, and the exec is denied (fanotify_user.c,
            // copy_event_to_user and fanotify_read).
            Err(error) => {
                return match error.raw_os_error() {
                    Some(libc::EINTR) => Ok(None),
                    Some(
                        errno @ (libc::EMFILE
                        | libc::ENFILE
                        | libc::ENOMEM
                        | libc::EACCES
                        | libc::ESTALE
                        | libc::ENXIO),
                    ) => Ok(Some(Incoming::KernelDenied { thread: 0, errno: Some(errno) })),
                    _ => Err(error),
                };
            }
        };
        self.in_flight.count_read();
        if event.mask & fanotify::FAN_Q_OVERFLOW != 0 {
            return Ok(Some(Incoming::Overflow));
        }
        Ok(Some(match event.file {
            Ok(file) => Incoming::Exec(PendingExec::new(Arc::clone(self), file, event.thread, fallback)),
            Err(errno) => Incoming::KernelDenied { thread: event.thread, errno },
        }))
    }

    /// Answers one event that was read more than `age` ago, with its fallback. Called again until it gives `None`. A record
    /// of it is [owed](InFlight::owe) before the answer: the caller pays it when it has told.
    pub fn settle_older(&self, age: Duration) -> Option<(Waiting, Settled)> {
        let waiting = self.in_flight.claim_older(clock::boottime(), age)?;
        self.in_flight.owe(1);
        let settled = self.respond(waiting.number, waiting.fallback, false);
        self.in_flight.close(waiting.number);
        Some((waiting, settled))
    }

    /// Answers everything that a dead predecessor had read and not answered, and returns what its table knew of each
    /// that still waited. The kernel matches by number, so every number is answered that a descriptor can have under our
    /// limits, which were the predecessor's; ENOENT is the rule. A record of each is [owed](InFlight::owe): the caller pays
    /// it when it has told.
    pub fn settle_left_over(&self, response: Response) -> Vec<(RawFd, Option<Waiting>)> {
        let known: Vec<Waiting> = self.in_flight.left_over().collect();
        let count = |waiting: usize| u64::try_from(waiting).unwrap_or(u64::MAX);
        // Before the answers: whoever kills us in between leaves nobody else who knows of them.
        self.in_flight.owe(count(known.len()));
        let settled = (0..most_descriptors())
            .filter(|number| self.respond(*number, response, false) == Settled::Delivered);
        let settled: Vec<_> = settled
            .map(|number| (number, known.iter().find(|waiting| waiting.number == number).copied()))
            .collect();
        self.in_flight.owe(count(settled.len().saturating_sub(known.len())));
        self.in_flight.pay(count(known.len().saturating_sub(settled.len())));
        for waiting in known {
            self.in_flight.close(waiting.number);
        }
        settled
    }

    /// How many events were dropped without an answer and answered by their destructor.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn respond(&self, number: RawFd, response: Response, audit: bool) -> Settled {
        let answer = match response {
            Response::Allow => fanotify::FAN_ALLOW,
            Response::Deny => fanotify::FAN_DENY,
        };
        let audit = if audit && self.features.audit { fanotify::FAN_AUDIT } else { 0 };
        match fanotify::respond(self.fd.as_fd(), number, answer | audit) {
            Ok(()) => Settled::Delivered,
            // An answer that the kernel does not take leaves the exec waiting: the answer counts more than its audit record.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && audit != 0 => {
                self.respond(number, response, false)
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Settled::NobodyWaited,
            Err(error) => Settled::Refused(error.raw_os_error().unwrap_or(0)),
        }
    }
}

/// No descriptor of ours has this number or a higher one.
fn most_descriptors() -> RawFd {
    const MOST: u64 = 1 << 20;
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(MOST, |(soft, _)| soft.min(MOST));
    RawFd::try_from(limit).unwrap_or(RawFd::MAX)
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Interest {
    fn mask(self) -> u64 {
        match self {
            Self::Execs => fanotify::FAN_OPEN_EXEC_PERM,
            Self::Opens => fanotify::FAN_OPEN_PERM,
        }
    }
}

impl MarkKind {
    fn flag(self) -> u32 {
        match self {
            Self::Filesystem => fanotify::FAN_MARK_FILESYSTEM,
            Self::Mount => fanotify::FAN_MARK_MOUNT,
        }
    }
}

impl NotifyError {
    fn of_init(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM) => Self::NotPermitted,
            Some(libc::ENOSYS) => Self::NoFanotify,
            Some(libc::EINVAL) => Self::NoPermissionEvents,
            _ => Self::Failed(error),
        }
    }
}

impl fmt::Display for NotifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPermitted => f.write_str("fanotify_init: not permitted; CAP_SYS_ADMIN is missing"),
            Self::NoFanotify => f.write_str("this kernel has no fanotify; it needs CONFIG_FANOTIFY=y"),
            Self::NoPermissionEvents => f.write_str(
                "this kernel has no exec permission events; it needs Linux 5.0 or newer and \
                 CONFIG_FANOTIFY_ACCESS_PERMISSIONS=y",
            ),
            Self::Failed(error) => write!(f, "fanotify_init: {error}"),
        }
    }
}

impl std::error::Error for NotifyError {}
