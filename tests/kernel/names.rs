//! File names that want to hide, forge or crash.

use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};

use crate::bed::{Exec, bed, end_of, exec};

#[test]
fn a_name_that_is_not_utf_8_is_recorded_without_loss() {
    bed(|bed| {
        let program = bed.program(PathBuf::from(OsStr::from_bytes(b"/dev/shm/\xff\xfe-\\x")));
        let guard = bed.prevent();
        assert_eq!(exec(&program), Exec::Denied);
        assert_eq!(guard.only_attempt()["process"]["executable"], r"/dev/shm/\xff\xfe-\\x");
    });
}

#[test]
fn a_newline_or_an_escape_sequence_cannot_forge_a_line() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x\n{\"event\":{\"action\":\"exec\"}}\u{1b}[2J");
        let guard = bed.prevent();
        assert_eq!(exec(&program), Exec::Denied);
        let record = guard.only_attempt();
        assert!(record["process"]["executable"].as_str().unwrap().starts_with("/dev/shm/x\n{"));
        let bytes = std::fs::read(bed.path("events.ndjson")).unwrap();
        assert!(!bytes.contains(&0x1b));
    });
}

#[test]
fn a_file_that_is_truly_called_deleted_keeps_its_name_and_a_deleted_one_is_told_apart() {
    bed(|bed| {
        let named = bed.program("/dev/shm/x (deleted)");
        let gone = bed.program("/dev/shm/y");
        let open = std::fs::File::open(&gone).unwrap();
        std::fs::remove_file(&gone).unwrap();
        let guard = bed.prevent();
        assert_eq!(exec(&named), Exec::Denied);
        let by_descriptor = format!("/proc/{}/fd/{}", std::process::id(), open.as_raw_fd());
        assert_eq!(exec(&by_descriptor), Exec::Denied);
        let attempts = guard.attempts();
        assert_eq!(attempts[0]["process"]["executable"], "/dev/shm/x (deleted)");
        assert_eq!(attempts[1]["process"]["executable"], "/dev/shm/y");
        assert_eq!(attempts[1]["shmguard"]["deleted"], true);
    });
}

#[test]
fn a_path_longer_than_4096_bytes_is_denied_and_recorded() {
    bed(|bed| {
        let part = "d".repeat(250);
        let mut path = String::from("/dev/shm");
        std::fs::create_dir_all(format!("/dev/shm/{part}")).unwrap();
        let program = bed.program("/dev/shm/start");
        // Deeper than PATH_MAX: only by relative steps.
        let deep = deep_directory(&part, 18);
        path.push_str(&format!("/{part}").repeat(18));
        std::fs::rename(&program, "/dev/shm/x").unwrap();
        link_into(&deep, "/dev/shm/x");
        let guard = bed.prevent();
        let by_descriptor = format!("/proc/{}/fd/{}/x", std::process::id(), deep.as_raw_fd());
        assert_eq!(exec(&by_descriptor), Exec::Denied);
        let record = guard.only_attempt();
        let executable = record["process"]["executable"].as_str().unwrap();
        assert!(executable == format!("{path}/x") || executable.starts_with("/dev/shm/"), "{executable}");
    });
}

#[test]
fn symbolic_links_and_dots_do_not_change_the_name() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        std::fs::create_dir_all("/run/docker").unwrap();
        symlink(&program, "/run/docker/link").unwrap();
        symlink("/dev/shm", bed.path("way")).unwrap();
        let guard = bed.prevent();
        for spelling in ["/run/docker/link", "/run/docker/../../dev/shm/x", "/dev/./shm//x"] {
            assert_eq!(exec(spelling), Exec::Denied, "{spelling}");
        }
        assert_eq!(exec(bed.path("way/x")), Exec::Denied);
        for record in guard.attempts() {
            assert_eq!(record["process"]["executable"], "/dev/shm/x");
        }
    });
}

#[test]
fn a_relative_path_is_recorded_whole() {
    bed(|bed| {
        bed.program("/run/.x");
        let guard = bed.prevent();
        assert_eq!(end_of(Command::new("./.x").current_dir("/var/run")), Exec::Denied);
        assert_eq!(guard.only_attempt()["process"]["executable"], "/run/.x");
    });
}

#[test]
fn a_bind_mount_keeps_the_name_that_the_superblock_gives() {
    bed(|bed| {
        bed.program("/dev/shm/evil/x");
        for target in ["/run/docker", "/run/elsewhere"] {
            std::fs::create_dir_all(target).unwrap();
            bind("/dev/shm/evil", target);
        }
        let guard = bed.prevent();
        assert_eq!(exec("/run/docker/x"), Exec::Denied);
        assert_eq!(exec("/run/elsewhere/x"), Exec::Denied);
        let attempts = guard.attempts();
        assert_eq!(attempts.len(), 2);
        for record in attempts {
            assert_eq!(record["process"]["executable"], "/dev/shm/evil/x", "{record:#}");
        }
    });
}

fn bind(source: &str, target: &str) {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
}

fn deep_directory(part: &str, depth: usize) -> std::fs::File {
    let mut directory = std::fs::File::open("/dev/shm").unwrap();
    for _ in 0..depth {
        // An earlier step may have made it.
        let _made = nix::sys::stat::mkdirat(&directory, part, nix::sys::stat::Mode::S_IRWXU);
        let flags = nix::fcntl::OFlag::O_DIRECTORY | nix::fcntl::OFlag::O_RDONLY;
        let next = nix::fcntl::openat(&directory, part, flags, nix::sys::stat::Mode::empty()).unwrap();
        directory = std::fs::File::from(next);
    }
    directory
}

fn link_into(directory: &std::fs::File, program: impl AsRef<Path>) {
    nix::unistd::linkat(nix::fcntl::AT_FDCWD, program.as_ref(), directory, "x", nix::fcntl::AtFlags::empty())
        .unwrap();
}
