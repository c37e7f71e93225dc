//! Mounts: binds, moves, detached trees, other roots.

use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{check, denied, proven};
use crate::bed::{Exec, bed};
use crate::helper::play_until_wait;

const NAME: &str = "/dev/shm/evil/x";

#[test]
fn a_bind_of_the_directory() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         bind /dev/shm/evil /mnt
         exec /mnt/x",
        NAME,
        "/mnt/x",
    );
}

#[test]
fn a_bind_of_the_directory_in_the_same_namespace() {
    denied(
        "program /dev/shm/evil/x
         bind /dev/shm/evil /mnt
         exec /mnt/x",
        NAME,
        "/mnt/x",
    );
}

#[test]
fn a_bind_of_the_file_onto_a_program_of_the_host() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         bind /dev/shm/evil/x /usr/bin/env
         exec /usr/bin/env",
        NAME,
        "/usr/bin/env",
    );
}

#[test]
fn a_recursive_bind_of_the_host() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         rbind / /mnt
         exec /mnt/dev/shm/evil/x",
        NAME,
        "/mnt/dev/shm/evil/x",
    );
}

#[test]
fn a_bind_of_a_bind() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         bind /dev/shm /mnt
         bind /mnt/evil /srv
         detach /mnt
         exec /srv/x",
        NAME,
        "/srv/x",
    );
}

#[test]
fn a_bind_whose_source_was_renamed() {
    denied(
        "rm -rf /dev/shm/evil
         program /dev/shm/before/x
         unshare m
         bind /dev/shm/before /mnt
         rename /dev/shm/before /dev/shm/evil
         exec /mnt/x",
        NAME,
        "/mnt/x",
    );
}

#[test]
fn a_bind_whose_source_was_removed() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         touch /tmp/shmguard-evasion
         bind /dev/shm/evil/x /tmp/shmguard-evasion
         rm /dev/shm/evil/x
         exec /tmp/shmguard-evasion",
        NAME,
        "/tmp/shmguard-evasion (deleted)",
    );
}

#[test]
fn a_bind_that_takes_noexec_away() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         bind /dev/shm /dev/shm
         flags /dev/shm noexec
         flags /dev/shm exec
         exec /dev/shm/evil/x",
        NAME,
        NAME,
    );
}

#[test]
fn a_read_only_bind() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         bind /dev/shm /mnt
         flags /mnt ro,nodev,nosuid,noatime
         exec /mnt/evil/x",
        NAME,
        "/mnt/evil/x",
    );
}

#[test]
fn a_directory_bound_over_itself() {
    denied(
        "program /dev/shm/evil/x
         bind /dev/shm/evil /dev/shm/evil
         bind /dev/shm /dev/shm
         rbind /dev/shm /dev/shm
         exec /dev/shm/evil/x",
        NAME,
        NAME,
    );
}

#[test]
fn a_bind_that_spreads_from_a_shared_mount() {
    denied(
        "program /dev/shm/evil/x
         mkdir /run/a
         mount tmpfs none /run/a
         propagation /run/a shared
         mkdir /run/a/b
         bind /run/a /mnt
         propagation /mnt slave
         bind /dev/shm/evil /run/a/b
         exec /mnt/b/x",
        NAME,
        "/mnt/b/x",
    );
}

#[test]
fn a_bind_that_maps_ids() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         other
         unshare U
         end
         tree 50 /dev/shm/evil
         mapped 50 {other}
         attach 50 /mnt
         exec /mnt/x",
        NAME,
        "/mnt/x",
    );
}

#[test]
fn a_moved_mount() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         move /dev/shm /mnt
         exec /mnt/evil/x",
        NAME,
        "/mnt/evil/x",
    );
}

#[test]
fn a_moved_mount_with_another_in_its_place() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         move /dev/shm /mnt
         mount tmpfs none /dev/shm
         exec /mnt/evil/x",
        NAME,
        "/mnt/evil/x",
    );
}

