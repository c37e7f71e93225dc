//! Callers that truly wait in an exec, on a tmpfs of the test's own.

use super::*;
use crate::event::{Arguments, Trust};
use crate::sys::{fanotify, testing};
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

/// A group that sees every exec on one tmpfs. Whatever waits when it is dropped goes on.
struct Guard(OwnedFd);

impl Guard {
    fn of(filesystem: &Path) -> Self {
        let flags = fanotify::FAN_CLASS_CONTENT
            | fanotify::FAN_CLOEXEC
            | fanotify::FAN_NONBLOCK
            | fanotify::FAN_REPORT_TID;
        let group = fanotify::init(flags).unwrap();
        let mark = fanotify::FAN_MARK_ADD | fanotify::FAN_MARK_FILESYSTEM;
        fanotify::mark(group.as_fd(), mark, fanotify::FAN_OPEN_EXEC_PERM, filesystem).unwrap();
        Self(group)
    }

    fn next(&self) -> (i32, File) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(event) = fanotify::read(self.0.as_fd()).unwrap() {
                return (event.thread, File::from(event.file.unwrap()));
            }
            assert!(Instant::now() < deadline, "nobody executes anything");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn deny(&self, file: &File) {
        use std::os::fd::AsRawFd;
        fanotify::respond(self.0.as_fd(), file.as_raw_fd(), fanotify::FAN_DENY).unwrap();
    }
}

fn look(identifier: &mut Identifier, (thread, file): &(i32, File), groups: Groups, patience: u64) -> Attempt {
    let mut attempt = Attempt::default();
    identifier.essential(*thread, file.as_fd(), &Scope::default(), &mut attempt);
    identifier.fetch(groups, file.as_fd(), &mut attempt, Instant::now() + Duration::from_millis(patience));
    attempt
}

fn pointers(texts: &[CString]) -> Vec<usize> {
    texts.iter().map(|text| text.as_ptr().addr()).chain([0]).collect()
}

fn c(text: &[u8]) -> CString {
    CString::new(text).unwrap()
}

/// The arguments that are seen of an exec by `call`, with and without the environment.
fn seen(guard: &Guard, environment: bool, call: impl FnOnce() -> i32 + Send + 'static) -> (i32, Attempt) {
    let caller = std::thread::spawn(move || (nix::unistd::gettid().as_raw(), call()));
    let event = guard.next();
    let mut identifier = Identifier::new().unwrap();
    identifier.read_environment(environment);
    let attempt = look(&mut identifier, &event, Groups::ARGUMENTS, 20_000);
    guard.deny(&event.1);
    let (thread, errno) = caller.join().unwrap();
    assert_eq!((thread, errno), (event.0, libc::EPERM));
    (thread, attempt)
}

#[test]
fn the_arguments_are_read_from_the_waiting_thread() {
    in_own_namespace("arguments", |dir| {
        let path = c(&bytes(program(&dir.join("x"))));
        let guard = Guard::of(dir);
        for environment in [false, true] {
            let typed = path.clone();
            let (thread, attempt) = seen(&guard, environment, move || {
                let arguments = [b"x".as_slice(), b"--init", b"\xFF a\n", b""].map(c);
                let environment = [b"A=1".as_slice(), b"LD_PRELOAD=y"].map(c);
                let (arguments, environment) = (pointers(&arguments), pointers(&environment));
                let error = testing::execve(&typed, arguments.as_ptr().addr(), environment.as_ptr().addr());
                error.raw_os_error().unwrap()
            });
            assert_eq!(attempt.subject.thread, Fact::Known(Pid(thread)));
            assert_eq!(attempt.object.inner, Fact::Known(b"/x".to_vec()));
            let list: &[&[u8]] = if environment { &[b"A=1", b"LD_PRELOAD=y"] } else { &[] };
            let expected = Arguments {
                args: [b"x".as_slice(), b"--init", b"\xFF a\n", b""].into_iter().collect(),
                environment: list.iter().collect(),
                typed: path.as_bytes().to_vec(),
                trust: Trust::Shared,
                truncated: false,
            };
            assert_eq!(attempt.subject.arguments, Fact::Known(expected));
        }
    });
}

