//! One attempt, from the kernel's event to the answer: identify, decide, choose the response, record, answer.
//!
//! Owns the order of those five and nothing else. The kernel, the identifier and the log are behind three small traits,
//! so that the same code runs against a scripted kernel in the tests. Called by the reader and the evidence thread, each
//! with a pipeline of its own; both may answer at the same time.
//!
//! The reader does the *essential* work of every attempt and answers it, unless full evidence is wanted or a rule asks
//! for facts that can block: then the attempt goes to the evidence thread as a [`Job`], and the reader goes on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::counters::Counters;
use super::held::Held;
use super::live::{Current, Live};
use super::seen::Seen;
use crate::decide::{self, Outcome};
use crate::event::{
    Action, Attempt, Basis, Cause, Decision, Device, Effect, Fact, Failure, Groups, Mode, Response,
    RuleIndex, Settled, Texts, Timestamp, View,
};
use crate::identify::{Identifier, Standing};
use crate::notify::PendingExec;
use crate::record::{Cut, Entry, Evidence, Log, NotRecorded, Notice};
use crate::sys::{clock, lease};
use crate::watch::plan::{Placement, Scope};

/// The duty to answer one exec.
pub trait Duty: AsFd {
    /// The calling thread; 0 where our pid namespace has no number for it.
    fn thread(&self) -> i32;
    /// When the event was read, nanoseconds since boot.
    fn since(&self) -> u64;
    /// Notes the file for a successor.
    fn note(&self, device: Device, inode: u64);
    /// Changes what is answered if nobody decides in time.
    fn set_fallback(&mut self, fallback: Response);
    /// Answers.
    fn answer(self, response: Response, audit: bool) -> Settled;
}

