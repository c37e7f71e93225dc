//! The contestants: who answers on a stage, and what it costs them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::MsFlags;
use nix::time::ClockId;
use nix::unistd::Pid;

use crate::stage::{Base, Stage};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nobody: what an exec costs without a guard.
    None,
    /// Nobody, and the mount is noexec: the cheapest denial there is.
    Noexec,
    /// The floor, denying or allowing all.
    Floor { deny: bool },
    /// The floor, asked about opens in place of execs.
    FloorOfOpens,
    /// The honest responder with lines of this length.
    Honest { bytes: usize, fifo: bool },
    /// The honest responder once more: what two equal contestants differ by is what this run cannot see.
    Twin,
    /// The guard, at the essential level or with full evidence.
    Guard { full: bool },
    /// Debian's fapolicyd.
    Fapolicyd,
}

/// A contestant on its stage.
pub struct Contestant {
    pub kind: Kind,
    pub name: String,
    pub stage: Stage,
    responder: Option<Responder>,
}

/// A running responder. Killed when it is dropped.
pub struct Responder {
    child: Child,
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU time in nanoseconds, of all threads.
    pub cpu: u64,
    /// How often a thread of it went to sleep and was woken.
    pub wakeups: u64,
}

/// The length of the honest responder's line.
pub const LINE: usize = 400;

impl Kind {
    pub fn name(self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Noexec => "noexec".to_owned(),
            Self::Floor { deny: true } => "floor".to_owned(),
            Self::Floor { deny: false } => "floor, allowing".to_owned(),
            Self::FloorOfOpens => "floor, of opens".to_owned(),
            Self::Honest { bytes: LINE, fifo: false } => "honest".to_owned(),
            Self::Honest { bytes: LINE, fifo: true } => "honest, SCHED_FIFO".to_owned(),
            Self::Honest { bytes, .. } => format!("honest, {bytes} bytes"),
            Self::Twin => "honest (A/A twin)".to_owned(),
            Self::Guard { full: false } => "shmguard, essential".to_owned(),
            Self::Guard { full: true } => "shmguard, full evidence".to_owned(),
            Self::Fapolicyd => "fapolicyd".to_owned(),
        }
    }

    /// The errno that a denied exec fails with.
    pub fn denial(self) -> i32 {
        if self == Self::Noexec { libc::EACCES } else { libc::EPERM }
    }
}

impl Contestant {
    /// Sets up the stage and starts who answers on it.
    pub fn new(base: &Base, kind: Kind) -> Self {
        Self::with(base, kind, &GuardSettings::default())
    }

    /// The same, with settings for a guard.
    pub fn with(base: &Base, kind: Kind, settings: &GuardSettings) -> Self {
        let flags = if kind == Kind::Noexec { MsFlags::MS_NOEXEC } else { MsFlags::empty() };
        let name = kind.name().replace([' ', ',', '(', ')', '/'], "-");
        let stage = base.stage(&format!("{name}{}", settings.suffix), flags);
        Self::on(base, kind, stage, settings)
    }

    /// The same, on a stage that is set up already.
    pub fn on(base: &Base, kind: Kind, stage: Stage, settings: &GuardSettings) -> Self {
        let responder = start(base, kind, &stage, settings);
        Self { kind, name: kind.name(), stage, responder }
    }

    /// Nobody once more.
    pub fn twin_of_none(base: &Base) -> Self {
        let stage = base.stage("none-twin", MsFlags::empty());
        Self { kind: Kind::None, name: "none (A/A twin)".to_owned(), stage, responder: None }
    }

    /// What the responder has used so far; nothing where there is none.
    pub fn usage(&self) -> Usage {
        self.responder.as_ref().map(Responder::usage).unwrap_or_default()
    }

    /// The responder's process.
    pub fn responder(&self) -> Option<&Responder> {
        self.responder.as_ref()
    }

    /// The records of a guard, or the lines of an honest responder.
    pub fn log(&self) -> PathBuf {
        match self.kind {
            Kind::Guard { .. } => self.stage.path("events.ndjson"),
            _ => self.stage.path("log"),
        }
    }
}

/// What differs between guards.
#[derive(Clone, Debug, Default)]
pub struct GuardSettings {
    /// Tells stages of one kind apart.
    pub suffix: String,
    /// Rules that are tried before the embedded policy.
    pub rules: String,
    /// Further lines of `[watch]`.
    pub watch: String,
}

