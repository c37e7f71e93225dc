//! The table of events that were read and not yet answered.
//!
//! It lives in memory that outlives the process, so that a successor knows what its predecessor left waiting; and it
//! decides who answers when two threads could: the one that claims the slot. A slot's number is the number of the
//! event's descriptor, because that is how the kernel matches an answer (fanotify_user.c, process_access_response).
//!
//! The table begins with words about the group itself: what the kernel gave it, how many events were read from it, and
//! what a successor must know of the guard. After them come the slots. A slot is four words: state, thread, device, inode. The state is 0 (free) or
//! `time read (nanoseconds since boot) << 2 | deny << 1 | claimed`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Features;
use crate::event::{Device, Mode, Pid, Response, Settled, Uid};
use crate::sys::shared::Words;

/// What a slot says of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The number of the event's descriptor in the process that read it.
    pub number: RawFd,
    /// When it was read, nanoseconds since boot.
    pub since: u64,
    /// The calling thread, where the kernel gave it a number.
    pub thread: Option<Pid>,
    /// The file, where it had been looked at.
    pub file: Option<(Device, u64)>,
    /// What is answered if nobody decides in time.
    pub fallback: Response,
}

impl Waiting {
    /// What is known of it, for the record of one that was settled without a decision.
    #[must_use]
    pub fn told(&self, settled: Settled) -> String {
        let thread =
            self.thread.map_or_else(|| "an unknown thread".to_owned(), |thread| format!("thread {thread}"));
        let file = self.file.map_or_else(
            || "a file not yet looked at".to_owned(),
            |(device, inode)| format!("device {device} inode {inode}"),
        );
        format!("{thread}, {file}, answered {:?}: {settled:?}", self.fallback)
    }
}

/// The table.
#[derive(Debug)]
pub struct InFlight {
    words: Words,
}

/// Descriptors are handed out lowest number first, and the guard holds few: a number past the table is possible only
/// for a process with this many open files, and is then answered without a slot.
const SLOTS: usize = 4096;
const WORDS: usize = 4;
/// The group's own words: features, events read, sender of the last signal, whether a guard has stood and in which mode
/// and how many have begun since, the mode that somebody set, its end, the number of the next record, the first record that
/// is missing and not told, how many records are missing that have no number.
const ABOUT: usize = 9;
/// The words of the table.
const LENGTH: usize = ABOUT + SLOTS * WORDS;
const CLAIMED: u64 = 1;
const DENY: u64 = 2;
const STOOD: u64 = 1;
const STOOD_PREVENTING: u64 = 2;
/// One guard that has begun and not stood.
const BEGUN: u64 = 1 << 8;
const MODE_SET: u64 = 1;
const MODE_PREVENT: u64 = 2;
const MODE_ENDS: u64 = 4;

impl InFlight {
    /// A new, empty table.
    ///
    /// # Errors
    /// No memory or no descriptor for it.
    pub fn new() -> io::Result<Self> {
        Ok(Self { words: Words::new(LENGTH)? })
    }

