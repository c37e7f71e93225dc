//! The parts of a run: each measures one thing and tells it.

mod bystanders;
mod flood;
mod growth;
mod herd;
mod idle;
mod latency;
mod neighbour;
mod opens;
mod replay;
mod storm;

use crate::numbers::{Ratio, median, quantile, sorted};
use crate::report::Report;
use crate::responder::Usage;
use crate::stage::Base;

/// How long a run takes: minutes, or a good part of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Short,
    Long,
}

/// One part.
pub struct Part {
    pub name: &'static str,
    pub about: &'static str,
    pub run: fn(&Base, Form, &mut Report),
}

/// Every part, in the order in which they run.
pub const PARTS: &[Part] = &[
    Part { name: "latency", about: "one caller: what an exec costs, and CPU per attempt", run: latency::run },
    Part { name: "herd", about: "1 to 128 callers at once", run: herd::run },
    Part { name: "storm", about: "20,000 denials of 20,000 names", run: storm::run },
    Part { name: "bystanders", about: "execs elsewhere, and plain opens", run: bystanders::run },
    Part { name: "opens", about: "plain opens where opens are asked about", run: opens::run },
    Part { name: "flood", about: "others' execs while denials rain", run: flood::run },
    Part { name: "neighbour", about: "one CPU hog on each core", run: neighbour::run },
    Part { name: "idle", about: "what a guard costs that has nothing to do", run: idle::run },
    Part { name: "growth", about: "rules, mounts, watched filesystems", run: growth::run },
    Part { name: "replay", about: "a large log through replay", run: replay::run },
];

impl Form {
    pub fn pick<T>(self, short: T, long: T) -> T {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }
}

/// What rounds of calls gave, in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Series {
    all: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    cpu: Vec<f64>,
}

impl Series {
    /// Adds a round: its times, and what the responder used for so many attempts.
    pub fn add(&mut self, times: &[f64], before: Usage, after: Usage, attempts: usize) {
        let ordered = sorted(times);
        self.p50.push(quantile(&ordered, 0.5));
        self.p99.push(quantile(&ordered, 0.99));
        self.all.extend(times);
        self.cpu.push((after.cpu - before.cpu) as f64 / 1000.0 / attempts as f64);
    }

    /// The rounds' medians.
    pub fn p50s(&self) -> &[f64] {
        &self.p50
    }

    /// CPU of the responder per attempt, one for each round.
    pub fn cpus(&self) -> &[f64] {
        &self.cpu
    }

    /// A quantile over everything.
    pub fn quantile(&self, part: f64) -> f64 {
        quantile(&sorted(&self.all), part)
    }

    /// What the median call costs above `base`, round by round.
    pub fn costs(&self, base: &Self) -> Vec<f64> {
        self.p50.iter().zip(&base.p50).map(|(here, there)| here - there).collect()
    }

    /// What the slowest of a hundred costs above the median of `base`, round by round.
    pub fn tails(&self, base: &Self) -> Vec<f64> {
        self.p99.iter().zip(&base.p50).map(|(here, there)| here - there).collect()
    }
}

/// The ratio of two contestants' rounds, and of the twins' in the same rounds.
pub fn compare(
    rounds: &[f64],
    honest: Option<&[f64]>,
    twin: Option<&[f64]>,
) -> (Option<Ratio>, Option<Ratio>) {
    let Some(honest) = honest else { return (None, None) };
    (Ratio::of_rounds(rounds, honest), twin.and_then(|twin| Ratio::of_rounds(twin, honest)))
}

/// The median of the rounds.
pub fn middle(rounds: &[f64]) -> f64 {
    median(rounds)
}
