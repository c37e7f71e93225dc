//! The state of the guard, as `status` shows it. Reads what the other rooms hold, and changes nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::keeper::{Keeper, keep};
use super::marks::Held;
use super::pipeline::Shared;
use super::reader::EVIDENCE_QUEUE;
use crate::control::status::{
    Counters, EvidenceStatus, FailedReload, KeptBy, Kernel, Latency, LeftOut, Mark, MarkKind, ModeSource,
    ModeStatus, PolicyFile, PolicyStatus, RuleStatus, Scheduling, Shortfall, SinkState, SinkStatus, Status,
    Watch,
};
use crate::event::{Failure, Timestamp};
use crate::notify::Group;
use crate::policy::config::{Extra, Unseen};
use crate::record::Log;
use crate::sys::clock;
use crate::watch::monitor::Means;
use crate::watch::plan;

/// Everything that the answers are made from.
#[derive(Debug)]
pub(super) struct Inside {
    pub(super) keeper: Arc<Mutex<Keeper>>,
    shared: Arc<Shared<Log>>,
    group: Arc<Group>,
    started: Timestamp,
    begun: Instant,
    scheduling: Scheduling,
    features: BTreeMap<String, bool>,
    kept_by: KeptBy,
}

impl Inside {
    /// What is true from now on.
    pub(super) fn new(
        keeper: &Arc<Mutex<Keeper>>,
        shared: &Arc<Shared<Log>>,
        group: &Arc<Group>,
        scheduling: Scheduling,
        means: Means,
        kept_by: KeptBy,
    ) -> Self {
        Self {
            keeper: Arc::clone(keeper),
            shared: Arc::clone(shared),
            group: Arc::clone(group),
            started: Timestamp(clock::realtime()),
            begun: Instant::now(),
            scheduling,
            features: features(group, means),
            kept_by,
        }
    }

    /// The state of this moment. Waits for the keeper.
    pub(super) fn status(&self) -> Status {
        let keeper = keep(&self.keeper);
        let live = self.shared.current.get();
        let mut status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id().cast_signed(),
            started: seconds(self.started),
            uptime_seconds: self.begun.elapsed().as_secs(),
            mode: mode(&keeper),
            problems: problems(&keeper),
            marks: marks(&keeper),
            left_out: keeper.marks().plan().left_out.iter().map(left_out).collect(),
            policy: policy(&keeper, &live),
            rules: rules(&live),
            counters: self.counters(),
            sinks: sinks(&keeper, &self.shared.sink),
            scheduling: self.scheduling.clone(),
            evidence: self.evidence(),
            answer_latency: self.latency(),
            kernel: self.kernel(),
            watch: watch(&keeper),
            kept_by: if keeper.parent_gone() { KeptBy::Nobody } else { self.kept_by },
        };
        status.find_problems();
        status
    }

    fn counters(&self) -> Counters {
        let counted = &self.shared.counters;
        let mut counters = Counters {
            attempts: counted.attempts.load(Ordering::Relaxed),
            allowed: counted.allowed.load(Ordering::Relaxed),
            denied: counted.denied.load(Ordering::Relaxed),
            would_deny: counted.would_deny.load(Ordering::Relaxed),
            excepted: counted.excepted.load(Ordering::Relaxed),
            no_match: counted.no_match.load(Ordering::Relaxed),
            unknown: counted.unknown.load(Ordering::Relaxed),
            outside: counted.outside.load(Ordering::Relaxed),
            take_overs: counted.take_overs.load(Ordering::Relaxed),
            reliefs: counted.reliefs.load(Ordering::Relaxed),
            execs: counted.execs.load(Ordering::Relaxed),
            execs_gone: counted.execs_gone.load(Ordering::Relaxed),
            unseen: counted.unseen.load(Ordering::Relaxed),
            opens: counted.opens.load(Ordering::Relaxed),
            opens_unknown: counted.opens_unknown.load(Ordering::Relaxed),
            ..Counters::new()
        };
        for (failure, count) in counted.failures() {
            let dropped = if failure == Failure::Dropped { self.group.dropped() } else { 0 };
            counters.failures.insert(failure.name().to_owned(), count + dropped);
            if failure == Failure::QueueOverflow {
                counters.queue_overflows = count;
            }
        }
        counters
    }

    fn evidence(&self) -> EvidenceStatus {
        let counted = &self.shared.counters;
        EvidenceStatus {
            queued: counted.evidence_queued.load(Ordering::Relaxed),
            capacity: u64::try_from(EVIDENCE_QUEUE).unwrap_or(u64::MAX),
            full: counted.evidence_full.load(Ordering::Relaxed),
            cut_short: counted.evidence_cut.load(Ordering::Relaxed),
        }
    }

    fn latency(&self) -> Latency {
        let histogram = self.shared.counters.latency();
        Latency {
            count: histogram.count(),
            p50_us: histogram.per_mille(500),
            p99_us: histogram.per_mille(990),
            max_us: histogram.longest(),
        }
    }

    fn kernel(&self) -> Kernel {
        let release = nix::sys::utsname::uname()
            .map(|names| names.release().to_string_lossy().into_owned())
            .unwrap_or_default();
        Kernel { release, features: self.features.clone() }
    }
}

