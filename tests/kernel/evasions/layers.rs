//! Overlays: a file is executed through another filesystem, whose layer lies in shared memory.

use super::denied;

const NAME: &str = "/dev/shm/evil/x";

#[test]
fn the_lower_layer_of_an_overlay() {
    denied(
        "program /dev/shm/evil/x
         mkdir /run/empty
         unshare m
         mount overlay none /mnt lowerdir=/dev/shm/evil:/run/empty
         exec /mnt/x",
        NAME,
        "",
    );
}

#[test]
fn the_upper_layer_of_an_overlay() {
    denied(
        "mkdir /dev/shm/up
         mkdir /dev/shm/work
         unshare m
         mount overlay none /mnt lowerdir=/srv,upperdir=/dev/shm/up,workdir=/dev/shm/work
         program /mnt/x
         exec /mnt/x",
        "/dev/shm/up/x",
        "",
    );
}

#[test]
fn a_program_of_the_host_copied_up_into_an_overlay() {
    denied(
        "mkdir /dev/shm/up
         mkdir /dev/shm/work
         unshare m
         rm -rf /dev/shm/up/env
         mount overlay none /usr/bin lowerdir=/usr/bin,upperdir=/dev/shm/up,workdir=/dev/shm/work
         chmod 700 /usr/bin/env
         wait
         exec /usr/bin/env",
        "/dev/shm/up/env",
        "",
    );
}

#[test]
fn an_overlay_over_an_overlay() {
    denied(
        "program /dev/shm/evil/x
         mkdir /run/empty
         unshare m
         mount overlay none /mnt lowerdir=/dev/shm/evil:/run/empty
         mount overlay none /srv lowerdir=/mnt:/run/empty
         exec /srv/x",
        NAME,
        "",
    );
}

#[test]
fn an_overlay_over_a_bind() {
    denied(
        "program /dev/shm/evil/x
         mkdir /run/empty
         unshare m
         bind /dev/shm/evil /srv
         mount overlay none /mnt lowerdir=/srv:/run/empty
         detach /srv
         exec /mnt/x",
        NAME,
        "",
    );
}

#[test]
fn an_overlay_of_a_user_namespace() {
    denied(
        "program /dev/shm/evil/x
         mkdir /run/empty
         unshare Um
         mount overlay none /mnt lowerdir=/dev/shm/evil:/run/empty
         exec /mnt/x",
        NAME,
        "",
    );
}

#[test]
fn an_overlay_on_the_excepted_directory() {
    denied(
        "program /dev/shm/evil/x
         mkdir /run/empty
         mkdir /run/docker
         unshare m
         mount overlay none /run/docker lowerdir=/dev/shm/evil:/run/empty
         exec /run/docker/x",
        NAME,
        "",
    );
}

#[test]
fn an_overlay_on_the_directory_itself() {
    denied(
        "program /dev/shm/evil/x
         mkdir /run/empty
         unshare m
         mount overlay none /dev/shm lowerdir=/dev/shm/evil:/run/empty
         exec /dev/shm/x",
        NAME,
        "",
    );
}

#[test]
fn a_detached_overlay() {
    denied(
        "program /dev/shm/evil/x
         mkdir /run/empty
         fsmount 50 overlay lowerdir=/dev/shm/evil:/run/empty
         execat 50 x",
        NAME,
        "",
    );
}

#[test]
fn an_overlay_as_root_directory() {
    denied(
        "program /dev/shm/evil/x
         mkdir /run/empty
         unshare m
         mount overlay none /mnt lowerdir=/dev/shm/evil:/run/empty
         cd /mnt
         pivot . .
         detach .
         exec /x",
        NAME,
        "",
    );
}

#[test]
fn a_file_whose_attributes_lie_in_another_layer() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         mount tmpfs none /srv
         mkdir /srv/up
         mkdir /srv/work
         mount overlay none /mnt lowerdir=/dev/shm/evil,upperdir=/srv/up,workdir=/srv/work,metacopy=on
         chmod 711 /mnt/x
         exec /mnt/x",
        NAME,
        "",
    );
}

#[test]
fn a_directory_that_was_renamed_in_an_overlay() {
    denied(
        "program /dev/shm/low/before/x
         unshare m
         mount tmpfs none /srv
         mkdir /srv/up
         mkdir /srv/work
         mount overlay none /mnt lowerdir=/dev/shm/low,upperdir=/srv/up,workdir=/srv/work,redirect_dir=on
         rename /mnt/before /mnt/after
         exec /mnt/after/x",
        "/dev/shm/low/before/x",
        "",
    );
}

#[test]
fn a_layer_of_content_alone() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         mount tmpfs none /srv
         mkdir /srv/up
         mkdir /srv/work
         mount overlay none /mnt lowerdir=/dev/shm/evil,upperdir=/srv/up,workdir=/srv/work,metacopy=on,redirect_dir=on
         chmod 711 /mnt/x
         mkdir /mnt/sub
         rename /mnt/x /mnt/sub/y
         detach /mnt
         mount overlay none /mnt lowerdir=/srv/up::/dev/shm/evil,metacopy=on,redirect_dir=follow
         exec /mnt/sub/y",
        NAME,
        "",
    );
}

#[test]
fn the_upper_layer_of_an_overlay_that_is_never_written_out() {
    denied(
        "mkdir /dev/shm/up
         mkdir /dev/shm/work
         rm -rf /dev/shm/work/work
         unshare m
         mount overlay none /mnt lowerdir=/srv,upperdir=/dev/shm/up,workdir=/dev/shm/work,volatile
         program /mnt/x
         exec /mnt/x",
        "/dev/shm/up/x",
        "",
    );
}
