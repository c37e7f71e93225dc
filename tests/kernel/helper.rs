//! Programs that do what no command does, such as changing the ids of one thread: this test binary, run again.

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
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

/// Takes a list of steps with a `wait`, at whose end a program must run.
#[track_caller]
pub fn goes_on(list: &str) {
    assert_eq!(play_until_wait(list).go_on(), Exec::Ran(0), "{list}");
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

/// A helper that goes on in the background, with its children in a process group of their own.
pub struct Crowd(Child);

/// Starts a process whose `threads` each execute `program` `count` times, as fast as they can. It ends as [`Exec::Denied`]
/// where each execve failed with EPERM, and as [`Exec::Ran`] as soon as one succeeds.
pub fn crowd(threads: usize, count: usize, program: &Path) -> Crowd {
    background(&["storm", &threads.to_string(), &count.to_string(), program.to_str().unwrap()])
}

/// The same as another user.
pub fn crowd_as(uid: u32, threads: usize, count: usize, program: &Path) -> Crowd {
    let [uid, threads, count] = [uid.to_string(), threads.to_string(), count.to_string()];
    background(&["storm-as", &uid, &threads, &count, program.to_str().unwrap()])
}

/// Starts a process that executes `program` and forks two more that do, and so on, 2^generations - 1 in all.
pub fn fork_bomb(generations: u32, program: &Path) -> Crowd {
    background(&["bomb", &generations.to_string(), program.to_str().unwrap()])
}

/// Starts a process that executes `program` with an argument in memory which nobody ever fills.
pub fn bottomless(program: &Path) -> Crowd {
    background(&["bottomless", program.to_str().unwrap()])
}

/// A helper that says how its exec ended, and may not be able to end then: it holds a file that never comes.
pub struct Stuck(Child);

/// Starts `what` with this file, which executes `program`.
pub fn stuck(what: &[&str], file: &Path, program: &Path) -> Stuck {
    let mut command = command(&[what, &[file.to_str().unwrap(), program.to_str().unwrap()]].concat());
    die_with_parent(&mut command);
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
    Stuck(command.spawn().unwrap())
}

impl Stuck {
    /// How its exec ended.
    pub fn told(&mut self) -> Exec {
        let lines = BufReader::new(self.0.stdout.as_mut().unwrap()).lines();
        match lines.map_while(Result::ok).find(|line| line.contains('@')).as_deref() {
            Some(line) if line.ends_with("@denied") => Exec::Denied,
            _ => Exec::Failed(0),
        }
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        // Not waited for: it ends when what holds it up does.
        killpg(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), Signal::SIGKILL).unwrap_or_default();
    }
}

fn background(arguments: &[&str]) -> Crowd {
    let mut command = command(arguments);
    die_with_parent(&mut command);
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
    Crowd(command.spawn().unwrap())
}

impl Crowd {
    /// Sends a signal to all of them.
    pub fn signal(&self, signal: Signal) {
        killpg(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }

    /// How many of its threads wait for an answer. None where it has ended.
    pub fn waiting(&self) -> usize {
        self.members()
            .flat_map(|process| tasks(process).into_iter())
            .filter(|task| state(task) == Some('D'))
            .count()
    }

    /// The processes below the helper's own.
    fn members(&self) -> impl Iterator<Item = u32> {
        let children = tasks(self.0.id()).into_iter();
        let children = children.map(|task| fs::read_to_string(task.join("children")).unwrap_or_default());
        children.flat_map(|text| text.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<_>>())
    }

    /// How it ended.
    pub fn end(mut self) -> Exec {
        exec_of(Exec::Ran(self.0.wait().unwrap().code().unwrap_or(-1)))
    }
}

fn tasks(process: u32) -> Vec<PathBuf> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    tasks.filter_map(|task| Some(task.ok()?.path())).collect()
}

