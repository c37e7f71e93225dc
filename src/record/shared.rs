//! What the threads of the log share: the writer that they use in turn, and the way from there to the other sinks.
//!
//! May not wait for anything but one write, and for another thread's only so long: while a disk hangs, what is not
//! written is counted. Made by [`super::log`]; used by it, the keeper and the feeder.

use super::alerts::Alerts;
use super::bell::Bell;
use super::feeder::{Count, Queue};
use super::file::Appender;
use super::format::{self, Entry, Frame, Host, Notice, Redact};
use super::journal;
use super::turn::Turn;
use super::writer::{Current, NotRecorded, Numbering, Outcome, SinkState, Writer};
use nix::errno::Errno;
use std::fs::File;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// What the threads of the log share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) writer: Turn<Writer>,
    /// What the writer has written and lost, for when it hangs.
    pub(super) done: [AtomicU64; 2],
    /// Records and notices since the writer hangs, which are lost: it gives them their numbers when it is back.
    pub(super) owed: Mutex<u64>,
    /// What the file could not be opened with, while the writer is yet to come; else 0.
    pub(super) unopened: AtomicI32,
    pub(super) numbering: Option<Arc<dyn Numbering>>,
    /// What processes before this one owed, and a writer that is yet to come tells of.
    pub(super) inherited: u64,
    pub(super) redact: RwLock<Redact>,
    pub(super) host: Host,
    /// Towards the other sinks; `None` where there are none.
    pub(super) queue: Option<Queue>,
    pub(super) journal: bool,
    pub(super) outlets: Vec<Arc<Count>>,
    pub(super) alerts: Mutex<Option<SinkState>>,
    pub(super) bell: Bell,
}

impl Shared {
    pub(super) fn attempt(&self, entry: &Entry<'_>) -> Result<u64, NotRecorded> {
        let copy = |sequence| {
            let Some(queue) = &self.queue else { return };
            queue.push(|parcel| {
                parcel.level = entry.case().level();
                format::summary(&mut parcel.summary, entry);
                if self.journal {
                    journal::attempt(&mut parcel.fields, sequence, entry);
                }
            });
        };
        let recorded = self.with_writer(PATIENCE, |writer| {
            let redact = self.redact.read().unwrap_or_else(PoisonError::into_inner);
            let outcome = writer.attempt(entry, &Frame { host: &self.host, redact: &redact });
            drop(redact);
            self.after(writer, &outcome);
            copy(outcome.sequence);
            outcome.result
        });
        recorded.unwrap_or_else(|| {
            copy(0);
            Err(self.owe())
        })
    }

    /// Writes a notice. A loss is counted and told later.
    pub(super) fn notice(&self, notice: &Notice<'_>) {
        if self.with_writer(PATIENCE, |writer| self.notice_in(writer, notice)).is_none() {
            self.copy(notice, 0);
            let _counted = self.owe();
        }
    }

    fn notice_in(&self, writer: &mut Writer, notice: &Notice<'_>) {
        let outcome = writer.notice(notice, &self.host);
        self.after(writer, &outcome);
        self.copy(notice, outcome.sequence);
    }

    /// Uses the writer. `None`: another thread is stuck with it.
    pub(super) fn with_writer<R>(
        &self,
        patience: Duration,
        work: impl FnOnce(&mut Writer) -> R,
    ) -> Option<R> {
        self.writer.with(patience, |writer| {
            let owed = std::mem::take(&mut *self.owed());
            writer.lose(owed);
            let result = work(writer);
            for (done, count) in self.done.iter().zip(writer.done()) {
                done.store(count, Ordering::Relaxed);
            }
            result
        })
    }

    /// The writer that was to come is there. It does not know of what was lost until then.
    pub(super) fn arrive(&self, mut writer: Writer) {
        let mut owed = self.owed();
        let since = std::mem::take(&mut *owed);
        writer.lose(since);
        writer.note_in(self.numbering.clone(), self.inherited.saturating_add(since));
        self.unopened.store(0, Ordering::Relaxed);
        self.writer.put(Box::new(writer));
    }

    /// Why there is no writer to be had.
    fn obstacle(&self) -> Errno {
        match self.unopened.load(Ordering::Relaxed) {
            0 => HANGS,
            errno => Errno::from_raw(errno),
        }
    }

