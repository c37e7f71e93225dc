//! What a guard costs while nothing happens.

use std::thread;
use std::time::Duration;

use super::Form;
use crate::fapolicyd;
use crate::report::{Cell, Report};
use crate::responder::{Contestant, Kind, LINE};
use crate::stage::Base;

pub fn run(base: &Base, _form: Form, report: &mut Report) {
    let mut kinds = vec![
        Kind::Floor { deny: true },
        Kind::Honest { bytes: LINE, fifo: false },
        Kind::Guard { full: false },
        Kind::Guard { full: true },
    ];
    kinds.extend(fapolicyd::absent().is_none().then_some(Kind::Fapolicyd));
    let runners: Vec<Contestant> = kinds.into_iter().map(|kind| Contestant::new(base, kind)).collect();
    // What starting left to do.
    thread::sleep(Duration::from_secs(2));
    let before: Vec<_> = runners.iter().map(Contestant::usage).collect();
    thread::sleep(WATCHED);
    let rows: Vec<_> = runners
        .iter()
        .zip(before)
        .filter_map(|(runner, before)| {
            let after = runner.usage();
            let responder = runner.responder()?;
            let row = vec![
                Cell::Number((after.wakeups - before.wakeups) as f64 / WATCHED.as_secs_f64(), 1),
                Cell::Number((after.cpu - before.cpu) as f64 / 1e6, 2),
                Cell::Number(responder.memory("Pss") as f64 / 1024.0, 2),
                Cell::Number(responder.memory("Rss") as f64 / 1024.0, 2),
                Cell::Number(responder.threads() as f64, 0),
            ];
            Some((runner.name.clone(), row))
        })
        .collect();
    let columns = ["wake-ups/s", "CPU ms in 10 s", "PSS MiB", "RSS MiB", "threads"];
    report.table("idle", "ten seconds without an exec", &columns, &rows);
}

const WATCHED: Duration = Duration::from_secs(10);
