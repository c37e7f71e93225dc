//! What this host offers a guard, found out without changing it. For `shmguard doctor`; no guard need run.
//!
//! Owns the probes: each asks the kernel with a call that does nothing, or places a mark on a tmpfs of its own in a mount
//! namespace of its own, which end with the thread that made them. May not judge what it finds. Nothing here is used by
//! a running guard.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

use super::keeper;
use crate::notify::{Features, Group, MarkKind, NotifyError};
use crate::policy::config::Config;
use crate::sys::connector::Connector;
use crate::sys::{mounts, pidfd, probe};
use crate::watch::monitor::{Means, Monitor};
use crate::watch::place::View;
use crate::watch::plan::{self, Plan};
use crate::watch::{links, storage};

/// What the running kernel can do; an error is why it cannot, or why it cannot be asked (EPERM).
#[derive(Debug)]
pub struct Kernel {
    /// A group for execs can be made, and its mark placed on a whole filesystem; what the group has.
    pub exec_marks: io::Result<Features>,
    /// The kernel's audit log can be asked for.
    pub audit: io::Result<bool>,
    /// Mounts are told of as events.
    pub mount_events: io::Result<bool>,
    /// One thread's credentials are told in one call.
    pub thread_info: bool,
    /// Mounts have ids that are not used again, and can be asked for.
    pub mount_ids: bool,
    /// A filesystem can be made that is mounted nowhere.
    pub detached_mounts: bool,
    /// Interpreters can ask whether a file may be executed.
    pub exec_check: bool,
    /// Execs are told of after the fact.
    pub connector: io::Result<()>,
}

impl Kernel {
    /// Asks it. Takes about half a second at most.
    #[must_use]
    pub fn probe() -> Self {
        let thread = pidfd::open_thread(gettid().as_raw());
        Self {
            exec_marks: aside(exec_marks),
            audit: Group::new(true).map(|group| group.features().audit).map_err(plain),
            mount_events: aside(mount_events),
            thread_info: thread.is_ok_and(|thread| pidfd::info(thread.as_fd()).is_ok()),
            mount_ids: mounts::mount_ids(None).is_ok(),
            detached_mounts: probe::has_detached_mounts(),
            exec_check: probe::has_exec_check(),
            connector: Connector::open().map(drop),
        }
    }
}

/// What a guard with this configuration would mark here, what not, and why. Needs no privilege.
///
/// # Errors
/// The mount table can't be read.
pub fn plan(config: &Config) -> io::Result<Plan> {
    let table = View::own().table()?;
    Ok(plan::plan(
        &plan::Inputs {
            directories: &links::resolve(&config.watch.directories),
            mounts: &table,
            stored: &storage::stored(&table),
            foreign: &[],
            settings: keeper::watch_settings(config),
        },
        None,
    ))
}

fn mount_events() -> io::Result<bool> {
    match mounts::mount_events() {
        Ok(_) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(false),
        Err(error) => return Err(error),
    }
    unshare(CloneFlags::CLONE_NEWNS)?;
    Ok(Monitor::new(&View::own())?.means() == Means::Events)
}

/// Makes a group and marks a tmpfs of our own with it.
fn exec_marks() -> io::Result<Features> {
    let group = Group::new(false).map_err(plain)?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    mount(Some("tmpfs"), PLACE, Some("tmpfs"), MsFlags::empty(), Some("size=4k"))?;
    group.mark(MarkKind::Filesystem, Path::new(PLACE))?;
    Ok(group.features())
}

/// A directory that every host has; in the thread's own namespace it is covered.
const PLACE: &str = "/proc";

/// Does something in a thread of its own, whose namespace ends with it.
fn aside<T: Send + 'static>(probe: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    match std::thread::spawn(probe).join() {
        Ok(result) => result,
        Err(_panicked) => Err(Errno::EIO.into()),
    }
}

fn plain(error: NotifyError) -> io::Error {
    match error {
        NotifyError::NotPermitted => Errno::EPERM.into(),
        NotifyError::NoFanotify => Errno::ENOSYS.into(),
        NotifyError::NoPermissionEvents => Errno::EINVAL.into(),
        NotifyError::Failed(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_of_marks_leaves_no_mount_behind() {
        let before = std::fs::read("/proc/self/mountinfo").unwrap();
        let kernel = Kernel::probe();
        assert_eq!(std::fs::read("/proc/self/mountinfo").unwrap(), before);
        if nix::unistd::geteuid().is_root() {
            assert!(kernel.exec_marks.is_ok(), "{kernel:?}");
        } else {
            assert_eq!(kernel.exec_marks.unwrap_err().raw_os_error(), Some(libc::EPERM));
        }
    }

    #[test]
    fn the_plan_names_what_would_be_left_out() {
        let mut config = Config::default();
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        config.watch.directories = vec![place.path().to_path_buf(), "/nonexistent/shmguard".into()];
        let plan = plan(&config).unwrap();
        assert_eq!(plan.left_out.len(), 2);
    }
}
