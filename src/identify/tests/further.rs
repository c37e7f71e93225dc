//! The groups that are fetched when somebody asks.

use super::*;
use crate::event::{Capabilities, Process};
use crate::sys::testing;
use std::process::{Child, Command, Stdio};

fn later() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn fetched(features: Features, groups: Groups, thread: i32, file: &File) -> Attempt {
    let (mut identifier, mut attempt) = (Identifier::with(features).unwrap(), Attempt::default());
    identifier.essential(thread, file.as_fd(), &Scope::default(), &mut attempt);
    identifier.fetch(groups, file.as_fd(), &mut attempt, later());
    attempt
}

/// A small one: everything includes its hash.
fn anything() -> File {
    File::open("/proc/self/stat").unwrap()
}

/// A child that waits for its standard input to close.
struct Waits(Child);

impl Waits {
    fn new(arguments: &[&str]) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test may start programs")]
        let mut command = Command::new("/bin/cat");
        let child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        Self(child).ready()
    }

    /// Until it is no longer a copy of us.
    fn ready(self) -> Self {
        let deadline = later();
        while std::fs::read(format!("/proc/{}/comm", self.id())).unwrap() != b"cat\n" {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
        self
    }

    fn id(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

fn link(pid: i32, name: &str) -> Vec<u8> {
    bytes(std::fs::read_link(format!("/proc/{pid}/{name}")).unwrap())
}

#[test]
fn a_child_is_told_with_its_parent_and_its_leaders() {
    let child = Waits::new(&["-", "a b"]);
    let us = nix::unistd::getpid().as_raw();
    for features in every_kind() {
        let subject = fetched(features, Groups::ALL, child.id(), &anything()).subject;
        assert_eq!(subject.process, Fact::Known(Pid(child.id())));
        assert_eq!(subject.name, Fact::Known(b"cat".to_vec()));
        let previous = subject.previous.known().unwrap();
        assert_eq!(previous.executable, Fact::Known(link(child.id(), "exe")));
        assert_eq!(previous.args, Fact::Known(["/bin/cat", "-", "a b"].into_iter().collect()));
        let parent = subject.parent.known().unwrap();
        assert_eq!(parent.pid, Fact::Known(Pid(us)));
        assert_eq!(parent.image.executable, Fact::Known(link(us, "exe")));
        assert_eq!(parent.image.args, Fact::Known(std::env::args().collect()));
        assert_eq!(parent.directory, Fact::Known(link(us, "cwd")));
        assert_eq!(parent.credentials, subject.credentials);
        assert!(parent.start.known().unwrap() <= subject.start.known().unwrap());
        assert_eq!(subject.directory, Fact::Known(link(child.id(), "cwd")));
        let leader = |fact: &Fact<Process>| fact.known().unwrap().pid.known().copied().unwrap().0;
        assert_eq!(leader(&subject.group_leader), nix::unistd::getpgrp().as_raw());
        let session = nix::unistd::getsid(None).unwrap().as_raw();
        if session > 0 {
            assert_eq!(leader(&subject.session_leader), session);
        }
        let entry = leader(&subject.entry_leader);
        assert_ne!(entry, child.id(), "its parent is this test, not init");
        let namespaces = *subject.namespaces.known().unwrap();
        let number = |name: &str| std::fs::metadata(format!("/proc/self/ns/{name}")).unwrap().ino();
        assert_eq!(
            (namespaces.mount, namespaces.pid, namespaces.user),
            (number("mnt"), number("pid"), number("user"))
        );
        let privileges = *subject.privileges.known().unwrap();
        let sets = crate::sys::tasks::capabilities(child.id()).unwrap();
        assert_eq!(privileges.permitted, Capabilities(sets.permitted));
        assert!(!subject.cgroup.is_unread() && !subject.cgroup.is_unknown());
        assert!(!subject.login.is_unread() && !subject.interactive.is_unread());
    }
}

#[test]
fn a_kernel_thread_has_no_image_and_that_is_no_failure() {
    if !is_privileged("a_kernel_thread_has_no_image") {
        return;
    }
    let Ok(comm) = std::fs::read("/proc/2/comm") else { return };
    if comm != b"kthreadd\n" {
        return;
    }
    let subject = fetched(Features::probe(), Groups::ALL, 2, &anything()).subject;
    assert_eq!(subject.previous.known().unwrap().executable, Fact::Absent);
    assert_eq!((subject.parent_pid, subject.parent), (Fact::Absent, Fact::Absent));
    assert_eq!(subject.entry_leader.known().unwrap().pid, Fact::Known(Pid(2)));
    // It waits in no exec.
    assert_eq!(subject.arguments, Fact::Unknown(Cause::Unsupported));
}

#[test]
fn whoever_has_ended_leaves_every_group_unknown_and_none_unread() {
    let id = {
        let mut child = Waits::new(&[]);
        drop(child.0.stdin.take());
        child.0.wait().unwrap();
        child.id()
    };
    let file = anything();
    for features in every_kind() {
        for (thread, cause) in [(id, Cause::Gone), (0, Cause::OutsideNamespace)] {
            let attempt = fetched(features, Groups::ALL, thread, &file);
            let subject = format!("{:?}", attempt.subject);
            assert!(!subject.contains("Unread"), "{subject}");
            assert_eq!(attempt.subject.parent, Fact::Unknown(cause));
            assert_eq!(attempt.subject.arguments, Fact::Unknown(cause));
            assert_eq!(attempt.subject.gains_privilege, Fact::Unknown(cause));
            // The file is at hand all the same.
            assert!(attempt.object.sha256.known().is_some());
            assert_eq!(attempt.object.capabilities, Fact::Known(false));
        }
    }
}

#[test]
fn a_task_that_began_after_the_event_is_another_one() {
    let child = Waits::new(&[]);
    let (mut identifier, mut attempt) = (Identifier::new().unwrap(), Attempt::default());
    let file = anything();
    identifier.essential(child.id(), file.as_fd(), &Scope::default(), &mut attempt);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    for (age, expected) in [(0, true), (3600, false)] {
        attempt.at.0 = u64::try_from((now - Duration::from_secs(age)).as_nanos()).unwrap();
        (attempt.subject.parent, attempt.subject.start) = (Fact::Unread, Fact::Unread);
        identifier.fetch(Groups::PARENT, file.as_fd(), &mut attempt, later());
        assert_eq!(attempt.subject.start.known().is_some(), expected, "{age}");
        assert_eq!(attempt.subject.parent.known().is_some(), expected);
    }
}

#[test]
fn a_parent_that_changed_meanwhile_is_unsteady() {
    let child = Waits::new(&[]);
    let (mut identifier, mut attempt) = (Identifier::new().unwrap(), Attempt::default());
    let file = anything();
    identifier.essential(child.id(), file.as_fd(), &Scope::default(), &mut attempt);
    attempt.subject.parent_pid = Fact::Known(Pid(1));
    identifier.fetch(Groups::PARENT, file.as_fd(), &mut attempt, later());
    assert_eq!(attempt.subject.parent, Fact::Unknown(Cause::Unsteady));
}

mod privileges {
    use super::*;

    const NET_RAW: u32 = 1 << 13;

    /// `vfs_cap_data` of version 2 with the effective flag.
    fn attribute(permitted: u32, inheritable: u32) -> Vec<u8> {
        [0x0200_0001, permitted, inheritable, 0, 0].iter().flat_map(|word: &u32| word.to_le_bytes()).collect()
    }

    /// A user without capabilities but `kept`, permitted and inheritable, and ambient where wanted.
    fn user(kept: u32, ambient: bool) {
        testing::prctl(libc::PR_SET_KEEPCAPS, 1, 0).unwrap();
        testing::set_thread_uids(1000, 1000, 1000).unwrap();
        testing::set_capabilities(0, kept, kept).unwrap();
        if ambient {
            let raise = u64::try_from(libc::PR_CAP_AMBIENT_RAISE).unwrap();
            testing::prctl(libc::PR_CAP_AMBIENT, raise, 13).unwrap();
        }
    }

    /// Both ways to the answer.
    #[track_caller]
    fn gains(thread: i32, file: &Path) -> bool {
        let file = File::open(file).unwrap();
        let [cheap, whole] = [Groups::GAIN, Groups::PRIVILEGES].map(|groups| {
            let attempt = fetched(Features::probe(), groups, thread, &file);
            assert_eq!(attempt.subject.user, Fact::Known(Uid(1000)));
            *attempt.subject.gains_privilege.known().unwrap()
        });
        assert_eq!(cheap, whole);
        cheap
    }

    #[test]
    fn what_a_file_gives_and_what_is_ambient_are_gains() {
        in_own_namespace("gains", |dir| {
            let plain = program(&dir.join("plain"));
            let gift = |name: &str, attribute: &[u8]| {
                let path = program(&dir.join(name));
                let file = File::options().write(true).open(&path).unwrap();
                testing::set_xattr(file.as_fd(), c"security.capability", attribute).unwrap();
                path
            };
            let gives = gift("gives", &attribute(NET_RAW, 0));
            let if_inherited = gift("if-inherited", &attribute(0, NET_RAW));
            let nothing = Caller::that(|| user(0, false));
            let inheritable = Caller::that(|| user(NET_RAW, false));
            let ambient = Caller::that(|| user(NET_RAW, true));
            let bound = Caller::that(|| {
                testing::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).unwrap();
                user(0, false);
            });
            let unbounded = Caller::that(|| {
                let drop = u64::try_from(libc::PR_CAPBSET_DROP).unwrap();
                testing::prctl(libc::PR_CAPBSET_DROP, 13, 0).unwrap();
                assert!(drop > 0);
                user(0, false);
            });
            assert!(!gains(nothing.id, &plain));
            assert!(gains(nothing.id, &gives));
            assert!(!gains(nothing.id, &if_inherited));
            assert!(!gains(inheritable.id, &plain));
            assert!(gains(inheritable.id, &if_inherited));
            assert!(gains(ambient.id, &plain));
            assert!(!gains(bound.id, &gives));
            assert!(!gains(unbounded.id, &gives));

            let point = directory(dir.join("nosuid"));
            bind(dir, &point);
            let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID;
            mount(None::<&Path>, &point, None::<&Path>, again, None::<&Path>).unwrap();
            assert!(!gains(nothing.id, &point.join("gives")));
            assert!(gains(ambient.id, &point.join("gives")));
        });
    }

    #[test]
    fn a_plain_file_and_a_plain_caller_need_no_status() {
        in_own_namespace("cheap gains", |dir| {
            let file = File::open(program(&dir.join("x"))).unwrap();
            let caller = Caller::that(|| user(0, false));
            let subject = fetched(Features::probe(), Groups::GAIN, caller.id, &file).subject;
            assert_eq!(subject.gains_privilege, Fact::Known(false));
            assert!(subject.privileges.is_unread() && subject.name.is_unread());
        });
    }

    #[test]
    fn an_unreadable_attribute_is_unknown_and_no_refusal() {
        // O_PATH descriptors have no attributes to read.
        use std::os::unix::fs::OpenOptionsExt;
        let file = File::options().read(true).custom_flags(libc::O_PATH).open("/proc/self/stat").unwrap();
        let attempt = fetched(Features::probe(), Groups::GAIN, own_thread(), &file);
        assert_eq!(attempt.object.capabilities, Fact::Unknown(Cause::Failed(libc::EBADF)));
        assert!(!attempt.subject.gains_privilege.is_unread());
    }
}

mod content {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_content() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // Of "abc": FIPS 180-2, appendix B.1.
        std::fs::write(&file, "abc").unwrap();
        let attempt = fetched(Features::probe(), Groups::HASH, own_thread(), &File::open(&file).unwrap());
        let hash = attempt.object.sha256.known().unwrap();
        let text: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_giant_is_not_hashed_and_time_is_kept() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        let attempt = fetched(Features::probe(), Groups::HASH, own_thread(), &file);
        assert_eq!(attempt.object.sha256, Fact::Unknown(Cause::TooLong));
        file.set_len(60 << 20).unwrap();
        let (mut identifier, mut attempt) = (Identifier::new().unwrap(), attempt);
        attempt.object.sha256 = Fact::Unread;
        let before = Instant::now();
        identifier.fetch(Groups::HASH, file.as_fd(), &mut attempt, before + Duration::from_millis(3));
        assert_eq!(attempt.object.sha256, Fact::Unknown(Cause::Late));
    }
}