#[test]
fn a_mount_that_was_moved_below_itself() {
    denied(
        "program /dev/shm/evil/x
         mkdir /dev/shm/evil/deep
         unshare m
         bind /dev/shm/evil /mnt
         move /mnt /dev/shm/evil/deep
         exec /dev/shm/evil/deep/x",
        NAME,
        "/dev/shm/evil/deep/x",
    );
}

#[test]
fn a_mount_under_another_one() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         open 50 /dev/shm/evil
         mount tmpfs none /dev/shm
         execat 50 x",
        NAME,
        NAME,
    );
}

#[test]
fn a_mount_put_beneath_the_top_one() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         mount tmpfs none /mnt
         tree 50 /dev/shm/evil
         beneath 50 /mnt
         umount /mnt
         exec /mnt/x",
        NAME,
        "/mnt/x",
    );
}

#[test]
fn a_lazily_unmounted_directory() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         cd /dev/shm/evil
         detach /dev/shm
         exec ./x",
        NAME,
        "",
    );
}

#[test]
fn a_lazily_unmounted_filesystem_that_is_nowhere_else() {
    bed(|bed| {
        let list = "cd /dev/shm/sub/evil\nwait\nexec ./x";
        let held = "open 50 /dev/shm/sub/evil/x\nwait\nfexec 50";
        bed.program("/dev/shm/sub/evil/x");
        proven(list);
        let guard = bed.prevent();
        // At once, and when the guard knows that it is gone.
        for wait in [0, 500] {
            let mounted = Some("tmpfs");
            mount(mounted, "/dev/shm/sub", mounted, MsFlags::empty(), None::<&str>).unwrap();
            bed.program("/dev/shm/sub/evil/x");
            std::thread::sleep(Duration::from_millis(400));
            let callers = [play_until_wait(list), play_until_wait(held)];
            umount2("/dev/shm/sub", MntFlags::MNT_DETACH).unwrap();
            std::thread::sleep(Duration::from_millis(wait));
            for caller in callers {
                let before = guard.attempts().len();
                assert_eq!(caller.go_on(), Exec::Denied);
                check(&guard, before, "/dev/shm/sub/evil/x", "/evil/x");
            }
        }
    });
}

#[test]
fn a_descriptor_of_a_lazily_unmounted_directory() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         open 50 /dev/shm/evil/x
         detach /dev/shm
         exec /proc/self/fd/50",
        NAME,
        "",
    );
}

#[test]
fn a_detached_tree() {
    denied(
        "program /dev/shm/evil/x
         tree 50 /dev/shm/evil
         execat 50 x",
        NAME,
        "/x",
    );
}

#[test]
fn a_detached_tree_of_the_file() {
    denied(
        "program /dev/shm/evil/x
         tree 50 /dev/shm/evil/x
         fexec 50",
        NAME,
        "",
    );
}

#[test]
fn a_detached_tree_of_the_host() {
    denied(
        "program /dev/shm/evil/x
         rtree 50 /
         execat 50 dev/shm/evil/x",
        NAME,
        "",
    );
}

#[test]
fn a_tree_that_is_not_cloned() {
    denied(
        "program /dev/shm/evil/x
         plaintree 50 /dev/shm/evil
         execat 50 x",
        NAME,
        NAME,
    );
}

#[test]
fn a_detached_tree_that_was_attached() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         tree 50 /dev/shm/evil
         attach 50 /mnt
         exec /mnt/x",
        NAME,
        "/mnt/x",
    );
}

#[test]
fn a_detached_tree_attached_and_lazily_unmounted() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         tree 50 /dev/shm/evil
         attach 50 /mnt
         detach /mnt
         execat 50 x",
        NAME,
        "/x",
    );
}

#[test]
fn a_pivoted_root() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         bind /dev/shm/evil /mnt
         cd /mnt
         pivot . .
         detach .
         exec /x",
        NAME,
        "/x",
    );
}

