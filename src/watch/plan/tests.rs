//! Mount tables of real hosts, cut to what matters here, and the ways to mislead a plan.

use super::*;
use crate::event::{Cause, Fact, Texts};
use crate::watch::links::{Directories, Look, resolve_with};
use crate::watch::mounts::UniqueId;
use std::path::PathBuf;

mod attacks;
mod hosts;
mod names;
mod properties;

/// Debian's links and directories.
fn debian() -> Directories {
    directories(
        &["/dev/shm", "/run/shm", "/var/run", "/var/lock"],
        &[
            ("/dev", ""),
            ("/dev/shm", ""),
            ("/run", ""),
            ("/run/shm", "/dev/shm"),
            ("/run/lock", ""),
            ("/var", ""),
            ("/var/run", "/run"),
            ("/var/lock", "/run/lock"),
        ],
    )
}

/// The directories and links (a target, or nothing for a directory) of a host.
fn directories(configured: &[&str], host: &[(&str, &str)]) -> Directories {
    let configured: Vec<PathBuf> = configured.iter().map(PathBuf::from).collect();
    resolve_with(&configured, |path| match host.iter().find(|(at, _)| path == Path::new(at)) {
        Some((_, "")) => Ok(Look::Directory),
        Some((_, target)) => Ok(Look::Link(target.into(), 0)),
        None => Err(std::io::Error::from_raw_os_error(2)),
    })
}

/// One step in the life of a host.
struct Host {
    directories: Directories,
    stored: Vec<Stored>,
    foreign: Vec<Foreign>,
    settings: Settings,
    /// Give mounts the id that is never used again, made from the id in the table and this.
    unique: Option<u64>,
}

impl Host {
    fn debian() -> Self {
        Self {
            directories: debian(),
            stored: vec![],
            foreign: vec![],
            settings: Settings::default(),
            unique: Some(1000),
        }
    }

    fn plan(&self, text: &str, previous: Option<&Plan>) -> Plan {
        let table = MountTable::parse(text.as_bytes());
        assert_eq!(table.skipped_count(), 0, "{:?}", table.skipped());
        let ids: Vec<_> = table
            .mounts()
            .iter()
            .filter_map(|mount| {
                let unique = self.unique? + u64::from(mount.id);
                Some(UniqueId { id: mount.id, device: mount.device, unique })
            })
            .collect();
        let mounts = table.with_unique_ids(&ids);
        plan(
            &Inputs {
                directories: &self.directories,
                mounts: &mounts,
                stored: &self.stored,
                foreign: &self.foreign,
                settings: self.settings,
            },
            previous,
        )
    }
}

/// The plan of a Debian host with this table.
fn plan_of(text: &str) -> Plan {
    Host::debian().plan(text, None)
}

/// `kind device path`, a `*` for shared and a `?` for covered.
fn marks(plan: &Plan) -> Vec<String> {
    plan.marks
        .iter()
        .map(|mark| {
            let shared = if mark.whole_filesystem_shared { "*" } else { "" };
            let covered = if mark.covered { "?" } else { "" };
            format!("{} {} {}{shared}{covered}", mark.kind, mark.device, mark.path.display())
        })
        .collect()
}

fn device(minor: u32) -> Device {
    Device { major: 0, minor }
}

fn names(plan: &Plan, device: Device, inner: &str) -> Vec<String> {
    let mut names = Texts::new();
    let placement = plan.scope.name(device, Fact::Known(inner.as_bytes()), &mut names);
    assert_eq!(placement == Placement::Outside, names.is_empty());
    names.iter().map(|name| name.escape_ascii().to_string()).collect()
}

fn unknown_names(plan: &Plan, device: Device) -> Vec<String> {
    let mut names = Texts::new();
    let placement = plan.scope.name(device, Fact::Unknown(Cause::Gone), &mut names);
    assert_eq!(placement, Placement::Inside);
    names.iter().map(|name| name.escape_ascii().to_string()).collect()
}

/// A host with systemd: the base of most tables here.
const SYSTEMD: &str = "\
22 28 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
23 28 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
24 28 0:5 / /dev rw,nosuid,relatime shared:2 - devtmpfs udev rw,size=2000k,mode=755
25 24 0:22 / /dev/pts rw,nosuid,noexec,relatime shared:3 - devpts devpts rw,gid=5,mode=620
26 28 0:23 / /run rw,nosuid,nodev,noexec,relatime shared:5 - tmpfs tmpfs rw,size=400k,mode=755
28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 24 0:25 / /dev/shm rw,nosuid,nodev shared:4 - tmpfs tmpfs rw
31 26 0:26 / /run/lock rw,nosuid,nodev,noexec,relatime shared:6 - tmpfs tmpfs rw,size=5120k
";

fn systemd_and(more: &str) -> String {
    format!("{SYSTEMD}{more}")
}
