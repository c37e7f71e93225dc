//! What one record costs: formatted and written, against a plain write of 400 bytes, and with each way of syncing. Run by hand:
//! `cargo run --release --example record_cost [DIRECTORY]`.

#![allow(clippy::print_stdout, reason = "it is a program for people")]

use shmguard::event::{
    Action, Attempt, Basis, Credentials, Decision, Device, Effect, Fact, FileFacts, Gid, Mode, MountFacts,
    Object, Pid, Response, RuleIndex, Subject, Timestamp, Uid, Users,
};
use shmguard::policy::{About, Severity};
use shmguard::record::format::{Frame, Redact, attempt};
use shmguard::record::{AlertSettings, Entry, Evidence, FileSettings, Host, Log, Settings, Sync};
use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ROUNDS: usize = 21;
const TIMES: u32 = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = directory.join(format!("record_cost.{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let result = measure(&directory);
    std::fs::remove_dir_all(&directory)?;
    result
}

fn measure(directory: &Path) -> Result<(), Box<dyn Error>> {
    let (sample, users) = (essential(), Users::parse(b"root:x:0:0::/:\n", b"root:x:0:\n"));
    let allowed = decision(Effect::Allow, Basis::NoMatch);
    let denied = decision(Effect::Deny, Basis::Rule(RuleIndex(0)));
    let rule = rule();
    let plain = Entry {
        attempt: &sample,
        decision: &allowed,
        mode: Mode::Prevent,
        response: Response::Allow,
        rule: None,
        trial: None,
        passed_over: None,
        policy_hash: "5f0c2e1f5f0c2e1f",
        evidence: Evidence::Essential,
        failures: &[],
        duration_ns: Some(48_211),
        users: &users,
    };
    let matched = Entry { decision: &denied, response: Response::Deny, rule: Some(&rule), ..plain };
    let (host, redact) = (Host::read(), Redact::default());
    let frame = Frame { host: &host, redact: &redact };
    let log = Log::open(&settings(directory, Sync::None), host.clone())?;
    let mut file = OpenOptions::new().append(true).create(true).open(directory.join("plain"))?;
    let mut line = Vec::new();
    attempt(&mut line, 1, &plain, &frame);
    println!("a line without a rule: {} bytes", line.len());
    let mut line_sized = OpenOptions::new().append(true).create(true).open(directory.join("line"))?;
    let text = line.clone();

    let mut best = [Duration::MAX; 6];
    for _ in 0..ROUNDS {
        let measured = [
            time(|| file.write_all(&[b'x'; 400]))?,
            time(|| line_sized.write_all(&text))?,
            time(|| {
                line.clear();
                attempt(&mut line, 1, &plain, &frame);
                Ok(())
            })?,
            time(|| {
                line.clear();
                attempt(&mut line, 1, &matched, &frame);
                Ok(())
            })?,
            time(|| log.attempt(&plain).map(drop).map_err(std::io::Error::other))?,
            time(|| log.attempt(&matched).map(drop).map_err(std::io::Error::other))?,
        ];
        for (best, measured) in best.iter_mut().zip(measured) {
            *best = measured.min(*best);
        }
        file.set_len(0)?;
        line_sized.set_len(0)?;
    }
    let names = [
        "write 400 bytes",
        "write a line's length",
        "format, no rule",
        "format, denied",
        "Log::attempt, no rule",
        "Log::attempt, denied",
    ];
    let first = best.first().map_or(1.0, Duration::as_secs_f64);
    for (name, best) in names.iter().zip(best) {
        let each = best.as_secs_f64() / f64::from(TIMES) * 1e9;
        println!("{name:<24} {each:>8.0} ns  {:>5.2} of a 400-byte write", best.as_secs_f64() / first);
    }
    println!("{:?}", log.counters());
    log.close(Duration::from_secs(5));
    for (name, sync) in [("none", Sync::None), ("interval", Sync::Interval), ("each", Sync::Each)] {
        let directory = directory.join(name);
        std::fs::create_dir(&directory)?;
        let log = Log::open(&settings(&directory, sync), host.clone())?;
        let mut times = Vec::new();
        // Long enough for the interval's own thread to sync a few times.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            let started = Instant::now();
            log.attempt(&plain).map(drop).map_err(std::io::Error::other)?;
            times.push(started.elapsed());
            // About as fast as one caller can be answered.
            std::thread::sleep(Duration::from_micros(50));
        }
        log.close(Duration::from_secs(5));
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 1000).copied().unwrap_or_default();
        let [half, most, longest] = [at(500), at(990), at(999)];
        println!("sync = {name:<10} half within {half:?}, 99 % within {most:?}, 99.9 % within {longest:?}");
    }
    Ok(())
}

fn time(mut work: impl FnMut() -> std::io::Result<()>) -> std::io::Result<Duration> {
    let started = Instant::now();
    for _ in 0..TIMES {
        work()?;
    }
    Ok(started.elapsed())
}

fn settings(directory: &Path, sync: Sync) -> Settings {
    let file = FileSettings {
        path: directory.join("events.ndjson"),
        max_size: 64 << 20,
        keep: 1,
        sync,
        alerts: Some(AlertSettings { max_size: 64 << 20, keep: 1 }),
    };
    Settings { file: Some(file), ..Settings::default() }
}

fn decision(effect: Effect, basis: Basis) -> Decision {
    Decision { effect, basis, trial: None, passed_over: None }
}

fn rule() -> About {
    About {
        told: shmguard::policy::Told::default(),
        id: "shm-exec-root".into(),
        name: Some("Binary executed from shared memory".into()),
        effect: Effect::Deny,
        mode: None,
        expires: None,
        severity: Severity::High,
        risk_score: 73,
        message: None,
        reason: None,
        references: vec!["https://example.org/".into()],
        uuid: None,
        version: None,
        authors: Vec::new(),
        license: None,
        ruleset: "shared-memory".into(),
        threats: Vec::new(),
    }
}

fn essential() -> Attempt {
    Attempt {
        action: Action::Exec,
        unseen: None,
        at: Timestamp(1_768_472_551_123_456_789),
        subject: Subject {
            thread: Fact::Known(Pid(4242)),
            process: Fact::Known(Pid(4242)),
            parent_pid: Fact::Known(Pid(4200)),
            credentials: Fact::Known(Credentials {
                ruid: Uid(0),
                euid: Uid(0),
                suid: Uid(0),
                fsuid: Uid(0),
                rgid: Gid(0),
                egid: Gid(0),
                sgid: Gid(0),
                fsgid: Gid(0),
            }),
            user: Fact::Known(Uid(0)),
            group: Fact::Known(Gid(0)),
            name: Fact::Known(b"bash".to_vec()),
            ..Subject::default()
        },
        object: Object {
            names: ["/dev/shm/kdmtmpflush", "/run/shm/kdmtmpflush"].into_iter().collect(),
            inner: Fact::Known(b"/kdmtmpflush".to_vec()),
            seen: Fact::Known(b"/dev/shm/kdmtmpflush".to_vec()),
            deleted: Fact::Known(false),
            file: Fact::Known(FileFacts {
                device: Device { major: 0, minor: 24 },
                inode: 12,
                mode: 0o100_755,
                uid: Uid(0),
                gid: Gid(0),
                size: 16_384,
                links: 1,
                modified: 1_768_472_550_000_000_000,
                changed: 1_768_472_550_500_000_000,
            }),
            mount: MountFacts { id: Fact::Known(31), unique: true, nosuid: Fact::Known(true) },
            ..Object::default()
        },
    }
}
