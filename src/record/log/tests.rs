//! The log against real files and pipes.

use super::*;
use crate::record::file::Place;
use crate::record::read::Head;
use crate::record::samples::{self, Sample};
use crate::record::settings::{FileSettings, Sync};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A directory, and the settings of a log in it.
pub(super) fn place() -> (tempfile::TempDir, Settings) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = FileSettings {
        path: directory.path().join("log/events.ndjson"),
        max_size: 1 << 30,
        keep: 3,
        sync: Sync::None,
        alerts: None,
    };
    (directory, Settings { file: Some(file), ..Settings::default() })
}

pub(super) fn path(settings: &Settings) -> &Path {
    &settings.file.as_ref().expect("a file").path
}

pub(super) fn open(settings: &Settings) -> Log {
    Log::open(settings, samples::host()).expect("the log opens")
}

pub(super) fn numbers(text: &str) -> Vec<u64> {
    text.lines().map(|line| Head::parse(line.as_bytes()).expect("a record").sequence).collect()
}

/// Waits for something that another thread does.
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
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
    let facts = crate::record::format::HostFacts { boot_id: "another".into(), ..Default::default() };
    let log = Log::open(&settings, Host::new(facts)).expect("the log opens");
    assert_eq!(log.attempt(&Sample::allowed().entry()), Ok(1));
    assert_eq!(numbers(&std::fs::read_to_string(path(&settings)).unwrap()), [1, 2, 3, 1]);
}

/// What a process left: the next number, the first that is missing, and how many are owed.
#[derive(Debug)]
struct Left(Mutex<(u64, u64, u64)>);

impl Left {
    fn new(next: u64, missing: u64, owed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new((next, missing, owed))))
    }

    fn all(&self) -> (u64, u64, u64) {
        *self.0.lock().unwrap()
    }
}

impl Numbering for Left {
    fn note(&self, next: u64, missing: u64) {
        let mut left = self.0.lock().unwrap();
        *left = (next, missing, left.2);
    }

    fn noted(&self) -> (u64, u64) {
        let (next, missing, _) = self.all();
        (next, missing)
    }

    fn owe(&self, records: u64) {
        self.0.lock().unwrap().2 += records;
    }

    fn pay(&self, records: u64) {
        self.0.lock().unwrap().2 -= records;
    }

    fn owed(&self) -> u64 {
        self.all().2
    }
}

/// The numbers that the log names as missing, each with how many of them were lost.
fn told(settings: &Settings) -> Vec<(u64, u64, u64)> {
    let text = std::fs::read_to_string(path(settings)).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let number = |record: &serde_json::Value, at: &str| record.pointer(at).and_then(|number| number.as_u64());
    records
        .filter_map(|record| {
            let missing = |end: &str| number(&record, &format!("/shmguard/missing/{end}"));
            Some((missing("first")?, missing("last")?, number(&record, "/shmguard/lost")?))
        })
        .collect()
}

#[test]
fn a_successor_goes_on_with_the_numbers_and_the_losses_of_a_log_that_was_moved_away() {
    let (_directory, settings) = place();
    let left = Left::new(8, 6, 0);
    let numbering: Arc<dyn Numbering> = Arc::<Left>::clone(&left);
    let log = Log::open_after(&settings, samples::host(), numbering, None).expect("the log opens");
    assert_eq!(log.attempt(&Sample::allowed().entry()), Ok(8));
    assert_eq!(left.all(), (10, 0, 0));
    let text = std::fs::read_to_string(path(&settings)).unwrap();
    assert_eq!(numbers(&text), [8, 9]);
    let told = Head::parse(text.lines().last().unwrap().as_bytes()).unwrap();
    assert_eq!(told.missing, Some((6, 7)));
    drop(log);
    // Killed during a line that is in the file all the same, and during one that is not.
    for (noted, missing) in [((10, 9), None), ((13, 12), Some((12, 12)))] {
        let left: Arc<dyn Numbering> = Left::new(noted.0, noted.1, 0);
        let log = Log::open_after(&settings, samples::host(), left, None).expect("the log opens");
        assert_eq!(log.attempt(&Sample::allowed().entry()), Ok(noted.0));
        let text = std::fs::read_to_string(path(&settings)).unwrap();
        assert_eq!(Head::parse(text.lines().last().unwrap().as_bytes()).unwrap().missing, missing);
    }
}

