//! Where the file is.

use super::*;
use crate::sys::testing;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

#[track_caller]
fn assert_inner(thread: i32, file: &File, inner: &[u8]) {
    for features in every_kind() {
        let attempt = look_at(features, thread, file);
        assert_eq!(attempt.object.inner, Fact::Known(inner.to_vec()), "{features:?}\n{:?}", attempt.object);
    }
}

#[track_caller]
fn assert_inner_unknown(thread: i32, file: &File, cause: Cause) {
    for features in every_kind() {
        let attempt = look_at(features, thread, file);
        assert_eq!(attempt.object.inner, Fact::Unknown(cause), "{features:?}\n{:?}", attempt.object);
    }
}

#[test]
fn a_plain_file_is_where_it_seems() {
    in_own_namespace("a_plain_file", |dir| {
        let path = program(&dir.join("sub/x"));
        let file = File::open(&path).unwrap();
        let metadata = file.metadata().unwrap();
        assert_inner(own_thread(), &file, b"/sub/x");
        for features in every_kind() {
            let object = look_at(features, own_thread(), &file).object;
            assert_eq!(object.seen, Fact::Known(bytes(&path)));
            assert_eq!(object.deleted, Fact::Known(false));
            assert_eq!(object.mount.nosuid, Fact::Known(false));
            assert_eq!(object.mount.unique, features.statmount);
            assert!(object.mount.id.known().is_some());
            let facts = *object.file.known().unwrap();
            let device = libc::makedev(facts.device.major, facts.device.minor);
            assert_eq!((device, facts.inode), (metadata.dev(), metadata.ino()));
            assert_eq!((facts.mode, facts.size, facts.links), (metadata.mode(), metadata.size(), 1));
            assert_eq!(facts.modified, metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec());
        }
    });
}

#[test]
fn the_root_directory_s_mount_needs_no_prefix() {
    let file = File::open("/proc/self/exe").unwrap();
    for features in every_kind() {
        let object = look_at(features, own_thread(), &file).object;
        assert!(matches!(&object.inner, Fact::Known(inner) if inner.starts_with(b"/")), "{object:?}");
    }
}

#[test]
fn a_bind_mount_does_not_change_the_inner_path() {
    in_own_namespace("a_bind_mount", |dir| {
        let path = program(&dir.join("evil/x"));
        let elsewhere = tempfile::tempdir().unwrap();
        // Names that begin alike are neighbours, not parents.
        for (from, name, below) in
            [("evil", "docker", "x"), ("", "dock", "evil/x"), ("evil", "d (deleted)", "x")]
        {
            let to = directory(elsewhere.path().join(name));
            bind(&dir.join(from), &to);
            let file = File::open(to.join(below)).unwrap();
            assert_inner(own_thread(), &file, b"/evil/x");
            let object = look_at(Features::probe(), own_thread(), &file).object;
            assert_eq!(object.seen, Fact::Known(bytes(to.join(below).canonicalize().unwrap())));
        }
        let alone = elsewhere.path().join("file");
        std::fs::write(&alone, "").unwrap();
        bind(&path, &alone);
        assert_inner(own_thread(), &File::open(&alone).unwrap(), b"/evil/x");
    });
}

#[test]
fn a_directory_of_a_watched_filesystem_bound_onto_another_of_it_keeps_its_name() {
    in_own_namespace("bind onto an excepted directory", |dir| {
        program(&dir.join("evil/x"));
        let excepted = directory(dir.join("docker"));
        bind(&dir.join("evil"), &excepted);
        let file = File::open(excepted.join("x")).unwrap();
        assert_inner(own_thread(), &file, b"/evil/x");
    });
}

#[test]
fn names_of_any_bytes_are_kept_on_both_sides() {
    in_own_namespace("names of any bytes", |dir| {
        for name in [b"\xFF\xFE".as_slice(), b"a\nb", b"a b\tc", b"a\\040b", b"a#b", b"\x1b[2J", b"\\", b"//"]
        {
            let name = name.strip_prefix(b"/").map_or(name, |_| b"slash");
            let name = OsStr::from_bytes(name);
            let path = program(&dir.join(name).join(name));
            let inner = [b"/", name.as_bytes(), b"/", name.as_bytes()].concat();
            assert_inner(own_thread(), &File::open(&path).unwrap(), &inner);
            // The mount's root and its point are such names too.
            let point = directory(dir.join([name.as_bytes(), b"2"].concat().as_os_str()));
            bind(&dir.join(name), &point);
            assert_inner(own_thread(), &File::open(point.join(name)).unwrap(), &inner);
        }
    });
}

