//! What grows with what: rules, mounts of the host, watched filesystems.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};

use super::{Form, Series, middle};
use crate::caller::{Call, How, latency};
use crate::report::{Cell, Report};
use crate::responder::{Contestant, GuardSettings, Kind};
use crate::stage::{Base, TARGET, tmpfs};
use crate::svg::{Chart, Line};

const GUARD: Kind = Kind::Guard { full: false };

pub fn run(base: &Base, form: Form, report: &mut Report) {
    rules(base, form, report);
    mounts(base, form, report);
    filesystems(base, form, report);
}

/// The rule that decides is the last one, behind many that nearly match.
fn rules(base: &Base, form: Form, report: &mut Report) {
    let sizes: &[usize] = form.pick(&[1, 10, 100, 500], &[1, 2, 5, 10, 20, 50, 100, 200, 500]);
    let rounds = form.pick(10, 40);
    let runners: Vec<Contestant> = sizes
        .iter()
        .map(|size| {
            let rules = (1..*size).map(|number| {
                format!(
                    "[[rule]]\nid = \"r{number}\"\neffect = \"allow\"\nreason = \"one of many\"\nwhen = '''user.id == \"0\" and \
                     process.executable like (\"/dev/shm/app-{number}/*\", \"/run/app-{number}/bin/*\")'''\n"
                )
            });
            let settings = GuardSettings { suffix: format!("-rules-{size}"), rules: rules.collect(), ..Default::default() };
            Contestant::with(base, GUARD, &settings)
        })
        .collect();
    let none = Contestant::new(base, Kind::Noexec);
    let mut below = Series::default();
    let mut series = vec![Series::default(); runners.len()];
    for _ in 0..rounds {
        let call = Call { expect: libc::EACCES, ..denied() };
        below.add(&latency(base, &none, call, 20, 200), none.usage(), none.usage(), 220);
        for (runner, series) in runners.iter().zip(&mut series) {
            let before = runner.usage();
            let times = latency(base, runner, denied(), 20, 200);
            series.add(&times, before, runner.usage(), 220);
        }
    }
    let points = |value: &dyn Fn(&Series) -> f64| {
        sizes.iter().zip(&series).map(|(size, series)| (*size as f64, value(series))).collect::<Vec<_>>()
    };
    let cost = points(&|series| middle(&series.costs(&below)));
    let cpu = points(&|series| middle(series.cpus()));
    let rows: Vec<_> = cost
        .iter()
        .zip(&cpu)
        .map(|((size, cost), (_, cpu))| {
            (format!("{size} rules"), vec![Cell::Number(*cost, 1), Cell::Number(*cpu, 1)])
        })
        .collect();
    report.table(
        "growth",
        "rules that are tried before the one that decides",
        &["cost p50 us", "CPU us/attempt"],
        &rows,
    );
    let lines = vec![
        Line { name: "latency, cost p50".to_owned(), points: cost },
        Line { name: "CPU".to_owned(), points: cpu },
    ];
    let chart = Chart {
        title: "A denied exec as rules grow (essential level)".to_owned(),
        x: "rules tried".to_owned(),
        y: "us per attempt".to_owned(),
        lines,
    };
    report.chart("growth", "rules", chart);
}

