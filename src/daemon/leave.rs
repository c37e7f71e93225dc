//! The orderly end of a guard.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use super::control::ControlThread;
use super::error::StartError;
use super::keeper::keep;
use super::signals::Received;
use super::steward::Steward;
use super::threads::Threads;
use super::warden::tell_late;
use crate::record::Notice;

/// The orderly end: nothing new waits, what waits is answered, who asked is recorded.
pub(super) fn leave(
    steward: &Steward,
    ended: io::Result<Received>,
    threads: Threads,
    control: ControlThread,
) -> Result<(), StartError> {
    steward.service.stopping();
    // A group that somebody keeps for the next guard keeps its marks, and what comes meanwhile waits for that one.
    let cleared = if steward.handed_on { Ok(()) } else { keep(&steward.keeper).clear_marks() };
    // Nobody keeps the group for opens: what waits there is answered, and then nobody asks any more.
    let opens_in_order = keep(&steward.keeper).end_opens();
    let unseen_in_order = keep(&steward.keeper).end_unseen();
    let in_order = threads.end() && opens_in_order && unseen_in_order;
    drop(control);
    let log = &steward.shared.sink;
    if !in_order {
        // A thread that a disk holds up keeps the group open, and with it what it had in its hands.
        let left: Vec<_> = std::iter::from_fn(|| steward.group.settle_older(Duration::ZERO)).collect();
        for (waiting, settled) in left {
            tell_late(&steward.group, &steward.shared, &waiting, settled);
        }
    }
    if !in_order || cleared.is_err() {
        let text = "an answering thread did not end in time; closing the group lets what waits run";
        log.notice(&Notice::Other { action: "stop-forced", text, failed: true });
    }
    let result = match ended {
        Ok(received) => {
            let sender = steward.true_sender(&received);
            let exe = sender.and_then(|(pid, _)| std::fs::read_link(format!("/proc/{pid}/exe")).ok());
            log.notice(&Notice::Stopping {
                signal: received.name,
                sender_pid: sender.map(|(pid, _)| pid),
                sender_uid: sender.map(|(_, uid)| uid),
                sender_exe: exe.as_deref().map(|exe| exe.as_os_str().as_bytes()),
            });
            Ok(())
        }
        Err(error) => Err(StartError::System { what: "wait for signals", error }),
    };
    // Copies that other sinks have not taken by then are in the record all the same.
    let _fed = log.close(Duration::from_millis(200));
    let socket = keep(&steward.keeper).at_start().control.socket.clone();
    remove_socket(&socket);
    result
}

/// Removes our socket, should the control thread not have come to it.
fn remove_socket(path: &Path) {
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        // The next guard replaces a socket that nobody answers.
        let _removed = std::fs::remove_file(path);
    }
}