trait AsOsStr {
    fn as_os_str(&self) -> &OsStr;
}

impl AsOsStr for Vec<u8> {
    fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(self)
    }
}

#[test]
fn a_deleted_file_keeps_its_last_place() {
    in_own_namespace("a_deleted_file", |dir| {
        let path = program(&dir.join("gone"));
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_inner(own_thread(), &file, b"/gone");
        for features in every_kind() {
            let object = look_at(features, own_thread(), &file).object;
            assert_eq!(object.deleted, Fact::Known(true));
            assert_eq!(object.seen, Fact::Known([bytes(&path), b" (deleted)".to_vec()].concat()));
        }
        // With the directory gone too, and as the root of a mount of its own.
        let path = program(&dir.join("d/f"));
        let (file, point) = (File::open(&path).unwrap(), dir.join("point"));
        std::fs::write(&point, "").unwrap();
        bind(&path, &point);
        let bound = File::open(&point).unwrap();
        std::fs::remove_dir_all(dir.join("d")).unwrap();
        assert_inner(own_thread(), &file, b"/d/f");
        assert_inner(own_thread(), &bound, b"/d/f");
    });
}

#[test]
fn a_file_without_a_name_is_deleted() {
    in_own_namespace("O_TMPFILE", |dir| {
        use std::os::unix::fs::OpenOptionsExt;
        let file = File::options().read(true).write(true).custom_flags(libc::O_TMPFILE).open(dir).unwrap();
        let object = look_at(Features::probe(), own_thread(), &file).object;
        assert_eq!(object.deleted, Fact::Known(true));
        assert!(matches!(&object.inner, Fact::Known(inner) if inner.starts_with(b"/#")), "{object:?}");
    });
}

#[test]
fn a_file_may_truly_be_called_deleted() {
    in_own_namespace("called deleted", |dir| {
        let path = program(&dir.join("x (deleted)"));
        let file = File::open(&path).unwrap();
        assert_inner(own_thread(), &file, b"/x (deleted)");
        assert_eq!(look_at(Features::probe(), own_thread(), &file).object.deleted, Fact::Known(false));
        std::fs::remove_file(&path).unwrap();
        assert_inner(own_thread(), &file, b"/x (deleted)");
        assert_eq!(look_at(Features::probe(), own_thread(), &file).object.deleted, Fact::Known(true));
    });
}

#[test]
fn a_removed_name_of_a_file_that_has_another_is_unknown() {
    in_own_namespace("a removed hard link", |dir| {
        let path = program(&dir.join("docker/x"));
        let file = File::open(&path).unwrap();
        std::fs::hard_link(&path, dir.join("y")).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_inner_unknown(own_thread(), &file, Cause::Unsteady);
        let object = look_at(Features::probe(), own_thread(), &file).object;
        assert_eq!(object.deleted, Fact::Unknown(Cause::Unsteady));
        // Another file that stands where the path points does not make it true.
        program(&dir.join("docker/x (deleted)"));
        assert_inner_unknown(own_thread(), &file, Cause::Unsteady);
    });
}

#[test]
fn a_path_longer_than_a_link_can_be_is_told_whole() {
    in_own_namespace("a long path", |dir| {
        use nix::fcntl::{OFlag, openat};
        use nix::sys::stat::{Mode, mkdirat};
        let part = "d".repeat(250);
        let mut at = std::os::fd::OwnedFd::from(File::open(dir).unwrap());
        let mut inner = String::new();
        for _ in 0..40 {
            mkdirat(&at, part.as_str(), Mode::S_IRWXU).unwrap();
            at = openat(&at, part.as_str(), OFlag::O_DIRECTORY, Mode::empty()).unwrap();
            inner = format!("{inner}/{part}");
        }
        let create = OFlag::O_CREAT | OFlag::O_RDWR;
        let file = File::from(openat(&at, "x\ny", create, Mode::S_IRWXU).unwrap());
        inner.push_str("/x\ny");
        assert_inner_unknown(own_thread(), &file, Cause::TooLong);
        let file = File::from(openat(&at, "x y", create, Mode::S_IRWXU).unwrap());
        let inner = inner.replace("x\ny", "x y");
        assert!(inner.len() > 10_000);
        assert_inner(own_thread(), &file, inner.as_bytes());
        let object = look_at(Features::probe(), own_thread(), &file).object;
        assert_eq!(object.seen, Fact::Known([bytes(dir), inner.into_bytes()].concat()));
    });
}

