//! Everybody else while denials rain: full evidence is taken by another thread, so it must cost nobody else a wait.

use std::path::Path;

use super::latency::NOBODY;
use super::{Form, Series, compare, middle};
use crate::caller::{Call, How, latency, neighbour};
use crate::report::{Cell, Report};
use crate::responder::{Contestant, Kind, LINE};
use crate::stage::{Base, TARGET};

pub fn run(base: &Base, form: Form, report: &mut Report) {
    let kinds = [
        Kind::Honest { bytes: LINE, fifo: false },
        Kind::Twin,
        Kind::Guard { full: false },
        Kind::Guard { full: true },
    ];
    let runners: Vec<Contestant> = kinds.into_iter().map(|kind| Contestant::new(base, kind)).collect();
    let (rounds, count) = form.pick((15, 100), (50, 200));
    let mut series = vec![Series::default(); runners.len()];
    for round in 0..rounds {
        for turn in 0..runners.len() {
            let index = (turn + round) % runners.len();
            let runner = &runners[index];
            let denied =
                Call { how: How::Direct, uid: 0, expect: runner.kind.denial(), path: Path::new(TARGET) };
            let allowed = Call { how: How::Vfork, uid: NOBODY, expect: 0, path: Path::new(TARGET) };
            let flood = neighbour(base, runner, denied, 2);
            let before = runner.usage();
            let times = latency(base, runner, allowed, 20, count);
            series[index].add(&times, before, runner.usage(), count);
            drop(flood);
        }
    }
    let rows: Vec<_> = runners
        .iter()
        .zip(&series)
        .map(|(runner, here)| {
            let (ratio, twin) = compare(here.p50s(), Some(series[0].p50s()), Some(series[1].p50s()));
            let ratio = if runner.kind == runners[0].kind {
                Cell::Empty
            } else {
                Cell::ratio(ratio, twin.filter(|_| runner.kind != Kind::Twin))
            };
            let row = vec![Cell::Number(middle(here.p50s()), 1), Cell::Number(here.quantile(0.99), 1), ratio];
            (runner.name.clone(), row)
        })
        .collect();
    let title = "an allowed exec while two others are denied without pause";
    report.table("flood", title, &["p50 us", "p99 us", "p50 / honest"], &rows);
}
