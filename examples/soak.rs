//! Mixed load and random faults for some minutes, and what came of it.
//!
//! `cargo run --example soak [-- MINUTES [SEED]]`, as root; needs the guard's own binary beside it (`cargo build`). In
//! mounts of its own, a supervised guard in prevention mode denies what four loops execute as root and allows what two
//! execute as another user, while each second one fault happens: the worker is killed, stopped or reloaded, callers are
//! killed, the log's disk is filled, the log moved away, mounts come and go. Ends with 1 where a promise was broken.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::exit,
    reason = "a measurement that cannot be made ends the run; it starts programs and prints"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const NOBODY: u32 = 65534;
/// The log's disk: ten minutes take less than half of it.
const ROOM: &str = "8g";
/// What one record says, as far as it is counted: the records of ten minutes would not fit into memory.
struct Told {
    number: u64,
    action: String,
    settled: bool,
    /// How many it says are missing.
    missing: u64,
}

/// What the loops count.
#[derive(Default)]
struct Tally {
    denied: AtomicU64,
    allowed: AtomicU64,
    /// A root's exec that ran: the one thing that must never happen.
    let_through: AtomicU64,
    /// Another user's exec that was denied: while the worker is dead or the deadline has passed, that is the promise.
    denied_others: AtomicU64,
    failed: AtomicU64,
    killed: AtomicU64,
    longest_us: AtomicU64,
}

