//! Audit and prevention, from outside.

use std::time::{Duration, SystemTime};

use crate::bed::{Exec, bed, exec, exec_as, wait_until};

#[test]
fn prevention_denies_root_with_eperm_and_the_record_is_there_first() {
    bed(|bed| {
        let program = bed.program("/dev/shm/kdmtmpflush");
        let guard = bed.prevent();
        assert_eq!(exec(&program), Exec::Denied);
        // No waiting: the record is in the file before the caller learns of the answer.
        let record = guard.only_attempt();
        assert_eq!(record["event"]["kind"], "alert");
        assert_eq!(record["event"]["type"], serde_json::json!(["start", "denied"]));
        assert_eq!(record["event"]["outcome"], "success");
        assert_eq!(record["process"]["executable"], "/dev/shm/kdmtmpflush");
        assert_eq!(record["user"]["id"], "0");
        assert_eq!(record["rule"]["name"].as_str().map(str::is_empty), Some(false));
    });
}

#[test]
fn audit_mode_lets_the_same_exec_run_and_says_that_it_would_be_denied() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.guard("mode = \"audit\"\n");
        assert_eq!(exec(&program), Exec::Ran(0));
        let record = guard.only_attempt();
        assert_eq!(record["event"]["kind"], "alert");
        assert_eq!(record["event"]["type"], serde_json::json!(["start", "allowed"]));
        assert_eq!(record["event"]["outcome"], "unknown");
    });
}

#[test]
fn an_unprivileged_user_is_allowed_and_recorded() {
    bed(|bed| {
        let program = bed.program("/dev/shm/.rev");
        let guard = bed.prevent();
        assert_eq!(exec_as(65534, &program), Exec::Ran(0));
        let record = guard.only_attempt();
        assert_eq!(record["event"]["kind"], "event");
        assert_eq!(record["user"]["id"], "65534");
        assert!(record.get("rule").is_none(), "{record:#}");
    });
}

#[test]
fn the_exception_of_the_shipped_policy_lets_root_run_and_is_recorded_as_such() {
    bed(|bed| {
        let program = bed.program("/run/docker/runtime/x");
        let other = bed.program("/run/dockerish/x");
        let guard = bed.prevent();
        assert_eq!(exec(&program), Exec::Ran(0));
        assert_eq!(exec(&other), Exec::Denied);
        let attempts = guard.attempts();
        assert_eq!(attempts.len(), 2);
        assert_eq!(attempts[0]["shmguard"]["excepted"], true);
        assert_eq!(attempts[0]["process"]["executable"], "/run/docker/runtime/x");
        assert_eq!(attempts[1]["process"]["executable"], "/run/dockerish/x");
    });
}

#[test]
fn an_exec_elsewhere_is_not_an_attempt() {
    bed(|bed| {
        let program = bed.program(bed.path("elsewhere"));
        let guard = bed.prevent();
        assert_eq!(exec(&program), Exec::Ran(0));
        assert!(guard.attempts().is_empty());
    });
}

/// Nothing else wakes this guard: it looks at no other namespaces and has no parent.
#[test]
fn a_mode_for_a_time_ends_when_its_time_is_up() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        assert_eq!(guard.ask(&["mode", "audit", "--for", "1s"]).1, Some(0));
        let ends = SystemTime::now() + Duration::from_secs(1);
        assert_eq!(exec(&program), Exec::Ran(0));
        wait_until("prevention is back", || guard.status()["mode"]["current"] == "prevent");
        assert_eq!(exec(&program), Exec::Denied);
        let late = SystemTime::now().duration_since(ends).unwrap();
        // Of the seconds that a guard rests.
        assert!(late < Duration::from_secs(5), "{late:?} late");
    });
}
