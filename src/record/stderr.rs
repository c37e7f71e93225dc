//! A descriptor of the terminal, a pipe, a socket or a file, written to without ever waiting for its reader.
//!
//! O_NONBLOCK belongs to the open file description, which a shell or a supervisor shares with us. So a pipe or a
//! terminal is opened once more through /proc, a socket is told per call, and a file never makes a writer wait.

use super::errno::errno;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::time::Duration;

/// A descriptor that is never waited for.
#[derive(Debug)]
pub(super) struct NonBlocking {
    file: File,
    way: Way,
    /// The rest of a line whose beginning is written.
    rest: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A description of our own with O_NONBLOCK, or a file.
    Write,
    /// A socket: MSG_DONTWAIT.
    Send,
    /// A shared description: asked before each piece, in pieces that a pipe takes whole when it says it can.
    Ask,
}

/// A pipe that polls writable takes this much without blocking (PIPE_BUF).
const PIECE: usize = 4096;

impl NonBlocking {
    /// Takes `fd`, without changing the description that it shares with others.
    pub(super) fn new(fd: OwnedFd) -> Self {
        let file = File::from(fd);
        let kind = file.metadata().map(|metadata| metadata.file_type());
        let (file, way) = match kind {
            Ok(kind) if kind.is_socket() => (file, Way::Send),
            Ok(kind) if kind.is_fifo() || kind.is_char_device() => match again(&file) {
                Ok(own) => (own, Way::Write),
                Err(_) => (file, Way::Ask),
            },
            Ok(kind) if kind.is_file() => (file, Way::Write),
            Ok(_) | Err(_) => (file, Way::Ask),
        };
        Self { file, way, rest: Vec::new() }
    }

    /// Writes one line. On an error the line is lost, except [`Errno::EINPROGRESS`]: its beginning is written, and the
    /// rest will be before anything else.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<(), Errno> {
        self.flush()?;
        let (written, result) = self.write(line);
        match line.get(written..) {
            Some(rest) if written > 0 && !rest.is_empty() => {
                self.rest.extend_from_slice(rest);
                Err(Errno::EINPROGRESS)
            }
            _ => result,
        }
    }

    /// Writes what is left of a line. `Ok(true)` where that ended a line.
    pub(super) fn flush(&mut self) -> Result<bool, Errno> {
        if self.rest.is_empty() {
            return Ok(false);
        }
        let rest = std::mem::take(&mut self.rest);
        let (written, result) = self.write(&rest);
        self.rest = rest;
        self.rest.drain(..written.min(self.rest.len()));
        result.map(|()| true)
    }

    /// Waits until the reader has made room, but not longer than `longest`.
    pub(super) fn wait(&self, longest: Duration) -> bool {
        let mut asked = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
        let timeout = PollTimeout::try_from(longest).unwrap_or(PollTimeout::ZERO);
        poll(&mut asked, timeout).is_ok_and(|ready| ready > 0)
    }

    fn write(&self, bytes: &[u8]) -> (usize, Result<(), Errno>) {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.piece(rest) {
                Ok(0) => return (written, Err(Errno::EIO)),
                Ok(count) => written += count,
                Err(Errno::EINTR) => {}
                Err(errno) => return (written, Err(errno)),
            }
        }
        (written, Ok(()))
    }

    fn piece(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match self.way {
            Way::Write => (&self.file).write(bytes).map_err(|error| errno(&error)),
            Way::Send => send(self.file.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL),
            Way::Ask => {
                let mut asked = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
                if poll(&mut asked, PollTimeout::ZERO)? == 0 {
                    return Err(Errno::EAGAIN);
                }
                let piece = bytes.get(..PIECE.min(bytes.len())).unwrap_or_default();
                (&self.file).write(piece).map_err(|error| errno(&error))
            }
        }
    }
}

fn again(file: &File) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    /// Writes until the other side has no room; gives the error of the first line that was lost.
    fn fill(out: &mut NonBlocking) -> Errno {
        let started = Instant::now();
        let line = [[b'x'; 999].as_slice(), b"\n"].concat();
        loop {
            assert!(started.elapsed() < Duration::from_secs(10), "it took all and for ever");
            match out.line(&line) {
                Ok(()) | Err(Errno::EINPROGRESS) => {}
                Err(errno) => return errno,
            }
        }
    }

    #[test]
    fn a_socket_whose_reader_sleeps_is_not_waited_for() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert_eq!(fill(&mut NonBlocking::new(ours.into())), Errno::EAGAIN);
    }

    #[test]
    fn a_pipe_that_cannot_be_opened_again_is_asked_before_each_piece() {
        let (_reader, pipe) = std::io::pipe().unwrap();
        let file = File::from(OwnedFd::from(pipe));
        let mut out = NonBlocking { file, way: Way::Ask, rest: Vec::new() };
        assert_eq!(fill(&mut out), Errno::EAGAIN);
    }

    #[test]
    fn others_who_share_the_pipe_still_wait_for_its_reader() {
        let (_reader, pipe) = std::io::pipe().unwrap();
        let shared = pipe.try_clone().unwrap();
        let mut out = NonBlocking::new(pipe.into());
        assert_eq!(out.way, Way::Write);
        assert_eq!(fill(&mut out), Errno::EAGAIN);
        let flags = OFlag::from_bits_retain(fcntl(&shared, FcntlArg::F_GETFL).unwrap());
        assert!(!flags.contains(OFlag::O_NONBLOCK));
    }

    #[test]
    fn a_pipe_without_a_reader_is_an_error_and_no_signal() {
        let (reader, pipe) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(NonBlocking::new(pipe.into()).line(b"x\n"), Err(Errno::EPIPE));
    }
}