#[test]
fn an_exec_of_a_descriptor_or_without_arguments_is_read_too() {
    in_own_namespace("execveat", |dir| {
        let path = program(&dir.join("x"));
        let guard = Guard::of(dir);
        let file = File::open(&path).unwrap();
        let (_, attempt) = seen(&guard, false, move || {
            let arguments = [c(b"one")];
            let arguments = pointers(&arguments);
            testing::execveat(file.as_fd(), arguments.as_ptr().addr()).raw_os_error().unwrap()
        });
        let arguments = attempt.subject.arguments.known().unwrap();
        assert_eq!(arguments.args.first(), Some(b"one".as_slice()));
        assert!(arguments.typed.is_empty());

        let path = c(&bytes(path));
        let (_, attempt) = seen(&guard, true, move || testing::execve(&path, 0, 0).raw_os_error().unwrap());
        let arguments = attempt.subject.arguments.known().unwrap();
        assert!(arguments.args.is_empty() && arguments.environment.is_empty() && !arguments.truncated);
    });
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_32_bit_call_has_32_bit_pointers() {
    in_own_namespace("a 32-bit call", |dir| {
        let path = bytes(program(&dir.join("x")));
        let guard = Guard::of(dir);
        let (_, attempt) = seen(&guard, true, move || {
            let page = testing::LowPage::new();
            let name = page.write(0, &path);
            let (one, two) = (page.write(1000, b"one\0"), page.write(1100, b"two\0"));
            let list = |offset, texts: &[u32]| {
                let bytes: Vec<u8> = texts.iter().chain(&[0]).flat_map(|text| text.to_ne_bytes()).collect();
                page.write(offset, &bytes)
            };
            let (arguments, environment) = (list(2000, &[one, two]), list(2100, &[two]));
            -testing::execve_32(name, arguments, environment)
        });
        let arguments = attempt.subject.arguments.known().unwrap();
        assert_eq!(arguments.args.iter().collect::<Vec<_>>(), [b"one".as_slice(), b"two"]);
        assert_eq!(arguments.environment.iter().collect::<Vec<_>>(), [b"two".as_slice()]);
        assert_eq!(arguments.typed, bytes(dir.join("x")));
    });
}

#[test]
fn more_than_is_read_is_said_to_be_cut() {
    in_own_namespace("many arguments", |dir| {
        let path = c(&bytes(program(&dir.join("x"))));
        let guard = Guard::of(dir);
        for (count, length, read) in [(5000, 1, 4096), (3, 100_000, 2)] {
            let path = path.clone();
            let (_, attempt) = seen(&guard, false, move || {
                let arguments = vec![c(&vec![b'a'; length]); count];
                let arguments = pointers(&arguments);
                testing::execve(&path, arguments.as_ptr().addr(), 0).raw_os_error().unwrap()
            });
            let arguments = attempt.subject.arguments.known().unwrap();
            assert!(arguments.truncated);
            assert_eq!(arguments.args.len(), read);
        }
    });
}

/// Memory that its owner never fills would hold whoever reads it for ever.
#[test]
fn memory_that_blocks_makes_the_arguments_late_and_nothing_else() {
    in_own_namespace("memory that blocks", |dir| {
        let path = c(&bytes(program(&dir.join("x"))));
        let guard = Guard::of(dir);
        let pages: Vec<_> = (0..aside::LIMIT + 2).map(|_| testing::Bottomless::new().unwrap()).collect();
        let mut identifier = Identifier::new().unwrap();
        for (round, page) in pages.iter().enumerate() {
            let (path, address) = (path.clone(), page.address);
            let caller = std::thread::spawn(move || testing::execve(&path, address, 0));
            let event = guard.next();
            let before = Instant::now();
            let attempt = look(&mut identifier, &event, Groups::ALL, 700);
            assert!(before.elapsed() < Duration::from_secs(5));
            assert_eq!(attempt.subject.arguments, Fact::Unknown(Cause::Late));
            assert!(attempt.subject.directory.known().is_some() && attempt.subject.user.known().is_some());
            // As long as there is a thread that does not hang.
            if round + 1 < aside::LIMIT {
                assert!(attempt.object.sha256.known().is_some(), "{round} {:?}", attempt.object.sha256);
            }
            guard.deny(&event.1);
            assert_eq!(caller.join().unwrap().raw_os_error(), Some(libc::EPERM));
        }
        drop(pages);
        let (_, attempt) = seen(&guard, false, move || testing::execve(&path, 0, 0).raw_os_error().unwrap());
        assert!(attempt.subject.arguments.known().is_some());
    });
}

/// A shell that executes its first argument when it is told to.
struct Shell(Child);

impl Shell {
    fn about_to_execute(path: &Path) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test may start programs")]
        let mut command = Command::new("/bin/sh");
        let script = "read line; exec \"$0\" --init 'a b'";
        Self(
            command
                .args(["-c", script])
                .arg(path)
                .stdin(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }

    fn go(&mut self) {
        use std::io::Write;
        self.0.stdin.take().unwrap().write_all(b"\n").unwrap();
    }
}

#[test]
fn a_process_of_one_thread_is_believed_more_and_its_old_image_is_told() {
    in_own_namespace("one thread", |dir| {
        let path = program(&dir.join("x"));
        // Before the group: nobody who holds it may start a program.
        let mut shell = Shell::about_to_execute(&path);
        let guard = Guard::of(dir);
        shell.go();
        let event = guard.next();
        assert_eq!(event.0, i32::try_from(shell.0.id()).unwrap());
        let attempt = look(&mut Identifier::new().unwrap(), &event, Groups::ALL, 20_000);
        let arguments = attempt.subject.arguments.known().unwrap();
        assert_eq!(arguments.trust, Trust::SingleThreaded);
        assert_eq!(arguments.typed, bytes(&path));
        let list: Vec<_> = arguments.args.iter().skip(1).collect();
        assert_eq!(list, [b"--init".as_slice(), b"a b"]);
        let previous = attempt.subject.previous.known().unwrap();
        let shell_itself = bytes(Path::new("/bin/sh").canonicalize().unwrap());
        assert_eq!(previous.executable, Fact::Known(shell_itself));
        assert_eq!(previous.args.known().unwrap().first(), Some(b"/bin/sh".as_slice()));
        assert!(!format!("{attempt:?}").contains("Unread"), "{attempt:?}");
        guard.deny(&event.1);
        shell.0.wait().unwrap();
    });
}

#[test]
fn a_caller_that_is_killed_while_we_look_is_gone() {
    in_own_namespace("a killed caller", |dir| {
        let path = program(&dir.join("x"));
        let mut shell = Shell::about_to_execute(&path);
        let guard = Guard::of(dir);
        shell.go();
        let (thread, file) = guard.next();
        let mut identifier = Identifier::new().unwrap();
        let mut attempt = Attempt::default();
        identifier.essential(thread, file.as_fd(), &Scope::default(), &mut attempt);
        assert!(attempt.subject.credentials.known().is_some());
        shell.0.kill().unwrap();
        shell.0.wait().unwrap();
        identifier.fetch(Groups::ALL, file.as_fd(), &mut attempt, Instant::now() + Duration::from_secs(20));
        assert_eq!(attempt.subject.parent, Fact::Unknown(Cause::Gone));
        assert_eq!(attempt.subject.arguments, Fact::Unknown(Cause::Gone));
        assert_eq!(attempt.subject.gains_privilege, Fact::Unknown(Cause::Gone));
        // What was known before stays.
        assert!(attempt.subject.credentials.known().is_some());
    });
}
