//! The watched directories of other mount namespaces: a container's `/dev/shm` is a filesystem of its own.
//!
//! Owns the list of mount namespaces and the look into those that are new or changed. Anyone can make a namespace and put
//! the host's root or `/tmp` at its `/dev/shm`. So a find is only: in a namespace that root made (our own user namespace
//! owns it, or one of which root is the maker), a tmpfs or ramfs mounted with its whole content on or below a watched
//! directory, that the host has mounted nowhere but, at most, where container engines keep it (`candidate.rs`), reached
//! without any link, and proved by mount id, device number and type after it was opened. Besides, wherever it is mounted:
//! what lies in a file of a watched filesystem (a disk image on a loop device), as the caller can tell.
//!
//! Nothing tells of a new mount namespace, so they are counted through once in a while: the kernel lists them from Linux
//! 6.12 (some 2 us each), before that /proc does (some 5 us for each process). Mounts in a known namespace are told by a
//! group (6.14); before that a namespace is looked at again and again, the younger the more often. That group is asked,
//! never waited for, so containers wake nobody. Called by the daemon once a second, and when the host's mounts changed.

mod candidate;
mod inhabitants;

use self::candidate::{is_candidate, spelled};
use self::inhabitants::{Threads, namespace_file, namespace_of, pids};
use super::links::{Directories, follow};
use super::mounts::{Mount, MountTable};
use super::place::View;
use super::plan::{Foreign, Mark};
use crate::event::Device;
use crate::sys::mounts::{self as sys, Towards};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The mount namespaces of this host, as far as they were looked at.
#[derive(Debug)]
pub struct Namespaces {
    /// Inode numbers of the mount namespaces that are none of the others: ours, and the host's where that is another.
    known_mount: [u64; 2],
    /// And of our own user namespace.
    own_user: u64,
    /// The directories to look for, as they are spelled, and the links that lead to them.
    directories: Directories,
    spelled: Vec<Vec<u8>>,
    known: BTreeMap<Key, Known>,
    /// Tells of mounts in known namespaces; `None` where the kernel cannot.
    events: Option<OwnedFd>,
    /// Where a count that was too long goes on. It keeps one namespace alive until then.
    cursor: Option<OwnedFd>,
    threads: Threads,
    scans: u64,
    lap: u64,
}

/// What a scan found.
#[derive(Debug, Default)]
pub struct Scan {
    /// Filesystems to mark: all of those namespaces that were looked at, again or for the first time.
    pub found: Vec<Found>,
    /// The list that the plan wants is another one than after the last scan.
    pub changed: bool,
    /// How many namespaces there are besides ours, of those that were counted.
    pub namespaces: usize,
    /// How many of those are not root's, and never looked at.
    pub not_ours: usize,
    /// How many wait for the next scan, because of the limits.
    pub postponed: usize,
}

/// A filesystem to mark, in another namespace.
#[derive(Debug)]
pub struct Found {
    /// Its mark. The path is that of its namespace; the place to mark is `fd` ([`super::place::path_of`]).
    pub mark: Mark,
    /// What stands there (O_PATH).
    pub fd: OwnedFd,
    /// The name of its root directory, where it lies in a file of a watched filesystem.
    pub name: Option<Vec<u8>>,
    /// A process of the namespace, or a thread.
    pub pid: u32,
    /// The namespace's inode number, as in /proc/PID/ns/mnt.
    pub namespace: u64,
}

/// The id that is never used again where the kernel has one (6.11), else the inode number.
type Key = u64;

#[derive(Debug)]
struct Known {
    inode: u64,
    state: Look,
    found: Vec<Foreign>,
    since: u64,
    looked: u64,
    lap: u64,
    /// Its mounts are told by the group.
    told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Another user namespace owns it.
    NotOurs,
    /// It is to be looked at.
    Due,
    /// It was looked at.
    Done,
    /// No process could be found in it.
    Empty,
}

impl Namespaces {
    /// Looks from the calling thread's namespaces, for others than these and the host's. Nothing is looked at yet.
    pub fn new(directories: &Directories, host: &View) -> io::Result<Self> {
        let inode = |path: &Path| Ok::<_, io::Error>(std::fs::metadata(path)?.ino());
        Ok(Self {
            known_mount: [inode(&View::own().namespace())?, inode(&host.namespace())?],
            own_user: inode(Path::new("/proc/thread-self/ns/user"))?,
            spelled: spelled(directories),
            directories: directories.clone(),
            known: BTreeMap::new(),
            events: sys::mount_events().ok(),
            cursor: None,
            threads: Threads::default(),
            scans: 0,
            lap: 0,
        })
    }