fn features(group: &Group, means: Means) -> BTreeMap<String, bool> {
    let features = group.features();
    [
        ("FAN_REPORT_FD_ERROR", features.fd_error),
        ("FAN_ENABLE_AUDIT", features.audit),
        ("FAN_MARK_MNTNS", means == Means::Events),
    ]
    .map(|(name, there)| (name.to_owned(), there))
    .into()
}

fn watch(keeper: &Keeper) -> Watch {
    let config = &keeper.config().watch;
    let opens = |extra| match (extra, keeper.opens()) {
        (_, None) | (Extra::Off, _) => "off",
        (Extra::Audit, _) => "audit",
        (Extra::Deny, _) => "deny",
    };
    let reports = config.unseen == Unseen::Report && keeper.unseen_failed().is_none();
    Watch {
        host_mounts: keeper.marks().of_the_host(),
        containers: config.containers,
        loaders: opens(config.loaders).to_owned(),
        interpreters: opens(config.interpreters).to_owned(),
        unseen: if reports { "report" } else { "off" }.to_owned(),
    }
}

fn mode(keeper: &Keeper) -> ModeStatus {
    let (set, forced, configured) = keeper.modes();
    let after = forced.map_or(configured, |(mode, _)| mode);
    match set {
        Some(set) => ModeStatus {
            current: set.mode,
            until: set.until.map(|(_, at)| seconds(at)),
            then: set.until.map(|_| after),
            source: ModeSource::Control,
        },
        None => ModeStatus {
            current: after,
            until: None,
            then: None,
            source: forced.map_or(ModeSource::Configuration, |(_, source)| source),
        },
    }
}

/// What only the guard itself knows not to hold; the rest follows from the other fields.
fn problems(keeper: &Keeper) -> Vec<Shortfall> {
    let all = keeper.marks().held().iter().chain(keeper.marks().foreign());
    let refused = all.filter_map(|held| {
        let error = held.refused.as_ref()?;
        Some(Shortfall {
            what: format!("the kernel refused the mark on {}: {error}", shown(&held.mark.path)),
            remedy: "what is mounted there is not guarded; unmount it or reload".to_owned(),
        })
    });
    let unread = keeper.mounts_unreadable().map(|error| Shortfall {
        what: format!("the mount table could not be read: {error}"),
        remedy: "new mounts may be unguarded; reload".to_owned(),
    });
    let parent = keeper.parent_gone().then(|| Shortfall {
        what: "the parent of this guard is gone: if the guard dies now, waiting execs run".to_owned(),
        remedy: "start the guard again".to_owned(),
    });
    let unseen = keeper.unseen_failed().map(|error| Shortfall {
        what: format!("what runs unseen is not told: {error}"),
        remedy: "see `shmguard doctor` for what it needs, and start the guard again".to_owned(),
    });
    refused.chain(unread).chain(parent).chain(unseen).chain(opens_problems(keeper)).collect()
}

/// Where opens should be looked at and are not.
fn opens_problems(keeper: &Keeper) -> Vec<Shortfall> {
    let none = keeper.opens_failed().map(|error| Shortfall {
        what: format!("loads and interpreters are not looked at: {error}"),
        remedy: "reload".to_owned(),
    });
    let held = keeper.marks().held().iter().filter(|_| keeper.opens().is_some());
    let some = held.filter_map(|held| {
        let path = shown(&held.mark.path);
        if held.mark.whole_filesystem_shared {
            // A tmpfs at /dev, say: what lies there is hidden by what is mounted on the watched directory.
            if !holds_watched(keeper.marks().plan(), &held.mark) {
                return None;
            }
            return Some(Shortfall {
                what: format!(
                    "loads and interpreters are not looked at on {path}, which holds more than is watched"
                ),
                remedy: "mount a tmpfs on the watched directory".to_owned(),
            });
        }
        let error = held.opens_refused.as_ref()?;
        Some(Shortfall {
            what: format!("the kernel refused the mark for opens on {path}: {error}"),
            remedy: "loads from there are not seen; reload".to_owned(),
        })
    });
    none.into_iter().chain(some).collect()
}

