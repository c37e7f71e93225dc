//! Where the drill plays: a mount namespace with fresh tmpfs, a guard in it, and the guard's records.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, mkdtemp};
use serde_json::Value;

use super::ground::stand_in;
use super::sequences::{End, Exec, Sequence, Step, tally};
use super::ways::{self, Way};
use super::{PLACE, WAY};
use crate::cli::exit;

/// The drill's own mounts, and its guard.
#[derive(Debug)]
pub(super) struct Stage {
    directory: PathBuf,
    guard: Child,
    stand_in: PathBuf,
    /// How much of the records was read.
    read: u64,
}

/// Why the drill could not be played.
#[derive(Debug)]
pub(super) enum StageError {
    /// A namespace or a mount was refused.
    Namespace(&'static str, Errno),
    /// A file of the drill's own.
    File(PathBuf, io::Error),
    /// No harmless program was found.
    NoStandIn,
    /// The guard did not start; its exit status and what it said.
    Guard(Option<u8>, String),
}

/// How long the guard may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// After this the guard is killed, so that an exec it never answers does not hang the drill.
const LONGEST: Duration = Duration::from_secs(120);

impl Stage {
    pub(super) fn new() -> Result<Self, StageError> {
        let of = |what| move |errno| StageError::Namespace(what, errno);
        unshare(CloneFlags::CLONE_NEWNS).map_err(of("a mount namespace of its own"))?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .map_err(of("private mounts"))?;
        let stand_in = stand_in().ok_or(StageError::NoStandIn)?;
        let directory = mkdtemp(&std::env::temp_dir().join("shmguard-drill-XXXXXX"))
            .map_err(of("a directory for the records"))?;
        for (path, mode) in [("/dev/shm", "mode=1777"), ("/run", "mode=755")] {
            make_directory(Path::new(path))?;
            // What the host has there would be watched by the drill's guard too, hidden as it is: its programs would
            // be denied.
            detach_all(path).map_err(of("none of the host's mounts"))?;
            mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some(mode))
                .map_err(of("a tmpfs of its own"))?;
        }
        for path in ["/run/lock", "/run/shmguard"] {
            make_directory(Path::new(path))?;
        }
        // Hosts without the usual links get them on the drill's own tmpfs only; /var's are the host's.
        if let Err(error) = std::os::unix::fs::symlink("/dev/shm", "/run/shm")
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(StageError::File("/run/shm".into(), error));
        }
        let guard = start_guard(&directory)?;
        let mut stage = Self { directory, guard, stand_in, read: 0 };
        stage.wait_until_ready()?;
        Ok(stage)
    }

    /// Plays one sequence and tells what came of its execs.
    pub(super) fn play(&mut self, sequence: &Sequence) -> Result<Vec<String>, StageError> {
        let mut seen = Vec::new();
        for step in sequence.steps {
            match step {
                Step::Remove(path) => remove(Path::new(path))?,
                Step::Touch(path) => write(Path::new(path), b"")?,
                Step::Directory(path) => make_directory(Path::new(path))?,
                Step::Read(path) => {
                    drop(fs::read(path).map_err(|error| StageError::File(path.into(), error))?)
                }
                Step::Drop(path, mode) => self.drop_stand_in(Path::new(path), *mode)?,
                Step::Exec(exec) => {
                    for _ in 0..exec.times {
                        seen.push(self.execute(exec)?);
                    }
                }
            }
        }
        Ok(seen.into_iter().fold(Vec::new(), tally))
    }

    /// Takes one way, in a process of its own, and tells what came of its exec; `None` and the reason where this kernel or
    /// host lacks something that the way needs.
    pub(super) fn take(&mut self, way: &Way) -> Result<Result<String, String>, StageError> {
        let (place, this) = (self.directory.join("place"), Path::new("/proc/self/exe"));
        for used in [Path::new("/dev/shm/drill"), &place] {
            match fs::remove_dir_all(used) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StageError::File(used.to_path_buf(), error));
                }
                Ok(()) | Err(_) => make_directory(used)?,
            }
        }
        let mut command = command(this);
        command.arg("drill").env(WAY, way.name).env(PLACE, &place).stdin(Stdio::null());
        let ended = command.output().map_err(|error| StageError::File(this.to_path_buf(), error))?;
        // A tmpfs of its own, where it made one.
        let _detached = umount2(&place.join("elsewhere"), MntFlags::MNT_DETACH);
        let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
        let status = ended.status.code().and_then(|code| u8::try_from(code).ok());
        let recorded = self.new_records()?.iter().any(|record| says(record, way.record, way.end));
        let ended = match (way.end, status) {
            (_, Some(ways::UNAVAILABLE)) => return Ok(Err(said)),
            (End::Denied, Some(ways::DENIED)) | (End::Allowed | End::Excepted, Some(ways::RAN)) => true,
            (End::Denied, Some(ways::RAN)) | (End::Allowed | End::Excepted, Some(ways::DENIED)) => false,
            (End::Denied | End::Allowed | End::Excepted, _) => {
                return Ok(Ok(format!("NOT ANSWERED: {said}")));
            }
        };
        Ok(Ok(way.end.words(ended, recorded)))
    }

    /// Ends the guard. Removes the records, or returns their path.
    pub(super) fn end(mut self, keep: bool) -> Result<Option<PathBuf>, StageError> {
        signal(&self.guard, Signal::SIGTERM);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && matches!(self.guard.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if keep {
            return Ok(Some(self.directory.join(RECORDS)));
        }
        fs::remove_dir_all(&self.directory)
            .map_err(|error| StageError::File(self.directory.clone(), error))?;
        Ok(None)
    }

    fn drop_stand_in(&self, path: &Path, mode: u32) -> Result<(), StageError> {
        let of = |error| StageError::File(path.to_path_buf(), error);
        // A new file: a copy through a link or a bind mount would overwrite what lies behind it.
        remove(path)?;
        let mut new = File::create_new(path).map_err(of)?;
        io::copy(&mut File::open(&self.stand_in).map_err(of)?, &mut new).map_err(of)?;
        drop(new);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(of)
    }

    /// Executes, and compares how it ended with how it should and with what was recorded.
    fn execute(&mut self, exec: &Exec) -> Result<String, StageError> {
        let mut command = command(exec.program);
        command.args(exec.arguments).current_dir(exec.directory).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null()).uid(exec.user).gid(exec.user);
        let status = command.status();
        let ended = match (exec.end, &status) {
            (End::Denied, Err(error)) => error.raw_os_error() == Some(libc::EPERM),
            (End::Allowed | End::Excepted, Ok(_)) => true,
            (End::Denied, Ok(_)) | (End::Allowed | End::Excepted, Err(_)) => false,
        };
        // Read at once, without waiting: the record is promised to be there before the answer.
        let recorded = self.new_records()?.iter().any(|record| says(record, exec.name, exec.end));
        Ok(exec.end.words(ended, recorded))
    }

    fn new_records(&mut self) -> Result<Vec<Value>, StageError> {
        let path = self.directory.join(RECORDS);
        let of = |error| StageError::File(path.clone(), error);
        let mut file = File::open(&path).map_err(of)?;
        file.seek(SeekFrom::Start(self.read)).map_err(of)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(of)?;
        self.read += u64::try_from(text.len()).unwrap_or(0);
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).map_err(|error| of(error.into()))).collect()
    }

    fn wait_until_ready(&mut self) -> Result<(), StageError> {
        let begun = Instant::now();
        loop {
            let told = fs::read_to_string(self.directory.join(SAID)).unwrap_or_default();
            if told.lines().any(|line| line == "ready") {
                break;
            }
            let ended = self.guard.try_wait().ok().flatten();
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let status = ended.and_then(|status| u8::try_from(status.code()?).ok());
                return Err(StageError::Guard(status, told));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let guard = self.guard.id();
        std::thread::spawn(move || {
            std::thread::sleep(LONGEST);
            let _killed = kill(Pid::from_raw(guard.cast_signed()), Signal::SIGKILL);
        });
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if matches!(self.guard.try_wait(), Ok(None)) {
            signal(&self.guard, Signal::SIGKILL);
            // Reaped, so that the number is nobody else's when the timer above fires.
            let _ended = self.guard.wait();
        }
    }
}

