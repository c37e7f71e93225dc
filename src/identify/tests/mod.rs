//! Against the running kernel: own threads and processes as subjects, own tmpfs in own mount namespaces as places.
//!
//! What needs root says loudly that it was skipped where there is none, and fails under `CI=true`.

mod exec;
mod further;
mod place;
mod running;
mod who;

use super::mount::Whereabouts;
use super::*;
use crate::event::{Cause, Device, Gid, Groups, Pid, Texts, Uid};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// True for root. Otherwise the test is skipped.
fn is_privileged(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED, needs root: {test}");
        assert!(std::env::var_os("CI").is_none(), "{test} needs root");
    }
    root
}

/// Runs `test` in a mount namespace of its own, with an empty tmpfs at the directory that it is given.
fn in_own_namespace(name: &str, test: impl FnOnce(&Path) + Send + 'static) {
    if !is_privileged(name) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let path = place.path().canonicalize().unwrap();
    let thread = std::thread::spawn(move || {
        own_mounts();
        tmpfs(&path);
        test(&path);
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&Path>, "/", None::<&Path>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&Path>).unwrap();
}

fn tmpfs(at: &Path) {
    std::fs::create_dir_all(at).unwrap();
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), None::<&Path>).unwrap();
}

fn bind(from: &Path, to: &Path) {
    mount(Some(from), to, None::<&Path>, MsFlags::MS_BIND, None::<&Path>).unwrap();
}

fn program(at: &Path) -> PathBuf {
    std::fs::create_dir_all(at.parent().unwrap()).unwrap();
    std::fs::write(at, "\x7fELF, not really").unwrap();
    std::fs::set_permissions(at, std::fs::Permissions::from_mode(0o755)).unwrap();
    at.to_path_buf()
}

fn directory(at: PathBuf) -> PathBuf {
    std::fs::create_dir_all(&at).unwrap();
    at
}

/// A thread that has done something to itself and waits, as a caller waits for our answer.
struct Caller<T> {
    id: i32,
    made: T,
    release: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Caller<T> {
    fn that(prepares: impl FnOnce() -> T + Send + 'static) -> Self {
        let (tell, told) = channel();
        let (release, wait): (_, Receiver<()>) = channel();
        let thread = std::thread::spawn(move || {
            let made = prepares();
            tell.send((nix::unistd::gettid().as_raw(), made)).unwrap();
            wait.recv().unwrap_or_default();
        });
        let (id, made) = told.recv().expect("the caller could not prepare itself");
        Self { id, made, release: Some(release), thread: Some(thread) }
    }
}

impl<T> Drop for Caller<T> {
    fn drop(&mut self) {
        drop(self.release.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Every way to use the kernel: as it is, and as older ones are.
fn every_kind() -> Vec<Features> {
    let now = Features::probe();
    vec![
        now,
        Features { thread_info: false, ..now },
        Features { foreign_statmount: false, ..now },
        Features { statmount: false, foreign_statmount: false, ..now },
        Features { thread_info: false, statmount: false, foreign_statmount: false, statx_mount_id: false },
    ]
}

fn look_at(features: Features, thread: i32, file: &File) -> Attempt {
    let mut attempt = Attempt::default();
    let mut identifier = Identifier::with(features).unwrap();
    identifier.essential(thread, file.as_fd(), &Scope::default(), &mut attempt);
    attempt
}

fn own_thread() -> i32 {
    nix::unistd::gettid().as_raw()
}

fn bytes(path: impl AsRef<Path>) -> Vec<u8> {
    path.as_ref().as_os_str().as_encoded_bytes().to_vec()
}