#[test]
fn in_another_namespace_the_inner_path_is_the_same() {
    in_own_namespace("another namespace", |dir| {
        program(&dir.join("evil/x"));
        let (from, to) = (dir.join("evil"), directory(dir.join("docker")));
        let caller = Caller::that(move || {
            own_mounts();
            bind(&from, &to);
            File::open(to.join("x")).unwrap()
        });
        assert_inner(caller.id, &caller.made, b"/evil/x");
        let object = look_at(Features::probe(), caller.id, &caller.made).object;
        assert_eq!(object.seen, Fact::Known(bytes(dir.join("docker/x"))));
        // Once found, a namespace needs no caller.
        let mut identifier = Identifier::new().unwrap();
        let mut attempt = Attempt::default();
        for thread in [caller.id, 0] {
            identifier.essential(thread, caller.made.as_fd(), &Scope::default(), &mut attempt);
            assert_eq!(attempt.object.inner, Fact::Known(b"/evil/x".to_vec()));
        }
    });
}

#[test]
fn with_many_namespaces_our_own_is_never_forgotten() {
    in_own_namespace("many namespaces", |dir| {
        let path = program(&dir.join("x"));
        let mut identifier = Identifier::new().unwrap();
        let mut attempt = Attempt::default();
        for _ in 0..20 {
            let path = path.clone();
            let caller = Caller::that(move || {
                own_mounts();
                File::open(path).unwrap()
            });
            for file in [&caller.made, &File::open(dir.join("x")).unwrap()] {
                identifier.essential(caller.id, file.as_fd(), &Scope::default(), &mut attempt);
                assert_eq!(attempt.object.inner, Fact::Known(b"/x".to_vec()));
            }
        }
    });
}

/// The caller's table of mounts counts from its root, and the path from that of its namespace: with a root at /r and
/// a mount at /r/r, the file /r/r/evil/x would seem to lie below the mount point /r, and so to be /r/evil/x.
#[test]
fn a_chroot_in_another_namespace_cannot_aim_an_exception() {
    in_own_namespace("a chroot", |dir| {
        program(&dir.join("evil/x"));
        let source = dir.to_path_buf();
        let root = tempfile::tempdir().unwrap();
        let path = root.path().canonicalize().unwrap();
        let caller = Caller::that(move || {
            own_mounts();
            let point = directory(path.join(path.strip_prefix("/").unwrap()));
            bind(&source, &point);
            let file = File::open(point.join("evil/x")).unwrap();
            nix::unistd::chroot(&path).unwrap();
            file
        });
        for features in every_kind() {
            let object = look_at(features, caller.id, &caller.made).object;
            if object.inner.is_unknown() {
                assert!(!features.foreign_statmount, "{features:?}");
            } else {
                assert_eq!(object.inner, Fact::Known(b"/evil/x".to_vec()), "{features:?}");
            }
        }
    });
}

#[test]
fn a_chroot_in_our_namespace_changes_nothing() {
    in_own_namespace("a chroot of ours", |dir| {
        let path = program(&dir.join("a/x"));
        let root = dir.to_path_buf();
        let caller = Caller::that(move || {
            unshare(CloneFlags::CLONE_FS).unwrap();
            nix::unistd::chroot(&root).unwrap();
            File::open("/a/x").unwrap()
        });
        assert!(path.exists());
        assert_inner(caller.id, &caller.made, b"/a/x");
    });
}

