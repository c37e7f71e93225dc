//! Many callers that wait at once: every answer wakes all of them, and at equal priority they run before the responder.

use std::path::Path;
use std::time::Duration;

use super::{Form, compare, middle};
use crate::caller::{Call, How, herd};
use crate::fapolicyd;
use crate::report::{Cell, Report};
use crate::responder::{Contestant, Kind, LINE};
use crate::stage::{Base, TARGET};
use crate::svg::{Chart, Line};

const HONEST: Kind = Kind::Honest { bytes: LINE, fifo: false };

pub fn run(base: &Base, form: Form, report: &mut Report) {
    let sizes: &[usize] = form.pick(&[1, 8, 32, 128], &[1, 2, 4, 8, 16, 32, 64, 128]);
    let (rounds, time) = form.pick((5, Duration::from_millis(300)), (15, Duration::from_millis(500)));
    let mut kinds = vec![
        Kind::Floor { deny: true },
        HONEST,
        Kind::Twin,
        Kind::Honest { bytes: LINE, fifo: true },
        Kind::Guard { full: false },
        Kind::Guard { full: true },
    ];
    kinds.extend(fapolicyd::absent().is_none().then_some(Kind::Fapolicyd));
    let runners: Vec<Contestant> = kinds.into_iter().map(|kind| Contestant::new(base, kind)).collect();
    let mut lines: Vec<Line> =
        runners.iter().map(|runner| Line { name: runner.name.clone(), points: Vec::new() }).collect();
    for size in sizes {
        let mut rates = vec![Vec::new(); runners.len()];
        let mut cpus = vec![Vec::new(); runners.len()];
        for round in 0..rounds {
            for turn in 0..runners.len() {
                let index = (turn + round) % runners.len();
                let runner = &runners[index];
                let call =
                    Call { how: How::Direct, uid: 0, expect: runner.kind.denial(), path: Path::new(TARGET) };
                let before = runner.usage();
                let done = herd(base, runner, call, *size, time);
                let used = runner.usage().cpu - before.cpu;
                rates[index].push(done.execs as f64 / done.time.as_secs_f64());
                cpus[index].push(used as f64 / 1000.0 / done.execs.max(1) as f64);
            }
        }
        let of = |kind: Kind| runners.iter().position(|runner| runner.kind == kind);
        let pick = |of: Option<usize>, values: &[Vec<f64>]| of.map(|index| values[index].clone());
        let (honest, twin) = (of(HONEST), of(Kind::Twin));
        let rows: Vec<_> = runners
            .iter()
            .enumerate()
            .map(|(index, runner)| {
                let compared = |values: &[Vec<f64>]| {
                    let (honest, twin) = (pick(honest, values), pick(twin, values));
                    let (ratio, twin) = compare(&values[index], honest.as_deref(), twin.as_deref());
                    if runner.kind == HONEST {
                        Cell::Empty
                    } else {
                        Cell::ratio(ratio, twin.filter(|_| runner.kind != Kind::Twin))
                    }
                };
                let rate = middle(&rates[index]);
                lines[index].points.push((*size as f64, rate));
                let row = vec![
                    Cell::Number(rate, 0),
                    compared(&rates),
                    Cell::Number(middle(&cpus[index]), 1),
                    compared(&cpus),
                ];
                (runner.name.clone(), row)
            })
            .collect();
        let title = format!("{size} caller{} at once, denied", if *size == 1 { "" } else { "s" });
        report.table("herd", &title, &["execs/s", "x honest", "CPU us/attempt", "CPU / honest"], &rows);
    }
    let chart = Chart {
        title: "Denied execs per second as callers grow".to_owned(),
        x: "callers at once".to_owned(),
        y: "execs per second".to_owned(),
        lines,
    };
    report.chart("herd", "herd", chart);
}
