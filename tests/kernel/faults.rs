//! Faults and floods: what the guard promises holds while everything around it breaks. docs/faults.md is the table.
//!
//! The bounded forms run with all other tests; the long ones with `--ignored`.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::bed::{
    Bed, Exec, Guard, NOBODY, bed, bed_within, die_with_parent, exec, exec_as, records_in, tmpfs, wait_until,
};
use crate::helper::{Crowd, bottomless, crowd, crowd_as, fork_bomb};

/// The storms' deadline.
const LONG: Duration = Duration::from_secs(300);

#[test]
fn four_thousand_denials_are_each_recorded_once_and_in_order_and_others_still_get_their_answers() {
    storm(4_000);
}

#[test]
#[ignore = "long"]
fn twenty_thousand_denials_are_each_recorded_once_and_in_order() {
    storm(20_000);
}

fn storm(denials: usize) {
    bed_within(LONG, move |bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        // What a storm needs at all is there after a small one.
        assert_eq!(crowd(8, 50, &program).end(), Exec::Denied);
        let before = resident(guard.pid());
        let begun = Instant::now();
        let storm = crowd(8, denials / 8, &program);
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let begun = Instant::now();
            assert_eq!(exec_as(NOBODY, &program), Exec::Ran(0));
            longest = longest.max(begun.elapsed());
        }
        assert_eq!(storm.end(), Exec::Denied);
        let took = begun.elapsed();
        let grown = resident(guard.pid()).saturating_sub(before);
        eprintln!(
            "{denials} denials in {took:?}; another user's exec took at most {longest:?}; grown by {grown} KiB"
        );
        // Much less on an idle machine; a wait for a deadline in each of them would be 8000 seconds.
        assert!(took < Duration::from_millis(20) * u32::try_from(denials).unwrap(), "{took:?}");
        assert!(longest < Duration::from_secs(2), "another user's exec took {longest:?}");
        assert!(grown < 8 << 10, "grown by {grown} KiB");
        let records = generations(bed);
        let denied = records.iter().filter(|record| is(record, "exec") && record["event"]["kind"] == "alert");
        assert_eq!(denied.count(), denials + 400);
        assert_in_order(&records);
        assert_eq!(guard.status()["counters"]["denied"], denials + 400);
    });
}

#[test]
fn a_thousand_threads_that_wait_at_once_are_all_denied_and_recorded() {
    blocked(1_000);
}

#[test]
#[ignore = "long"]
fn sixteen_thousand_threads_that_wait_at_once_are_all_denied_and_recorded() {
    blocked(16_400);
}

fn blocked(threads: usize) {
    bed_within(LONG, move |bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        guard.signal(Signal::SIGSTOP);
        // Four mappings a thread, and vm.max_map_count allows a process 65,530.
        let crowds: Vec<_> = (0..4).map(|_| crowd(threads / 4, 1, &program)).collect();
        let waiting = || crowds.iter().map(Crowd::waiting).sum::<usize>();
        let begun = Instant::now();
        while waiting() < threads {
            assert!(begun.elapsed() < LONG / 2, "only {} wait", waiting());
            std::thread::sleep(Duration::from_millis(100));
        }
        let before = resident(guard.pid());
        let begun = Instant::now();
        guard.signal(Signal::SIGCONT);
        for crowd in crowds {
            assert_eq!(crowd.end(), Exec::Denied);
        }
        let grown = resident(guard.pid()).saturating_sub(before);
        eprintln!("{threads} threads in {:?}; grown by {grown} KiB", begun.elapsed());
        assert!(grown < 16 << 10, "grown by {grown} KiB");
        assert_eq!(guard.attempts().len(), threads);
        assert_in_order(&guard.records());
    });
}

