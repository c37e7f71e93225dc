//! The state of the guard, as `shmguard status --json` prints it.
//!
//! Pure values. The daemon fills them in; [`Status::problems`] is everything that was promised and does not hold, and
//! decides the command's exit status. Times are seconds since the Unix epoch. A path is text: bytes that are not
//! UTF-8, and control characters, are escaped by the one who fills it in.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Effect, Failure, Mode};

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The process that answers the kernel.
    pub pid: i32,
    /// Since when this process runs.
    pub started: u64,
    /// Whole seconds since then, by a clock that nobody can set.
    pub uptime_seconds: u64,
    /// The mode and how it came about.
    pub mode: ModeStatus,
    /// Everything that was promised and does not hold. Empty is the good state.
    pub problems: Vec<Shortfall>,
    /// What carries a mark.
    pub marks: Vec<Mark>,
    /// What was to be watched and is not.
    pub left_out: Vec<LeftOut>,
    /// Where the rules come from.
    pub policy: PolicyStatus,
    /// The rules in the order in which they are tried.
    pub rules: Vec<RuleStatus>,
    /// What was counted since `started`.
    pub counters: Counters,
    /// Where records go.
    pub sinks: Vec<SinkStatus>,
    /// How the reader of events is scheduled.
    pub scheduling: Scheduling,
    /// The second look at matched attempts.
    pub evidence: EvidenceStatus,
    /// From the reading of an event to its answer.
    pub answer_latency: Latency,
    /// What the running kernel offers.
    pub kernel: Kernel,
    /// What is watched beside execs in our own mount namespace.
    #[serde(default)]
    pub watch: Watch,
    /// Who keeps the waiting execs for the next guard when this process ends.
    #[serde(default)]
    pub kept_by: KeptBy,
}

/// What is watched beside execs in our own mount namespace, as it is in force: what is configured and does not work is
/// off here, and among the problems.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The mounts that are followed are those of process 1, the guard's own being a copy of them.
    #[serde(default)]
    pub host_mounts: bool,
    /// The directories of other mount namespaces.
    pub containers: bool,
    /// What ld.so loads: "off", "audit", "deny".
    pub loaders: String,
    /// What interpreters are given: "off", "audit", "deny".
    pub interpreters: String,
    /// What runs unseen: "off", "report".
    pub unseen: String,
}

/// Who keeps the waiting execs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptBy {
    /// Nobody: the kernel lets them run.
    #[default]
    Nobody,
    /// The service manager.
    ServiceManager,
    /// The parent of `run --supervise`.
    Parent,
}

/// The mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModeStatus {
    /// The mode in force.
    pub current: Mode,
    /// Until when, where it is for a time.
    pub until: Option<u64>,
    /// The mode that holds afterwards.
    pub then: Option<Mode>,
    /// What set it.
    pub source: ModeSource,
}

/// What set the mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModeSource {
    /// The configuration, or its default.
    Configuration,
    /// `run --mode`.
    CommandLine,
    /// `shmguard.mode=` on the kernel's command line.
    KernelCommandLine,
    /// `shmguard mode`.
    Control,
}

/// One promise that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortfall {
    /// What does not hold: one clause.
    pub what: String,
    /// What to do about it: one clause.
    pub remedy: String,
}

/// One mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Where the filesystem is mounted.
    pub path: String,
    /// Its type: "tmpfs".
    pub filesystem: String,
    /// Its device: "0:25".
    pub device: String,
    /// How far the mark reaches.
    pub kind: MarkKind,
    /// The mount is noexec: the kernel refuses before it asks us.
    pub noexec: bool,
    /// The mount is nosuid.
    pub nosuid: bool,
    /// Since when.
    pub since: u64,
    /// Why: "watched directory", "mounted below /run", "container 3f2a...".
    pub reason: String,
}

