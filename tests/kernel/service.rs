//! A guard that a service manager has started in a copy of the host's mount namespace, as the systemd unit does.
//!
//! The service manager is process 1 of a pid namespace, a shell; its mounts are the host's. A mark of a single mount must
//! be on these: marks on the guard's own copies would see nobody.

use std::process::{Command, Stdio};

use crate::bed::{Bed, bed, die_with_parent, records_in};

const UNIT: &str = include_str!("../../packaging/usr/lib/systemd/system/shmguard.service");

/// Prints how a command ended.
const RAN: &str = "ran() { status=0; \"$@\" 2>/dev/null || status=$?; echo $status; }";

/// Runs a script as process 1, and returns what it prints.
#[track_caller]
fn as_process_1(bed: &Bed, script: &str) -> String {
    let path = bed.path("init");
    std::fs::write(&path, format!("{RAN}\n{script}\n")).unwrap();
    let mut init = Command::new("unshare");
    init.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-eu"]).arg(&path);
    init.env("GUARD", env!("CARGO_BIN_EXE_shmguard")).env("BED", bed.path("")).stdin(Stdio::null());
    init.env("STATE_DIRECTORY", bed.path("")).env_remove("INVOCATION_ID");
    // `unshare` dies with us, process 1 with `unshare`, and with process 1 all of its namespace.
    die_with_parent(&mut init);
    let output = init.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told} {:?}", std::fs::read_to_string(bed.path("stderr")));
    String::from_utf8(output.stdout).unwrap()
}

/// Plays `before`, starts a guard as a service, plays `after`, and returns what both print.
#[track_caller]
pub fn service(bed: &Bed, flags: &str, before: &str, after: &str) -> String {
    let config = bed.configure("mode = \"prevent\"\n", "");
    let script = format!(
        "mount --make-rshared /
         mkdir -p /srv/evil /srv/empty /dev/shm/sub; cp /bin/true /srv/evil/x; touch /dev/shm/file
         {before}
         rm -f $BED/stderr
         INVOCATION_ID=1 unshare -m --propagation slave setpriv --no-new-privs --bounding-set {} $GUARD run {flags} --config {} 2>$BED/stderr & guard=$!
         for i in $(seq 300); do if grep -qs ^ready $BED/stderr; then break; fi; sleep 0.1; done
         {after}
         kill $guard; wait $guard",
        capabilities(),
        config.display()
    );
    crate::bed::tmpfs("/srv");
    as_process_1(bed, &script)
}

/// The unit's CapabilityBoundingSet=, as setpriv(1) wants it.
fn capabilities() -> String {
    let of_unit = UNIT.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    let names = of_unit.split_whitespace().map(|name| name.strip_prefix("CAP_").unwrap().to_lowercase());
    std::iter::once("-all".to_owned())
        .chain(names.map(|name| format!("+{name}")))
        .collect::<Vec<_>>()
        .join(",")
}

/// The steps mount something at /dev/shm/sub or /dev/shm/file; what is executed there is denied, by the host and by who
/// comes from elsewhere, whether it was mounted before the guard or after.
#[track_caller]
fn denied(mount: &'static str, program: &'static str) {
    bed(move |bed| {
        let run = format!(
            "ran {program}
             ran unshare -m --propagation private sh -c 'umount -l /dev/shm; exec /proc/1/root{program}'"
        );
        let free = service(bed, "", &format!("{mount}\n {run}"), "");
        assert_eq!(free, "0\n0\n", "does not work without a guard");
        let older = service(bed, "", mount, &run);
        assert_eq!(older, "126\n126\n", "older than the guard");
        let newer = service(bed, "--supervise", "", &format!("{mount}\n sleep 0.3\n {run}"));
        assert_eq!(newer, "126\n126\n", "newer than the guard");
        let attempts: Vec<_> = records_in(&bed.path("events.ndjson"))
            .into_iter()
            .filter(|record| record["event"]["action"] == "exec")
            .collect();
        assert_eq!(attempts.len(), 4, "{attempts:#?}");
        assert!(attempts.iter().all(|one| one["process"]["executable"] == program), "{attempts:#?}");
    });
}