#[test]
fn callers_that_are_killed_while_they_wait_end_at_once_and_leave_nothing_behind() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        // The reader keeps a few descriptors from its first attempt on.
        assert_eq!(exec(&program), Exec::Denied);
        guard.signal(Signal::SIGSTOP);
        let crowd = crowd(100, 1, &program);
        wait_until("all wait", || crowd.waiting() >= 100);
        crowd.signal(Signal::SIGKILL);
        wait_until("they have ended although nobody answered", || crowd.waiting() == 0);
        let descriptors = open_descriptors(guard.pid());
        guard.signal(Signal::SIGCONT);
        assert_eq!(exec(&program), Exec::Denied);
        // Those that the kernel took back raise no event; one that the guard had in its hands may have a record.
        assert!(guard.attempts().len() < 100);
        assert_eq!(guard.status()["counters"]["failures"]["not_delivered"], 0);
        // And those that it has in its hands: it waits for their memory.
        let before = guard.attempts().len();
        for _ in 0..20 {
            let caller = bottomless(&program);
            wait_until("it waits", || caller.waiting() == 1);
            caller.signal(Signal::SIGKILL);
        }
        wait_until("each has a record", || guard.attempts().len() == before + 20);
        assert_eq!(exec(&program), Exec::Denied);
        assert_eq!(guard.status()["counters"]["failures"]["not_delivered"], 0);
        // A few for what the log opens in its first second.
        wait_until("their files are closed", || open_descriptors(guard.pid()) <= descriptors + 4);
    });
}

#[test]
fn callers_killed_under_load_hold_up_nobody() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        for _ in 0..10 {
            let crowd = crowd(4, 100_000, &program);
            wait_until("they run", || !guard.attempts().is_empty());
            crowd.signal(Signal::SIGKILL);
            let begun = Instant::now();
            assert_eq!(exec(&program), Exec::Denied);
            assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
            crowd.end();
        }
        assert_eq!(guard.status()["counters"]["failures"]["not_delivered"], 0);
        assert_in_order(&guard.records());
    });
}

#[test]
fn callers_that_are_stopped_while_they_wait_hold_up_nobody() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        guard.signal(Signal::SIGSTOP);
        let stopped = crowd(50, 1, &program);
        wait_until("all wait", || stopped.waiting() >= 50);
        stopped.signal(Signal::SIGSTOP);
        guard.signal(Signal::SIGCONT);
        let begun = Instant::now();
        assert_eq!(exec(&program), Exec::Denied);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        wait_until("all have a record", || guard.attempts().len() == 51);
        stopped.signal(Signal::SIGCONT);
        assert_eq!(stopped.end(), Exec::Denied);
        assert_eq!(guard.attempts().len(), 51);
    });
}

#[test]
fn memory_that_nobody_fills_delays_its_own_answer_up_to_the_deadline_and_no_other() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.guard("mode = \"prevent\"\nanswer_deadline = \"2s\"\n");
        let before = resident(guard.pid());
        let begun = Instant::now();
        let hanging: Vec<_> = (0..20).map(|_| bottomless(&program)).collect();
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let begun = Instant::now();
            assert_eq!(exec_as(NOBODY, &program), Exec::Ran(0));
            longest = longest.max(begun.elapsed());
        }
        assert!(longest < Duration::from_secs(1), "another caller waited {longest:?}");
        for hanging in hanging {
            assert_eq!(hanging.end(), Exec::Denied);
        }
        assert!(begun.elapsed() > Duration::from_millis(150), "nothing hung: {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let status = guard.status();
        assert_eq!(status["counters"]["failures"]["deadline_passed"], 0);
        assert!(
            status["answer_latency"]["max_us"].as_u64().unwrap() < 2_500_000,
            "{}",
            status["answer_latency"]
        );
        assert_eq!(guard.attempts().len(), 40);
        assert!(resident(guard.pid()).saturating_sub(before) < 8 << 10);
    });
}

