//! Programs that the kernel starts by itself, and handlers of file formats.
//!
//! core_pattern, modprobe and the like are settings of the whole host: they start programs the same way as the agent of
//! a control group does, which can be had for a hierarchy of one's own.

use super::{check, denied, proven};
use crate::bed::{Exec, bed};
use crate::helper::{play, play_until_wait};

const NAME: &str = "/dev/shm/evil/x";

#[test]
fn the_agent_of_a_control_group() {
    // The kernel starts it in the first mount namespace: through /proc it comes into the test's.
    let steps = "mkdir /dev/shm/evil
         text /dev/shm/evil/x #!/bin/sh\\n:>/proc/{pid}/root/dev/shm/ran\\n
         unshare m
         mount tmpfs none /mnt
         mkdir /mnt/group
         mount cgroup none /mnt/group none,name=shmguard-test-{pid}
         mkdir /mnt/group/child
         write /mnt/group/release_agent /proc/{pid}/root/dev/shm/evil/x
         write /mnt/group/notify_on_release 1
         write /mnt/group/child/notify_on_release 1
         other
         write /mnt/group/child/cgroup.procs 0
         write /mnt/group/cgroup.procs 0
         end
         sleep 500
         rmdir /mnt/group/child
         umount /mnt/group
         exec /bin/true";
    bed(move |bed| {
        if std::fs::read_to_string("/proc/filesystems").is_ok_and(|known| !known.contains("\tcgroup\n")) {
            eprintln!("SKIPPED, NOT PASSED: this kernel has no control groups of the first version");
            return;
        }
        assert_eq!(play(steps), Exec::Ran(0));
        assert!(std::path::Path::new("/dev/shm/ran").exists(), "the agent did not run");
        std::fs::remove_file("/dev/shm/ran").unwrap();
        let guard = bed.prevent();
        assert_eq!(play(steps), Exec::Ran(0));
        check(&guard, 0, NAME, "");
        assert!(!std::path::Path::new("/dev/shm/ran").exists());
    });
}

#[test]
fn a_handler_of_a_file_format() {
    denied(
        "interpreter /dev/shm/evil/x
         unshare Um
         mount tmpfs none /srv
         mkdir /srv/misc
         mount binfmt_misc none /srv/misc
         write /srv/misc/register :shmguard:M::SHMGUARD::/dev/shm/evil/x:
         text /srv/file SHMGUARD
         exec /srv/file",
        NAME,
        NAME,
    );
}

#[test]
fn a_handler_of_a_file_format_that_was_opened_before() {
    denied(
        "interpreter /dev/shm/evil/x
         unshare Um
         mount tmpfs none /srv
         mkdir /srv/misc
         mount binfmt_misc none /srv/misc
         text /srv/file SHMGUARD
         wait
         register /srv/misc/register :shmguard:M::SHMGUARD::/dev/shm/evil/x:F
         exec /srv/file",
        NAME,
        NAME,
    );
}

#[test]
fn a_handler_of_a_file_format_that_is_older_than_the_guard() {
    // A newer one is refused already when it is registered, for it is opened then.
    let steps = "interpreter /dev/shm/evil/x
         unshare Um
         mount tmpfs none /srv
         mkdir /srv/misc
         mount binfmt_misc none /srv/misc
         write /srv/misc/register :shmguard:M::SHMGUARD::/dev/shm/evil/x:F
         rm /dev/shm/evil/x
         text /srv/file SHMGUARD
         wait
         exec /srv/file";
    bed(move |bed| {
        proven(steps);
        let older = play_until_wait(steps);
        let guard = bed.prevent();
        assert_eq!(older.go_on(), Exec::Denied);
        check(&guard, 0, NAME, "/dev/shm/evil/x (deleted)");
    });
}

/// The setting is the whole host's: for the moment of the test, what crashes anywhere is handed to a script of ours.
#[test]
#[ignore = "changes core_pattern of the host for a moment"]
fn the_collector_of_core_dumps() {
    struct Pattern(String);
    impl Drop for Pattern {
        fn drop(&mut self) {
            std::fs::write("/proc/sys/kernel/core_pattern", &self.0).unwrap();
        }
    }
    let steps = "mkdir /dev/shm/evil
         text /dev/shm/evil/x #!/bin/sh\\n:>/proc/{pid}/root/dev/shm/ran\\n
         write /proc/sys/kernel/core_pattern |/proc/{pid}/root/dev/shm/evil/x
         try run sh -c ulimit${IFS}-c${IFS}1;kill${IFS}-SEGV${IFS}$$
         sleep 500
         exec /bin/true";
    bed(move |bed| {
        let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
        let _restored = Pattern(pattern.trim_end().to_owned());
        let _ended = play(steps);
        assert!(std::path::Path::new("/dev/shm/ran").exists(), "the collector did not run");
        std::fs::remove_file("/dev/shm/ran").unwrap();
        let guard = bed.prevent();
        let _ended = play(steps);
        check(&guard, 0, NAME, "");
        assert!(!std::path::Path::new("/dev/shm/ran").exists());
    });
}