fn state(task: &Path) -> Option<char> {
    fs::read_to_string(task.join("stat")).ok()?.rsplit_once(") ")?.1.chars().next()
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
        ["storm", threads, count, program] => {
            storm(threads.parse().unwrap(), count.parse().unwrap(), program);
        }
        ["storm-as", uid, threads, count, program] => {
            let uid = nix::unistd::Uid::from_raw(uid.parse().unwrap());
            nix::unistd::setresuid(uid, uid, uid).unwrap();
            storm(threads.parse().unwrap(), count.parse().unwrap(), program);
        }
        ["bomb", generations, program] => bomb(generations.parse().unwrap(), program),
        ["bottomless", program] => {
            let page = bottomless_page();
            let program = CString::new(program).unwrap();
            let arguments = [program.as_ptr(), page, std::ptr::null()];
            execv(&program, &arguments);
            end(if last_error() == libc::EPERM { DENIED } else { FAILED });
        }
        ["fuse-page", file, program] => {
            let page = mapped(&File::open(file).unwrap());
            tell_end(program, page.cast_const().cast());
        }
        ["locked-memory", file, program] => {
            lock_memory(file);
            tell_end(program, std::ptr::null());
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

/// Ends as denied where each of the execs was.
fn storm(threads: usize, count: usize, program: &str) -> ! {
    let program = CString::new(program).unwrap();
    let turn = || {
        let arguments = [program.as_ptr(), std::ptr::null()];
        for _ in 0..count {
            execv(&program, &arguments);
            if last_error() != libc::EPERM {
                end(FAILED);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let thread = std::thread::Builder::new().stack_size(64 << 10).spawn_scoped(scope, turn);
            if let Err(error) = thread {
                // Those that wait already must not be waited for.
                eprintln!("no more threads: {error}");
                end(FAILED);
            }
        }
    });
    end(DENIED)
}

/// Executes, and forks two that do the same. Ends as denied where each of them was.
fn bomb(generations: u32, program: &str) -> ! {
    let name = CString::new(program).unwrap();
    let children: Vec<Pid> = (0..if generations > 1 { 2 } else { 0 })
        .map(|_| match fork() {
            Some(child) => child,
            None => bomb(generations - 1, program),
        })
        .collect();
    execv(&name, &[name.as_ptr(), std::ptr::null()]);
    let denied = last_error() == libc::EPERM;
    let ends: Vec<i32> = children.into_iter().map(relay).collect();
    end(if denied && ends.iter().all(|end| *end == DENIED) { DENIED } else { FAILED })
}

/// execv(3); returns where it failed.
fn execv(program: &CStr, arguments: &[*const libc::c_char]) {
    assert_eq!(arguments.last().map(|last| last.is_null()), Some(true));
    // SAFETY: both point to memory that lives until the call returns, and the list ends with a null pointer.
    #[allow(unsafe_code, reason = "no command executes again and again in one process")]
    unsafe {
        libc::execv(program.as_ptr(), arguments.as_ptr());
    }
}

fn last_error() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap()
}

/// A page whose readers wait for ever (userfaultfd(2)).
fn bottomless_page() -> *const libc::c_char {
    const PAGE: u64 = 4096;
    // SAFETY: takes integers.
    #[allow(unsafe_code, reason = "userfaultfd has no binding")]
    let descriptor = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) };
    let descriptor = i32::try_from(descriptor).unwrap();
    assert!(descriptor >= 0, "{}", std::io::Error::last_os_error());
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: without MAP_FIXED it replaces no memory.
    #[allow(unsafe_code, reason = "a page of its own")]
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, flags, -1, 0) };
    // struct uffdio_api and struct uffdio_register.
    let mut api = [0xAA_u64, 0, 0];
    let mut register = [u64::try_from(page.addr()).unwrap(), PAGE, 1, 0];
    let request = libc::_IOWR::<[u64; 3]>(0xAA, 0x3F);
    // SAFETY: the request's size is that of `api`.
    #[allow(unsafe_code, reason = "userfaultfd has no binding")]
    let opened = unsafe { libc::ioctl(descriptor, request, api.as_mut_ptr()) };
    let request = libc::_IOWR::<[u64; 4]>(0xAA, 0x00);
    // SAFETY: the request's size is that of `register`; the range is the page that was just mapped.
    #[allow(unsafe_code, reason = "userfaultfd has no binding")]
    let registered = unsafe { libc::ioctl(descriptor, request, register.as_mut_ptr()) };
    assert_eq!((opened, registered), (0, 0), "{}", std::io::Error::last_os_error());
    page.cast_const().cast()
}

/// A page of a file.
fn mapped(file: &File) -> *mut u8 {
    // SAFETY: without MAP_FIXED it replaces no memory; nobody reads it who is not to wait.
    #[allow(unsafe_code, reason = "memory of a file")]
    let page = unsafe {
        libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0)
    };
    assert_ne!(page, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    page.cast()
}

/// Has one thread wait for a page of the file, and another one, with the lock of this process's memory held, for the
/// first: mapping a file that is read past the page cache waits for pages that are on their way (fuse_file_mmap).
fn lock_memory(file: &str) {
    let file = Arc::new(File::open(file).unwrap());
    let same = Arc::clone(&file);
    let threads = [
        std::thread::spawn(move || {
            let page = mapped(&file);
            // SAFETY: the page is mapped for as long as this process lives.
            #[allow(unsafe_code, reason = "this read is what waits")]
            let byte = unsafe { page.read_volatile() };
            panic!("it came: {byte}");
        }),
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            let page = mapped(&same);
            panic!("it is mapped: {page:?}");
        }),
    ];
    std::thread::sleep(Duration::from_millis(600));
    assert!(threads.iter().all(|thread| !thread.is_finished()));
}

/// Executes `program` with one argument, and says on standard output how that ended. Allocates nothing: the memory may be
/// locked.
fn tell_end(program: &str, argument: *const libc::c_char) -> ! {
    let mut path = [0; 64];
    path[..program.len()].copy_from_slice(program.as_bytes());
    let program = CStr::from_bytes_until_nul(&path).unwrap();
    execv(program, &[program.as_ptr(), argument, std::ptr::null()]);
    let told: &[u8] = if last_error() == libc::EPERM { b"\n@denied\n" } else { b"\n@failed\n" };
    nix::unistd::write(std::io::stdout(), told).unwrap();
    end(0)
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
