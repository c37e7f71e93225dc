//! Work that must go on in prevention mode with the shipped policy.

use std::process::Command;

use crate::bed::{Bed, Exec, Guard, bed, end_of};
use crate::evasions::{has, proven};
use crate::helper::play_until_wait;

/// These steps work without the guard and with it, and nothing is denied.
#[track_caller]
fn goes_on(steps: &str) {
    let list: String = steps.lines().map(|line| format!("{}\n", line.trim())).collect();
    bed(move |bed| {
        proven(&list);
        let guard = bed.prevent();
        for _ in 0..3 {
            assert_eq!(play_until_wait(&list).go_on(), Exec::Ran(0), "{list}: {:#?}", guard.attempts());
        }
        nothing_denied(&guard);
    });
}

#[track_caller]
fn nothing_denied(guard: &Guard) {
    let denied: Vec<_> =
        guard.attempts().into_iter().filter(|record| record["shmguard"]["decision"] == "deny").collect();
    assert!(denied.is_empty(), "{denied:#?}");
    let (status, _, _) = guard.ask(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["counters"]["denied"], 0, "{:#}", status["counters"]);
}

/// A shell's work with files here.
#[track_caller]
fn shell_goes_on(script: &str) {
    let script = script.to_owned();
    bed(move |bed| {
        let run = |bed: &Bed| {
            let mut shell = Command::new("sh");
            end_of(shell.args(["-euc", &script]).env("BED", bed.path("")).current_dir("/dev/shm"))
        };
        assert_eq!(run(bed), Exec::Ran(0), "does not work without a guard");
        let guard = bed.prevent();
        assert_eq!(run(bed), Exec::Ran(0));
        nothing_denied(&guard);
    });
}

/// What runc before 1.2 does at each start of a container: it binds its own binary below /run, opens it, takes the bind
/// away and executes what it holds.
#[test]
fn a_runtime_executes_itself_from_a_bind_that_it_has_taken_away() {
    goes_on(
        "try rm -rf /run/runc/x
         mkdir /run/runc/x
         touch /run/runc/x/runc.1
         bind /bin/true /run/runc/x/runc.1
         flags /run/runc/x/runc.1 ro
         opath 50 /run/runc/x/runc.1
         detach /run/runc/x/runc.1
         wait
         exec /proc/self/fd/50",
    );
}

/// The same where the runtime had to wait for a processor in between, so that the bind had got its mark.
#[test]
fn a_runtime_that_was_slow_executes_itself_too() {
    goes_on(
        "mkdir /run/runc/x
         touch /run/runc/x/runc.1
         bind /bin/true /run/runc/x/runc.1
         opath 50 /run/runc/x/runc.1
         wait
         sleep 400
         detach /run/runc/x/runc.1
         exec /proc/self/fd/50",
    );
}

#[test]
fn a_container_whose_root_is_an_overlay_below_run() {
    goes_on(
        "unshare m
         mount tmpfs none /srv
         mkdir /srv/lower/bin
         program /srv/lower/bin/app
         mkdir /srv/upper
         mkdir /srv/work
         mkdir /run/containerd/io.containerd.runtime.v2.task/default/c1/rootfs
         mount overlay overlay /run/containerd/io.containerd.runtime.v2.task/default/c1/rootfs lowerdir=/srv/lower,upperdir=/srv/upper,workdir=/srv/work
         wait
         unshare mpiu
         fork
         cd /run/containerd/io.containerd.runtime.v2.task/default/c1/rootfs
         pivot . .
         detach .
         cd /
         exec /bin/app",
    );
}

/// An image that was unpacked within the last seconds is not excepted: who calls it calls it by another path.
#[test]
fn a_container_whose_layers_lie_in_the_excepted_directory() {
    goes_on(
        "mkdir /run/docker/lower/bin
         program /run/docker/lower/bin/app
         mkdir /run/docker/upper
         mkdir /run/docker/work
         sleep 3100
         unshare mp
         mount tmpfs none /srv
         mkdir /srv/root
         mount overlay overlay /srv/root lowerdir=/run/docker/lower,upperdir=/run/docker/upper,workdir=/run/docker/work
         wait
         fork
         cd /srv/root
         pivot . .
         detach .
         cd /
         exec /bin/app",
    );
}

/// The engine mounts it in the host's namespace, where the guard sees it; the container lives in a copy.
#[track_caller]
fn container_goes_on(root: &str) {
    goes_on(&format!(
        "try detach {root}
         try detach /srv
         mount tmpfs none /srv
         mkdir /srv/lower/bin
         program /srv/lower/bin/app
         mkdir /srv/upper
         mkdir /srv/work
         mkdir {root}
         mount overlay overlay {root} lowerdir=/srv/lower,upperdir=/srv/upper,workdir=/srv/work
         wait
         sleep 300
         unshare mpiu
         fork
         cd {root}
         pivot . .
         detach .
         cd /
         exec /bin/app",
    ));
}

