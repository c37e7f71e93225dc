//! Who the program would run as: threads, ids, set-uid files, capabilities, user namespaces.
//!
//! Each way that must be denied stands beside one that differs in what takes the privilege away, and is allowed.

use super::{allowed, denied, denied_as};

const NAME: &str = "/dev/shm/evil/x";

#[test]
fn an_effective_root_whose_real_user_is_another() {
    denied_as("program /dev/shm/evil/x\n uid 1000 0 1000\n exec /dev/shm/evil/x", NAME, "0");
}

#[test]
fn a_real_root_whose_effective_user_is_another() {
    denied_as("program /dev/shm/evil/x\n uid 0 1000 1000\n exec /dev/shm/evil/x", NAME, "0");
}

#[test]
fn a_real_root_whose_effective_and_saved_user_are_others() {
    denied_as("program /dev/shm/evil/x\n uid 0 1000 1001\n exec /dev/shm/evil/x", NAME, "0");
}

#[test]
fn a_saved_root_does_not_survive_the_exec() {
    allowed("program /dev/shm/evil/x\n uid 1000 1000 0\n exec /dev/shm/evil/x", "1000");
}

#[test]
fn a_root_without_capabilities() {
    denied_as("program /dev/shm/evil/x\n dropbounding\n noroot\n exec /dev/shm/evil/x", NAME, "0");
}

#[test]
fn a_root_with_no_new_privileges() {
    denied_as("program /dev/shm/evil/x\n nonewprivs\n exec /dev/shm/evil/x", NAME, "0");
}

#[test]
fn a_root_thread_behind_a_leader_of_another_user() {
    denied_as("program /dev/shm/evil/x\n wait\n thread /dev/shm/evil/x leader 65534", NAME, "0");
}

#[test]
fn a_root_thread_behind_a_leader_that_flips_its_ids() {
    denied_as("program /dev/shm/evil/x\n wait\n thread /dev/shm/evil/x flipping", NAME, "0");
}

#[test]
fn a_root_thread_whose_leader_has_ended() {
    denied_as("program /dev/shm/evil/x\n wait\n thread /dev/shm/evil/x zombie", NAME, "0");
}

#[test]
fn an_unprivileged_thread_behind_a_root_leader_is_not_root() {
    allowed("program /dev/shm/evil/x\n wait\n thread /dev/shm/evil/x user 65534", "65534");
}

#[test]
fn a_set_uid_root_file() {
    denied_as("program /dev/shm/evil/x 4755\n user 65534\n exec /dev/shm/evil/x", NAME, "0");
}

#[test]
fn a_set_uid_root_file_by_descriptor() {
    denied_as("program /dev/shm/evil/x 4755\n open 50 /dev/shm/evil/x\n user 65534\n fexec 50", NAME, "0");
}

#[test]
fn a_set_uid_root_file_through_a_bind_that_takes_nosuid_away() {
    denied_as(
        "program /dev/shm/evil/x 4755
         unshare m
         bind /dev/shm /mnt
         bind /dev/shm /dev/shm
         flags /dev/shm nosuid
         flags /mnt suid
         user 65534
         exec /mnt/evil/x",
        NAME,
        "0",
    );
}

#[test]
fn a_set_uid_root_file_in_an_overlay() {
    denied_as(
        "program /dev/shm/evil/x 4755
         mkdir /run/empty
         chmod 755 /run
         chmod 755 /run/empty
         unshare m
         mount overlay none /mnt lowerdir=/dev/shm/evil:/run/empty
         user 65534
         exec /mnt/x",
        NAME,
        "0",
    );
}

#[test]
fn a_set_uid_root_file_that_a_child_user_namespace_executes() {
    // The owner has no id in the namespace, so the kernel ignores the bit.
    allowed("program /dev/shm/evil/x 4755\n user 65534\n unshare U\n exec /dev/shm/evil/x", "65534");
}

