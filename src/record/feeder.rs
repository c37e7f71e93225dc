//! Feeds the sinks that are not the record of truth, on a thread of its own and after the record is written.
//!
//! Owns the bounded queue in between and the counts of what each sink lost. May not hold up whoever records: where
//! the queue is full, the copy is lost, counted and told.

use super::format::{Level, Notice};
use nix::errno::Errno;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One record on its way to the other sinks.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    pub(super) level: Level,
    /// The readable line.
    pub(super) summary: Vec<u8>,
    /// The journal's fields; empty where there is no journal.
    pub(super) fields: Vec<u8>,
    /// A notice about this sink: telling the sink itself would make losses out of losses.
    pub(super) about: Option<&'static str>,
}

/// A sink behind the queue.
pub(super) trait Outlet: Send {
    /// Its name in counters and notices.
    fn name(&self) -> &'static str;

    /// Sends one parcel. Waits a bounded time; EAGAIN where that was not enough.
    fn send(&mut self, parcel: &Parcel) -> Result<(), Errno>;
}

/// What one outlet has done so far, for `status`.
#[derive(Debug)]
pub(super) struct Count {
    pub(super) sink: &'static str,
    pub(super) written: AtomicU64,
    pub(super) lost: AtomicU64,
    /// 0 while it works.
    pub(super) errno: AtomicI32,
    /// What it failed with last; 0 where it never did.
    pub(super) last: AtomicI32,
}

/// The queue: a ring of parcels whose buffers are used again and again.
#[derive(Debug)]
pub(super) struct Queue {
    ring: Mutex<Ring>,
    wake: Condvar,
}

#[derive(Debug)]
struct Ring {
    parcels: Box<[Parcel]>,
    first: usize,
    length: usize,
    /// Parcels that found no room.
    refused: u64,
    /// The feeder waits until somebody wakes it. While it only naps, nobody pays for a wake-up.
    asleep: bool,
    stop: bool,
}

/// What the feeder takes from the queue at once.
enum Taken {
    Parcel,
    Nothing,
    Stop,
}

impl Queue {
    /// A queue of `length` parcels.
    pub(super) fn new(length: usize) -> Self {
        let ring = Ring {
            parcels: (0..length).map(|_| Parcel::default()).collect(),
            first: 0,
            length: 0,
            refused: 0,
            asleep: false,
            stop: false,
        };
        Self { ring: Mutex::new(ring), wake: Condvar::new() }
    }

    /// Puts in a parcel that `fill` makes in place; its buffers are empty and have room. Never waits for the feeder.
    pub(super) fn push(&self, fill: impl FnOnce(&mut Parcel)) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let size = ring.parcels.len();
        if ring.length >= size {
            ring.refused = ring.refused.saturating_add(1);
            return;
        }
        let place = (ring.first + ring.length) % size;
        let Some(parcel) = ring.parcels.get_mut(place) else { return };
        parcel.clear();
        fill(parcel);
        ring.length += 1;
        if ring.asleep || ring.length > size / 2 {
            self.wake.notify_one();
        }
    }

    /// Lets the feeder end once the queue is empty.
    pub(super) fn stop(&self) {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.wake.notify_one();
    }

    /// Swaps the first parcel into `parcel`; waits for one, a nap's length or, with `None`, until there is one.
    fn pop(&self, parcel: &mut Parcel, nap: Option<Duration>) -> Taken {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.length == 0 && !ring.stop {
            match nap {
                Some(nap) => {
                    ring = self.wake.wait_timeout(ring, nap).unwrap_or_else(PoisonError::into_inner).0;
                }
                None => {
                    ring.asleep = true;
                    ring = self.wake.wait(ring).unwrap_or_else(PoisonError::into_inner);
                    ring.asleep = false;
                }
            }
        }
        if ring.length == 0 {
            return if ring.stop { Taken::Stop } else { Taken::Nothing };
        }
        let first = ring.first;
        if let Some(taken) = ring.parcels.get_mut(first) {
            std::mem::swap(taken, parcel);
        }
        ring.first = (first + 1) % ring.parcels.len();
        ring.length -= 1;
        Taken::Parcel
    }

    fn refused(&self) -> u64 {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).refused
    }
}

impl Parcel {
    fn clear(&mut self) {
        for buffer in [&mut self.summary, &mut self.fields] {
            buffer.clear();
            buffer.shrink_to(KEPT);
        }
        self.about = None;
    }
}

impl Count {
    fn new(sink: &'static str) -> Self {
        Self {
            sink,
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            errno: AtomicI32::new(0),
            last: AtomicI32::new(0),
        }
    }
}

/// One outlet and what is known of its health.
struct Fed {
    outlet: Box<dyn Outlet>,
    count: Arc<Count>,
    /// After a wait that was in vain, the next ones would hold up the other sinks.
    paused: Option<Instant>,
    /// It was told that the outlet loses, and not yet that it works again.
    losing: bool,
    /// When that was told last.
    told: Option<Instant>,
    /// How many losses have been told as over.
    settled: u64,
}

