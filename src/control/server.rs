//! The guard's end of the control socket.
//!
//! Owns the socket: where it lies, who may speak, how long and how much. One thread serves all clients with poll(2)
//! and never waits for one of them: a client that is slow, silent or hostile costs its own connection and nothing
//! else. What a request does is the caller's function; it runs in this thread, so a request that works long delays
//! other requests, and never an answer to the kernel.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr, sockopt};

use super::protocol::{Code, REQUEST_LIMIT, Refusal, Reply, Request};
use crate::event::{Gid, Pid, Uid};

/// The process at the other end, as the kernel knew it when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process id; `None` where our pid namespace has no number for it.
    pub pid: Option<Pid>,
    /// Its effective user id.
    pub uid: Uid,
    /// Its effective group id.
    pub gid: Gid,
}

/// The listening socket. Dropping it removes the socket's file.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Held for as long as the socket is ours. The kernel releases it when we end, however we end.
    _lock: Flock<File>,
}

/// Why there is no listening socket.
#[derive(Debug)]
pub enum Error {
    /// Another process listens there.
    Held {
        /// The socket.
        path: PathBuf,
        /// That process, where it could be found out.
        pid: Option<Pid>,
    },
    /// Something else than a socket lies there.
    NotASocket(PathBuf),
    /// Others than root could replace the socket: the directory, and why.
    Directory(PathBuf, &'static str),
    /// A system call failed: what was done, where, and why.
    Failed(&'static str, PathBuf, io::Error),
}

/// Limits of the server. The defaults are those of the guard; tests choose smaller ones.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// So many clients are served at a time; one more, and the one whose time would be up first is dropped. So a
    /// crowd of silent clients cannot keep out one that speaks.
    pub clients: usize,
    /// A client has this long to send its request, and as long again to take the reply.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { clients: 16, patience: Duration::from_secs(1) }
    }
}

impl Listener {
    /// Listens at `path`: makes the directory (0755) if only that is missing, replaces the socket of a guard that has
    /// ended, and leaves one that somebody answers alone. Only the owner of this process can connect (0600).
    ///
    /// # Errors
    /// [`Error::Held`] where another guard has the socket.
    pub fn bind(path: &Path) -> Result<Self, Error> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        make_directory(directory)?;
        let lock = lock(path)?;
        remove_stale(path)?;
        let failed = |what: &'static str| {
            let path = path.to_path_buf();
            move |errno: Errno| Error::Failed(what, path, errno.into())
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)
            .map_err(failed("make a socket"))?;
        let address = UnixAddr::new(path).map_err(failed("name the socket"))?;
        socket::bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &address)
            .map_err(failed("bind the socket"))?;
        // Nobody can connect before listen(2), so there is no moment at which the umask's rights count.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .map_err(|error| Error::Failed("set the rights of the socket", path.to_path_buf(), error))?;
        let backlog = Backlog::new(16).unwrap_or(Backlog::MAXCONN);
        socket::listen(&socket, backlog).map_err(failed("listen"))?;
        Ok(Self { socket: UnixListener::from(socket), path: path.to_path_buf(), _lock: lock })
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A socket that nobody listens on is replaced by the next guard; this only tidies up.
        std::fs::remove_file(&self.path).unwrap_or_default();
    }
}

