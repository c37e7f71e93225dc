//! A disk that hangs: whoever writes to it, or reads from it, waits until it goes on, and no signal ends that.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::bed::{Bed, Exec, Guard, NOBODY, bed, exec, exec_as, records_in, wait_until};
use crate::deadlines::{BOUND, timed};
use crate::faults::{guard_logging_to, is, logging_to, sink, verified};
use crate::helper::crowd;
use crate::store::Store;

const PREVENT: &str = "mode = \"prevent\"\n";

/// An ext4 of its own that can be frozen (ioctl_fsfreeze in VFS(7)): writes to it then wait, also in killed processes.
struct Disk {
    at: PathBuf,
    /// Lets it go on where the test cannot any more: nothing else would ever.
    rescue: Option<Child>,
}

impl Disk {
    fn new(bed: &Bed) -> Self {
        let (image, at) = (bed.path("disk.img"), bed.path("log"));
        fs::create_dir(&at).unwrap();
        run(Command::new("truncate").args(["-s", "64M"]).arg(&image));
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at));
        Self { at, rescue: None }
    }

    fn hang(&mut self) {
        let script = "sleep 30; fsfreeze --unfreeze \"$0\"";
        let mut rescue = Command::new("sh");
        rescue.args(["-c", script]).arg(&self.at).stdin(Stdio::null()).process_group(0);
        self.rescue = Some(rescue.spawn().unwrap());
        run(Command::new("fsfreeze").arg("--freeze").arg(&self.at));
    }

    fn go_on(&mut self) {
        // The rescue may have come before.
        drop(Command::new("fsfreeze").arg("--unfreeze").arg(&self.at).status());
        let mut rescue = self.rescue.take().unwrap();
        killpg(Pid::from_raw(i32::try_from(rescue.id()).unwrap()), Signal::SIGKILL).unwrap();
        rescue.wait().unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.rescue.is_some() {
            self.go_on();
        }
        umount2(&self.at, MntFlags::MNT_DETACH).unwrap();
    }
}

#[test]
fn a_hung_disk_holds_up_no_answer_what_is_lost_is_counted_and_told_when_it_goes_on() {
    for (reaction, allowed) in [("allow", Exec::Ran(0)), ("deny", Exec::Denied)] {
        bed(move |bed| {
            let program = bed.program("/dev/shm/x");
            let mut disk = Disk::new(bed);
            let configuration = format!("mode = \"prevent\"\non_record_failure = \"{reaction}\"\n");
            let guard = guard_logging_to(bed, &disk.at, &configuration);
            assert_eq!(exec(&program), Exec::Denied);
            disk.hang();
            let storm = crowd(4, 50, &program);
            let begun = Instant::now();
            assert_eq!(timed(|| exec(&program)), Exec::Denied);
            assert_eq!(storm.end(), Exec::Denied);
            // The first ones wait for the deadline, and nobody behind them.
            assert!(begun.elapsed() < 4 * BOUND, "{:?}", begun.elapsed());
            assert_eq!(timed(|| exec_as(NOBODY, &program)), allowed);
            let told = sink(&guard, "file");
            assert_eq!(told["state"], "failing", "{told}");
            assert!(told["lost"].as_u64().unwrap() > 0, "{told}");
            disk.go_on();
            assert_whole(&disk.at, &program, &guard);
        });
    }
}

#[test]
fn in_audit_mode_a_hung_disk_denies_nothing_and_holds_up_nobody() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let mut disk = Disk::new(bed);
        let guard = guard_logging_to(bed, &disk.at, "mode = \"audit\"\non_record_failure = \"deny\"\n");
        disk.hang();
        for _ in 0..20 {
            assert_eq!(timed(|| exec(&program)), Exec::Ran(0));
            assert_eq!(timed(|| exec_as(NOBODY, &program)), Exec::Ran(0));
        }
        disk.go_on();
        assert_eq!(exec(&program), Exec::Ran(0));
        wait_until("the log is whole", || sink(&guard, "file")["state"] == "working");
        let (whole, says) = verified(&disk.at);
        assert!(whole, "{says}");
    });
}

#[test]
fn a_reader_that_a_hung_disk_holds_up_is_relieved_and_goes_on_afterwards() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let mut disk = Disk::new(bed);
        let guard = guard_logging_to(bed, &disk.at, PREVENT);
        disk.hang();
        // What no rule matches is recorded by the reader itself.
        for _ in 0..5 {
            assert_eq!(timed(|| exec_as(NOBODY, &program)), Exec::Ran(0));
        }
        assert_eq!(timed(|| exec(&program)), Exec::Denied);
        assert_eq!(guard.status()["counters"]["reliefs"], 1);
        disk.go_on();
        assert_whole(&disk.at, &program, &guard);
        wait_until("the log tells", || {
            // The second reader may sleep in a read until something comes.
            assert_eq!(exec(&program), Exec::Denied);
            let records = records_in(&disk.at.join("events.ndjson"));
            records.iter().any(|record| is(record, "reader-relieved"))
        });
    });
}

