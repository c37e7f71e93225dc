//! Whatever an answer could wait for has an end: other processes' memory, files that never come, clients that never read.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use shmguard::control::protocol::Request;

use crate::bed::{Exec, NOBODY, bed, exec, exec_as, wait_until};
use crate::faults::is;
use crate::fuse::Fuse;
use crate::helper::stuck;

/// The deadline of these guards, with room for a busy machine.
pub const BOUND: Duration = Duration::from_secs(3);

#[test]
fn arguments_in_a_file_that_never_comes_delay_their_own_answer_up_to_the_deadline_and_no_other() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        let fuse = Fuse::new(&bed.path("fuse"));
        let mut callers: Vec<_> =
            (0..4).map(|number| stuck(&["fuse-page"], &fuse.file(number), &program)).collect();
        assert_others_are_answered(&program);
        for caller in &mut callers {
            assert_eq!(caller.told(), Exec::Denied);
        }
        let late = |record: &&serde_json::Value| record.to_string().contains("\"cause\":\"late\"");
        assert_eq!(guard.attempts().iter().filter(late).count(), 4);
        drop(fuse);
    });
}

#[test]
fn opens_through_an_overlay_over_a_watched_layer_do_not_make_the_guard_wait_for_itself() {
    bed(|bed| {
        for directory in ["low", "up", "work", "all", "rootfs"] {
            fs::create_dir_all(Path::new("/run/o").join(directory)).unwrap();
        }
        fs::write("/run/o/low/data", "some data").unwrap();
        let guard = bed.guard_with("mode = \"prevent\"\n", "loaders = \"deny\"\ninterpreters = \"deny\"\n");
        for (place, options) in [
            ("/run/o/all", "lowerdir=/run/o/low,upperdir=/run/o/up,workdir=/run/o/work"),
            ("/run/o/rootfs", "lowerdir=/run/o/low:/run/o/up"),
        ] {
            mount(Some("overlay"), place, Some("overlay"), MsFlags::empty(), Some(options)).unwrap();
            wait_until("it is marked", || guard.status().to_string().contains(place));
            assert_eq!(fs::read_to_string(Path::new(place).join("data")).unwrap(), "some data");
        }
    });
}

#[test]
fn an_interpreter_that_is_never_found_holds_up_its_own_script_and_costs_its_own_user_alone() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let fuse = Fuse::new(&bed.path("fuse"));
        let script = |name: &str, interpreter: &Path| {
            let path = Path::new("/dev/shm").join(name);
            fs::write(&path, format!("#!{}\n", interpreter.display())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let hanging = script("hanging", &fuse.never());
        let ordinary = script("ordinary", Path::new("/bin/sh"));
        let guard = bed.prevent();
        assert_eq!(exec_as(NOBODY, &ordinary), Exec::Ran(0));
        let begun = Instant::now();
        assert_eq!(exec_as(NOBODY, &hanging), Exec::Denied);
        assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
        let late = guard.attempts();
        assert!(late.last().unwrap().to_string().contains("\"cause\":\"late\""), "{late:?}");
        // Until it ends none is looked for for him; what is no script does not need that, nor do others wait.
        assert_eq!(exec_as(NOBODY, &ordinary), Exec::Denied);
        assert_eq!(exec_as(NOBODY, &program), Exec::Ran(0));
        assert_eq!(exec_as(NOBODY - 1, &ordinary), Exec::Ran(0));
        drop(fuse);
        wait_until("interpreters are looked for again", || exec_as(NOBODY, &ordinary) == Exec::Ran(0));
    });
}

#[test]
fn a_caller_whose_memory_is_locked_delays_its_own_answer_up_to_the_deadline_and_no_other() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        let fuse = Fuse::new(&bed.path("fuse"));
        let mut caller = stuck(&["locked-memory"], &fuse.file(0), &program);
        let begun = Instant::now();
        assert_eq!(caller.told(), Exec::Denied);
        assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
        let attempt = guard.only_attempt().to_string();
        assert!(attempt.contains("\"cause\":\"late\""), "the memory was not locked: {attempt}");
        assert_others_are_answered(&program);
        drop(fuse);
    });
}

