//! Which mounts are guarded, as they come and go.

use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::mount::{MntFlags, umount2};

use crate::bed::{Exec, bed, end_of, exec, tmpfs, wait_until};

#[test]
fn another_mount_namespace_changes_nothing() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        // unshare(1) itself ends with 126 where the program that it is given can't be executed.
        assert_eq!(end_of(Command::new("unshare").arg("-m").arg(&program)), Exec::Ran(126));
        assert_eq!(guard.only_attempt()["process"]["executable"], "/dev/shm/x");
    });
}

#[test]
fn a_tmpfs_that_is_mounted_later_is_guarded_and_named() {
    bed(|bed| {
        let guard = bed.prevent();
        fs::create_dir_all("/dev/shm/later").unwrap();
        tmpfs("/dev/shm/later");
        let program = bed.program("/dev/shm/later/x");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(exec(&program), Exec::Denied);
        assert_eq!(guard.only_attempt()["process"]["executable"], "/dev/shm/later/x");
    });
}

#[test]
fn a_tmpfs_mounted_over_the_directory_itself_is_guarded() {
    bed(|bed| {
        let below = bed.program("/dev/shm/below");
        let open = fs::File::open(&below).unwrap();
        let guard = bed.prevent();
        tmpfs("/dev/shm");
        let program = bed.program("/dev/shm/above");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(exec(&program), Exec::Denied);
        use std::os::fd::AsRawFd;
        assert_eq!(exec(format!("/proc/{}/fd/{}", std::process::id(), open.as_raw_fd())), Exec::Denied);
        let names: Vec<_> =
            guard.attempts().iter().map(|record| record["process"]["executable"].clone()).collect();
        assert_eq!(names, ["/dev/shm/above", "/dev/shm/below"]);
    });
}

#[test]
fn both_spellings_of_a_linked_directory_are_one() {
    bed(|bed| {
        let program = bed.program("/run/x");
        let guard = bed.prevent();
        assert_eq!(exec("/var/run/x"), Exec::Denied);
        assert_eq!(exec(&program), Exec::Denied);
        for record in guard.attempts() {
            assert_eq!(record["process"]["executable"], "/run/x");
        }
    });
}

#[test]
fn a_mount_that_goes_is_dropped_from_the_status() {
    bed(|bed| {
        fs::create_dir_all("/dev/shm/sub").unwrap();
        tmpfs("/dev/shm/sub");
        let guard = bed.prevent();
        let marked = || guard.ask(&["status", "--json"]).0.contains("/dev/shm/sub");
        assert!(marked());
        umount2("/dev/shm/sub", MntFlags::empty()).unwrap();
        wait_until("the mark is gone", || !marked());
    });
}

#[test]
fn a_directory_on_a_larger_filesystem_is_left_out_loudly() {
    bed(|bed| {
        let directory = bed.path("plain");
        fs::create_dir_all(&directory).unwrap();
        let program = bed.program(directory.join("x"));
        let watch = format!("directories = [\"/dev/shm\", \"{}\"]", directory.display());
        let guard = bed.guard_with("mode = \"prevent\"", &watch);
        assert_eq!(exec(&program), Exec::Ran(0));
        assert!(guard.stderr().contains(directory.to_str().unwrap()), "{}", guard.stderr());
        let (status, code, _) = guard.ask(&["status"]);
        assert!(status.contains(directory.to_str().unwrap()), "{status}");
        assert_eq!(code, Some(1));
    });
}
