//! What an answer costs in system calls, counted and held against the list in docs/performance.md.
//!
//! The reader is traced (ptrace(2)) while programs are executed. Nothing is timed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::bed::{Exec, bed, exec, exec_as};

/// System calls by name, each with how often.
type Counts = BTreeMap<String, u64>;

/// How many execs are looked at.
const EXECS: usize = 20;

#[test]
#[cfg_attr(
    not(target_arch = "x86_64"),
    ignore = "the number of a traced system call is read from x86-64 registers"
)]
fn an_essential_answer_makes_the_system_calls_that_are_documented_and_no_others() {
    bed(|bed| {
        let program = bed.program("/dev/shm/x");
        let guard = bed.guard("mode = \"prevent\"\n[evidence]\nlevel = \"essential\"\n");
        let reader = thread_named(guard.pid(), "reader");
        let documented = Documented::read();
        let denied = || assert_eq!(exec(&program), Exec::Denied);
        let allowed = || assert_eq!(exec_as(65534, &program), Exec::Ran(0));
        // What is made once is made now.
        denied();
        allowed();
        documented.compare("denied", &documented.denied, &attempts(reader, denied));
        documented.compare("allowed", &documented.allowed, &attempts(reader, allowed));
    });
}

/// What docs/performance.md says.
struct Documented {
    denied: Counts,
    allowed: Counts,
    /// Not made for each answer.
    seldom: Vec<String>,
}

impl Documented {
    fn read() -> Self {
        let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
        let text = fs::read_to_string(text).unwrap();
        let rows = |heading: &str| -> Vec<Vec<String>> {
            let (_, rest) =
                text.split_once(heading).unwrap_or_else(|| panic!("docs/performance.md: no {heading:?}"));
            let section = rest.split("\n##").next().unwrap();
            let rows = section.lines().filter(|line| line.starts_with("| `"));
            rows.map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect())
                .collect()
        };
        let column = |column: usize| {
            let of_answer = rows("\n## The system calls of an answer\n");
            of_answer.iter().map(|row| (row[1].clone(), row[column].parse().unwrap())).collect()
        };
        let seldom = rows("\n### Now and then\n").iter().map(|row| row[1].clone()).collect();
        Self { denied: column(2), allowed: column(3), seldom }
    }

    fn compare(&self, what: &str, documented: &Counts, attempts: &[Counts]) {
        assert!(!documented.is_empty());
        // Twice a second is not each time, however slowly these attempts followed each other.
        let asked = attempts.iter().filter(|attempt| attempt.contains_key("statmount")).count();
        assert!(asked < attempts.len() / 2, "{what}: statmount in {asked} of {}", attempts.len());
        let mut most = Counts::new();
        for attempt in attempts {
            for (call, count) in attempt {
                let listed = documented.get(call).copied().unwrap_or(0);
                let more = u64::from(self.seldom.contains(call));
                assert!(
                    *count <= listed + more,
                    "{what}: {count} x {call}, documented: {listed}\n{attempt:?}"
                );
                let most = most.entry(call.clone()).or_default();
                *most = (*most).max(*count);
            }
        }
        for (call, count) in documented.iter().filter(|(_, count)| **count > 0) {
            assert!(
                most.get(call).is_some_and(|seen| seen >= count),
                "{what}: {call} is never made {count} x: {most:?}"
            );
        }
    }
}

/// What the thread calls for each of some execs.
fn attempts(reader: Pid, call: impl Fn()) -> Vec<Counts> {
    let traced = Traced::start(reader);
    for _ in 0..EXECS {
        call();
    }
    let calls = traced.end();
    // Each attempt begins with the read that brings it. The first one was asleep in its read when it began to be traced.
    let mut attempts: Vec<Counts> = Vec::new();
    for call in calls {
        if call == "read" || attempts.is_empty() {
            attempts.push(Counts::new());
        }
        *attempts.last_mut().unwrap().entry(call).or_default() += 1;
    }
    // The last read brings nothing.
    attempts.retain(|attempt| attempt.contains_key("write"));
    assert_eq!(attempts.len(), EXECS, "{attempts:?}");
    attempts
}

