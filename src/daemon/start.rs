//! `run`, from the first check to the last answer, in the order in which things must happen.

use std::fmt;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::counters::Counters;
use super::keeper::{self, Keeper};
use super::live::{self, Current, Live};
use super::load::{self, Ownership};
use super::marks::Marks;
use super::pipeline::{Job, Pipeline, Shared};
use super::reader::{self, EVIDENCE_QUEUE, ReaderControl};
use super::signals::{Received, Signals};
use super::steward::{Steward, keep};
use super::{sinks, status};
use crate::control::server::{self, Limits, Listener};
use crate::event::Mode;
use crate::identify::{Identifier, IdentifyError};
use crate::notify::{Group, NotifyError, PendingExec};
use crate::policy::Problem;
use crate::policy::config::Level;
use crate::privileges::{self, PrivilegeError};
use crate::record::{Host, Log, Notice, RecordError};
use crate::supervise::service::Service;
use crate::sys::scheduling;
use crate::watch::monitor::Monitor;
use crate::watch::place::View;
use crate::watch::{links, plan};

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration file; `None`: the usual one, if it exists.
    pub config: Option<PathBuf>,
    /// Stands above the configuration's mode.
    pub mode: Option<Mode>,
}

/// Why the guard does not stand.
#[derive(Debug)]
pub enum StartError {
    /// Mistakes in configuration or policy.
    Problems(Vec<Problem>),
    /// Capabilities are missing or could not be given up.
    Privileges(PrivilegeError),
    /// The kernel gives no group.
    Group(NotifyError),
    /// No directory can be watched; each with its reason.
    NothingToWatch(Vec<plan::LeftOut>),
    /// The marks could not be set.
    Marks(io::Error),
    /// The log could not be opened.
    Log(RecordError),
    /// Another guard holds the control socket.
    Busy(server::Error),
    /// The control socket could not be made.
    Control(server::Error),
    /// Who executes can't be found out on this host.
    Identify(IdentifyError),
    /// The operating system refused something else.
    System {
        /// What.
        what: &'static str,
        /// Why.
        error: io::Error,
    },
}

/// How long the answering threads may take to end once they are asked to.
const LEAVE_WITHIN: Duration = Duration::from_millis(700);

/// Guards until a signal ends it. Blocks.
///
/// # Errors
/// The guard does not stand; nothing is marked and nothing waits.
pub fn run(options: &Options) -> Result<(), StartError> {
    let (config, config_file) =
        load::config(options.config.as_deref(), Ownership::Checked).map_err(StartError::Problems)?;
    keeper::refuse_unavailable(&config, config_file.as_deref()).map_err(StartError::Problems)?;
    let generation = load::policy(&config, Ownership::Checked).map_err(StartError::Problems)?;
    privileges::check().map_err(StartError::Privileges)?;
    abort_on_panic();

    // First of all signals: one that comes while we start must end us in order.
    let signals = Signals::new().map_err(system("take over signals"))?;
    let service = Service::new();
    let listener = Listener::bind(&config.control.socket).map_err(of_control)?;
    let view = View::own();
    let monitor = Monitor::new(&view).map_err(system("watch the mount table"))?;
    let group = Arc::new(Group::new(sinks::wants_audit(&config)).map_err(StartError::Group)?);
    let users = load::users();
    let log = Log::open(&sinks::settings(&config), Host::read()).map_err(StartError::Log)?;

    let rules = generation.rules().len();
    let policy_hash = generation.hash().to_owned();
    let shared = Arc::new(Shared {
        current: Current::new(Live {
            hits: live::hits(&generation, None),
            generation: Arc::new(generation),
            mode: keeper::mode_in_force(&config, options.mode, None),
            settings: keeper::settings(&config),
            full_evidence: config.evidence.level == Level::Full,
            audit: group.features().audit,
            scope: Arc::default(),
            users: Arc::new(users),
        }),
        counters: Counters::default(),
        sink: log,
    });
    let directories = links::resolve(&config.watch.directories);
    let marks = Marks::new(Arc::clone(&group), view, directories, keeper::watch_settings(&config));
    let answer_deadline = config.answer_deadline;
    let mut keeper = Keeper::new(Arc::clone(&shared), marks, config, config_file, options.mode);
    let threads = Threads::start(&group, &shared, answer_deadline)?;

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
    let keeper = Arc::new(Mutex::new(keeper));
    let control = serve_control(listener, &keeper, &shared, &group, &threads)?;
    privileges::give_up().map_err(StartError::Privileges)?;

    let mode = shared.current.get().mode;
    shared.sink.notice(&Notice::Started {
        version: env!("CARGO_PKG_VERSION"),
        mode,
        policy_hash: &policy_hash,
        rules,
        marks: placed,
        taken_over: false,
    });
    tell_left_out(&keep(&keeper), &shared.sink);
    say("ready");
    service.ready(&format!("{mode} mode, {placed} filesystems guarded, {rules} rules"));
    let mut steward = Steward {
        keeper: Arc::clone(&keeper),
        shared: Arc::clone(&shared),
        group,
        service,
        signals,
        monitor,
        answer_deadline,
    };
    let ended = steward.watch();
    leave(&steward, ended, threads, control)
}

