//! The way of an essential answer asks the allocator for nothing: with the real identifier, the embedded policy and a
//! real log file, and only the kernel's event and answer made up.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "an allocator that counts can only be written so; tests fail by panicking"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use shmguard::daemon::counters::Counters;
use shmguard::daemon::live::{self, Current, Live};
use shmguard::daemon::pipeline::{Duty, Identify, Next, Pipeline, Shared};
use shmguard::daemon::seen::Seen;
use shmguard::decide::Settings;
use shmguard::event::{Attempt, Device, Groups, Mode, Response, Settled, Users};
use shmguard::identify::{Identifier, Standing};
use shmguard::policy::{Source, compile};
use shmguard::record::{FileSettings, Host, Log, Settings as Sinks, Sync};
use shmguard::watch::plan::{Placement, Scope};

/// Counts what this thread asks for.
struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.with(|asked| asked.set(asked.get() + 1));
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ASKED.with(|asked| asked.set(asked.get() + 1));
        // SAFETY: the caller keeps to the contract of `realloc`.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the contract of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }
}

/// The event of an exec by this thread.
struct Event<'f> {
    file: &'f File,
    thread: i32,
    expected: Response,
}

impl AsFd for Event<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Duty for Event<'_> {
    fn thread(&self) -> i32 {
        self.thread
    }

    fn since(&self) -> u64 {
        shmguard::sys::clock::boottime()
    }

    fn note(&self, _device: Device, _inode: u64) {}

    fn set_fallback(&mut self, _fallback: Response) {}

    fn answer(self, response: Response, _audit: bool) -> Settled {
        assert_eq!(response, self.expected);
        Settled::Delivered
    }
}

/// The real identifier; the file is said to be in a watched directory, whatever it truly is in.
struct Here {
    identifier: Identifier,
    name: &'static [u8],
}

impl Identify for Here {
    fn essential(
        &mut self,
        thread: i32,
        file: BorrowedFd<'_>,
        scope: &Scope,
        attempt: &mut Attempt,
    ) -> Placement {
        self.identifier.essential(thread, file, scope, attempt);
        attempt.object.names.clear();
        attempt.object.names.push(self.name);
        Placement::Inside
    }

    fn fetch(&mut self, groups: Groups, file: BorrowedFd<'_>, attempt: &mut Attempt, deadline: Instant) {
        self.identifier.fetch(groups, file, attempt, deadline);
    }

    fn confirm(&mut self, _file: BorrowedFd<'_>, _scope: &Scope, _attempt: &Attempt) -> Standing {
        Standing::There
    }

    fn hold(&mut self, _file: BorrowedFd<'_>) -> Option<OwnedFd> {
        None
    }
}

#[test]
fn an_essential_answer_allocates_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = File::create(directory.path().join("program")).unwrap();
    let settings = Sinks {
        file: Some(FileSettings {
            path: directory.path().join("events.ndjson"),
            max_size: 1 << 30,
            keep: 1,
            sync: Sync::None,
            alerts: None,
        }),
        ..Sinks::default()
    };
    // The shipped rule denies root; whoever else runs this test is not matched.
    let denies = nix::unistd::geteuid().is_root();
    for (rules, response) in [
        ("", if denies { Response::Deny } else { Response::Allow }),
        ("[[rule]]\nid = \"none\"\neffect = \"deny\"\nwhen = 'user.id == \"4\"'\n", Response::Allow),
    ] {
        let generation = compile(&[Source { file: None, text: rules }], rules.is_empty()).unwrap();
        let shared = Arc::new(Shared {
            current: Current::new(Live {
                hits: live::hits(&generation, None),
                generation: Arc::new(generation),
                mode: Mode::Prevent,
                settings: Settings::default(),
                full_evidence: false,
                audit: false,
                scope: Arc::default(),
                users: Arc::new(Users::default()),
                opens: live::Opens::OFF,
            }),
            counters: Counters::default(),
            seen: Seen::default(),
            sink: Log::open(&settings, Host::read()).unwrap(),
        });
        let identify = Here { identifier: Identifier::new().unwrap(), name: b"/dev/shm/program" };
        let mut pipeline = Pipeline::new(identify, Arc::clone(&shared));
        let mut attempt = Box::<Attempt>::default();
        let (mut counted, mut at_first) = (0, 0);
        for turn in 0..200 {
            let event = Event { file: &file, thread: nix::unistd::gettid().as_raw(), expected: response };
            let before = ASKED.with(Cell::get);
            attempt = match pipeline.judge(event, attempt) {
                Next::Answered(attempt) => attempt,
                Next::Evidence(_) => unreachable!("nothing here asks for more than the essential facts"),
            };
            let asked = ASKED.with(Cell::get) - before;
            // The first ones bring the buffers to their size.
            *if turn < 20 { &mut at_first } else { &mut counted } += asked;
        }
        assert!(at_first > 0, "nothing was counted at all");
        assert_eq!(counted, 0, "{response:?}");
    }
}
