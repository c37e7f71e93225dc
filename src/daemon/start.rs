//! `run`, from the first check to the last answer, in the order in which things must happen.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::control;
use super::counters::Counters;
use super::error::{StartError, say, system};
use super::keeper::{self, Keeper, keep};
use super::last_good;
use super::leave::leave;
use super::live::{self, Current, Live, Opens};
use super::load::{self, Ownership};
use super::marks::Marks;
use super::opens;
use super::pipeline::Shared;
use super::seen::Seen;
use super::signals::Signals;
use super::sinks;
use super::status::Inside;
use super::steward::Steward;
use super::supervised::{self, Inherited, Role};
use super::threads::{Seat, Threads};
use super::{unable, unseen};
use crate::control::server::{self, Listener};
use crate::control::status::{KeptBy, ModeSource};
use crate::decide;
use crate::event::{Failure, Mode, Settled};
use crate::notify::{Group, InFlight, Waiting};
use crate::policy::config::{Config, Level, OnBadPolicy, Unseen};
use crate::policy::{Generation, Problem};
use crate::privileges;
use crate::record::{Host, Log, Notice, Numbering, Successor};
use crate::supervise::service::Service;
use crate::sys::text;
use crate::watch::monitor::Monitor;
use crate::watch::place::View;
use crate::watch::{links, plan};

/// The names under which a service manager keeps our descriptors.
const GROUP: &str = "group";
const IN_FLIGHT: &str = "in-flight";

/// How long a successor waits for its log.
const LOG_PATIENCE: Duration = Duration::from_millis(500);

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration file; `None`: the usual one, if it exists.
    pub config: Option<PathBuf>,
    /// Stands above the configuration's mode.
    pub mode: Option<Mode>,
    /// A parent keeps the group and starts the guard again when it dies.
    pub supervise: bool,
}

/// So many guards may die one after the other before they stand; from then on nobody waits for the next one to stand.
const TRIES: u64 = 5;

/// Guards until a signal ends it, and returns the exit status. Blocks.
///
/// # Errors
/// The guard does not stand; nothing is marked and nothing waits.
pub fn run(options: &Options) -> Result<u8, StartError> {
    privileges::check().map_err(StartError::Privileges)?;
    abort_on_panic();
    // Asked before there is a parent of our own between us and the manager.
    let view = if Service::started_us() { View::of_the_host() } else { View::own() };
    let (role, prepared) = match handed_over().map_err(system("take over the group"))? {
        Some(inherited) => (Role::Worker(inherited), None),
        None => {
            // Mistakes are told before anything is touched.
            let prepared = Prepared::read(options)?;
            let group = Group::new(sinks::wants_audit(&prepared.config)).map_err(StartError::Group)?;
            let role = if options.supervise {
                supervised::part(group, prepared.config.answer_deadline)?
            } else {
                Role::Worker(Inherited { group: Arc::new(group), predecessor: None })
            };
            (role, Some(prepared))
        }
    };
    match (role, prepared) {
        (Role::Over(status), _) => Ok(status),
        (Role::Worker(inherited), Some(prepared)) if inherited.predecessor.is_none() => {
            guard(options, view, prepared, inherited)
        }
        // The files may have changed since.
        (Role::Worker(inherited), _) => {
            let group = Arc::clone(&inherited.group);
            if group.in_flight().begin() > TRIES {
                // They die before they stand. Who waits has waited for all of them, and this one may die as well.
                unable::answer_what_waits(&group);
            }
            let guarded =
                Prepared::read(options).and_then(|prepared| guard(options, view, prepared, inherited));
            guarded.inspect_err(|_| unable::answer_what_waits(&group))
        }
    }
}

/// What was read before anything is touched.
struct Prepared {
    config: Config,
    config_file: Option<PathBuf>,
    generation: Generation,
    /// What is wrong with the policy in whose place the last good one stands.
    bad_policy: Vec<Problem>,
    /// The mode that stands above the configuration's, and what set it.
    forced_mode: Option<(Mode, ModeSource)>,
}

