//! Where a kernel test lies: a mount namespace of its own, a guard in it, programs to be judged, and the records.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// No test on this kernel may take longer: a guard that does not answer would hang it for ever.
const DEADLINE: Duration = Duration::from_secs(90);

/// An unprivileged user, whom the shipped policy allows what it denies root.
pub const NOBODY: u32 = 65534;

/// A test's own mounts and files. Lives in one thread.
pub struct Bed {
    directory: tempfile::TempDir,
}

/// A running guard.
pub struct Guard {
    child: Child,
    directory: PathBuf,
}

/// How an exec ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Exec {
    /// It ran and ended with this status.
    Ran(i32),
    /// execve failed with EPERM.
    Denied,
    /// It failed otherwise.
    Failed(i32),
}

/// Runs `test` in a thread with mounts of its own.
#[track_caller]
pub fn bed(test: impl FnOnce(&Bed) + Send + 'static) {
    bed_within(DEADLINE, test);
}

/// The same, with another deadline.
#[track_caller]
pub fn bed_within(deadline: Duration, test: impl FnOnce(&Bed) + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "kernel tests need root, and CI must not pass them over");
        eprintln!("SKIPPED, NOT PASSED: this test needs root");
        return;
    }
    let (done, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let bed = Bed::new();
        test(&bed);
        done.send(()).unwrap();
    });
    match ended.recv_timeout(deadline) {
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        // The process ends with the failing test; its guards die with it (PR_SET_PDEATHSIG) and let go of what waits.
        Err(mpsc::RecvTimeoutError::Timeout) => {
            eprintln!("the test did not end within {deadline:?}");
            std::process::abort();
        }
    }
}

