//! One caller at a time: denied and allowed execs, as cost over a denial by noexec or an exec that nobody guards.

use std::path::Path;

use super::{Form, Series, compare, middle};
use crate::caller::{Call, How, latency};
use crate::fapolicyd;
use crate::report::{Cell, Report};
use crate::responder::{Contestant, Kind, LINE};
use crate::stage::{Base, TARGET};

/// One way of calling.
struct Workload {
    title: &'static str,
    how: How,
    uid: u32,
    denied: bool,
    baseline: Kind,
}

const WORKLOADS: [Workload; 3] = [
    Workload {
        title: "denied, an execve that fails",
        how: How::Direct,
        uid: 0,
        denied: true,
        baseline: Kind::Noexec,
    },
    Workload {
        title: "denied, vfork and execve",
        how: How::Vfork,
        uid: 0,
        denied: true,
        baseline: Kind::Noexec,
    },
    Workload {
        title: "allowed, vfork and execve",
        how: How::Vfork,
        uid: NOBODY,
        denied: false,
        baseline: Kind::None,
    },
];

const COLUMNS: [&str; 8] = [
    "cost p50 us",
    "p90 us",
    "p99 us",
    "cost / honest",
    "p99 / honest",
    "CPU us/attempt",
    "CPU / honest",
    "median exec us",
];

/// Whom no rule denies.
pub const NOBODY: u32 = 65534;

pub fn run(base: &Base, form: Form, report: &mut Report) {
    let contestants = contestants(base, report);
    let (rounds, warm, count) = form.pick((20, 20, 200), (80, 20, 300));
    for workload in &WORKLOADS {
        let takes_part = |kind: Kind| match kind {
            Kind::None | Kind::Noexec => kind == workload.baseline,
            Kind::Floor { deny } => deny == workload.denied,
            _ => true,
        };
        let runners: Vec<&Contestant> = contestants.iter().filter(|runner| takes_part(runner.kind)).collect();
        let mut series = vec![Series::default(); runners.len()];
        for round in 0..rounds {
            for turn in 0..runners.len() {
                // Each round begins with another contestant: nobody always comes after the same one.
                let index = (turn + round) % runners.len();
                let (runner, series) = (runners[index], &mut series[index]);
                let expect = if workload.denied { runner.kind.denial() } else { 0 };
                let call = Call { how: workload.how, uid: workload.uid, expect, path: Path::new(TARGET) };
                let before = runner.usage();
                let times = latency(base, runner, call, warm, count);
                series.add(&times, before, runner.usage(), warm + count);
            }
        }
        tell(workload, &runners, &series, report);
    }
}

/// Everybody, the honest one with longer lines included: as long as the guard's are.
fn contestants(base: &Base, report: &mut Report) -> Vec<Contestant> {
    let guard = Contestant::new(base, Kind::Guard { full: false });
    let call = Call { how: How::Direct, uid: 0, expect: libc::EPERM, path: Path::new(TARGET) };
    let size = |guard: &Contestant| std::fs::metadata(guard.log()).map_or(0, |log| log.len());
    let before = size(&guard);
    latency(base, &guard, call, 0, 100);
    let bytes = usize::try_from((size(&guard) - before) / 100).expect("a line's length");
    report.line("latency", &format!("a record of the guard (essential, denied) has {bytes} bytes"));
    let mut kinds = vec![
        Kind::None,
        Kind::Noexec,
        Kind::Floor { deny: true },
        Kind::Floor { deny: false },
        Kind::Honest { bytes: LINE, fifo: false },
        Kind::Twin,
        Kind::Honest { bytes, fifo: false },
        Kind::Honest { bytes: LINE, fifo: true },
    ];
    match fapolicyd::absent() {
        None => kinds.push(Kind::Fapolicyd),
        Some(why) => report.line("latency", why),
    }
    let mut all: Vec<Contestant> = kinds.into_iter().map(|kind| Contestant::new(base, kind)).collect();
    all.push(guard);
    all.push(Contestant::new(base, Kind::Guard { full: true }));
    all
}

fn tell(workload: &Workload, runners: &[&Contestant], series: &[Series], report: &mut Report) {
    let of = |kind: Kind| runners.iter().position(|runner| runner.kind == kind).map(|index| &series[index]);
    let Some(base) = of(workload.baseline) else { return };
    let (honest, twin) = (of(Kind::Honest { bytes: LINE, fifo: false }), of(Kind::Twin));
    let costs = |series: Option<&Series>| series.map(|series| series.costs(base));
    let tails = |series: Option<&Series>| series.map(|series| series.tails(base));
    let (honest_costs, twin_costs) = (costs(honest), costs(twin));
    let (honest_tails, twin_tails) = (tails(honest), tails(twin));
    let below = base.quantile(0.5);
    let rows: Vec<_> = runners
        .iter()
        .zip(series)
        .map(|(runner, series)| {
            let guarded = !matches!(runner.kind, Kind::None | Kind::Noexec);
            let is_honest = runner.kind == Kind::Honest { bytes: LINE, fifo: false };
            let compared = |rounds: &[f64], honest: Option<&[f64]>, twin: Option<&[f64]>| {
                let (ratio, of_twin) = compare(rounds, honest, twin);
                let twin = of_twin.filter(|_| runner.kind != Kind::Twin);
                if guarded && !is_honest { Cell::ratio(ratio, twin) } else { Cell::Empty }
            };
            let cost = series.costs(base);
            let row = vec![
                if guarded { Cell::Number(middle(&cost), 1) } else { Cell::Empty },
                Cell::Number(series.quantile(0.9) - below, 1),
                Cell::Number(series.quantile(0.99) - below, 1),
                compared(&cost, honest_costs.as_deref(), twin_costs.as_deref()),
                compared(&series.tails(base), honest_tails.as_deref(), twin_tails.as_deref()),
                if guarded { Cell::Number(middle(series.cpus()), 1) } else { Cell::Empty },
                compared(series.cpus(), honest.map(Series::cpus), twin.map(Series::cpus)),
                Cell::Number(series.quantile(0.5), 1),
            ];
            (runner.name.clone(), row)
        })
        .collect();
    report.table("latency", workload.title, &COLUMNS, &rows);
}