/// Finds out who and what.
pub trait Identify {
    /// The essential facts of an attempt.
    fn essential(
        &mut self,
        thread: i32,
        file: BorrowedFd<'_>,
        scope: &Scope,
        attempt: &mut Attempt,
    ) -> Placement;
    /// Further facts; what is not there by the deadline is unknown.
    fn fetch(&mut self, groups: Groups, file: BorrowedFd<'_>, attempt: &mut Attempt, deadline: Instant);
    /// Whether the file is where it is said to be: asked before an exception lets it run.
    fn confirm(&mut self, file: BorrowedFd<'_>, scope: &Scope, attempt: &Attempt) -> Standing;
    /// Keeps the content as it was when it was hashed, for as long as the descriptor is open; `None` where somebody
    /// writes to it, or the kernel cannot.
    fn hold(&mut self, file: BorrowedFd<'_>) -> Option<OwnedFd>;
}

/// Takes records.
pub trait Sink {
    /// Writes the record of one attempt and returns its sequence number. Has written when it returns.
    ///
    /// # Errors
    /// The record is not in the file.
    fn attempt(&self, entry: &Entry<'_>) -> Result<u64, NotRecorded>;
    /// Writes a notice; a loss is the sink's to count.
    fn notice(&self, notice: &Notice<'_>);
}

/// What all pipelines share.
#[derive(Debug)]
pub struct Shared<S> {
    /// Policy, mode and scope in force.
    pub current: Current,
    /// What is counted.
    pub counters: Counters,
    /// Execs that were let run, for whoever is told of them after the fact.
    pub seen: Seen,
    /// Where records go.
    pub sink: S,
}

/// One thread's way of an attempt.
#[derive(Debug)]
pub struct Pipeline<I, S> {
    identify: I,
    shared: Arc<Shared<S>>,
    /// The names that a file has whose place is not known; memory that is used again.
    elsewhere: Texts,
    /// Files that run because of what they hold.
    held: Held,
}

/// An attempt on its way to the evidence thread.
#[derive(Debug)]
pub struct Job<D> {
    duty: D,
    attempt: Box<Attempt>,
    live: Arc<Live>,
    /// The mode in which it is judged.
    mode: Mode,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aim {
    /// By which means the file is to run.
    pub action: Action,
    /// It surely is: what only may be is recorded, never denied.
    pub sure: bool,
}

impl Aim {
    /// An exec, of which there is no doubt.
    pub const EXEC: Self = Self { action: Action::Exec, sure: true };
}

/// What the reader does next.
#[derive(Debug)]
#[must_use]
pub enum Next<D> {
    /// Answered. The attempt's memory is free for the next.
    Answered(Box<Attempt>),
    /// The evidence thread should go on.
    Evidence(Job<D>),
}

/// The most that the reader itself spends on facts that a rule asks for; none of them can block.
const READER_PATIENCE: Duration = Duration::from_millis(100);

impl<I: Identify, S: Sink> Pipeline<I, S> {
    /// A pipeline for one thread.
    pub fn new(identify: I, shared: Arc<Shared<S>>) -> Self {
        Self { identify, shared, elsewhere: Texts::new(), held: Held::default() }
    }

    /// The essential work of one exec. `attempt` is memory of an earlier one, overwritten whole.
    pub fn judge<D: Duty>(&mut self, duty: D, attempt: Box<Attempt>) -> Next<D> {
        self.judge_as(Aim::EXEC, duty, attempt)
    }

    /// The same for an attempt by whatever means.
    pub fn judge_as<D: Duty>(&mut self, aim: Aim, mut duty: D, mut attempt: Box<Attempt>) -> Next<D> {
        let live = self.shared.current.get();
        let mode = if aim.sure { live.mode_for(aim.action) } else { Mode::Audit };
        attempt.at = Timestamp(clock::realtime());
        attempt.action = aim.action;
        attempt.unseen = None;
        if self.identify.essential(duty.thread(), duty.as_fd(), &live.scope, &mut attempt)
            == Placement::Outside
        {
            self.shared.counters.outside.fetch_add(1, Ordering::Relaxed);
            // Nobody is told: this is every exec of a shared filesystem. A refused answer is not lost, its fallback is.
            let _settled = duty.answer(Response::Allow, false);
            return Next::Answered(attempt);
        }
        if let Fact::Known(file) = &attempt.object.file {
            duty.note(file.device, file.inode);
        }
        match self.decide(
            &live,
            duty.as_fd(),
            &mut attempt,
            Groups::MAY_BLOCK,
            Instant::now() + READER_PATIENCE,
        ) {
            Outcome::Decided(decision) if live.full_evidence && is_matched(&decision) => {
                duty.set_fallback(decide::respond(mode, &decision, &live.generation));
                Next::Evidence(Job { duty, attempt, live, mode })
            }
            Outcome::Decided(decision) => {
                let mut job = Job { duty, attempt, live, mode };
                match self.confirmed(&mut job, decision) {
                    Some(decision) => Next::Answered(self.finish(job, decision, Evidence::Essential)),
                    None => Next::Evidence(job),
                }
            }
            Outcome::Needs(_) => Next::Evidence(Job { duty, attempt, live, mode }),
        }
    }

    /// Ends a job with what is known now, and with what can be looked at without waiting for anybody: the evidence thread
    /// has no room for it, or no time.
    pub fn cut<D: Duty>(&mut self, mut job: Job<D>, why: Cut) -> Box<Attempt> {
        self.shared.counters.evidence_cut.fetch_add(1, Ordering::Relaxed);
        let live = Arc::clone(&job.live);
        let deadline = Instant::now() + READER_PATIENCE;
        give_up(Groups::MAY_BLOCK, &mut job.attempt, Cause::Late);
        let mut outcome = self.decide(&live, job.duty.as_fd(), &mut job.attempt, Groups::MAY_BLOCK, deadline);
        if let Outcome::Needs(groups) = outcome {
            // The other process must be known before its command line can be given up.
            let around = groups.without(Groups::MAY_BLOCK) | whose(groups);
            self.identify.fetch(around, job.duty.as_fd(), &mut job.attempt, deadline);
            give_up(Groups::MAY_BLOCK, &mut job.attempt, Cause::Late);
            outcome = self.decide(&live, job.duty.as_fd(), &mut job.attempt, Groups::MAY_BLOCK, deadline);
        }
        let decision = match outcome {
            Outcome::Decided(decision) => decision,
            Outcome::Needs(_) => undecided(&live),
        };
        let decision = self.confirmed(&mut job, decision).unwrap_or_else(|| undecided(&live));
        self.finish(job, decision, Evidence::Cut(why))
    }

    /// Notes that a job has left the queue.
    pub fn takes_from_queue(&self) {
        self.shared.counters.evidence_queued.fetch_sub(1, Ordering::Relaxed);
    }

    /// Lets go of the files whose time is over. How long until the next is to be let go.
    pub fn let_go(&mut self) -> Option<Duration> {
        self.held.let_go(Instant::now())
    }

    /// Takes full evidence, until `patience` after the event was read, then records and answers.
    pub fn complete<D: Duty>(&mut self, mut job: Job<D>, patience: Duration) -> Box<Attempt> {
        let waited = Duration::from_nanos(clock::boottime().saturating_sub(job.duty.since()));
        let Some(left) = patience.checked_sub(waited).filter(|left| !left.is_zero()) else {
            return self.cut(job, Cut::TimeUp);
        };
        let deadline = Instant::now() + left;
        if job.live.full_evidence {
            self.identify.fetch(evidence_groups(), job.duty.as_fd(), &mut job.attempt, deadline);
            self.shared.counters.evidence_full.fetch_add(1, Ordering::Relaxed);
        }
        let decision = self.decision(&mut job, deadline);
        let decision = match self.confirmed(&mut job, decision) {
            Some(decision) => decision,
            None => {
                let called = Groups::ARGUMENTS | Groups::DIRECTORY;
                self.identify.fetch(called, job.duty.as_fd(), &mut job.attempt, deadline);
                self.confirmed(&mut job, decision).unwrap_or_else(|| undecided(&job.live))
            }
        };
        let evidence = if job.live.full_evidence { Evidence::Full } else { Evidence::Essential };
        self.finish(job, decision, evidence)
    }

    /// Records what already runs. The duty's answer goes nowhere.
    pub fn report<D: Duty>(&mut self, duty: D, attempt: Box<Attempt>, patience: Duration) -> Box<Attempt> {
        let live = self.shared.current.get();
        self.complete(Job { duty, attempt, live, mode: Mode::Audit }, patience)
    }

    /// Decides with every group allowed.
    fn decision<D: Duty>(&mut self, job: &mut Job<D>, deadline: Instant) -> Decision {
        let live = Arc::clone(&job.live);
        match self.decide(&live, job.duty.as_fd(), &mut job.attempt, Groups::NONE, deadline) {
            Outcome::Decided(decision) => decision,
            Outcome::Needs(groups) => {
                // `fetch` leaves no group unread; should it, the attempt is not left undecided.
                give_up(groups, &mut job.attempt, Cause::Unsupported);
                undecided(&live)
            }
        }
    }

    /// Asks the rules, and fetches what they ask for, until they decide or ask for a group in `except`.
    fn decide(
        &mut self,
        live: &Live,
        file: BorrowedFd<'_>,
        attempt: &mut Attempt,
        except: Groups,
        deadline: Instant,
    ) -> Outcome {
        let mut fetched = Groups::NONE;
        loop {
            let view = View { attempt, users: &live.users };
            match decide::decide(&live.generation, live.settings.on_unknown, attempt.at, &view) {
                Outcome::Needs(groups) if !groups.intersects(except) && !fetched.contains(groups) => {
                    fetched |= groups;
                    self.identify.fetch(groups, file, attempt, deadline);
                }
                outcome @ (Outcome::Needs(_) | Outcome::Decided(_)) => return outcome,
            }
        }
    }

    /// Chooses the response, records, answers.
    fn finish<D: Duty>(&self, job: Job<D>, decision: Decision, evidence: Evidence) -> Box<Attempt> {
        let Job { mut duty, attempt, live, mode } = job;
        let mut failures = Failures::of(&attempt);
        let mut response = decide::respond(mode, &decision, &live.generation);
        let unrecorded = match decision.effect {
            Effect::Allow => decide::reaction(Failure::NotRecorded, mode, &live.settings),
            Effect::Deny => response,
        };
        // The write may hang with its disk, and then another thread answers.
        duty.set_fallback(unrecorded);
        let counters = &self.shared.counters;
        let entry = Entry {
            attempt: &attempt,
            decision: &decision,
            mode,
            response,
            rule: rule_of(&decision).and_then(|rule| live.generation.about(rule)),
            trial: decision.trial.and_then(|rule| live.generation.about(rule)),
            passed_over: decision.passed_over.and_then(|rule| live.generation.about(rule)),
            policy_hash: live.generation.hash(),
            evidence,
            failures: failures.as_slice(),
            duration_ns: Some(clock::boottime().saturating_sub(duty.since())),
            users: &live.users,
        };
        let recorded = self.shared.sink.attempt(&entry);
        if recorded.is_err() {
            failures.push(Failure::NotRecorded);
            response = unrecorded;
        }
        if attempt.unseen.is_some() {
            count_unseen(counters, &live, &decision);
            return attempt;
        }
        if response == Response::Allow && attempt.action == Action::Exec {
            self.note_seen(&attempt);
        }
        let since = duty.since();
        let settled = duty.answer(response, live.audit && is_matched(&decision));
        counters.answered_after(Duration::from_nanos(clock::boottime().saturating_sub(since)));
        count(counters, &live, &decision, response, failures.as_slice());
        self.tell_undelivered(recorded.ok(), settled, response);
        attempt
    }

    /// What is allowed because of where the file lies, by an allow rule or by a deny rule that leaves a place out, holds
    /// only for a file that is there and was when the exec began: whoever moves mounts or files while we look could
    /// have made the place up. `None` where the arguments must be read to know that.
    fn confirmed<D: Duty>(&mut self, job: &mut Job<D>, decision: Decision) -> Option<Decision> {
        let runs = job.attempt.unseen.is_some();
        if runs || decision.effect == Effect::Deny {
            return Some(decision);
        }
        let decision = self.with_content_held(job, decision);
        if decision.effect == Effect::Deny || job.attempt.object.inner.is_unknown() {
            return Some(decision);
        }
        let inner = std::mem::replace(&mut job.attempt.object.inner, Fact::Unknown(Cause::Unsteady));
        self.elsewhere.clear();
        if let Fact::Known(file) = &job.attempt.object.file {
            let nowhere = Fact::Unknown(Cause::Unsteady);
            let _placement = job.live.scope.name(file.device, nowhere, &mut self.elsewhere);
        }
        std::mem::swap(&mut job.attempt.object.names, &mut self.elsewhere);
        let live = &job.live;
        let view = View { attempt: &job.attempt, users: &live.users };
        let anywhere = decide::decide(&live.generation, live.settings.on_unknown, job.attempt.at, &view);
        let by_place = !matches!(anywhere, Outcome::Decided(anywhere) if anywhere.effect == Effect::Allow);
        std::mem::swap(&mut job.attempt.object.names, &mut self.elsewhere);
        job.attempt.object.inner = inner;
        if !by_place {
            return Some(decision);
        }
        match self.identify.confirm(job.duty.as_fd(), &job.live.scope, &job.attempt) {
            Standing::There => return Some(decision),
            Standing::Lately => return None,
            Standing::Gone => {}
        }
        job.attempt.object.inner = Fact::Unknown(Cause::Unsteady);
        std::mem::swap(&mut job.attempt.object.names, &mut self.elsewhere);
        Some(self.decision(job, Instant::now() + READER_PATIENCE))
    }

    /// What is allowed because of what the file holds is allowed only while nobody can write to it.
    fn with_content_held<D: Duty>(&mut self, job: &mut Job<D>, decision: Decision) -> Decision {
        let unknown = Fact::Unknown(Cause::Unsteady);
        if job.attempt.object.sha256.known().is_none() {
            return decision;
        }
        let hash = std::mem::replace(&mut job.attempt.object.sha256, unknown);
        let live = &job.live;
        let view = View { attempt: &job.attempt, users: &live.users };
        let whatever = decide::decide(&live.generation, live.settings.on_unknown, job.attempt.at, &view);
        let by_content = !matches!(whatever, Outcome::Decided(whatever) if whatever.effect == Effect::Allow);
        if by_content {
            let Some(file) = self.identify.hold(job.duty.as_fd()) else {
                return self.decision(job, Instant::now() + READER_PATIENCE);
            };
            self.held.hold(file, Instant::now());
        }
        job.attempt.object.sha256 = hash;
        decision
    }

    /// Before the answer: the exec may be told of at once.
    fn note_seen(&self, attempt: &Attempt) {
        let subject = &attempt.subject;
        let process = subject.process.known().or(subject.thread.known());
        if let (Some(process), Fact::Known(file)) = (process, &attempt.object.file) {
            self.shared.seen.note(*process, file.device, file.inode, clock::boottime());
        }
    }

    fn tell_undelivered(&self, sequence: Option<u64>, settled: Settled, response: Response) {
        match settled {
            // A caller that was killed needs no answer, and no exec ran.
            Settled::Delivered | Settled::NobodyWaited => return,
            // Counted by the thread that answered in our place.
            Settled::Overtaken => {}
            Settled::Refused(_) => self.shared.counters.fail(Failure::NotDelivered),
        }
        if let Some(sequence) = sequence {
            self.shared.sink.notice(&Notice::NotDelivered { sequence, response, settled });
        }
    }
}

impl Sink for Log {
    fn attempt(&self, entry: &Entry<'_>) -> Result<u64, NotRecorded> {
        self.attempt(entry)
    }

    fn notice(&self, notice: &Notice<'_>) {
        self.notice(notice);
    }
}

impl Identify for Identifier {
    fn essential(
        &mut self,
        thread: i32,
        file: BorrowedFd<'_>,
        scope: &Scope,
        attempt: &mut Attempt,
    ) -> Placement {
        self.essential(thread, file, scope, attempt)
    }

    fn fetch(&mut self, groups: Groups, file: BorrowedFd<'_>, attempt: &mut Attempt, deadline: Instant) {
        self.fetch(groups, file, attempt, deadline);
    }

    fn confirm(&mut self, file: BorrowedFd<'_>, scope: &Scope, attempt: &Attempt) -> Standing {
        self.confirm(file, scope, attempt)
    }

    fn hold(&mut self, file: BorrowedFd<'_>) -> Option<OwnedFd> {
        lease::is_held(file).then(|| file.try_clone_to_owned().ok()).flatten()
    }
}

impl Duty for PendingExec {
    fn thread(&self) -> i32 {
        self.thread()
    }

    fn since(&self) -> u64 {
        self.since()
    }

    fn note(&self, device: Device, inode: u64) {
        self.note(device, inode);
    }

    fn set_fallback(&mut self, fallback: Response) {
        self.set_fallback(fallback);
    }

    fn answer(self, response: Response, audit: bool) -> Settled {
        self.answer(response, audit)
    }
}

/// What full evidence holds. Leaders are left to the rules that ask for them: three more processes to look at, and
/// their command lines would make up most of the record.
fn evidence_groups() -> Groups {
    Groups::ALL.without(Groups::LEADERS)
}

/// A rule matched, or could not be judged: what a person will want to know more about.
fn is_matched(decision: &Decision) -> bool {
    decision.trial.is_some() || !matches!(decision.basis, Basis::NoMatch)
}

fn rule_of(decision: &Decision) -> Option<RuleIndex> {
    match decision.basis {
        Basis::Rule(rule) | Basis::Unknown(rule) => Some(rule),
        Basis::NoMatch | Basis::Failure(_) => None,
    }
}

/// The answer to an attempt that the rules could not decide although all was asked.
fn undecided(live: &Live) -> Decision {
    Decision {
        effect: live.settings.on_unknown,
        basis: Basis::Failure(Failure::SubjectUnknown),
        trial: None,
        passed_over: None,
    }
}

/// The groups that must be read before the command lines of `groups` are anybody's.
fn whose(groups: Groups) -> Groups {
    if groups.contains(Groups::COMMAND_LINES) {
        Groups::PREVIOUS | Groups::PARENT | Groups::LEADERS
    } else {
        Groups::NONE
    }
}

/// Makes the unread facts of the groups unknown.
fn give_up(groups: Groups, attempt: &mut Attempt, why: Cause) {
    if groups.contains(Groups::ARGUMENTS) && attempt.subject.arguments.is_unread() {
        attempt.subject.arguments = Fact::Unknown(why);
    }
    if groups.contains(Groups::HASH) && attempt.object.sha256.is_unread() {
        attempt.object.sha256 = Fact::Unknown(why);
    }
    if groups.contains(Groups::COMMAND_LINES) {
        let subject = &mut attempt.subject;
        if let Fact::Known(image) = &mut subject.previous {
            image.args = unless_read(std::mem::take(&mut image.args), why);
        }
        let others = [
            &mut subject.parent,
            &mut subject.group_leader,
            &mut subject.session_leader,
            &mut subject.entry_leader,
        ];
        for process in others {
            if let Fact::Known(process) = process {
                process.image.args = unless_read(std::mem::take(&mut process.image.args), why);
            }
        }
    }
}

fn unless_read<T>(fact: Fact<T>, why: Cause) -> Fact<T> {
    if fact.is_unread() { Fact::Unknown(why) } else { fact }
}

/// The failures of one attempt, without asking the allocator.
#[derive(Clone, Copy)]
struct Failures {
    kinds: [Failure; 3],
    count: usize,
}

impl Failures {
    fn of(attempt: &Attempt) -> Self {
        let mut failures = Self { kinds: [Failure::SubjectUnknown; 3], count: 0 };
        if attempt.subject.user.is_unknown() {
            failures.push(Failure::SubjectUnknown);
        }
        if attempt.object.inner.is_unknown() || attempt.object.file.is_unknown() {
            failures.push(Failure::ObjectUnknown);
        }
        failures
    }

    fn push(&mut self, failure: Failure) {
        if let Some(place) = self.kinds.get_mut(self.count) {
            *place = failure;
            self.count += 1;
        }
    }

    fn as_slice(&self) -> &[Failure] {
        self.kinds.get(..self.count).unwrap_or(&[])
    }
}

fn count(counters: &Counters, live: &Live, decision: &Decision, response: Response, failures: &[Failure]) {
    let add = |counter: &std::sync::atomic::AtomicU64| {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    add(&counters.attempts);
    match response {
        Response::Deny => add(&counters.denied),
        Response::Allow => add(&counters.allowed),
    }
    if response == Response::Allow && (decision.effect == Effect::Deny || decision.trial.is_some()) {
        add(&counters.would_deny);
    }
    match decision.basis {
        Basis::Rule(_) if decision.effect == Effect::Allow => add(&counters.excepted),
        Basis::NoMatch => add(&counters.no_match),
        Basis::Unknown(_) | Basis::Failure(_) => add(&counters.unknown),
        Basis::Rule(_) => {}
    }
    for rule in [rule_of(decision), decision.trial].into_iter().flatten() {
        live.hit(rule);
    }
    for failure in failures {
        counters.fail(*failure);
    }
}

fn count_unseen(counters: &Counters, live: &Live, decision: &Decision) {
    counters.unseen.fetch_add(1, Ordering::Relaxed);
    for rule in [rule_of(decision), decision.trial].into_iter().flatten() {
        live.hit(rule);
    }
}

/// The answer to an event that nobody judges in time.
pub fn fallback(live: &Live) -> Response {
    decide::reaction(Failure::DeadlinePassed, live.mode, &live.settings)
}
