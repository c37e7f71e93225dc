//! Takes care of the record file on a thread of its own: a new file when it is large, when somebody moved or removed
//! it, or when asked; syncing; the copy of the alerts; the rest of a line on standard error.
//!
//! The thread that records only ever swaps one open file for another: every step that may wait for a disk is here.

use super::alerts::Alerts;
use super::bell::Wishes;
use super::errno::errno;
use super::file::{Appender, Place};
use super::format::Notice;
use super::occupied::Occupied;
use super::opening::{Failed, Opened};
use super::settings::{FileSettings, Sync};
use super::shared::Shared;
use super::writer::Current;
use nix::errno::Errno;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// The thread's state.
#[derive(Debug)]
pub(super) struct Keeper {
    file: Option<Kept>,
    /// Tells the writer, where it is not there yet.
    opening: Option<Receiver<Result<Opened, Failed>>>,
}

#[derive(Debug)]
struct Kept {
    place: Place,
    settings: FileSettings,
    alerts: Option<Alerts>,
    /// `None` where the directory cannot be locked, or is not yet.
    occupied: Option<Occupied>,
    /// How many lines were written when the file was synced last.
    synced: u64,
    /// How large the file was when the path named it last.
    named_until: u64,
    /// How many lines were written at the last look, and at the one before.
    written: u64,
    seen: Option<u64>,
    /// These are told once, not each second.
    reopening_fails: bool,
    rotation_fails: bool,
    sync_fails: bool,
    alerts_fail: bool,
}

impl Keeper {
    /// A keeper of this file, or, without one, of standard error. `opening` tells of a writer that is yet to come;
    /// `occupied` keeps other guards from the directory.
    pub(super) fn new(
        settings: Option<&FileSettings>,
        opening: Option<Receiver<Result<Opened, Failed>>>,
        occupied: Option<Occupied>,
    ) -> Self {
        Self {
            opening,
            file: settings.map(|settings| Kept {
                place: Place::new(&settings.path, settings.keep),
                settings: settings.clone(),
                alerts: None,
                occupied,
                synced: 0,
                named_until: 0,
                written: 0,
                seen: None,
                reopening_fails: false,
                rotation_fails: false,
                sync_fails: false,
                alerts_fail: false,
            }),
        }
    }

    /// Runs until it is stopped.
    pub(super) fn run(mut self, shared: &Shared) {
        let mut longest = TICK;
        loop {
            let wishes = shared.bell.wait(longest);
            if let Some(Ok(Ok(opened))) = self.opening.as_ref().map(Receiver::try_recv) {
                shared.arrive(opened.writer);
                self.opening = None;
                if let Some(kept) = &mut self.file {
                    kept.occupied = opened.occupied;
                }
            }
            match &mut self.file {
                Some(kept) => kept.tick(shared, wishes),
                None => shared.flush(),
            }
            longest = if self.opening.is_some() { TICK } else { self.until_next() };
            if wishes.stop {
                return;
            }
        }
    }
}

impl Keeper {
    /// A log in which nothing happens is looked at less often: an idle host is not to be woken for it.
    fn until_next(&mut self) -> Duration {
        let Some(kept) = &mut self.file else { return TICK };
        let idle = kept.seen.replace(kept.written) == Some(kept.written);
        match (&kept.alerts, idle) {
            (Some(alerts), _) if alerts.is_behind() => Duration::ZERO,
            (_, true) => IDLE_TICK,
            (_, false) => TICK,
        }
    }
}

