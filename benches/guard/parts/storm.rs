//! A storm of denials: none may be let through, none may be missing in the log, none may be there twice.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::Form;
use crate::caller::{Storm, storm};
use crate::report::{Cell, Report};
use crate::responder::{Contestant, Kind, LINE};
use crate::stage::{Base, TARGET};

const PROCESSES: usize = 4;
const EACH: usize = 5000;
const NAMES: &str = "/dev/shm/storm";

pub fn run(base: &Base, _form: Form, report: &mut Report) {
    let kinds = [
        Kind::Noexec,
        Kind::Floor { deny: true },
        Kind::Honest { bytes: LINE, fifo: false },
        Kind::Guard { full: false },
        Kind::Guard { full: true },
    ];
    let rows: Vec<_> = kinds
        .into_iter()
        .map(|kind| {
            let runner = Contestant::new(base, kind);
            make_names(&runner);
            let before = runner.usage();
            let Storm { refused, otherwise, time } = storm(base, &runner, PROCESSES, EACH, Path::new(NAMES));
            let used = runner.usage().cpu - before.cpu;
            let total = (PROCESSES * EACH) as f64;
            let mut row = vec![
                Cell::Number(total / time.as_secs_f64(), 0),
                if kind == Kind::Noexec {
                    Cell::Empty
                } else {
                    Cell::Number(used as f64 / 1000.0 / total, 1)
                },
                Cell::Number(refused as f64, 0),
                Cell::Number(otherwise as f64, 0),
            ];
            if matches!(kind, Kind::Honest { .. } | Kind::Guard { .. }) {
                let (missing, twice) = look_through(&runner.log());
                row.extend([Cell::Number(missing as f64, 0), Cell::Number(twice as f64, 0)]);
            } else {
                row.extend([Cell::Empty, Cell::Empty]);
            }
            (runner.name.clone(), row)
        })
        .collect();
    let title =
        format!("{} denials of as many names, {PROCESSES} processes, vfork and execve", PROCESSES * EACH);
    let columns =
        ["execs/s", "CPU us/attempt", "refused", "let through", "missing in the log", "twice in the log"];
    report.table("storm", &title, &columns, &rows);
}

/// A hard link of the target for each exec.
fn make_names(runner: &Contestant) {
    runner.stage.enter();
    fs::create_dir(NAMES).expect("a directory for names");
    for process in 0..PROCESSES {
        for name in 0..EACH {
            fs::hard_link(TARGET, format!("{NAMES}/{process}-{name}")).expect("a name");
        }
    }
}

/// How many of the names have no line, and how many have more than one.
fn look_through(log: &Path) -> (usize, usize) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for line in BufReader::new(fs::File::open(log).expect("the log")).lines() {
        // The path stands in several fields of one record: it is counted once for each line.
        let line = line.expect("a line");
        let Some(at) = line.find("/storm/") else { continue };
        let rest = &line[at + "/storm/".len()..];
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '-').unwrap_or(rest.len());
        *seen.entry(rest[..end].to_owned()).or_default() += 1;
    }
    (PROCESSES * EACH - seen.len(), seen.values().filter(|count| **count > 1).count())
}
