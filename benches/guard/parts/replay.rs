//! A large log through `shmguard replay`: how fast, and with how much memory.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Form;
use super::latency::NOBODY;
use crate::caller::{Call, How, latency};
use crate::report::{Cell, Report};
use crate::responder::{Contestant, Kind};
use crate::stage::{Base, TARGET};
use crate::svg::{Chart, Line};

const PROGRAM: &str = env!("CARGO_BIN_EXE_shmguard");

pub fn run(base: &Base, form: Form, report: &mut Report) {
    base.enter();
    let help = Command::new(PROGRAM).args(["replay", "--help"]).output().expect("the program");
    if !help.status.success() {
        report.line("replay", "replay is left out: this program has no such command");
        return;
    }
    let sample = sample(base);
    let sizes: &[u64] = form.pick(&[16 << 20, 128 << 20], &[16 << 20, 128 << 20, 1 << 30]);
    let mut rows = Vec::new();
    let (mut speed, mut memory) = (Vec::new(), Vec::new());
    for size in sizes {
        base.enter();
        let log = base.path("replay.ndjson");
        let bytes = write_log(&log, &sample, *size);
        let (time, peak) = replay(&log);
        fs::remove_file(&log).expect("the log again");
        let megabytes = bytes as f64 / 1e6;
        rows.push((
            format!("{megabytes:.0} MB"),
            vec![Cell::Number(megabytes / time.as_secs_f64(), 0), Cell::Number(peak as f64 / 1024.0, 1)],
        ));
        speed.push((megabytes, megabytes / time.as_secs_f64()));
        memory.push((megabytes, peak as f64 / 1024.0));
    }
    report.table("replay", "a log through replay", &["MB/s", "peak RSS MiB"], &rows);
    let lines = vec![
        Line { name: "MB/s".to_owned(), points: speed },
        Line { name: "peak RSS, MiB".to_owned(), points: memory },
    ];
    let chart =
        Chart { title: "replay".to_owned(), x: "MB of log".to_owned(), y: "MB/s, MiB".to_owned(), lines };
    report.chart("replay", "replay", chart);
}

/// Real records: denied and allowed ones, with full evidence.
fn sample(base: &Base) -> Vec<u8> {
    let runner = Contestant::new(base, Kind::Guard { full: true });
    let denied = Call { how: How::Vfork, uid: 0, expect: libc::EPERM, path: Path::new(TARGET) };
    latency(base, &runner, denied, 0, 50);
    latency(base, &runner, Call { uid: NOBODY, expect: 0, ..denied }, 0, 50);
    fs::read(runner.log()).expect("the records")
}

fn write_log(to: &Path, sample: &[u8], size: u64) -> u64 {
    let mut file = BufWriter::new(File::create(to).expect("a log"));
    let mut written = 0;
    while written < size {
        file.write_all(sample).expect("room for the log");
        written += sample.len() as u64;
    }
    file.flush().expect("room for the log");
    written
}

/// How long it took, and the most memory that was seen, in KiB.
fn replay(log: &Path) -> (Duration, u64) {
    let begun = Instant::now();
    let mut child = Command::new(PROGRAM)
        .arg("replay")
        .arg(log)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("replay");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = peak.max(line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0));
        if let Some(ended) = child.try_wait().expect("replay") {
            assert!(ended.success(), "replay ended with {ended}");
            return (begun.elapsed(), peak);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