/// How far a mark reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// The whole superblock, whatever way leads to it.
    Filesystem,
    /// One mount of it.
    Mount,
}

/// A directory that is not watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// As the operator wrote it.
    pub directory: String,
    /// Why.
    pub reason: String,
    /// How to close it; empty where it needs no closing.
    pub remedy: String,
    /// It is the same directory as another one, or is not there: nothing can run from it, so no promise is broken.
    pub harmless: bool,
}

/// The generation in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// Counts up with every reload that succeeded, from 1.
    pub generation: u64,
    /// SHA-256 over everything that it was made from, in hexadecimal.
    pub hash: String,
    /// When it was read.
    pub loaded: u64,
    /// The embedded policy is its last layer.
    pub builtin: bool,
    /// Its files, in order; the embedded policy is called "(embedded)".
    pub files: Vec<PolicyFile>,
    /// The last reload, where it failed: the generation in force is then an older one.
    pub failed_reload: Option<FailedReload>,
}

/// One file of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFile {
    /// Its path, or "(embedded)".
    pub path: String,
    /// Of its content when it was read, in hexadecimal.
    pub sha256: String,
}

/// A reload that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedReload {
    /// When.
    pub at: u64,
    /// Why: the first problem, with file, line and column.
    pub message: String,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleStatus {
    /// Its id.
    pub id: String,
    /// What a match asks for.
    pub effect: Effect,
    /// Its own mode, where it has one.
    pub mode: Option<Mode>,
    /// How often it decided or, on trial, matched.
    pub hits: u64,
    /// Its last moment, where it has one.
    pub expires: Option<u64>,
    /// That moment has passed.
    pub expired: bool,
}

/// Counters since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Events read that were attempts inside the watched directories.
    pub attempts: u64,
    /// Answered with allow.
    pub allowed: u64,
    /// Answered with deny.
    pub denied: u64,
    /// Allowed in audit mode although the decision was deny.
    pub would_deny: u64,
    /// Allowed by an allow rule.
    pub excepted: u64,
    /// No rule matched.
    pub no_match: u64,
    /// Decided by `on_unknown`.
    pub unknown: u64,
    /// Outside every watched directory of a marked filesystem: allowed at once, unrecorded.
    pub outside: u64,
    /// How often each failure happened, by its name. Every failure is there.
    pub failures: BTreeMap<String, u64>,
    /// How often this guard's group was taken over from a process that ended.
    pub take_overs: u64,
    /// How often a second reader had to read, because the first one was held up.
    #[serde(default)]
    pub reliefs: u64,
    /// Execs that the kernel told of after the fact.
    #[serde(default)]
    pub execs: u64,
    /// Of these, those whose process had ended before anybody could look.
    #[serde(default)]
    pub execs_gone: u64,
    /// Programs that ran unseen.
    #[serde(default)]
    pub unseen: u64,
    /// Opens that were looked at for loads and interpreters.
    #[serde(default)]
    pub opens: u64,
    /// Of these, those of which nobody found out in time what they were for.
    #[serde(default)]
    pub opens_unknown: u64,
    /// How often the kernel's queue overflowed.
    pub queue_overflows: u64,
}

/// One sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkStatus {
    /// "file", "syslog", "journal", "audit", "stderr".
    pub name: String,
    /// Where to: a path.
    pub target: String,
    /// How it does.
    pub state: SinkState,
    /// Records written.
    pub written: u64,
    /// Records lost.
    pub lost: u64,
    /// The last error, if ever there was one.
    pub last_error: Option<String>,
}

/// How a sink does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SinkState {
    /// The last record was written.
    Working,
    /// The last record was lost, or nobody listens.
    Failing,
    /// Switched off, or `auto` and there is nobody to listen.
    Off,
}

/// The scheduling of the reader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduling {
    /// In force: "SCHED_FIFO 1", "nice -20", "default".
    pub in_force: String,
    /// What was refused before, and why.
    pub refused: Option<String>,
}