impl Prepared {
    fn read(options: &Options) -> Result<Self, StartError> {
        let (config, config_file) =
            load::config(options.config.as_deref(), Ownership::Checked).map_err(StartError::Problems)?;
        let forced_mode = forced_mode(options)?;
        let (generation, bad_policy) = match load::policy(&config, Ownership::Checked) {
            Ok(generation) => (generation, Vec::new()),
            Err(problems) if config.on_bad_policy == OnBadPolicy::LastGood => match last_good::load() {
                Ok(generation) => (generation, problems),
                Err(more) => return Err(StartError::Problems(problems.into_iter().chain(more).collect())),
            },
            Err(problems) => return Err(StartError::Problems(problems)),
        };
        Ok(Self { config, config_file, generation, bad_policy, forced_mode })
    }
}

/// `shmguard.mode=` on the kernel's command line is the way out for a host that does not boot: it stands above all.
fn forced_mode(options: &Options) -> Result<Option<(Mode, ModeSource)>, StartError> {
    let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    match line.split_whitespace().rev().find_map(|word| word.strip_prefix("shmguard.mode=")) {
        Some("off") => Err(StartError::SwitchedOff),
        Some("audit") => Ok(Some((Mode::Audit, ModeSource::KernelCommandLine))),
        Some("prevent") => Ok(Some((Mode::Prevent, ModeSource::KernelCommandLine))),
        Some(_) | None => Ok(options.mode.map(|mode| (mode, ModeSource::CommandLine))),
    }
}

/// The group that a service manager kept for us, with the table of what our predecessor left.
fn handed_over() -> io::Result<Option<Inherited>> {
    let mut kept = Service::kept()?;
    let Some(group) = kept.remove(GROUP) else { return Ok(None) };
    let in_flight = match kept.remove(IN_FLIGHT) {
        // One that is not ours to read is none: what it knew is lost, and what waits is answered all the same.
        Some(table) => InFlight::adopt(table).or_else(|_| InFlight::new())?,
        None => InFlight::new()?,
    };
    let group = Arc::new(Group::adopt(group, in_flight));
    Ok(Some(Inherited { group, predecessor: Some("ended".to_owned()) }))
}