/// The file at a path that was used before holds numbers of another guard: they say nothing of the last one noted.
#[test]
fn what_was_lost_in_another_file_is_told_also_in_one_that_holds_later_numbers() {
    let (_directory, settings) = place();
    let log = open(&settings);
    (1..=9).for_each(|number| assert_eq!(log.attempt(&Sample::allowed().entry()), Ok(number)));
    drop(log);
    let log = Log::open_after(&settings, samples::host(), Left::new(4, 3, 0), None).expect("the log opens");
    assert_eq!(log.attempt(&Sample::allowed().entry()), Ok(10));
    assert_eq!(told(&settings), [(3, 3, 1)]);
}

#[test]
fn what_processes_before_owed_is_told_once_and_owed_no_more() {
    let (_directory, settings) = place();
    let left = Left::new(4, 3, 2);
    let numbering: Arc<dyn Numbering> = Arc::<Left>::clone(&left);
    let log = Log::open_after(&settings, samples::host(), numbering, None).expect("the log opens");
    assert_eq!(left.all(), (6, 3, 0));
    assert_eq!(log.attempt(&Sample::allowed().entry()), Ok(6));
    assert_eq!(told(&settings), [(3, 5, 3)]);
    assert_eq!(left.all(), (8, 0, 0));
}

/// Whoever kills the guard then leaves nobody else who knows of it.
#[test]
fn what_is_lost_behind_a_write_that_hangs_for_a_moment_is_still_noted_when_that_write_is_done() {
    let (_directory, settings) = place();
    let left = Left::new(0, 0, 0);
    let numbering: Arc<dyn Numbering> = Arc::<Left>::clone(&left);
    let log = Log::open_after(&settings, samples::host(), numbering, None).expect("the log opens");
    let (release, hangs) = mpsc::channel::<()>();
    let (tell, begun) = mpsc::channel();
    std::thread::scope(|scope| {
        let log = &log;
        scope.spawn(move || {
            let hang = |writer: &mut Writer| {
                tell.send(()).unwrap();
                hangs.recv().unwrap();
                writer.notice(&opening::takes_over("killed"), &samples::host()).result.unwrap()
            };
            log.shared.with_writer(Duration::from_secs(20), hang).unwrap();
        });
        begun.recv().unwrap();
        assert!(log.attempt(&Sample::allowed().entry()).is_err());
        assert_eq!(left.owed(), 1);
        release.send(()).unwrap();
    });
    let killed_here = left.all();
    let (_elsewhere, other) = place();
    let moved = path(&other);
    std::fs::create_dir_all(moved.parent().unwrap()).unwrap();
    std::fs::copy(path(&settings), moved).unwrap();
    let left = Left::new(killed_here.0, killed_here.1, killed_here.2);
    let log = Log::open_after(&other, samples::host(), left, None).expect("the log opens");
    log.attempt(&Sample::allowed().entry()).unwrap();
    assert_eq!(told(&other).iter().map(|(_, _, lost)| lost).sum::<u64>(), 1, "{killed_here:?}");
}

/// What cannot be recorded while the file is being opened is told, every time, also what comes in the very moment.
#[test]
fn what_is_lost_until_the_file_can_be_opened_is_told_to_the_last_record() {
    let (_directory, settings) = place();
    let directory = path(&settings).parent().unwrap();
    std::fs::write(directory, "in the way").unwrap();
    let numbering = Left::new(0, 0, 0);
    let successor = Successor { says: "killed", patience: Duration::from_secs(5) };
    let log = Log::open_after(&settings, samples::host(), numbering, Some(successor)).expect("it stands");
    let lost = || (0..1000).filter(|_| log.attempt(&Sample::allowed().entry()).is_err()).count();
    let mut all = lost();
    std::fs::remove_file(directory).unwrap();
    eventually("the file is there", || {
        let more = lost();
        all += more;
        more == 0
    });
    let told: u64 = told(&settings).iter().map(|(_, _, lost)| lost).sum();
    assert_eq!(told, u64::try_from(all).unwrap());
}