impl Bed {
    fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        // Only what is the test's own can be written to: a step through a link or a bind must not reach the host's files.
        mount(Some("/tmp"), "/tmp", None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(None::<&str>, "/", None::<&str>, read_only, None::<&str>).unwrap();
        for path in ["/dev/shm", "/run"] {
            // What the host has there would be watched too, hidden as it is: a guard looks under the mounts.
            while umount2(path, MntFlags::MNT_DETACH).is_ok() {}
            tmpfs(path);
        }
        fs::create_dir_all("/run/lock").unwrap();
        let directory = tempfile::Builder::new().prefix("shmguard-test-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    /// A file of the test's own, outside the watched directories.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts a guard in prevention mode and waits until it is ready.
    pub fn prevent(&self) -> Guard {
        self.guard("mode = \"prevent\"\n")
    }

    /// Starts a guard with this configuration, which gets the log, the socket and the other namespaces' fence added, and
    /// waits until it is ready.
    pub fn guard(&self, configuration: &str) -> Guard {
        self.guard_with(configuration, "")
    }

    /// The same, with keys for the `[watch]` section.
    pub fn guard_with(&self, configuration: &str, watch: &str) -> Guard {
        self.ready(&self.configure(configuration, watch))
    }

    /// Starts a guard with the configuration in this file, and waits until it is ready.
    pub fn ready(&self, config: &Path) -> Guard {
        let guard = self.start(config);
        let stderr = self.path("stderr");
        wait_until("the guard is ready", || {
            let told = fs::read_to_string(&stderr).unwrap_or_default();
            assert!(!told.contains("shmguard: "), "the guard did not start: {told}");
            told.lines().any(|line| line == "ready")
        });
        guard
    }

    /// Starts a guard with a parent, and waits until it is ready.
    pub fn supervised(&self, configuration: &str) -> Guard {
        self.supervised_with(&self.configure(configuration, ""))
    }

    /// The same, with the configuration in this file.
    pub fn supervised_with(&self, config: &Path) -> Guard {
        let guard = self.launch(config, &["--supervise"]);
        let stderr = self.path("stderr");
        wait_until("the guard is ready", || {
            fs::read_to_string(&stderr).unwrap_or_default().lines().any(|line| line == "ready")
        });
        guard
    }

    /// Writes a configuration and returns its path.
    pub fn configure(&self, configuration: &str, watch: &str) -> PathBuf {
        let directory = self.directory.path().display();
        // Other tests' namespaces are none of this guard's business, unless the test is about them.
        let containers = if watch.contains("containers") { "" } else { "containers = false\n" };
        let text = format!(
            "{configuration}\n[watch]\n{containers}{watch}\n\
             [log.file]\npath = \"{directory}/events.ndjson\"\n[log.syslog]\nenabled = false\n\
             [log.journal]\nenabled = false\n[log.audit]\nenabled = false\n\
             [control]\nsocket = \"{directory}/control.sock\"\n"
        );
        let path = self.path("shmguard.toml");
        fs::write(&path, text).unwrap();
        path
    }

    /// Starts a guard without waiting.
    pub fn start(&self, config: &Path) -> Guard {
        self.launch(config, &[])
    }

    pub fn launch(&self, config: &Path, flags: &[&str]) -> Guard {
        self.launch_by(&mut Command::new(env!("CARGO_BIN_EXE_shmguard")), config, flags)
    }

    /// The same by a command that becomes the guard.
    pub fn launch_by(&self, command: &mut Command, config: &Path, flags: &[&str]) -> Guard {
        let stderr = File::create(self.path("stderr")).unwrap();
        command
            .env("STATE_DIRECTORY", self.directory.path())
            .arg("run")
            .args(flags)
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        die_with_parent(command);
        Guard { child: command.spawn().unwrap(), directory: self.directory.path().to_path_buf() }
    }

    /// A harmless program at `path`: runs, and ends with status 0.
    pub fn program(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        copy_to_new("/bin/true", path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_path_buf()
    }
}

impl Guard {
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Every record so far.
    pub fn records(&self) -> Vec<Value> {
        records_in(&self.directory.join("events.ndjson"))
    }

    /// The records of attempts.
    pub fn attempts(&self) -> Vec<Value> {
        self.records().into_iter().filter(|record| record["event"]["action"] == "exec").collect()
    }

    /// The one record of an attempt.
    #[track_caller]
    pub fn only_attempt(&self) -> Value {
        let mut attempts = self.attempts();
        assert_eq!(attempts.len(), 1, "{attempts:#?}");
        attempts.remove(0)
    }

    /// What `status --json` says.
    #[track_caller]
    pub fn status(&self) -> Value {
        let (text, _, error) = self.ask(&["status", "--json"]);
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no status: {text} {error}"))
    }

    /// The process that answers the kernel: the guard itself, or the worker of a supervised one.
    pub fn worker(&self) -> Pid {
        let mut worker = None;
        wait_until("the guard says its process id", || {
            let status: Option<Value> = serde_json::from_str(&self.ask(&["status", "--json"]).0).ok();
            worker = status.and_then(|status| i32::try_from(status["pid"].as_i64()?).ok());
            worker.is_some()
        });
        Pid::from_raw(worker.unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// What it said on standard error.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.directory.join("stderr")).unwrap()
    }

    /// The output of another command of the program, its status, and its error output.
    pub fn ask(&self, arguments: &[&str]) -> (String, Option<i32>, String) {
        let socket = self.directory.join("control.sock");
        let output =
            Command::new(env!("CARGO_BIN_EXE_shmguard")).args(arguments).arg("--socket").arg(socket).output();
        let output = output.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), output.status.code(), text(output.stderr))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // In order, so that a parent takes its worker along; then not.
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > Duration::from_secs(2) {
                self.child.kill().unwrap();
            } else {
                kill(self.pid(), Signal::SIGTERM).unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Every record in a file.
pub fn records_in(path: &Path) -> Vec<Value> {
    let mut text = fs::read(path).unwrap_or_default();
    // The line that is being written is not read yet.
    text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("every line is JSON")).collect()
}

/// Copies to a file that is new: a copy through a link or a bind mount would empty the host's own program.
pub fn copy_to_new(from: impl AsRef<Path>, to: &Path) {
    // It need not be there.
    drop(fs::remove_file(to));
    let mut new = File::create_new(to).unwrap();
    std::io::copy(&mut File::open(from.as_ref()).unwrap(), &mut new).unwrap();
}

/// Mounts a fresh tmpfs, with set-id bits and exec.
pub fn tmpfs(at: &str) {
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some("size=64m,mode=1777")).unwrap();
}

/// Executes a program as root.
pub fn exec(path: impl AsRef<Path>) -> Exec {
    end_of(&mut Command::new(path.as_ref()))
}

/// Executes a program as this user.
pub fn exec_as(uid: u32, path: impl AsRef<Path>) -> Exec {
    end_of(Command::new(path.as_ref()).uid(uid).gid(uid))
}

/// Runs a command and tells how its exec ended.
pub fn end_of(command: &mut Command) -> Exec {
    match command.stdin(Stdio::null()).stdout(Stdio::null()).status() {
        Ok(status) => Exec::Ran(status.code().unwrap_or(-1)),
        Err(error)
            if error.kind() == ErrorKind::PermissionDenied && error.raw_os_error() == Some(libc::EPERM) =>
        {
            Exec::Denied
        }
        Err(error) => Exec::Failed(error.raw_os_error().unwrap_or(0)),
    }
}

/// Waits for a condition, at most twenty seconds.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "not within 20 seconds: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Lets a command end with the thread that starts it.
pub fn die_with_parent(command: &mut Command) {
    let set = || nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(Into::into);
    // SAFETY: between fork and exec it makes one prctl(2) call, which is async-signal-safe.
    #[allow(unsafe_code, reason = "a guard must not outlive a test that was killed")]
    unsafe {
        command.pre_exec(set);
    }
}
