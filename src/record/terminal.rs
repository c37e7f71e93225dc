//! Readable lines on standard error, in colour where that is a terminal.

use super::feeder::{Outlet, Parcel};
use super::format::Level;
use super::stderr::NonBlocking;
use nix::errno::Errno;
use std::time::Duration;

/// Standard error as people read it.
#[derive(Debug)]
pub(super) struct Terminal {
    out: NonBlocking,
    colour: bool,
    line: Vec<u8>,
}

impl Terminal {
    /// Writes to `out`.
    pub(super) fn new(out: NonBlocking, colour: bool) -> Self {
        Self { out, colour, line: Vec::new() }
    }
}

impl Outlet for Terminal {
    fn name(&self) -> &'static str {
        "stderr"
    }

    fn send(&mut self, parcel: &Parcel) -> Result<(), Errno> {
        self.line.clear();
        let on: &[u8] = match parcel.level {
            Level::Error | Level::Warning => b"\x1b[31m",
            Level::Notice => b"\x1b[33m",
            Level::Info => b"\x1b[2m",
        };
        let (on, off): (_, &[u8]) = if self.colour { (on, b"\x1b[0m") } else { (b"", b"") };
        for part in [on, &parcel.summary, off, b"\n"] {
            self.line.extend_from_slice(part);
        }
        match self.out.line(&self.line) {
            Err(Errno::EAGAIN) if self.out.wait(LONGEST_WAIT) => self.out.line(&self.line),
            sent => sent,
        }
    }
}

/// The longest wait for somebody who reads.
const LONGEST_WAIT: Duration = Duration::from_millis(50);
