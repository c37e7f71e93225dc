//! Ways to run a file from shared memory, each tried without the guard first.
//!
//! A way is a list of [`steps`](crate::steps) in which one line is `wait`. It runs three times: without a guard, where
//! it has to work; with a guard that came while it waited, so that its namespaces, mounts and descriptors are older than
//! the guard; and with the guard there before. Both must be denied, and recorded with the true name of the file and the
//! path at which it was seen. `docs/evasions.md` lists every test in these files.

mod calls;
mod containers;
mod descriptors;
mod exceptions;
mod files;
mod gaps;
mod identity;
mod images;
mod kernel_started;
mod layers;
mod mounts;
mod namespaces;
mod over;

use serde_json::Value;

use crate::bed::{Exec, Guard, bed};
use crate::helper::play_until_wait;

/// A way that must be denied. `name` is the file's true name, `seen` where it is seen; an empty one is not looked at.
#[track_caller]
pub fn denied(steps: &str, name: &str, seen: &str) {
    let list = with_wait(steps);
    let (name, seen) = (name.to_owned(), seen.to_owned());
    bed(move |bed| {
        proven(&list);
        let older = play_until_wait(&list);
        let guard = bed.prevent();
        assert_eq!(older.go_on(), Exec::Denied, "older than the guard: {list}");
        check(&guard, 0, &name, &seen);
        let before = guard.attempts().len();
        assert_eq!(play_until_wait(&list).go_on(), Exec::Denied, "newer than the guard: {list}");
        check(&guard, before, &name, &seen);
    });
}

/// The same, and the record says that it would have run as this user.
#[track_caller]
pub fn denied_as(steps: &str, name: &str, user: &str) {
    let list = with_wait(steps);
    let (name, user) = (name.to_owned(), user.to_owned());
    bed(move |bed| {
        proven(&list);
        let older = play_until_wait(&list);
        let guard = bed.prevent();
        assert_eq!(older.go_on(), Exec::Denied, "older than the guard: {list}");
        assert_eq!(play_until_wait(&list).go_on(), Exec::Denied, "newer than the guard: {list}");
        check(&guard, 0, &name, "");
        for record in guard.attempts() {
            assert_eq!(record["user"]["id"], user.as_str(), "{record:#}");
        }
    });
}

/// A way that must not be denied, for it gives its user nothing; the record says as whom it ran.
#[track_caller]
pub fn allowed(steps: &str, user: &str) {
    let list = with_wait(steps);
    let user = user.to_owned();
    bed(move |bed| {
        proven(&list);
        let guard = bed.prevent();
        assert_eq!(play_until_wait(&list).go_on(), Exec::Ran(0), "{list}: {:#?}", guard.attempts());
        let attempts = guard.attempts();
        assert!(!attempts.is_empty(), "nothing was recorded");
        for record in attempts {
            assert_eq!(record["event"]["type"], serde_json::json!(["start"]), "{record:#}");
            assert_eq!(record["user"]["id"], user.as_str(), "{record:#}");
        }
    });
}

/// Whether the host has this program; says so loudly where not.
pub fn has(program: &str) -> bool {
    let there = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|directory| std::path::Path::new(directory).join(program).exists());
    if !there {
        assert!(std::env::var_os("CI").is_none(), "{program} is needed");
        eprintln!("SKIPPED, NOT PASSED: {program} is not installed");
    }
    there
}

/// Runs without a guard.
#[track_caller]
pub fn proven(list: &str) {
    assert_eq!(play_until_wait(list).go_on(), Exec::Ran(0), "does not work without a guard: {list}");
}

/// The steps with a `wait` before the last one, where none says `wait` itself.
pub fn with_wait(steps: &str) -> String {
    let mut lines: Vec<&str> = steps.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if !lines.contains(&"wait") {
        lines.insert(lines.len() - 1, "wait");
    }
    lines.join("\n")
}

/// Every attempt since the first `before` ones was denied, and one has this name and was seen there.
#[track_caller]
pub fn check(guard: &Guard, before: usize, name: &str, seen: &str) {
    let attempts = guard.attempts().split_off(before);
    assert!(!attempts.is_empty(), "nothing was recorded");
    for record in &attempts {
        assert_eq!(record["event"]["type"], serde_json::json!(["start", "denied"]), "{record:#}");
        assert_ne!(record["process"]["name"], "", "{record:#}");
    }
    let named = |record: &&Value| {
        (name.is_empty() || record["process"]["executable"] == name)
            && (seen.is_empty() || record["shmguard"]["path_as_seen"] == seen)
    };
    assert!(
        attempts.iter().any(|record| named(&record)),
        "no record of {name} seen at {seen}: {attempts:#?}"
    );
}