#[test]
fn out_of_descriptors_the_kernel_denies_each_denial_is_a_counted_gap_and_the_guard_goes_on() {
    bed(|bed| {
        for (mode, afterwards) in [("prevent", Exec::Denied), ("audit", Exec::Ran(0))] {
            let program = bed.program("/dev/shm/x");
            let guard = bed.guard(&format!("mode = \"{mode}\"\n"));
            assert_eq!(exec(&program), afterwards);
            let gaps = |guard: &Guard| {
                let records = guard.records();
                records.iter().filter(|record| record.to_string().contains("kernel_denied")).count()
            };
            let before = gaps(&guard);
            limit_descriptors(guard.pid(), 3);
            for _ in 0..50 {
                assert_eq!(exec(&program), Exec::Denied, "{mode}");
            }
            limit_descriptors(guard.pid(), 20_000);
            assert_eq!(exec(&program), afterwards);
            let status = guard.status();
            assert_eq!(status["counters"]["failures"]["kernel_denied"], 50);
            assert!(status["problems"].to_string().contains("kernel_denied"), "{}", status["problems"]);
            assert_eq!(gaps(&guard) - before, 50);
        }
    });
}

#[test]
fn with_one_descriptor_left_who_attempts_what_is_unknown_and_the_answer_is_on_unknown() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        assert_eq!(exec(&program), Exec::Denied);
        let highest = fs::read_dir(format!("/proc/{}/fd", guard.pid())).unwrap();
        let highest =
            highest.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse::<u64>().unwrap());
        limit_descriptors(guard.pid(), highest.max().unwrap() + 2);
        for _ in 0..20 {
            assert_eq!(exec(&program), Exec::Denied);
        }
        limit_descriptors(guard.pid(), 20_000);
        assert_eq!(exec_as(NOBODY, &program), Exec::Ran(0));
        let status = guard.status();
        let told =
            guard.records().iter().filter(|record| record.to_string().contains("kernel_denied")).count();
        assert_eq!(guard.attempts().len() + told, 22, "{status:#}");
        assert_in_order(&guard.records());
    });
}

#[test]
fn a_full_disk_lets_no_denied_exec_run_and_the_loss_is_counted_and_told_when_there_is_room() {
    for (reaction, allowed) in [("allow", Exec::Ran(0)), ("deny", Exec::Denied)] {
        bed(move |bed| {
            let program = bed.program("/dev/shm/x");
            let log = small_disk(bed);
            let guard = guard_logging_to(
                bed,
                &log,
                &format!("mode = \"prevent\"\non_record_failure = \"{reaction}\"\n"),
            );
            assert_eq!(exec(&program), Exec::Denied);
            assert_eq!(exec_as(NOBODY, &program), Exec::Ran(0));
            fill(&log);
            wait_until("the loss is counted", || {
                assert_eq!(exec(&program), Exec::Denied);
                not_recorded(&guard) > 0
            });
            let before = not_recorded(&guard);
            for _ in 0..20 {
                assert_eq!(exec(&program), Exec::Denied);
            }
            assert_eq!(exec_as(NOBODY, &program), allowed);
            let lost = not_recorded(&guard);
            assert_eq!(lost - before, 21);
            let (_, code, _) = guard.ask(&["status"]);
            assert_eq!(code, Some(1));
            let held = records_in(&log.join("events.ndjson")).len();
            fs::remove_file(log.join("fill")).unwrap();
            assert_eq!(exec(&program), Exec::Denied);
            let records = records_in(&log.join("events.ndjson"));
            let told: Vec<_> =
                records[held..].iter().filter(|record| record["shmguard"]["missing"].is_object()).collect();
            assert_eq!(told.len(), 1, "{:#?}", &records[held..]);
            let (whole, says) = verified(&log);
            assert!(whole && says.contains("the log tells"), "{says}");
            // A short record may still have fitted in between, and told of those before it.
            let missing =
                records.iter().map(|record| &record["shmguard"]["missing"]).filter(|it| it.is_object());
            let count: u64 = missing
                .map(|missing| missing["last"].as_u64().unwrap() - missing["first"].as_u64().unwrap() + 1)
                .sum();
            assert!(count >= lost, "{count} missing, {lost} lost");
            assert_eq!(exec_as(NOBODY, &program), Exec::Ran(0));
        });
    }
}

