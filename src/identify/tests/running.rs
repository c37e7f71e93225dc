//! Programs that already run, from mounts that come and go.

#![allow(clippy::disallowed_methods, reason = "a test executes what is then looked at")]

use std::process::{Child, Command, Stdio};

use nix::mount::{MntFlags, umount2};

use super::*;
use crate::identify::running::{Running, Whence};

const NOT_MEMORY_OF_THE_KERNEL: Device = Device { major: 0, minor: 0 };

/// A program that waits until its input ends, from a mount that is then taken away.
fn from_a_mount_that_is_gone(mounted: &Path) -> Child {
    let child = Command::new(mounted.join("cat")).stdin(Stdio::piped()).spawn().unwrap();
    umount2(mounted, MntFlags::MNT_DETACH).unwrap();
    child
}

fn from_a_tmpfs_that_is_gone(dir: &Path) -> Child {
    let mounted = dir.join("mounted");
    tmpfs(&mounted);
    std::fs::copy("/bin/cat", mounted.join("cat")).unwrap();
    from_a_mount_that_is_gone(&mounted)
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn id(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

fn whence(identifier: &mut Identifier, running: &Running, attempt: &mut Attempt) -> Whence {
    let deadline = Instant::now() + Duration::from_secs(5);
    identifier.describe(running, NOT_MEMORY_OF_THE_KERNEL, &Scope::default(), deadline, attempt)
}

#[test]
fn a_program_that_ended_and_whose_mount_is_gone_is_lost_but_not_one_of_a_disk() {
    in_own_namespace("ended programs", |dir| {
        let (mut identifier, mut attempt) = (Identifier::new().unwrap(), Attempt::default());
        let child = from_a_tmpfs_that_is_gone(dir);
        let held = identifier.running(id(&child)).unwrap();
        let mut kept = identifier.running(id(&child)).unwrap();
        identifier.keep_who(&mut kept);
        end(child);
        assert_eq!(whence(&mut identifier, &held, &mut attempt), Whence::Lost);
        // Who knows its namespace knows that it is nowhere there.
        let nowhere = Whence::Unmarkable(crate::event::Unseen::Detached);
        assert_eq!(whence(&mut identifier, &kept, &mut attempt), nowhere);
        let mounted = directory(dir.join("disk"));
        bind(Path::new("/usr/bin"), &mounted);
        let child = from_a_mount_that_is_gone(&mounted);
        let held = identifier.running(id(&child)).unwrap();
        end(child);
        assert_eq!(whence(&mut identifier, &held, &mut attempt), Whence::Elsewhere);
    });
}

#[test]
fn our_own_namespace_stays_ours_after_a_mount_of_it_is_gone() {
    in_own_namespace("our own namespace", |dir| {
        let (mut identifier, mut attempt) = (Identifier::new().unwrap(), Attempt::default());
        let child = from_a_tmpfs_that_is_gone(dir);
        let mut running = identifier.running(id(&child)).unwrap();
        identifier.keep_who(&mut running);
        end(child);
        whence(&mut identifier, &running, &mut attempt);
        let file = File::open(program(&dir.join("x"))).unwrap();
        let (_, whereabouts) = identifier.look(0, file.as_fd(), &Scope::default(), &mut attempt);
        assert_eq!(attempt.object.inner, Fact::Known(b"/x".to_vec()));
        assert_eq!(whereabouts, Whereabouts::Ours);
    });
}
