//! Names, links, renames, kinds of files.

use super::denied;

const NAME: &str = "/dev/shm/evil/x";

#[test]
fn a_hard_link() {
    denied(
        "program /dev/shm/first
         mkdir /dev/shm/evil
         rm -rf /dev/shm/evil
         mkdir /dev/shm/evil
         link /dev/shm/first /dev/shm/evil/x
         exec /dev/shm/evil/x",
        NAME,
        NAME,
    );
}

#[test]
fn a_hard_link_whose_first_name_is_gone() {
    denied(
        "rm -rf /dev/shm/evil
         mkdir /dev/shm/evil
         program /dev/shm/first
         link /dev/shm/first /dev/shm/evil/x
         rm /dev/shm/first
         exec /dev/shm/evil/x",
        NAME,
        NAME,
    );
}

#[test]
fn a_renamed_file() {
    denied(
        "program /dev/shm/first
         mkdir /dev/shm/evil
         rename /dev/shm/first /dev/shm/evil/x
         exec /dev/shm/evil/x",
        NAME,
        NAME,
    );
}

#[test]
fn two_files_that_changed_places() {
    denied(
        "program /dev/shm/evil/x
         program /run/docker/good
         program /dev/shm/other
         exchange /dev/shm/evil/x /dev/shm/other
         exec /dev/shm/evil/x",
        NAME,
        NAME,
    );
}

#[test]
fn a_directory_renamed_after_it_was_opened() {
    denied(
        "rm -rf /dev/shm/evil
         program /dev/shm/before/x
         open 50 /dev/shm/before
         rename /dev/shm/before /dev/shm/evil
         execat 50 x",
        NAME,
        NAME,
    );
}

#[test]
fn a_symbolic_link_from_elsewhere() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         mount tmpfs none /srv
         symlink /dev/shm/evil/x /srv/one
         symlink one /srv/two
         exec /srv/two",
        NAME,
        NAME,
    );
}

#[test]
fn a_symbolic_link_in_the_directory_to_a_file_in_another() {
    denied(
        "program /run/lock/x
         rm -rf /dev/shm/evil
         mkdir /dev/shm/evil
         symlink /run/lock/x /dev/shm/evil/x
         exec /dev/shm/evil/x",
        "/run/lock/x",
        "/run/lock/x",
    );
}

#[test]
fn a_file_that_may_be_executed_but_not_read() {
    denied("program /dev/shm/evil/x 111\n exec /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn a_file_of_another_user() {
    denied("program /dev/shm/evil/x\n chown 65534 /dev/shm/evil/x\n exec /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn a_directory_that_others_may_not_enter() {
    denied("program /dev/shm/evil/x\n chmod 0 /dev/shm/evil\n exec /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn a_hidden_file_in_the_lock_directory() {
    denied("program /var/lock/.x\n exec /var/lock/.x", "/run/lock/.x", "/run/lock/.x");
}

#[test]
fn a_name_that_looks_like_an_option() {
    denied("program /run/--help\n exec /run/--help", "/run/--help", "/run/--help");
}

#[test]
fn a_script_with_a_line_that_names_its_interpreter() {
    denied("script /dev/shm/evil/x /bin/true\n exec /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn a_script_without_such_a_line() {
    // The kernel refuses it with ENOEXEC, and a shell then reads it; denied, the shell does not.
    denied("text /dev/shm/evil/x exit 0\n wait\n check /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn an_interpreter_named_by_a_script_elsewhere() {
    denied(
        "interpreter /dev/shm/evil/x
         unshare m
         mount tmpfs none /srv
         script /srv/script /dev/shm/evil/x
         exec /srv/script",
        NAME,
        NAME,
    );
}

#[test]
fn a_script_whose_interpreter_is_a_script_in_the_directory() {
    denied(
        "script /dev/shm/evil/x /bin/true
         unshare m
         mount tmpfs none /srv
         script /srv/script /dev/shm/evil/x
         exec /srv/script",
        NAME,
        NAME,
    );
}

#[test]
fn a_dynamic_linker_in_the_directory() {
    denied(
        "interpreter /dev/shm/evil/x
         unshare m
         mount tmpfs none /srv
         interpreted /srv/program /dev/shm/evil/x
         exec /srv/program",
        NAME,
        NAME,
    );
}

#[test]
fn a_program_that_is_already_running_starts_itself_again() {
    denied(
        "copy /usr/bin/sleep /dev/shm/x
         program /dev/shm/evil/x
         other
         open 60 /dev/shm/evil/x
         end
         exec /proc/{other}/fd/60",
        NAME,
        NAME,
    );
}

#[test]
fn a_chain_of_scripts_that_ends_in_the_directory() {
    denied(
        "interpreter /dev/shm/evil/x
         unshare m
         mount tmpfs none /srv
         script /srv/one /dev/shm/evil/x
         script /srv/two /srv/one
         script /srv/three /srv/two
         exec /srv/three",
        NAME,
        NAME,
    );
}

#[test]
fn an_interpreter_named_by_a_relative_path() {
    denied(
        "interpreter /dev/shm/evil/x
         unshare m
         mount tmpfs none /srv
         script /srv/script ./x
         cd /dev/shm/evil
         exec /srv/script",
        NAME,
        NAME,
    );
}

#[test]
fn an_interpreter_named_by_a_descriptor() {
    denied(
        "interpreter /dev/shm/evil/x
         unshare m
         mount tmpfs none /srv
         script /srv/script /proc/self/fd/50
         open 50 /dev/shm/evil/x
         rm /dev/shm/evil/x
         exec /srv/script",
        NAME,
        "/dev/shm/evil/x (deleted)",
    );
}

#[test]
fn a_dynamic_linker_named_by_a_relative_path() {
    denied(
        "interpreter /dev/shm/evil/x
         unshare m
         mount tmpfs none /srv
         interpreted /srv/program evil/x
         cd /dev/shm
         exec /srv/program",
        NAME,
        NAME,
    );
}
