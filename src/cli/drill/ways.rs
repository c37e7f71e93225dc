//! Ways around exec control, one a row: what is done to a file in shared memory before it is executed.
//!
//! Each is taken by a process of its own, which is this program again, because most change what cannot be changed back:
//! the namespace, the root directory, the user. It ends with the status that says how its exec ended. Taken from
//! docs/evasions.md, as far as a way needs no other program. Called by the stage.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::CloneFlags;
use nix::unistd::{chroot, pivot_root};

use super::ground::{
    EVIL, Fault, Ground, NOBODY, Taken, become_user, bind, execute, execute_below, lacking, make, mounted,
    over,
};
use super::sequences::End;
use crate::privileges;

/// One way.
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// The name that the record must give; empty where the file has none.
    pub(super) record: &'static str,
    pub(super) end: End,
    take: fn(&Ground) -> Taken,
}

/// Exit statuses of a way's process: that of the stand-in.
pub(super) const RAN: u8 = 0;
/// The exec failed with EPERM.
pub(super) const DENIED: u8 = 126;
/// It could not be tried.
pub(super) const UNAVAILABLE: u8 = 125;
/// The exec failed, and not with EPERM.
const FAILED: u8 = 124;

/// Takes a way in this process, and returns the status to end with. What went wrong is said on `err`.
pub(super) fn take(name: &str, place: &Path, err: &mut dyn io::Write) -> u8 {
    let Some(way) = WAYS.iter().find(|way| way.name == name) else { return FAILED };
    let ground = Ground { place: place.to_path_buf() };
    let (status, why) = match (way.take)(&ground) {
        Err(Fault::Denied) => (DENIED, String::new()),
        Err(Fault::Ran) => (RAN, String::new()),
        Err(Fault::Failed(error)) => (FAILED, error.to_string()),
        Err(Fault::Unavailable(why)) => (UNAVAILABLE, why),
        Ok(never) => match never {},
    };
    // Whoever reads it is the drill; the status tells without it.
    let _written = write!(err, "{why}");
    status
}

