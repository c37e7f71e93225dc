//! The other sinks against real sockets, and the file against a real full disk.

use super::tests::{eventually, numbers, open, path, place};
use super::*;
use crate::record::samples::{self, Sample};
use crate::record::settings::{AlertSettings, JournalSettings, SyslogSettings};
use crate::record::settings::{FileSettings, Sync};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Instant;

fn with_syslog(settings: Settings, socket: &Path) -> Settings {
    let syslog = SyslogSettings { socket: socket.to_path_buf(), facility: "authpriv".into() };
    Settings { syslog: Some(syslog), ..settings }
}

fn received(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let length = socket.recv(&mut bytes).expect("a datagram in time");
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

fn state(log: &Log, sink: &str) -> SinkState {
    log.counters().into_iter().find(|state| state.sink == sink).expect("such a sink")
}

#[test]
fn syslog_gets_priority_tag_and_pid_without_a_date_and_severities_by_case() {
    let (directory, settings) = place();
    let socket = directory.path().join("log.sock");
    let daemon = UnixDatagram::bind(&socket).unwrap();
    let log = open(&with_syslog(settings, &socket));
    log.attempt(&Sample::denied().entry()).unwrap();
    log.attempt(
        &Sample {
            mode: crate::event::Mode::Audit,
            response: crate::event::Response::Allow,
            ..Sample::denied()
        }
        .entry(),
    )
    .unwrap();
    log.attempt(&Sample::allowed().entry()).unwrap();
    let pid = std::process::id();
    assert_eq!(
        received(&daemon),
        format!(
            "<84>shmguard[{pid}]: denied: root (uid 0) tried to execute /dev/shm/kdmtmpflush \
             [rule shm-exec-root] by bash (pid 4242)"
        )
    );
    assert!(received(&daemon).starts_with(&format!("<85>shmguard[{pid}]: would be denied: ")));
    assert!(received(&daemon).starts_with(&format!("<86>shmguard[{pid}]: allowed: ")));
}

#[test]
fn a_stopped_syslog_daemon_never_makes_an_attempt_wait_and_its_losses_are_told() {
    let (directory, settings) = place();
    let socket = directory.path().join("log.sock");
    let daemon = UnixDatagram::bind(&socket).unwrap();
    let log = open(&with_syslog(settings.clone(), &socket));
    let mut longest = Duration::ZERO;
    for _ in 0..3000 {
        let started = Instant::now();
        log.attempt(&Sample::allowed().entry()).unwrap();
        longest = longest.max(started.elapsed());
    }
    // One wait for the daemon is 50 ms; 3000 of them would be minutes.
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    eventually("losses are told in the file", || {
        std::fs::read_to_string(path(&settings)).unwrap().contains("\"action\":\"sink-lost\"")
    });
    eventually("every copy was sent or counted", || {
        let state = state(&log, "syslog");
        state.written + state.lost >= 3000 && state.lost > 2000 && !state.working
    });
    // The daemon goes on: so do the copies, and the file says how many were lost.
    let reader = std::thread::spawn(move || {
        daemon.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let mut bytes = [0; 4096];
        while daemon.recv(&mut bytes).is_ok() {}
    });
    eventually("it works again", || {
        log.attempt(&Sample::allowed().entry()).unwrap();
        state(&log, "syslog").working
    });
    eventually("that is told", || {
        std::fs::read_to_string(path(&settings)).unwrap().contains("\"action\":\"sink-back\"")
    });
    drop(log);
    reader.join().unwrap();
}

#[test]
fn syslog_may_be_absent_at_first_and_may_be_restarted() {
    let (directory, settings) = place();
    let socket = directory.path().join("log.sock");
    let log = open(&with_syslog(settings, &socket));
    log.attempt(&Sample::allowed().entry()).unwrap();
    eventually("the loss is counted", || state(&log, "syslog").lost >= 1);
    for _ in 0..2 {
        let daemon = UnixDatagram::bind(&socket).unwrap();
        log.attempt(&Sample::denied().entry()).unwrap();
        while !received(&daemon).contains("denied: root") {}
        drop(daemon);
        std::fs::remove_file(&socket).unwrap();
    }
}

#[test]
fn the_journal_gets_fields_and_a_newline_in_a_path_forges_none() {
    let (directory, settings) = place();
    let socket = directory.path().join("journal.sock");
    let daemon = UnixDatagram::bind(&socket).unwrap();
    let log = open(&Settings { journal: Some(JournalSettings { socket: socket.clone() }), ..settings });
    let mut sample = Sample::denied();
    let evil = "/dev/shm/a\nMESSAGE=forged";
    sample.attempt.object.names = [evil].into_iter().collect();
    log.attempt(&sample.entry()).unwrap();
    let text = received(&daemon);
    assert!(
        text.starts_with("MESSAGE=denied: root (uid 0) tried to execute /dev/shm/a\\u{a}MESSAGE=forged "),
        "{text}"
    );
    for field in [
        "PRIORITY=4",
        "SYSLOG_IDENTIFIER=shmguard",
        "SHMGUARD_RULE=shm-exec-root",
        "SHMGUARD_SEQUENCE=1",
        "SHMGUARD_UID=0",
    ] {
        assert!(text.contains(&format!("\n{field}\n")), "{field}: {text}");
    }
    let id = text.lines().find_map(|line| line.strip_prefix("MESSAGE_ID=")).expect("an id");
    assert!(id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let length = String::from_utf8((evil.len() as u64).to_le_bytes().to_vec()).unwrap();
    assert!(text.contains(&format!("\nSHMGUARD_PATH\n{length}{evil}\n")), "{text:?}");
}

#[test]
fn readable_lines_go_to_standard_error_after_the_record() {
    let (_directory, settings) = place();
    let (mut reader, pipe) = std::io::pipe().unwrap();
    let settings = Settings { stderr: Stderr::Readable, ..settings };
    let log = Log::open_with(&settings, samples::host(), None, None, pipe.into(), true).unwrap();
    log.attempt(&Sample::denied().entry()).unwrap();
    assert!(log.close(Duration::from_secs(5)));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
    assert_eq!(
        text,
        "\x1b[31mdenied: root (uid 0) tried to execute /dev/shm/kdmtmpflush [rule shm-exec-root] by bash (pid 4242)\x1b[0m\n"
    );
}

#[test]
fn a_flood_of_allowed_attempts_rotates_no_matched_one_away() {
    let (_directory, mut settings) = place();
    if let Some(file) = &mut settings.file {
        file.max_size = 50_000;
        file.alerts = Some(AlertSettings { max_size: 1 << 20, keep: 1 });
    }
    let log = open(&settings);
    let generation = |number: u32| format!("{}.{number}", path(&settings).display());
    log.attempt(&Sample::denied().entry()).unwrap();
    let mut sent = 1;
    eventually("the first record is rotated away", || {
        for _ in 0..40 {
            log.attempt(&Sample::allowed().entry()).unwrap();
            sent += 1;
        }
        std::fs::read(generation(3))
            .is_ok_and(|text| !text.starts_with(&Sample::denied().line(1).into_bytes()))
    });
    log.attempt(&Sample::denied().entry()).unwrap();
    assert!(log.close(Duration::from_secs(5)));
    let alerts = std::fs::read_to_string(path(&settings).with_file_name("alerts.ndjson")).unwrap();
    let copied = numbers(&alerts);
    assert_eq!(copied.first(), Some(&1));
    assert_eq!(copied.len(), 2, "{copied:?}");
    assert!(!Path::new(&generation(4)).exists());
    assert!(sent > 100);
}

#[test]
fn every_matched_attempt_reaches_the_alerts_while_files_are_rotated() {
    let (_directory, mut settings) = place();
    if let Some(file) = &mut settings.file {
        (file.max_size, file.keep) = (100_000, 1);
        file.alerts = Some(AlertSettings { max_size: 1 << 30, keep: 1 });
    }
    let log = open(&settings);
    let denied: Vec<u64> = (0..3000)
        .filter_map(|round| {
            let sample = if round % 3 == 0 { Sample::denied() } else { Sample::allowed() };
            let sequence = log.attempt(&sample.entry()).unwrap();
            (round % 3 == 0).then_some(sequence)
        })
        .collect();
    assert!(log.close(Duration::from_secs(20)));
    let alerts = std::fs::read_to_string(path(&settings).with_file_name("alerts.ndjson")).unwrap();
    assert!(numbers(&alerts) == denied, "each once and in order");
    assert!(path(&settings).with_file_name("events.ndjson.1").exists(), "it did rotate");
}

#[test]
fn what_a_crash_kept_from_the_alerts_is_copied_at_the_next_start_and_only_once() {
    let (_directory, mut settings) = place();
    let alerts_path = path(&settings).with_file_name("alerts.ndjson");
    // A guard that dies before its keeper has copied anything.
    std::mem::forget({
        let log = open(&settings);
        log.attempt(&Sample::denied().entry()).unwrap();
        log.attempt(&Sample::allowed().entry()).unwrap();
        log
    });
    // Its lock goes with it; ours lives on in this process.
    std::fs::remove_file(crate::record::occupied::lock_file(path(&settings))).unwrap();
    if let Some(file) = &mut settings.file {
        file.alerts = Some(AlertSettings { max_size: 1 << 20, keep: 1 });
    }
    for (expected, torn) in [(vec![1, 3], ""), (vec![1, 3, 4], "{\"torn\":"), (vec![1, 3, 4, 5], "")] {
        let log = open(&settings);
        log.attempt(&Sample::denied().entry()).unwrap();
        assert!(log.close(Duration::from_secs(5)));
        assert_eq!(numbers(&std::fs::read_to_string(&alerts_path).unwrap()), expected);
        let mut file = std::fs::OpenOptions::new().append(true).open(&alerts_path).unwrap();
        file.write_all(torn.as_bytes()).unwrap();
    }
}

/// True where the test may make mounts; in CI it must.
fn privileged(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        assert!(std::env::var_os("CI").is_none(), "{test} needs root, and CI must not skip it");
        eprintln!("SKIPPED {test}: needs root");
    }
    root
}

/// Runs `body` in a thread with a mount namespace of its own and a tmpfs of `size` on a directory; gives its path.
fn on_a_small_disk(size: &'static str, body: impl FnOnce(&Path) + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let directory = tempfile::tempdir().unwrap();
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            let options = Some(format!("size={size}"));
            mount(none, directory.path(), Some("tmpfs"), MsFlags::empty(), options.as_deref()).unwrap();
            body(directory.path());
            nix::mount::umount2(directory.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
        });
    });
}