/// The answering threads.
struct Threads {
    control: Arc<ReaderControl>,
    reader: JoinHandle<()>,
    evidence: JoinHandle<()>,
    scheduling: crate::control::status::Scheduling,
}

impl Threads {
    fn start(group: &Arc<Group>, shared: &Arc<Shared<Log>>, patience: Duration) -> Result<Self, StartError> {
        let control = Arc::new(ReaderControl::new().map_err(system("make an eventfd"))?);
        let (queue, jobs) = mpsc::sync_channel(EVIDENCE_QUEUE);
        let (give_back, pool) = mpsc::channel();
        let identifier = || Identifier::new().map_err(StartError::Identify);
        let of_evidence = Pipeline::new(identifier()?, Arc::clone(shared));
        let evidence =
            spawn("evidence", move || reader::take_evidence(&jobs, &give_back, of_evidence, patience))?;
        let of_reader = Pipeline::new(identifier()?, Arc::clone(shared));
        let (tell, told) = mpsc::sync_channel(1);
        let (group, shared, its_control) = (Arc::clone(group), Arc::clone(shared), Arc::clone(&control));
        let reader = spawn("reader", move || {
            // The receiver waits for this one message.
            let _told = tell.send(prioritize());
            read(&group, &its_control, &shared, of_reader, &queue, &pool);
        })?;
        let scheduling = told.recv().unwrap_or_default();
        Ok(Self { control, reader, evidence, scheduling })
    }