impl Kept {
    fn tick(&mut self, shared: &Shared, wishes: Wishes) {
        let Some(Current { file, size, cut, written, failing }) = shared.current() else { return };
        self.written = written;
        if self.occupied.is_none() {
            self.occupy();
        }
        if self.alerts.is_none()
            && let Some(settings) = &self.settings.alerts
        {
            self.alerts = Some(Alerts::new(&self.place, file.clone(), settings));
        }
        // A write error that is not about space may be one of this open file alone (a stale handle).
        let stale = failing.is_some_and(|errno| !matches!(errno, Errno::ENOSPC | Errno::EDQUOT));
        let is_named = self.place.names(&file);
        if cut {
            // As logrotate's `copytruncate` does, after a copy that lacks what was written meanwhile.
            let text = "somebody has cut the log file: records may be missing";
            shared.notice(&Notice::Other { action: "log-cut", text, failed: true });
        }
        if wishes.reopen || stale || !is_named {
            self.reopen(shared);
        } else {
            self.named_until = size;
            if size >= self.settings.max_size {
                self.rotate(shared);
            }
        }
        if self.settings.sync == Sync::Interval && written != self.synced {
            self.sync(shared, &file);
            self.synced = written;
        }
        if let Some(alerts) = &mut self.alerts {
            alerts.copy();
            shared.account_alerts(alerts);
            let failed = alerts.error.map(|errno| errno.desc());
            tell_once(shared, &mut self.alerts_fail, "alerts-not-copied", failed);
        }
    }

    fn rotate(&mut self, shared: &Shared) {
        let result = self.place.rotate();
        tell_once(
            shared,
            &mut self.rotation_fails,
            "log-not-rotated",
            result.as_ref().err().map(|errno| errno.desc()),
        );
        if let Ok(file) = result {
            let before = self.place.generation(1);
            self.go_on(shared, file, &Notice::Rotated { file: before.as_os_str().as_bytes() }, None);
        }
    }

    fn reopen(&mut self, shared: &Shared) {
        let told = Notice::Other {
            action: "log-reopened",
            text: "the log file was opened anew: it had been moved, removed or could not be written",
            failed: false,
        };
        let result = self.place.open();
        let failed = result.as_ref().err().copied();
        shared.set_adrift(failed);
        tell_once(shared, &mut self.reopening_fails, "log-not-reopened", failed.map(|errno| errno.desc()));
        // While it cannot be opened, the old file goes on taking records, wherever its name is now.
        if let Ok(file) = result {
            self.occupy();
            // Where it was removed, what was removed is gone; what came after goes along.
            self.go_on(shared, file, &told, Some(self.named_until));
        }
    }

    /// Locks the directory, which may be a new one. A lock that cannot be had is ours already, or a predecessor's that is
    /// not wholly gone; or there can be none. A guard that stands does not stop for it.
    fn occupy(&mut self) {
        if let Ok(Some(occupied)) = Occupied::take(&self.settings.path) {
            self.occupied = Some(occupied);
        }
    }

    /// Writes go to `file` from now on. What was written to one that is removed, from this place on, goes along.
    fn go_on(&mut self, shared: &Shared, file: File, told: &Notice<'_>, along_from: Option<u64>) {
        let next = Appender::new(file);
        let source = next.file();
        let Some((old, along)) = shared.go_on_in(next, along_from, told) else { return };
        self.named_until = 0;
        if self.settings.sync != Sync::None {
            self.sync(shared, &old);
        }
        if let Some(alerts) = &mut self.alerts {
            alerts.follow(source, along);
        }
    }

    fn sync(&mut self, shared: &Shared, file: &File) {
        let failed = file.sync_data().err().map(|error| errno(&error).desc());
        tell_once(shared, &mut self.sync_fails, "log-not-synced", failed);
    }
}

/// A failure that lasts is told when it begins and when it ends.
fn tell_once(shared: &Shared, failing: &mut bool, action: &'static str, failed: Option<&'static str>) {
    if failed.is_some() != *failing {
        *failing = failed.is_some();
        shared.notice(&Notice::Other { action, text: failed.unwrap_or("it works again"), failed: *failing });
    }
}

/// How often the file is looked at.
const TICK: Duration = Duration::from_secs(1);
const IDLE_TICK: Duration = Duration::from_secs(3);