#[test]
fn a_worker_that_another_processs_memory_keeps_from_dying_is_taken_over_all_the_same() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.supervised("mode = \"prevent\"\n");
        let worker = guard.worker();
        let fuse = Fuse::new(&bed.path("fuse"));
        let mut caller = stuck(&["fuse-page"], &fuse.file(0), &program);
        assert_eq!(caller.told(), Exec::Denied);
        kill(worker, Signal::SIGKILL).unwrap();
        let begun = Instant::now();
        assert_eq!(exec(&program), Exec::Denied);
        assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
        assert!(Path::new(&format!("/proc/{worker}")).exists(), "it has died as usual");
        drop(fuse);
        wait_until("another worker stands", || guard.worker() != worker);
        assert_eq!(exec(&program), Exec::Denied);
    });
}

#[test]
fn a_huge_file_that_a_rule_wants_hashed_is_answered_by_the_deadline() {
    bed(|bed| {
        let policy = bed.path("policy.toml");
        let rule = "[[rule]]\nid = \"h\"\neffect = \"deny\"\nwhen = 'process.hash.sha256 == \"0\"'\n";
        fs::write(&policy, rule).unwrap();
        let guard = bed.guard(&format!("mode = \"prevent\"\npolicy = [\"{}\"]\n", policy.display()));
        let sparse = |name: &str, size| {
            let file = File::create(name).unwrap();
            file.set_len(size).unwrap();
            file.set_permissions(fs::Permissions::from_mode(0o755)).unwrap();
        };
        // Past the largest that is hashed; and just below, which takes as long as it takes.
        sparse("/dev/shm/huge", 1 << 40);
        sparse("/dev/shm/large", 63 << 20);
        std::thread::scope(|scope| {
            let large = (0..4).map(|_| scope.spawn(|| timed(|| exec_as(NOBODY, "/dev/shm/large"))));
            let large: Vec<_> = large.collect();
            assert_eq!(timed(|| exec_as(NOBODY, "/dev/shm/huge")), Exec::Denied);
            for thread in large {
                let end = thread.join().unwrap();
                assert!([Exec::Denied, Exec::Failed(libc::ENOEXEC)].contains(&end), "{end:?}");
            }
        });
        assert_eq!(guard.status()["counters"]["failures"]["deadline_passed"], 0);
    });
}

#[test]
fn a_table_of_users_that_cannot_be_read_holds_up_a_reload_and_no_answer() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        let fuse = Fuse::new(&bed.path("fuse"));
        mount(Some(&fuse.file(0)), "/etc/passwd", None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        assert_others_are_answered(&program);
        guard.signal(Signal::SIGHUP);
        std::thread::sleep(Duration::from_millis(300));
        assert_others_are_answered(&program);
        assert!(!guard.records().iter().any(|record| is(record, "policy-reloaded")), "it was read");
        drop(fuse);
        wait_until("the reload goes on", || {
            guard.records().iter().any(|record| is(record, "policy-reloaded"))
        });
        assert_eq!(exec(&program), Exec::Denied);
    });
}

#[test]
fn clients_of_the_control_socket_that_are_silent_or_never_read_hold_up_nobody() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.prevent();
        let connect = || UnixStream::connect(bed.path("control.sock")).unwrap();
        let mut clients = Vec::new();
        for _ in 0..8 {
            clients.push(connect());
            let mut client = connect();
            client.write_all(&Request::Status.encode()).unwrap();
            clients.push(client);
            // In the middle of a request.
            let mut client = connect();
            client.write_all(b"{\"command\":").unwrap();
            clients.push(client);
            assert_others_are_answered(&program);
            let begun = Instant::now();
            guard.status();
            assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
        }
    });
}

/// Root's exec is denied and another user's allowed, each in time.
#[track_caller]
fn assert_others_are_answered(program: &Path) {
    assert_eq!(timed(|| exec_as(NOBODY, program)), Exec::Ran(0));
    assert_eq!(timed(|| exec(program)), Exec::Denied);
}

/// Runs something, which must not take longer than [`BOUND`].
#[track_caller]
pub fn timed(run: impl FnOnce() -> Exec) -> Exec {
    let begun = Instant::now();
    let end = run();
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    end
}
