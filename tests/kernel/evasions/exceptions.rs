//! The exception of the shipped policy, /var/run/docker/*, aimed at a file outside it.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{denied, with_wait};
use crate::bed::{Exec, bed, exec, wait_until};
use crate::helper::{crowd, goes_on};

/// Who may write to the excepted directory moves the file into it while its exec waits.
fn moved_meanwhile(from: &'static str, to: &'static str, typed: &'static str, deleted: bool) {
    bed(move |bed| {
        let program = bed.program(typed);
        fs::create_dir_all("/run/docker").unwrap();
        let guard = bed.prevent();
        guard.signal(Signal::SIGSTOP);
        let caller = crowd(1, 1, &program);
        wait_until("it waits", || caller.waiting() == 1);
        fs::rename(from, to).unwrap();
        let there = typed.replace(from, to);
        if deleted {
            fs::remove_file(&there).unwrap();
        }
        guard.signal(Signal::SIGCONT);
        assert_eq!(caller.end(), Exec::Denied);
        assert_eq!(exec(bed.program(there)), Exec::Ran(0), "the exception is there");
    });
}

#[test]
fn a_file_moved_into_the_excepted_directory_while_its_exec_waits() {
    moved_meanwhile("/run/evil/x", "/run/docker/x", "/run/evil/x", false);
}

#[test]
fn a_file_moved_into_the_excepted_directory_and_deleted_while_its_exec_waits() {
    moved_meanwhile("/run/evil/x", "/run/docker/x", "/run/evil/x", true);
}

#[test]
fn a_directory_moved_into_the_excepted_directory_while_the_exec_waits() {
    moved_meanwhile("/run/evil", "/run/docker/evil", "/run/evil/x", false);
}

#[test]
fn a_directory_moved_into_the_excepted_directory_while_the_exec_waits_for_a_file_that_is_deleted() {
    moved_meanwhile("/run/evil", "/run/docker/evil", "/run/evil/x", true);
}

/// A filesystem that was mounted in the excepted directory is taken to a watched one: its files are there now.
fn taken_away(take: &'static str, to: &'static str) {
    bed(move |bed| {
        let play = |steps: &str| goes_on(&with_wait(steps));
        let guard = bed.prevent();
        play("mkdir /run/docker/v\nmount tmpfs none /run/docker/v\nmkdir /run/docker/v/part\nexec /bin/true");
        wait_until("it is marked", || {
            let program = bed.program("/run/docker/v/there");
            let before = guard.attempts().len();
            assert_eq!(exec(program), Exec::Ran(0), "the exception is there");
            guard.attempts().len() > before
        });
        let held = File::open("/run/docker/v/there").unwrap();
        play(&format!("mkdir /run/plain\n{take}\nexec /bin/true"));
        let after = guard.attempts().len();
        let program = bed.program(format!("{to}/x"));
        // At once, and when the guard knows of the new place; by name, and by descriptor when the file is deleted.
        for wait in [0, 500] {
            std::thread::sleep(Duration::from_millis(wait));
            assert_eq!(exec(&program), Exec::Denied);
            assert_eq!(exec(format!("/proc/self/fd/{}", held.as_raw_fd())), Exec::Denied);
            drop(fs::remove_file(format!("{to}/there")));
        }
        let records = guard.attempts().split_off(after);
        assert!(
            records.iter().any(|record| record["shmguard"]["path_as_seen"] == format!("{to}/x")),
            "{records:#?}"
        );
    });
}

#[test]
fn a_filesystem_that_was_moved_from_the_excepted_directory_over_a_watched_one() {
    taken_away("move /run/docker/v /dev/shm", "/dev/shm");
}

#[test]
fn a_filesystem_whose_directory_was_moved_out_of_the_excepted_one() {
    taken_away("rename /run/docker /run/plain", "/run/plain/v");
}

#[test]
fn a_part_of_a_filesystem_that_was_bound_over_a_watched_directory_and_is_left_alone() {
    taken_away("bind /run/docker/v/part /dev/shm\nsleep 500\ndetach /run/docker/v", "/dev/shm");
}

#[test]
fn a_deleted_file_of_a_filesystem_that_was_moved_away_and_is_bound_there_in_part() {
    bed(|bed| {
        let guard = bed.prevent();
        let play = |steps: &str| goes_on(&with_wait(steps));
        play(
            "mkdir /run/docker/v\nmount tmpfs none /run/docker/v\nmkdir /run/docker/v/part\nsleep 400\nexec /bin/true",
        );
        let held = File::open(bed.program("/run/docker/v/there")).unwrap();
        play("move /run/docker/v /dev/shm\nbind /dev/shm/part /run/docker/v\nexec /bin/true");
        fs::remove_file("/dev/shm/there").unwrap();
        // Longer than what came lately is asked for its name.
        std::thread::sleep(Duration::from_millis(3200));
        assert_eq!(exec(format!("/proc/self/fd/{}", held.as_raw_fd())), Exec::Denied);
        assert_eq!(guard.only_attempt()["shmguard"]["path_as_seen"], "/dev/shm/there (deleted)");
    });
}