#[test]
fn a_pivoted_root_in_new_user_and_pid_namespaces() {
    denied(
        "program /dev/shm/evil/x
         unshare Ump
         fork
         bind /dev/shm/evil /mnt
         cd /mnt
         pivot . .
         detach .
         exec /x",
        NAME,
        "/x",
    );
}

#[test]
fn the_old_root_after_a_pivot() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         mount tmpfs none /mnt
         mkdir /mnt/old
         pivot /mnt /mnt/old
         cd /
         exec /old/dev/shm/evil/x",
        NAME,
        "/old/dev/shm/evil/x",
    );
}

#[test]
fn a_changed_root() {
    denied(
        "program /dev/shm/evil/x
         chroot /dev/shm/evil
         exec /x",
        NAME,
        NAME,
    );
}

#[test]
fn a_changed_root_in_a_bind() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         bind /dev/shm /mnt
         chroot /mnt
         exec /evil/x",
        NAME,
        "/mnt/evil/x",
    );
}

#[test]
fn a_changed_root_that_looks_like_the_excepted_directory() {
    denied(
        "program /dev/shm/evil/run/docker/x
         chroot /dev/shm/evil
         exec /run/docker/x",
        "/dev/shm/evil/run/docker/x",
        "/dev/shm/evil/run/docker/x",
    );
}

#[test]
fn a_working_directory_outside_the_root() {
    denied(
        "program /dev/shm/evil/x
         mkdir /run/empty
         cd /dev/shm/evil
         chroot /run/empty
         exec ./x",
        NAME,
        NAME,
    );
}

#[test]
fn a_bind_onto_a_file_of_proc() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         bind /dev/shm/evil/x /proc/{pid}/comm
         exec /proc/self/comm",
        NAME,
        "",
    );
}

#[test]
fn a_bind_of_a_descriptor_s_name_in_proc() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         open 50 /dev/shm/evil/x
         touch /tmp/shmguard-evasion
         bind /proc/self/fd/50 /tmp/shmguard-evasion
         exec /tmp/shmguard-evasion",
        NAME,
        "/tmp/shmguard-evasion",
    );
}

#[test]
fn a_mount_whose_attributes_were_changed() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         bind /dev/shm /dev/shm
         attributes /dev/shm noexec -
         attributes /dev/shm - noexec
         exec /dev/shm/evil/x",
        NAME,
        NAME,
    );
}

#[test]
fn a_filesystem_that_was_remounted() {
    denied(
        "program /dev/shm/evil/x\n remount /dev/shm size=48m,huge=never\n exec /dev/shm/evil/x",
        NAME,
        NAME,
    );
}

#[test]
fn a_directory_bound_over_another_one_of_the_same_filesystem() {
    denied(
        "program /dev/shm/evil/x
         mkdir /dev/shm/good
         bind /dev/shm/evil /dev/shm/good
         exec /dev/shm/good/x",
        NAME,
        "/dev/shm/good/x",
    );
}

#[test]
fn directories_that_changed_places_behind_a_bind() {
    denied(
        "rm -rf /dev/shm/evil
         program /dev/shm/first/x
         mkdir /dev/shm/evil
         unshare m
         bind /dev/shm/first /mnt
         exchange /dev/shm/first /dev/shm/evil
         exec /mnt/x",
        NAME,
        "/mnt/x",
    );
}

#[test]
fn a_mount_moved_over_the_root() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         bind /dev/shm/evil /mnt
         cd /mnt
         move . /
         chroot .
         exec /x",
        NAME,
        "/x",
    );
}

#[test]
fn a_detached_tree_attached_in_another_namespace() {
    denied(
        "program /dev/shm/evil/x
         other
         unshare m
         end
         tree 50 /dev/shm/evil
         enter {other} m
         attach 50 /mnt
         exec /mnt/x",
        NAME,
        "/mnt/x",
    );
}
