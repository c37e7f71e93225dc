//! Something mounted in a watched directory, or over it, in the guard's own namespace.
//!
//! The guard learns of each mount; these execute 0.3 seconds later.

use super::{denied, has};

#[test]
fn tmpfs_on_a_subdirectory() {
    denied(
        "mkdir /dev/shm/sub
         mount tmpfs none /dev/shm/sub
         program /dev/shm/sub/x
         sleep 300
         exec /dev/shm/sub/x",
        "/dev/shm/sub/x",
        "/dev/shm/sub/x",
    );
}

#[test]
fn ramfs_on_a_subdirectory() {
    denied(
        "mkdir /run/sub
         mount ramfs none /run/sub
         program /run/sub/x
         sleep 300
         exec /run/sub/x",
        "/run/sub/x",
        "/run/sub/x",
    );
}

#[test]
fn tmpfs_on_the_directory_itself() {
    denied(
        "mount tmpfs none /dev/shm
         program /dev/shm/x
         sleep 300
         exec /dev/shm/x",
        "/dev/shm/x",
        "/dev/shm/x",
    );
}

#[test]
fn ramfs_on_the_directory_itself() {
    denied(
        "mount ramfs none /run
         program /run/x
         sleep 300
         exec /var/run/x",
        "/run/x",
        "/run/x",
    );
}

#[test]
fn tmpfs_in_tmpfs_in_tmpfs() {
    denied(
        "mkdir /run/lock/a
         mount tmpfs none /run/lock/a
         mkdir /run/lock/a/b
         mount tmpfs none /run/lock/a/b
         mkdir /run/lock/a/b/c
         mount tmpfs none /run/lock/a/b/c
         program /run/lock/a/b/c/x
         sleep 300
         exec /var/lock/a/b/c/x",
        "/run/lock/a/b/c/x",
        "/run/lock/a/b/c/x",
    );
}

#[test]
fn fsmount_on_a_subdirectory() {
    denied(
        "fsmount 50 tmpfs
         mkdir /dev/shm/sub
         attach 50 /dev/shm/sub
         program /dev/shm/sub/x
         sleep 300
         exec /dev/shm/sub/x",
        "/dev/shm/sub/x",
        "/dev/shm/sub/x",
    );
}

#[test]
fn fsmount_on_the_directory_itself() {
    denied(
        "fsmount 50 tmpfs size=8m
         attach 50 /dev/shm
         program /dev/shm/x
         sleep 300
         exec /dev/shm/x",
        "/dev/shm/x",
        "/dev/shm/x",
    );
}

#[test]
fn a_tmpfs_that_was_moved_there() {
    denied(
        "mount tmpfs none /mnt
         program /mnt/x
         mkdir /dev/shm/sub
         move /mnt /dev/shm/sub
         sleep 300
         exec /dev/shm/sub/x",
        "/dev/shm/sub/x",
        "/dev/shm/sub/x",
    );
}

#[test]
fn a_tmpfs_beneath_the_directory_s_own() {
    denied(
        "mount tmpfs none /dev/shm
         fsmount 50 tmpfs
         beneath 50 /dev/shm
         sleep 300
         umount /dev/shm
         program /dev/shm/x
         sleep 300
         exec /dev/shm/x",
        "/dev/shm/x",
        "/dev/shm/x",
    );
}

#[test]
fn a_tmpfs_of_the_directory_that_was_moved_away() {
    denied(
        "mkdir /dev/shm/sub
         mount tmpfs none /dev/shm/sub
         program /dev/shm/sub/x
         sleep 300
         unshare m
         move /dev/shm/sub /mnt
         exec /mnt/x",
        "/dev/shm/sub/x",
        "/mnt/x",
    );
}

#[test]
fn a_tmpfs_of_the_directory_that_was_lazily_unmounted() {
    denied(
        "mkdir /dev/shm/sub
         mount tmpfs none /dev/shm/sub
         program /dev/shm/sub/x
         sleep 300
         wait
         open 50 /dev/shm/sub
         detach /dev/shm/sub
         sleep 300
         execat 50 x",
        "/dev/shm/sub/x",
        "/x",
    );
}

#[test]
fn a_directory_of_elsewhere_bound_into_it() {
    denied(
        "mount tmpfs none /srv
         program /srv/evil/x
         mkdir /dev/shm/sub
         bind /srv/evil /dev/shm/sub
         sleep 300
         exec /dev/shm/sub/x",
        "/dev/shm/sub/x",
        "/dev/shm/sub/x",
    );
}

#[test]
fn a_file_of_the_host_s_disk_bound_into_it() {
    denied(
        "try detach /dev/shm/x
         touch /dev/shm/x
         bind /bin/true /dev/shm/x
         sleep 300
         exec /dev/shm/x",
        "/dev/shm/x",
        "/dev/shm/x",
    );
}