/// Mounts that are nobody's business, as on a host of containers.
fn mounts(base: &Base, form: Form, report: &mut Report) {
    let sizes: &[usize] = form.pick(&[10, 1000], &[10, 100, 1000, 10_000]);
    let mut rows = Vec::new();
    let (mut start, mut change) = (Vec::new(), Vec::new());
    for size in sizes {
        let stage = base.stage(&format!("mounts-{size}"), MsFlags::empty());
        tmpfs(Path::new("/mnt"), MsFlags::empty(), "mode=755,nr_inodes=0");
        for number in 0..*size {
            let at = format!("/mnt/{number}");
            fs::create_dir(&at).expect("a directory to mount on");
            mount(Some("/usr"), at.as_str(), None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .expect("a bind mount");
        }
        let begun = Instant::now();
        let runner = Contestant::on(base, GUARD, stage, &GuardSettings::default());
        let started = begun.elapsed();
        let (changed, cpu) = time_of_change(base, &runner);
        rows.push((
            format!("{size} mounts"),
            vec![
                Cell::Number(milliseconds(started), 1),
                Cell::Number(milliseconds(changed), 2),
                Cell::Number(cpu, 2),
            ],
        ));
        start.push((*size as f64, milliseconds(started)));
        change.push((*size as f64, milliseconds(changed)));
    }
    let columns = ["start ms", "new tmpfs to guarded ms", "CPU ms for it"];
    report.table("growth", "other mounts on the host", &columns, &rows);
    let lines = vec![
        Line { name: "start".to_owned(), points: start },
        Line { name: "new tmpfs to guarded".to_owned(), points: change },
    ];
    let chart = Chart {
        title: "Start, and a new mount, as the mount table grows".to_owned(),
        x: "other mounts".to_owned(),
        y: "milliseconds".to_owned(),
        lines,
    };
    report.chart("growth", "mounts", chart);
}

/// Filesystems below a watched directory, each with a mark.
fn filesystems(base: &Base, form: Form, report: &mut Report) {
    let sizes: &[usize] = form.pick(&[1, 100], &[1, 10, 50, 100, 200, 500]);
    let mut rows = Vec::new();
    let mut lines = [
        ("start, ms", Vec::new()),
        ("new tmpfs to guarded, ms", Vec::new()),
        ("denied exec, us", Vec::new()),
    ];
    for size in sizes {
        let stage = base.stage(&format!("filesystems-{size}"), MsFlags::empty());
        for number in 0..*size {
            let at = format!("/dev/shm/fs-{number}");
            fs::create_dir(&at).expect("a directory to mount on");
            tmpfs(Path::new(&at), MsFlags::empty(), "mode=755,size=1m");
        }
        let begun = Instant::now();
        let runner = Contestant::on(base, GUARD, stage, &GuardSettings::default());
        let started = begun.elapsed();
        let (changed, cpu) = time_of_change(base, &runner);
        let times = latency(base, &runner, denied(), 50, 500);
        let exec = crate::numbers::median(&times);
        rows.push((
            format!("{size} filesystems"),
            vec![
                Cell::Number(milliseconds(started), 1),
                Cell::Number(milliseconds(changed), 2),
                Cell::Number(cpu, 2),
                Cell::Number(exec, 1),
            ],
        ));
        for ((_, points), value) in lines.iter_mut().zip([milliseconds(started), milliseconds(changed), exec])
        {
            points.push((*size as f64, value));
        }
    }
    let columns = ["start ms", "new tmpfs to guarded ms", "CPU ms for it", "denied exec p50 us"];
    report.table("growth", "watched filesystems", &columns, &rows);
    let lines = lines.into_iter().map(|(name, points)| Line { name: name.to_owned(), points }).collect();
    let chart = Chart {
        title: "As watched filesystems grow".to_owned(),
        x: "watched filesystems".to_owned(),
        y: "ms, us".to_owned(),
        lines,
    };
    report.chart("growth", "filesystems", chart);
}

/// From the mount of a tmpfs below /dev/shm until an exec in it is denied, the median of some; and the guard's CPU in
/// milliseconds for each.
fn time_of_change(base: &Base, runner: &Contestant) -> (Duration, f64) {
    runner.stage.enter();
    let before = runner.usage();
    let mut times: Vec<Duration> = (0..CHANGES)
        .map(|number| {
            let at = format!("/dev/shm/new-{number}");
            fs::create_dir(&at).expect("a directory to mount on");
            let program = Path::new(&at).join("target");
            // Filled elsewhere first, so that nothing but the mount lies between the clock and the exec.
            tmpfs(Path::new("/mnt"), MsFlags::empty(), "mode=755,size=1m");
            base.put_target(Path::new("/mnt/target"));
            let begun = Instant::now();
            mount(Some("/mnt"), at.as_str(), None::<&str>, MsFlags::MS_MOVE, None::<&str>)
                .expect("a moved mount");
            while crate::caller::runs(&program) {
                assert!(begun.elapsed() < Duration::from_secs(20), "a new tmpfs is not guarded");
            }
            begun.elapsed()
        })
        .collect();
    let used = (runner.usage().cpu - before.cpu) as f64 / 1e6 / f64::from(CHANGES);
    times.sort();
    (times[times.len() / 2], used)
}

fn denied() -> Call<'static> {
    Call { how: How::Direct, uid: 0, expect: libc::EPERM, path: Path::new(TARGET) }
}

const CHANGES: u32 = 7;

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