/// A thread under trace.
struct Traced {
    end: Arc<AtomicBool>,
    tracer: JoinHandle<Vec<String>>,
}

impl Traced {
    /// Begins to trace; what is called from now on is seen.
    fn start(thread: Pid) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&end);
        let (ready, is_ready) = std::sync::mpsc::channel();
        // Only the thread that traces may ask, and it must not be the one that waits for an exec.
        let tracer = thread::spawn(move || {
            ptrace::seize(thread, Options::PTRACE_O_TRACESYSGOOD).unwrap();
            ptrace::interrupt(thread).unwrap();
            waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
            ptrace::syscall(thread, None).unwrap();
            ready.send(()).unwrap();
            follow(thread, &told)
        });
        is_ready.recv().unwrap();
        Self { end, tracer }
    }

    /// What was called, in order.
    fn end(self) -> Vec<String> {
        // The last answer is followed by the closing of its file.
        thread::sleep(Duration::from_millis(100));
        self.end.store(true, Ordering::Relaxed);
        self.tracer.join().unwrap()
    }
}

fn follow(thread: Pid, end: &AtomicBool) -> Vec<String> {
    let mut calls = Vec::new();
    let flags = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
    while !end.load(Ordering::Relaxed) {
        match waitpid(thread, Some(flags)).unwrap() {
            WaitStatus::StillAlive => {
                thread::sleep(Duration::from_micros(50));
                continue;
            }
            WaitStatus::PtraceSyscall(_) => {
                if ptrace::syscall_info(thread).unwrap().op == libc::PTRACE_SYSCALL_INFO_ENTRY {
                    calls.push(called(thread));
                }
                // A debug build of the standard library looks at each descriptor before it closes it.
                if cfg!(debug_assertions) && calls.last().is_some_and(|call| call == "fcntl") {
                    calls.pop();
                }
            }
            WaitStatus::PtraceEvent(..) => {}
            other => panic!("{other:?}"),
        }
        ptrace::syscall(thread, None::<Signal>).unwrap();
    }
    ptrace::interrupt(thread).unwrap();
    waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
    ptrace::detach(thread, None).unwrap();
    calls
}

#[cfg(target_arch = "x86_64")]
fn called(thread: Pid) -> String {
    let number = i64::try_from(ptrace::getregs(thread).unwrap().orig_rax).unwrap();
    let names = [
        (libc::SYS_read, "read"),
        (libc::SYS_write, "write"),
        (libc::SYS_close, "close"),
        (libc::SYS_poll, "poll"),
        (libc::SYS_ioctl, "ioctl"),
        (libc::SYS_fcntl, "fcntl"),
        (libc::SYS_capget, "capget"),
        (libc::SYS_fgetxattr, "fgetxattr"),
        (libc::SYS_fstatfs, "fstatfs"),
        (libc::SYS_pread64, "pread64"),
        (libc::SYS_readlinkat, "readlinkat"),
        (libc::SYS_statx, "statx"),
        (libc::SYS_pidfd_open, "pidfd_open"),
        (libc::SYS_sched_setscheduler, "sched_setscheduler"),
        (libc::SYS_futex, "futex"),
        (457, "statmount"),
    ];
    let name = names.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
    name.map_or_else(|| format!("system call {number}"), str::to_owned)
}

#[cfg(not(target_arch = "x86_64"))]
fn called(_thread: Pid) -> String {
    unreachable!("not run on this architecture")
}

fn thread_named(process: Pid, name: &str) -> Pid {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let found = tasks
        .map(Result::unwrap)
        .find(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name));
    Pid::from_raw(found.expect("the thread").file_name().to_str().unwrap().parse().unwrap())
}