#[test]
fn a_full_disk_denies_nothing_in_audit_mode() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let log = small_disk(bed);
        let guard = guard_logging_to(bed, &log, "mode = \"audit\"\non_record_failure = \"deny\"\n");
        fill(&log);
        // What would be denied, and what is allowed.
        wait_until("the loss is counted", || {
            assert_eq!(exec(&program), Exec::Ran(0));
            not_recorded(&guard) > 0
        });
        let before = not_recorded(&guard);
        assert_eq!(exec_as(NOBODY, &program), Exec::Ran(0));
        assert!(not_recorded(&guard) > before);
    });
}

#[test]
fn a_log_directory_that_is_removed_is_made_again_and_the_log_goes_on() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let log = bed.path("log");
        let file = log.join("events.ndjson");
        let _guard = guard_logging_to(bed, &log, "mode = \"prevent\"\n");
        let storm = crowd(2, 400, &program);
        wait_until("they are recorded", || records_in(&file).len() > 20);
        let number = |record: Option<&Value>| record.unwrap()["event"]["sequence"].as_u64().unwrap();
        let seen = number(records_in(&file).last());
        fs::remove_dir_all(&log).unwrap();
        wait_until("the log is there again", || {
            records_in(&file).iter().any(|record| is(record, "log-reopened"))
        });
        assert_eq!(storm.end(), Exec::Denied);
        let records = records_in(&file);
        // What was removed is gone; nothing that came after is.
        assert!(number(records.first()) <= seen + 1, "{} after {seen}", number(records.first()));
        assert_in_order(&records);
    });
}

#[test]
fn a_log_that_others_copy_and_cut_goes_on_and_the_cut_is_told() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        let file = bed.path("events.ndjson");
        assert_eq!(crowd(2, 50, &program).end(), Exec::Denied);
        // As logrotate does it with `copytruncate`.
        let before = records_in(&file);
        File::options().write(true).open(&file).unwrap().set_len(0).unwrap();
        wait_until("the cut is told", || guard.records().iter().any(|record| is(record, "log-cut")));
        assert_eq!(crowd(2, 50, &program).end(), Exec::Denied);
        let records: Vec<_> = before.into_iter().chain(guard.records()).collect();
        assert_in_order(&records);
        assert_eq!(records.iter().filter(|record| is(record, "exec")).count(), 200);
    });
}

#[test]
fn what_a_crash_has_torn_is_found_and_replaced_at_the_next_start() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.supervised("mode = \"prevent\"\n");
        let worker = guard.worker();
        assert_eq!(exec(&program), Exec::Denied);
        // A death in the middle of a write(2), which no signal can time.
        kill(worker, Signal::SIGSTOP).unwrap();
        let file = bed.path("events.ndjson");
        File::options().append(true).open(&file).unwrap().write_all(b"{\"@timestamp\":\"2026-0").unwrap();
        kill(worker, Signal::SIGKILL).unwrap();
        assert_eq!(exec(&program), Exec::Denied);
        let records = guard.records();
        assert!(records.iter().any(|record| is(record, "log-repaired")), "{records:#?}");
        let (whole, says) = verified(file.parent().unwrap());
        assert!(whole, "{says}");
    });
}