#[test]
fn on_a_full_disk_no_line_is_torn_losses_are_told_and_the_file_resumes_by_itself() {
    if !privileged("on_a_full_disk") {
        return;
    }
    on_a_small_disk("64k", |directory| {
        let path = directory.join("events.ndjson");
        let filler = directory.join("filler");
        let settings = Settings {
            file: Some(FileSettings {
                path: path.clone(),
                max_size: 1 << 30,
                keep: 1,
                sync: Sync::None,
                alerts: None,
            }),
            ..Settings::default()
        };
        std::fs::write(&filler, vec![0; 32 << 10]).unwrap();
        let log = open(&settings);
        let mut results: Vec<_> = (0..100).map(|_| log.attempt(&Sample::denied().entry())).collect();
        let refused = results
            .iter()
            .filter(|result| matches!(result, Err(NotRecorded { errno: libc::ENOSPC, .. })))
            .count();
        let taken = results.iter().filter(|result| result.is_ok()).count();
        assert!(taken >= 5 && taken + refused == 100, "{taken} {refused}");
        assert_eq!(numbers(&std::fs::read_to_string(&path).unwrap()).len(), taken, "whole lines only");
        assert_eq!((log.counters()[0].lost, log.counters()[0].working), (refused as u64, false));

        std::fs::remove_file(&filler).unwrap();
        results.push(log.attempt(&Sample::denied().entry()));
        assert_eq!(results.last(), Some(&Ok(101)));
        let text = std::fs::read_to_string(&path).unwrap();
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last.pointer("/event/action").unwrap(), "sink-back");
        assert_eq!(last.pointer("/shmguard/lost").unwrap(), refused);
        assert_eq!(
            last.pointer("/shmguard/missing").unwrap(),
            &serde_json::json!({"first": taken + 1, "last": 100})
        );
        assert!(log.counters()[0].working);
    });
}

#[test]
fn syslog_still_gets_what_a_full_disk_refuses() {
    if !privileged("syslog_still_gets_what_a_full_disk_refuses") {
        return;
    }
    on_a_small_disk("16k", |directory| {
        let (elsewhere, settings) = place();
        let socket = elsewhere.path().join("log.sock");
        let daemon = UnixDatagram::bind(&socket).unwrap();
        let mut settings = with_syslog(settings, &socket);
        if let Some(file) = &mut settings.file {
            file.path = directory.join("events.ndjson");
        }
        let log = open(&settings);
        while log.attempt(&Sample::allowed().entry()).is_ok() {}
        log.attempt(&Sample::denied().entry()).unwrap_err();
        let mut told = Vec::new();
        while !told.last().is_some_and(|line: &String| line.contains("denied: root")) {
            told.push(received(&daemon));
        }
        assert!(told.iter().any(|line| line.contains("file loses records")), "{told:?}");
    });
}
