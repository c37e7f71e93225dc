//! Mounts of our own: one namespace for the whole run, and in it one for each contestant, with its own tmpfs on /dev/shm
//! and /run. Nothing outside of them is ever marked.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

/// The run's own files: the compiled C programs, logs, configurations.
pub struct Base {
    namespace: File,
    directory: tempfile::TempDir,
}

/// One contestant's mounts. The contestant and its callers are started while the stage is entered.
pub struct Stage {
    namespace: File,
    directory: PathBuf,
}

impl Base {
    /// Leaves the host's mount namespace for good, and compiles the reference programs.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("shmguard-bench-")
            .tempdir_in("/tmp")
            .expect("a directory in /tmp");
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace: the benchmark needs root");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .expect("private mounts");
        tmpfs(directory.path(), MsFlags::empty(), "size=90%,mode=755");
        let base = Self { namespace: own_namespace(), directory };
        fs::create_dir(base.path("bin")).expect("a directory for programs");
        for name in ["floor", "honest", "caller"] {
            base.compile(name, name, &["-O2"]);
        }
        base.compile("target", "target", &["-O2", "-static", "-nostdlib"]);
        base.compile("caller", "static", &["-O2", "-static"]);
        // The guard knows interpreters by their names.
        fs::copy(base.path("bin/caller"), base.path("bin/sh")).expect("a caller with an interpreter's name");
        base
    }

    /// A file of the run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A stage with a program to be executed at /dev/shm/target. `flags` are those of its /dev/shm.
    pub fn stage(&self, name: &str, flags: MsFlags) -> Stage {
        self.enter();
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        tmpfs(Path::new("/dev/shm"), flags, "mode=1777");
        tmpfs(Path::new("/run"), MsFlags::empty(), "mode=755");
        fs::create_dir_all("/run/lock").expect("/run/lock");
        let directory = self.path(name);
        fs::create_dir_all(&directory).expect("a directory of the stage");
        self.put_target(Path::new(TARGET));
        Stage { namespace: own_namespace(), directory }
    }

    /// Copies the program to be executed.
    pub fn put_target(&self, to: &Path) {
        fs::copy(self.path("bin/target"), to).expect("a copy of the target");
        fs::set_permissions(to, fs::Permissions::from_mode(0o755)).expect("an executable target");
    }

    /// Back to the namespace in which nothing is marked.
    pub fn enter(&self) {
        setns(&self.namespace, CloneFlags::CLONE_NEWNS).expect("our own namespace");
    }

    fn compile(&self, name: &str, to: &str, flags: &[&str]) {
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/reference").join(name).with_extension("c");
        let status = Command::new("cc")
            .args(flags)
            .args(["-Wall", "-Wextra", "-o"])
            .arg(self.path("bin").join(to))
            .arg(source)
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "cc could not compile {name}.c: is a C compiler installed?"
        );
    }

    /// A command that dies with us and runs in a session of its own.
    pub fn leashed(&self, program: &Path) -> Command {
        let mut command = Command::new(self.path("bin/caller"));
        command.arg("with").arg(program);
        command
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        self.enter();
        // The directory itself is removed by its own destructor, once nothing is mounted on it here.
        let _detached = umount2(self.directory.path(), MntFlags::MNT_DETACH);
    }
}

impl Stage {
    /// What is started from now on sees this stage's mounts.
    pub fn enter(&self) {
        setns(&self.namespace, CloneFlags::CLONE_NEWNS).expect("a stage's namespace");
    }

    /// A file of the stage, outside of the marked filesystems.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Mounts a fresh tmpfs.
pub fn tmpfs(at: &Path, flags: MsFlags, options: &str) {
    mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some(options))
        .unwrap_or_else(|error| panic!("a tmpfs at {}: {error}", at.display()));
}

fn own_namespace() -> File {
    File::open("/proc/self/ns/mnt").expect("our mount namespace")
}

/// Where every stage has its program.
pub const TARGET: &str = "/dev/shm/target";