#[test]
fn a_mount_that_is_nowhere_leaves_the_place_unknown() {
    in_own_namespace("detached mounts", |dir| {
        program(&dir.join("docker/x"));
        let copy = testing::detached_copy(&CString::new(bytes(dir)).unwrap()).unwrap();
        let file =
            nix::fcntl::openat(&copy, "docker/x", nix::fcntl::OFlag::O_RDONLY, nix::sys::stat::Mode::empty());
        let file = File::from(file.unwrap());
        assert_inner_unknown(own_thread(), &file, Cause::Unsupported);
        let object = look_at(Features::probe(), own_thread(), &file).object;
        assert_eq!(object.seen, Fact::Known(b"/docker/x".to_vec()));
        assert!(object.file.known().is_some());

        let lazily = directory(dir.join("lazily"));
        tmpfs(&lazily);
        let file = File::open(program(&lazily.join("x"))).unwrap();
        nix::mount::umount2(&lazily, nix::mount::MntFlags::MNT_DETACH).unwrap();
        assert_inner_unknown(own_thread(), &file, Cause::Unsupported);
    });
}

#[test]
fn a_moved_mount_is_seen_where_it_is_now() {
    in_own_namespace("a moved mount", |dir| {
        let (one, two) = (directory(dir.join("one")), directory(dir.join("two/one")));
        tmpfs(&one);
        let file = File::open(program(&one.join("evil/x"))).unwrap();
        let mut identifier = Identifier::new().unwrap();
        let mut attempt = Attempt::default();
        let mut inner = |attempt: &mut Attempt| {
            identifier.essential(own_thread(), file.as_fd(), &Scope::default(), attempt);
            (attempt.object.inner.clone(), attempt.object.seen.clone())
        };
        let evil = Fact::Known(b"/evil/x".to_vec());
        assert_eq!(inner(&mut attempt), (evil.clone(), Fact::Known(bytes(one.join("evil/x")))));
        mount(Some(&one), &two, None::<&Path>, MsFlags::MS_MOVE, None::<&Path>).unwrap();
        assert_eq!(inner(&mut attempt), (evil, Fact::Known(bytes(two.join("evil/x")))));
    });
}

/// What is kept of a mount must not be believed once the mount has moved, however well it would fit, nor its flags.
#[test]
fn a_mount_that_was_kept_is_not_believed_after_a_change() {
    in_own_namespace("a kept mount", |dir| {
        let (place, aside) = (directory(dir.join("place")), directory(dir.join("aside")));
        let below = directory(place.join("docker"));
        tmpfs(&place);
        let file = File::open(program(&place.join("x"))).unwrap();
        let mut identifier = Identifier::new().unwrap();
        let mut attempt = Attempt::default();
        let mut look = |attempt: &mut Attempt| {
            identifier.essential(own_thread(), file.as_fd(), &Scope::default(), attempt);
            identifier.essential(own_thread(), file.as_fd(), &Scope::default(), attempt);
            (attempt.object.inner.clone(), attempt.object.mount.nosuid.clone())
        };
        let inner = Fact::Known(b"/x".to_vec());
        assert_eq!(look(&mut attempt), (inner.clone(), Fact::Known(false)));
        let moved = |from: &Path, to: &Path| {
            mount(Some(from), to, None::<&Path>, MsFlags::MS_MOVE, None::<&Path>).unwrap();
        };
        moved(&place, &aside);
        // The mount point of before begins the path of now: taken for true, it would make "/docker/x" of it.
        moved(&aside, &below);
        assert_eq!(look(&mut attempt).0, inner);
        assert_eq!(attempt.object.seen, Fact::Known(bytes(below.join("x"))));
        let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID;
        mount(None::<&Path>, &below, None::<&Path>, again, None::<&Path>).unwrap();
        assert_eq!(look(&mut attempt), (inner.clone(), Fact::Known(true)));
        // A renamed directory is no change of the namespace.
        std::fs::rename(dir.join("place"), dir.join("elsewhere")).unwrap();
        assert_eq!(look(&mut attempt).0, inner);
    });
}

