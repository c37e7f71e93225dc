//! What a plain open in a watched directory costs whoever only reads, where the guard asks about opens.

use std::path::Path;

use super::{Form, Series, middle};
use crate::caller::{Call, How, latency_of};
use crate::numbers::Ratio;
use crate::report::{Cell, Report};
use crate::responder::{Contestant, GuardSettings, Kind};
use crate::stage::{Base, TARGET};

const GUARDS: [(&str, &str); 4] = [
    ("off", ""),
    ("loaders", "loaders = \"deny\"\n"),
    ("interpreters", "interpreters = \"deny\"\n"),
    ("both", "loaders = \"deny\"\ninterpreters = \"deny\"\n"),
];

/// Programs of bin/, and what they are for the guard. None of them names the file on its command line as one to run.
const CALLERS: [(&str, &str); 3] =
    [("caller", "a program"), ("static", "a static program"), ("sh", "a known interpreter that reads data")];

pub fn run(base: &Base, form: Form, report: &mut Report) {
    let mut runners = vec![Contestant::new(base, Kind::None), Contestant::new(base, Kind::FloorOfOpens)];
    for (name, watch) in GUARDS {
        let settings =
            GuardSettings { suffix: format!("-{name}"), watch: watch.to_owned(), ..Default::default() };
        let mut runner = Contestant::with(base, Kind::Guard { full: false }, &settings);
        runner.name = format!("shmguard, {name}");
        runners.push(runner);
    }
    runners.push(Contestant::twin_of_none(base));
    let (rounds, count) = form.pick((20, 400), (80, 1000));
    for (program, title) in CALLERS {
        let mut series = vec![Series::default(); runners.len()];
        for round in 0..rounds {
            for turn in 0..runners.len() {
                let index = (turn + round) % runners.len();
                let call = Call { how: How::Open, uid: 0, expect: 0, path: Path::new(TARGET) };
                let before = runners[index].usage();
                let times = latency_of(base, &runners[index], program, call, 20, count);
                series[index].add(&times, before, runners[index].usage(), count + 20);
            }
        }
        let row = |here: &Series| {
            let ratio = Ratio::of_rounds(here.p50s(), series[0].p50s());
            vec![
                Cell::Number(here.quantile(0.5), 2),
                Cell::Number(here.quantile(0.99), 2),
                Cell::Number(middle(&here.costs(&series[0])), 2),
                Cell::ratio(ratio, None),
                Cell::Number(middle(here.cpus()), 2),
            ]
        };
        let rows: Vec<_> =
            runners.iter().zip(&series).map(|(runner, here)| (runner.name.clone(), row(here))).collect();
        let columns = ["p50 us", "p99 us", "cost p50 us", "p50 / none", "guard's CPU us"];
        report.table("opens", &format!("open and close by {title}"), &columns, &rows);
    }
}
