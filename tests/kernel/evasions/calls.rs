//! Ways to make the call: other system calls, other process shapes, other tools.

use std::process::Command;

use super::{check, denied};
use crate::bed::{Exec, bed, end_of};

const NAME: &str = "/dev/shm/evil/x";

#[test]
fn execve() {
    denied("program /dev/shm/evil/x\n exec /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn vfork() {
    denied("program /dev/shm/evil/x\n wait\n clone vm,vfork /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn a_child_that_shares_all() {
    denied("program /dev/shm/evil/x\n wait\n clone vm,vfork,files,fs /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn clone3() {
    denied("program /dev/shm/evil/x\n wait\n clone3 /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn posix_spawn() {
    denied("program /dev/shm/evil/x\n wait\n spawn /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn a_thread_that_is_not_the_first() {
    denied("program /dev/shm/evil/x\n wait\n thread /dev/shm/evil/x", NAME, NAME);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_32_bit_call() {
    denied("program /dev/shm/evil/x\n wait\n int80 /dev/shm/evil/x", NAME, NAME);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_other_32_bit_call() {
    denied("program /dev/shm/evil/x\n wait\n int80at /dev/shm/evil/x", NAME, NAME);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_32_bit_program() {
    denied("program32 /dev/shm/evil/x\n exec /dev/shm/evil/x", NAME, NAME);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_call_that_a_tracer_puts_into_another_process() {
    denied("program /dev/shm/evil/x\n wait\n injected /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn an_interpreter_that_asks_the_kernel() {
    denied("program /dev/shm/evil/x\n wait\n check /dev/shm/evil/x", NAME, NAME);
}

#[test]
fn an_interpreter_that_asks_the_kernel_by_descriptor() {
    denied("text /dev/shm/evil/x print(1)\n open 50 /dev/shm/evil/x\n wait\n checkfd 50", NAME, NAME);
}

#[test]
fn the_tools_that_start_others() {
    const TOOLS: &[&[&str]] = &[
        &["sh", "-c", NAME],
        &["sh", "-c", "exec /dev/shm/evil/x"],
        &["sh", "-c", "cd /dev/shm/evil && ./x"],
        &["sh", "-c", "PATH=/dev/shm/evil; x"],
        &["bash", "-c", "exec -a sshd /dev/shm/evil/x"],
        &["env", NAME],
        &["nohup", NAME],
        &["nice", NAME],
        &["timeout", "9", NAME],
        &["setsid", "-w", NAME],
        &["stdbuf", "-o0", NAME],
        &["xargs", "-a", "/dev/null", NAME],
        &["find", "/dev/shm/evil/x", "-exec", "{}", ";"],
        &["chroot", "/", NAME],
        &["unshare", "-m", NAME],
        &["unshare", "-Ur", NAME],
        &["unshare", "-Urmpf", NAME],
        &["nsenter", "-m", "-t", "1", "--", "/proc/self/cwd/x"],
        &["setpriv", "--no-new-privs", NAME],
        &["setpriv", "--securebits", "+noroot,+no_setuid_fixup", NAME],
        &["capsh", "--drop=all", "--", "-c", NAME],
        &["flock", "/dev/shm/evil/x", NAME],
        &["taskset", "1", NAME],
        &["chrt", "-o", "0", NAME],
        &["ionice", "-c", "3", NAME],
        &["perl", "-e", "exec '/dev/shm/evil/x'; exit 126"],
        &["python3", "-c", "import os; os.execv('/dev/shm/evil/x', ['x'])"],
        &["python3", "-c", "import os; os.execv(os.open('/dev/shm/evil/x', 0), ['x'])"],
        &["awk", "BEGIN { exit system(\"/dev/shm/evil/x\") }"],
        &["script", "-qec", NAME, "/dev/null"],
        &["busybox", "sh", "-c", NAME],
        &["runuser", "-u", "root", NAME],
        &["su", "-c", NAME],
        &["sg", "root", NAME],
        &["start-stop-daemon", "--start", "--exec", NAME],
        &["linux64", NAME],
        &["setarch", "-R", NAME],
        &["choom", "-n", "0", "--", NAME],
        &["prlimit", "--nofile=64", NAME],
    ];
    bed(|bed| {
        bed.program("/dev/shm/evil/x");
        let run =
            |words: &[&str]| end_of(Command::new(words[0]).args(&words[1..]).current_dir("/dev/shm/evil"));
        let works: Vec<&[&str]> = TOOLS.iter().copied().filter(|tool| run(tool) == Exec::Ran(0)).collect();
        // Not every host has each; a shell, and the tools of coreutils and util-linux, are everywhere.
        assert!(works.len() > 12, "{works:?}");
        let guard = bed.prevent();
        for tool in works {
            let before = guard.attempts().len();
            // How it ends says little: find(1) ends with 0 whatever became of what it started.
            run(tool);
            check(&guard, before, NAME, "");
        }
    });
}

#[test]
fn a_child_born_in_another_control_group() {
    denied(
        "program /dev/shm/evil/x
         unshare m
         mount cgroup2 none /mnt
         wait
         clone3 /dev/shm/evil/x cgroup /mnt",
        NAME,
        NAME,
    );
}
