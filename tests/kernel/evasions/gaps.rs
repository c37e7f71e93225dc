//! What stays open: each of these runs although the guard stands. docs/evasions.md says how to close it by other means.
//!
//! They are tested so that the table stays true: a way that is closed one day fails here, and moves.

use super::{containers, proven, with_wait};
use crate::bed::{Exec, bed};
use crate::helper::play_until_wait;

/// Runs without a guard, and with one.
#[track_caller]
fn runs(steps: &str) {
    let list = with_wait(steps);
    bed(move |bed| {
        proven(&list);
        let guard = bed.prevent();
        assert_eq!(play_until_wait(&list).go_on(), Exec::Ran(0), "closed: {list}: {:#?}", guard.attempts());
    });
}

/// The same with a guard that watches other namespaces, has had the time to find this one, and would deny `TOKEN`.
#[track_caller]
fn runs_where_namespaces_are_watched(steps: &str) {
    let token = containers::token();
    let list = with_wait(&steps.replace("TOKEN", &token));
    bed(move |bed| {
        proven(&list);
        let guard = containers::guard(bed, &token);
        let waits = play_until_wait(&list);
        std::thread::sleep(std::time::Duration::from_millis(1200));
        assert_eq!(waits.go_on(), Exec::Ran(0), "closed: {list}: {:#?}", guard.attempts());
    });
}

/// Runs with a guard that tells what runs unseen, and is not told of.
#[track_caller]
fn runs_untold(steps: &str) {
    let list = with_wait(steps);
    bed(move |bed| {
        proven(&list);
        let guard = bed.guard_with("mode = \"prevent\"", "unseen = \"report\"");
        let waits = play_until_wait(&list);
        let pid = waits.pid();
        assert_eq!(waits.go_on(), Exec::Ran(0), "closed: {list}: {:#?}", guard.attempts());
        std::thread::sleep(std::time::Duration::from_millis(700));
        let told: Vec<_> =
            guard.records().into_iter().filter(|record| record["process"]["pid"] == pid).collect();
        assert!(told.is_empty(), "closed: {list}: {told:#?}");
    });
}

#[test]
fn a_memory_file() {
    runs("memfd 50\n fexec 50");
}

#[test]
fn a_memory_file_by_its_name_in_proc() {
    runs("memfd 50\n exec /proc/self/fd/50");
}

#[test]
fn a_system_v_segment() {
    runs("wait\n sysv");
}

#[test]
fn anonymous_shared_memory() {
    runs("wait\n anonymous");
}

#[test]
fn a_tmpfs_that_is_mounted_nowhere() {
    runs("fsmount 50 tmpfs\n program /proc/self/fd/50/x\n execat 50 x");
}

#[test]
fn a_memory_file_as_the_dynamic_linker_of_a_program_elsewhere() {
    runs_untold(
        "mount tmpfs none /srv
         interpreter /srv/linker
         memcopy 50 /srv/linker
         interpreted /srv/x /proc/{pid}/fd/50
         exec /srv/x",
    );
}

#[test]
fn an_overlay_that_is_mounted_nowhere_over_a_tmpfs_that_is_mounted_nowhere() {
    runs_untold(
        "fsmount 50 tmpfs
         mkdir /proc/self/fd/50/a
         mkdir /proc/self/fd/50/b
         program /proc/self/fd/50/a/x
         fsmount 51 overlay lowerdir+=/proc/self/fd/50/a lowerdir+=/proc/self/fd/50/b
         execat 51 x",
    );
}

#[test]
fn a_disk_image_in_a_tmpfs_that_is_mounted_nowhere_mounted_nowhere() {
    if !super::has("mkfs.ext4") {
        return;
    }
    runs_untold(
        "fsmount 50 tmpfs
         image /proc/self/fd/50/image
         run mkfs.ext4 -q -F /proc/{pid}/fd/50/image
         loop 51 /proc/self/fd/50/image
         unshare m
         mountloop 51 ext4 /mnt
         program /mnt/x
         tree 52 /mnt
         detach /mnt
         execat 52 x",
    );
}

#[test]
fn a_disk_image_elsewhere_that_keeps_its_content_on_a_second_device_of_which_the_image_is_here() {
    if !super::has("mkfs.erofs") {
        return;
    }
    runs(
        "mount tmpfs none /srv
         mkdir /srv/root
         program /srv/root/x
         run truncate -s 40960 /srv/root/x
         run mkfs.erofs --quiet --chunksize=4096 --blobdev=/dev/shm/blob-{pid} /srv/image /srv/root
         loop 50 /srv/image
         loop 51 /dev/shm/blob-{pid}
         mountloop 50 erofs /mnt device 51
         exec /mnt/x",
    );
}