/// The thread's state.
pub(super) struct Feeder {
    fed: Vec<Fed>,
    refused: u64,
}

impl Feeder {
    /// Feeds these outlets.
    pub(super) fn new(outlets: Vec<Box<dyn Outlet>>) -> Self {
        let fed = outlets.into_iter().map(|outlet| Fed {
            count: Arc::new(Count::new(outlet.name())),
            outlet,
            paused: None,
            losing: false,
            told: None,
            settled: 0,
        });
        Self { fed: fed.collect(), refused: 0 }
    }

    /// The counts, to be looked at while the feeder runs.
    pub(super) fn counts(&self) -> Vec<Arc<Count>> {
        self.fed.iter().map(|fed| Arc::clone(&fed.count)).collect()
    }

    /// Runs until the queue is stopped and empty. `tell` writes a notice into the log.
    pub(super) fn run(mut self, queue: &Queue, tell: &dyn Fn(&Notice<'_>)) {
        let mut parcel = Parcel::default();
        let mut naps = 0;
        loop {
            let nap = (naps < NAPS || self.fed.iter().any(Fed::has_to_tell)).then_some(NAP);
            match queue.pop(&mut parcel, nap) {
                Taken::Parcel => {
                    naps = 0;
                    self.deliver(&parcel, tell);
                }
                Taken::Nothing => naps = if nap.is_some() { naps + 1 } else { 0 },
                Taken::Stop => return,
            }
            self.account_refused(queue.refused(), tell);
            self.fed.iter_mut().for_each(|fed| fed.tell_late(tell));
        }
    }

    fn deliver(&mut self, parcel: &Parcel, tell: &dyn Fn(&Notice<'_>)) {
        let now = Instant::now();
        for fed in &mut self.fed {
            if parcel.about == Some(fed.count.sink) {
                continue;
            }
            if fed.paused.is_some_and(|until| now < until) {
                fed.lose(1, Errno::EAGAIN, tell);
                continue;
            }
            match fed.outlet.send(parcel) {
                Ok(()) => fed.took(tell),
                Err(errno) => {
                    fed.paused = (errno == Errno::EAGAIN).then(|| Instant::now() + PAUSE);
                    fed.lose(1, errno, tell);
                }
            }
        }
    }

    /// What found no room in the queue is lost to every outlet.
    fn account_refused(&mut self, refused: u64, tell: &dyn Fn(&Notice<'_>)) {
        let more = refused.saturating_sub(self.refused);
        if more > 0 {
            self.refused = refused;
            self.fed.iter_mut().for_each(|fed| fed.lose(more, Errno::ENOBUFS, tell));
        }
    }
}

impl Fed {
    fn took(&mut self, tell: &dyn Fn(&Notice<'_>)) {
        self.count.written.fetch_add(1, Ordering::Relaxed);
        self.count.errno.store(0, Ordering::Relaxed);
        self.paused = None;
        if self.losing {
            self.tell_back(tell);
        }
    }

    fn lose(&mut self, more: u64, errno: Errno, tell: &dyn Fn(&Notice<'_>)) {
        let before = self.count.lost.fetch_add(more, Ordering::Relaxed);
        self.count.errno.store(errno as i32, Ordering::Relaxed);
        self.count.last.store(errno as i32, Ordering::Relaxed);
        if !self.losing && self.may_tell() {
            self.losing = true;
            self.told = Some(Instant::now());
            tell(&Notice::SinkLost {
                sink: self.count.sink,
                count: before.saturating_add(more).saturating_sub(self.settled),
                error: errno.desc(),
            });
        }
    }

    /// A sink that comes and goes is told of now and then, not each time.
    fn may_tell(&self) -> bool {
        self.told.is_none_or(|when| when.elapsed() >= BETWEEN_NOTICES)
    }

    /// Losses that came too soon after the last notice are still to be told.
    fn has_to_tell(&self) -> bool {
        !self.losing && self.count.lost.load(Ordering::Relaxed) > self.settled
    }

    fn tell_late(&mut self, tell: &dyn Fn(&Notice<'_>)) {
        if self.has_to_tell() && self.may_tell() {
            self.told = Some(Instant::now());
            self.tell_back(tell);
        }
    }

    fn tell_back(&mut self, tell: &dyn Fn(&Notice<'_>)) {
        let lost = self.count.lost.load(Ordering::Relaxed);
        tell(&Notice::SinkBack {
            sink: self.count.sink,
            lost: lost.saturating_sub(self.settled),
            missing: None,
        });
        self.losing = false;
        self.settled = lost;
    }
}

/// How long the feeder naps while there is something to do now and then.
const NAP: Duration = Duration::from_millis(20);
/// After so many naps in which nothing came it sleeps until it is woken.
const NAPS: u32 = 10;
/// How long a sink that made us wait in vain is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// The shortest time between two notices about the same sink's losses.
const BETWEEN_NOTICES: Duration = Duration::from_secs(10);
/// How much memory a buffer of the queue keeps.
const KEPT: usize = 4096;

#[cfg(test)]
mod tests;