#[test]
fn a_log_directory_that_cannot_be_made_again_is_told_by_status_and_denials_stand() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let log = bed.path("log");
        let guard = guard_logging_to(bed, &log, "mode = \"prevent\"\n");
        fs::remove_dir_all(&log).unwrap();
        fs::write(&log, "in the way").unwrap();
        wait_until("status tells", || file_sink(&guard)["state"] == "failing");
        assert_eq!(exec(&program), Exec::Denied);
        fs::remove_file(&log).unwrap();
        wait_until("the log is there again", || !records_in(&log.join("events.ndjson")).is_empty());
        assert_eq!(exec(&program), Exec::Denied);
        wait_until("status tells", || file_sink(&guard)["state"] == "working");
    });
}

#[test]
fn a_log_that_others_rotate_under_load_loses_nothing() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let log = bed.path("log");
        let _guard = guard_logging_to(bed, &log, "mode = \"prevent\"\n");
        let storm = crowd(4, 250, &program);
        let file = log.join("events.ndjson");
        for round in 0..3 {
            fs::rename(&file, log.join(format!("old{round}"))).unwrap();
            wait_until("a new file is there", || file.exists());
        }
        assert_eq!(storm.end(), Exec::Denied);
        let files = ["old0", "old1", "old2", "events.ndjson"];
        let records: Vec<_> = files.iter().flat_map(|name| records_in(&log.join(name))).collect();
        assert_in_order(&records);
        assert_eq!(records.iter().filter(|record| is(record, "exec")).count(), 1_000);
        assert_eq!(exec(&program), Exec::Denied);
    });
}

#[test]
fn a_worker_killed_while_the_log_is_moved_away_goes_on_with_the_numbers() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.supervised("mode = \"prevent\"\n");
        let worker = guard.worker();
        for _ in 0..10 {
            assert_eq!(exec(&program), Exec::Denied);
        }
        fs::rename(bed.path("events.ndjson"), bed.path("old")).unwrap();
        kill(worker, Signal::SIGKILL).unwrap();
        assert_eq!(exec(&program), Exec::Denied);
        let mut records = records_in(&bed.path("old"));
        records.extend(guard.records());
        assert!(records.iter().any(|record| is(record, "guard-taken-over")));
        assert_in_order(&records);
    });
}

#[test]
fn a_syslog_that_is_full_stopped_or_back_again_never_delays_an_answer() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let path = bed.path("log.sock");
        let syslog = UnixDatagram::bind(&path).unwrap();
        let guard = guard_with_syslog(bed, &path);
        // Full: a datagram socket takes about ten that nobody reads.
        assert_eq!(crowd(1, 200, &program).end(), Exec::Denied);
        wait_until("the loss is counted", || lost_by_syslog(&guard) > 0);
        // Gone.
        drop(syslog);
        fs::remove_file(&path).unwrap();
        assert_eq!(crowd(1, 200, &program).end(), Exec::Denied);
        assert_eq!(guard.attempts().len(), 400);
        let longest = guard.status()["answer_latency"]["max_us"].as_u64().unwrap();
        assert!(longest < 1_000_000, "{longest} us");
        // Back.
        let syslog = UnixDatagram::bind(&path).unwrap();
        syslog.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut datagram = [0; 8192];
        wait_until("syslog gets records again", || {
            assert_eq!(exec(&program), Exec::Denied);
            syslog.recv(&mut datagram).is_ok()
        });
    });
}

#[test]
fn five_hundred_mounts_that_come_and_go_disturb_no_answer_and_leave_nothing_behind() {
    mounts(500);
}

#[test]
#[ignore = "long"]
fn ten_thousand_mounts_that_come_and_go_disturb_no_answer_and_leave_nothing_behind() {
    mounts(10_000);
}