#[test]
fn a_directory_of_elsewhere_bound_over_it() {
    denied(
        "mount tmpfs none /srv
         program /srv/evil/x
         bind /srv/evil /dev/shm
         sleep 300
         exec /dev/shm/x",
        "/dev/shm/x",
        "/dev/shm/x",
    );
}

#[test]
fn an_overlay_of_elsewhere_in_it() {
    denied(
        "mount tmpfs none /srv
         program /srv/a/x
         mkdir /srv/b
         mkdir /dev/shm/sub
         mount overlay none /dev/shm/sub lowerdir=/srv/a:/srv/b
         sleep 300
         exec /dev/shm/sub/x",
        "/dev/shm/sub/x",
        "/dev/shm/sub/x",
    );
}

/// An overlay in the directory, which exists nowhere else: what it is made of has been taken away.
const OVERLAY: &str = "mount tmpfs none /srv
    program /srv/a/x
    mkdir /srv/b
    mkdir /dev/shm/sub
    mount overlay none /dev/shm/sub lowerdir=/srv/a:/srv/b
    detach /srv
    sleep 300";

#[test]
fn a_copy_of_an_overlay_in_it_in_another_namespace() {
    let steps = format!("{OVERLAY}\n unshare m\n exec /dev/shm/sub/x");
    denied(&steps, "/dev/shm/sub/x", "/dev/shm/sub/x");
}

#[test]
fn a_bind_of_an_overlay_that_was_mounted_in_it() {
    let bound = "wait\n bind /dev/shm/sub /mnt\n sleep 300\n detach /dev/shm/sub\n exec /mnt/x";
    denied(&format!("{OVERLAY}\n {bound}"), "/dev/shm/sub/x", "/mnt/x");
}

#[test]
fn a_detached_tree_of_an_overlay_in_it() {
    // No mount says where in it the file is, and an overlay has no file handles.
    let steps = format!("{OVERLAY}\n tree 50 /dev/shm/sub\n exec /proc/self/fd/50/x");
    denied(&steps, "/dev/shm/sub/", "/x");
}

#[test]
fn an_overlay_of_elsewhere_over_it() {
    denied(
        "mount tmpfs none /srv
         program /srv/a/x
         mkdir /srv/b
         mount overlay none /dev/shm lowerdir=/srv/a:/srv/b
         sleep 300
         exec /dev/shm/x",
        "/dev/shm/x",
        "/dev/shm/x",
    );
}

#[test]
fn an_overlay_of_its_own_in_it() {
    denied(
        "program /dev/shm/evil/x
         mkdir /dev/shm/up
         mkdir /dev/shm/work
         mkdir /dev/shm/sub
         mount overlay none /dev/shm/sub lowerdir=/dev/shm/evil,upperdir=/dev/shm/up,workdir=/dev/shm/work
         sleep 300
         exec /dev/shm/sub/x",
        "",
        "",
    );
}

#[test]
fn a_disk_image_of_elsewhere_in_it() {
    if !has("mkfs.ext4") {
        return;
    }
    denied(
        "mount tmpfs none /srv
         image /srv/image
         run mkfs.ext4 -q -F /srv/image
         loop 50 /srv/image
         mkdir /dev/shm/sub
         mountloop 50 ext4 /dev/shm/sub
         program /dev/shm/sub/x
         sleep 300
         exec /dev/shm/sub/x",
        "/dev/shm/sub/x",
        "/dev/shm/sub/x",
    );
}

#[test]
fn a_disk_image_of_elsewhere_over_it() {
    if !has("mkfs.ext4") {
        return;
    }
    denied(
        "mount tmpfs none /srv
         image /srv/image
         run mkfs.ext4 -q -F /srv/image
         loop 50 /srv/image
         mountloop 50 ext4 /dev/shm
         program /dev/shm/x
         sleep 300
         exec /dev/shm/x",
        "/dev/shm/x",
        "/dev/shm/x",
    );
}

#[test]
fn a_bind_of_a_tmpfs_that_was_mounted_in_it() {
    denied(
        "mkdir /dev/shm/sub
         mount tmpfs none /dev/shm/sub
         bind /dev/shm/sub /mnt
         program /mnt/x
         sleep 300
         exec /mnt/x",
        "/dev/shm/sub/x",
        "/mnt/x",
    );
}

#[test]
fn a_descriptor_from_before_its_filesystem_was_mounted_there() {
    denied(
        "fsmount 50 tmpfs
         program /proc/self/fd/50/x
         open 51 /proc/self/fd/50/x
         mkdir /dev/shm/sub
         attach 50 /dev/shm/sub
         sleep 300
         fexec 51",
        "/dev/shm/sub/x",
        "/dev/shm/sub/x",
    );
}

#[test]
fn a_tmpfs_of_huge_pages() {
    denied(
        "mkdir /dev/shm/sub
         mount tmpfs none /dev/shm/sub huge=always
         program /dev/shm/sub/x
         sleep 300
         exec /dev/shm/sub/x",
        "/dev/shm/sub/x",
        "/dev/shm/sub/x",
    );
}