#[test]
fn a_set_uid_root_file_in_a_user_namespace_that_has_no_ids_yet() {
    allowed("program /dev/shm/evil/x 4755\n user 65534\n unshare U bare\n exec /dev/shm/evil/x", "65534");
}

#[test]
fn a_set_uid_root_file_that_a_user_namespace_with_root_in_it_executes() {
    denied_as(
        "program /dev/shm/evil/x 4755
         unshare U wide
         user 65534
         exec /dev/shm/evil/x",
        NAME,
        "0",
    );
}

#[test]
fn a_set_uid_root_file_on_a_nosuid_mount_gives_nothing() {
    allowed(
        "program /dev/shm/evil/x 4755
         unshare m
         bind /dev/shm /mnt
         flags /mnt nosuid
         user 65534
         exec /mnt/evil/x",
        "65534",
    );
}

#[test]
fn a_set_uid_root_file_with_no_new_privileges_gives_nothing() {
    allowed("program /dev/shm/evil/x 4755\n user 65534\n nonewprivs\n exec /dev/shm/evil/x", "65534");
}

#[test]
fn a_set_uid_file_of_another_user_gives_that_user() {
    allowed(
        "program /dev/shm/evil/x\n chown 33 /dev/shm/evil/x\n chmod 4755 /dev/shm/evil/x\n user 65534\n exec /dev/shm/evil/x",
        "33",
    );
}

#[test]
fn a_set_uid_root_interpreter_of_a_script() {
    denied_as(
        "interpreter /dev/shm/evil/x
         chmod 4755 /dev/shm/evil/x
         unshare m
         mount tmpfs none /srv
         script /srv/script /dev/shm/evil/x
         user 65534
         exec /srv/script",
        NAME,
        "0",
    );
}

#[test]
fn a_script_whose_interpreter_elsewhere_is_set_uid_root() {
    denied_as(
        "unshare m
         mount tmpfs none /srv
         program /srv/suid 4755
         script /dev/shm/evil/x /srv/suid
         user 65534
         exec /dev/shm/evil/x",
        NAME,
        "0",
    );
}

#[test]
fn a_script_on_a_disk_whose_interpreter_elsewhere_is_set_uid_root() {
    if super::has("mkfs.ext4") {
        denied_as(
            "mount tmpfs none /srv
             program /srv/suid 4755
             image /dev/shm/image
             run mkfs.ext4 -q -F /dev/shm/image
             loop 50 /dev/shm/image
             mountloop 50 ext4 /mnt
             script /mnt/x /srv/suid
             sleep 300
             user 65534
             exec /mnt/x",
            "/dev/shm/image/x",
            "0",
        );
    }
}

#[test]
fn a_script_whose_set_uid_root_interpreter_is_named_through_a_link() {
    denied_as(
        "unshare m
         mount tmpfs none /srv
         program /srv/suid 4755
         symlink /srv/suid /srv/link
         script /dev/shm/evil/x /srv/link
         user 65534
         exec /dev/shm/evil/x",
        NAME,
        "0",
    );
}

#[test]
fn a_script_whose_set_uid_root_interpreter_is_named_through_its_caller_s_root() {
    denied_as(
        "unshare m
         mount tmpfs none /srv
         program /srv/suid 4755
         script /dev/shm/evil/x /proc/self/root/srv/suid
         user 65534
         exec /dev/shm/evil/x",
        NAME,
        "0",
    );
}

#[test]
fn a_script_whose_set_uid_root_interpreter_is_on_a_nosuid_mount() {
    allowed(
        "unshare m
         mount tmpfs none /srv
         program /srv/suid 4755
         flags /srv nosuid
         script /dev/shm/evil/x /srv/suid
         user 65534
         exec /dev/shm/evil/x",
        "65534",
    );
}

#[test]
fn a_script_whose_interpreter_elsewhere_has_capabilities() {
    denied(
        "unshare m
         mount tmpfs none /srv
         program /srv/able
         capabilities /srv/able 13
         script /dev/shm/evil/x /srv/able
         user 65534
         exec /dev/shm/evil/x",
        NAME,
        NAME,
    );
}