fn mounts(count: usize) {
    bed_within(LONG, move |bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        // The reader keeps a few descriptors from its first attempt on, and the code that it runs through.
        assert_eq!(exec(&program), Exec::Denied);
        let before = resident(guard.pid());
        let descriptors = open_descriptors(guard.pid());
        let storm = crowd(1, 300, &program);
        let begun = Instant::now();
        for number in 0..count {
            let at = format!("/dev/shm/m{}", number % 10);
            fs::create_dir_all(&at).unwrap();
            tmpfs(&at);
            umount2(at.as_str(), MntFlags::MNT_DETACH).unwrap();
        }
        let took = begun.elapsed();
        assert_eq!(storm.end(), Exec::Denied);
        assert_eq!(guard.attempts().iter().filter(|record| is(record, "exec")).count(), 301);
        assert_in_order(&guard.records());
        // The last one counts.
        tmpfs("/dev/shm/m0");
        let inside = bed.program("/dev/shm/m0/x");
        wait_until("the new mount is marked", || exec(&inside) == Exec::Denied);
        umount2("/dev/shm/m0", MntFlags::MNT_DETACH).unwrap();
        wait_until("only what there was before is marked", || {
            guard.status()["marks"]
                .as_array()
                .unwrap()
                .iter()
                .all(|mark| !mark["path"].as_str().unwrap().contains("/m"))
        });
        // A few for what the log opens in its first seconds; a mount that is not let go would be one each.
        assert!(open_descriptors(guard.pid()) <= descriptors + 6, "{}", open_descriptors(guard.pid()));
        let grown = resident(guard.pid()).saturating_sub(before);
        eprintln!("{count} mounts in {took:?}; grown by {grown} KiB");
        assert!(grown < 8 << 10, "grown by {grown} KiB");
    });
}

#[test]
fn a_hundred_namespaces_at_once_are_found_and_let_go_and_no_answer_waits() {
    namespaces(100);
}

#[test]
#[ignore = "long"]
fn a_thousand_namespaces_at_once_are_found_and_let_go_and_no_answer_waits() {
    namespaces(1_000);
}