    /// The table that a predecessor left.
    ///
    /// # Errors
    /// The descriptor is not such a table.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let words = Words::adopt(fd)?;
        if words.words().len() == LENGTH {
            Ok(Self { words })
        } else {
            Err(io::Error::from_raw_os_error(libc::EINVAL))
        }
    }

    /// Notes what the kernel gave the group, for a successor.
    pub(super) fn set_features(&self, features: Features) {
        let Some([word, ..]) = self.about() else { return };
        word.store(u64::from(features.fd_error) | u64::from(features.audit) << 1, Ordering::Release);
    }

    /// What the kernel gave the group.
    pub(super) fn features(&self) -> Features {
        let word = self.about().map_or(0, |[word, ..]| word.load(Ordering::Acquire));
        Features { fd_error: word & 1 != 0, audit: word & 2 != 0 }
    }

    /// How many events were ever read from the group: unchanged while events wait means that nobody reads.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.about().map_or(0, |[_, read, ..]| read.load(Ordering::Relaxed))
    }

    /// Counts an event that was read.
    pub(super) fn count_read(&self) {
        if let Some([_, read, ..]) = self.about() {
            read.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes, for the process that reads, who sent the signal that it gets next from us.
    pub fn note_sender(&self, sender: Pid, user: Uid) {
        if let Some([_, _, from, ..]) = self.about() {
            from.store(u64::from(sender.0.cast_unsigned()) << 32 | u64::from(user.0), Ordering::Release);
        }
    }

    /// Who sent the last signal that was handed on.
    #[must_use]
    pub fn sender(&self) -> Option<(Pid, Uid)> {
        let word = self.about().map_or(0, |[_, _, from, ..]| from.load(Ordering::Acquire));
        let half = |word: u64| u32::try_from(word & 0xffff_ffff).unwrap_or(0);
        (word != 0).then(|| (Pid(half(word >> 32).cast_signed()), Uid(half(word))))
    }

    /// Notes that a guard stands on this group, its marks are in place, and which mode is in force.
    pub fn set_stood(&self, mode: Mode) {
        if let Some([_, _, _, stood, ..]) = self.about() {
            stood.store(
                if mode == Mode::Prevent { STOOD | STOOD_PREVENTING } else { STOOD },
                Ordering::Release,
            );
        }
    }

    /// Counts a guard that begins. How many have begun since one stood, this one included.
    pub fn begin(&self) -> u64 {
        let Some([_, _, _, stood, ..]) = self.about() else { return 1 };
        (stood.fetch_add(BEGUN, Ordering::AcqRel) >> BEGUN.trailing_zeros()).saturating_add(1)
    }

    /// A guard has stood on this group.
    #[must_use]
    pub fn has_stood(&self) -> bool {
        self.stood_in().is_some()
    }

    /// The mode that was in force last; `None` where no guard has stood.
    #[must_use]
    pub fn stood_in(&self) -> Option<Mode> {
        let word = self.about().map_or(0, |[_, _, _, stood, ..]| stood.load(Ordering::Acquire));
        let mode = if word & STOOD_PREVENTING == 0 { Mode::Audit } else { Mode::Prevent };
        (word & STOOD != 0).then_some(mode)
    }

    /// Notes a mode that somebody set, so that it survives us: until this time (nanoseconds since the epoch), or for good.
    pub fn set_mode(&self, mode: Option<(Mode, Option<u64>)>) {
        let Some([_, _, _, _, word, end, ..]) = self.about() else { return };
        let (flags, until) = match mode {
            None => (0, 0),
            Some((mode, until)) => {
                let prevent = if mode == Mode::Prevent { MODE_PREVENT } else { 0 };
                (MODE_SET | prevent | if until.is_some() { MODE_ENDS } else { 0 }, until.unwrap_or(0))
            }
        };
        end.store(until, Ordering::Relaxed);
        word.store(flags, Ordering::Release);
    }

    /// The mode that somebody set, and when it ends.
    #[must_use]
    pub fn mode(&self) -> Option<(Mode, Option<u64>)> {
        let [_, _, _, _, word, end, ..] = self.about()?;
        let flags = word.load(Ordering::Acquire);
        let mode = if flags & MODE_PREVENT == 0 { Mode::Audit } else { Mode::Prevent };
        let until = (flags & MODE_ENDS != 0).then(|| end.load(Ordering::Relaxed));
        (flags & MODE_SET != 0).then_some((mode, until))
    }

    /// Notes how far the records are numbered: the next number, and the first of those before it that could not be
    /// written while nothing says so (0: none).
    pub fn note_numbers(&self, next: u64, missing: u64) {
        let Some([_, _, _, _, _, _, number, first, ..]) = self.about() else { return };
        first.store(missing, Ordering::Relaxed);
        number.store(next, Ordering::Release);
    }

    /// What was noted last; zeros where nothing was.
    #[must_use]
    pub fn numbers(&self) -> (u64, u64) {
        let Some([_, _, _, _, _, _, number, first, ..]) = self.about() else { return (0, 0) };
        (number.load(Ordering::Acquire), first.load(Ordering::Relaxed))
    }

    /// Notes so many records that are missing, or are if nobody comes to write them: the first log that can be written
    /// says so. Noted before an answer that nobody may live to record.
    pub fn owe(&self, records: u64) {
        if let Some([.., owed]) = self.about() {
            owed.fetch_add(records, Ordering::AcqRel);
        }
    }

    /// So many of those are recorded, or have numbers by now.
    pub fn pay(&self, records: u64) {
        let Some([.., owed]) = self.about() else { return };
        let less = |owed: u64| Some(owed.saturating_sub(records));
        let _always = owed.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    /// How many are owed.
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.about().map_or(0, |[.., owed]| owed.load(Ordering::Acquire))
    }

    /// How long the oldest event that is not answered has waited at `now` (nanoseconds since boot).
    #[must_use]
    pub fn oldest(&self, now: u64) -> Option<Duration> {
        let oldest = self.left_over().map(|waiting| waiting.since).min()?;
        Some(Duration::from_nanos(now.saturating_sub(oldest)))
    }

    /// Notes an event that was just read.
    pub(super) fn open(&self, number: RawFd, since: u64, thread: i32, fallback: Response) {
        let Some([state, owner, device, inode]) = self.slot(number) else { return };
        owner.store(u64::from(thread.cast_unsigned()), Ordering::Relaxed);
        device.store(0, Ordering::Relaxed);
        inode.store(0, Ordering::Relaxed);
        state.store(since << 2 | deny_bit(fallback), Ordering::Release);
    }

    /// Notes the file of an event.
    pub(super) fn note(&self, number: RawFd, file: Device, number_of_inode: u64) {
        let Some([_, _, device, inode]) = self.slot(number) else { return };
        inode.store(number_of_inode, Ordering::Relaxed);
        // The top bit tells a device 0:0 from "nobody looked".
        device.store(1 << 63 | u64::from(file.major) << 32 | u64::from(file.minor), Ordering::Release);
    }

    /// Changes what is answered if nobody decides in time.
    pub(super) fn set_fallback(&self, number: RawFd, fallback: Response) {
        let Some([state, ..]) = self.slot(number) else { return };
        let change = |old: u64| (old != 0 && old & CLAIMED == 0).then_some(old & !DENY | deny_bit(fallback));
        // An event that is claimed meanwhile is somebody else's to answer: nothing to change.
        let _changed = state.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    }

    /// Claims the duty to answer. False: another thread has it, or had it. A number past the table is always claimed:
    /// nobody else can know of it.
    pub(super) fn claim(&self, number: RawFd) -> bool {
        let Some([state, ..]) = self.slot(number) else { return true };
        let claim = |old: u64| (old != 0 && old & CLAIMED == 0).then_some(old | CLAIMED);
        state.fetch_update(Ordering::AcqRel, Ordering::Acquire, claim).is_ok()
    }

    /// Frees the slot after the answer, before the descriptor is closed.
    pub(super) fn close(&self, number: RawFd) {
        let Some([state, ..]) = self.slot(number) else { return };
        state.store(0, Ordering::Release);
    }

    /// Waits until whoever claimed the slot has answered: a descriptor closed earlier could come back as the number of
    /// another event, and take that one's answer. The wait is one write(2) long.
    pub(super) fn wait_until_answered(&self, number: RawFd) {
        let Some([state, ..]) = self.slot(number) else { return };
        while state.load(Ordering::Acquire) != 0 {
            std::thread::yield_now();
        }
    }

    /// Claims and returns the first event that was read more than `age` before `now`.
    pub(super) fn claim_older(&self, now: u64, age: Duration) -> Option<Waiting> {
        let age = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        (0..SLOTS).find_map(|index| {
            let number = RawFd::try_from(index).ok()?;
            let [state, ..] = self.slot(number)?;
            let old = state.load(Ordering::Acquire);
            if old == 0 || old & CLAIMED != 0 || now.saturating_sub(old >> 2) < age {
                return None;
            }
            let waiting = self.waiting(number)?;
            state.compare_exchange(old, old | CLAIMED, Ordering::AcqRel, Ordering::Acquire).ok()?;
            Some(waiting)
        })
    }

    /// How many events are read and not answered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.left_over().count()
    }

    /// Every event that is read and not answered, claimed or not: what a predecessor left.
    pub fn left_over(&self) -> impl Iterator<Item = Waiting> + '_ {
        (0..SLOTS).filter_map(|index| self.waiting(RawFd::try_from(index).ok()?))
    }

    fn waiting(&self, number: RawFd) -> Option<Waiting> {
        let [state, owner, device, inode] = self.slot(number)?;
        let state = state.load(Ordering::Acquire);
        if state == 0 {
            return None;
        }
        let owner = u32::try_from(owner.load(Ordering::Relaxed)).unwrap_or(0).cast_signed();
        let device = device.load(Ordering::Acquire);
        let low = |word: u64| u32::try_from(word & 0xffff_ffff).unwrap_or(0);
        let file = (device >> 63 == 1).then(|| {
            let device = Device { major: low(device >> 32 & 0x7fff_ffff), minor: low(device) };
            (device, inode.load(Ordering::Relaxed))
        });
        let fallback = if state & DENY == 0 { Response::Allow } else { Response::Deny };
        let thread = (owner > 0).then_some(Pid(owner));
        Some(Waiting { number, since: state >> 2, thread, file, fallback })
    }

    fn slot(&self, number: RawFd) -> Option<&[AtomicU64; WORDS]> {
        let start = usize::try_from(number).ok()?.checked_mul(WORDS)?.checked_add(ABOUT)?;
        self.words.words().get(start..)?.first_chunk()
    }

    /// The group's own words.
    fn about(&self) -> Option<&[AtomicU64; ABOUT]> {
        self.words.words().first_chunk()
    }
}

