//! A disk image in shared memory, mounted somewhere else.
//!
//! Its filesystem is another one than the image's; its files are in shared memory all the same.

use super::{denied, has};

#[test]
fn an_ext4_image() {
    if !has("mkfs.ext4") {
        return;
    }
    denied(
        "image /dev/shm/image
         run mkfs.ext4 -q -F /dev/shm/image
         loop 50 /dev/shm/image
         mountloop 50 ext4 /mnt
         program /mnt/x
         sleep 300
         exec /mnt/x",
        "/dev/shm/image/x",
        "/mnt/x",
    );
}

#[test]
fn a_deleted_ext4_image() {
    if !has("mkfs.ext4") {
        return;
    }
    denied(
        "image /run/image
         run mkfs.ext4 -q -F /run/image
         loop 50 /run/image
         rm /run/image
         mountloop 50 ext4 /mnt
         program /mnt/x
         sleep 300
         exec /mnt/x",
        "",
        "/mnt/x",
    );
}

/// An overlay elsewhere, over a layer in a watched directory, with an image in it.
const IN_A_LAYER: &str = "mount tmpfs none /srv
    mkdir /srv/low
    mkdir /srv/over
    mkdir /dev/shm/{pid}/up
    mkdir /dev/shm/{pid}/work
    mount overlay none /srv/over lowerdir=/srv/low,upperdir=/dev/shm/{pid}/up,workdir=/dev/shm/{pid}/work
    image /srv/over/image
    run mkfs.ext4 -q -F /srv/over/image
    loop 50 /srv/over/image";

#[test]
fn an_image_that_is_seen_through_an_overlay_elsewhere() {
    if has("mkfs.ext4") {
        let steps = "mountloop 50 ext4 /mnt\n program /mnt/x\n sleep 300\n exec /mnt/x";
        denied(&format!("{IN_A_LAYER}\n{steps}"), "", "/mnt/x");
    }
}

#[test]
fn a_deleted_image_that_was_seen_through_an_overlay_elsewhere() {
    if has("mkfs.ext4") {
        let steps = "rm /srv/over/image\n mountloop 50 ext4 /mnt\n program /mnt/x\n sleep 300\n exec /mnt/x";
        denied(&format!("{IN_A_LAYER}\n{steps}"), "", "/mnt/x");
    }
}

#[test]
fn an_image_in_an_image() {
    if !has("mkfs.ext4") {
        return;
    }
    denied(
        "image /dev/shm/image 16
         run mkfs.ext4 -q -F /dev/shm/image
         loop 50 /dev/shm/image
         mountloop 50 ext4 /mnt
         image /mnt/image 8
         run mkfs.ext4 -q -F /mnt/image
         loop 51 /mnt/image
         mount tmpfs none /srv
         mkdir /srv/inner
         mountloop 51 ext4 /srv/inner
         program /srv/inner/x
         sleep 300
         sleep 2000
         exec /srv/inner/x",
        "",
        "/srv/inner/x",
    );
}

#[test]
fn a_btrfs_image() {
    if !has("mkfs.btrfs") {
        return;
    }
    denied(
        "try detach /mnt
         try detach /dev/shm/big
         mkdir /dev/shm/big
         mount tmpfs none /dev/shm/big size=256m
         image /dev/shm/big/image 128
         run mkfs.btrfs -q -f /dev/shm/big/image
         loop 50 /dev/shm/big/image
         mountloop 50 btrfs /mnt
         program /mnt/x
         sleep 300
         exec /mnt/x",
        "",
        "/mnt/x",
    );
}

#[test]
fn a_squashfs_image() {
    if !has("mksquashfs") {
        return;
    }
    denied(
        "mount tmpfs none /srv
         program /srv/root/x
         rm -rf /dev/shm/image
         run mksquashfs /srv/root /dev/shm/image -quiet -no-progress
         loop 50 /dev/shm/image
         mountloop 50 squashfs /mnt
         sleep 300
         exec /mnt/x",
        "/dev/shm/image/x",
        "/mnt/x",
    );
}

/// Not on tmpfs, from whose pages such a filesystem does not read.
#[test]
fn an_erofs_image_without_a_device() {
    if !has("mkfs.erofs") {
        return;
    }
    denied(
        "mount tmpfs none /srv
         program /srv/root/x
         mkdir /run/sub
         mount ramfs none /run/sub
         run mkfs.erofs /run/sub/image /srv/root
         mount erofs /run/sub/image /mnt
         sleep 300
         exec /mnt/x",
        "/run/sub/image/x",
        "/mnt/x",
    );
}

#[test]
fn an_image_at_an_offset_of_its_file() {
    if !has("mkfs.ext4") {
        return;
    }
    denied(
        "try detach /mnt
         image /dev/shm/image
         run mkfs.ext4 -q -F -E offset=1048576 /dev/shm/image 6M
         run mount -o loop,offset=1048576 /dev/shm/image /mnt
         program /mnt/x
         sleep 300
         exec /mnt/x",
        "/dev/shm/image/x",
        "/mnt/x",
    );
}

#[test]
fn an_image_of_a_filesystem_of_another_age() {
    if !has("mkfs.ext4") {
        return;
    }
    denied(
        "image /dev/shm/image
         run mkfs.ext4 -q -F -t ext2 /dev/shm/image
         loop 50 /dev/shm/image
         mountloop 50 ext2 /mnt
         program /mnt/x
         sleep 300
         exec /mnt/x",
        "/dev/shm/image/x",
        "/mnt/x",
    );
}

#[test]
fn an_xfs_image() {
    if !has("mkfs.xfs") {
        return;
    }
    denied(
        "try detach /mnt
         try detach /dev/shm/big
         mkdir /dev/shm/big
         mount tmpfs none /dev/shm/big size=512m
         image /dev/shm/big/image 320
         run mkfs.xfs -q -f /dev/shm/big/image
         loop 50 /dev/shm/big/image
         mountloop 50 xfs /mnt
         program /mnt/x
         sleep 300
         exec /mnt/x",
        "",
        "/mnt/x",
    );
}

#[test]
fn an_erofs_image_on_a_device() {
    if !has("mkfs.erofs") {
        return;
    }
    denied(
        "mount tmpfs none /srv
         program /srv/root/x
         rm -rf /dev/shm/image
         run mkfs.erofs /dev/shm/image /srv/root
         loop 50 /dev/shm/image
         mountloop 50 erofs /mnt
         sleep 300
         exec /mnt/x",
        "/dev/shm/image/x",
        "/mnt/x",
    );
}
