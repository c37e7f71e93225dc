//! A test that is ended in its middle leaves no guard behind: its deadline aborts the whole process.

use std::process::{Command, Stdio};

use crate::bed::{bed, die_with_parent, wait_until};
use crate::service::service;

/// A test that is killed in its middle: where it says how far it is.
const KILLED: &str = "SHMGUARD_TEST_KILLED";

#[test]
fn a_service_does_not_outlive_a_test_that_is_killed() {
    let name = "aborted::a_service_does_not_outlive_a_test_that_is_killed";
    if std::env::var_os(KILLED).is_some() {
        return bed(|bed| {
            service(bed, "--supervise", "", &format!("echo $BED >${KILLED}; sleep 60"));
        });
    }
    bed(move |bed| {
        let marker = bed.path("middle");
        let mut test = Command::new(std::env::current_exe().unwrap());
        test.args(["--exact", name]).env(KILLED, &marker).stdin(Stdio::null()).stdout(Stdio::null());
        die_with_parent(&mut test);
        let mut test = test.spawn().unwrap();
        let mut directory = String::new();
        wait_until("the guard stands", || {
            directory = std::fs::read_to_string(&marker).unwrap_or_default().trim().to_owned();
            !directory.is_empty()
        });
        let before = processes_about(&directory);
        test.kill().unwrap();
        test.wait().unwrap();
        assert!(before >= 2, "a guard and its parent, but there were {before}");
        wait_until("nothing is left of it", || processes_about(&directory) == 0);
        std::fs::remove_dir_all(directory).unwrap();
    });
}

/// How many processes have this text in their arguments.
fn processes_about(text: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let arguments = processes.map(|process| std::fs::read(process.join("cmdline")).unwrap_or_default());
    arguments.filter(|arguments| String::from_utf8_lossy(arguments).contains(text)).count()
}