const RECORDS: &str = "events.ndjson";
const SAID: &str = "stderr";

/// Takes away every mount that is stacked on this path, in the drill's own namespace.
fn detach_all(path: &str) -> Result<(), Errno> {
    loop {
        match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::EINVAL) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
}

/// Whether this record is of an exec of the file with this name (of any, where that is empty) and says what should have
/// come of it.
fn says(record: &Value, name: &str, end: End) -> bool {
    let executable = record.pointer("/process/executable").and_then(Value::as_str);
    let of_it = name.is_empty() && executable.is_some() || executable == Some(name);
    let kinds = record.pointer("/event/type").and_then(Value::as_array);
    let has = |kind: &str| kinds.is_some_and(|kinds| kinds.iter().any(|known| known == kind));
    let excepted = record.pointer("/shmguard/excepted") == Some(&Value::Bool(true));
    of_it
        && match end {
            End::Denied => has("denied"),
            End::Allowed => !has("denied") && !excepted && record.get("rule").is_none(),
            End::Excepted => !has("denied") && excepted,
        }
}

fn start_guard(directory: &Path) -> Result<Child, StageError> {
    let shown = directory.display();
    let configuration = format!(
        "mode = \"prevent\"\npolicy = []\n[watch]\ncontainers = false\n[log.file]\npath = \"{shown}/{RECORDS}\"\n\
         [log.syslog]\nenabled = false\n[log.journal]\nenabled = false\n[log.audit]\nenabled = false\n\
         [control]\nsocket = \"{shown}/control.sock\"\n"
    );
    let path = directory.join("shmguard.toml");
    write(&path, configuration.as_bytes())?;
    let said = directory.join(SAID);
    let stderr = File::create(&said).map_err(|error| StageError::File(said, error))?;
    let this = Path::new("/proc/self/exe");
    let mut guard = command(this);
    guard.args(["run", "--config"]).arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    guard.spawn().map_err(|error| StageError::File(this.to_path_buf(), error))
}

