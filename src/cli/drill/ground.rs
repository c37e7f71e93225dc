//! What the ways have to work with: programs, places, mounts, and the exec at the end.
//!
//! Everything before the exec that is refused makes a way unavailable here; only what becomes of the exec itself is an
//! answer. Runs in a way's own process, never in the guard.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Uid, setresuid};

/// Ends with an exec, or not at all.
pub(super) type Taken = Result<Infallible, Fault>;

/// Why a way did not end with the program.
pub(super) enum Fault {
    /// The exec failed with EPERM.
    Denied,
    /// It ran, in a child that had to be waited for.
    Ran,
    /// The exec failed otherwise: nobody denied it.
    Failed(io::Error),
    /// This kernel or host lacks something before the exec.
    Unavailable(String),
}

/// What a way has to work with.
pub(super) struct Ground {
    /// An empty directory outside the watched ones.
    pub(super) place: PathBuf,
}

/// The program that is to be denied.
pub(super) const EVIL: &str = "/dev/shm/drill/x";
pub(super) const NOBODY: u32 = 65534;

impl Ground {
    /// A copy of the stand-in, with those permissions.
    pub(super) fn program(&self, path: impl AsRef<Path>, mode: u32) -> Result<PathBuf, Fault> {
        let path = path.as_ref();
        let from = stand_in().ok_or_else(|| Fault::Unavailable("a program to stand in".to_owned()))?;
        let copy = || {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            io::copy(&mut File::open(from)?, &mut File::create_new(path)?)?;
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
        };
        copy().map_err(lacking("a program of its own"))?;
        Ok(path.to_path_buf())
    }

    /// The program that is to be denied.
    pub(super) fn evil(&self) -> Result<PathBuf, Fault> {
        self.program(EVIL, 0o755)
    }

    pub(super) fn directory(&self, name: &str) -> Result<PathBuf, Fault> {
        let path = self.place.join(name);
        make(&path)?;
        Ok(path)
    }

    /// A mount namespace in which nothing that is mounted comes back to the drill's.
    pub(super) fn away(&self, more: CloneFlags) -> Result<(), Fault> {
        unshare(CloneFlags::CLONE_NEWNS | more).map_err(lacking("a namespace of its own"))?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).map_err(lacking("private mounts"))
    }

    /// A tmpfs outside the watched directories.
    pub(super) fn elsewhere(&self) -> Result<PathBuf, Fault> {
        let path = self.directory("elsewhere")?;
        mounted("tmpfs", &path, "mode=755")?;
        Ok(path)
    }
}

pub(super) fn make(path: &Path) -> Result<(), Fault> {
    fs::create_dir_all(path).map_err(|error| Fault::Unavailable(format!("{}: {error}", path.display())))
}

pub(super) fn lacking<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Fault {
    move |error| Fault::Unavailable(format!("{what}: {error}"))
}

pub(super) fn bind(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), Fault> {
    mount(Some(from.as_ref()), to.as_ref(), None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(lacking("a bind mount"))
}

pub(super) fn mounted(kind: &'static str, at: &Path, data: &str) -> Result<(), Fault> {
    mount(Some("drill"), at, Some(kind), MsFlags::empty(), Some(data)).map_err(lacking(kind))
}

pub(super) fn execute(path: impl AsRef<Path>) -> Taken {
    Err(fault_of(command(path.as_ref()).exec()))
}

/// Executes in a child, where the caller has something to clear away.
pub(super) fn execute_below(path: impl AsRef<Path>, clear: impl FnOnce()) -> Taken {
    let ended = command(path.as_ref()).status();
    clear();
    match ended {
        Err(error) => Err(fault_of(error)),
        Ok(_) => Err(Fault::Ran),
    }
}

fn fault_of(error: io::Error) -> Fault {
    if error.raw_os_error() == Some(libc::EPERM) { Fault::Denied } else { Fault::Failed(error) }
}

/// A way's process holds no group.
#[expect(clippy::disallowed_methods, reason = "the drill holds no fanotify group")]
fn command(program: &Path) -> Command {
    Command::new(program)
}

pub(super) fn become_user(real: u32, effective: u32, saved: u32) -> Result<(), Fault> {
    let id = Uid::from_raw;
    setresuid(id(real), id(effective), id(saved)).map_err(lacking("another user"))
}

/// Mounts in the drill's own namespace, where the guard sees it, waits as long as it may take, and executes.
pub(super) fn over(at: &str, mount: impl FnOnce(&Path) -> Result<(), Fault>, program: &str) -> Taken {
    make(Path::new(at))?;
    mount(Path::new(at))?;
    std::thread::sleep(Duration::from_millis(300));
    execute_below(program, || {
        // What stays is in the way of the next one, which then says so.
        let _detached = umount2(at, MntFlags::MNT_DETACH);
    })
}

/// A program that ends at once and does nothing.
pub(super) fn stand_in() -> Option<PathBuf> {
    ["/bin/true", "/usr/bin/true"].map(PathBuf::from).into_iter().find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_eperm_is_a_denial() {
        assert!(matches!(fault_of(io::Error::from_raw_os_error(libc::EPERM)), Fault::Denied));
        assert!(matches!(fault_of(io::Error::from_raw_os_error(libc::EACCES)), Fault::Failed(_)));
    }
}
