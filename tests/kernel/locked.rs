//! What a guard has given up.

use std::process::Command;

use crate::bed::{Exec, bed};
use crate::helper::helper;

/// 128 and SIGSYS.
const KILLED_BY_FILTER: i32 = 128 + 31;

#[test]
fn a_confined_process_that_executes_a_program_is_killed() {
    bed(|bed| {
        let program = bed.program(bed.path("program"));
        assert_eq!(Command::new(&program).status().unwrap().code(), Some(0));
        assert_eq!(helper(&["confined", program.to_str().unwrap()]), Exec::Ran(KILLED_BY_FILTER));
    });
}

#[test]
fn every_thread_of_a_guard_is_filtered_and_keeps_few_capabilities() {
    bed(|bed| {
        let guard = bed.prevent();
        let tasks = std::fs::read_dir(format!("/proc/{}/task", guard.pid())).unwrap();
        let tasks: Vec<_> = tasks.map(|task| task.unwrap().path()).collect();
        assert!(tasks.len() >= 4, "{tasks:?}");
        // Where the guard may not raise this limit, its readers need CAP_SYS_NICE to change their class.
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", guard.pid())).unwrap();
        let limit = limits.lines().find_map(|line| line.strip_prefix("Max realtime priority")).unwrap();
        let is_limited = limit.split_whitespace().next() == Some("0");
        for task in tasks {
            let status = std::fs::read_to_string(task.join("status")).unwrap();
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                line.trim_start_matches(':').trim().to_owned()
            };
            // CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_LEASE, CAP_AUDIT_WRITE.
            let mut kept = 1 << 2 | 1 << 19 | 1 << 21 | 1 << 28 | 1 << 29;
            if is_limited && ["reader", "relief", "opens"].contains(&field("Name").as_str()) {
                kept |= 1 << 23;
            }
            for set in ["CapPrm", "CapEff"] {
                let held = u64::from_str_radix(&field(set), 16).unwrap();
                assert_eq!(held & !kept, 0, "{}: {set} {held:x}", field("Name"));
            }
            assert_eq!(field("NoNewPrivs"), "1", "{}", field("Name"));
            assert_eq!(field("Seccomp"), "2", "{}", field("Name"));
        }
    });
}