/// Serves until `stop` is readable or closed at its other end, then closes every connection and removes the socket.
/// Blocks; wakes only for clients.
///
/// # Errors
/// poll(2) failed: the socket is gone then, and the guard runs on without it.
pub fn serve(
    listener: Listener,
    limits: Limits,
    stop: OwnedFd,
    mut answer: impl FnMut(Request, Peer) -> Reply,
) -> io::Result<()> {
    let mut clients: Vec<Client> = Vec::with_capacity(limits.clients);
    let mut pause: Option<Instant> = None;
    loop {
        let now = Instant::now();
        clients.retain_mut(|client| client.deadline > now || client.give_up());
        let accepting = pause.is_none_or(|until| until <= now);
        let mut waiting = vec![PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
        let listening = if accepting { PollFlags::POLLIN } else { PollFlags::empty() };
        waiting.push(PollFd::new(listener.socket.as_fd(), listening));
        waiting.extend(clients.iter().map(|client| PollFd::new(client.stream.as_fd(), client.interest())));
        let until =
            clients.iter().map(|client| client.deadline).chain(pause.filter(|until| *until > now)).min();
        match poll(&mut waiting, timeout(until, now)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut ready = waiting.iter().map(|fd| fd.revents().is_some_and(|events| !events.is_empty()));
        if ready.next() == Some(true) {
            return Ok(());
        }
        let arrived = ready.next() == Some(true);
        let ready: Vec<bool> = ready.collect();
        let mut index = 0;
        clients.retain_mut(|client| {
            let is_ready = ready.get(index).copied().unwrap_or_default();
            index += 1;
            !is_ready || client.go_on(limits, &mut answer) == Progress::Waiting
        });
        if arrived && accepting {
            match accept(&listener.socket, limits) {
                Ok(None) => {}
                Ok(Some(client)) => {
                    make_room(&mut clients, limits);
                    clients.push(client);
                }
                // Out of descriptors or memory: the connection stays in the backlog and poll would report it at
                // once again.
                Err(_) => pause = Some(Instant::now() + Duration::from_millis(100)),
            }
        }
    }
}

/// One connection.
struct Client {
    stream: UnixStream,
    peer: Peer,
    deadline: Instant,
    work: Work,
}

/// What a connection waits for.
enum Work {
    /// The rest of the request.
    Reading(Vec<u8>),
    /// Room for the rest of the reply, from this byte.
    Writing(Vec<u8>, usize),
}

/// How a connection stands.
#[derive(PartialEq, Eq)]
enum Progress {
    /// It waits for its client.
    Waiting,
    /// It is to be closed.
    Over,
}

impl Client {
    fn interest(&self) -> PollFlags {
        match self.work {
            Work::Reading(_) => PollFlags::POLLIN,
            Work::Writing(..) => PollFlags::POLLOUT,
        }
    }

    /// Reads or writes what can be read or written now.
    fn go_on(&mut self, limits: Limits, answer: &mut impl FnMut(Request, Peer) -> Reply) -> Progress {
        if let Work::Reading(request) = &mut self.work {
            let reply = match read_line(&mut self.stream, request) {
                Received::Part => return Progress::Waiting,
                Received::Nothing => return Progress::Over,
                Received::TooLong => Reply::Error(Refusal::new(
                    Code::Malformed,
                    format!("the request is longer than {REQUEST_LIMIT} bytes"),
                )),
                Received::Line => carry_out(request, self.peer, answer),
            };
            self.work = Work::Writing(reply.encode(), 0);
            self.deadline = Instant::now() + limits.patience;
        }
        self.write()
    }

    /// The time is up: says so if nothing was said yet, without waiting. Always false, for `retain`.
    fn give_up(&mut self) -> bool {
        if let Work::Reading(_) = self.work {
            let refusal = Refusal::new(Code::Malformed, "the request did not come in time");
            self.stream.write(&Reply::Error(refusal).encode()).unwrap_or_default();
        }
        false
    }

    fn write(&mut self) -> Progress {
        let Work::Writing(reply, written) = &mut self.work else { return Progress::Waiting };
        loop {
            let Some(rest) = reply.get(*written..).filter(|rest| !rest.is_empty()) else {
                return Progress::Over;
            };
            match self.stream.write(rest) {
                Ok(0) => return Progress::Over,
                Ok(count) => *written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Progress::Waiting,
                Err(_) => return Progress::Over,
            }
        }
    }
}

/// What a read brought.
enum Received {
    /// The line is not complete.
    Part,
    /// The line is complete.
    Line,
    /// The client closed without a word, or the connection failed.
    Nothing,
    /// The line is longer than it may be.
    TooLong,
}

fn read_line(stream: &mut UnixStream, request: &mut Vec<u8>) -> Received {
    let mut chunk = [0u8; 4096];
    loop {
        match stream.read(&mut chunk) {
            // A client may end its line by closing its half instead of a newline.
            Ok(0) if request.is_empty() => return Received::Nothing,
            Ok(0) => return Received::Line,
            Ok(count) => {
                let read = chunk.get(..count).unwrap_or_default();
                let line = read.iter().position(|byte| *byte == b'\n');
                request.extend_from_slice(read.get(..line.unwrap_or(count)).unwrap_or_default());
                if request.len() >= REQUEST_LIMIT {
                    return Received::TooLong;
                }
                if line.is_some() {
                    return Received::Line;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Received::Part,
            Err(_) => return Received::Nothing,
        }
    }
}

fn carry_out(line: &[u8], peer: Peer, answer: &mut impl FnMut(Request, Peer) -> Reply) -> Reply {
    let request = match Request::decode(line) {
        Ok(request) => request,
        Err(refusal) => return Reply::Error(refusal),
    };
    // A mistake in one request must not take `status` away from the others: without this thread the guard would look
    // as if it did not run.
    catch_unwind(AssertUnwindSafe(|| answer(request, peer))).unwrap_or_else(|_| {
        Reply::Error(Refusal::new(Code::Internal, "the guard failed on this request; it runs on"))
    })
}

/// Drops the client whose time would be up first, where there are as many as there may be.
fn make_room(clients: &mut Vec<Client>, limits: Limits) {
    if clients.len() < limits.clients {
        return;
    }
    let oldest = clients.iter().enumerate().min_by_key(|(_, client)| client.deadline).map(|(index, _)| index);
    if let Some(index) = oldest {
        drop(clients.swap_remove(index));
    }
}

/// Takes one connection. `None` where it was refused or has gone.
fn accept(socket: &UnixListener, limits: Limits) -> io::Result<Option<Client>> {
    let (mut stream, _) = match socket.accept() {
        Ok(accepted) => accepted,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.set_nonblocking(true)?;
    let peer = peer(&stream)?;
    if peer.uid != Uid::ROOT {
        let refusal = Refusal::new(Code::NotPermitted, format!("only root may ask, not uid {}", peer.uid));
        // One try into an empty socket buffer: whether it arrives is the client's business.
        stream.write(&Reply::Error(refusal).encode()).unwrap_or_default();
        return Ok(None);
    }
    let deadline = Instant::now() + limits.patience;
    Ok(Some(Client { stream, peer, deadline, work: Work::Reading(Vec::new()) }))
}

/// Who is at the other end (SO_PEERCRED).
pub(super) fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let credentials = socket::getsockopt(stream, sockopt::PeerCredentials)?;
    let pid = Some(credentials.pid()).filter(|pid| *pid > 0).map(Pid);
    Ok(Peer { pid, uid: Uid(credentials.uid()), gid: Gid(credentials.gid()) })
}

fn timeout(until: Option<Instant>, now: Instant) -> PollTimeout {
    let Some(until) = until else { return PollTimeout::NONE };
    // One more than the truncated milliseconds, else the last one is spent in a busy loop.
    let milliseconds = until.saturating_duration_since(now).as_millis().saturating_add(1);
    u16::try_from(milliseconds).map_or(PollTimeout::from(u16::MAX), PollTimeout::from)
}

fn make_directory(directory: &Path) -> Result<(), Error> {
    let failed = |what, error| Error::Failed(what, directory.to_path_buf(), error);
    match DirBuilder::new().mode(0o755).create(directory) {
        // The umask of the unit takes rights away from mkdir, and `status` of a user who is not root should say
        // "refused", not "no guard".
        Ok(()) => std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))
            .map_err(|error| failed("set the rights of the directory", error))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("make the directory", error)),
    }
    let facts = std::fs::metadata(directory).map_err(|error| failed("look at the directory", error))?;
    if !facts.is_dir() {
        return Err(Error::Directory(directory.to_path_buf(), "is not a directory"));
    }
    if facts.uid() != nix::unistd::geteuid().as_raw() && facts.uid() != 0 {
        return Err(Error::Directory(directory.to_path_buf(), "is not owned by root"));
    }
    // In a sticky one nobody can replace the socket, but anybody can lay something there before us.
    if facts.mode() & 0o022 != 0 {
        return Err(Error::Directory(
            directory.to_path_buf(),
            "can be written by others than its owner; choose another",
        ));
    }
    Ok(())
}

/// Two guards that start at the same moment both find the socket of a dead one: only one may replace it.
fn lock(path: &Path) -> Result<Flock<File>, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC)
        .open(&name)
        .map_err(|error| Error::Failed("open the lock file", name.clone(), error))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EWOULDBLOCK)) => {
            let pid = holder(path).unwrap_or_default();
            Err(Error::Held { path: path.to_path_buf(), pid })
        }
        Err((_, errno)) => Err(Error::Failed("lock", name, errno.into())),
    }
}

