//! Who calls, and whom the program would run as.

use super::*;
use crate::sys::testing;

fn subject(features: Features, thread: i32, file: &File) -> Subject {
    look_at(features, thread, file).subject
}

fn anything() -> File {
    File::open("/proc/self/exe").unwrap()
}

#[test]
fn the_credentials_are_those_of_the_exact_thread() {
    if !is_privileged("the_credentials_are_those_of_the_exact_thread") {
        return;
    }
    let caller = Caller::that(|| {
        testing::set_thread_gids(21, 22, 23).unwrap();
        testing::set_thread_uids(11, 12, 13).unwrap();
        testing::set_thread_fsuid(13);
    });
    for features in every_kind() {
        let subject = subject(features, caller.id, &anything());
        let credentials = *subject.credentials.known().unwrap();
        let uids = [credentials.ruid, credentials.euid, credentials.suid, credentials.fsuid];
        assert_eq!(uids, [11, 12, 13, 13].map(Uid), "{features:?}");
        let gids = [credentials.rgid, credentials.egid, credentials.sgid, credentials.fsgid];
        assert_eq!(gids, [21, 22, 23, 22].map(Gid));
        assert_eq!(subject.thread, Fact::Known(Pid(caller.id)));
        assert_eq!(subject.process, Fact::Known(Pid(nix::unistd::getpid().as_raw())));
        assert_eq!(subject.parent_pid, Fact::Known(Pid(nix::unistd::getppid().as_raw())));
        assert_eq!((subject.user, subject.group), (Fact::Known(Uid(12)), Fact::Known(Gid(22))));
    }
}

/// The thread's descriptor is kept from one look to the next, what it told is not.
#[test]
fn a_thread_that_changes_its_ids_is_told_as_it_is_now() {
    if !is_privileged("a_thread_that_changes_its_ids_is_told_as_it_is_now") {
        return;
    }
    let thread = std::thread::spawn(|| {
        let mut identifier = Identifier::new().unwrap();
        let (mut attempt, file) = (Attempt::default(), anything());
        let mut look = || {
            identifier.essential(own_thread(), file.as_fd(), &Scope::default(), &mut attempt);
            attempt.subject.credentials.known().unwrap().ruid
        };
        let before = look();
        testing::set_thread_uids(11, 12, 13).unwrap();
        (before, look())
    });
    assert_eq!(thread.join().unwrap(), (Uid::ROOT, Uid(11)));
}

#[test]
fn a_real_root_behind_another_effective_user_is_root() {
    if !is_privileged("a_real_root_behind_another_effective_user_is_root") {
        return;
    }
    for (uids, user) in [([0, 1000, 1000], 0), ([1000, 0, 1000], 0), ([1000, 1000, 0], 1000), ([1, 2, 3], 2)]
    {
        let caller = Caller::that(move || testing::set_thread_uids(uids[0], uids[1], uids[2]).unwrap());
        for features in every_kind() {
            assert_eq!(subject(features, caller.id, &anything()).user, Fact::Known(Uid(user)), "{uids:?}");
        }
    }
}

#[test]
fn a_set_id_file_counts_unless_it_surely_does_not() {
    in_own_namespace("set-id files", |dir| {
        let path = program(&dir.join("x"));
        let set = |uid, gid, mode| {
            std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let point = directory(dir.join("nosuid"));
        bind(dir, &point);
        let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID;
        mount(None::<&Path>, &point, None::<&Path>, again, None::<&Path>).unwrap();
        let user = || testing::set_thread_uids(1000, 1000, 1000).unwrap();
        let plain = Caller::that(user);
        let bound = Caller::that(move || {
            testing::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).unwrap();
            user();
        });
        for features in every_kind() {
            let after = |caller: i32, path: &Path| {
                let subject = subject(features, caller, &File::open(path).unwrap());
                (subject.user.known().copied().unwrap().0, subject.group.known().copied().unwrap().0)
            };
            set(0, 7, 0o4755);
            assert_eq!(after(plain.id, &path), (0, 0));
            assert_eq!(after(bound.id, &path), (1000, 0));
            assert_eq!(after(plain.id, &point.join("x")), (1000, 0));
            set(1001, 7, 0o6755);
            assert_eq!(after(plain.id, &path), (1001, 7));
            assert_eq!(after(bound.id, &path), (1000, 0));
            set(0, 7, 0o755);
            assert_eq!(after(plain.id, &path), (1000, 0));
        }
    });
}

#[test]
fn a_thread_that_has_ended_is_gone_and_one_without_a_number_is_outside() {
    let id = {
        let caller = Caller::that(|| ());
        caller.id
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while Path::new(&format!("/proc/{id}")).exists() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(1));
    }
    for features in every_kind() {
        for (thread, cause) in
            [(id, Cause::Gone), (0, Cause::OutsideNamespace), (-1, Cause::OutsideNamespace)]
        {
            let subject = subject(features, thread, &anything());
            assert_eq!(subject.process, Fact::Unknown(cause), "{features:?}");
            assert_eq!(subject.parent_pid, Fact::Unknown(cause));
            assert_eq!(subject.credentials, Fact::Unknown(cause));
            assert_eq!((subject.user, subject.group), (Fact::Unknown(cause), Fact::Unknown(cause)));
        }
    }
}

#[test]
fn every_kind_of_kernel_tells_the_same_of_everybody() {
    let tasks: Vec<i32> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .collect();
    assert!(tasks.len() > 1);
    let file = anything();
    let mut compared = 0;
    for task in tasks {
        let told: Vec<_> = every_kind().into_iter().map(|features| subject(features, task, &file)).collect();
        let first = &told[0];
        if told.iter().any(|subject| subject.process == Fact::Unknown(Cause::Gone)) {
            continue;
        }
        for subject in &told {
            assert_eq!(subject.credentials, first.credentials, "{task}");
            assert_eq!((&subject.process, &subject.user), (&first.process, &first.user), "{task}");
        }
        compared += 1;
    }
    assert!(compared > 0);
}

/// With no descriptor left, the owner of the task's directory still tells the effective user.
#[test]
fn root_is_recognised_even_when_nothing_can_be_opened() {
    if !is_privileged("root_is_recognised_even_when_nothing_can_be_opened") {
        return;
    }
    let identifier = Identifier::new().unwrap();
    let exhausted = Cause::Failed(libc::EMFILE);
    for (uids, expected) in [
        ([1000, 0, 1000], Fact::Known(Uid::ROOT)),
        // The real user, which cannot be seen so, is root.
        ([0, 1000, 1000], Fact::Unknown(exhausted)),
        ([1000, 1000, 1000], Fact::Unknown(exhausted)),
    ] {
        let caller = Caller::that(move || testing::set_thread_uids(uids[0], uids[1], uids[2]).unwrap());
        assert_eq!(identifier.suspect(Some(caller.id), exhausted), expected, "{uids:?}");
    }
    assert_eq!(identifier.suspect(None, exhausted), Fact::Unknown(exhausted));
}