    /// Lets the threads answer what waits, and ends them. False: they did not end in time.
    fn end(self) -> bool {
        self.control.stop();
        let begun = std::time::Instant::now();
        while !(self.reader.is_finished() && self.evidence.is_finished()) {
            if begun.elapsed() > LEAVE_WITHIN {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

/// The reader's life. A group that can't be read any more is the end of the guard: the process ends, loudly, and
/// whoever started it starts it again.
fn read(
    group: &Arc<Group>,
    control: &ReaderControl,
    shared: &Arc<Shared<Log>>,
    pipeline: Pipeline<Identifier, Log>,
    queue: &SyncSender<Job<PendingExec>>,
    pool: &reader::Pool,
) {
    if let Err(error) = reader::read_events(group, control, shared, pipeline, queue, pool) {
        let text = format!("the group cannot be read any more: {error}");
        shared.sink.notice(&Notice::Other { action: "reader-failed", text: &text, failed: true });
        say(&format!("shmguard: {text}"));
        std::process::abort();
    }
}

/// Gives the reader the highest priority that is to be had: every answer wakes every waiter of the group, and at equal
/// priority all of them run before the reader gets to the next event.
fn prioritize() -> crate::control::status::Scheduling {
    let fifo = match scheduling::fifo() {
        Ok(()) => return in_force("SCHED_FIFO 1", None),
        Err(error) => format!("SCHED_FIFO: {error}"),
    };
    match scheduling::nice(-20) {
        Ok(()) => in_force("nice -20", Some(fifo)),
        Err(error) => in_force("default", Some(format!("{fifo}; nice -20: {error}"))),
    }
}

fn in_force(what: &str, refused: Option<String>) -> crate::control::status::Scheduling {
    crate::control::status::Scheduling { in_force: what.to_owned(), refused }
}

/// The control thread, and the descriptor whose closing ends it.
struct ControlThread {
    thread: JoinHandle<()>,
    stop: io::PipeWriter,
}

fn serve_control(
    listener: Listener,
    keeper: &Arc<Mutex<Keeper>>,
    shared: &Arc<Shared<Log>>,
    group: &Arc<Group>,
    threads: &Threads,
) -> Result<ControlThread, StartError> {
    let inside = status::Inside {
        keeper: Arc::clone(keeper),
        shared: Arc::clone(shared),
        group: Arc::clone(group),
        started: crate::event::Timestamp(crate::sys::clock::realtime()),
        begun: std::time::Instant::now(),
        scheduling: threads.scheduling.clone(),
        features: features(group),
    };
    let (ended, stop) = io::pipe().map_err(system("make a pipe"))?;
    let thread = spawn("control", move || {
        let served = server::serve(listener, Limits::default(), ended.into(), |request, peer| {
            inside.answer(&request, peer)
        });
        if let Err(error) = served {
            say(&format!("shmguard: the control socket is closed: {error}"));
        }
    })?;
    Ok(ControlThread { thread, stop })
}

/// The orderly end: nothing new waits, what waits is answered, who asked is recorded.
fn leave(
    steward: &Steward,
    ended: io::Result<Received>,
    threads: Threads,
    control: ControlThread,
) -> Result<(), StartError> {
    steward.service.stopping();
    let cleared = keep(&steward.keeper).clear_marks();
    let in_order = threads.end();
    drop(control.stop);
    // The control thread ends at once, but for a client in the middle of an answer; that one is not waited for.
    drop(control.thread);
    let log = &steward.shared.sink;
    if !in_order || cleared.is_err() {
        let text = "an answering thread did not end in time; closing the group lets what waits run";
        log.notice(&Notice::Other { action: "stop-forced", text, failed: true });
    }
    let result = match ended {
        Ok(received) => {
            let exe =
                received.sender.and_then(|(pid, _)| std::fs::read_link(format!("/proc/{pid}/exe")).ok());
            log.notice(&Notice::Stopping {
                signal: received.name,
                sender_pid: received.sender.map(|(pid, _)| pid),
                sender_uid: received.sender.map(|(_, uid)| uid),
                sender_exe: exe.as_deref().map(|exe| std::os::unix::ffi::OsStrExt::as_bytes(exe.as_os_str())),
            });
            Ok(())
        }
        Err(error) => Err(StartError::System { what: "wait for signals", error }),
    };
    // Copies that other sinks have not taken by then are in the record all the same.
    let _fed = log.close(Duration::from_millis(200));
    let socket = keep(&steward.keeper).config().control.socket.clone();
    remove_socket(&socket);
    result
}

/// Removes our socket, should the control thread not have come to it.
fn remove_socket(path: &std::path::Path) {
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        // The next guard replaces a socket that nobody answers.
        let _removed = std::fs::remove_file(path);
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

fn features(group: &Group) -> std::collections::BTreeMap<String, bool> {
    let features = group.features();
    [("FAN_REPORT_FD_ERROR", features.fd_error), ("FAN_ENABLE_AUDIT", features.audit)]
        .map(|(name, there)| (name.to_owned(), there))
        .into()
}

fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map_err(system("start a thread"))
}

/// A thread that panics must not leave a guard behind that looks alive and answers nobody.
fn abort_on_panic() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        default(panic);
        std::process::abort();
    }));
}

/// One line for whoever started the guard. Standard error may be closed or full: nobody waits for it.
fn say(line: &str) {
    use std::io::Write;
    let _written = writeln!(io::stderr(), "{line}");
}

fn of_control(error: server::Error) -> StartError {
    if matches!(error, server::Error::Held { .. }) {
        StartError::Busy(error)
    } else {
        StartError::Control(error)
    }
}

fn system(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |error| StartError::System { what, error }
}

fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::from(error.kind()), io::Error::from_raw_os_error)
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problems(problems) => {
                let count = problems.len();
                writeln!(
                    f,
                    "{count} mistake{} in configuration or policy:",
                    if count == 1 { "" } else { "s" }
                )?;
                problems.iter().try_for_each(|problem| write!(f, "\n{problem}"))
            }
            Self::Privileges(error) => error.fmt(f),
            Self::Group(error) => error.fmt(f),
            Self::NothingToWatch(left_out) => {
                f.write_str("no directory can be watched:")?;
                left_out.iter().try_for_each(|left| {
                    write!(f, "\n  {}: {}; {}", left.directory.display(), left.reason, left.remedy)
                })
            }
            Self::Marks(error) => write!(f, "no filesystem could be marked: {error}"),
            Self::Log(error) => error.fmt(f),
            Self::Busy(error) | Self::Control(error) => error.fmt(f),
            Self::Identify(error) => error.fmt(f),
            Self::System { what, error } => write!(f, "cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