/// Removes a socket that nobody answers.
fn remove_stale(path: &Path) -> Result<(), Error> {
    let failed = |what, error| Error::Failed(what, path.to_path_buf(), error);
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at the socket", error)),
        Ok(facts) if !facts.file_type().is_socket() => return Err(Error::NotASocket(path.to_path_buf())),
        Ok(_) => {}
    }
    if let Some(pid) = holder(path) {
        return Err(Error::Held { path: path.to_path_buf(), pid });
    }
    std::fs::remove_file(path).map_err(|error| failed("remove the old socket", error))
}

/// Who listens at `path`: `None` is nobody, `Some(None)` somebody without a number.
#[expect(clippy::option_option, reason = "whether somebody is there and who are two questions")]
fn holder(path: &Path) -> Option<Option<Pid>> {
    match super::client::connect(path, Duration::from_secs(1)) {
        // For the connecting side SO_PEERCRED is the process that called listen(2).
        Ok(stream) => Some(peer(&stream).ok().and_then(|peer| peer.pid)),
        Err(super::client::Error::NotRunning { .. }) => None,
        // A full backlog or a refusal: somebody is there.
        Err(_) => Some(None),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { path, pid: Some(pid) } => {
                write!(f, "another guard, process {pid}, holds {}", path.display())
            }
            Self::Held { path, pid: None } => write!(f, "another guard holds {}", path.display()),
            Self::NotASocket(path) => write!(f, "{} is there and is not a socket", path.display()),
            Self::Directory(path, why) => write!(f, "the socket's directory {} {why}", path.display()),
            Self::Failed(what, path, _) => write!(f, "cannot {what} {}", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(_, _, error) => Some(error),
            Self::Held { .. } | Self::NotASocket(_) | Self::Directory(..) => None,
        }
    }
}
