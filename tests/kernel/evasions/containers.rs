//! A watched directory of another mount namespace, on a filesystem of its own, as every container has it; and disk images
//! that only another namespace has mounted.
//!
//! The guard finds them within a second. It sees the namespaces of every test and of the host, so these guards have a
//! policy of their own: it denies one name, which nobody else uses.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{has, proven, with_wait};
use crate::bed::{Bed, Exec, Guard, bed};
use crate::helper::play_until_wait;

/// A way that must be denied by a guard that watches other namespaces. `TOKEN` is the name that this test alone has.
#[track_caller]
fn denied(steps: &str, name: &str) {
    let token = token();
    let list = with_wait(&steps.replace("TOKEN", &token));
    let name = name.replace("TOKEN", &token);
    bed(move |bed| {
        proven(&list);
        let older = play_until_wait(&list);
        let guard = guard(bed, &token);
        std::thread::sleep(std::time::Duration::from_millis(1200));
        assert_eq!(older.go_on(), Exec::Denied, "older than the guard: {list}");
        check_ours(&guard, &name, &token);
        let newer = play_until_wait(&list);
        std::thread::sleep(std::time::Duration::from_millis(1200));
        assert_eq!(newer.go_on(), Exec::Denied, "newer than the guard: {list}");
    });
}

