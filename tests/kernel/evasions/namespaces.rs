//! Other mount namespaces, with and without other namespaces around them.

use super::denied;

const NAME: &str = "/dev/shm/evil/x";

#[test]
fn a_mount_namespace() {
    denied("program /dev/shm/evil/x\n unshare m\n exec /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn a_user_and_a_mount_namespace() {
    denied("program /dev/shm/evil/x\n unshare Um\n exec /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn user_mount_and_pid_namespaces() {
    denied("program /dev/shm/evil/x\n unshare Ump\n fork\n exec /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn every_kind_of_namespace() {
    denied(
        "program /dev/shm/evil/x
         unshare UmpniuC
         fork
         bind /dev/shm/evil /mnt
         exec /mnt/x",
        NAME,
        "/mnt/x",
    );
}

#[test]
fn a_namespace_in_a_namespace() {
    denied(
        "program /dev/shm/evil/x
         unshare Um
         unshare Um
         unshare ump
         fork
         bind /dev/shm/evil /mnt
         exec /mnt/x",
        NAME,
        "/mnt/x",
    );
}

#[test]
fn the_namespace_of_another_process() {
    denied(
        "program /dev/shm/evil/x
         other
         unshare m
         bind /dev/shm/evil /mnt
         end
         enter {other} m
         exec /mnt/x",
        NAME,
        "/mnt/x",
    );
}

#[test]
fn the_user_and_mount_namespace_of_another_process() {
    denied(
        "program /dev/shm/evil/x
         other
         unshare Um
         bind /dev/shm/evil /mnt
         end
         enter {other} Um
         exec /mnt/x",
        NAME,
        "/mnt/x",
    );
}

#[test]
fn a_path_through_the_root_of_another_process() {
    denied(
        "program /dev/shm/evil/x
         other
         unshare m
         bind /dev/shm/evil /mnt
         end
         exec /proc/{other}/root/mnt/x",
        NAME,
        "",
    );
}

#[test]
fn a_path_through_the_working_directory_of_another_process() {
    denied(
        "program /dev/shm/evil/x
         other
         unshare m
         cd /dev/shm/evil
         detach /dev/shm
         end
         exec /proc/{other}/cwd/x",
        NAME,
        "",
    );
}

#[test]
fn a_namespace_without_the_host_s_proc() {
    denied(
        "program /dev/shm/evil/x
         unshare mp
         fork
         mount tmpfs none /proc
         mount tmpfs none /sys
         exec /dev/shm/evil/x",
        NAME,
        NAME,
    );
}