    /// Counts what could not be written because the writer hangs. It is noted for a successor: a writer that hangs for
    /// ever tells nobody.
    fn owe(&self) -> NotRecorded {
        let mut owed = self.owed();
        if *owed == 0 {
            self.copy(&Notice::SinkLost { sink: "file", count: 1, error: self.obstacle().desc() }, 0);
        }
        *owed = owed.saturating_add(1);
        if let Some(numbering) = &self.numbering {
            numbering.owe(1);
        }
        NotRecorded { sequence: 0, errno: self.obstacle() as i32 }
    }

    fn owed(&self) -> MutexGuard<'_, u64> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After each line: tells other sinks where the record of truth begins to lose, and rings for the keeper.
    fn after(&self, writer: &Writer, outcome: &Outcome) {
        if outcome.is_large {
            self.bell.rotate();
        }
        if let Some(errno) = outcome.begins_to_lose {
            let told = Notice::SinkLost { sink: writer.sink(), count: 1, error: errno.desc() };
            self.copy(&told, outcome.sequence);
        }
    }

    pub(super) fn copy(&self, notice: &Notice<'_>, sequence: u64) {
        let Some(queue) = &self.queue else { return };
        queue.push(|parcel| {
            parcel.level = notice.level();
            parcel.about =
                self.outlets.iter().map(|outlet| outlet.sink).find(|sink| notice.sink() == Some(sink));
            format::notice_summary(&mut parcel.summary, notice);
            if self.journal {
                journal::notice(&mut parcel.fields, sequence);
            }
        });
    }

    /// The open file; `None` where there is none, or where the writer hangs.
    pub(super) fn current(&self) -> Option<Current> {
        self.with_writer(PATIENCE, Writer::current).flatten()
    }

    /// Goes on in another file, with a notice as its first line behind what goes along (see [`Writer::go_on_in`]). Gives
    /// the old one, and where the notice begins.
    pub(super) fn go_on_in(
        &self,
        next: Appender,
        along_from: Option<u64>,
        told: &Notice<'_>,
    ) -> Option<(Arc<File>, u64)> {
        let go_on = |writer: &mut Writer| {
            let old = writer.go_on_in(next, along_from);
            self.notice_in(writer, told);
            old
        };
        self.with_writer(PATIENCE, go_on).flatten()
    }

    /// Says whether the path can be opened anew where it does not name the open file.
    pub(super) fn set_adrift(&self, adrift: Option<Errno>) {
        // While the writer hangs, that is what is told.
        let _set = self.with_writer(PATIENCE, |writer| writer.set_adrift(adrift));
    }

    /// Writes the rest of a line on standard error.
    pub(super) fn flush(&self) {
        let _flushed = self.with_writer(PATIENCE, Writer::flush);
    }

    /// Takes over what the copy of the alerts says of itself.
    pub(super) fn account_alerts(&self, alerts: &Alerts) {
        let state = SinkState {
            sink: "alerts".to_owned(),
            written: alerts.written,
            lost: alerts.lost,
            working: alerts.error.is_none(),
            error: alerts.error.map(|errno| errno.desc().to_owned()),
        };
        *self.alerts.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    pub(super) fn counters(&self) -> Vec<SinkState> {
        let state = self.with_writer(PATIENCE, |writer| writer.state());
        let mut states = vec![state.unwrap_or_else(|| self.hanging())];
        states.extend(self.alerts.lock().unwrap_or_else(PoisonError::into_inner).clone());
        states.extend(self.outlets.iter().map(|count| {
            let last = count.last.load(Ordering::Relaxed);
            SinkState {
                sink: count.sink.to_owned(),
                written: count.written.load(Ordering::Relaxed),
                lost: count.lost.load(Ordering::Relaxed),
                working: count.errno.load(Ordering::Relaxed) == 0,
                error: (last != 0).then(|| Errno::from_raw(last).desc().to_owned()),
            }
        }));
        states
    }

    pub(super) fn stop(&self) {
        self.bell.stop();
        if let Some(queue) = &self.queue {
            queue.stop();
        }
    }

    /// The state of a writer that does not come back.
    fn hanging(&self) -> SinkState {
        let [written, lost] = self.done.each_ref().map(|count| count.load(Ordering::Relaxed));
        SinkState {
            // Records on standard error never wait.
            sink: "file".to_owned(),
            written,
            lost: lost.saturating_add(*self.owed()),
            working: false,
            error: Some(self.obstacle().desc().to_owned()),
        }
    }
}

/// How long a thread waits for another one's write: a disk that is busy takes milliseconds, one that hangs takes for ever.
const PATIENCE: Duration = Duration::from_millis(500);
/// What is said of a disk that hangs.
const HANGS: Errno = Errno::ETIMEDOUT;
