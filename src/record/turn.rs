//! A value that threads use in turn, and that nobody waits for without bound.
//!
//! A disk can hang with a thread in the middle of a write. A mutex would take everybody behind it along; here who waits
//! in vain goes away, and until the value is back nobody else waits at all. Used by [`super::log`] for its writer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The value and those who wait for it.
#[derive(Debug)]
pub(super) struct Turn<T> {
    seat: Mutex<Seat<T>>,
    free: Condvar,
    /// Somebody has waited for the value in vain, and it is not back.
    late: AtomicBool,
}

#[derive(Debug)]
struct Seat<T> {
    /// `None` while somebody uses it.
    value: Option<Box<T>>,
    waiting: usize,
}

impl<T> Turn<T> {
    /// A value that is free.
    pub(super) fn new(value: T) -> Self {
        let seat = Seat { value: Some(Box::new(value)), waiting: 0 };
        Self { seat: Mutex::new(seat), free: Condvar::new(), late: AtomicBool::new(false) }
    }

    /// A value that is yet to come: until it is [put](Self::put) nobody waits for it.
    pub(super) fn to_come() -> Self {
        let seat = Seat { value: None, waiting: 0 };
        Self { seat: Mutex::new(seat), free: Condvar::new(), late: AtomicBool::new(true) }
    }

    /// Uses the value. `None`: another thread did not give it back within `patience`; or has not for longer than that
    /// already, and then this does not wait.
    pub(super) fn with<R>(&self, patience: Duration, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut value = self.take(patience)?;
        let result = work(&mut value);
        self.put(value);
        Some(result)
    }

    /// Somebody has waited in vain, and nobody has had the value since.
    pub(super) fn is_late(&self) -> bool {
        self.late.load(Ordering::Acquire)
    }

    fn take(&self, patience: Duration) -> Option<Box<T>> {
        // As a rule it is back within a write(2), which is less than falling asleep takes.
        for _ in 0..SPINS {
            if let Some(value) = self.seat().value.take() {
                return Some(value);
            }
            if self.is_late() {
                return None;
            }
            std::hint::spin_loop();
        }
        let begun = Instant::now();
        let mut seat = self.seat();
        loop {
            if let Some(value) = seat.value.take() {
                return Some(value);
            }
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() || self.is_late() {
                self.late.store(true, Ordering::Release);
                return None;
            }
            seat.waiting += 1;
            seat = self.free.wait_timeout(seat, left).unwrap_or_else(PoisonError::into_inner).0;
            seat.waiting = seat.waiting.saturating_sub(1);
        }
    }

    /// Gives the value to whoever comes next.
    pub(super) fn put(&self, value: Box<T>) {
        let mut seat = self.seat();
        seat.value = Some(value);
        self.late.store(false, Ordering::Release);
        // Nobody pays for a wake-up that nobody waits for.
        if seat.waiting > 0 {
            self.free.notify_one();
        }
    }

    fn seat(&self) -> MutexGuard<'_, Seat<T>> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SPINS: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn threads_use_the_value_one_after_the_other() {
        let turn = Turn::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        turn.with(LONG, |count| *count += 1).unwrap();
                    }
                });
            }
        });
        assert_eq!(turn.with(LONG, |count| *count), Some(8_000));
    }

    #[test]
    fn who_waits_in_vain_goes_away_the_next_does_not_wait_and_afterwards_all_is_well() {
        let turn = Turn::new(7);
        let (release, hangs) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        std::thread::scope(|scope| {
            let turn = &turn;
            scope.spawn(move || {
                turn.with(LONG, |value| {
                    tell.send(()).unwrap();
                    hangs.recv().unwrap();
                    *value = 8;
                })
                .unwrap();
            });
            told.recv().unwrap();
            assert!(!turn.is_late());
            assert_eq!(turn.with(Duration::from_millis(20), |value| *value), None);
            assert!(turn.is_late());
            let begun = Instant::now();
            assert_eq!(turn.with(LONG, |value| *value), None);
            assert!(begun.elapsed() < LONG / 2);
            release.send(()).unwrap();
            while turn.is_late() {
                std::thread::yield_now();
            }
            assert_eq!(turn.with(LONG, |value| *value), Some(8));
        });
    }
}
