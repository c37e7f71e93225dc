//! A scripted kernel: duties whose answers are seen, an identifier that says what the script says, a sink that can fail.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use shmguard::daemon::counters::Counters;
use shmguard::daemon::live::{self, Current, Live};
use shmguard::daemon::pipeline::{Duty, Identify, Pipeline, Shared, Sink};
use shmguard::decide::Settings;
use shmguard::event::{
    Arguments, Attempt, Cause, Credentials, Device, Fact, FileFacts, Gid, Groups, Mode, Pid, Response,
    Settled, Texts, Uid, Users,
};
use shmguard::identify::Standing;
use shmguard::policy::{Generation, Source, compile};
use shmguard::record::format::{self, Frame};
use shmguard::record::{Entry, Host, NotRecorded, Notice};
use shmguard::watch::plan::{Placement, Scope};

/// What was seen, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Recorded(serde_json::Value),
    Answered(i32, Response),
    Noticed(String),
    Fetched(Groups),
}

pub type Journal = Arc<Mutex<Vec<Seen>>>;

/// One exec that waits.
pub struct FakeExec {
    pub thread: i32,
    pub since: u64,
    pub settled: Settled,
    pub fallback: Response,
    pub journal: Journal,
    file: File,
}

/// What the identifier finds.
#[derive(Clone)]
pub struct Script {
    pub uid: Fact<Uid>,
    pub name: &'static str,
    pub inner_known: bool,
    pub arguments: Fact<Arguments>,
    pub placement: Placement,
    /// What `confirm` says, once for each call; true when it is used up.
    pub confirms: Vec<Standing>,
    /// Whether the content stays as it is until the exec.
    pub content_held: bool,
}

pub struct FakeIdentify {
    pub script: Script,
    pub journal: Journal,
}

#[derive(Clone)]
pub struct FakeSink {
    pub journal: Journal,
    pub broken: Arc<AtomicBool>,
    next: Arc<AtomicU64>,
    host: Host,
}

/// A pipeline and everything that can be seen of it.
pub struct Bench {
    pub pipeline: Pipeline<FakeIdentify, FakeSink>,
    pub shared: Arc<Shared<FakeSink>>,
    pub sink: FakeSink,
    pub journal: Journal,
}

pub fn bench(mode: Mode, rules: &str, script: Script) -> Bench {
    let generation =
        compile(&[Source { file: None, text: rules }], rules.is_empty()).expect("the test's rules hold");
    bench_of(mode, generation, script, false)
}

pub fn bench_of(mode: Mode, generation: Generation, script: Script, full_evidence: bool) -> Bench {
    let journal = Journal::default();
    let sink = FakeSink {
        journal: Arc::clone(&journal),
        broken: Arc::default(),
        next: Arc::new(AtomicU64::new(1)),
        host: Host::read(),
    };
    let shared = Arc::new(Shared {
        current: Current::new(Live {
            hits: live::hits(&generation, None),
            generation: Arc::new(generation),
            mode,
            settings: Settings::default(),
            full_evidence,
            audit: false,
            scope: Arc::default(),
            users: Arc::new(Users::default()),
            opens: live::Opens::OFF,
        }),
        counters: Counters::default(),
        seen: shmguard::daemon::seen::Seen::default(),
        sink: sink.clone(),
    });
    let identify = FakeIdentify { script, journal: Arc::clone(&journal) };
    Bench { pipeline: Pipeline::new(identify, Arc::clone(&shared)), shared, sink, journal }
}

impl Script {
    pub fn root(name: &'static str) -> Self {
        Self {
            uid: Fact::Known(Uid::ROOT),
            name,
            inner_known: true,
            arguments: Fact::Absent,
            placement: Placement::Inside,
            confirms: Vec::new(),
            content_held: true,
        }
    }
}

impl Bench {
    pub fn exec(&self) -> FakeExec {
        FakeExec {
            thread: 4242,
            since: shmguard::sys::clock::boottime(),
            settled: Settled::Delivered,
            fallback: Response::Deny,
            journal: Arc::clone(&self.journal),
            file: File::open("/dev/null").unwrap(),
        }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.journal.lock().unwrap().clone()
    }

