//! The way that a task takes through its directories to the file under a name, as the kernel would go for it.
//!
//! Owns the walk, one name at a time, because the kernel goes for whoever asks: for us `/proc/self/fd/3` is our own
//! descriptor. Here `self` is the task, wherever on the way it stands, behind links too. Nothing is read or raised:
//! every open is an O_PATH. It can block as long as whoever serves a directory on the way likes. Called by whoever looks
//! for the files that a command line names, [aside](super::aside).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::proc::{Proc, cause};
use crate::event::Cause;
use crate::sys::statx::{self, Stat, Want};

/// Opens (O_PATH) what the task `id` would find under `name`, links followed.
///
/// # Errors
/// There is no such file, or the way to it is longer than the kernel would go.
pub(super) fn to(proc: &Proc, id: i32, name: &[u8]) -> Result<OwnedFd, Cause> {
    let root = proc.open_path(id, "root")?;
    let mut here = match name.first() {
        Some(b'/') => again(&root)?,
        _ => proc.open_path(id, "cwd")?,
    };
    // The names to come, the next one last.
    let mut names = Vec::new();
    push(&mut names, name);
    let (mut steps, mut links) = (0..STEPS, 0..LINKS);
    while let Some(name) = names.pop() {
        steps.next().ok_or(Cause::TooLong)?;
        if name == b".." {
            if !is_same(&here, &root)? {
                here = open(here.as_fd(), b"..", OFlag::O_NOFOLLOW)?;
            }
            continue;
        }
        let next = open(here.as_fd(), &name, OFlag::O_NOFOLLOW)?;
        if stat(next.as_fd())?.mode & libc::S_IFMT != libc::S_IFLNK {
            here = next;
            continue;
        }
        links.next().ok_or(Cause::Failed(libc::ELOOP))?;
        let magic = fstatfs(&next).is_ok_and(|about| about.filesystem_type() == PROC_SUPER_MAGIC);
        let is_top = magic && stat(here.as_fd())?.inode == TOP_OF_PROC;
        here = match name.as_slice() {
            b"self" | b"thread-self" if is_top => proc.open_path(id, ".")?,
            // `root`, `cwd`, `exe`, `fd/N`: their text is no way to anything.
            _ if magic && !is_top => open(here.as_fd(), &name, OFlag::empty())?,
            _ => {
                let text = readlinkat(&next, c"").map_err(|errno| cause(errno.into()))?;
                let text = std::os::unix::ffi::OsStrExt::as_bytes(text.as_os_str());
                push(&mut names, text);
                if text.starts_with(b"/") { again(&root)? } else { here }
            }
        };
    }
    Ok(here)
}

fn push(names: &mut Vec<Vec<u8>>, path: &[u8]) {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    names.extend(parts.rev().map(<[u8]>::to_vec));
}

fn open(directory: BorrowedFd<'_>, name: &[u8], flags: OFlag) -> Result<OwnedFd, Cause> {
    openat(directory, name, OFlag::O_PATH | OFlag::O_CLOEXEC | flags, Mode::empty())
        .map_err(|errno| cause(errno.into()))
}

fn again(directory: &OwnedFd) -> Result<OwnedFd, Cause> {
    directory.try_clone().map_err(cause)
}

fn stat(file: BorrowedFd<'_>) -> Result<Stat, Cause> {
    statx::of(file, Want::Nothing).map_err(cause)
}

fn is_same(one: &OwnedFd, other: &OwnedFd) -> Result<bool, Cause> {
    let (one, other) = (stat(one.as_fd())?, stat(other.as_fd())?);
    Ok((one.device, one.inode) == (other.device, other.inode))
}

/// As many links as the kernel follows.
const LINKS: usize = 40;
/// A path has at most 4096 bytes; who needs so many names means no good.
const STEPS: usize = 1024;
/// The inode of the top directory of every procfs.
const TOP_OF_PROC: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(id: i32, name: &str, file: &std::path::Path) -> bool {
        let wanted = std::fs::File::open(file).unwrap().into();
        to(&Proc::open().unwrap(), id, name.as_bytes()).is_ok_and(|found| is_same(&found, &wanted).unwrap())
    }

    #[test]
    fn the_way_goes_through_the_task_s_own_links() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("file"), "").unwrap();
        std::fs::create_dir(at("empty")).unwrap();
        std::os::unix::fs::symlink("/proc/self/cwd", at("here")).unwrap();
        std::os::unix::fs::symlink("./../again/loop", at("loop")).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test may start programs")]
        let mut other = std::process::Command::new("sleep")
            .arg("60")
            .current_dir(&directory)
            .stdin(std::fs::File::open(at("file")).unwrap())
            .stdout(std::fs::File::open(directory.path()).unwrap())
            .spawn()
            .unwrap();
        let (id, own) = (other.id().cast_signed(), directory.path().display());
        let ways = [
            "file".to_owned(),
            "./here/file".to_owned(),
            "empty/.././file".to_owned(),
            "/proc/self/cwd/file".to_owned(),
            format!("/../proc/thread-self/root{own}/file"),
            format!("{own}/here/file"),
            "/dev/stdin".to_owned(),
            "/dev/fd/0".to_owned(),
            "/proc/self/fd/1/file".to_owned(),
            format!("/proc/{id}/fd/1/file"),
        ];
        for way in &ways {
            assert!(finds(id, way, &at("file")), "{way}");
            // For us they lead elsewhere, but for those that name everything.
            let of_all = way.contains("fd/1/file") && way.contains(&id.to_string());
            let own = nix::unistd::getpid().as_raw();
            assert_eq!(finds(own, way, &at("file")), of_all || way.contains("/root/"), "{way}");
        }
        assert!(!finds(id, "loop", &at("file")));
        assert!(!finds(id, "nothing", &at("file")));
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