    /// Counts the namespaces and looks into those that are new or changed. `host` is the host's table, read just now; `stored`
    /// names what is mounted there if it lies in a file of a watched filesystem. Does not block on any filesystem.
    pub fn scan(
        &mut self,
        host: &MountTable,
        stored: &dyn Fn(&Mount) -> Option<Vec<u8>>,
    ) -> io::Result<Scan> {
        self.scans += 1;
        let before = self.foreign();
        self.count()?;
        let told =
            self.events.as_ref().is_some_and(|group| sys::read_all_away(group.as_fd()).unwrap_or(true));
        if told {
            // Said once, and there may be more of them than are looked at in one scan.
            for known in self.known.values_mut().filter(|known| known.told && known.state == Look::Done) {
                known.state = Look::Due;
            }
        }
        let mut scan = Scan::default();
        self.look_at_due(&Host { table: host, stored }, &mut scan)?;
        scan.namespaces = self.known.len();
        scan.not_ours = self.known.values().filter(|known| known.state == Look::NotOurs).count();
        scan.changed = before != self.foreign();
        Ok(scan)
    }

    /// What was found and is not gone, for the plan.
    #[must_use]
    pub fn foreign(&self) -> Vec<Foreign> {
        let mut all: Vec<Foreign> =
            self.known.values().flat_map(|known| known.found.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Brings the list of namespaces up to date.
    fn count(&mut self) -> io::Result<()> {
        let own = File::open("/proc/thread-self/ns/mnt")?;
        match self.count_by_kernel(&own) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL | libc::EPERM)) => {
                self.count_by_processes()
            }
            other => other,
        }
    }

    fn count_by_kernel(&mut self, own: &File) -> io::Result<()> {
        let start = match self.cursor.take() {
            Some(cursor) => cursor,
            None => {
                self.lap += 1;
                self.walk(own.try_clone()?.into(), Towards::Older)?;
                own.try_clone()?.into()
            }
        };
        self.cursor = self.walk(start, Towards::Newer)?;
        if self.cursor.is_none() {
            let lap = self.lap;
            self.known.retain(|_, known| known.lap == lap);
        }
        Ok(())
    }

    /// Notes every namespace from `at` on. What is returned is where it stopped, if that is not the end.
    fn walk(&mut self, mut at: OwnedFd, towards: Towards) -> io::Result<Option<OwnedFd>> {
        for _ in 0..COUNTED {
            let Some((next, id)) = sys::neighbour_of_namespace(at.as_fd(), towards)? else { return Ok(None) };
            self.note(id, &next);
            at = next;
        }
        Ok(Some(at))
    }

    /// Notes a namespace of whose file we have a descriptor.
    fn note(&mut self, key: Key, file: &OwnedFd) {
        let lap = self.lap;
        if let Some(known) = self.known.get_mut(&key) {
            known.lap = lap;
            return;
        }
        let Ok(inode) = inode_of(file) else { return };
        if self.known_mount.contains(&inode) {
            return;
        }
        let state = if self.is_of_root(file).unwrap_or(false) { Look::Due } else { Look::NotOurs };
        let known = Known { inode, state, found: Vec::new(), since: self.scans, looked: 0, lap, told: false };
        self.known.insert(key, known);
    }

    /// Whether root made it: our own root, whatever user namespace it then was in. A namespace below that root entered
    /// as another user has that user as its maker.
    fn is_of_root(&self, file: &OwnedFd) -> io::Result<bool> {
        let owner = sys::owner_of_namespace(file.as_fd())?;
        Ok(inode_of(&owner)? == self.own_user || sys::maker_of_user_namespace(owner.as_fd())? == 0)
    }

    /// The way of kernels that do not list them.
    fn count_by_processes(&mut self) -> io::Result<()> {
        self.lap += 1;
        let mut seen = BTreeSet::new();
        for pid in pids()? {
            let path = namespace_file(pid);
            let Some(inode) = namespace_of(&path) else { continue };
            if self.known_mount.contains(&inode) || !seen.insert(inode) {
                continue;
            }
            if let Ok(file) = File::open(&path) {
                let file = OwnedFd::from(file);
                let key = sys::mount_namespace_id(file.as_fd()).unwrap_or(inode);
                self.note(key, &file);
            }
        }
        let lap = self.lap;
        self.known.retain(|_, known| known.lap == lap);
        Ok(())
    }

    /// The namespaces to look at now, those first that waited longest.
    fn due(&self) -> Vec<(u64, Key)> {
        let mut due: Vec<_> = self.known.iter().filter(|(_, known)| known.is_due(self.scans)).collect();
        due.sort_by_key(|(_, known)| known.looked);
        due.into_iter().map(|(key, known)| (known.inode, *key)).collect()
    }

    /// Looks at what is due, as long as one scan may take.
    fn look_at_due(&mut self, host: &Host<'_>, scan: &mut Scan) -> io::Result<()> {
        let begun = Instant::now();
        let due = self.due();
        if due.is_empty() {
            return Ok(());
        }
        let wanted = due.iter().map(|(inode, _)| *inode).collect();
        let mut tasks = inhabitants::processes(&wanted)?;
        let empty: BTreeSet<u64> = wanted.into_iter().filter(|inode| !tasks.contains_key(inode)).collect();
        let all_searched = empty.is_empty() || self.threads.search(&empty, &mut tasks)?;
        for (index, (inode, key)) in due.iter().enumerate() {
            if index >= LOOKS || begun.elapsed() > LOOK_FOR {
                scan.postponed += due.len() - index;
                break;
            }
            match tasks.get(inode) {
                // Its thread may be among the rest, which is next.
                None if !all_searched => scan.postponed += 1,
                tasks => self.look(*key, tasks.map(Vec::as_slice).unwrap_or_default(), host, scan),
            }
        }
        Ok(())
    }

    /// Looks at one namespace, through these of its tasks.
    fn look(&mut self, key: Key, pids: &[u32], host: &Host<'_>, scan: &mut Scan) {
        let Some(inode) = self.known.get(&key).map(|known| known.inode) else { return };
        // The group first: what is mounted while we look is then told.
        let told = pids.iter().any(|pid| self.listen(*pid, inode));
        let mut found: Vec<Found> = Vec::new();
        let mut roots = BTreeSet::new();
        let mut looked = false;
        for pid in pids {
            let Ok(root) = Inside::open(*pid, inode) else { continue };
            looked = true;
            if roots.insert(root.identity) {
                found.extend(root.finds(&self.spelled, host));
            }
        }
        let directories = &self.directories;
        if let Some(known) = self.known.get_mut(&key) {
            known.told = told;
            known.looked = self.scans;
            known.state = if looked { Look::Done } else { Look::Empty };
            known.found = found.iter().map(|found| foreign(found, key, directories)).collect();
        }
        scan.found.append(&mut found);
    }

    fn listen(&self, pid: u32, inode: u64) -> bool {
        let path = namespace_file(pid);
        let Some(group) = &self.events else { return false };
        // Opened and compared, because the pid may be another process by now.
        let Ok(file) = File::open(&path).map(OwnedFd::from) else { return false };
        inode_of(&file).is_ok_and(|found| found == inode)
            && sys::tell_of_mounts(group.as_fd(), &super::place::path_of(&file)).is_ok()
    }
}