#[test]
fn a_btrfs_elsewhere_of_which_one_of_two_devices_is_an_image_here() {
    if !super::has("mkfs.btrfs") {
        return;
    }
    runs(
        "mount tmpfs none /srv size=400m
         mkdir /dev/shm/big-{pid}
         mount tmpfs none /dev/shm/big-{pid} size=400m
         image /srv/image-{pid} 300
         image /dev/shm/big-{pid}/image 300
         run mkfs.btrfs -q -f -m raid1 -d raid1 /srv/image-{pid} /dev/shm/big-{pid}/image
         loop 50 /srv/image-{pid}
         loop 51 /dev/shm/big-{pid}/image
         mountloop 50 btrfs /mnt device 51
         program /mnt/x
         sleep 300
         exec /mnt/x",
    );
}

#[test]
fn a_tmpfs_of_another_namespace_that_is_no_watched_directory() {
    runs("unshare m\n mount tmpfs none /mnt\n program /mnt/x\n exec /mnt/x");
}

#[test]
fn a_copy_to_somewhere_else() {
    runs(
        "program /dev/shm/evil/x
         unshare m
         mount tmpfs none /srv
         copy /dev/shm/evil/x /srv/x
         exec /srv/x",
    );
}

#[test]
fn a_directory_of_elsewhere_bound_into_it_in_another_namespace() {
    runs(
        "unshare m
         mount tmpfs none /srv
         program /srv/evil/x
         bind /srv/evil /dev/shm
         exec /dev/shm/x",
    );
}

#[test]
fn a_mount_of_elsewhere_that_was_taken_out_of_it_again() {
    runs(
        "mount tmpfs none /srv
         program /srv/evil/x
         mkdir /dev/shm/sub
         bind /srv/evil /dev/shm/sub
         sleep 300
         open 50 /dev/shm/sub
         detach /dev/shm/sub
         execat 50 x",
    );
}

#[test]
fn a_script_whose_interpreter_elsewhere_is_a_script_of_a_set_uid_root_program() {
    runs(
        "unshare m
         mount tmpfs none /srv
         program /srv/suid 4755
         script /srv/script /srv/suid
         script /dev/shm/evil/x /srv/script
         user 65534
         exec /dev/shm/evil/x",
    );
}

#[test]
fn the_dynamic_linker_of_a_set_uid_root_program_elsewhere() {
    runs(
        "interpreter /dev/shm/evil/x
         unshare m
         mount tmpfs none /srv
         interpreted /srv/suid /dev/shm/evil/x
         chmod 4755 /srv/suid
         user 65534
         exec /srv/suid",
    );
}

#[test]
fn a_set_uid_root_bit_in_another_layer_of_an_overlay() {
    runs(
        "program /dev/shm/evil/x
         unshare m
         mount tmpfs none /srv
         mkdir /srv/up
         mkdir /srv/work
         mount overlay none /mnt lowerdir=/dev/shm/evil,upperdir=/srv/up,workdir=/srv/work,metacopy=on
         chmod 4755 /mnt/x
         user 65534
         exec /mnt/x",
    );
}

