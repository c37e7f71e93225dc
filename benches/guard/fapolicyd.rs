//! Debian's fapolicyd beside us, where it is installed.
//!
//! It marks mounts (`allow_filesystem_mark = 0`), and only those of the filesystem types that it is told: tmpfs. A mark
//! on a mount holds for that mount alone, and all of a stage's mounts are its own, so nothing outside of the stage is
//! ever marked.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};

use crate::stage::{Base, Stage, tmpfs};

const PROGRAM: &str = "/usr/sbin/fapolicyd";

/// Why it is left out, if it is.
pub fn absent() -> Option<&'static str> {
    (!Path::new(PROGRAM).exists())
        .then_some("fapolicyd is left out: it is not installed (Debian package fapolicyd)")
}

/// Its command on this stage, its configuration and state in place of the host's.
pub fn command(base: &Base, stage: &Stage) -> Command {
    stage.enter();
    let etc = stage.path("etc-fapolicyd");
    fs::create_dir_all(etc.join("rules.d")).expect("its configuration");
    fs::create_dir_all(etc.join("trust.d")).expect("its configuration");
    let write = |name: &str, text: &str| fs::write(etc.join(name), text).expect("its configuration");
    write("fapolicyd.conf", CONFIGURATION);
    let rules = "deny_log perm=execute uid=0 : dir=/dev/shm/\nallow perm=any all : all\n";
    write("rules.d/10-bench.rules", rules);
    write("compiled.rules", rules);
    write("fapolicyd.trust", "");
    mount(Some(&etc), "/etc/fapolicyd", None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .expect("its /etc/fapolicyd");
    tmpfs(Path::new("/var/lib/fapolicyd"), MsFlags::empty(), "mode=770");
    fs::create_dir_all("/run/fapolicyd").expect("its /run/fapolicyd");
    chown("/run/fapolicyd", Some(0), Some(0)).expect("its /run/fapolicyd");
    let mut command = base.leashed(Path::new(PROGRAM));
    command.arg("--debug-deny");
    command
}

const CONFIGURATION: &str = "permissive = 0
nice_val = 14
q_size = 800
uid = 0
gid = 0
do_stat_report = 0
detailed_report = 0
db_max_size = 10
subj_cache_size = 1549
obj_cache_size = 8191
watch_fs = tmpfs
trust = file
integrity = none
syslog_format = rule,dec,perm,auid,pid,exe,:,path,ftype,trust
rpm_sha256_only = 0
allow_filesystem_mark = 0
";