#[test]
fn in_whatever_order_the_groups_come_none_is_left_out_and_none_is_read_twice() {
    let child = Waits::new(&["-"]);
    let file = anything();
    let (mut identifier, mut attempt) = (Identifier::new().unwrap(), Attempt::default());
    identifier.essential(child.id(), file.as_fd(), &Scope::default(), &mut attempt);
    for groups in [Groups::COMMAND_LINES, Groups::LEADERS, Groups::ALL] {
        identifier.fetch(groups, file.as_fd(), &mut attempt, later());
    }
    let subject = format!("{:?}", attempt.subject);
    assert!(!subject.contains("Unread"), "{subject}");
    let marker = Fact::Known(b"read before".to_vec());
    attempt.subject.directory = marker.clone();
    identifier.fetch(Groups::ALL, file.as_fd(), &mut attempt, later());
    assert_eq!(attempt.subject.directory, marker);
}

/// What the daemon keeps once it runs.
#[test]
fn three_capabilities_are_enough_to_tell_everything_of_everybody() {
    if !is_privileged("three_capabilities_are_enough") {
        return;
    }
    const DAC_READ_SEARCH: u32 = 1 << 2;
    const SYS_PTRACE: u32 = 1 << 19;
    const SYS_ADMIN: u32 = 1 << 21;
    use std::os::unix::process::CommandExt;
    #[expect(clippy::disallowed_methods, reason = "a test may start programs")]
    let mut command = Command::new("/bin/cat");
    let command = command.process_group(0);
    let child = command.uid(1000).gid(1000).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let child = Waits(child).ready();
    let (id, file) = (child.id(), anything());
    let looked = std::thread::spawn(move || {
        let kept = DAC_READ_SEARCH | SYS_PTRACE | SYS_ADMIN;
        testing::set_capabilities(kept, kept, 0).unwrap();
        fetched(Features::probe(), Groups::ALL.without(Groups::ARGUMENTS), id, &file)
    });
    let attempt = looked.join().unwrap();
    assert_eq!(attempt.subject.user, Fact::Known(Uid(1000)));
    // Whoever leads the session of these tests may have ended.
    let (session_leader, entry_leader) = (Fact::Absent, Fact::Absent);
    let told =
        format!("{:?}", Subject { arguments: Fact::Absent, session_leader, entry_leader, ..attempt.subject });
    assert!(!told.contains("Unknown") && !told.contains("Unread"), "{told}");
}
