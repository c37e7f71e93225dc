//! What the kernel said of our own namespace's mounts, for as long as that namespace has not changed since.
//!
//! Asking for a mount costs as much as reading a file's path. The kernel counts the changes of a mount namespace (a
//! mount, an unmount, a move, a remount, what propagates from elsewhere), and a poll of its mountinfo tells whether the
//! count is another: it is asked *after* the file's path was read, so path and mount are of one state of the namespace,
//! which two questions asked one after the other would not promise.
//!
//! One thing is not counted: a directory above a mount point that is renamed, which needs another namespace and root
//! there. So what is kept grows old soon, and never lets anything run: [`super::Identifier::confirm`] and the looks at
//! what lies outside ask the kernel. Called by `object`, for mounts of our own namespace alone.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

use crate::event::Device;

/// One mount as the kernel told of it.
#[derive(Clone, Debug)]
pub(super) struct Mount {
    pub(super) id: u64,
    pub(super) device: Device,
    pub(super) nosuid: bool,
    pub(super) root: Vec<u8>,
    pub(super) point: Vec<u8>,
    told: Instant,
}

/// The mounts that were asked for last.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The namespace's mountinfo; `None` until it is needed, for the namespace is that of the thread that asks.
    table: Option<OwnedFd>,
    mounts: Vec<Mount>,
}

impl Kept {
    /// The mount, if it is kept and still as it was.
    pub(super) fn mount(&mut self, id: u64) -> Option<&Mount> {
        if !self.is_unchanged() {
            self.mounts.clear();
            return None;
        }
        self.mounts.iter().find(|mount| mount.id == id && mount.told.elapsed() < YOUNG)
    }

    /// Keeps what the kernel said of a mount after the last call of [`Kept::mount`].
    pub(super) fn keep(&mut self, id: u64, device: Device, nosuid: bool, root: &[u8], point: &[u8]) {
        let told = Instant::now();
        if let Some(mount) = self.mounts.iter_mut().find(|mount| mount.id == id) {
            (mount.device, mount.nosuid, mount.told) = (device, nosuid, told);
            root.clone_into(&mut mount.root);
            point.clone_into(&mut mount.point);
            return;
        }
        if self.mounts.len() >= MOUNTS {
            self.mounts.remove(0);
        }
        self.mounts.push(Mount { id, device, nosuid, root: root.to_vec(), point: point.to_vec(), told });
    }

    /// Whether the namespace has not changed since the last call. A change is told once.
    fn is_unchanged(&mut self) -> bool {
        let Some(table) = &self.table else {
            let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
            // What it counts from is the moment of this call.
            self.table = open(c"/proc/thread-self/mountinfo", flags, Mode::empty()).ok();
            return false;
        };
        let mut fds = [PollFd::new(table.as_fd(), PollFlags::POLLPRI)];
        poll(&mut fds, PollTimeout::ZERO) == Ok(0)
    }
}

/// How long what the kernel said is taken as said.
const YOUNG: Duration = Duration::from_millis(500);
/// The watched filesystems that are mounted in our namespace and in use at one time are few.
const MOUNTS: usize = 8;