/// A name that nobody else uses.
pub(super) fn token() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("evasion-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A guard that watches other namespaces and denies what has this name.
pub(super) fn guard(bed: &Bed, token: &str) -> Guard {
    let policy = bed.path("policy.toml");
    // By arguments as well: they are known where the name is not, as in the layer of another test's overlay.
    let rule = format!(
        "[[rule]]\nid = \"ours\"\neffect = \"deny\"\nwhen = 'process.args like \"*{token}*\" and \
         process.executable like \"*{token}*\"'\n"
    );
    std::fs::write(&policy, rule).unwrap();
    let configuration = format!(
        "mode = \"prevent\"\nbuiltin = false\non_unknown = \"allow\"\npolicy = [\"{}\"]\n",
        policy.display()
    );
    bed.guard_with(&configuration, "containers = true")
}

#[track_caller]
fn check_ours(guard: &Guard, name: &str, token: &str) {
    let attempts = guard.attempts();
    let ours: Vec<_> = attempts
        .iter()
        .filter(|record| record["process"]["executable"].as_str().is_some_and(|name| name.contains(token)))
        .collect();
    assert_eq!(ours.len(), 1, "{attempts:#?}");
    assert_eq!(ours[0]["process"]["executable"], name, "{:#}", ours[0]);
    assert_eq!(ours[0]["event"]["type"], serde_json::json!(["start", "denied"]));
}

#[test]
fn tmpfs_on_dev_shm() {
    denied(
        "unshare m\n mount tmpfs none /dev/shm\n program /dev/shm/TOKEN\n exec /dev/shm/TOKEN",
        "/dev/shm/TOKEN",
    );
}

#[test]
fn tmpfs_on_run() {
    denied("unshare m\n mount tmpfs none /run\n program /run/TOKEN\n exec /var/run/TOKEN", "/run/TOKEN");
}

#[test]
fn tmpfs_on_a_directory_below() {
    denied(
        "unshare m
         mkdir /run/lock/sub
         mount tmpfs none /run/lock/sub
         program /run/lock/sub/TOKEN
         exec /var/lock/sub/TOKEN",
        "/run/lock/sub/TOKEN",
    );
}

#[test]
fn ramfs_on_dev_shm() {
    denied(
        "unshare m\n mount ramfs none /dev/shm\n program /dev/shm/TOKEN\n exec /dev/shm/TOKEN",
        "/dev/shm/TOKEN",
    );
}

#[test]
fn fsmount_on_dev_shm() {
    denied(
        "unshare m
         fsmount 50 tmpfs
         attach 50 /dev/shm
         program /dev/shm/TOKEN
         exec /dev/shm/TOKEN",
        "/dev/shm/TOKEN",
    );
}

#[test]
fn a_container_with_a_root_and_a_pid_namespace_of_its_own() {
    denied(
        "unshare mpiun
         fork
         mount tmpfs none /mnt
         mkdir /mnt/dev/shm
         mount tmpfs shm /mnt/dev/shm
         program /mnt/dev/shm/TOKEN
         cd /mnt
         pivot . .
         detach .
         cd /
         exec /dev/shm/TOKEN",
        "/dev/shm/TOKEN",
    );
}

#[test]
fn a_namespace_in_a_user_namespace_that_root_made() {
    denied(
        "unshare Um
         mount tmpfs none /dev/shm
         program /dev/shm/TOKEN
         exec /dev/shm/TOKEN",
        "/dev/shm/TOKEN",
    );
}

#[test]
fn a_namespace_in_a_user_namespace_in_another_that_root_made() {
    denied(
        "unshare Ump
         fork
         unshare Um
         mount tmpfs none /dev/shm
         program /dev/shm/TOKEN
         exec /dev/shm/TOKEN",
        "/dev/shm/TOKEN",
    );
}

#[test]
fn a_bind_of_a_namespace_s_own_tmpfs() {
    denied(
        "unshare m
         mount tmpfs none /dev/shm
         program /dev/shm/TOKEN
         bind /dev/shm /mnt
         exec /mnt/TOKEN",
        "/dev/shm/TOKEN",
    );
}

#[test]
fn the_tmpfs_of_a_namespace_by_the_root_of_its_process() {
    denied(
        "other
         unshare m
         mount tmpfs none /dev/shm
         program /dev/shm/TOKEN
         end
         exec /proc/{other}/root/dev/shm/TOKEN",
        "/dev/shm/TOKEN",
    );
}

#[test]
fn a_namespace_in_which_only_a_thread_is() {
    denied(
        "aside
         unshare m
         mount tmpfs none /dev/shm
         program /dev/shm/TOKEN
         exec /dev/shm/TOKEN",
        "/dev/shm/TOKEN",
    );
}

#[test]
fn a_namespace_in_which_a_thread_is_whose_process_s_first_thread_has_ended() {
    denied(
        "aside ended
         sleep 100
         unshare m
         mount tmpfs none /dev/shm
         program /dev/shm/TOKEN
         exec /dev/shm/TOKEN",
        "/dev/shm/TOKEN",
    );
}

/// Kubernetes mounts it on the host, below the directory of the kubelet, and binds it into the container.
#[test]
fn the_memory_that_a_pod_asked_for_bound_at_dev_shm() {
    const VOLUME: &str = "/srv/kubelet/pods/u/volumes/kubernetes.io~empty-dir/memory";
    denied(
        &format!(
            "try detach /srv
             mount tmpfs none /srv
             mkdir {VOLUME}
             mount tmpfs none {VOLUME}
             program {VOLUME}/TOKEN
             unshare m
             bind {VOLUME} /dev/shm
             exec /dev/shm/TOKEN"
        ),
        "/dev/shm/TOKEN",
    );
}

#[test]
fn a_tmpfs_that_was_covered_when_it_was_looked_for_and_is_uncovered_since() {
    denied(
        "unshare m
         mount tmpfs none /dev/shm
         program /dev/shm/TOKEN
         bind /usr /dev/shm
         wait
         umount /dev/shm
         sleep 1200
         exec /dev/shm/TOKEN",
        "/dev/shm/TOKEN",
    );
}

#[test]
fn a_disk_image_that_only_another_namespace_has_mounted() {
    if !has("mkfs.ext4") {
        return;
    }
    denied(
        "image /dev/shm/image
         run mkfs.ext4 -q -F /dev/shm/image
         loop 50 /dev/shm/image
         unshare m
         mountloop 50 ext4 /mnt
         program /mnt/TOKEN
         exec /mnt/TOKEN",
        "/dev/shm/image/TOKEN",
    );
}

#[test]
fn a_deleted_btrfs_image_that_only_another_namespace_has_mounted() {
    if !has("mkfs.btrfs") {
        return;
    }
    denied(
        "try detach /dev/shm/big
         mkdir /dev/shm/big
         mount tmpfs none /dev/shm/big size=256m
         image /dev/shm/big/image 128
         run mkfs.btrfs -q -f /dev/shm/big/image
         loop 50 /dev/shm/big/image
         rm /dev/shm/big/image
         unshare m
         mountloop 50 btrfs /mnt
         program /mnt/TOKEN
         exec /mnt/TOKEN",
        "/dev/shm/big/image/TOKEN",
    );
}

#[test]
fn a_disk_image_in_a_namespace_s_own_tmpfs() {
    if !has("mkfs.ext4") {
        return;
    }
    denied(
        "unshare m
         mount tmpfs none /dev/shm
         image /dev/shm/image
         run mkfs.ext4 -q -F /dev/shm/image
         loop 50 /dev/shm/image
         wait
         mountloop 50 ext4 /mnt
         program /mnt/TOKEN
         sleep 1200
         exec /mnt/TOKEN",
        "/dev/shm/image/TOKEN",
    );
}

/// Stays open: nobody can look into it through /proc until somebody is in it.
#[test]
fn a_namespace_in_which_nobody_is_until_something_is_executed_there() {
    use std::process::Command;
    bed(|bed| {
        let token = token();
        std::fs::write("/run/namespace", "").unwrap();
        let furnish = format!("mount -t tmpfs none /dev/shm && cp /bin/true /dev/shm/{token}");
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount=/run/namespace", "sh", "-c", &furnish]);
        // Linux 6.18 numbers namespaces for each CPU apart, and refuses the bind of one whose number is not above our own.
        let made = (0..100).any(|_| crate::bed::end_of(&mut unshare) == Exec::Ran(0));
        assert!(made, "no namespace can be kept");
        let enter = || {
            let mut nsenter = Command::new("nsenter");
            crate::bed::end_of(nsenter.args(["--mount=/run/namespace", &format!("/dev/shm/{token}")]))
        };
        assert_eq!(enter(), Exec::Ran(0), "does not work without a guard");
        let _guard = guard(bed, &token);
        std::thread::sleep(std::time::Duration::from_millis(1200));
        assert_eq!(enter(), Exec::Ran(0), "closed");
    });
}

/// What any user can mount at a watched directory of a namespace of their own.
#[test]
fn a_hostile_namespace_makes_the_guard_mark_nothing() {
    const HOSTILE: &[&str] = &[
        "rbind / /dev/shm",
        "rbind /tmp /dev/shm",
        "mount tmpfs none /dev/shm",
        "mount tmpfs none /mnt\n mkdir /mnt/a\n bind /mnt/a /dev/shm",
        "bind /run /dev/shm",
        "mount tmpfs none /dev\n symlink /tmp /dev/shm",
        "mount tmpfs none /dev\n mkdir /dev/shm\n rbind / /dev/shm",
        "mount proc none /dev/shm",
        "mount tmpfs none /mnt\n mkdir /mnt/dev/shm\n mkdir /mnt/old\n rbind / /mnt/dev/shm\n pivot /mnt /mnt/old",
    ];
    bed(move |bed| {
        let token = token();
        let elsewhere = bed.program(bed.path(&token));
        let guard = guard(bed, &token);
        let marks = |guard: &Guard| {
            let (status, _, _) = guard.ask(&["status", "--json"]);
            let status: serde_json::Value = serde_json::from_str(&status).unwrap();
            let marks = status["marks"].as_array().unwrap().clone();
            let of = |mark: &serde_json::Value| (mark["path"].to_string(), mark["device"].to_string());
            marks.iter().map(of).collect::<Vec<_>>()
        };
        let namespaces: Vec<_> = HOSTILE
            .iter()
            .map(|steps| {
                play_until_wait(&format!(
                    "user 65534\n unshare Ump\n fork\n {steps}\n wait\n check /bin/true"
                ))
            })
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(1500));
        let theirs: Vec<String> =
            namespaces.iter().flat_map(|one| devices_of_descendants(one.pid())).collect();
        let host = devices("thread-self");
        assert!(theirs.iter().any(|device| !host.contains(device)), "the namespaces are there");
        for (path, device) in marks(&guard) {
            let device = device.trim_matches('"').to_owned();
            assert!(!theirs.contains(&device) || host.contains(&device), "{path} {device}");
            assert_ne!(path, "\"/\"");
            assert_ne!(path, "\"/tmp\"");
        }
        // Its name would match, were it watched.
        assert_eq!(crate::bed::exec(&elsewhere), Exec::Ran(0));
        drop(namespaces);
    });
}

/// The device numbers of what a process's children have mounted.
fn devices_of_descendants(pid: u32) -> Vec<String> {
    let mut found = devices(&pid.to_string());
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let children = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap();
        for child in children.split_whitespace() {
            found.extend(devices_of_descendants(child.parse().unwrap()));
        }
    }
    found
}

/// The device numbers of what a process has mounted.
fn devices(pid: &str) -> Vec<String> {
    let table = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    table.lines().filter_map(|line| line.split(' ').nth(2)).map(str::to_owned).collect()
}