    pub fn answers(&self) -> Vec<Response> {
        let answered = |seen: &Seen| match seen {
            Seen::Answered(_, response) => Some(*response),
            Seen::Recorded(_) | Seen::Noticed(_) | Seen::Fetched(_) => None,
        };
        self.seen().iter().filter_map(answered).collect()
    }

    pub fn records(&self) -> Vec<serde_json::Value> {
        let recorded = |seen: Seen| match seen {
            Seen::Recorded(record) => Some(record),
            Seen::Answered(..) | Seen::Noticed(_) | Seen::Fetched(_) => None,
        };
        self.seen().into_iter().filter_map(recorded).collect()
    }
}

impl AsFd for FakeExec {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Duty for FakeExec {
    fn thread(&self) -> i32 {
        self.thread
    }

    fn since(&self) -> u64 {
        self.since
    }

    fn note(&self, _device: Device, _inode: u64) {}

    fn set_fallback(&mut self, fallback: Response) {
        self.fallback = fallback;
    }

    fn answer(self, response: Response, _audit: bool) -> Settled {
        self.journal.lock().unwrap().push(Seen::Answered(self.thread, response));
        self.settled
    }
}

impl Identify for FakeIdentify {
    fn essential(&mut self, thread: i32, _: BorrowedFd<'_>, _: &Scope, attempt: &mut Attempt) -> Placement {
        *attempt = Attempt { at: attempt.at, action: attempt.action, ..Attempt::default() };
        let Script { uid, name, inner_known, .. } = self.script.clone();
        let subject = &mut attempt.subject;
        subject.thread = Fact::Known(Pid(thread));
        subject.process = Fact::Known(Pid(thread));
        subject.user = uid.clone();
        subject.credentials = uid.map(|uid| Credentials {
            ruid: uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            rgid: Gid(0),
            egid: Gid(0),
            sgid: Gid(0),
            fsgid: Gid(0),
        });
        attempt.object.names = Texts::from_iter([name]);
        attempt.object.inner =
            if inner_known { Fact::Known(b"/x".to_vec()) } else { Fact::Unknown(Cause::Unsteady) };
        attempt.object.seen = Fact::Known(name.into());
        attempt.object.file = Fact::Known(FileFacts {
            device: Device { major: 0, minor: 27 },
            inode: 12,
            mode: 0o100755,
            uid: Uid(0),
            gid: Gid(0),
            size: 1,
            links: 1,
            modified: 0,
            changed: 0,
        });
        self.script.placement
    }

    fn hold(&mut self, file: BorrowedFd<'_>) -> Option<OwnedFd> {
        self.script.content_held.then(|| file.try_clone_to_owned().unwrap())
    }

    fn fetch(&mut self, groups: Groups, _: BorrowedFd<'_>, attempt: &mut Attempt, _: Instant) {
        self.journal.lock().unwrap().push(Seen::Fetched(groups));
        if groups.contains(Groups::GAIN) {
            attempt.subject.gains_privilege = Fact::Known(false);
            attempt.subject.privileges = Fact::Unknown(Cause::Gone);
            attempt.object.capabilities = Fact::Known(false);
        }
        if groups.contains(Groups::HASH) {
            attempt.object.sha256 = Fact::Known([0xab; 32]);
        }
        if groups.contains(Groups::ARGUMENTS) {
            attempt.subject.arguments = self.script.arguments.clone();
        }
    }

    fn confirm(&mut self, _: BorrowedFd<'_>, _: &Scope, _: &Attempt) -> Standing {
        self.script.confirms.pop().unwrap_or(Standing::There)
    }
}

impl Sink for FakeSink {
    fn attempt(&self, entry: &Entry<'_>) -> Result<u64, NotRecorded> {
        let sequence = self.next.fetch_add(1, Ordering::Relaxed);
        if self.broken.load(Ordering::Relaxed) {
            return Err(NotRecorded { sequence, errno: libc::ENOSPC });
        }
        let mut line = Vec::new();
        let frame = Frame { host: &self.host, redact: &format::Redact::default() };
        format::attempt(&mut line, sequence, entry, &frame);
        self.journal.lock().unwrap().push(Seen::Recorded(serde_json::from_slice(&line).expect("JSON")));
        Ok(sequence)
    }

    fn notice(&self, notice: &Notice<'_>) {
        self.journal.lock().unwrap().push(Seen::Noticed(format!("{notice:?}")));
    }
}