#[test]
fn a_guard_that_is_told_to_stop_while_its_disk_hangs_holds_up_nobody() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let mut disk = Disk::new(bed);
        let guard = guard_logging_to(bed, &disk.at, PREVENT);
        disk.hang();
        // On a busy machine they may have their answer before anybody looks at them.
        let storm = (0..5).find_map(|_| {
            let storm = crowd(2, 1, &program);
            let begun = Instant::now();
            while begun.elapsed() < BOUND {
                if storm.waiting() == 2 {
                    return Some(storm);
                }
            }
            assert_eq!(storm.end(), Exec::Denied);
            None
        });
        let storm = storm.expect("they wait");
        let begun = Instant::now();
        guard.signal(Signal::SIGTERM);
        assert_eq!(storm.end(), Exec::Denied);
        assert_eq!(exec(&program), Exec::Ran(0));
        assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
        disk.go_on();
    });
}

#[test]
fn a_worker_that_cannot_die_because_its_disk_hangs_is_taken_over_all_the_same() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let mut disk = Disk::new(bed);
        let guard = bed.supervised_with(&logging_to(bed, &disk.at, PREVENT));
        let worker = guard.worker();
        assert_eq!(exec(&program), Exec::Denied);
        disk.hang();
        assert_eq!(timed(|| exec(&program)), Exec::Denied);
        kill(worker, Signal::SIGKILL).unwrap();
        for _ in 0..5 {
            let begun = Instant::now();
            assert_eq!(exec(&program), Exec::Denied);
            assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
        }
        disk.go_on();
        wait_until("another worker answers", || guard.worker() != worker);
        assert_whole(&disk.at, &program, &guard);
    });
}

#[test]
fn what_is_lost_while_a_disk_hangs_for_a_moment_is_told_though_the_guard_is_killed_at_once() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let mut disk = Disk::new(bed);
        let guard = bed.supervised_with(&logging_to(bed, &disk.at, PREVENT));
        let worker = guard.worker();
        assert_eq!(exec(&program), Exec::Denied);
        disk.hang();
        // Its record hangs, and behind it the next one, which is given up.
        let first = crowd(1, 1, &program);
        wait_until("it waits", || first.waiting() > 0);
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(timed(|| exec_as(NOBODY, &program)), Exec::Ran(0));
        disk.go_on();
        assert_eq!(first.end(), Exec::Denied);
        kill(worker, Signal::SIGKILL).unwrap();
        wait_until("another worker answers", || guard.worker() != worker);
        assert_eq!(exec(&program), Exec::Denied);
        assert!(lost(&disk.at) > 0, "nothing told");
        let (whole, says) = verified(&disk.at);
        assert!(whole, "{says}");
    });
}

#[test]
fn what_a_guard_answers_at_its_stop_because_its_disk_hangs_is_told_by_the_next_one() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let mut disk = Disk::new(bed);
        let config = logging_to(bed, &disk.at, PREVENT);
        let mut store = Store::new(bed);
        let mut guard = store.start(bed, &config);
        disk.hang();
        let crowd = crowd(8, 1, &program);
        wait_until("they wait", || crowd.waiting() == 8);
        guard.signal(Signal::SIGTERM);
        assert_eq!(crowd.end(), Exec::Denied);
        let stat = format!("/proc/{}/stat", guard.pid());
        wait_until("it ends, but for a thread", || fs::read_to_string(&stat).unwrap().contains(") Z "));
        disk.go_on();
        guard.wait();
        let _next = store.start(bed, &config);
        assert_eq!(exec(&program), Exec::Denied);
        // And the guard's own last words.
        assert!(lost(&disk.at) >= 8, "{}", lost(&disk.at));
        let (whole, says) = verified(&disk.at);
        assert!(whole, "{says}");
    });
}

/// How many records are told as lost.
fn lost(log: &Path) -> u64 {
    let records = records_in(&log.join("events.ndjson"));
    records
        .iter()
        .filter(|record| is(record, "sink-back"))
        .filter_map(|record| record["shmguard"]["lost"].as_u64())
        .sum()
}

/// The guard records again, and the log tells what it has not.
#[track_caller]
fn assert_whole(log: &Path, program: &Path, guard: &Guard) {
    wait_until("the file works again", || {
        assert_eq!(exec(program), Exec::Denied);
        sink(guard, "file")["state"] == "working"
    });
    let records = records_in(&log.join("events.ndjson"));
    assert!(records.iter().any(|record| record["shmguard"]["missing"].is_object()), "nothing told");
    let (whole, says) = verified(log);
    assert!(whole && says.contains("the log tells"), "{says}");
}

#[track_caller]
fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