#[test]
fn a_script_whose_interpreter_gives_nothing() {
    allowed(
        "unshare m
         mount tmpfs none /srv
         program /srv/plain
         script /dev/shm/evil/x /srv/plain
         user 65534
         exec /dev/shm/evil/x",
        "65534",
    );
}

#[test]
fn file_capabilities() {
    denied(
        "program /dev/shm/evil/x\n capabilities /dev/shm/evil/x 13\n user 65534\n exec /dev/shm/evil/x",
        NAME,
        NAME,
    );
}

#[test]
fn file_capabilities_on_a_nosuid_mount_give_nothing() {
    allowed(
        "program /dev/shm/evil/x
         capabilities /dev/shm/evil/x 13
         unshare m
         bind /dev/shm /mnt
         flags /mnt nosuid
         user 65534
         exec /mnt/evil/x",
        "65534",
    );
}

#[test]
fn file_capabilities_with_no_new_privileges_give_nothing() {
    allowed(
        "program /dev/shm/evil/x
         capabilities /dev/shm/evil/x 13
         user 65534
         nonewprivs
         exec /dev/shm/evil/x",
        "65534",
    );
}

#[test]
fn ambient_capabilities() {
    denied("program /dev/shm/evil/x\n user 65534 ambient 21\n exec /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn inheritable_capabilities_alone_give_nothing() {
    allowed("program /dev/shm/evil/x\n user 65534 inheritable 21\n exec /dev/shm/evil/x", "65534");
}

#[test]
fn ambient_capabilities_with_no_new_privileges_are_kept() {
    denied("program /dev/shm/evil/x\n user 65534 ambient 21\n nonewprivs\n exec /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn root_of_the_host_in_a_user_namespace() {
    denied_as("program /dev/shm/evil/x\n unshare U\n exec /dev/shm/evil/x", NAME, "0");
}

#[test]
fn root_of_a_user_namespace_is_the_user_that_made_it() {
    allowed("program /dev/shm/evil/x\n user 65534\n unshare Um\n exec /dev/shm/evil/x", "65534");
}

#[test]
fn capabilities_in_a_child_user_namespace_are_none_of_the_host_s() {
    allowed(
        "program /dev/shm/evil/x
         user 65534
         unshare U
         capabilities_of 21
         exec /dev/shm/evil/x",
        "65534",
    );
}

#[test]
fn an_unprivileged_user_s_program_is_allowed() {
    allowed("program /dev/shm/evil/x\n user 65534\n exec /dev/shm/evil/x", "65534");
}

#[test]
fn inheritable_capabilities_of_caller_and_file_together() {
    denied(
        "program /dev/shm/evil/x
         capabilities /dev/shm/evil/x 21 inheritable
         user 65534 inheritable 21
         exec /dev/shm/evil/x",
        NAME,
        NAME,
    );
}

#[test]
fn file_capabilities_that_name_the_root_of_the_host() {
    denied(
        "program /dev/shm/evil/x
         capabilities /dev/shm/evil/x 13 root=0
         user 65534
         exec /dev/shm/evil/x",
        NAME,
        NAME,
    );
}

#[test]
fn file_capabilities_for_another_root_give_nothing_on_the_host() {
    allowed(
        "program /dev/shm/evil/x
         capabilities /dev/shm/evil/x 13 root=1000
         user 65534
         exec /dev/shm/evil/x",
        "65534",
    );
}

#[test]
fn capabilities_that_a_change_of_user_left_end_with_the_exec() {
    allowed("program /dev/shm/evil/x\n nofixup\n uid 1000 1000 1000\n exec /dev/shm/evil/x", "1000");
}

#[test]
fn a_set_gid_root_file_is_no_root() {
    allowed("program /dev/shm/evil/x 2755\n user 65534\n exec /dev/shm/evil/x", "65534");
}
