//! A service manager that keeps descriptors for the next guard, as systemd's file descriptor store does.

use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use crate::bed::{Bed, Guard, wait_until};

/// The manager's socket, and what it keeps by name.
pub struct Store {
    socket: UnixDatagram,
    at: PathBuf,
    kept: BTreeMap<String, OwnedFd>,
}

impl Store {
    pub fn new(bed: &Bed) -> Self {
        let at = bed.path("notify");
        Self { socket: UnixDatagram::bind(&at).unwrap(), at, kept: BTreeMap::new() }
    }

    /// Starts a guard with what the one before has left, and waits until it is ready.
    pub fn start(&mut self, bed: &Bed, config: &Path) -> Guard {
        // $$ is the guard's process id: the shell becomes the guard.
        let mut command = Command::new("sh");
        command.args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_shmguard")]);
        command.env("NOTIFY_SOCKET", &self.at);
        if !self.kept.is_empty() {
            let names: Vec<_> = self.kept.keys().cloned().collect();
            command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
            let numbers: Vec<RawFd> = self.kept.values().map(AsRawFd::as_raw_fd).collect();
            let hand_over = move || {
                for (place, number) in (3..).zip(&numbers) {
                    // SAFETY: between fork and exec; dup2(2) is async-signal-safe.
                    #[allow(unsafe_code, reason = "descriptors are handed over by their numbers")]
                    if unsafe { libc::dup2(*number, place) } < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            };
            // SAFETY: what it calls is async-signal-safe, and it takes no memory.
            #[allow(unsafe_code, reason = "descriptors are handed over by their numbers")]
            unsafe {
                command.pre_exec(hand_over);
            }
        }
        let guard = bed.launch_by(&mut command, config, &[]);
        wait_until("the guard is ready", || self.take().contains("READY=1"));
        guard
    }

    /// Takes what the guard has sent; returns what it says.
    fn take(&mut self) -> String {
        let mut said = String::new();
        let mut text = [0; 4096];
        loop {
            let mut space = nix::cmsg_space!([RawFd; 4]);
            let mut pieces = [IoSliceMut::new(&mut text)];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
            let Ok(message) = recvmsg::<()>(self.socket.as_raw_fd(), &mut pieces, Some(&mut space), flags)
            else {
                return said;
            };
            let sent = message.cmsgs().unwrap().find_map(|sent| match sent {
                ControlMessageOwned::ScmRights(numbers) => numbers.first().copied(),
                _ => None,
            });
            let length = message.bytes;
            let says = String::from_utf8_lossy(&text[..length]).into_owned();
            if let (Some(sent), Some(name)) =
                (sent, says.lines().find_map(|line| line.strip_prefix("FDNAME=")))
            {
                // SAFETY: the kernel has just made this descriptor for us, and nobody else knows its number.
                #[allow(unsafe_code, reason = "a descriptor that came with a message is a number")]
                let sent = unsafe { OwnedFd::from_raw_fd(sent) };
                // High: the low numbers are where the next guard looks for them.
                let high = fcntl(&sent, FcntlArg::F_DUPFD_CLOEXEC(100)).unwrap();
                // SAFETY: as above.
                #[allow(unsafe_code, reason = "a descriptor that came with a message is a number")]
                self.kept.insert(name.to_owned(), unsafe { OwnedFd::from_raw_fd(high) });
            }
            said.push_str(&says);
            said.push('\n');
        }
    }
}
