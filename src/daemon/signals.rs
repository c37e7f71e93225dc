//! Signals, with who sent them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithOrigin;

use crate::event::{Pid, Uid};

/// The signals that the guard acts on, as a descriptor to poll.
#[derive(Debug)]
pub(super) struct Signals {
    delivery: SignalDelivery<UnixStream, WithOrigin>,
}

/// One signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// What is asked for.
    pub(super) order: Order,
    /// The signal's name.
    pub(super) name: &'static str,
    /// Who sent it: process and real user id (siginfo_t); `None` where the kernel did.
    pub(super) sender: Option<(Pid, Uid)>,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

impl Signals {
    /// Takes the signals over for the whole process, and keeps SIGIO from ending it: the kernel sends it when somebody
    /// wants to write to a file on which we hold a lease. Before any other thread is started, because they inherit that.
    ///
    /// # Errors
    /// No descriptor is left, or the kernel refuses a handler.
    pub(super) fn new() -> io::Result<Self> {
        SigSet::from(Signal::SIGIO).thread_block()?;
        let (read, write) = UnixStream::pair()?;
        let delivery =
            SignalDelivery::with_pipe(read, write, WithOrigin::default(), [SIGTERM, SIGINT, SIGHUP])?;
        Ok(Self { delivery })
    }

    /// The signals that came since the last call. Does not block.
    pub(super) fn received(&mut self) -> Vec<Received> {
        let origins = self.delivery.pending();
        origins
            .map(|origin| Received {
                order: if origin.signal == SIGHUP { Order::Reload } else { Order::Stop },
                name: Signal::try_from(origin.signal).map_or("an unknown signal", Signal::as_str),
                sender: origin.process.map(|process| (Pid(process.pid), Uid(process.uid))),
            })
            .collect()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}
