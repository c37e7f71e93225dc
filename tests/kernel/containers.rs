//! The watched directories of other mount namespaces, as every container has them.
//!
//! These guards see the namespaces of all other tests too, so they run in audit mode: they deny nobody anything.

use std::process::Command;

use crate::bed::{Exec, bed, end_of, wait_until};

#[test]
fn a_tmpfs_at_dev_shm_of_another_namespace_is_found_within_a_second_and_its_execs_recorded() {
    bed(|bed| {
        let guard = bed.guard_with("mode = \"audit\"", "containers = true");
        let marker = bed.path("inside");
        let script = format!(
            "mount -t tmpfs c /dev/shm && cp /bin/true /dev/shm/in-a-container && touch {} && sleep 1.5 && \
             exec /dev/shm/in-a-container",
            marker.display()
        );
        assert_eq!(end_of(Command::new("unshare").args(["-m", "sh", "-c", &script])), Exec::Ran(0));
        assert!(marker.exists());
        let records = guard.attempts();
        let name = "/dev/shm/in-a-container";
        let found: Vec<_> = records.iter().filter(|record| record["process"]["executable"] == name).collect();
        assert_eq!(found.len(), 1, "{records:#?}");
        assert_eq!(found[0]["event"]["kind"], "alert");
    });
}

#[test]
fn a_namespace_that_ends_takes_its_mark_along() {
    bed(|bed| {
        let guard = bed.guard_with("mode = \"audit\"", "containers = true");
        let marker = bed.path("device");
        let script = format!(
            "mount -t tmpfs c /dev/shm && grep ' /dev/shm ' /proc/self/mountinfo | tail -n 1 | cut -d ' ' -f 3 >{} && \
             sleep 2.5",
            marker.display()
        );
        let mut container = Command::new("unshare").args(["-m", "sh", "-c", &script]).spawn().unwrap();
        let told = |action: &str| {
            let device = std::fs::read_to_string(&marker).unwrap_or_default();
            guard.records().iter().any(|record| {
                record["event"]["action"] == action
                    && record["shmguard"]["filesystem"]["device"] == device.trim()
            })
        };
        wait_until("the filesystem is found", || told("mark-added"));
        container.wait().unwrap();
        wait_until("its mark is dropped", || told("mark-dropped"));
    });
}