impl Known {
    fn is_due(&self, scan: u64) -> bool {
        let age = scan.saturating_sub(self.since);
        let rest = scan.saturating_sub(self.looked);
        match self.state {
            Look::NotOurs => false,
            Look::Due => true,
            Look::Done if self.told => false,
            // Nobody tells: at first at every scan, while a container is being set up, and then now and then.
            Look::Done => age < 30 || rest >= 10,
            // A namespace that a file keeps (snapd does that) may get processes at any time; to search for them costs.
            Look::Empty => rest >= age.clamp(1, 16),
        }
    }
}

/// What is known of the host's namespace.
struct Host<'a> {
    table: &'a MountTable,
    stored: &'a dyn Fn(&Mount) -> Option<Vec<u8>>,
}

/// Another namespace, seen through one of its tasks.
struct Inside {
    pid: u32,
    inode: u64,
    root: OwnedFd,
    identity: (u64, u64),
    table: MountTable,
}

impl Inside {
    fn open(pid: u32, inode: u64) -> io::Result<Self> {
        let root: OwnedFd = sys::open_path_through(Path::new(&format!("/proc/{pid}/root")))?;
        let place = File::from(root.try_clone()?).metadata()?;
        let mut text = Vec::new();
        File::open(format!("/proc/{pid}/mountinfo"))?.take(TABLE_BYTES).read_to_end(&mut text)?;
        // The pid was in that namespace before and is in it now, so root and table are of it, or of a task that moved about
        // between namespaces meanwhile: then what is opened proves itself or is dropped.
        if namespace_of(&namespace_file(pid)) != Some(inode) {
            return Err(io::Error::from_raw_os_error(libc::ESTALE));
        }
        let identity = (place.dev(), place.ino());
        Ok(Self { pid, inode, root, identity, table: MountTable::parse(&text) })
    }