#[test]
fn a_nosuid_mount_is_known_as_such() {
    in_own_namespace("nosuid", |dir| {
        let path = program(&dir.join("x"));
        let point = directory(dir.join("nosuid"));
        bind(dir, &point);
        let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID;
        mount(None::<&Path>, &point, None::<&Path>, again, None::<&Path>).unwrap();
        for features in every_kind() {
            let nosuid = |path: &Path| {
                let file = File::open(path).unwrap();
                let mut object = look_at(features, own_thread(), &file).object;
                let told = object.mount.nosuid.clone();
                // The other means says the same of the same superblock.
                object.mount.nosuid = Fact::Unread;
                assert_eq!(super::super::object::nosuid(file.as_fd(), &mut object), told);
                told
            };
            assert_eq!(nosuid(&path), Fact::Known(false));
            assert_eq!(nosuid(&point.join("x")), Fact::Known(true));
        }
    });
}

#[test]
fn an_attempt_that_is_used_again_keeps_nothing_and_its_buffers() {
    in_own_namespace("used again", |dir| {
        let long = File::open(program(&dir.join("a-long-name/of-a-program"))).unwrap();
        let short = File::open(program(&dir.join("x"))).unwrap();
        let (mut identifier, mut attempt) = (Identifier::new().unwrap(), Attempt::default());
        let scope = Scope::default();
        identifier.essential(own_thread(), long.as_fd(), &scope, &mut attempt);
        identifier.fetch(Groups::ALL, long.as_fd(), &mut attempt, Instant::now() + Duration::from_secs(5));
        let buffer = |fact: &Fact<Vec<u8>>| fact.known().unwrap().as_ptr();
        let buffers = (buffer(&attempt.object.inner), buffer(&attempt.object.seen));
        identifier.essential(own_thread(), short.as_fd(), &scope, &mut attempt);
        assert_eq!((buffer(&attempt.object.inner), buffer(&attempt.object.seen)), buffers);
        let fresh = look_at(identifier.features(), own_thread(), &short);
        assert_eq!(format!("{attempt:?}"), format!("{fresh:?}"));
    });
}

mod confirm {
    use super::*;

    fn named(identifier: &mut Identifier, file: &File, prefix: &Path) -> Attempt {
        let mut attempt = Attempt::default();
        identifier.essential(own_thread(), file.as_fd(), &Scope::default(), &mut attempt);
        let inner = attempt.object.inner.known().unwrap().clone();
        attempt.object.names = Texts::new();
        attempt.object.names.push_parts(&[&bytes(prefix), &inner]);
        attempt
    }

    #[test]
    fn a_file_that_stays_is_confirmed_and_one_that_moves_is_not() {
        in_own_namespace("confirm", |dir| {
            let path = program(&dir.join("docker/x"));
            let file = File::open(&path).unwrap();
            for features in every_kind() {
                let mut identifier = Identifier::with(features).unwrap();
                let attempt = named(&mut identifier, &file, dir);
                assert_eq!(
                    identifier.confirm(file.as_fd(), &Scope::default(), &attempt),
                    Standing::Lately,
                    "{features:?}"
                );
                let aside = dir.join("y");
                std::fs::rename(&path, &aside).unwrap();
                assert_eq!(identifier.confirm(file.as_fd(), &Scope::default(), &attempt), Standing::Gone);
                std::fs::rename(&aside, &path).unwrap();
                assert_eq!(identifier.confirm(file.as_fd(), &Scope::default(), &attempt), Standing::Lately);
            }
        });
    }

    #[test]
    fn a_deleted_file_is_confirmed_by_its_last_place_alone() {
        in_own_namespace("confirm deleted", |dir| {
            let path = program(&dir.join("docker/x"));
            let file = File::open(&path).unwrap();
            let mut identifier = Identifier::new().unwrap();
            let attempt = named(&mut identifier, &file, dir);
            std::fs::remove_file(&path).unwrap();
            // It was there, and is no more.
            assert_eq!(identifier.confirm(file.as_fd(), &Scope::default(), &attempt), Standing::Gone);
            let attempt = named(&mut identifier, &file, dir);
            assert_eq!(identifier.confirm(file.as_fd(), &Scope::default(), &attempt), Standing::Lately);
        });
    }

