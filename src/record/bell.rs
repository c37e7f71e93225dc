//! What others want from the keeper of the record file, and how it waits for that.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What others want from the keeper.
#[derive(Debug, Default)]
pub(super) struct Bell {
    wishes: Mutex<Wishes>,
    ring: Condvar,
}

/// The wishes since the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes {
    /// The file is large.
    pub(super) rotate: bool,
    /// Open the file anew, whatever it looks like.
    pub(super) reopen: bool,
    /// Do everything once more and end.
    pub(super) stop: bool,
}

impl Bell {
    /// The file is large.
    pub(super) fn rotate(&self) {
        self.wish(|wishes| wishes.rotate = true);
    }

    /// Open the file anew.
    pub(super) fn reopen(&self) {
        self.wish(|wishes| wishes.reopen = true);
    }

    /// Do everything once more and end.
    pub(super) fn stop(&self) {
        self.wish(|wishes| wishes.stop = true);
    }

    fn wish(&self, wish: impl FnOnce(&mut Wishes)) {
        wish(&mut self.wishes.lock().unwrap_or_else(PoisonError::into_inner));
        self.ring.notify_one();
    }

    /// Waits for a wish, at most so long.
    pub(super) fn wait(&self, longest: Duration) -> Wishes {
        let wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        let none = |wishes: &mut Wishes| !(wishes.rotate || wishes.reopen || wishes.stop);
        let mut wishes =
            self.ring.wait_timeout_while(wishes, longest, none).unwrap_or_else(PoisonError::into_inner).0;
        let taken = *wishes;
        *wishes = Wishes { stop: taken.stop, ..Wishes::default() };
        taken
    }
}