/// The evidence thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceStatus {
    /// Attempts that wait for their second look.
    pub queued: u64,
    /// How many can wait.
    pub capacity: u64,
    /// How many were looked at.
    pub full: u64,
    /// How many got an essential record because the queue was full or the time was up.
    pub cut_short: u64,
}

/// A histogram in three figures, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// How many answers.
    pub count: u64,
    /// Half were faster.
    pub p50_us: u64,
    /// 99 of 100 were faster.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// The kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// uname -r.
    pub release: String,
    /// Features that the guard can use, by name, and whether they are there (probed, not guessed from the release).
    pub features: BTreeMap<String, bool>,
}

impl Counters {
    /// All zero, with every failure's name present.
    #[must_use]
    pub fn new() -> Self {
        let failures = Failure::ALL.iter().map(|failure| (failure.name().to_owned(), 0)).collect();
        Self { failures, ..Self::default() }
    }
}

impl Status {
    /// Everything promised holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    /// Appends to `problems` what follows from the other fields: directories left out, a failed reload, sinks that
    /// lose records, failures that left a gap, rules that have expired. What only the guard knows (a mark that could
    /// not be set, say) it has put there before.
    pub fn find_problems(&mut self) {
        let mut found = Vec::new();
        let mut add = |what: String, remedy: &str| {
            found.push(Shortfall { what, remedy: remedy.to_owned() });
        };
        if self.marks.is_empty() {
            add("no filesystem carries a mark: nothing is guarded".to_owned(), "see what is left out below");
        }
        for left in self.left_out.iter().filter(|left| !left.harmless) {
            add(format!("{} is not watched: {}", left.directory, left.reason), &left.remedy);
        }
        if let Some(failed) = &self.policy.failed_reload {
            add(
                format!("the last reload failed and an older policy is in force: {}", failed.message),
                "mend the file, see `shmguard policy check`, then `shmguard reload`",
            );
        }
        for sink in &self.sinks {
            let error = sink.last_error.as_deref().unwrap_or("no error is known");
            match sink.state {
                SinkState::Failing => {
                    add(
                        format!("the {} sink ({}) does not take records: {error}", sink.name, sink.target),
                        "see that the disk has room and the daemon runs; it resumes by itself",
                    );
                }
                SinkState::Working if sink.lost > 0 => {
                    add(
                        format!("the {} sink has lost {} records (last: {error})", sink.name, sink.lost),
                        "they are not in that sink; it works again, and a restart clears this",
                    );
                }
                SinkState::Working | SinkState::Off => {}
            }
        }
        for (failure, remedy) in GAPS {
            let count = self.counters.failures.get(failure.name()).copied().unwrap_or_default();
            if count > 0 {
                add(format!("{} happened {count} times since the start", failure.name()), remedy);
            }
        }
        for rule in self.rules.iter().filter(|rule| rule.expired && rule.effect == Effect::Deny) {
            add(format!("the deny rule {} has expired", rule.id), "remove it or give it a later date");
        }
        self.problems.append(&mut found);
    }
}

/// The failures that break a promise by happening at all.
const GAPS: [(Failure, &str); 7] = [
    (
        Failure::DeadlinePassed,
        "answers were given without a full look: see the log's disk and the machine's load",
    ),
    (Failure::NotRecorded, "attempts have no record: see the sinks"),
    (
        Failure::KernelDenied,
        "the kernel denied execs itself for want of descriptors or memory: raise LimitNOFILE",
    ),
    (Failure::NotDelivered, "the kernel refused answers: this is a mistake in shmguard, please report it"),
    (Failure::Dropped, "an event was lost inside shmguard: this is a mistake in it, please report it"),
    (
        Failure::ExecsLost,
        "programs that run from memory may have been missed: see the records around each gap",
    ),
    (Failure::QueueOverflow, "execs may have run unseen: see the records around each overflow"),
];