/// Whether a watched directory lies on this very filesystem.
fn holds_watched(plan: &plan::Plan, mark: &plan::Mark) -> bool {
    plan.coverage.iter().any(|one| match one.by {
        plan::Covered::Mark(index) => plan.marks.get(index).is_some_and(|by| by.device == mark.device),
        plan::Covered::LeftOut(_) => false,
    })
}

fn marks(keeper: &Keeper) -> Vec<Mark> {
    let plan = keeper.marks().plan();
    let own = keeper.marks().held().iter().map(|held| {
        let why = match held.mark.whole_filesystem_shared {
            true if holds_watched(plan, &held.mark) => "on a shared filesystem",
            true => "has a directory beneath a watched one",
            false => "in a watched directory",
        };
        (held, why)
    });
    let foreign = keeper.marks().foreign().iter().map(|held| (held, "in another mount namespace"));
    own.chain(foreign).filter(|(held, _)| held.refused.is_none()).map(|(held, why)| mark(held, why)).collect()
}

fn mark(held: &Held, reason: &str) -> Mark {
    let mark = &held.mark;
    Mark {
        path: shown(&mark.path),
        filesystem: mark.fs_type.clone(),
        device: mark.device.to_string(),
        kind: match mark.kind {
            plan::MarkKind::Filesystem => MarkKind::Filesystem,
            plan::MarkKind::Mount => MarkKind::Mount,
        },
        noexec: mark.noexec,
        nosuid: mark.nosuid,
        since: seconds(held.since),
        reason: reason.to_owned(),
    }
}

fn left_out(left: &plan::LeftOut) -> LeftOut {
    LeftOut {
        directory: shown(&left.directory),
        reason: left.reason.to_string(),
        remedy: left.remedy.clone(),
        harmless: left.reason == plan::Reason::Missing,
    }
}

fn policy(keeper: &Keeper, live: &super::live::Live) -> PolicyStatus {
    let (generation, loaded) = keeper.generation();
    let files = live.generation.files().iter().map(|file| PolicyFile {
        path: file.file.as_deref().map_or_else(|| "(embedded)".to_owned(), shown),
        sha256: file.sha256.clone(),
    });
    PolicyStatus {
        generation,
        hash: live.generation.hash().to_owned(),
        loaded: seconds(loaded),
        builtin: keeper.config().builtin,
        files: files.collect(),
        failed_reload: keeper
            .failed_reload()
            .map(|(at, message)| FailedReload { at: seconds(at), message: message.to_owned() }),
    }
}

fn rules(live: &super::live::Live) -> Vec<RuleStatus> {
    let now = clock::realtime();
    let rules = live.generation.rules().iter().zip(live.hits.iter());
    rules
        .map(|(rule, hits)| {
            let about = &rule.about;
            RuleStatus {
                id: about.id.clone(),
                effect: about.effect,
                mode: about.mode,
                hits: hits.load(Ordering::Relaxed),
                expires: about.expires.map(|at| seconds(Timestamp(at))),
                expired: about.expires.is_some_and(|at| at < now),
            }
        })
        .collect()
}

fn sinks(keeper: &Keeper, log: &Log) -> Vec<SinkStatus> {
    let target = |name: &str| {
        let log = &keeper.at_start().log;
        match name {
            "file" => shown(&log.file.path),
            "alerts" => shown(&log.file.path.with_file_name("alerts.ndjson")),
            "syslog" => shown(&log.syslog.socket),
            _ => name.to_owned(),
        }
    };
    let states = log.counters().into_iter();
    states
        .map(|sink| SinkStatus {
            target: target(&sink.sink),
            state: if sink.working { SinkState::Working } else { SinkState::Failing },
            written: sink.written,
            lost: sink.lost,
            last_error: sink.error,
            name: sink.sink,
        })
        .collect()
}

fn seconds(at: Timestamp) -> u64 {
    at.0 / 1_000_000_000
}

/// A path as text: one line, no control characters, nothing lost.
fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().utf8_chunks().fold(String::new(), |mut text, chunk| {
        text.extend(chunk.valid().chars().flat_map(|c| {
            if c.is_control() || c == '\\' { c.escape_default().to_string() } else { c.to_string() }
                .chars()
                .collect::<Vec<_>>()
        }));
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
        text
    })
}