struct Soak {
    directory: PathBuf,
    program: PathBuf,
    parent: Child,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("MINUTES [SEED]"));
    let minutes = arguments.next().unwrap_or(10);
    let seed = arguments.next().unwrap_or_else(|| u64::from(std::process::id()));
    let mut soak = Soak::begin();
    let tally = Tally::default();
    let stop = AtomicBool::new(false);
    let before = soak.memory();
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    println!("{minutes} minutes, seed {seed}");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| soak.execute(&tally, &stop, None));
        }
        for _ in 0..2 {
            scope.spawn(|| soak.execute(&tally, &stop, Some(NOBODY)));
        }
        let mut dice = seed | 1;
        let end = Instant::now() + Duration::from_secs(minutes * 60);
        while Instant::now() < end {
            // xorshift: a seed gives the same faults again.
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            let fault = soak.fault(dice % 8, &tally);
            *faults.entry(fault).or_default() += 1;
            std::thread::sleep(Duration::from_millis(700 + dice % 600));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let ok = soak.report(&tally, &faults, before);
    soak.end();
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Told {
    fn new(record: &Value) -> Self {
        let missing = &record["shmguard"]["missing"];
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let action = record["event"]["action"].as_str().unwrap_or_default().to_owned();
        Self {
            number: number(&record["event"]["sequence"]),
            settled: action != "exec" && record.to_string().contains("taken_over\""),
            missing: if missing.is_object() {
                number(&missing["last"]) + 1 - number(&missing["first"])
            } else {
                0
            },
            action,
        }
    }
}

impl Soak {
    /// Mounts of its own, and a guard in them.
    fn begin() -> Self {
        unshare(CloneFlags::CLONE_NEWNS).expect("run as root");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        for path in ["/dev/shm", "/run"] {
            while umount2(path, MntFlags::MNT_DETACH).is_ok() {}
            tmpfs(Path::new(path), "size=64m,mode=1777");
        }
        fs::create_dir_all("/run/lock").unwrap();
        let directory = PathBuf::from(format!("/run/soak-{}", std::process::id()));
        fs::create_dir_all(directory.join("log")).unwrap();
        tmpfs(&directory.join("log"), &format!("size={ROOM},mode=755"));
        let program = PathBuf::from("/dev/shm/x");
        fs::copy("/bin/true", &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let at = directory.display();
        let config = directory.join("shmguard.toml");
        let text = format!(
            "mode = \"prevent\"\nanswer_deadline = \"1s\"\n[watch]\ncontainers = false\n\
             [log.file]\npath = \"{at}/log/events.ndjson\"\nmax_size = \"64GiB\"\n\
             [log.syslog]\nenabled = false\n[log.journal]\nenabled = false\n[log.audit]\nenabled = false\n\
             [control]\nsocket = \"{at}/control.sock\"\n"
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(guard());
        command.env("STATE_DIRECTORY", &directory).args(["run", "--supervise", "--config"]).arg(&config);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(directory.join("stderr")).unwrap());
        let soak = Self { program, parent: command.spawn().unwrap(), directory };
        soak.until("the guard is ready", || soak.worker().is_some());
        soak
    }

    /// One loop of execs.
    fn execute(&self, tally: &Tally, stop: &AtomicBool, user: Option<u32>) {
        while !stop.load(Ordering::Relaxed) {
            let mut command = Command::new(&self.program);
            if let Some(user) = user {
                command.uid(user).gid(user);
            }
            let begun = Instant::now();
            let ended = command.stdin(Stdio::null()).status();
            let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            tally.longest_us.fetch_max(took, Ordering::Relaxed);
            let counter = match (ended, user) {
                (Ok(_), None) => &tally.let_through,
                (Ok(_), Some(_)) => &tally.allowed,
                (Err(error), None) if error.raw_os_error() == Some(libc::EPERM) => &tally.denied,
                (Err(error), Some(_)) if error.raw_os_error() == Some(libc::EPERM) => &tally.denied_others,
                (Err(_), _) => &tally.failed,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Does one fault, and names it.
    fn fault(&self, which: u64, tally: &Tally) -> &'static str {
        let worker = self.worker();
        let signal = |signal| worker.is_some_and(|worker| kill(worker, signal).is_ok());
        match which {
            0 => {
                signal(Signal::SIGKILL);
                "worker killed"
            }
            1 => {
                signal(Signal::SIGSTOP);
                "worker stopped"
            }
            2 => {
                signal(Signal::SIGABRT);
                "worker aborted"
            }
            3 => {
                signal(Signal::SIGHUP);
                "reload"
            }
            4 => {
                self.kill_callers(tally);
                "callers killed"
            }
            5 => {
                self.fill_disk();
                "disk full"
            }
            6 => {
                let name = format!("moved-{}", next());
                let log = self.directory.join("log");
                // It may not be there yet again.
                drop(fs::rename(log.join("events.ndjson"), log.join(name)));
                "log moved"
            }
            _ => {
                for number in 0..20 {
                    let at = PathBuf::from(format!("/dev/shm/m{number}"));
                    fs::create_dir_all(&at).unwrap();
                    tmpfs(&at, "size=1m");
                    umount2(&at, MntFlags::MNT_DETACH).unwrap();
                }
                "mounts"
            }
        }
    }

    fn kill_callers(&self, tally: &Tally) {
        let script = format!("while :; do {}; done 2>/dev/null", self.program.display());
        let callers =
            (0..8).map(|_| Command::new("sh").args(["-c", &script]).process_group(0).spawn().unwrap());
        let callers: Vec<Child> = callers.collect();
        std::thread::sleep(Duration::from_millis(200));
        for mut caller in callers {
            let group = Pid::from_raw(i32::try_from(caller.id()).unwrap());
            nix::sys::signal::killpg(group, Signal::SIGKILL).unwrap();
            caller.wait().unwrap();
            tally.killed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The disk becomes as small as what is on it, for a moment.
    fn fill_disk(&self) {
        let log = self.directory.join("log");
        let used = nix::sys::statvfs::statvfs(&log).unwrap();
        let used = (used.blocks() - used.blocks_free()) * used.fragment_size();
        let resize = |size: &str| {
            let options = format!("size={size},mode=755");
            mount(None::<&str>, &log, None::<&str>, MsFlags::MS_REMOUNT, Some(options.as_str())).is_ok()
        };
        // Records come meanwhile: what is too small by now is refused.
        let is_full = (1..100).any(|step| resize(&(used + step * 4096).to_string()));
        std::thread::sleep(Duration::from_millis(300));
        assert!(resize(ROOM) && is_full);
    }

    /// Prints the figures. False: a promise was broken.
    fn report(&self, tally: &Tally, faults: &BTreeMap<&str, u64>, before: u64) -> bool {
        self.until("a worker stands", || self.worker().is_some());
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let records = self.records();
        let action = |name: &str| records.iter().filter(|record| record.action == name).count();
        let attempts = count(&tally.denied) + count(&tally.allowed) + count(&tally.denied_others);
        let recorded = u64::try_from(action("exec")).unwrap();
        let settled = u64::try_from(records.iter().filter(|record| record.settled).count()).unwrap();
        let missing: u64 = records.iter().map(|record| record.missing).sum();
        let status = self.ask(&["status", "--json"]);
        println!("attempts         {attempts}, besides those of the callers that were killed");
        println!("denied           {}", count(&tally.denied));
        println!("allowed          {}", count(&tally.allowed));
        println!("denied to others {} (settled by a take-over)", count(&tally.denied_others));
        println!("let through      {}", count(&tally.let_through));
        println!("failed otherwise {}", count(&tally.failed));
        println!("records          {recorded}, settled by take-over {settled}, told as lost {missing}");
        println!("take-overs       {}", action("guard-taken-over"));
        println!("callers killed   {}", count(&tally.killed));
        println!("longest exec     {} ms", count(&tally.longest_us) / 1000);
        println!(
            "memory           {before} KiB at the start, {} KiB at the end (anonymous, parent and worker)",
            self.memory()
        );
        println!("latency          {}", status["answer_latency"]);
        println!("failures         {}", status["counters"]["failures"]);
        println!("faults           {faults:?}");
        // Gaps that nothing tells of: numbers that are in no file and in no notice.
        let mut numbers: Vec<u64> = records.iter().map(|record| record.number).collect();
        numbers.sort_unstable();
        let unique = numbers.windows(2).all(|pair| pair[0] != pair[1]);
        let span = numbers.last().unwrap_or(&0) - numbers.first().unwrap_or(&0) + 1;
        let untold = span.saturating_sub(u64::try_from(numbers.len()).unwrap() + missing);
        println!(
            "numbers          {span}, untold gaps {untold}, {}",
            if unique { "each once" } else { "DOUBLED" }
        );
        let checks = [
            ("nothing was let through", count(&tally.let_through) == 0),
            ("no exec failed otherwise", count(&tally.failed) == 0),
            ("every attempt is recorded, settled or told as lost", recorded + settled + missing >= attempts),
            ("no gap is untold", untold == 0 && unique),
            ("`shmguard events --verify` finds the log whole", self.verified()),
            ("no exec took longer than three seconds", count(&tally.longest_us) < 3_000_000),
        ];
        for (what, holds) in checks {
            println!("{} {what}", if holds { "ok    " } else { "BROKEN" });
        }
        checks.iter().all(|(_, holds)| *holds)
    }

    /// What `events --verify` says of the files in the order in which they were written.
    fn verified(&self) -> bool {
        let log = self.directory.join("log");
        let moved = (0..next()).map(|number| log.join(format!("moved-{number}")));
        let files = moved.chain([log.join("events.ndjson")]);
        let at = log.join("whole.ndjson");
        let mut whole = File::create(&at).unwrap();
        for file in files.filter_map(|file| File::open(file).ok()) {
            std::io::copy(&mut &file, &mut whole).unwrap();
        }
        let output = Command::new(guard()).args(["events", "--verify"]).arg(&at).output().unwrap();
        println!("{}", String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default());
        output.status.success()
    }

    /// Every record in every file.
    fn records(&self) -> Vec<Told> {
        let mut records = Vec::new();
        for entry in fs::read_dir(self.directory.join("log")).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains("alerts") {
                continue;
            }
            for line in BufReader::new(File::open(&path).unwrap()).split(b'\n') {
                let line = line.unwrap();
                if !line.is_empty() {
                    records.push(Told::new(&serde_json::from_slice(&line).expect("every line is JSON")));
                }
            }
        }
        records
    }

    fn worker(&self) -> Option<Pid> {
        let pid = self.ask(&["status", "--json"]).get("pid")?.as_i64()?;
        Some(Pid::from_raw(i32::try_from(pid).ok()?))
    }

    fn ask(&self, arguments: &[&str]) -> Value {
        let socket = self.directory.join("control.sock");
        let output = Command::new(guard()).args(arguments).arg("--socket").arg(socket).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// KiB of parent and worker.
    fn memory(&self) -> u64 {
        let parent = i32::try_from(self.parent.id()).unwrap();
        [Some(parent), self.worker().map(Pid::as_raw)].into_iter().flatten().map(resident).sum()
    }

    fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let begun = Instant::now();
        while !condition() {
            let told = || fs::read_to_string(self.directory.join("stderr")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(20), "not within 20 seconds: {what}: {}", told());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn end(&mut self) {
        kill(Pid::from_raw(i32::try_from(self.parent.id()).unwrap()), Signal::SIGTERM).unwrap();
        self.parent.wait().unwrap();
    }
}

/// The guard's binary: target/PROFILE/shmguard, next to target/PROFILE/examples.
fn guard() -> PathBuf {
    let example = std::env::current_exe().unwrap();
    example.parent().and_then(Path::parent).unwrap().join("shmguard")
}

fn resident(process: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}

fn tmpfs(at: &Path, options: &str) {
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
}

/// A number that was not there before.
fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