fn namespaces(count: usize) {
    bed_within(LONG, move |bed| {
        // It sees the namespaces of all other tests too: in audit mode it denies them nothing.
        let program = bed.program("/dev/shm/x");
        let guard = bed.guard_with("mode = \"audit\"", "containers = true");
        let descriptors = open_descriptors(guard.pid());
        let before = resident(guard.pid());
        let begun = Instant::now();
        let mut namespaces: Vec<Child> = (0..count)
            .map(|_| {
                let mut command = Command::new("unshare");
                command.args(["-m", "sh", "-c", "read go; mount -t tmpfs storm /dev/shm && exec sleep 300"]);
                die_with_parent(&mut command);
                command.stdin(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        // Looked into already, each mounts at the same time: that is more than one scan looks into.
        std::thread::sleep(
            Duration::from_secs(2) + Duration::from_millis(20) * u32::try_from(count).unwrap(),
        );
        namespaces.iter_mut().for_each(|namespace| drop(namespace.stdin.take()));
        let made = Instant::now();
        let mut longest = Duration::ZERO;
        let marks = || guard.status()["marks"].as_array().unwrap().len();
        while marks() < count {
            longest = longest.max(longest_of(1, || assert_eq!(exec(&program), Exec::Ran(0))));
            assert!(made.elapsed() < Duration::from_secs(60), "only {} marks", marks());
        }
        let (found, grown) = (begun.elapsed(), resident(guard.pid()).saturating_sub(before));
        eprintln!(
            "{count} namespaces made and found in {found:?}; grown by {grown} KiB; an exec took at most {longest:?}"
        );
        assert!(longest < Duration::from_secs(2), "an exec took {longest:?}");
        for mut namespace in namespaces {
            namespace.kill().unwrap();
            namespace.wait().unwrap();
        }
        wait_until("their marks are dropped", || marks() < 50);
        wait_until("nothing of them is kept open", || open_descriptors(guard.pid()) < descriptors + 50);
        let grown = resident(guard.pid()).saturating_sub(before);
        assert!(grown < 16 << 10, "grown by {grown} KiB");
        assert_in_order(&guard.records());
    });
}

#[test]
fn a_fork_bomb_of_execs_is_denied_each_time_and_others_still_get_their_answers() {
    bomb(8);
}

#[test]
#[ignore = "long"]
fn a_fork_bomb_of_four_thousand_processes_is_denied_each_time() {
    bomb(12);
}

/// Each process executes, and forks two more, until there are 2^generations.
fn bomb(generations: u32) {
    bed_within(LONG, move |bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        let before = resident(guard.pid());
        let begun = Instant::now();
        let bomb = fork_bomb(generations, &program);
        let longest = longest_of(20, || assert_eq!(exec_as(NOBODY, &program), Exec::Ran(0)));
        assert_eq!(bomb.end(), Exec::Denied);
        let took = begun.elapsed();
        let grown = resident(guard.pid()).saturating_sub(before);
        eprintln!(
            "2^{generations} processes in {took:?}; another exec took at most {longest:?}; grown by {grown} KiB"
        );
        let records = guard.records();
        let denied = records.iter().filter(|record| record["event"]["kind"] == "alert" && is(record, "exec"));
        assert_eq!(denied.count(), (1 << generations) - 1);
        assert_in_order(&records);
        assert!(longest < Duration::from_secs(2), "{longest:?}");
        assert!(grown < 8 << 10, "grown by {grown} KiB");
    });
}

#[test]
fn a_user_who_floods_delays_another_by_no_more_than_the_answers_in_front() {
    flood(32);
}

#[test]
#[ignore = "long"]
fn a_user_who_floods_with_a_hundred_and_twenty_eight_threads_delays_another_by_no_more_than_the_answers_in_front()
 {
    flood(128);
}

fn flood(threads: u32) {
    bed_within(LONG, move |bed| {
        let program = bed.program("/dev/shm/x");
        let policy = bed.path("policy.toml");
        let rule = "[[rule]]\nid = \"f\"\neffect = \"deny\"\nwhen = 'user.id == \"1000\"'\n";
        fs::write(&policy, rule).unwrap();
        let guard = bed.guard(&format!("mode = \"prevent\"\npolicy = [\"{}\"]\n", policy.display()));
        let flood = crowd_as(1000, usize::try_from(threads).unwrap(), 1_000_000, &program);
        // Asked, not read: the log grows by megabytes meanwhile.
        wait_until("they flood", || guard.status()["counters"]["denied"].as_u64().unwrap() > 200);
        let longest = longest_of(10, || assert_eq!(exec_as(NOBODY, &program), Exec::Ran(0)));
        flood.signal(Signal::SIGKILL);
        flood.end();
        eprintln!("beside {threads} threads that flood, another user's exec took at most {longest:?}");
        // The queue is served in its order: each thread has one exec in front, and each answer takes so long at most.
        assert!(longest < Duration::from_millis(50) * threads, "{longest:?}");
        assert_eq!(guard.status()["counters"]["failures"]["deadline_passed"], 0);
    });
}

/// Every record in every file: a storm fills more than one.
pub fn generations(bed: &Bed) -> Vec<Value> {
    let files = (0..8).rev().map(|number| match number {
        0 => bed.path("events.ndjson"),
        number => bed.path(&format!("events.ndjson.{number}")),
    });
    files.flat_map(|file| records_in(&file)).collect()
}

/// The longest of some runs.
fn longest_of(count: usize, run: impl Fn()) -> Duration {
    let times = (0..count).map(|_| {
        let begun = Instant::now();
        run();
        begun.elapsed()
    });
    times.max().unwrap()
}

/// A disk of its own for the log, at the returned directory.
fn small_disk(bed: &Bed) -> PathBuf {
    let log = bed.path("log");
    fs::create_dir(&log).unwrap();
    mount(Some("tmpfs"), &log, Some("tmpfs"), MsFlags::empty(), Some("size=256k,mode=755")).unwrap();
    log
}

fn fill(disk: &Path) {
    let mut file = File::create(disk.join("fill")).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

/// Two that number their records in one file would each make the other's log no whole one.
#[test]
fn a_second_guard_on_the_same_log_is_refused_and_the_first_goes_on() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let config = bed.configure("mode = \"prevent\"\n", "");
        let guard = bed.ready(&config);
        let other = bed.path("other.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&other, text.replace("control.sock", "other.sock")).unwrap();
        let mut second = Command::new(env!("CARGO_BIN_EXE_shmguard"));
        // It would stay if it were not refused.
        die_with_parent(&mut second);
        let output = second.args(["run", "--config"]).arg(&other).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(75), "{told}");
        assert!(told.starts_with("shmguard: another guard writes its log in "), "{told}");
        assert!(told.contains("log.file.path"), "{told}");
        assert_eq!(exec(&program), Exec::Denied);
        let (whole, verdict) = verified(&bed.path(""));
        assert!(whole, "{verdict}");
        drop(guard);
        // It ended in order, and its lock with it.
        let _next = bed.ready(&other);
        let (whole, verdict) = verified(&bed.path(""));
        assert!(whole, "{verdict}");
    });
}

