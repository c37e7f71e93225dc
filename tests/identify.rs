//! Identity and scope together: what lies outside every watched directory of a larger filesystem, and what only seems to.
//!
//! Each test has a thread with a mount namespace and a tmpfs of its own; nothing is marked. Without root each says that
//! it was skipped, and fails where `CI` is set.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test executes what is then looked at")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use shmguard::event::{Attempt, Cause, Fact};
use shmguard::identify::Identifier;
use shmguard::identify::running::{self, Whence};
use shmguard::watch::links::resolve;
use shmguard::watch::mounts::MountTable;
use shmguard::watch::place::View;
use shmguard::watch::plan::{Inputs, Placement, Scope, Settings, SharedFilesystem, plan};
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Runs a test in a mount namespace of its own, with a tmpfs at the directory that it is given.
fn in_own_namespace(test: impl FnOnce(&Path) + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: this test needs root");
        assert!(std::env::var_os("CI").is_none(), "this test needs root");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let base = place.path().canonicalize().unwrap();
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        tmpfs(&base);
        test(&base);
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn tmpfs(at: &Path) {
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
}

fn program(at: &Path) -> File {
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    fs::write(at, "").unwrap();
    File::open(at).unwrap()
}

fn bound(from: &Path, to: PathBuf) -> PathBuf {
    fs::create_dir_all(&to).unwrap();
    mount(Some(from), &to, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    to
}

/// The scope of one watched directory on a filesystem that holds more.
fn scope(directory: &Path) -> Scope {
    let mounts = MountTable::parse(&fs::read("/proc/thread-self/mountinfo").unwrap());
    let directories = resolve(&[directory.to_path_buf()]);
    let settings = Settings { shared_filesystem: SharedFilesystem::Mark };
    plan(&Inputs { directories: &directories, mounts: &mounts, stored: &[], foreign: &[], settings }, None)
        .scope
}

#[test]
fn what_lies_outside_the_watched_directory_is_told_apart_however_it_is_mounted() {
    in_own_namespace(|base| {
        let watched = base.join("watched");
        let (inside, outside) = (program(&watched.join("x")), program(&base.join("other/x")));
        let scope = scope(&watched);
        let (mut identifier, mut attempt) = (Identifier::new().unwrap(), Attempt::default());
        let mut place = |file: &File, attempt: &mut Attempt| {
            identifier.essential(nix::unistd::gettid().as_raw(), file.as_fd(), &scope, attempt)
        };
        assert_eq!(place(&inside, &mut attempt), Placement::Inside);
        let name = watched.join("x");
        assert_eq!(attempt.object.names.first(), Some(name.as_os_str().as_encoded_bytes()));
        assert!(attempt.subject.user.known().is_some());
        assert_eq!(place(&outside, &mut attempt), Placement::Outside);
        assert!(attempt.object.names.is_empty() && attempt.subject.thread.is_unread());
        // Under another name each stays what it is.
        let elsewhere = tempfile::tempdir().unwrap();
        let seems_outside = bound(&watched, elsewhere.path().join("o"));
        assert_eq!(place(&File::open(seems_outside.join("x")).unwrap(), &mut attempt), Placement::Inside);
        let seems_inside = bound(&base.join("other"), watched.join("i"));
        let file = File::open(seems_inside.join("x")).unwrap();
        assert_eq!(place(&file, &mut attempt), Placement::Outside);
        // As in the layers of an overlay: through a mount that is in no table.
        nix::mount::umount2(&seems_inside, nix::mount::MntFlags::MNT_DETACH).unwrap();
        assert_eq!(place(&file, &mut attempt), Placement::Outside);
    });
}

/// A thread in a mount namespace of its own, which waits until this is dropped.
struct Stranger<T> {
    id: i32,
    made: T,
    release: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Stranger<T> {
    /// `keeps_doing` is done again and again, with what `prepares` has made.
    fn that(prepares: impl FnOnce() -> (T, Box<dyn FnMut()>) + Send + 'static) -> Self {
        let (tell, told) = channel();
        let (release, wait): (_, Receiver<()>) = channel();
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
                .unwrap();
            let (made, mut keeps_doing) = prepares();
            tell.send((nix::unistd::gettid().as_raw(), made)).unwrap();
            while wait.try_recv() == Err(TryRecvError::Empty) {
                keeps_doing();
            }
        });
        let (id, made) = told.recv().unwrap();
        Self { id, made, release: Some(release), thread: Some(thread) }
    }
}

impl<T> Drop for Stranger<T> {
    fn drop(&mut self) {
        drop(self.release.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

#[test]
fn another_namespace_sees_the_same_inside_and_outside() {
    in_own_namespace(|base| {
        let watched = base.join("watched");
        drop((program(&watched.join("x")), program(&base.join("other/x"))));
        // Under two names, of which the caller takes either.
        fs::hard_link(base.join("other/x"), base.join("other/y")).unwrap();
        let scope = scope(&watched);
        let from = base.to_path_buf();
        let elsewhere = tempfile::tempdir().unwrap();
        let to = elsewhere.path().join("e");
        let stranger = Stranger::that(move || {
            let to = bound(&from, to);
            let open = |name: &str| File::open(to.join(name)).unwrap();
            let idle = || std::thread::sleep(Duration::from_millis(1));
            ([open("watched/x"), open("other/x"), open("other/y")], Box::new(idle))
        });
        let (mut identifier, mut attempt) = (Identifier::new().unwrap(), Attempt::default());
        let places = stranger
            .made
            .each_ref()
            .map(|file| identifier.essential(stranger.id, file.as_fd(), &scope, &mut attempt));
        assert_eq!(places, [Placement::Inside, Placement::Outside, Placement::Outside]);
    });
}

/// With the file at /one/watched/x and the mount point /one/watched, which never were at the same time, it would be /x.
#[test]
fn a_mount_that_a_stranger_moves_all_the_time_gets_nothing_outside() {
    in_own_namespace(|base| {
        let one = base.join("one");
        fs::create_dir_all(one.join("watched")).unwrap();
        tmpfs(&one);
        drop(program(&one.join("watched/x")));
        // Another file stands where it seems to be.
        drop(program(&one.join("x")));
        let scope = scope(&one.join("watched"));
        let stranger = Stranger::that(move || {
            let file = File::open(one.join("watched/x")).unwrap();
            // The directory below the mount, in their namespace.
            let (aside, nested) = (one.with_file_name("aside"), one.join("watched"));
            fs::create_dir_all(&aside).unwrap();
            let moved = |from: &Path, to: &Path| {
                mount(Some(from), to, None::<&str>, MsFlags::MS_MOVE, None::<&str>).unwrap();
            };
            moved(&one, &aside);
            let under = File::open(&nested).unwrap();
            moved(&aside, &one);
            let under_path = PathBuf::from(format!("/proc/self/fd/{}", under.as_raw_fd()));
            let moves = move || {
                let _open = &under;
                moved(&one, &under_path);
                moved(&nested, &one);
            };
            (file, Box::new(moves))
        });
        let (mut identifier, mut attempt) = (Identifier::new().unwrap(), Attempt::default());
        let end = Instant::now() + Duration::from_millis(1500);
        let (mut looks, mut unsteady, mut outside) = (0, 0, 0);
        while Instant::now() < end {
            let placement = identifier.essential(stranger.id, stranger.made.as_fd(), &scope, &mut attempt);
            outside += usize::from(placement == Placement::Outside);
            unsteady += usize::from(attempt.object.inner == Fact::Unknown(Cause::Unsteady));
            looks += 1;
        }
        eprintln!("{unsteady} of {looks} places were unsteady");
        assert_eq!(outside, 0, "of {looks}");
    });
}

#[test]
fn a_fresh_mount_of_the_guarded_namespace_is_seen_as_one_by_a_guard_in_a_namespace_of_its_own() {
    in_own_namespace(|base| {
        let watched = base.join("watched");
        fs::create_dir_all(watched.join("sub")).unwrap();
        let (ask, asked): (_, Receiver<(i32, Scope)>) = channel();
        let (tell, told) = channel();
        // Its copy is from before the mount, and nothing comes into it.
        let guard = Stranger::that(move || {
            let mut identifier = Identifier::new().unwrap();
            let work = move || {
                let Ok((process, scope)) = asked.try_recv() else { return };
                let (mut attempt, deadline) = (Attempt::default(), Instant::now() + Duration::from_secs(5));
                let mut running = identifier.running(process).unwrap();
                identifier.keep_who(&mut running);
                let memory = running::memory().unwrap();
                tell.send(identifier.describe(&running, memory, &scope, deadline, &mut attempt)).unwrap();
            };
            ((), Box::new(work) as Box<dyn FnMut()>)
        });
        let mounts = View::own().table().unwrap();
        if mounts.namespace().is_none() {
            return eprintln!("SKIPPED: this kernel tells no ids of mount namespaces");
        }
        let directories = resolve(std::slice::from_ref(&watched));
        let inputs = Inputs {
            directories: &directories,
            mounts: &mounts,
            stored: &[],
            foreign: &[],
            settings: Settings::default(),
        };
        let scope = plan(&inputs, None).scope;
        tmpfs(&watched.join("sub"));
        let program = watched.join("sub/x");
        fs::copy("/bin/sleep", &program).unwrap();
        let mut child = Command::new(&program).arg("60").spawn().unwrap();
        ask.send((i32::try_from(child.id()).unwrap(), scope)).unwrap();
        let whence = told.recv_timeout(Duration::from_secs(20));
        child.kill().unwrap();
        child.wait().unwrap();
        drop(guard);
        assert_eq!(whence, Ok(Whence::Fresh));
    });
}