/// The ways, in the order of docs/evasions.md.
pub(super) const WAYS: &[Way] = &[
    Way {
        name: "open descriptor",
        about: "executed by descriptor, through /proc/self/fd",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            let file = File::open(ground.evil()?).map_err(lacking("the program"))?;
            execute(format!("/proc/self/fd/{}", file.as_raw_fd()))
        },
    },
    Way {
        name: "deleted file",
        about: "the same, after its name was removed",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            let path = ground.evil()?;
            let file = File::open(&path).map_err(lacking("the program"))?;
            fs::remove_file(path).map_err(lacking("the program"))?;
            execute(format!("/proc/self/fd/{}", file.as_raw_fd()))
        },
    },
    Way {
        name: "hard link",
        about: "executed by its second name, after the first was removed",
        record: "/dev/shm/drill/link",
        end: End::Denied,
        take: |ground| {
            let (first, second) = (ground.evil()?, Path::new("/dev/shm/drill/link"));
            fs::hard_link(&first, second).map_err(lacking("a hard link"))?;
            fs::remove_file(first).map_err(lacking("the program"))?;
            execute(second)
        },
    },
    Way {
        name: "renamed file",
        about: "executed after it was moved to another directory",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            let first = ground.program("/dev/shm/drill/before", 0o755)?;
            fs::rename(first, EVIL).map_err(lacking("a rename"))?;
            execute(EVIL)
        },
    },
    Way {
        name: "link from elsewhere",
        about: "a symbolic link outside the directory leads to it",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            let (path, link) = (ground.evil()?, ground.place.join("link"));
            symlink(path, &link).map_err(lacking("a symbolic link"))?;
            execute(link)
        },
    },
    Way {
        name: "interpreter of a script",
        about: "a script elsewhere names it in its first line",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            let (path, script) = (ground.evil()?, ground.place.join("script"));
            fs::write(&script, format!("#!{}\n", path.display())).map_err(lacking("a script"))?;
            fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).map_err(lacking("a script"))?;
            execute(script)
        },
    },
    Way {
        name: "file that never had a name",
        about: "made with O_TMPFILE, executed by descriptor",
        record: "",
        end: End::Denied,
        take: |ground| {
            let from = File::open(ground.evil()?).map_err(lacking("the program"))?;
            let (flags, mode) = (OFlag::O_TMPFILE | OFlag::O_RDWR, nix::sys::stat::Mode::S_IRWXU);
            let made = nix::fcntl::open("/dev/shm", flags, mode).map_err(lacking("O_TMPFILE"))?;
            let mut made = File::from(made);
            io::copy(&mut { from }, &mut made).map_err(lacking("O_TMPFILE"))?;
            let again = File::open(format!("/proc/self/fd/{}", made.as_raw_fd()));
            let again = again.map_err(lacking("O_TMPFILE"))?;
            // Nothing that is open for writing can be executed.
            drop(made);
            execute(format!("/proc/self/fd/{}", again.as_raw_fd()))
        },
    },
    Way {
        name: "mount namespace",
        about: "executed in a mount namespace of its own",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            ground.evil()?;
            ground.away(CloneFlags::empty())?;
            execute(EVIL)
        },
    },
    Way {
        name: "user and pid namespaces",
        about: "executed in new user, mount and pid namespaces",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            ground.evil()?;
            ground.away(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID)?;
            execute_below(EVIL, || ())
        },
    },
    Way {
        name: "bind mount",
        about: "its directory is bound to another place",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            ground.evil()?;
            ground.away(CloneFlags::empty())?;
            let to = ground.directory("bound")?;
            bind("/dev/shm/drill", &to)?;
            execute(to.join("x"))
        },
    },
    Way {
        name: "bind over a program",
        about: "bound over a harmless program outside the directory",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            ground.evil()?;
            let over = ground.program(ground.place.join("harmless"), 0o755)?;
            ground.away(CloneFlags::empty())?;
            bind(EVIL, &over)?;
            execute(over)
        },
    },
    Way {
        name: "moved mount",
        about: "/dev/shm is moved away, another tmpfs put in its place",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            ground.evil()?;
            ground.away(CloneFlags::empty())?;
            let to = ground.directory("moved")?;
            mount(Some("/dev/shm"), &to, None::<&str>, MsFlags::MS_MOVE, None::<&str>)
                .map_err(lacking("a moved mount"))?;
            mounted("tmpfs", Path::new("/dev/shm"), "mode=1777")?;
            execute(to.join("drill/x"))
        },
    },
    Way {
        name: "unmounted directory",
        about: "/dev/shm is lazily unmounted under its feet",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            ground.evil()?;
            ground.away(CloneFlags::empty())?;
            std::env::set_current_dir("/dev/shm/drill").map_err(lacking("the directory"))?;
            umount2("/dev/shm", MntFlags::MNT_DETACH).map_err(lacking("a lazy unmount"))?;
            execute("./x")
        },
    },
    Way {
        name: "changed root",
        about: "chroot into its directory",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            ground.evil()?;
            chroot("/dev/shm/drill").map_err(lacking("chroot"))?;
            execute("/x")
        },
    },
    Way {
        name: "pivoted root",
        about: "its directory becomes the root of a mount namespace",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            ground.evil()?;
            ground.away(CloneFlags::empty())?;
            let to = ground.directory("root")?;
            bind("/dev/shm/drill", &to)?;
            std::env::set_current_dir(&to).map_err(lacking("the directory"))?;
            pivot_root(".", ".").map_err(lacking("pivot_root"))?;
            umount2(".", MntFlags::MNT_DETACH).map_err(lacking("a lazy unmount"))?;
            execute("/x")
        },
    },
    Way {
        name: "overlay",
        about: "its directory is a layer of an overlay elsewhere",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            ground.evil()?;
            ground.away(CloneFlags::empty())?;
            let (to, other) = (ground.directory("merged")?, ground.directory("lower")?);
            mounted("overlay", &to, &format!("lowerdir=/dev/shm/drill:{}", other.display()))?;
            execute(to.join("x"))
        },
    },
    Way {
        name: "tmpfs in it",
        about: "another tmpfs is mounted on a directory in /dev/shm",
        record: "/dev/shm/drill/sub/x",
        end: End::Denied,
        take: |ground| {
            let furnish = |at: &Path| {
                mounted("tmpfs", at, "mode=755")?;
                ground.program(at.join("x"), 0o755).map(drop)
            };
            over("/dev/shm/drill/sub", furnish, "/dev/shm/drill/sub/x")
        },
    },
    Way {
        name: "tmpfs over it",
        about: "another tmpfs is mounted over /dev/shm itself",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            let furnish = |at: &Path| {
                mounted("tmpfs", at, "mode=1777")?;
                ground.evil().map(drop)
            };
            over("/dev/shm", furnish, EVIL)
        },
    },
    Way {
        name: "directory of elsewhere in it",
        about: "a directory outside is bound into /dev/shm",
        record: "/dev/shm/drill/sub/x",
        end: End::Denied,
        take: |ground| {
            let elsewhere = ground.elsewhere()?;
            let program = ground.program(elsewhere.join("y/x"), 0o755)?;
            let furnish = |at: &Path| bind(program.parent().unwrap_or(&elsewhere), at);
            over("/dev/shm/drill/sub", furnish, "/dev/shm/drill/sub/x")
        },
    },
    Way {
        name: "overlay of elsewhere in it",
        about: "an overlay of directories outside is mounted in /dev/shm",
        record: "/dev/shm/drill/sub/x",
        end: End::Denied,
        take: |ground| {
            let elsewhere = ground.elsewhere()?;
            ground.program(elsewhere.join("a/x"), 0o755)?;
            make(&elsewhere.join("b"))?;
            let shown = elsewhere.display();
            let furnish = |at: &Path| mounted("overlay", at, &format!("lowerdir={shown}/a:{shown}/b"));
            over("/dev/shm/drill/sub", furnish, "/dev/shm/drill/sub/x")
        },
    },
    Way {
        name: "real root only",
        about: "the effective user is another: a program gets root back",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            ground.evil()?;
            become_user(0, NOBODY, NOBODY)?;
            execute(EVIL)
        },
    },
    Way {
        name: "effective root only",
        about: "the real user is another",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            ground.evil()?;
            become_user(NOBODY, 0, NOBODY)?;
            execute(EVIL)
        },
    },
    Way {
        name: "saved root only",
        about: "an exec forgets it: not the rule's business, but recorded",
        record: EVIL,
        end: End::Allowed,
        take: |ground| {
            ground.evil()?;
            become_user(NOBODY, NOBODY, 0)?;
            execute(EVIL)
        },
    },
    Way {
        name: "root thread",
        about: "a root thread, in a process whose first thread is another user",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            ground.evil()?;
            let (go, went) = std::sync::mpsc::channel();
            let thread = std::thread::spawn(move || match went.recv() {
                Ok(()) => execute(EVIL),
                Err(_) => Err(Fault::Unavailable("another user for one thread".to_owned())),
            });
            privileges::become_alone(NOBODY).map_err(lacking("another user for one thread"))?;
            // A thread that is gone has an answer, too.
            let _told = go.send(());
            thread.join().unwrap_or_else(|_| Err(Fault::Unavailable("a thread".to_owned())))
        },
    },
    Way {
        name: "set-uid root, nosuid mount",
        about: "the kernel ignores the bit: not the rule's business, but recorded",
        record: EVIL,
        end: End::Allowed,
        take: |ground| {
            ground.program(EVIL, 0o4755)?;
            ground.away(CloneFlags::empty())?;
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOSUID;
            mount(None::<&str>, "/dev/shm", None::<&str>, flags, None::<&str>).map_err(lacking("nosuid"))?;
            become_user(NOBODY, NOBODY, NOBODY)?;
            execute(EVIL)
        },
    },
    Way {
        name: "exception aimed by a link",
        about: "a symbolic link in the excepted directory",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            make(Path::new("/run/docker"))?;
            symlink(ground.evil()?, "/run/docker/link").map_err(lacking("a symbolic link"))?;
            execute("/var/run/docker/link")
        },
    },
    Way {
        name: "exception aimed by a bind",
        about: "its directory is bound over the excepted one",
        record: EVIL,
        end: End::Denied,
        take: |ground| {
            ground.evil()?;
            make(Path::new("/run/docker"))?;
            ground.away(CloneFlags::empty())?;
            bind("/dev/shm/drill", "/run/docker")?;
            execute("/run/docker/x")
        },
    },
    Way {
        name: "name that begins like the exception",
        about: "/run/docker-x is not /run/docker",
        record: "/run/docker-x/x",
        end: End::Denied,
        take: |ground| execute(ground.program("/run/docker-x/x", 0o755)?),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_way_has_a_name_of_its_own() {
        let names: BTreeSet<_> = WAYS.iter().map(|way| way.name).collect();
        assert_eq!(names.len(), WAYS.len());
    }
}
