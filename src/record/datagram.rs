//! A datagram socket of a local log daemon, which may be absent, restarted or stopped at any time.
//!
//! Owns connecting again and the bound on waiting. The daemon's queue holds about ten datagrams
//! (net.unix.max_dgram_qlen): never waiting loses most of a burst, waiting without a bound hangs behind a stopped
//! daemon.

use super::errno::errno;
use nix::errno::Errno;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A socket that connects when it is needed.
#[derive(Debug)]
pub(super) struct Datagram {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

/// The longest wait for room in the daemon's queue.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(50);

impl Datagram {
    /// Nothing is opened yet.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), socket: None }
    }

    /// Sends one datagram; waits at most [`LONGEST_WAIT`], then gives EAGAIN.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        if let Some(socket) = &self.socket {
            match send(socket, bytes) {
                Err(Errno::ECONNREFUSED | Errno::ENOTCONN | Errno::ECONNRESET | Errno::EPIPE) => {}
                settled => return settled,
            }
        }
        // Absent so far, or the daemon was restarted and has a new socket at the same path.
        self.socket = None;
        let socket = connect(&self.path).map_err(|error| errno(&error))?;
        let sent = send(&socket, bytes);
        self.socket = Some(socket);
        sent
    }
}

fn connect(path: &Path) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(LONGEST_WAIT))?;
    socket.connect(path)?;
    Ok(socket)
}

fn send(socket: &UnixDatagram, bytes: &[u8]) -> Result<(), Errno> {
    loop {
        match socket.send(bytes).map_err(|error| errno(&error)) {
            Err(Errno::EINTR) => {}
            sent => return sent.map(|_| ()),
        }
    }
}
