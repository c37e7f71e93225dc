//! Programs that do what no command does, such as changing the ids of one thread: this test binary, run again.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::mpsc;

use crate::bed::{Exec, end_of};

/// The arguments of the helper, one a line.
const ARGUMENTS: &str = "SHMGUARD_TEST_HELPER";

/// A helper whose exec was denied ends with this status; of one that failed otherwise, with the next.
const DENIED: i32 = 126;

/// Runs a helper, and tells how *its* exec ended.
pub fn helper(arguments: &[&str]) -> Exec {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "helper::entry", "--ignored", "--nocapture", "--test-threads=1"]);
    match end_of(command.env(ARGUMENTS, arguments.join("\n"))) {
        Exec::Ran(DENIED) => Exec::Denied,
        other => other,
    }
}

#[test]
#[ignore = "not a test: the entry of helper programs"]
fn entry() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let arguments: Vec<&str> = arguments.split('\n').collect();
    as_leader();
    match arguments[..] {
        ["ids", real, effective, saved, program] => {
            set_ids([real, effective, saved].map(|id| id.parse().unwrap()));
            execute(program);
        }
        ["confined", program] => {
            shmguard::privileges::give_up().unwrap();
            shmguard::privileges::confine_guard().unwrap();
            execute(program);
        }
        ["thread", program] => {
            let (go, went) = mpsc::channel::<()>();
            let program = program.to_owned();
            let thread = std::thread::spawn(move || {
                went.recv().unwrap();
                execute(&program);
            });
            set_ids([65534; 3]);
            go.send(()).unwrap();
            thread.join().unwrap();
        }
        _ => panic!("no such helper: {arguments:?}"),
    }
}

/// Goes on in a child, whose first thread is this one: the test harness runs tests in threads that are no leaders.
fn as_leader() {
    // SAFETY: the child goes on with this thread alone, and uses nothing that another thread could hold but the
    // allocator, which glibc makes usable after fork.
    #[allow(unsafe_code, reason = "fork without exec")]
    let forked = unsafe { nix::unistd::fork() }.unwrap();
    if let nix::unistd::ForkResult::Parent { child } = forked {
        let status = match nix::sys::wait::waitpid(child, None).unwrap() {
            nix::sys::wait::WaitStatus::Exited(_, status) => status,
            nix::sys::wait::WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
            other => panic!("{other:?}"),
        };
        end(status);
    }
}

fn execute(program: &str) -> ! {
    let error = Command::new(program).exec();
    end(if error.raw_os_error() == Some(libc::EPERM) { DENIED } else { DENIED - 1 });
}

/// Ends without destructors: none of the test harness may run here.
fn end(status: i32) -> ! {
    // SAFETY: ends the process; takes an integer.
    #[allow(unsafe_code, reason = "exit without destructors")]
    unsafe {
        libc::_exit(status)
    }
}

/// setresuid(2) for the calling thread alone, which no libc offers.
fn set_ids(ids: [u32; 3]) {
    // SAFETY: takes three integers.
    #[allow(unsafe_code, reason = "no libc changes one thread's ids")]
    let result = unsafe { libc::syscall(libc::SYS_setresuid, ids[0], ids[1], ids[2]) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