/// One guard, from its group to its end.
fn guard(options: &Options, view: View, prepared: Prepared, inherited: Inherited) -> Result<u8, StartError> {
    let Prepared { config, config_file, generation, bad_policy, forced_mode } = prepared;
    let Inherited { group, predecessor } = inherited;
    // First of all signals: one that comes while we start must end us in order.
    let signals = Signals::new().map_err(system("take over signals"))?;
    let seat = Seat::take("reader")?;
    let second = Seat::take("relief")?;
    let wants_opens = opens::wanted(&config.watch) != Opens::OFF;
    let opens_seat = if wants_opens { Some(Seat::take("opens")?) } else { None };
    let scheduling = seat.scheduling.clone();
    // This thread follows the mounts: on a busy host, what is mounted runs unseen for as long as it waits for a processor.
    // Where it is refused, it follows them as well as it can.
    let _nimble = crate::sys::scheduling::nice_alone(-20);
    // Before Linux 6.6 only CAP_NET_ADMIN may be told of execs; and these threads want a priority too.
    let unseen_seats = (config.watch.unseen == Unseen::Report).then(unseen::seats);
    privileges::give_up().map_err(StartError::Privileges)?;
    privileges::hide_memory().map_err(StartError::Privileges)?;
    privileges::confine_guard().map_err(StartError::Privileges)?;
    let service = Service::new();
    let handed_on = service.keep(&[(GROUP, group.as_fd()), (IN_FLIGHT, group.in_flight().as_fd())]);
    let listener = match Listener::bind(&config.control.socket) {
        // A predecessor that was killed lingers for as long as a disk holds up one of its threads, and its socket with it.
        Err(server::Error::Held { .. }) if predecessor.is_some() => None,
        other => Some(other.map_err(of_control)?),
    };
    let monitor = Monitor::new(&view).map_err(system("watch the mount table"))?;
    let users = load::users();
    let numbers = Arc::new(Numbers(Arc::clone(&group)));
    // Execs that wait for a successor do not wait for its disk.
    let says =
        predecessor.map(|end| format!("the guard before this one {end}; this one has taken over its group"));
    let successor = says.as_deref().map(|says| Successor { says, patience: LOG_PATIENCE });
    let log = Log::open_after(&sinks::settings(&config), Host::read(), numbers, successor)
        .map_err(StartError::Log)?;
    if let Some(error) =
        log.counters().first().filter(|file| !file.working).and_then(|file| file.error.as_ref())
    {
        say(&format!("the log cannot be used yet: {error}"));
    }

    let rules = generation.rules().len();
    let policy_hash = generation.hash().to_owned();
    let shared = Arc::new(Shared {
        current: Current::new(Live {
            hits: live::hits(&generation, None),
            generation: Arc::new(generation),
            mode: keeper::mode_in_force(&config, forced_mode, None),
            settings: keeper::settings(&config),
            full_evidence: config.evidence.level == Level::Full,
            audit: group.features().audit,
            scope: Arc::default(),
            users: Arc::new(users),
            opens: Opens::OFF,
        }),
        counters: Counters::default(),
        seen: Seen::default(),
        sink: log,
    });
    let directories = links::resolve(&config.watch.directories);
    let mut marks = Marks::new(Arc::clone(&group), view);
    marks
        .watch(directories, keeper::watch_settings(&config), config.watch.containers)
        .map_err(system("tell mount namespaces apart"))?;
    let answer_deadline = config.answer_deadline;
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let nudge =
        EventFd::from_flags(flags).map_err(io::Error::from).map_err(system("make an event descriptor"))?;
    let nudge = Arc::new(nudge);
    let keeps_policy = config.on_bad_policy == OnBadPolicy::LastGood;
    let mut keeper =
        Keeper::new(Arc::clone(&shared), marks, config, config_file, forced_mode, Arc::clone(&nudge));
    keeper.note_bad_policy(&bad_policy);
    if says.is_some() {
        keeper.inherit_mode();
        // The scope first: what waits in the group is judged as soon as the reader has it.
        keeper.refresh_mounts();
        settle_left_over(&group, &shared);
    }
    let threads = Threads::start([seat, second], &group, &keeper.opens_group(), &shared, answer_deadline)?;
    keeper.follow_opens(opens_seat);
    // The reader stands before the first mark: from the mark on, execs wait for it.
    keeper.refresh_mounts();
    let placed = match check_marks(&keeper) {
        Ok(placed) => placed,
        Err(error) => {
            // Closing the group, which follows, takes away what is left.
            let _cleared = keeper.clear_marks();
            threads.end();
            return Err(error);
        }
    };
    keeper.look_around();
    keeper.follow_unseen(unseen_seats);
    group.in_flight().set_stood(shared.current.get().mode);
    let keeper = Arc::new(Mutex::new(keeper));
    let kept_by = match (handed_on, options.supervise) {
        (true, _) => KeptBy::ServiceManager,
        (false, true) => KeptBy::Parent,
        (false, false) => KeptBy::Nobody,
    };
    let inside = Inside::new(&keeper, &shared, &group, scheduling, monitor.means(), kept_by);
    let socket = keep(&keeper).at_start().control.socket.clone();
    let control = control::serve(listener, socket, inside)?;

    let mode = shared.current.get().mode;
    shared.sink.notice(&Notice::Started {
        version: env!("CARGO_PKG_VERSION"),
        mode,
        policy_hash: &policy_hash,
        rules,
        marks: placed,
        taken_over: says.is_some(),
    });
    tell_left_out(&keep(&keeper), &shared.sink);
    if keeps_policy && bad_policy.is_empty() {
        keep(&keeper).keep_policy();
    }
    if let Some(error) = keep(&keeper).opens_failed() {
        say(&format!("loads and interpreters are not looked at: {error}"));
    }
    if let Some(error) = keep(&keeper).unseen_failed() {
        say(&format!("what runs unseen is not told: {error}"));
    }
    // What the start ran through is not run again; where it cannot be given back, that costs memory and nothing else.
    let _given_back = text::give_back();
    say("ready");
    service.ready(&format!("{mode} mode, {placed} filesystems guarded, {rules} rules"));
    let supervised = options.supervise.then(nix::unistd::getppid);
    let mut steward =
        Steward { keeper, shared, group, service, signals, monitor, nudge, handed_on, supervised };
    let ended = steward.watch();
    leave(&steward, ended, threads, control).map(|()| 0)
}