#[test]
fn a_directory_of_elsewhere_that_the_host_bound_into_a_watched_one() {
    denied("mount --bind /srv/evil /dev/shm/sub", "/dev/shm/sub/x");
}

#[test]
fn a_file_of_elsewhere_that_the_host_bound_into_a_watched_directory() {
    denied("mount --bind /srv/evil/x /dev/shm/file", "/dev/shm/file");
}

#[test]
fn an_overlay_of_elsewhere_that_the_host_mounted_in_a_watched_directory() {
    denied("mount -t overlay -o lowerdir=/srv/evil:/srv/empty none /dev/shm/sub", "/dev/shm/sub/x");
}

#[test]
fn a_tmpfs_that_the_host_mounted_in_a_watched_directory() {
    denied("mount -t tmpfs none /dev/shm/sub; cp /bin/true /dev/shm/sub/x", "/dev/shm/sub/x");
}

#[test]
fn a_runtime_executes_itself_from_a_bind_that_it_has_taken_away() {
    bed(|bed| {
        let steps = "mount --bind /bin/true /dev/shm/file
                     exec 9</dev/shm/file
                     sleep 0.3
                     umount -l /dev/shm/file
                     ran /proc/self/fd/9";
        assert_eq!(service(bed, "", "", steps), "0\n");
    });
}

#[test]
fn a_guard_that_no_service_manager_started_guards_its_own_mounts() {
    bed(|bed| {
        let config = bed.configure("mode = \"prevent\"\n", "");
        // Process 1 is the parent, but says nothing of a service.
        let script = format!(
            "mount -t tmpfs none /dev/shm; cp /bin/true /dev/shm/x
             $GUARD run --config {} 2>$BED/stderr & guard=$!
             for i in $(seq 300); do if grep -qs ^ready $BED/stderr; then break; fi; sleep 0.1; done
             ran /dev/shm/x
             kill $guard; wait $guard",
            config.display()
        );
        let inner = format!("unshare -m --propagation private sh -euc '{RAN}\n{script}'");
        assert_eq!(as_process_1(bed, &inner), "126\n");
    });
}

#[test]
fn an_exception_holds_in_mounts_of_the_host_until_they_are_taken_away() {
    bed(|bed| {
        let told = service(
            bed,
            "",
            "mkdir -p /run/docker/v /run/docker/w
             mount -t tmpfs none /run/docker/v; cp /bin/true /run/docker/v/x",
            "mount -t tmpfs none /run/docker/w; cp /bin/true /run/docker/w/x; sleep 0.5
             ran /run/docker/v/x; ran /run/docker/w/x
             mv /run/docker /run/plain
             ran /run/plain/v/x; ran /run/plain/w/x",
        );
        assert_eq!(told, "0\n0\n126\n126\n");
    });
}

#[test]
fn an_exception_does_not_hold_in_other_watched_directories_of_the_host() {
    bed(|bed| {
        let told = service(
            bed,
            "",
            "mkdir -p /run/docker/v /run/docker/e /dev/shm/v /dev/shm/e
             mount -t tmpfs none /run/docker/v; cp /bin/true /run/docker/v/x",
            "mount --bind /run/docker/v /dev/shm/v
             mount --bind /srv/evil /run/docker/e; mount --bind /srv/evil /dev/shm/e; sleep 0.5
             ran /run/docker/v/x; ran /run/docker/e/x
             # What came lately is excepted by the name that it is called by alone.
             sleep 3.2
             ran /dev/shm/v/x; ran /dev/shm/e/x",
        );
        assert_eq!(told, "0\n0\n126\n126\n");
    });
}
