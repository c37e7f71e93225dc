//! The plan against the real kernel: does every mark that it proposes see what it must, and nothing else?
//!
//! Each test has a thread with a mount namespace of its own, in which it mounts tmpfs of its own; only those are marked,
//! with a notification-class group that holds nobody up. Without root each test says that it was skipped, and fails
//! where `CI=true`.

#![allow(unsafe_code, reason = "takes ownership of the fanotify group that the test makes")]
#![allow(clippy::disallowed_methods, reason = "a test runs programs")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use shmguard::event::{Device, Fact, Texts};
use shmguard::watch::links::resolve;
use shmguard::watch::monitor::{Means, Monitor};
use shmguard::watch::namespaces::Namespaces;
use shmguard::watch::place::{View, path_of};
use shmguard::watch::plan::{Change, Inputs, Mark, MarkKind, Plan, Settings, changes, plan};
use shmguard::watch::storage;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A tmpfs of the test's own, with `shm` and `run` (tmpfs each), a link `var/run` -> `run`, and `out` and `mnt` outside.
struct Bed {
    base: PathBuf,
    view: View,
    group: OwnedFd,
    plan: Option<Plan>,
}

/// Runs a test in a mount namespace of its own.
fn bed(test: impl FnOnce(&mut Bed) + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "this test needs root");
        return eprintln!("SKIPPED: this test needs root");
    }
    let name = std::thread::current().name().unwrap_or("bed").replace("::", "-");
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        let place = tempfile::Builder::new().prefix(&name).tempdir().unwrap();
        let base = place.path().to_path_buf();
        tmpfs(&base);
        for directory in ["shm", "run", "var", "out", "mnt"] {
            fs::create_dir(base.join(directory)).unwrap();
        }
        std::os::unix::fs::symlink(base.join("run"), base.join("var/run")).unwrap();
        tmpfs(&base.join("shm"));
        tmpfs(&base.join("run"));
        let flags = libc::FAN_CLASS_NOTIF | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK;
        let group = fanotify::low_level::fanotify_init(flags, 0).unwrap();
        // SAFETY: fanotify_init has just made this descriptor, and nothing else knows its number.
        let group = unsafe { OwnedFd::from_raw_fd(group) };
        let mut bed = Bed { base: base.clone(), view: View::own(), group, plan: None };
        test(&mut bed);
        umount2(&base, MntFlags::MNT_DETACH).unwrap();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn tmpfs(at: &Path) {
    fs::create_dir_all(at).unwrap();
    mount(Some("bed"), at, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
}

/// Unmounts, although a test beside this one may have forked a moment ago: until its child executes, it holds what we
/// have open.
#[track_caller]
fn unmount(at: &Path) {
    for _ in 0..400 {
        match umount2(at, MntFlags::empty()) {
            Err(nix::errno::Errno::EBUSY) => std::thread::sleep(Duration::from_millis(5)),
            done => return done.unwrap(),
        }
    }
    panic!("{} stays busy", at.display());
}

fn bind(from: &Path, to: &Path) {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
}

/// A program that ends well, at this path.
fn program(at: &Path) -> PathBuf {
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    fs::copy("/bin/true", at).unwrap();
    at.to_path_buf()
}

impl Bed {
    fn at(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    /// Reads the table, plans, and does what the plan says.
    fn replan(&mut self) -> &Plan {
        let directories = resolve(&[self.at("shm"), self.at("var/run")]);
        let table = self.view.table().unwrap();
        let stored = storage::stored(&table);
        let inputs = Inputs {
            directories: &directories,
            mounts: &table,
            stored: &stored,
            foreign: &[],
            settings: Settings::default(),
        };
        let next = plan(&inputs, self.plan.as_ref());
        for change in changes(&self.plan.take().unwrap_or_default(), &next) {
            if let Change::Add(mark) | Change::Renew(mark) = change {
                let found = self.view.open(&mark, &table).unwrap_or_else(|error| panic!("{mark:?}: {error}"));
                self.mark(&mark, &path_of(&found));
            }
        }
        self.plan.insert(next)
    }

    fn mark(&self, mark: &Mark, path: &Path) {
        assert!(mark.path.starts_with(&self.base), "not ours: {mark:?}");
        let kind = match mark.kind {
            MarkKind::Filesystem => libc::FAN_MARK_FILESYSTEM,
            MarkKind::Mount => libc::FAN_MARK_MOUNT,
        };
        let flags = libc::FAN_MARK_ADD | kind;
        fanotify::low_level::fanotify_mark(
            self.group.as_raw_fd(),
            flags,
            libc::FAN_OPEN_EXEC,
            libc::AT_FDCWD,
            path,
        )
        .unwrap_or_else(|error| panic!("{mark:?}: {error}"));
    }

    /// How many executions were seen since the last call.
    fn seen(&self) -> usize {
        let mut count = 0;
        let mut buffer = [0_u8; 4096];
        while let Ok(read) = nix::unistd::read(self.group.as_fd(), &mut buffer) {
            let mut rest = &buffer[..read];
            // struct fanotify_event_metadata is 24 bytes with the descriptor at 16; no records follow here.
            while let Some((event, others)) = rest.split_first_chunk::<24>() {
                let fd = i32::from_ne_bytes(event[16..20].try_into().unwrap());
                // SAFETY: the kernel has just made this descriptor for this event, and it is read nowhere else.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
                count += 1;
                rest = others;
            }
        }
        count
    }

    /// Runs a program that must work, and says whether it was seen.
    fn sees(&self, program: &Path) -> bool {
        assert_eq!(self.seen(), 0, "something ran before");
        assert!(Command::new(program).status().unwrap().success());
        self.seen() > 0
    }

    /// The same in a namespace that a shell makes, after it did what `before` says.
    fn sees_in_new_namespace(&self, before: &str, program: &Path) -> bool {
        assert_eq!(self.seen(), 0, "something ran before");
        let script = format!("{before}\nexec \"$0\"");
        let ran = Command::new("unshare").args(["-m", "sh", "-ec", &script]).arg(program).status().unwrap();
        assert!(ran.success());
        self.seen() > 0
    }

    fn marks(&self) -> Vec<(MarkKind, PathBuf)> {
        let plan = self.plan.as_ref().unwrap();
        plan.marks
            .iter()
            .map(|mark| (mark.kind, mark.path.strip_prefix(&self.base).unwrap().to_path_buf()))
            .collect()
    }

    fn name(&self, device: Device, inner: &str) -> PathBuf {
        let mut names = Texts::new();
        let _placement =
            self.plan.as_ref().unwrap().scope.name(device, Fact::Known(inner.as_bytes()), &mut names);
        let first = String::from_utf8(names.first().unwrap_or_default().to_vec()).unwrap();
        Path::new(&first).strip_prefix(&self.base).unwrap().to_path_buf()
    }
}

/// The kernel's version.
fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn device(at: &Path) -> Device {
    use std::os::unix::fs::MetadataExt as _;
    let number = fs::metadata(at).unwrap().dev();
    Device { major: libc::major(number), minor: libc::minor(number) }
}

#[test]
fn what_is_mounted_on_and_below_a_watched_directory_is_seen_and_the_outside_is_not() {
    bed(|bed| {
        tmpfs(&bed.at("run/user/1"));
        bed.replan();
        for inside in ["shm/x", "run/deep/er/x", "run/user/1/x"] {
            let program = program(&bed.at(inside));
            assert!(bed.sees(&program), "{inside}");
            assert!(bed.sees_in_new_namespace("", &program), "{inside}");
        }
        let run = device(&bed.at("run"));
        assert_eq!(bed.name(run, "/deep/er/x"), Path::new("run/deep/er/x"));
        tmpfs(&bed.at("out"));
        bed.replan();
        let outside = program(&bed.at("out/x"));
        assert!(!bed.sees(&outside));
    });
}

#[test]
fn a_mount_that_another_one_hides_is_seen_by_who_takes_that_away() {
    bed(|bed| {
        let hidden = program(&bed.at("shm/hidden"));
        tmpfs(&bed.at("shm/sub"));
        let deeper = program(&bed.at("shm/sub/deeper"));
        tmpfs(&bed.at("shm/sub"));
        tmpfs(&bed.at("shm"));
        bed.replan();
        let shm = bed.at("shm").display().to_string();
        assert!(bed.sees_in_new_namespace(&format!("umount {shm}"), &hidden));
        assert!(bed.sees_in_new_namespace(&format!("umount {shm}; umount {shm}/sub"), &deeper));
        // And the namespace of the guard is what it was.
        assert!(!hidden.exists());
    });
}

/// All of them are reached through one copy of the namespace.
#[test]
fn each_mount_of_a_high_stack_is_seen() {
    bed(|bed| {
        let at = bed.at("shm/sub");
        let directories: Vec<_> = (0..300)
            .map(|_| {
                tmpfs(&at);
                program(&at.join("x"));
                fs::File::open(&at).unwrap()
            })
            .collect();
        bed.replan();
        for directory in directories.iter().step_by(37).chain(directories.last()) {
            use std::os::fd::AsRawFd;
            let hidden = format!("/proc/{}/fd/{}/x", std::process::id(), directory.as_raw_fd());
            assert!(bed.sees(Path::new(&hidden)), "{hidden}");
        }
    });
}

#[test]
fn the_directory_itself_is_seen_by_who_takes_its_mount_away() {
    bed(|bed| {
        umount2(&bed.at("shm"), MntFlags::MNT_DETACH).unwrap();
        let under = program(&bed.at("shm/under"));
        tmpfs(&bed.at("shm"));
        bed.replan();
        let shm = bed.at("shm").display().to_string();
        assert!(bed.sees_in_new_namespace(&format!("umount {shm}"), &under));
    });
}

#[test]
fn a_bound_outside_directory_is_seen_through_the_bind_alone() {
    bed(|bed| {
        tmpfs(&bed.at("out"));
        let outside = program(&bed.at("out/dir/x"));
        bed.replan();
        fs::create_dir(bed.at("shm/into")).unwrap();
        bind(&bed.at("out/dir"), &bed.at("shm/into"));
        bed.replan();
        assert!(bed.marks().contains(&(MarkKind::Mount, "shm/into".into())));
        assert!(bed.sees(&bed.at("shm/into/x")));
        assert!(!bed.sees(&outside));
        assert_eq!(bed.name(device(&outside), "/dir/x"), Path::new("shm/into/x"));
    });
}

#[test]
fn a_bound_outside_file_is_seen_through_the_bind_alone() {
    bed(|bed| {
        tmpfs(&bed.at("out"));
        let outside = program(&bed.at("out/x"));
        bed.replan();
        fs::write(bed.at("shm/file"), "").unwrap();
        bind(&outside, &bed.at("shm/file"));
        bed.replan();
        assert!(bed.sees(&bed.at("shm/file")));
        assert!(!bed.sees(&outside));
    });
}

#[test]
fn a_watched_directory_bound_out_moved_and_detached_is_seen_and_keeps_its_name() {
    bed(|bed| {
        program(&bed.at("shm/evil/x"));
        bed.replan();
        let shm = device(&bed.at("shm"));
        fs::create_dir(bed.at("run/docker")).unwrap();
        bind(&bed.at("shm/evil"), &bed.at("run/docker"));
        bed.replan();
        assert!(bed.sees(&bed.at("run/docker/x")));
        assert_eq!(bed.name(shm, "/evil/x"), Path::new("shm/evil/x"));
        mount(Some(&bed.at("shm")), &bed.at("mnt"), None::<&str>, MsFlags::MS_MOVE, None::<&str>).unwrap();
        bed.replan();
        assert!(bed.sees(&bed.at("mnt/evil/x")));
        assert_eq!(bed.name(shm, "/evil/x"), Path::new("shm/evil/x"));
        let kept = fs::File::open(bed.at("mnt/evil/x")).unwrap();
        umount2(&bed.at("mnt"), MntFlags::MNT_DETACH).unwrap();
        umount2(&bed.at("run/docker"), MntFlags::MNT_DETACH).unwrap();
        bed.replan();
        assert!(bed.sees(&path_of(&kept.into())));
        assert_eq!(bed.name(shm, "/evil/x"), Path::new("shm/evil/x"));
    });
}

#[test]
fn an_overlay_is_seen_through_its_layers_and_one_in_a_watched_directory_as_a_whole() {
    bed(|bed| {
        tmpfs(&bed.at("out"));
        for directory in ["out/low", "out/up", "out/work", "shm/low", "shm/over", "mnt/over"] {
            fs::create_dir_all(bed.at(directory)).unwrap();
        }
        program(&bed.at("shm/low/ours"));
        program(&bed.at("out/low/theirs"));
        let options = format!(
            "lowerdir={}:{},upperdir={},workdir={}",
            bed.at("shm/low").display(),
            bed.at("out/low").display(),
            bed.at("out/up").display(),
            bed.at("out/work").display()
        );
        let overlay = |at: &str| {
            mount(Some("o"), &bed.at(at), Some("overlay"), MsFlags::empty(), Some(options.as_str())).unwrap();
        };
        overlay("mnt/over");
        bed.replan();
        assert!(bed.sees(&bed.at("mnt/over/ours")));
        // Before Linux 6.5 the overlay itself carries a mark, because its layer's mark sees nothing.
        assert_eq!(bed.sees(&bed.at("mnt/over/theirs")), kernel() < (6, 5));
        unmount(&bed.at("mnt/over"));
        let overlay = |at: &str| {
            mount(Some("o"), &bed.at(at), Some("overlay"), MsFlags::empty(), Some(options.as_str())).unwrap();
        };
        overlay("shm/over");
        bed.replan();
        assert!(bed.sees(&bed.at("shm/over/theirs")));
        assert!(bed.sees(&bed.at("shm/over/ours")));
        unmount(&bed.at("shm/over"));
        fs::create_dir(bed.at("out/low2")).unwrap();
        let options = format!("lowerdir={}:{}", bed.at("out/low").display(), bed.at("out/low2").display());
        mount(Some("o"), &bed.at("shm/over"), Some("overlay"), MsFlags::empty(), Some(options.as_str()))
            .unwrap();
        bed.replan();
        assert!(bed.sees(&bed.at("shm/over/theirs")));
        assert!(bed.sees_in_new_namespace("", &bed.at("shm/over/theirs")));
        unmount(&bed.at("shm/over"));
        fs::create_dir_all(bed.at("shm/c/rootfs")).unwrap();
        mount(Some("o"), &bed.at("shm/c/rootfs"), Some("overlay"), MsFlags::empty(), Some(options.as_str()))
            .unwrap();
        bed.replan();
        assert!(bed.sees(&bed.at("shm/c/rootfs/theirs")));
        // A container lives in a copy of the mount: it is none of our business.
        assert!(!bed.sees_in_new_namespace("", &bed.at("shm/c/rootfs/theirs")));
    });
}

#[test]
fn an_image_kept_in_a_watched_directory_is_seen_wherever_it_is_mounted() {
    bed(|bed| {
        let image = bed.at("shm/image");
        fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status();
        if !made.is_ok_and(|status| status.success()) || !Path::new("/dev/loop-control").exists() {
            return eprintln!("SKIPPED: no mkfs.ext4 or no loop devices here");
        }
        let mounted =
            Command::new("mount").args(["-o", "loop"]).arg(&image).arg(bed.at("mnt")).status().unwrap();
        assert!(mounted.success());
        program(&bed.at("mnt/x"));
        bed.replan();
        assert!(bed.sees(&bed.at("mnt/x")));
        assert_eq!(bed.name(device(&bed.at("mnt")), "/x"), Path::new("shm/image/x"));
        unmount(&bed.at("mnt"));
    });
}

#[test]
fn a_disk_and_a_ramfs_on_a_subdirectory_are_seen_in_every_namespace() {
    bed(|bed| {
        fs::create_dir_all(bed.at("run/ram")).unwrap();
        mount(Some("r"), &bed.at("run/ram"), Some("ramfs"), MsFlags::empty(), None::<&str>).unwrap();
        program(&bed.at("run/ram/x"));
        bed.replan();
        assert!(bed.sees_in_new_namespace("", &bed.at("run/ram/x")));
        let image = bed.at("out/image");
        fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status();
        if !made.is_ok_and(|status| status.success()) || !Path::new("/dev/loop-control").exists() {
            return eprintln!("SKIPPED: no mkfs.ext4 or no loop devices here");
        }
        let mounted =
            Command::new("mount").args(["-o", "loop"]).arg(&image).arg(bed.at("shm")).status().unwrap();
        assert!(mounted.success());
        program(&bed.at("shm/x"));
        bed.replan();
        assert!(bed.sees_in_new_namespace("", &bed.at("shm/x")));
        unmount(&bed.at("shm"));
    });
}

#[test]
fn a_path_that_leads_elsewhere_by_now_is_not_opened() {
    bed(|bed| {
        bed.replan();
        let table = bed.view.table().unwrap();
        let mark =
            bed.plan.as_ref().unwrap().marks.iter().find(|mark| mark.path == bed.at("shm")).unwrap().clone();
        assert!(bed.view.open(&mark, &table).is_ok());
        tmpfs(&bed.at("shm"));
        assert_eq!(bed.view.open(&mark, &table).unwrap_err().raw_os_error(), Some(libc::ESTALE));
    });
}

/// Waits until the monitor tells of a change, at most a second.
fn told(monitor: &mut Monitor, patience: Duration) -> Option<Duration> {
    let began = Instant::now();
    let mut polled = [nix::poll::PollFd::new(monitor.fd(), monitor.events())];
    let timeout = u16::try_from(patience.as_millis()).unwrap();
    let ready = nix::poll::poll(&mut polled, timeout).unwrap();
    monitor.drain().unwrap();
    (ready > 0).then(|| began.elapsed())
}

#[test]
fn mounts_that_come_and_go_are_told_by_either_means_and_then_it_is_quiet() {
    bed(|bed| {
        for new in [Monitor::new, Monitor::polling] {
            let mut monitor = new(&bed.view).unwrap();
            let at = bed.at("run/later");
            assert!(told(&mut monitor, Duration::from_millis(20)).is_none(), "{}", monitor.means());
            tmpfs(&at);
            assert!(told(&mut monitor, Duration::from_secs(1)).is_some(), "{}", monitor.means());
            assert!(told(&mut monitor, Duration::from_millis(20)).is_none(), "{}", monitor.means());
            program(&at.join("x"));
            bed.replan();
            assert!(bed.sees(&at.join("x")));
            unmount(&at);
            assert!(told(&mut monitor, Duration::from_secs(1)).is_some(), "{}", monitor.means());
        }
    });
}

#[test]
fn where_the_kernel_tells_of_mounts_it_is_asked_to() {
    bed(|bed| {
        let expected = if kernel() >= (6, 14) { Means::Events } else { Means::Poll };
        assert_eq!(Monitor::new(&bed.view).unwrap().means(), expected);
    });
}

#[test]
fn another_process_is_looked_at_like_ourselves() {
    bed(|bed| {
        // The thread's own namespace, seen through its id: what a guard in a sandbox does with pid 1.
        let view = View::of(u32::try_from(nix::unistd::gettid().as_raw()).unwrap());
        let (own, other) = (bed.view.table().unwrap(), view.table().unwrap());
        assert_eq!(own.mounts(), other.mounts());
        bed.replan();
        let mark = bed.plan.as_ref().unwrap().marks.iter().find(|mark| mark.path == bed.at("shm")).unwrap();
        assert!(view.open(mark, &other).is_ok());
    });
}

/// A shell in a mount namespace of its own, which does what it is told, line by line.
struct Container {
    shell: std::process::Child,
    answers: std::io::BufReader<std::process::ChildStdout>,
}

impl Container {
    fn new(bed: &Bed, arguments: &[&str]) -> Self {
        Self::start(bed, Command::new("unshare").args(arguments))
    }

    fn start(bed: &Bed, command: &mut Command) -> Self {
        let mut shell = command
            .args(["sh", "-e"])
            .env("SHM", bed.at("shm"))
            .env("BASE", &bed.base)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let answers = std::io::BufReader::new(shell.stdout.take().unwrap());
        Self { shell, answers }
    }

    /// Does it, and waits until it is done.
    fn does(&mut self, line: &str) {
        use std::io::{BufRead as _, Write as _};
        let mut answer = String::new();
        self.shell.stdin.as_mut().unwrap().write_all(format!("{line}\necho done\n").as_bytes()).unwrap();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n", "{line}");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _status = self.shell.wait();
    }
}

impl Bed {
    fn namespaces(&self) -> Namespaces {
        Namespaces::new(&resolve(&[self.at("shm"), self.at("var/run")]), &View::own()).unwrap()
    }

    /// Scans, marks what was found, and says where it was.
    fn scan(&self, namespaces: &mut Namespaces) -> Vec<PathBuf> {
        let scan = namespaces.scan(&self.view.table().unwrap(), &|_| None).unwrap();
        for found in &scan.found {
            self.mark(&found.mark, &path_of(&found.fd));
        }
        scan.found
            .iter()
            .map(|found| found.mark.path.strip_prefix(&self.base).unwrap().to_path_buf())
            .collect()
    }
}

#[test]
fn two_hundred_namespaces_are_looked_at_in_one_scan() {
    bed(|bed| {
        let mut namespaces = bed.namespaces();
        let mut containers: Vec<Container> = (0..200).map(|_| Container::new(bed, &["-m"])).collect();
        for container in &mut containers {
            container.does("mount -t tmpfs c $SHM");
        }
        let scan = namespaces.scan(&bed.view.table().unwrap(), &|_| None).unwrap();
        assert_eq!(scan.found.len(), 200, "{} wait for the next scan", scan.postponed);
        drop(containers);
    });
}

#[test]
fn the_shared_memory_of_a_new_namespace_is_found_seen_and_forgotten() {
    bed(|bed| {
        bed.replan();
        let mut namespaces = bed.namespaces();
        assert!(bed.scan(&mut namespaces).is_empty());
        let mut container = Container::new(bed, &["-m"]);
        container.does("mount -t tmpfs c $SHM; cp /bin/true $SHM/x");
        assert_eq!(bed.scan(&mut namespaces), [Path::new("shm")]);
        assert_eq!(bed.seen(), 0);
        container.does("$SHM/x");
        assert!(bed.seen() > 0);
        assert_eq!(namespaces.foreign().len(), 1);
        assert_eq!(namespaces.foreign()[0].point, bed.at("shm").as_os_str().as_encoded_bytes());
        drop(container);
        let scan = namespaces.scan(&bed.view.table().unwrap(), &|_| None).unwrap();
        assert!(scan.changed && namespaces.foreign().is_empty());
    });
}

#[test]
fn what_a_known_namespace_mounts_later_is_found_by_the_next_scan() {
    bed(|bed| {
        let mut namespaces = bed.namespaces();
        let mut container = Container::new(bed, &["-m"]);
        container.does("true");
        assert!(bed.scan(&mut namespaces).is_empty());
        assert!(bed.scan(&mut namespaces).is_empty());
        container
            .does("mkdir -p $BASE/run/deep; mount -t tmpfs c $BASE/run/deep; cp /bin/true $BASE/run/deep/x");
        assert_eq!(bed.scan(&mut namespaces), [Path::new("run/deep")]);
        container.does("$BASE/run/deep/x");
        assert!(bed.seen() > 0);
    });
}

#[test]
fn no_namespace_can_make_the_guard_mark_what_it_must_not() {
    bed(|bed| {
        tmpfs(&bed.at("out"));
        program(&bed.at("out/part/x"));
        let mut namespaces = bed.namespaces();
        for hostile in [
            "mount --bind $BASE/out $SHM",
            "mount --bind $BASE/out/part $SHM",
            "mount --bind / $SHM",
            "mount -t tmpfs c $BASE/mnt; mkdir $BASE/mnt/part; mount --bind $BASE/mnt/part $SHM",
            "umount -l $BASE; rmdir $BASE/shm 2>/dev/null || true; mkdir -p $BASE; ln -s /tmp $BASE/shm",
        ] {
            let mut container = Container::new(bed, &["-m"]);
            container.does(hostile);
            assert!(bed.scan(&mut namespaces).is_empty(), "{hostile}");
            assert!(bed.scan(&mut namespaces).is_empty(), "{hostile}");
            container.does("rm -f $BASE/shm 2>/dev/null || true");
        }
    });
}

#[test]
fn a_namespace_of_another_user_s_user_namespace_is_not_looked_at() {
    bed(|bed| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&bed.base, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut namespaces = bed.namespaces();
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-Urm"];
        let mut container = Container::start(bed, Command::new("setpriv").args(nobody));
        container.does("mount -t tmpfs c $SHM; cp /bin/true $SHM/x");
        let scan = namespaces.scan(&bed.view.table().unwrap(), &|_| None).unwrap();
        assert!(scan.found.is_empty() && scan.not_ours > 0);
        container.does("$SHM/x");
        assert_eq!(bed.seen(), 0);
    });
}

#[test]
fn a_user_namespace_that_root_made_is_looked_at() {
    bed(|bed| {
        let mut namespaces = bed.namespaces();
        let mut container = Container::new(bed, &["-Urm"]);
        container.does("mount -t tmpfs c $SHM; cp /bin/true $SHM/x");
        assert_eq!(bed.scan(&mut namespaces), [Path::new("shm")]);
        container.does("$SHM/x");
        assert!(bed.seen() > 0);
    });
}