impl AsFd for InFlight {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.words.as_fd()
    }
}

fn deny_bit(response: Response) -> u64 {
    match response {
        Response::Allow => 0,
        Response::Deny => DENY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> InFlight {
        InFlight::new().unwrap()
    }

    #[test]
    fn only_one_claim_wins_and_a_freed_slot_is_nobodys() {
        let table = table();
        assert!(!table.claim(9));
        table.open(9, 100, 4242, Response::Deny);
        assert!(table.claim(9));
        assert!(!table.claim(9));
        table.close(9);
        assert!(!table.claim(9));
        assert_eq!(table.count(), 0);
    }

    #[test]
    fn a_successor_reads_thread_file_and_fallback() {
        let table = table();
        table.open(5, 100, 4242, Response::Deny);
        table.note(5, Device { major: 0, minor: 27 }, 12);
        table.open(6, 101, 0, Response::Allow);
        let copy = InFlight::adopt(table.as_fd().try_clone_to_owned().unwrap()).unwrap();
        let left: Vec<_> = copy.left_over().collect();
        let file = Some((Device { major: 0, minor: 27 }, 12));
        assert_eq!(
            left,
            [
                Waiting { number: 5, since: 100, thread: Some(Pid(4242)), file, fallback: Response::Deny },
                Waiting { number: 6, since: 101, thread: None, file: None, fallback: Response::Allow },
            ]
        );
    }

    #[test]
    fn only_events_past_the_deadline_are_claimed_by_age() {
        let table = table();
        table.open(5, 1_000_000_000, 1, Response::Allow);
        table.open(6, 2_900_000_000, 2, Response::Allow);
        let second = Duration::from_secs(1);
        assert_eq!(table.claim_older(3_000_000_000, second).map(|waiting| waiting.number), Some(5));
        assert_eq!(table.claim_older(3_000_000_000, second), None);
        assert!(!table.claim(5));
        assert!(table.claim(6));
    }

    #[test]
    fn the_fallback_follows_the_decision_until_somebody_answers() {
        let table = table();
        table.open(5, 100, 1, Response::Deny);
        table.set_fallback(5, Response::Allow);
        assert_eq!(table.left_over().next().unwrap().fallback, Response::Allow);
        assert!(table.claim(5));
        table.set_fallback(5, Response::Deny);
        assert_eq!(table.left_over().next().unwrap().fallback, Response::Allow);
    }

    #[test]
    fn a_mode_that_somebody_set_survives_in_the_table() {
        let table = table();
        assert_eq!(table.mode(), None);
        for set in [Some((Mode::Prevent, Some(7))), Some((Mode::Audit, None)), None] {
            table.set_mode(set);
            let copy = InFlight::adopt(table.as_fd().try_clone_to_owned().unwrap()).unwrap();
            assert_eq!(copy.mode(), set);
        }
        assert_eq!(table.count(), 0);
    }

    #[test]
    fn a_number_past_the_table_is_answered_without_a_slot() {
        let table = table();
        table.open(1_000_000, 100, 1, Response::Deny);
        assert!(table.claim(1_000_000));
        assert_eq!(table.left_over().count(), 0);
    }
}