fn start(base: &Base, kind: Kind, stage: &Stage, settings: &GuardSettings) -> Option<Responder> {
    let floor = |of: &str| {
        let mut command = base.leashed(&base.path("bin/floor"));
        command.arg(of).arg("/dev/shm");
        command
    };
    let honest = |bytes: usize, fifo: bool| {
        let mut command = base.leashed(&base.path("bin/honest"));
        command.arg(stage.path("log")).arg(bytes.to_string()).arg("/dev/shm");
        if fifo {
            command.arg("fifo");
        }
        command
    };
    let command = match kind {
        Kind::None | Kind::Noexec => return None,
        Kind::Floor { deny: true } => floor("deny"),
        Kind::Floor { deny: false } => floor("allow"),
        Kind::FloorOfOpens => floor("opens"),
        Kind::Honest { bytes, fifo } => honest(bytes, fifo),
        Kind::Twin => honest(LINE, false),
        Kind::Guard { full } => {
            let mut command = base.leashed(Path::new(env!("CARGO_BIN_EXE_shmguard")));
            command.arg("run").arg("--config").arg(configure(stage, full, settings));
            command
        }
        Kind::Fapolicyd => crate::fapolicyd::command(base, stage),
    };
    Some(Responder::start(command, kind, stage))
}

/// Writes a guard's configuration.
fn configure(stage: &Stage, full: bool, settings: &GuardSettings) -> PathBuf {
    let level = if full { "full" } else { "essential" };
    let path = |name: &str| stage.path(name).display().to_string();
    let rules = stage.path("rules.toml");
    fs::write(&rules, &settings.rules).expect("the rules");
    let text = format!(
        "mode = \"prevent\"\npolicy = [\"{}\"]\n[watch]\ncontainers = false\n{}[evidence]\nlevel = \"{level}\"\n\
         [log.file]\npath = \"{}\"\nmax_size = \"16GiB\"\n[log.syslog]\nenabled = false\n\
         [log.journal]\nenabled = false\n[log.audit]\nenabled = false\n[control]\nsocket = \"{}\"\n",
        rules.display(),
        settings.watch,
        path("events.ndjson"),
        path("control.sock"),
    );
    let file = stage.path("shmguard.toml");
    fs::write(&file, text).expect("the configuration");
    file
}

impl Responder {
    /// Starts it on its stage and waits until it is ready.
    fn start(mut command: Command, kind: Kind, stage: &Stage) -> Self {
        stage.enter();
        let said = stage.path("said");
        let output = File::create(&said).expect("a file for what it says");
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("its copy")).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", kind.name()));
        let mut responder = Self { child };
        let begun = Instant::now();
        while !BufReader::new(File::open(&said).expect("what it says"))
            .lines()
            .map_while(Result::ok)
            .any(|line| is_ready(&line))
        {
            let told = || fs::read_to_string(&said).unwrap_or_default();
            assert!(matches!(responder.child.try_wait(), Ok(None)), "{} ended: {}", kind.name(), told());
            assert!(begun.elapsed() < Duration::from_secs(60), "{} is not ready: {}", kind.name(), told());
            thread::sleep(Duration::from_millis(2));
        }
        responder
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU and wake-ups so far. Exact while it sleeps: the scheduler adds up when a thread goes to sleep.
    pub fn usage(&self) -> Usage {
        // The process's own clock: what threads that have ended used is part of it.
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(self.pid()).expect("a pid")));
        let cpu = clock
            .and_then(ClockId::now)
            .map_or(0, |used| used.tv_sec().cast_unsigned() * 1_000_000_000 + used.tv_nsec().cast_unsigned());
        let mut usage = Usage { cpu, wakeups: 0 };
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("its threads");
        for task in tasks.map_while(Result::ok) {
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            let woken = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            usage.wakeups += woken.and_then(|count| count.trim().parse().ok()).unwrap_or(0);
        }
        usage
    }

    /// How many threads it has.
    pub fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.pid())).expect("its threads").count()
    }

    /// A line of smaps_rollup in KiB.
    pub fn memory(&self, key: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).expect("its memory");
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // It may have ended by itself; what counts is that it is gone.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

fn is_ready(line: &str) -> bool {
    line == "ready" || line.contains("Starting to listen for events")
}
