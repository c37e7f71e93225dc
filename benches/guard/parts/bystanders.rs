//! Who has nothing to do with the guard: an exec on another filesystem, and a plain open in a watched directory.

use std::path::Path;

use nix::mount::MsFlags;

use super::{Form, Series, middle};
use crate::caller::{Call, How, latency};
use crate::fapolicyd;
use crate::numbers::Ratio;
use crate::report::{Cell, Report};
use crate::responder::{Contestant, Kind, Usage};
use crate::stage::{Base, TARGET, tmpfs};

const ELSEWHERE: &str = "/mnt/target";

pub fn run(base: &Base, form: Form, report: &mut Report) {
    let mut kinds = vec![Kind::None, Kind::Floor { deny: true }, Kind::Guard { full: true }];
    kinds.extend(fapolicyd::absent().is_none().then_some(Kind::Fapolicyd));
    let mut runners: Vec<Contestant> = kinds.into_iter().map(|kind| Contestant::new(base, kind)).collect();
    // Nobody twice: what two stages without a guard differ by.
    runners.push(Contestant::twin_of_none(base));
    for runner in &runners {
        runner.stage.enter();
        tmpfs(Path::new("/mnt"), MsFlags::empty(), "mode=755");
        base.put_target(Path::new(ELSEWHERE));
    }
    let workloads = [
        ("an exec on another filesystem (vfork and execve)", How::Vfork, ELSEWHERE),
        ("a plain open and close in a watched directory", How::Open, TARGET),
    ];
    let (rounds, count) = form.pick((20, 400), (80, 1000));
    for (title, how, path) in workloads {
        let mut series = vec![Series::default(); runners.len()];
        for round in 0..rounds {
            for turn in 0..runners.len() {
                let index = (turn + round) % runners.len();
                let call = Call { how, uid: 0, expect: 0, path: Path::new(path) };
                let times = latency(base, &runners[index], call, 20, count);
                series[index].add(&times, Usage::default(), Usage::default(), count);
            }
        }
        let rows: Vec<_> = runners
            .iter()
            .zip(&series)
            .map(|(runner, here)| {
                let ratio = Ratio::of_rounds(here.p50s(), series[0].p50s());
                let row = vec![
                    Cell::Number(here.quantile(0.5), 2),
                    Cell::Number(here.quantile(0.99), 2),
                    Cell::Number(middle(&here.costs(&series[0])), 2),
                    if runner.kind == Kind::None && runner.name == "none" {
                        Cell::Empty
                    } else {
                        Cell::ratio(ratio, None)
                    },
                ];
                (runner.name.clone(), row)
            })
            .collect();
        report.table("bystanders", title, &["p50 us", "p99 us", "cost p50 us", "p50 / none"], &rows);
    }
}
