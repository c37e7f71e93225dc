//! Programs that do what no command does, such as changing the ids of one thread: this test binary, run again.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

use crate::bed::{Exec, die_with_parent, end_of};
use crate::steps;

/// The arguments of the helper, one a line.
const ARGUMENTS: &str = "SHMGUARD_TEST_HELPER";

/// A helper whose exec was denied ends with this status.
pub const DENIED: i32 = 126;
/// And one whose exec failed otherwise, with this.
pub const FAILED: i32 = 125;

/// Runs a helper, and tells how *its* exec ended.
pub fn helper(arguments: &[&str]) -> Exec {
    exec_of(end_of(&mut command(arguments)))
}

/// Runs a list of steps (see [`steps`]) in a process of its own, and tells how the last one ended.
pub fn play(list: &str) -> Exec {
    helper(&["steps", list])
}

/// A list of steps that is at its `wait`.
pub struct Waiting(Child);

/// Runs a list of steps as far as its `wait`.
#[track_caller]
pub fn play_until_wait(list: &str) -> Waiting {
    let mut command = command(&["steps", list]);
    die_with_parent(&mut command);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let told = lines.map_while(Result::ok).any(|line| line == "@ready");
    assert!(told, "the steps before `wait` failed: {list}");
    Waiting(child)
}

impl Waiting {
    /// Its process, which is the first one's parent where it forked.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Goes on to the end.
    pub fn go_on(mut self) -> Exec {
        self.0.stdin.take().unwrap().write_all(b"x").unwrap();
        exec_of(Exec::Ran(self.0.wait().unwrap().code().unwrap_or(-1)))
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "helper::entry", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(ARGUMENTS, arguments.join("\n"));
    command
}

fn exec_of(end: Exec) -> Exec {
    match end {
        Exec::Ran(DENIED) => Exec::Denied,
        Exec::Ran(FAILED) => Exec::Failed(0),
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
        ["steps", ref list @ ..] => {
            steps::play(list);
            panic!("the last step executes");
        }
        _ => panic!("no such helper: {arguments:?}"),
    }
}

/// Goes on in a child, whose first thread is this one: the test harness runs tests in threads that are no leaders.
fn as_leader() {
    if let Some(child) = fork() {
        end(relay(child));
    }
    // What panics in the child must not come back into the test harness, which is the parent's.
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        default(panic);
        end(101);
    }));
}

/// The child, in the parent. The child goes on with the calling thread alone.
pub fn fork() -> Option<Pid> {
    // SAFETY: the child uses nothing that another thread could hold but the allocator, which glibc makes usable
    // after fork.
    #[allow(unsafe_code, reason = "fork without exec")]
    match unsafe { nix::unistd::fork() }.unwrap() {
        ForkResult::Parent { child } => Some(child),
        ForkResult::Child => None,
    }
}

/// Waits for a child and returns its status.
pub fn relay(child: Pid) -> i32 {
    match waitpid(child, None).unwrap() {
        WaitStatus::Exited(_, status) => status,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        other => panic!("{other:?}"),
    }
}

fn execute(program: &str) -> ! {
    let error = Command::new(program).exec();
    end(if error.raw_os_error() == Some(libc::EPERM) { DENIED } else { FAILED });
}

/// Ends without destructors: none of the test harness may run here.
pub fn end(status: i32) -> ! {
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
