//! The log against real files and pipes.

use super::*;
use crate::record::read::Head;
use crate::record::samples::{self, Sample};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A directory, and the settings of a log in it.
fn place() -> (tempfile::TempDir, Settings) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = FileSettings {
        path: directory.path().join("log/events.ndjson"),
        max_size: 1 << 20,
        keep: 3,
        sync: Sync::None,
        alerts: None,
    };
    (directory, Settings { file: Some(file), ..Settings::default() })
}

fn path(settings: &Settings) -> &Path {
    &settings.file.as_ref().expect("a file").path
}

fn open(settings: &Settings) -> Log {
    Log::open(settings, samples::host()).expect("the log opens")
}

fn numbers(text: &str) -> Vec<u64> {
    text.lines().map(|line| Head::parse(line.as_bytes()).expect("a record").sequence).collect()
}

#[test]
fn a_record_is_in_the_file_when_attempt_returns() {
    let (_directory, settings) = place();
    let log = open(&settings);
    assert_eq!(log.attempt(&Sample::denied().entry()), Ok(1));
    let text = std::fs::read_to_string(path(&settings)).unwrap();
    assert_eq!(text, Sample::denied().line(1));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(path(&settings)), 0o640);
    assert_eq!(mode(path(&settings).parent().unwrap()), 0o750);
}

#[test]
fn the_sequence_goes_on_after_a_restart_and_begins_anew_after_a_boot() {
    let (_directory, settings) = place();
    for expected in 1..4 {
        assert_eq!(open(&settings).attempt(&Sample::allowed().entry()), Ok(expected));
    }
    let facts = format::HostFacts { boot_id: "another".into(), ..Default::default() };
    let log = Log::open(&settings, Host::new(facts)).expect("the log opens");
    assert_eq!(log.attempt(&Sample::allowed().entry()), Ok(1));
    assert_eq!(numbers(&std::fs::read_to_string(path(&settings)).unwrap()), [1, 2, 3, 1]);
}

#[test]
fn a_torn_record_is_kept_in_a_notice_and_the_file_stays_json() {
    for torn in ["{\"@timestamp\":\"2026-\\u00", "x", "\0\0\0\0"] {
        let (_directory, settings) = place();
        assert_eq!(open(&settings).attempt(&Sample::allowed().entry()), Ok(1));
        let whole = std::fs::read_to_string(path(&settings)).unwrap();
        std::fs::write(path(&settings), format!("{whole}{torn}")).unwrap();
        assert_eq!(open(&settings).attempt(&Sample::allowed().entry()), Ok(3));
        let text = std::fs::read_to_string(path(&settings)).unwrap();
        assert_eq!(numbers(&text), [1, 2, 3]);
        let notice: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        let kept = notice.pointer("/shmguard/torn/text").and_then(|text| text.as_str()).unwrap();
        assert_eq!(crate::record::escape::decode(kept).unwrap(), torn.as_bytes());
    }
}

#[test]
fn a_link_or_a_pipe_in_place_of_the_file_is_refused() {
    let (directory, settings) = place();
    std::fs::create_dir(path(&settings).parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(directory.path().join("elsewhere"), path(&settings)).unwrap();
    assert!(matches!(Log::open(&settings, samples::host()), Err(RecordError::File(_, libc::ELOOP))));
    std::fs::remove_file(path(&settings)).unwrap();
    nix::unistd::mkfifo(path(&settings), nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR)
        .unwrap();
    assert!(matches!(Log::open(&settings, samples::host()), Err(RecordError::File(..))));
}

#[test]
fn two_threads_number_each_record_once_and_in_the_order_of_the_file() {
    let (_directory, settings) = place();
    let log = open(&settings);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..500 {
                    log.attempt(&Sample::allowed().entry()).expect("a record");
                    log.notice(&Notice::Other { action: "x", text: "y", failed: false });
                }
            });
        }
    });
    let expected: Vec<u64> = (1..=2000).collect();
    assert_eq!(numbers(&std::fs::read_to_string(path(&settings)).unwrap()), expected);
}

#[test]
fn without_a_file_standard_error_is_the_record_and_a_reader_that_sleeps_holds_up_nothing() {
    let settings = Settings { stderr: Stderr::Record, ..Settings::default() };
    let (reader, pipe) = std::io::pipe().unwrap();
    let log = Log::open_with(&settings, samples::host(), pipe.into()).expect("the log opens");
    let started = std::time::Instant::now();
    let taken = (0..1000).filter(|_| log.attempt(&Sample::denied().entry()).is_ok()).count();
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
    assert!((10..1000).contains(&taken), "a pipe holds 64 KiB: {taken}");
    let state = log.counters().remove(0);
    assert_eq!((state.written, state.lost), (taken as u64, 1000 - taken as u64));
    assert!(!state.working);

    let text = read_on(reader, || {
        assert_eq!(log.attempt(&Sample::denied().entry()), Ok(1001));
        drop(log);
    });
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last.pointer("/event/action").unwrap(), "sink-back");
    assert_eq!(last.pointer("/shmguard/missing/last").unwrap(), 1000);
    let numbers = numbers(&text);
    assert_eq!(numbers.len(), taken + 2, "what was taken, the new record and the notice");
    assert_eq!(numbers.last(), Some(&1002));
}

#[test]
fn a_line_that_a_pipe_takes_half_is_completed_before_the_next() {
    let settings = Settings { stderr: Stderr::Record, ..Settings::default() };
    let (reader, pipe) = std::io::pipe().unwrap();
    let log = Log::open_with(&settings, samples::host(), pipe.into()).expect("the log opens");
    let mut long = Sample::denied();
    long.attempt.object.names = ["n".repeat(5_000)].into_iter().collect();
    let taken = (0..10).filter(|_| log.attempt(&long.entry()).is_ok()).count();
    assert!(taken < 10);
    let text = read_on(reader, || {
        assert_eq!(log.attempt(&Sample::denied().entry()), Ok(11));
        drop(log);
    });
    let numbers = numbers(&text);
    assert_eq!(numbers.len(), taken + 3, "and the line that was cut: {numbers:?}");
}

/// Everything that comes out of a pipe: first what is in it, then what `write` adds before it closes the pipe.
fn read_on(reader: std::io::PipeReader, write: impl FnOnce()) -> String {
    let mut reader = std::fs::File::from(OwnedFd::from(reader));
    let mut text = vec![0; 1 << 16];
    let length = reader.read(&mut text).unwrap();
    text.truncate(length);
    write();
    reader.read_to_end(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn settings_without_a_record_of_truth_are_refused() {
    assert!(matches!(Log::open(&Settings::default(), samples::host()), Err(RecordError::NoRecord)));
    let (_directory, settings) = place();
    let both = Settings { stderr: Stderr::Record, ..settings };
    assert!(matches!(Log::open(&both, samples::host()), Err(RecordError::TwoRecords)));
}
