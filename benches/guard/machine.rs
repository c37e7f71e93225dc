//! Where and when was measured.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What is told with every number.
pub struct Machine {
    cpu: String,
    cpus: usize,
    kernel: String,
    date: String,
    load: String,
}

impl Machine {
    pub fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let cpu = model.and_then(|line| line.split_once(": ")).map_or("unknown CPU", |(_, name)| name);
        let virtual_cpu =
            cpuinfo.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
        let kind = if virtual_cpu { " (virtual)" } else { "" };
        let one_line = |text: String| text.trim().to_owned();
        let date =
            Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output().map(|output| output.stdout);
        Self {
            cpu: format!("{cpu}{kind}"),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: one_line(fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default()),
            date: one_line(String::from_utf8_lossy(&date.unwrap_or_default()).into_owned()),
            load: one_line(fs::read_to_string("/proc/loadavg").unwrap_or_default()),
        }
    }

    pub fn line(&self) -> String {
        let Self { cpu, cpus, kernel, date, load } = self;
        let load = load.split(' ').next().unwrap_or_default();
        format!("{cpus} x {cpu}, Linux {kernel}, {date}, load at start {load}")
    }

    pub fn json(&self) -> Value {
        let Self { cpu, cpus, kernel, date, load } = self;
        json!({ "cpu": cpu, "cpus": cpus, "kernel": kernel, "date": date, "load": load })
    }
}

/// How many milliseconds may still be spent on waiting for others to be quiet.
static PATIENCE: AtomicU64 = AtomicU64::new(0);

/// From now on [`wait_for_calm`] waits, this long in all.
pub fn be_patient(longest: Duration) {
    PATIENCE.store(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Waits until nine tenths of the CPU time of a moment are idle, while there is patience left. Called before each slice of
/// calls; without patience it returns at once.
pub fn wait_for_calm() {
    let patience = Duration::from_millis(PATIENCE.load(Ordering::Relaxed));
    let begun = Instant::now();
    while begun.elapsed() < patience {
        let (idle, all) = cpu_times();
        thread::sleep(Duration::from_millis(30));
        let (idle_after, all_after) = cpu_times();
        if (idle_after - idle) * 10 >= (all_after - all) * 9 && all_after > all {
            break;
        }
    }
    let left = patience.saturating_sub(begun.elapsed());
    PATIENCE.store(u64::try_from(left.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Idle and all, in ticks since boot.
fn cpu_times() -> (u64, u64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    (fields.iter().skip(3).take(2).sum(), fields.iter().take(8).sum())
}
