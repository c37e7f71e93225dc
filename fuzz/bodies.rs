//! What is done with foreign bytes, for every parser of such: by the fuzzer (`fuzz/run`), and by `tests/fuzz.rs`, which
//! needs none. Each panics where a promise of the parser is broken.

use shmguard::control::protocol::{Reply, Request};
use shmguard::policy::{Source, cases, compile, config as configuration, import};
use shmguard::record::read::{Head, attempt};
use shmguard::record::verify::Verifier;
use shmguard::sys::fanotify::{RECORD_LENGTH, parse};
use shmguard::watch::mounts::MountTable;

/// What a read of the group gives.
pub(crate) fn fanotify(bytes: &[u8]) {
    if parse(bytes).is_some() {
        assert!(bytes.len() >= RECORD_LENGTH);
    }
}

/// /proc/PID/mountinfo, whose names and options a user chooses.
pub(crate) fn mountinfo(bytes: &[u8]) {
    let table = MountTable::parse(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    assert!(table.mounts().len() + table.skipped_count() <= lines);
    for mount in table.mounts() {
        let _visible = table.is_visible(mount);
        let _layers = mount.layers();
        let _found = table.visible(&mount.point);
        let _flags = (mount.nosuid(), mount.noexec());
    }
    let steps = table.uncovering(&table.mounts().iter().collect::<Vec<_>>());
    assert!(steps.len() <= 2 * table.mounts().len());
}

/// The texts of /proc/PID, of which a task chooses much.
pub(crate) fn proc(bytes: &[u8]) {
    shmguard::identify::read_foreign(bytes);
}

/// Rules, their conditions, cases, and detection rules of others.
pub(crate) fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let alone = compile(&[Source { file: None, text }], false);
    let condition = format!("[[rule]]\nid = \"x\"\neffect = \"deny\"\nwhen = '''{text}'''\n");
    let wrapped = compile(&[Source { file: None, text: &condition }], false);
    for problems in [alone.err(), wrapped.err()].into_iter().flatten() {
        assert!(!problems.is_empty());
        for problem in problems {
            let _told = problem.to_string();
        }
    }
    let _cases = cases::parse(None, text);
    if let Ok(imported) = import::import(None, text) {
        let taken = compile(&[Source { file: None, text: &imported.text }], false);
        assert!(taken.is_ok(), "an imported rule does not compile: {taken:?}\n{}", imported.text);
    }
}

/// The configuration.
pub(crate) fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(problems) = configuration::parse(None, text) {
        assert!(!problems.is_empty());
        for problem in problems {
            let _told = problem.to_string();
        }
    }
}

/// Lines of a log, ours or another product's.
pub(crate) fn records(bytes: &[u8]) {
    let mut verifier = Verifier::new();
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        let _head = Head::parse(line);
        if let Err(unreadable) = attempt(line) {
            let _told = unreadable.to_string();
        }
        verifier.line("log", number, line);
    }
    let _holds = verifier.verdict().holds();
}

/// What a client of the control socket sends, and what one gets.
pub(crate) fn control(bytes: &[u8]) {
    if let Ok(request) = Request::decode(bytes) {
        assert_eq!(Request::decode(&request.encode()).as_ref(), Ok(&request));
    }
    if let Ok(reply) = Reply::decode(bytes) {
        assert!(Reply::decode(&reply.encode()).is_ok());
    }
}
