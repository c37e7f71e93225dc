//! Files that were let run because of their content, kept from being written to a moment longer.
//!
//! The kernel itself refuses writers from when the exec goes on (ETXTBSY), which is after our answer. Owns copies of
//! events' descriptors, a few at most, each for a moment. Called by the pipeline.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The descriptors, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Held {
    files: VecDeque<(Instant, OwnedFd)>,
}

/// For how long: the caller needs microseconds, and has to get a processor first.
const MOMENT: Duration = Duration::from_millis(50);

/// How many at most; then the oldest is let go early.
const MOST: usize = 64;

impl Held {
    pub(super) fn hold(&mut self, file: OwnedFd, now: Instant) {
        if self.files.len() == MOST {
            self.files.pop_front();
        }
        self.files.push_back((now, file));
    }

    /// Closes those whose time is over. How long until the next is to be closed.
    pub(super) fn let_go(&mut self, now: Instant) -> Option<Duration> {
        while let Some((since, _)) = self.files.front() {
            let left = MOMENT.saturating_sub(now.saturating_duration_since(*since));
            if !left.is_zero() {
                return Some(left);
            }
            self.files.pop_front();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_closed_when_its_moment_is_over_and_there_are_never_too_many() {
        let mut held = Held::default();
        let begin = Instant::now();
        for _ in 0..MOST * 2 {
            held.hold(std::io::pipe().unwrap().0.into(), begin);
        }
        assert_eq!(held.files.len(), MOST);
        assert_eq!(held.let_go(begin + MOMENT / 2), Some(MOMENT / 2));
        assert_eq!(held.files.len(), MOST);
        assert_eq!(held.let_go(begin + MOMENT), None);
        assert_eq!(held.files.len(), 0);
    }
}