#[test]
fn a_container_whose_root_the_engine_mounted_in_the_guards_namespace() {
    container_goes_on("/run/k3s/c1/rootfs");
}

#[test]
fn a_container_whose_root_podman_mounted_in_the_guards_namespace() {
    container_goes_on("/run/containers/storage/overlay/c1/merged");
}

#[test]
fn a_container_whose_root_is_a_bind_of_a_directory_of_the_disk() {
    goes_on(
        "try detach /run/bundle/rootfs
         try detach /srv
         mount tmpfs none /srv
         program /srv/image/bin/app
         mkdir /run/bundle/rootfs
         bind /srv/image /run/bundle/rootfs
         wait
         sleep 300
         unshare mpiu
         fork
         cd /run/bundle/rootfs
         pivot . .
         detach .
         cd /
         exec /bin/app",
    );
}

#[test]
fn a_container_of_runc() {
    if !(has("runc") && has("busybox")) {
        return;
    }
    shell_goes_on(
        "b=/run/containerd/io.containerd.runtime.v2.task/default/c1; mkdir -p $b/rootfs $BED/bin $BED/proc $BED/dev
         cp /bin/busybox $BED/bin/sh
         for l in $(ldd /bin/busybox | grep -o '/[^ ]*'); do mkdir -p $BED${l%/*}; cp $l $BED$l; done
         mount --bind $BED $b/rootfs; cd $b; rm -f config.json; runc spec
         sed -i -e 's/\"terminal\": true/\"terminal\": false/' -e 's/\"readonly\": true/\"readonly\": false/' \\
             -e 's/\"sh\"/\"\\/bin\\/sh\", \"-c\", \"exit 0\"/' config.json
         for i in 1 2 3 4 5 6 7 8; do runc run shmguard-$$-$i; done
         umount $b/rootfs",
    );
}

#[test]
fn a_container_of_crun() {
    if !(has("crun") && has("runc") && has("busybox")) {
        return;
    }
    shell_goes_on(
        "umount -R /sys/fs/cgroup || true; mount -t cgroup2 none /sys/fs/cgroup
         b=/run/bundle; mkdir -p $b/rootfs $BED/bin $BED/proc $BED/dev
         cp /bin/busybox $BED/bin/sh
         for l in $(ldd /bin/busybox | grep -o '/[^ ]*'); do mkdir -p $BED${l%/*}; cp $l $BED$l; done
         mount --bind $BED $b/rootfs; cd $b; rm -f config.json; runc spec
         sed -i -e 's/\"terminal\": true/\"terminal\": false/' -e 's/\"readonly\": true/\"readonly\": false/' \\
             -e 's/\"sh\"/\"\\/bin\\/sh\", \"-c\", \"exit 0\"/' config.json
         for i in 1 2 3 4; do crun --cgroup-manager=disabled run shmguard-$$-$i; done
         umount $b/rootfs",
    );
}

#[test]
fn a_sandbox_of_bubblewrap() {
    if !has("bwrap") {
        return;
    }
    shell_goes_on(
        "for i in 1 2 3; do
         bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /run --tmpfs /dev/shm --unshare-all /bin/true
         bwrap --bind / / --dev-bind /dev /dev --unshare-user --unshare-pid --uid 1000 /bin/true
         setpriv --reuid=65534 --regid=65534 --clear-groups bwrap --ro-bind / / --dev /dev --tmpfs /dev/shm /bin/true
         done",
    );
}

#[test]
fn sockets_pid_files_and_locks() {
    shell_goes_on(
        "mkdir -p /run/app; echo $$ >/run/app/pid; flock /run/lock/app true; mkfifo /run/app/fifo
         python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind(\"/run/app/s\"); s.listen()'
         rm -rf /run/app",
    );
}

#[test]
fn posix_shared_memory_as_databases_and_browsers_use_it() {
    shell_goes_on(
        "python3 -c '
from multiprocessing import shared_memory, Process, Lock, Queue
import mmap, os
s = shared_memory.SharedMemory(create=True, size=1 << 20)
s.buf[:5] = b\"hello\"
def child(name):
    o = shared_memory.SharedMemory(name=name)
    o.buf[0] = 74
    o.close()
for _ in range(8):
    p = Process(target=child, args=(s.name,)); p.start(); p.join(); assert p.exitcode == 0
assert bytes(s.buf[:5]) == b\"Jello\"
s.close(); s.unlink()
with Lock(): pass
fd = os.open(\"/dev/shm\", os.O_TMPFILE | os.O_RDWR); os.truncate(fd, 4096); mmap.mmap(fd, 4096)
'",
    );
}

#[test]
fn a_database_that_keeps_its_buffers_in_posix_shared_memory() {
    let Some(bin) = postgresql() else {
        assert!(std::env::var_os("CI").is_none(), "PostgreSQL is needed");
        eprintln!("SKIPPED, NOT PASSED: PostgreSQL is not installed");
        return;
    };
    shell_goes_on(&format!(
        "as='setpriv --reuid=65534 --regid=65534 --clear-groups'; d=$BED/data; rm -rf $d; mkdir -m 700 $d; chown 65534 $d
         cd $BED; $as {bin}/initdb -D $d -A trust -N >/dev/null
         printf \"shared_memory_type = mmap\\ndynamic_shared_memory_type = posix\\nmin_dynamic_shared_memory = 1MB\\n\" >>$d/postgresql.conf
         mkdir -p -m 777 /run/postgresql
         $as {bin}/pg_ctl -D $d -w -o '-h \"\" -k /run/postgresql' -l $d/log start >/dev/null
         ls /dev/shm | grep -q PostgreSQL
         $as psql -h /run/postgresql -d postgres -qc 'set max_parallel_workers_per_gather = 2; select count(*) from pg_class' >/dev/null
         $as {bin}/pg_ctl -D $d -w -m fast stop >/dev/null"
    ));
}

/// Where Debian and Fedora keep the server's programs.
fn postgresql() -> Option<String> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places = versions.map(|version| version.path().join("bin")).chain(["/usr/bin".into()]);
    Some(places.find(|place| place.join("initdb").exists())?.display().to_string())
}

#[test]
fn executable_memory_that_is_no_file() {
    shell_goes_on(
        "python3 -c '
import mmap
p = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
for flags in (mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS):
    m = mmap.mmap(-1, 65536, flags=flags, prot=p); m[0:4] = bytes(4)
'",
    );
}

#[test]
fn executable_mappings_of_files_here() {
    shell_goes_on(
        "python3 -c '
import mmap, os
fd = os.open(\"/dev/shm/jit\", os.O_CREAT | os.O_RDWR, 0o700); os.ftruncate(fd, 65536)
mmap.mmap(fd, 65536, prot=mmap.PROT_READ | mmap.PROT_EXEC)
'; rm /dev/shm/jit",
    );
}

#[test]
fn storms_of_directories_and_renames() {
    shell_goes_on(
        "python3 -c '
import os
for i in range(3000):
    os.mkdir(f\"/dev/shm/d{i}\"); os.rename(f\"/dev/shm/d{i}\", f\"/dev/shm/e{i}\"); os.rmdir(f\"/dev/shm/e{i}\")
for i in range(3000):
    open(\"/run/lock/x\", \"w\").close(); os.rename(\"/run/lock/x\", \"/run/lock/y\"); os.unlink(\"/run/lock/y\")
'",
    );
}

/// Who takes a mount away while the guard looks at it finds it busy, as with everybody who looks at new mounts.
#[test]
fn storms_of_mounts() {
    shell_goes_on(
        "mkdir -p /run/m
         for i in $(seq 100); do mount -t tmpfs none /run/m; mount --bind /usr /run/m
         for j in 1 2; do umount /run/m || umount /run/m || umount /run/m; done; done",
    );
}

#[test]
fn a_script_elsewhere_that_reads_its_data_here() {
    shell_goes_on(
        "printf '#!/bin/sh\\nread -r line </dev/shm/data\\ntest \"$line\" = hello\\n' >$BED/script; chmod 755 $BED/script
         echo hello >/dev/shm/data; $BED/script; $BED/script; sh $BED/script
         printf '#!/usr/bin/env python3\\nprint(open(\"/dev/shm/data\").read())\\n' >$BED/p; chmod 755 $BED/p; $BED/p",
    );
}

#[test]
fn builds_and_archives_of_an_unprivileged_user() {
    shell_goes_on(
        "mkdir -p /dev/shm/build; chmod 777 /dev/shm/build
         as='setpriv --reuid=65534 --regid=65534 --clear-groups'
         $as sh -euc 'cd /dev/shm/build; printf \"#!/bin/sh\\\\necho configured\\\\n\" >configure; chmod 755 configure; ./configure
         cp /bin/true tool; ./tool; tar cf a.tar tool; rm tool; tar xf a.tar; ./tool; cp -a tool copy; ./copy'
         tar cf /dev/shm/b.tar -C /dev/shm build; cp -a /dev/shm/build $BED/out; cat $BED/out/tool >/dev/null",
    );
}

#[test]
fn what_docker_keeps_below_var_run_docker() {
    shell_goes_on(
        "mkdir -p /run/docker/runtime; cp /bin/true /run/docker/runtime/hook; /var/run/docker/runtime/hook",
    );
}

#[test]
fn what_runs_elsewhere_while_the_working_directory_and_the_arguments_are_here() {
    shell_goes_on(
        "cd /dev/shm; touch x; ls /dev/shm/x; cat x; env true; cp x y; find . -name y -exec rm {} +; sh -c 'ls'",
    );
}

#[test]
fn namespaces_that_tools_keep_as_files() {
    shell_goes_on(
        "mkdir -p /run/netns; touch /run/netns/x; mount --bind /proc/self/ns/net /run/netns/x
         nsenter --net=/run/netns/x true; umount /run/netns/x",
    );
}