#[test]
fn a_symbolic_link_in_the_excepted_directory() {
    denied(
        "program /dev/shm/evil/x
         mkdir /run/docker
         rm -rf /run/docker/x
         symlink /dev/shm/evil/x /run/docker/x
         exec /run/docker/x",
        "/dev/shm/evil/x",
        "",
    );
}

#[test]
fn the_excepted_directory_is_a_symbolic_link() {
    denied(
        "program /run/evil/x
         rm -rf /run/docker
         symlink evil /run/docker
         exec /var/run/docker/x",
        "/run/evil/x",
        "/run/evil/x",
    );
}

#[test]
fn a_path_that_leaves_the_excepted_directory() {
    denied(
        "program /run/evil/x
         mkdir /run/docker/a
         exec /run/docker/a/../../evil/x",
        "/run/evil/x",
        "/run/evil/x",
    );
}

#[test]
fn a_name_that_begins_like_the_excepted_directory() {
    for name in ["/run/docker-x/x", "/run/docker.sock", "/run/dockerx", "/run/DOCKER/x"] {
        denied(&format!("program {name}\n exec {name}"), name, name);
    }
}

#[test]
fn a_directory_of_that_name_somewhere_else() {
    for name in ["/dev/shm/run/docker/x", "/run/lock/docker/x", "/run/run/docker/x", "/run/var/run/docker/x"]
    {
        denied(&format!("program {name}\n exec {name}"), name, name);
    }
}

#[test]
fn a_file_of_that_name() {
    denied("rm -rf /run/docker\n program /run/docker\n exec /run/docker", "/run/docker", "/run/docker");
}

#[test]
fn a_hard_link_out_of_the_excepted_directory() {
    denied(
        "program /run/docker/x
         mkdir /run/evil
         rm -rf /run/evil/x
         link /run/docker/x /run/evil/x
         exec /run/evil/x",
        "/run/evil/x",
        "/run/evil/x",
    );
}

#[test]
fn a_hard_link_out_of_the_excepted_directory_by_descriptor_of_a_detached_tree() {
    denied(
        "program /run/docker/x
         mkdir /run/evil
         rm -rf /run/evil/x
         link /run/docker/x /run/evil/x
         tree 50 /run/evil
         execat 50 x",
        "",
        "/x",
    );
}

#[test]
fn a_file_that_was_moved_out_of_the_excepted_directory() {
    denied(
        "program /run/docker/x
         open 50 /run/docker/x
         mkdir /run/evil
         rename /run/docker/x /run/evil/x
         fexec 50",
        "/run/evil/x",
        "/run/evil/x",
    );
}

#[test]
fn a_bind_of_a_file_onto_one_in_the_excepted_directory() {
    denied(
        "program /dev/shm/evil/x
         mkdir /run/docker
         try detach /run/docker/x
         touch /run/docker/x
         bind /dev/shm/evil/x /run/docker/x
         exec /run/docker/x",
        "/dev/shm/evil/x",
        "/run/docker/x",
    );
}

#[test]
fn a_bind_of_the_directory_that_holds_the_excepted_one() {
    denied(
        "program /run/evil/x
         mkdir /run/docker
         unshare m
         bind /run /run/docker
         exec /run/docker/evil/x",
        "/run/evil/x",
        "/run/docker/evil/x",
    );
}

#[test]
fn a_mount_moved_onto_the_excepted_directory() {
    denied(
        "program /dev/shm/evil/x
         mkdir /run/docker
         unshare m
         move /dev/shm /run/docker
         exec /run/docker/evil/x",
        "/dev/shm/evil/x",
        "/run/docker/evil/x",
    );
}

#[test]
fn another_root_in_which_the_file_seems_excepted() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         mount tmpfs none /mnt
         mkdir /mnt/run/docker
         bind /dev/shm/evil /mnt/run/docker
         cd /mnt
         pivot . .
         detach .
         exec /run/docker/x",
        "/dev/shm/evil/x",
        "/run/docker/x",
    );
}