pub fn guard_logging_to(bed: &Bed, log: &Path, configuration: &str) -> Guard {
    bed.ready(&logging_to(bed, log, configuration))
}

/// The configuration of a guard that logs there.
pub fn logging_to(bed: &Bed, log: &Path, configuration: &str) -> PathBuf {
    let config = bed.configure(configuration, "");
    let text = fs::read_to_string(&config).unwrap();
    let usual = bed.path("events.ndjson");
    let changed = text.replace(usual.to_str().unwrap(), log.join("events.ndjson").to_str().unwrap());
    assert_ne!(text, changed);
    fs::write(&config, changed).unwrap();
    config
}

fn guard_with_syslog(bed: &Bed, socket: &Path) -> Guard {
    let config = bed.configure("mode = \"prevent\"\n", "");
    let text = fs::read_to_string(&config).unwrap();
    let socket = format!("[log.syslog]\nsocket = \"{}\"", socket.display());
    let changed = text.replace("[log.syslog]\nenabled = false", &socket);
    assert_ne!(text, changed);
    fs::write(&config, changed).unwrap();
    bed.ready(&config)
}

fn not_recorded(guard: &Guard) -> u64 {
    guard.status()["counters"]["failures"]["not_recorded"].as_u64().unwrap()
}

pub fn sink(guard: &Guard, name: &str) -> Value {
    let status = guard.status();
    status["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == name).unwrap().clone()
}

pub fn file_sink(guard: &Guard) -> Value {
    sink(guard, "file")
}

fn lost_by_syslog(guard: &Guard) -> u64 {
    sink(guard, "syslog")["lost"].as_u64().unwrap()
}

/// Whether `events --verify` finds the log whole, and what it says.
pub fn verified(log: &Path) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmguard"));
    let output = command.args(["events", "--verify"]).arg(log.join("events.ndjson")).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

pub fn is(record: &Value, action: &str) -> bool {
    record["event"]["action"] == action
}

/// Every number is there, once, in order.
#[track_caller]
pub fn assert_in_order(records: &[Value]) {
    let numbers: Vec<_> =
        records.iter().map(|record| record["event"]["sequence"].as_u64().unwrap()).collect();
    for pair in numbers.windows(2) {
        assert_eq!(pair[0] + 1, pair[1], "a record is missing, doubled or out of order");
    }
}

/// Memory in KiB: what is resident and the process's own.
pub fn resident(process: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

pub fn open_descriptors(process: Pid) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

fn limit_descriptors(process: Pid, limit: u64) {
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: 20_000 };
    // SAFETY: reads one struct that lives until the call returns.
    #[allow(unsafe_code, reason = "no binding sets another process's limits")]
    let result = unsafe {
        libc::prlimit(process.as_raw(), libc::RLIMIT_NOFILE, &raw const limit, std::ptr::null_mut())
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