    fn finds(&self, spelled: &[Vec<u8>], host: &Host<'_>) -> Vec<Found> {
        let mounts = self.table.mounts().iter().filter(|mount| self.table.is_visible(mount));
        let wanted = mounts.filter_map(|mount| {
            if is_candidate(mount, spelled, host.table) {
                return Some((mount, None));
            }
            Some((mount, Some(host.image(mount)?)))
        });
        wanted.take(FINDS).filter_map(|(mount, name)| self.find(mount, name).ok()).collect()
    }

    fn find(&self, mount: &Mount, name: Option<Vec<u8>>) -> io::Result<Found> {
        let point = PathBuf::from(OsStr::from_bytes(&mount.point));
        let fd = sys::open_in_root(self.root.as_fd(), &point)?;
        let (major, minor) = sys::split_device(sys::device_of(fd.as_fd())?);
        let proved = sys::mount_id_of(fd.as_fd())? == mount.id
            && (name.is_some() || Device { major, minor } == mount.device && sys::is_in_memory(fd.as_fd())?);
        match proved {
            true => {
                Ok(Found { mark: Mark::elsewhere(mount), fd, name, pid: self.pid, namespace: self.inode })
            }
            false => Err(io::Error::from_raw_os_error(libc::ESTALE)),
        }
    }
}

impl Host<'_> {
    /// The name of what lies in a file of a watched filesystem. What the host has mounted too, the plan has looked at.
    fn image(&self, mount: &Mount) -> Option<Vec<u8>> {
        let elsewhere = self.table.mounts().iter().all(|known| known.device != mount.device);
        if elsewhere { (self.stored)(mount) } else { None }
    }
}

/// The name by which the plan knows it: our links resolved, whatever the container has there.
fn foreign(found: &Found, namespace: Key, directories: &Directories) -> Foreign {
    let point = match &found.name {
        Some(name) => name.clone(),
        None => follow(&found.mark.path, &directories.links).as_os_str().as_bytes().to_vec(),
    };
    Foreign { device: found.mark.device, point, namespace }
}

fn inode_of(file: &OwnedFd) -> io::Result<u64> {
    Ok(File::from(file.try_clone()?).metadata()?.ino())
}

/// How many namespaces are counted in one scan. Any user can make thousands; the rest is counted in the next scan.
const COUNTED: usize = 4096;
/// How many namespaces are looked at in one scan: 0.15 to 0.3 ms each (measured), and meanwhile nobody follows the host's
/// mounts.
const LOOKS: usize = 256;
/// For how long they are looked at: what has mounts by the thousand takes longer.
const LOOK_FOR: Duration = Duration::from_millis(500);
/// How many filesystems of one process's view are marked.
const FINDS: usize = 64;
/// How much of a mount table is read: some ten thousand mounts.
const TABLE_BYTES: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::candidate::tests::debian;
    use super::*;

    #[test]
    fn a_find_is_named_as_the_host_names_it() {
        let table = MountTable::parse(b"505 500 0:85 / /var/run/a rw - tmpfs tmpfs rw\n");
        let fd: OwnedFd = File::open("/proc").unwrap().into();
        let found = Found { mark: Mark::elsewhere(&table.mounts()[0]), fd, name: None, pid: 1, namespace: 1 };
        assert_eq!(foreign(&found, 7, &debian()).point, b"/run/a");
    }

    #[test]
    fn a_namespace_without_processes_is_searched_for_less_and_less() {
        let known = |since, looked| Known {
            inode: 1,
            state: Look::Empty,
            found: vec![],
            since,
            looked,
            lap: 0,
            told: false,
        };
        assert!(known(1, 1).is_due(2));
        assert!(!known(1, 10).is_due(12));
        assert!(known(1, 100).is_due(116));
        assert!(!known(1, 100).is_due(115));
    }
}
