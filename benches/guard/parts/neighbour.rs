//! A noisy neighbour: a process on each CPU that never sleeps, in a session of its own as another service would be.

use std::path::Path;

use super::latency::NOBODY;
use super::{Form, Series, compare, middle};
use crate::caller::{Call, How, hog, latency};
use crate::fapolicyd;
use crate::report::{Cell, Report};
use crate::responder::{Contestant, Kind, LINE};
use crate::stage::{Base, TARGET};

pub fn run(base: &Base, form: Form, report: &mut Report) {
    let mut kinds = vec![
        Kind::None,
        Kind::Honest { bytes: LINE, fifo: false },
        Kind::Twin,
        Kind::Floor { deny: false },
        Kind::Guard { full: false },
    ];
    kinds.extend(fapolicyd::absent().is_none().then_some(Kind::Fapolicyd));
    let runners: Vec<Contestant> = kinds.into_iter().map(|kind| Contestant::new(base, kind)).collect();
    let (rounds, count) = form.pick((15, 150), (60, 300));
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let hogs: Vec<_> = (0..cpus).map(|_| hog(base)).collect();
    let mut series = vec![Series::default(); runners.len()];
    for round in 0..rounds {
        for turn in 0..runners.len() {
            let index = (turn + round) % runners.len();
            let runner = &runners[index];
            let call = Call { how: How::Vfork, uid: NOBODY, expect: 0, path: Path::new(TARGET) };
            let before = runner.usage();
            let times = latency(base, runner, call, 5, count);
            series[index].add(&times, before, runner.usage(), 5 + count);
        }
    }
    drop(hogs);
    let none = &series[0];
    let tails: Vec<Vec<f64>> = series.iter().map(|here| here.tails(none)).collect();
    let rows: Vec<_> = runners
        .iter()
        .enumerate()
        .map(|(index, runner)| {
            let (ratio, twin) = compare(&tails[index], Some(&tails[1]), Some(&tails[2]));
            let ratio = match runner.kind {
                Kind::None | Kind::Honest { .. } => Cell::Empty,
                Kind::Twin => Cell::ratio(ratio, None),
                _ => Cell::ratio(ratio, twin),
            };
            let here = &series[index];
            let row = vec![
                Cell::Number(middle(here.p50s()), 1),
                Cell::Number(here.quantile(0.99), 1),
                Cell::Number(here.quantile(0.99) - none.quantile(0.5), 1),
                ratio,
            ];
            (runner.name.clone(), row)
        })
        .collect();
    let title = format!("an allowed exec with {cpus} CPU hogs on {cpus} CPUs");
    let columns = ["p50 us", "p99 us", "p99 above an unguarded p50", "p99 / honest"];
    report.table("neighbour", &title, &columns, &rows);
}