/// The drill holds no group, so it may execute programs; nothing else in the library does.
#[expect(clippy::disallowed_methods, reason = "the drill holds no fanotify group")]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StageError> {
    fs::write(path, bytes).map_err(|error| StageError::File(path.to_path_buf(), error))
}

fn make_directory(path: &Path) -> Result<(), StageError> {
    fs::create_dir_all(path).map_err(|error| StageError::File(path.to_path_buf(), error))
}

fn remove(path: &Path) -> Result<(), StageError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StageError::File(path.to_path_buf(), error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn signal(child: &Child, signal: Signal) {
    // A guard that ended by itself can't be signalled; its records tell the rest.
    let _sent = kill(Pid::from_raw(child.id().cast_signed()), signal);
}

impl StageError {
    pub(super) fn status(&self) -> u8 {
        match self {
            Self::Namespace(_, Errno::EPERM) => exit::NO_PERMISSION,
            Self::Namespace(..) | Self::File(..) => exit::OS,
            Self::NoStandIn => exit::UNAVAILABLE,
            Self::Guard(status, _) => status.unwrap_or(exit::SOFTWARE),
        }
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(what, Errno::EPERM) => {
                write!(f, "{what} is not permitted: run the drill as root")
            }
            Self::Namespace(what, errno) => write!(f, "{what} cannot be had: {errno}"),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::NoStandIn => {
                f.write_str("neither /bin/true nor /usr/bin/true is there to stand in for malware")
            }
            Self::Guard(_, said) => write!(f, "the guard did not start: {}", said.trim()),
        }
    }
}