#[test]
fn a_file_that_is_put_through_by_a_process() {
    if !super::has("bindfs") || !std::path::Path::new("/dev/fuse").exists() {
        return;
    }
    runs(
        "program /dev/shm/evil/x
         unshare m
         mount tmpfs none /mnt
         background bindfs -f /dev/shm/evil /mnt
         sleep 500
         exec /mnt/x",
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn code_that_a_process_reads_and_runs_by_itself() {
    runs("mkdir /dev/shm/evil\n code /dev/shm/evil/x\n wait\n jump /dev/shm/evil/x");
}

#[test]
fn a_file_that_the_dynamic_linker_is_given_where_nobody_asks_about_loads() {
    runs(
        "copy /bin/true /dev/shm/x\n wait\n sh for l in /lib64/ld-linux-*.so.* /lib/ld-linux-*.so.*; do [ -e $l ] && exec $l /dev/shm/x; done; exit 1",
    );
}

#[test]
fn a_script_that_an_interpreter_is_given_where_nobody_asks_about_interpreters() {
    runs("text /dev/shm/x exit 0\n wait\n sh sh /dev/shm/x");
}

#[test]
fn a_script_that_a_shell_reads_in() {
    runs("text /dev/shm/x exit 0\n wait\n sh . /dev/shm/x; exit 1");
}

#[test]
fn a_handler_of_a_file_format_that_takes_the_rights_of_a_set_uid_root_file_elsewhere() {
    runs(
        "interpreter /dev/shm/evil/x
         unshare m
         mount tmpfs none /srv
         unshare Um wide
         mkdir /srv/misc
         mount binfmt_misc none /srv/misc
         write /srv/misc/register :shmguard:M::SHMGUARD::/dev/shm/evil/x:C
         text /srv/file SHMGUARD
         chmod 4755 /srv/file
         user 65534
         exec /srv/file",
    );
}

/// Nothing opens what another namespace hides but a process in a copy of that namespace.
#[test]
fn a_tmpfs_of_another_namespace_by_descriptor_while_something_covers_it() {
    runs_where_namespaces_are_watched(
        "unshare m
         mount tmpfs none /dev/shm
         program /dev/shm/TOKEN
         opath 50 /dev/shm
         bind /usr /dev/shm
         execat 50 TOKEN",
    );
}

/// A disk image that lies elsewhere, mounted there in another namespace.
#[track_caller]
fn disk_runs_in_another_namespace(at: &str) {
    if super::has("mkfs.ext4") {
        runs_where_namespaces_are_watched(&format!(
            "unshare m
             mount tmpfs none /srv
             image /srv/image
             run mkfs.ext4 -q -F /srv/image
             loop 50 /srv/image
             mkdir {at}
             mountloop 50 ext4 {at}
             program {at}/TOKEN
             exec {at}/TOKEN",
        ));
    }
}

#[test]
fn a_disk_image_that_lies_elsewhere_mounted_at_it_in_another_namespace() {
    disk_runs_in_another_namespace("/dev/shm");
}

#[test]
fn a_disk_image_that_lies_elsewhere_mounted_below_it_in_another_namespace() {
    disk_runs_in_another_namespace("/run/sub");
}

/// An overlay of elsewhere, mounted there in another namespace.
#[track_caller]
fn overlay_runs_in_another_namespace(at: &str) {
    runs_where_namespaces_are_watched(&format!(
        "unshare m
         mount tmpfs none /srv
         program /srv/low/TOKEN
         mkdir /srv/up
         mkdir /srv/work
         mkdir {at}
         mount overlay none {at} lowerdir=/srv/low,upperdir=/srv/up,workdir=/srv/work
         exec {at}/TOKEN",
    ));
}

#[test]
fn an_overlay_of_elsewhere_mounted_at_it_in_another_namespace() {
    overlay_runs_in_another_namespace("/dev/shm");
}

#[test]
fn an_overlay_of_elsewhere_mounted_below_it_in_another_namespace() {
    overlay_runs_in_another_namespace("/run/sub");
}

/// What both ways out of a container's root have in common: a disk of elsewhere, mounted as a runtime does it.
const ROOT_OF_A_CONTAINER: &str = "try detach /run/x/rootfs
    mount tmpfs none /srv
    image /srv/image
    run mkfs.ext4 -q -F /srv/image
    loop 50 /srv/image
    mkdir /run/x/rootfs
    mountloop 50 ext4 /run/x/rootfs
    program /run/x/rootfs/x
    sleep 300";

#[test]
fn a_disk_on_a_directory_called_rootfs_by_a_copy_of_that_mount_in_another_namespace() {
    if super::has("mkfs.ext4") {
        runs(&format!("{ROOT_OF_A_CONTAINER}\n unshare m\n exec /run/x/rootfs/x"));
    }
}

#[test]
fn a_disk_on_a_directory_called_rootfs_by_a_bind_of_that_mount() {
    if super::has("mkfs.ext4") {
        runs(&format!("{ROOT_OF_A_CONTAINER}\n try detach /mnt\n bind /run/x/rootfs /mnt\n exec /mnt/x"));
    }
}

#[test]
fn content_that_changes_while_the_guard_looks() {
    use nix::sys::signal::Signal;
    bed(|bed| {
        let (good, excepted) = (bed.program(bed.path("good")), bed.program("/run/docker/x"));
        let guard = bed.prevent();
        guard.signal(Signal::SIGSTOP);
        let waits = std::thread::spawn(move || crate::bed::exec(excepted));
        std::thread::sleep(std::time::Duration::from_millis(300));
        // Longer, so that it is another content for sure; what runs is what is there after the answer.
        std::fs::write("/run/docker/x", b"#!/bin/sh\nexit 7\n").unwrap();
        guard.signal(Signal::SIGCONT);
        assert_eq!(waits.join().unwrap(), Exec::Ran(7));
        drop(good);
    });
}
