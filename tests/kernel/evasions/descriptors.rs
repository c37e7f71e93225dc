//! Files that are executed by descriptor.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::{check, denied, with_wait};
use crate::bed::{Exec, bed};
use crate::helper::play_until_wait;

const NAME: &str = "/dev/shm/evil/x";

#[test]
fn an_open_descriptor() {
    denied("program /dev/shm/evil/x\n open 50 /dev/shm/evil/x\n fexec 50", NAME, NAME);
}

#[test]
fn a_descriptor_without_access() {
    denied("program /dev/shm/evil/x\n opath 50 /dev/shm/evil/x\n fexec 50", NAME, NAME);
}

#[test]
fn a_descriptor_by_its_name_in_proc() {
    denied("program /dev/shm/evil/x\n open 50 /dev/shm/evil/x\n exec /proc/self/fd/50", NAME, NAME);
}

#[test]
fn a_descriptor_by_its_name_in_dev() {
    denied("program /dev/shm/evil/x\n opath 50 /dev/shm/evil/x\n exec /dev/fd/50", NAME, NAME);
}

#[test]
fn a_descriptor_of_the_directory() {
    denied("program /dev/shm/evil/x\n opath 50 /dev/shm\n execat 50 evil/x", NAME, NAME);
}

#[test]
fn a_descriptor_of_the_directory_by_its_name_in_proc() {
    denied("program /dev/shm/evil/x\n open 50 /dev/shm/evil\n exec /proc/self/fd/50/x", NAME, NAME);
}

#[test]
fn a_deleted_file() {
    denied(
        "program /dev/shm/evil/x
         open 50 /dev/shm/evil/x
         rm /dev/shm/evil/x
         exec /proc/self/fd/50",
        NAME,
        "/dev/shm/evil/x (deleted)",
    );
}

#[test]
fn a_deleted_file_by_descriptor_alone() {
    denied(
        "program /dev/shm/evil/x
         open 50 /dev/shm/evil/x
         rm -rf /dev/shm/evil
         fexec 50",
        NAME,
        "/dev/shm/evil/x (deleted)",
    );
}

#[test]
fn a_deleted_file_of_a_detached_tree() {
    denied(
        "program /dev/shm/evil/x
         tree 50 /dev/shm/evil/x
         rm /dev/shm/evil/x
         fexec 50",
        NAME,
        "",
    );
}

#[test]
fn a_file_that_never_had_a_name() {
    denied("tmpfile 50 /dev/shm\n fexec 50", "", "");
}

#[test]
fn a_file_that_never_had_a_name_by_its_name_in_proc() {
    denied("tmpfile 50 /run\n exec /proc/self/fd/50", "", "");
}

#[test]
fn a_file_that_got_its_name_later() {
    denied(
        "mkdir /dev/shm/evil
         rm -rf /dev/shm/evil/x
         tmpfile 50 /dev/shm
         linkfd 50 /dev/shm/evil/{pid}
         exec /dev/shm/evil/{pid}",
        "",
        "",
    );
}

#[test]
fn a_file_handle() {
    denied("program /dev/shm/evil/x\n handle 50 /dev/shm/evil/x /dev/shm\n fexec 50", NAME, NAME);
}

#[test]
fn a_file_handle_through_a_bind() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         bind /dev/shm /mnt
         handle 50 /dev/shm/evil/x /mnt
         exec /proc/self/fd/50",
        NAME,
        "/mnt/evil/x",
    );
}

#[test]
fn a_file_handle_of_a_deleted_file() {
    denied(
        "program /dev/shm/evil/x
         open 51 /dev/shm/evil/x
         handle 50 /dev/shm/evil/x /dev/shm
         rm /dev/shm/evil/x
         fexec 50",
        NAME,
        "",
    );
}

#[test]
fn a_descriptor_that_came_over_a_socket() {
    denied("program /dev/shm/evil/x\n received 50 /dev/shm/evil/x\n fexec 50", NAME, "");
}

#[test]
fn a_descriptor_that_was_taken_from_another_process() {
    denied(
        "program /dev/shm/evil/x
         other
         unshare m
         open 60 /dev/shm/evil/x
         end
         getfd 50 {other} 60
         fexec 50",
        NAME,
        NAME,
    );
}

#[test]
fn a_descriptor_of_another_process_by_its_name_in_proc() {
    denied(
        "program /dev/shm/evil/x
         other
         opath 60 /dev/shm/evil/x
         end
         rm /dev/shm/evil/x
         exec /proc/{other}/fd/60",
        NAME,
        "/dev/shm/evil/x (deleted)",
    );
}

#[test]
fn a_mapped_file_by_its_name_in_proc() {
    denied("program /dev/shm/evil/x\n wait\n mapfile /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn a_descriptor_in_another_mount_namespace() {
    denied(
        "program /dev/shm/evil/x
         opath 50 /dev/shm/evil/x
         unshare m
         detach /dev/shm
         fexec 50",
        NAME,
        NAME,
    );
}

#[test]
fn a_descriptor_that_io_uring_has_opened() {
    denied("program /dev/shm/evil/x\n uring 50 /dev/shm/evil/x\n fexec 50", NAME, NAME);
}

#[test]
fn a_descriptor_that_a_supervisor_of_system_calls_put_in() {
    denied("program /dev/shm/evil/x\n supervised 50 /dev/shm/evil/x\n fexec 50", NAME, "");
}

#[test]
fn standard_input() {
    denied("program /dev/shm/evil/x\n wait\n sh /dev/stdin </dev/shm/evil/x", NAME, NAME);
}

#[test]
fn a_descriptor_by_its_name_among_the_thread_s() {
    denied("program /dev/shm/evil/x\n open 50 /dev/shm/evil/x\n exec /proc/thread-self/fd/50", NAME, NAME);
}

#[test]
fn a_name_that_must_be_no_link() {
    denied("program /dev/shm/evil/x\n opath 50 /dev/shm/evil\n execat 50 x nofollow", NAME, NAME);
}

#[test]
fn the_program_of_a_process_that_runs() {
    through_a_running_process("exec /proc/{running}/exe");
}

#[test]
fn a_file_that_another_process_has_mapped() {
    through_a_running_process(
        "sh cd /proc/{running}/map_files; for f in *; do case $(readlink $f) in /dev/shm/*) exec ./$f;; esac; done",
    );
}

/// The steps execute the file of a process that another user started before the guard came.
#[track_caller]
fn through_a_running_process(steps: &'static str) {
    bed(move |bed| {
        crate::bed::copy_to_new("/bin/sleep", std::path::Path::new("/dev/shm/x"));
        std::fs::set_permissions("/dev/shm/x", PermissionsExt::from_mode(0o755)).unwrap();
        let mut running = Command::new("/dev/shm/x");
        crate::bed::die_with_parent(&mut running);
        let mut running = running.arg("60").uid(65534).spawn().unwrap();
        let steps = with_wait(&steps.replace("{running}", &running.id().to_string()));
        // Without an argument, sleep(1) ends with 1.
        assert_eq!(play_until_wait(&steps).go_on(), Exec::Ran(1), "does not work without a guard");
        let guard = bed.prevent();
        assert_eq!(play_until_wait(&steps).go_on(), Exec::Denied);
        check(&guard, 0, "/dev/shm/x", "/dev/shm/x");
        std::fs::remove_file("/dev/shm/x").unwrap();
        assert_eq!(play_until_wait(&steps).go_on(), Exec::Denied);
        check(&guard, 0, "/dev/shm/x", "/dev/shm/x (deleted)");
        running.kill().unwrap();
        running.wait().unwrap();
    });
}
