//! The other end: asks the running guard one question. Used by the commands of `cli`, and by the server to find out
//! who holds a socket.
//!
//! Never waits longer than it was told to, whatever the guard does.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr, sockopt};
use nix::sys::time::TimeVal;

use super::protocol::{Code, REPLY_LIMIT, Refusal, Reply, Request};

/// Why there is no reply.
#[derive(Debug)]
pub enum Error {
    /// Nobody listens at this path.
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// There is a socket, but its guard has ended.
        stale: bool,
    },
    /// We may not ask.
    NotPermitted {
        /// The socket.
        path: PathBuf,
    },
    /// The guard did not reply in time.
    TimedOut {
        /// The socket.
        path: PathBuf,
        /// How long we waited.
        after: Duration,
    },
    /// What came back is no reply that we understand.
    Malformed(String),
    /// The guard understood nothing or failed.
    Refused(Refusal),
    /// A system call failed.
    Failed(PathBuf, io::Error),
}

/// Sends `request` to the guard at `path` and takes its reply; a refusal is an error here.
///
/// # Errors
/// See [`Error`]. None of them waits longer than `patience` in all.
pub fn ask(path: &Path, request: &Request, patience: Duration) -> Result<Reply, Error> {
    let deadline = Instant::now() + patience;
    let mut stream = connect(path, patience)?;
    let failed = |error: io::Error| {
        if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
            Error::TimedOut { path: path.to_path_buf(), after: patience }
        } else {
            Error::Failed(path.to_path_buf(), error)
        }
    };
    stream.set_write_timeout(Some(rest(deadline))).map_err(failed)?;
    match stream.write_all(&request.encode()) {
        Ok(()) => {}
        // The guard refused us before it read a word. What it said can still be read.
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {}
        Err(error) => return Err(failed(error)),
    }
    let reply = read_reply(&mut stream, deadline).map_err(failed)?;
    if reply.is_empty() {
        return Err(Error::Malformed("the guard closed the connection without a reply".to_owned()));
    }
    match Reply::decode(&reply).map_err(Error::Malformed)? {
        Reply::Error(Refusal { code: Code::NotPermitted, .. }) => {
            Err(Error::NotPermitted { path: path.to_path_buf() })
        }
        Reply::Error(refusal) => Err(Error::Refused(refusal)),
        reply @ (Reply::Status { .. } | Reply::Done { .. }) => Ok(reply),
    }
}

/// Connects. A guard whose backlog is full is waited for until `patience` is over.
///
/// # Errors
/// See [`Error`].
pub fn connect(path: &Path, patience: Duration) -> Result<UnixStream, Error> {
    let failed = |errno: Errno| Error::Failed(path.to_path_buf(), errno.into());
    let socket = socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
        .map_err(failed)?;
    // unix(7): connect(2) of a stream waits for room in the backlog, at most as long as a send may wait.
    socket::setsockopt(&socket, sockopt::SendTimeout, &send_timeout(patience)).map_err(failed)?;
    let address = UnixAddr::new(path).map_err(failed)?;
    loop {
        return match socket::connect(socket.as_raw_fd(), &address) {
            Ok(()) => Ok(UnixStream::from(socket)),
            Err(Errno::EINTR) => continue,
            Err(Errno::ENOENT | Errno::ENOTDIR) => {
                Err(Error::NotRunning { path: path.to_path_buf(), stale: false })
            }
            Err(Errno::ECONNREFUSED) => Err(Error::NotRunning { path: path.to_path_buf(), stale: true }),
            Err(Errno::EACCES | Errno::EPERM) => Err(Error::NotPermitted { path: path.to_path_buf() }),
            Err(Errno::EAGAIN) => Err(Error::TimedOut { path: path.to_path_buf(), after: patience }),
            Err(errno) => Err(failed(errno)),
        };
    }
}

/// Everything up to the first newline or the end.
fn read_reply(stream: &mut UnixStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut reply = Vec::new();
    let mut chunk = vec![0u8; 64 * 1024];
    loop {
        // A timeout of its own for each read would let a guard that sends a byte a second hold us for ever.
        stream.set_read_timeout(Some(rest(deadline)))?;
        let count = match stream.read(&mut chunk) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // The guard closed with our request unread; what it said before has been read.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && !reply.is_empty() => 0,
            Err(error) => return Err(error),
        };
        let read = chunk.get(..count).unwrap_or_default();
        let line = read.iter().position(|byte| *byte == b'\n');
        reply.extend_from_slice(read.get(..line.unwrap_or(count)).unwrap_or_default());
        if count == 0 || line.is_some() {
            return Ok(reply);
        }
        if reply.len() > REPLY_LIMIT {
            return Err(io::Error::other("the reply does not end"));
        }
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Never zero, which would mean for ever; so long as to be absurd is an hour.
fn send_timeout(patience: Duration) -> TimeVal {
    let patience = patience.clamp(Duration::from_millis(1), Duration::from_hours(1));
    let seconds = i64::try_from(patience.as_secs()).unwrap_or(3600);
    TimeVal::new(seconds, i64::from(patience.subsec_micros()))
}

/// What is left until `deadline`; never zero, which would mean for ever.
fn rest(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning { path, stale: false } => write!(f, "no guard is running at {}", path.display()),
            Self::NotRunning { path, stale: true } => {
                write!(
                    f,
                    "no guard is running at {}: the one that made this socket has ended",
                    path.display()
                )
            }
            Self::NotPermitted { path } => {
                write!(f, "only root may speak to the guard at {}", path.display())
            }
            Self::TimedOut { path, after } => {
                write!(f, "the guard at {} did not reply within {after:?}", path.display())
            }
            Self::Malformed(why) => f.write_str(why),
            Self::Refused(refusal) => f.write_str(&refusal.message),
            Self::Failed(path, _) => write!(f, "cannot speak to the guard at {}", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(_, error) => Some(error),
            Self::NotRunning { .. }
            | Self::NotPermitted { .. }
            | Self::TimedOut { .. }
            | Self::Malformed(_)
            | Self::Refused(_) => None,
        }
    }
}
