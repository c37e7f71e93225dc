//! Work that can block for ever, done by a thread that can be left behind.
//!
//! A read of another process's memory waits for as long as that process likes (FUSE and userfaultfd pages, a held
//! mmap lock). So it is done aside: who asked waits until the deadline, then leaves the thread to its fate and takes
//! a new one the next time. What the old one finds goes nowhere. There are at most [`LIMIT`] such threads; while all
//! of them hang, every question is late at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SendError, Sender, channel};
use std::time::Instant;

/// At most this many threads exist, the hanging ones included.
pub(super) const LIMIT: usize = 8;

/// A thread for work that can block, made when it is first needed.
#[derive(Debug, Default)]
pub(super) struct Aside {
    free: Option<Sender<Work>>,
    threads: Arc<AtomicUsize>,
}

type Work = Box<dyn FnOnce() + Send>;

/// Work that was begun.
#[derive(Debug)]
pub(super) struct Running<T> {
    thread: Sender<Work>,
    told: Receiver<T>,
}

/// What came of waiting.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Waited<T> {
    /// A result.
    Found(T),
    /// The work is done, and there are no more results.
    Finished,
    /// Nothing came in time.
    Late,
}

impl Aside {
    /// Does `work` on the other thread. `None`: it was not done before `deadline`, or no thread is to be had.
    pub(super) fn run<T: Send + 'static>(
        &mut self,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        let running = self.begin(move |tell| tell(work()))?;
        match running.wait(deadline) {
            Waited::Found(result) => {
                self.take_back(running);
                Some(result)
            }
            Waited::Finished | Waited::Late => None,
        }
    }

    /// Begins `work`, which tells its results one by one. `None`: no thread is to be had. Dropping what is returned
    /// leaves the thread to its fate; one that has told all should be given [back](Self::take_back).
    pub(super) fn begin<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&dyn Fn(T)) + Send + 'static,
    ) -> Option<Running<T>> {
        let (tell, told) = channel();
        let mut work: Work = Box::new(move || {
            // Nobody may be listening any more when a result is there.
            work(&|result| tell.send(result).unwrap_or_default());
        });
        if let Some(thread) = self.free.take() {
            match thread.send(work) {
                Ok(()) => return Some(Running { thread, told }),
                // Its last work panicked.
                Err(SendError(returned)) => work = returned,
            }
        }
        let thread = self.start()?;
        thread.send(work).ok()?;
        Some(Running { thread, told })
    }

    /// Keeps the thread for the next work. Only one that has told all is given back: any other ends when its work does,
    /// for want of a sender.
    pub(super) fn take_back<T>(&mut self, running: Running<T>) {
        self.free = Some(running.thread);
    }

    fn start(&self) -> Option<Sender<Work>> {
        // This is the only thread that starts others of this count, so looking and adding need not be one step.
        if self.threads.load(Ordering::Acquire) >= LIMIT {
            return None;
        }
        let (send, receive) = channel::<Work>();
        self.threads.fetch_add(1, Ordering::AcqRel);
        let counted = Counted(Arc::clone(&self.threads));
        let thread = move || {
            let _counted = counted;
            for work in receive {
                work();
            }
        };
        // Where it fails, the closure is dropped and counted down.
        std::thread::Builder::new().name("aside".into()).stack_size(STACK).spawn(thread).ok()?;
        Some(send)
    }
}

impl<T> Running<T> {
    /// Waits for the next result.
    pub(super) fn wait(&self, deadline: Instant) -> Waited<T> {
        match self.told.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(result) => Waited::Found(result),
            Err(RecvTimeoutError::Disconnected) => Waited::Finished,
            Err(RecvTimeoutError::Timeout) => Waited::Late,
        }
    }
}

/// Counts a thread until it ends, in whatever way.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

const STACK: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::ThreadId;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(30)
    }

    fn late() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn hang(aside: &mut Aside, until: Receiver<()>) -> Option<Result<(), std::sync::mpsc::RecvError>> {
        aside.run(soon(), move || until.recv())
    }

    #[test]
    fn one_thread_does_one_work_after_the_other() {
        let mut aside = Aside::default();
        let name = || std::thread::current().id();
        let first: ThreadId = aside.run(late(), name).unwrap();
        assert_eq!(aside.run(late(), name), Some(first));
        assert_ne!(first, name());
    }

    #[test]
    fn a_hanging_thread_is_left_and_another_takes_over() {
        let mut aside = Aside::default();
        let (release, until) = channel();
        assert!(hang(&mut aside, until).is_none());
        assert_eq!(aside.run(late(), || 7), Some(7));
        drop(release);
    }

    #[test]
    fn when_all_hang_the_answer_is_no_at_once_until_one_returns() {
        let mut aside = Aside::default();
        let mut releases = Vec::new();
        for _ in 0..LIMIT {
            let (release, until) = channel();
            assert!(hang(&mut aside, until).is_none());
            releases.push(release);
        }
        let before = Instant::now();
        assert_eq!(aside.run(late(), || 7), None);
        assert!(before.elapsed() < Duration::from_secs(10));
        drop(releases.pop());
        let deadline = late();
        while aside.run(deadline, || 7).is_none() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn results_come_one_by_one_and_those_before_a_hang_are_kept() {
        let mut aside = Aside::default();
        let (release, until) = channel::<()>();
        let running = aside.begin(move |tell| {
            tell(1);
            tell(2);
            until.recv().unwrap_or_default();
            tell(3);
        });
        let running = running.unwrap();
        assert_eq!([running.wait(late()), running.wait(late())], [Waited::Found(1), Waited::Found(2)]);
        assert_eq!(running.wait(soon()), Waited::Late);
        drop(release);
        assert_eq!([running.wait(late()), running.wait(late())], [Waited::Found(3), Waited::Finished]);
    }

    #[test]
    fn past_the_deadline_nothing_is_begun() {
        let mut aside = Aside::default();
        let (tell, told) = channel();
        assert!(aside.run(Instant::now(), move || tell.send(())).is_none());
        assert!(told.recv().is_err());
    }

    #[test]
    fn work_that_panics_is_none_and_the_next_is_done() {
        let mut aside = Aside::default();
        assert_eq!(aside.run(late(), || assert_eq!(1, 2)), None);
        assert_eq!(aside.run(late(), || 7), Some(7));
    }
}
