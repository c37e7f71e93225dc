//! Opens the log's file: locks its directory, reads and repairs its end.
//!
//! Owns the thread on which that is done, because it can take as long as the disk likes, and what is tried again. Called by
//! the log when it is opened; whoever comes too late for that is told by the channel.

use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;

use super::Host;
use super::file::make_directory;
use super::format::Notice;
use super::occupied::{Held, Occupied};
use super::settings::FileSettings;
use super::writer::{Noted, Writer};

/// A log that is open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) writer: Writer,
    /// `None` where the directory cannot be locked; and for a successor whose predecessor is not wholly gone.
    pub(super) occupied: Option<Occupied>,
}

/// Why it is not.
#[derive(Debug)]
pub(super) enum Failed {
    /// Another guard writes there.
    Held,
    /// A system call failed.
    Errno(Errno),
}

/// Opens the file on a thread of its own: that can take as long as the disk likes. What fails is tried again, for as long
/// as anybody listens.
pub(super) fn aside(
    settings: &FileSettings,
    host: &Host,
    noted: Noted,
    says: Option<String>,
) -> io::Result<Receiver<Result<Opened, Failed>>> {
    let (tell, opening) = channel();
    let (settings, host) = (settings.clone(), host.clone());
    let open = move || {
        loop {
            let mut opened = open_file(&settings, &host, noted, says.is_some());
            if let (Ok(opened), Some(says)) = (&mut opened, &says) {
                // What cannot be written is missing like any other record.
                let _told = opened.writer.notice(&takes_over(says), &host);
            }
            let is_last = opened.is_ok();
            if tell.send(opened).is_err() || is_last {
                return;
            }
            thread::sleep(Duration::from_secs(1));
        }
    };
    let thread = thread::Builder::new().name("log-opener".to_owned()).spawn(open);
    thread.map(|_| opening)
}

fn open_file(settings: &FileSettings, host: &Host, noted: Noted, takes_over: bool) -> Result<Opened, Failed> {
    make_directory(&settings.path).map_err(Failed::Errno)?;
    let occupied = if takes_over {
        // A predecessor that was killed lingers for as long as a disk holds up one of its threads. It writes no more,
        // and the keeper tries again.
        Occupied::take(&settings.path).unwrap_or_default()
    } else {
        Occupied::take_soon(&settings.path).map_err(|Held| Failed::Held)?
    };
    let writer = Writer::to_file(settings, host, noted).map_err(Failed::Errno)?;
    Ok(Opened { writer, occupied })
}

pub(super) fn takes_over(says: &str) -> Notice<'_> {
    Notice::Other { action: "guard-taken-over", text: says, failed: false }
}