#[test]
fn a_torn_record_is_kept_in_a_notice_and_the_file_stays_json() {
    for torn in ["{\"@timestamp\":\"2026-\\u00", "x", "\0\0\0\0"] {
        let (_directory, settings) = place();
        let log = open(&settings);
        assert_eq!(log.attempt(&Sample::allowed().entry()), Ok(1));
        // A log that is still there would see its file cut.
        log.close(Duration::from_secs(5));
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
    let numbers = numbers(&std::fs::read_to_string(path(&settings)).unwrap());
    assert!(numbers.into_iter().eq(1..=2000), "each number once and in order");
}

#[test]
fn without_a_file_standard_error_is_the_record_and_a_reader_that_sleeps_holds_up_nothing() {
    let settings = Settings { stderr: Stderr::Record, ..Settings::default() };
    let (reader, pipe) = std::io::pipe().unwrap();
    let log =
        Log::open_with(&settings, samples::host(), None, None, pipe.into(), false).expect("the log opens");
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
    let log =
        Log::open_with(&settings, samples::host(), None, None, pipe.into(), false).expect("the log opens");
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

/// The sequence numbers of the older generations and the current file.
fn all_numbers(settings: &Settings) -> Vec<u64> {
    let place = Place::new(path(settings), 9);
    let older = (1..=9).rev().filter_map(|number| std::fs::read_to_string(place.generation(number)).ok());
    older.chain(std::fs::read_to_string(path(settings)).ok()).flat_map(|text| numbers(&text)).collect()
}

#[test]
fn rotation_keeps_the_sequence_and_the_number_of_files() {
    let (_directory, mut settings) = place();
    if let Some(file) = &mut settings.file {
        (file.max_size, file.keep) = (20_000, 9);
    }
    let log = open(&settings);
    let third = Place::new(path(&settings), 9).generation(3);
    eventually("three rotations", || {
        log.attempt(&Sample::allowed().entry()).unwrap();
        third.exists()
    });
    assert!(log.close(Duration::from_secs(5)));
    let numbers = all_numbers(&settings);
    let verdict = crate::record::Generations::open(path(&settings)).unwrap().verify().unwrap();
    assert!(verdict.holds(), "{verdict:?}");
    assert_eq!((verdict.boots.len(), verdict.boots[0].first, verdict.records), (1, 1, numbers.len() as u64));
    // A restart just after a rotation: the last number may stand in the older file.
    std::fs::rename(path(&settings), Place::new(path(&settings), 9).generation(1)).unwrap();
    let log = open(&settings);
    assert_eq!(log.attempt(&Sample::allowed().entry()), Ok(numbers.len() as u64 + 1));
}

#[test]
fn a_file_that_others_move_or_remove_is_made_anew_within_moments() {
    let (_directory, settings) = place();
    let log = open(&settings);
    log.attempt(&Sample::allowed().entry()).unwrap();
    std::fs::rename(path(&settings), path(&settings).with_extension("moved")).unwrap();
    eventually("a new file", || path(&settings).exists());
    std::fs::remove_dir_all(path(&settings).parent().unwrap()).unwrap();
    eventually("a new directory and file", || path(&settings).exists());
    eventually("it is written to", || {
        log.attempt(&Sample::denied().entry()).unwrap();
        std::fs::read_to_string(path(&settings)).unwrap().contains("\"denied\"")
    });
}

fn is_held(settings: &Settings) -> bool {
    matches!(Log::open(settings, samples::host()), Err(RecordError::Held(_)))
}

/// Of a directory, whatever its log is called: the copy of the alerts would be the same.
#[test]
fn a_second_log_in_a_directory_is_refused_until_the_first_is_closed() {
    let (directory, settings) = place();
    let log = open(&settings);
    let mut other = settings.clone();
    if let Some(file) = &mut other.file {
        file.path = directory.path().join("log/other.ndjson");
    }
    let error = Log::open(&other, samples::host()).expect_err("it is held").to_string();
    assert!(error.contains("another guard writes its log in ") && error.contains("log.file.path"), "{error}");
    assert!(!path(&other).exists(), "it was touched");
    assert!(is_held(&settings));
    drop(log);
    open(&other).attempt(&Sample::allowed().entry()).unwrap();
}

#[test]
fn a_successor_does_not_wait_for_a_lock_that_its_predecessor_has_yet_and_gets_it_afterwards() {
    let (_directory, settings) = place();
    let predecessor = open(&settings);
    let successor = Successor { says: "killed", patience: Duration::from_secs(5) };
    let left = Left::new(0, 0, 0);
    let log = Log::open_after(&settings, samples::host(), left, Some(successor)).expect("it stands");
    assert_eq!(log.attempt(&Sample::allowed().entry()), Ok(2));
    drop(predecessor);
    // Which may be us, for a moment.
    eventually("the successor has the lock", || is_held(&settings));
}

#[test]
fn the_lock_goes_along_into_a_directory_that_is_made_anew_and_past_rotations() {
    let (_directory, mut settings) = place();
    if let Some(file) = &mut settings.file {
        file.max_size = 1;
    }
    let log = open(&settings);
    log.attempt(&Sample::allowed().entry()).unwrap();
    eventually("it is rotated", || path(&settings).with_extension("ndjson.1").exists());
    assert!(is_held(&settings));
    // Moved, because it cannot be removed in the middle of a rotation.
    let directory = path(&settings).parent().unwrap();
    std::fs::rename(directory, directory.with_extension("old")).unwrap();
    eventually("a new directory and file", || path(&settings).exists());
    eventually("the new directory is locked", || is_held(&settings));
}

#[test]
fn where_no_lock_can_be_had_the_log_is_written_without() {
    let (_directory, settings) = place();
    let directory = path(&settings).parent().unwrap();
    std::fs::create_dir(directory).unwrap();
    std::os::unix::fs::symlink("/nowhere", occupied::lock_file(path(&settings))).unwrap();
    assert_eq!(open(&settings).attempt(&Sample::allowed().entry()), Ok(1));
}

#[test]
fn a_file_that_is_gone_and_cannot_be_made_anew_is_no_working_sink() {
    let (directory, settings) = place();
    let log = open(&settings);
    std::fs::remove_file(path(&settings)).unwrap();
    std::os::unix::fs::symlink(directory.path().join("elsewhere"), path(&settings)).unwrap();
    eventually("the sink does not work", || !log.counters()[0].working);
    assert!(log.counters()[0].error.as_ref().is_some_and(|error| error.contains("symbolic link")));
    std::fs::remove_file(path(&settings)).unwrap();
    eventually("it works again", || log.counters()[0].working && path(&settings).exists());
    assert!(!directory.path().join("elsewhere").exists());
}

#[test]
fn a_new_file_is_opened_at_once_when_asked() {
    let (_directory, settings) = place();
    let log = open(&settings);
    let moved = path(&settings).with_extension("moved");
    std::fs::rename(path(&settings), &moved).unwrap();
    log.reopen();
    let asked = std::time::Instant::now();
    eventually("a new file", || std::fs::read_to_string(path(&settings)).is_ok_and(|text| !text.is_empty()));
    assert!(asked.elapsed() < Duration::from_millis(900), "{:?}", asked.elapsed());
}

#[test]
fn half_a_line_that_cannot_be_taken_back_does_not_merge_with_the_next() {
    let (_directory, settings) = place();
    let log = open(&settings);
    log.attempt(&Sample::allowed().entry()).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(path(&settings)).unwrap();
    std::io::Write::write_all(&mut file, b"{\"half").unwrap();
    // Whoever opens it next begins a line of its own.
    let mut appender = crate::record::file::Appender::new(Place::new(path(&settings), 1).open().unwrap());
    appender.append(b"{}\n").unwrap();
    let text = std::fs::read_to_string(path(&settings)).unwrap();
    assert!(text.ends_with("\n{\"half\n{}\n"), "{text}");
}

#[test]
fn each_and_interval_reach_the_disk_and_still_record() {
    for sync in [Sync::Each, Sync::Interval] {
        let (_directory, mut settings) = place();
        if let Some(file) = &mut settings.file {
            file.sync = sync;
        }
        let log = open(&settings);
        assert_eq!(log.attempt(&Sample::allowed().entry()), Ok(1));
        assert!(log.close(Duration::from_secs(5)));
    }
}

#[test]
fn settings_without_a_record_of_truth_are_refused() {
    assert!(matches!(Log::open(&Settings::default(), samples::host()), Err(RecordError::NoRecord)));
    let (_directory, settings) = place();
    let both = Settings { stderr: Stderr::Record, ..settings };
    assert!(matches!(Log::open(&both, samples::host()), Err(RecordError::TwoRecords)));
}