/// Answers what a dead predecessor had read and not answered, and records each.
fn settle_left_over(group: &Group, shared: &Shared<Log>) {
    let live = shared.current.get();
    let response = decide::reaction(Failure::TakenOver, live.mode, &live.settings);
    shared.counters.take_overs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    for (number, waiting) in group.settle_left_over(response) {
        shared.counters.fail(Failure::TakenOver);
        let detail = waiting.map_or_else(
            || format!("event {number}, of which nothing is known, answered {response:?}"),
            |waiting| Waiting { fallback: response, ..waiting }.told(Settled::Delivered),
        );
        shared.sink.notice(&Notice::Gap { failure: Failure::TakenOver, count: 1, detail: &detail });
        group.in_flight().pay(1);
    }
}

/// The log's numbering, in the table that a successor of ours inherits.
#[derive(Debug)]
struct Numbers(Arc<Group>);

impl Numbering for Numbers {
    fn note(&self, next: u64, missing: u64) {
        self.0.in_flight().note_numbers(next, missing);
    }

    fn noted(&self) -> (u64, u64) {
        self.0.in_flight().numbers()
    }

    fn owe(&self, records: u64) {
        self.0.in_flight().owe(records);
    }

    fn pay(&self, records: u64) {
        self.0.in_flight().pay(records);
    }

    fn owed(&self) -> u64 {
        self.0.in_flight().owed()
    }
}

/// How many marks are in place.
fn check_marks(keeper: &Keeper) -> Result<usize, StartError> {
    if let Some(error) = keeper.mounts_unreadable() {
        return Err(StartError::Marks(copy(error)));
    }
    let held = keeper.marks().held();
    let placed = held.iter().filter(|held| held.refused.is_none()).count();
    if placed > 0 {
        return Ok(placed);
    }
    match held.iter().find_map(|held| held.refused.as_ref()) {
        Some(error) => Err(StartError::Marks(copy(error))),
        None => Err(StartError::NothingToWatch(keeper.marks().plan().left_out.clone())),
    }
}

/// A directory that is not watched is told where whoever started the guard looks: on standard error, and in the log.
fn tell_left_out(keeper: &Keeper, log: &Log) {
    use std::os::unix::ffi::OsStrExt;
    for left in &keeper.marks().plan().left_out {
        let reason = left.reason.to_string();
        log.notice(&Notice::LeftOut { directory: left.directory.as_os_str().as_bytes(), reason: &reason });
        if left.reason != plan::Reason::Missing {
            say(&format!("not watched: {}: {reason}; {}", left.directory.display(), left.remedy));
        }
    }
}

/// A thread that panics must not leave a guard behind that looks alive and answers nobody.
fn abort_on_panic() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        default(panic);
        std::process::abort();
    }));
}

fn of_control(error: server::Error) -> StartError {
    if matches!(error, server::Error::Held { .. }) {
        StartError::Busy(error)
    } else {
        StartError::Control(error)
    }
}

fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::from(error.kind()), io::Error::from_raw_os_error)
}