    /// Text alone can be made up by whoever moves mounts between the kernel's two answers; the file cannot.
    #[test]
    fn a_place_at_which_another_file_stands_is_not_confirmed() {
        in_own_namespace("confirm against the file", |dir| {
            program(&dir.join("docker/x"));
            let evil = File::open(program(&dir.join("evil/x"))).unwrap();
            let identifier = Identifier::new().unwrap();
            let stat = statx::of(evil.as_fd(), Want::Unique).unwrap();
            let device = Device { major: stat.device.0, minor: stat.device.1 };
            let stands = |inner: &str, prefix: &Path| {
                let name = [bytes(prefix), inner.into()].concat();
                identifier.files.stands(&stat, device, inner.as_bytes(), [name.as_slice()].into_iter())
            };
            assert_eq!(stands("/evil/x", dir), Some(true));
            assert_eq!(stands("/docker/x", dir), Some(false));
            assert_eq!(stands("/docker/none", dir), Some(false));
            // A link that points at the file is not the file.
            std::os::unix::fs::symlink("../evil/x", dir.join("docker/link")).unwrap();
            assert_eq!(stands("/docker/link", dir), Some(false));
            std::os::unix::fs::symlink("evil", dir.join("run")).unwrap();
            assert_eq!(stands("/run/x", dir), Some(false));
            // Another superblock stands at that name with us: there is nothing to compare with.
            assert_eq!(stands("/docker/x", Path::new("/proc")), None);
        });
    }

    #[test]
    fn an_unknown_place_is_never_confirmed() {
        in_own_namespace("confirm unknown", |dir| {
            let file = File::open(program(&dir.join("x"))).unwrap();
            let mut identifier = Identifier::new().unwrap();
            let mut attempt = named(&mut identifier, &file, dir);
            attempt.object.inner = Fact::Unknown(Cause::Unsteady);
            assert_eq!(identifier.confirm(file.as_fd(), &Scope::default(), &attempt), Standing::Gone);
        });
    }

    /// A mount that goes to and fro between /one and /one/p: its file /p/docker/x is now at /one/p/docker/x, now at
    /// /one/p/p/docker/x. The first path with the second mount point would make it /docker/x.
    #[test]
    fn a_mount_that_moves_all_the_time_never_aims_an_exception() {
        in_own_namespace("a mount that moves all the time", |dir| {
            let one = directory(dir.join("one"));
            let below = File::open(directory(one.join("p"))).unwrap();
            tmpfs(&one);
            program(&one.join("docker/x"));
            let file = File::open(program(&one.join("p/docker/x"))).unwrap();
            let watched = directory(dir.join("watched"));
            bind(&one, &watched);
            let stop = std::sync::atomic::AtomicBool::new(false);
            let moves = std::sync::atomic::AtomicUsize::new(0);
            let (mut wrong, mut known, mut confirmed) = (0, 0, 0);
            std::thread::scope(|scope| {
                let (stop, moves) = (&stop, &moves);
                scope.spawn(move || {
                    use std::os::fd::AsRawFd;
                    let below = PathBuf::from(format!("/proc/self/fd/{}", below.as_raw_fd()));
                    let moved = |from: &Path, to: &Path| {
                        mount(Some(from), to, None::<&Path>, MsFlags::MS_MOVE, None::<&Path>).unwrap();
                        moves.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    };
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        moved(&one, &below);
                        moved(&one.join("p"), &one);
                    }
                });
                let mut identifier = Identifier::new().unwrap();
                let (mut attempt, end) = (Attempt::default(), Instant::now() + Duration::from_millis(1000));
                while Instant::now() < end {
                    identifier.essential(own_thread(), file.as_fd(), &Scope::default(), &mut attempt);
                    let Some(inner) = attempt.object.inner.known() else { continue };
                    known += 1;
                    if inner == b"/p/docker/x" {
                        continue;
                    }
                    wrong += 1;
                    attempt.object.names = [[bytes(&watched), inner.clone()].concat()].iter().collect();
                    confirmed += usize::from(
                        identifier.confirm(file.as_fd(), &Scope::default(), &attempt) != Standing::Gone,
                    );
                }
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            });
            eprintln!("{wrong} of {known} places were made up in {moves:?} moves");
            assert_eq!(confirmed, 0);
        });
    }
}