#[test]
fn the_excepted_directory_changes_places_while_the_guard_looks() {
    // Both names are true in turn: no record may say another than one of these, and none under the first may be allowed.
    use crate::bed::{Exec, bed, exec};
    use std::sync::atomic::{AtomicBool, Ordering};
    bed(|bed| {
        bed.program("/run/evil/x");
        std::fs::create_dir_all("/run/docker").unwrap();
        assert_eq!(exec("/run/evil/x"), Exec::Ran(0));
        let guard = bed.prevent();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let swapped = nix::fcntl::renameat2(
                        nix::fcntl::AT_FDCWD,
                        "/run/evil",
                        nix::fcntl::AT_FDCWD,
                        "/run/docker",
                        nix::fcntl::RenameFlags::RENAME_EXCHANGE,
                    );
                    swapped.unwrap();
                }
            });
            for _ in 0..300 {
                exec("/run/evil/x");
            }
            stop.store(true, Ordering::Relaxed);
        });
        let attempts = guard.attempts();
        assert!(!attempts.is_empty());
        for record in attempts {
            let allowed = record["shmguard"]["response"] == "allow";
            let name = record["process"]["executable"].as_str().unwrap();
            assert!(["/run/evil/x", "/run/docker/x", "/run/"].contains(&name), "{name}");
            assert_eq!(allowed, record["shmguard"]["excepted"] == true, "{record:#}");
            assert!(!allowed || name == "/run/docker/x", "{record:#}");
        }
    });
}

#[test]
fn a_file_that_goes_in_and_out_of_the_excepted_directory() {
    use std::sync::atomic::{AtomicBool, Ordering};
    bed(|bed| {
        bed.program("/run/evil");
        fs::create_dir_all("/run/docker/a").unwrap();
        let _guard = bed.prevent();
        let stop = AtomicBool::new(false);
        let (mut denied, mut ran) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    fs::rename("/run/evil", "/run/docker/a/evil").unwrap();
                    std::thread::sleep(Duration::from_micros(200));
                    fs::rename("/run/docker/a/evil", "/run/evil").unwrap();
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
            // What is not there at the moment cannot be executed.
            for _ in 0..2000 {
                match exec("/run/evil") {
                    Exec::Denied => denied += 1,
                    Exec::Ran(_) => ran += 1,
                    Exec::Failed(errno) => assert_eq!(errno, libc::ENOENT),
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(denied > 100, "it was hardly there: {denied}");
        assert_eq!(ran, 0, "beside {denied} denials");
    });
}

#[test]
fn a_directory_of_elsewhere_that_is_bound_there_and_into_the_excepted_one() {
    bed(|bed| {
        let play = |steps: &str| goes_on(&with_wait(steps));
        play("mount tmpfs none /srv\nmkdir /srv/part\nmkdir /run/docker/a\nmkdir /dev/shm/a\nexec /bin/true");
        bed.program("/srv/part/x");
        play("bind /srv/part /run/docker/a\nbind /srv/part /dev/shm/a\nexec /bin/true");
        let guard = bed.prevent();
        for excepted in ["/run/docker/a/x", "/var/run/docker/a/x"] {
            assert_eq!(exec(excepted), Exec::Ran(0), "the exception is there");
        }
        assert_eq!(exec("/dev/shm/a/x"), Exec::Denied);
        let names: Vec<_> =
            guard.attempts().iter().map(|record| record["process"]["executable"].clone()).collect();
        assert_eq!(names, ["/run/docker/a/x", "/run/docker/a/x", "/dev/shm/a/x"]);
        // Moved, it may not keep the name that it had.
        play("detach /dev/shm/a\nmkdir /run/other\nmove /run/docker/a /run/other\nexec /bin/true");
        assert_eq!(exec("/run/other/x"), Exec::Denied);
    });
}

#[test]
fn a_filesystem_in_the_excepted_directory_that_is_bound_into_a_watched_one() {
    bed(|bed| {
        let play = |steps: &str| goes_on(&with_wait(steps));
        let guard = bed.prevent();
        play(
            "mkdir /run/docker/v\nmount tmpfs none /run/docker/v\nmkdir /dev/shm/v\nsleep 400\nexec /bin/true",
        );
        bed.program("/run/docker/v/x");
        play("bind /run/docker/v /dev/shm/v\nbind /run/docker/v /mnt\nexec /bin/true");
        assert_eq!(exec("/run/docker/v/x"), Exec::Ran(0), "the exception is there");
        // What came lately is excepted by the name that it is called by alone.
        std::thread::sleep(Duration::from_millis(3200));
        assert_eq!(exec("/dev/shm/v/x"), Exec::Denied);
        // By a way that is not watched it is the excepted file.
        assert_eq!(exec("/mnt/x"), Exec::Ran(0));
        let seen: Vec<_> =
            guard.attempts().iter().map(|record| record["shmguard"]["path_as_seen"].clone()).collect();
        assert_eq!(seen, ["/run/docker/v/x", "/dev/shm/v/x", "/mnt/x"]);
    });
}
