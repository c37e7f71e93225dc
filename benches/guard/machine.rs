//! Where and when was measured.

use std::fs;
use std::process::Command;

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
