//! Mounts: their ids, word of their coming and going, and a way to those that are hidden.
//!
//! Owns the system calls. Every descriptor that is handed out is close-on-exec and closed by its owner. May not judge
//! what a mount means. Called by the room that watches mounts.

#![allow(
    unsafe_code,
    reason = "listmount, statmount, fanotify descriptors and two ioctls have no safe binding"
)]

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;
use nix::sys::statfs::{FsType, TMPFS_MAGIC, fstatfs};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The two ids of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountIds {
    /// The one in mountinfo, recycled at once after an unmount.
    pub recycled: u32,
    /// The one that is never used again.
    pub unique: u64,
    /// The superblock's device number, major and minor.
    pub device: (u32, u32),
}

/// The ids of all mounts that the calling thread can reach, or of those of another mount namespace, by its id
/// ([`mount_namespace_id`]). Linux 6.8, another namespace 6.11; ENOSYS or EINVAL before.
pub fn mount_ids(namespace: Option<u64>) -> io::Result<Vec<MountIds>> {
    let mut ids = Vec::new();
    let mut page = [0_u64; 256];
    let mut last = 0;
    loop {
        let listed = listmount(namespace, last, &mut page)?;
        for unique in page.iter().take(listed) {
            last = *unique;
            // A mount that went away meanwhile is no error: its line in mountinfo will have gone as well.
            if let Ok(found) = statmount(namespace, *unique) {
                ids.push(found);
            }
        }
        if listed < page.len() {
            return Ok(ids);
        }
    }
}

/// A notification group for mounts that come and go; [`tell_of_mounts`] says where. It is non-blocking, and readable when
/// there is something to tell. Linux 6.14; EINVAL before.
pub fn mount_events() -> io::Result<OwnedFd> {
    let flags = FAN_REPORT_MNT
        | libc::FAN_CLASS_NOTIF
        | libc::FAN_UNLIMITED_MARKS
        | libc::FAN_CLOEXEC
        | libc::FAN_NONBLOCK;
    let fd = fanotify::low_level::fanotify_init(flags, 0)?;
    // SAFETY: fanotify_init has just made this descriptor and nothing else knows its number, so that the OwnedFd is its
    // only owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets the group tell of every mount that is attached to or detached from the mount namespace whose file
/// (`/proc/PID/ns/mnt`) is at this path. The mark does not keep the namespace alive.
pub fn tell_of_mounts(group: BorrowedFd<'_>, namespace: &Path) -> io::Result<()> {
    fanotify::low_level::fanotify_mark(
        group.as_raw_fd(),
        libc::FAN_MARK_ADD | FAN_MARK_MNTNS,
        FAN_MNT_ATTACH | FAN_MNT_DETACH,
        libc::AT_FDCWD,
        namespace,
    )?;
    Ok(())
}

/// The mount namespace after this one, or before it, in the order of their ids, and its id; `None` at the end. Only
/// those over whose user namespace the caller has CAP_SYS_ADMIN. The descriptor keeps the namespace alive. Linux 6.12;
/// ENOTTY before.
pub fn neighbour_of_namespace(file: BorrowedFd<'_>, towards: Towards) -> io::Result<Option<(OwnedFd, u64)>> {
    let request = match towards {
        Towards::Newer => NS_MNT_GET_NEXT,
        Towards::Older => NS_MNT_GET_PREV,
    };
    // struct mnt_ns_info: size and number of mounts (u32 each), id (u64). The first word takes both of the former.
    let mut info = [0_u64; 2];
    // SAFETY: both requests write at most the 16 bytes of struct mnt_ns_info to their argument, which has that size and
    // outlives the call.
    let fd = unsafe { libc::ioctl(file.as_raw_fd(), request, info.as_mut_ptr()) };
    if fd == -1 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ENOENT) { Ok(None) } else { Err(error) };
    }
    // SAFETY: the ioctl has just made this descriptor (close-on-exec) and nothing else knows its number.
    Ok(Some((unsafe { OwnedFd::from_raw_fd(fd) }, info[1])))
}

/// Which way to go in [`neighbour_of_namespace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    /// To the next higher id.
    Newer,
    /// To the next lower id.
    Older,
}

/// The id of the mount namespace behind a `/proc/PID/ns/mnt` file, never given twice since boot. Linux 6.11; ENOTTY before.
pub fn mount_namespace_id(file: BorrowedFd<'_>) -> io::Result<u64> {
    let mut id = 0_u64;
    // SAFETY: NS_GET_MNTNS_ID writes one u64 to its argument, which points to one that outlives the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_MNTNS_ID, &raw mut id) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(id) }
}

/// The id of the calling thread's mount namespace.
///
/// # Errors
/// As [`mount_namespace_id`], and no descriptor.
pub fn own_mount_namespace_id() -> io::Result<u64> {
    mount_namespace_id(File::open("/proc/thread-self/ns/mnt")?.as_fd())
}

/// The user namespace that owns the namespace behind a `/proc/PID/ns/*` file. EPERM where it is an ancestor of ours, or
/// no relation of it.
pub fn owner_of_namespace(file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: NS_GET_USERNS takes no argument and touches no memory of ours.
    let fd = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_USERNS) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the ioctl has just made this descriptor (close-on-exec) and nothing else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Who made the user namespace behind a `/proc/PID/ns/user` file: the effective uid of its maker.
pub fn maker_of_user_namespace(file: BorrowedFd<'_>) -> io::Result<u32> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: NS_GET_OWNER_UID writes one uid_t to its argument, which outlives the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_OWNER_UID, &raw mut uid) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(uid) }
}

/// The device number (as st_dev) of the filesystem that holds the file behind a loop device. ENXIO where it has none.
pub fn loop_backing_device(device: BorrowedFd<'_>) -> io::Result<u64> {
    // The kernel writes a loop_info64, 232 bytes; lo_device is its first field.
    let mut info = [0_u64; 32];
    // SAFETY: LOOP_GET_STATUS64 writes 232 bytes to its argument; `info` is 256 bytes, aligned for u64, and outlives the
    // call.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64, info.as_mut_ptr()) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(info[0]) }
}

/// Opens a path as the process whose root directory is `root` would see it, without access to the content (O_PATH).
/// Follows no link anywhere, and does not leave that root. Linux 5.6.
pub fn open_in_root(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS);
    Ok(openat2(root, path, how)?)
}

/// One step in a copy of our mount namespace.
#[derive(Clone, Copy, Debug)]
pub enum Uncover<'a> {
    /// Unmount what is here, with what stands on it.
    Unmount(&'a Path),
    /// Open (O_PATH) what is here by now; its st_dev must be this one, else ESTALE.
    Open(&'a Path, u64),
}

/// Opens mounts under those that hide them: makes the steps in a mount namespace that lasts as long as this call. Nothing
/// changes for anybody else. The descriptors, in the order of the steps, lead to copies of the mounts: the superblock is
/// the true one, the mount is not. Needs CAP_SYS_ADMIN; EINVAL where `/` is no mount.
pub fn uncover(steps: &[Uncover<'_>]) -> io::Result<Vec<io::Result<OwnedFd>>> {
    std::thread::scope(|scope| {
        let copy = scope.spawn(|| {
            nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
            // Until this has succeeded, an unmount would spread to the namespace we came from.
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
            Ok(steps.iter().filter_map(make).collect())
        });
        copy.join().unwrap_or_else(|_| Err(io::Error::from_raw_os_error(libc::ECHILD)))
    })
}

/// Opens a path without access to its content (O_PATH), and without following a link at its end.
pub fn open_path(path: &Path) -> io::Result<OwnedFd> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path)?;
    Ok(file.into())
}

/// Opens a path without access to its content (O_PATH), following links: for the links of /proc that lead to a place and
/// not to a name.
pub fn open_path_through(path: &Path) -> io::Result<OwnedFd> {
    Ok(OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)?.into())
}

/// Opens a file for reading, without waiting for what a device or a pipe may wait for.
pub fn open_now(path: &Path) -> io::Result<OwnedFd> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    Ok(file.into())
}

/// The recycled id of the mount through which a descriptor was opened.
pub fn mount_id_of(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let info = std::fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", fd.as_raw_fd()))?;
    info.lines()
        .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EPROTO))
}

/// st_dev of an open file.
pub fn device_of(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(std::fs::File::from(fd.try_clone_to_owned()?).metadata()?.dev())
}

/// Major and minor of the block device that a device file stands for. ENOTBLK for any other file.
pub fn block_number(fd: BorrowedFd<'_>) -> io::Result<(u32, u32)> {
    let found = std::fs::File::from(fd.try_clone_to_owned()?).metadata()?;
    match found.file_type().is_block_device() {
        true => Ok(split_device(found.rdev())),
        false => Err(io::Error::from_raw_os_error(libc::ENOTBLK)),
    }
}

/// Major and minor of a device number as stat(2) tells it.
#[must_use]
pub fn split_device(device: u64) -> (u32, u32) {
    (libc::major(device), libc::minor(device))
}

/// True where an open file lies in memory: tmpfs or ramfs.
pub fn is_in_memory(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(is_memory(fstatfs(fd)?.filesystem_type()))
}

/// True for tmpfs and ramfs, as fstatfs(2) tells them.
#[must_use]
pub fn is_memory(kind: FsType) -> bool {
    matches!(kind, TMPFS_MAGIC | RAMFS_MAGIC)
}

/// Reads and forgets everything that waits in a non-blocking descriptor, and says whether there was anything.
pub fn read_all_away(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut buffer = [0_u8; 4096];
    let mut any = false;
    loop {
        match nix::unistd::read(fd.as_fd(), &mut buffer) {
            Ok(0) | Err(nix::errno::Errno::EAGAIN) => return Ok(any),
            Ok(_) => any = true,
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn make(step: &Uncover<'_>) -> Option<io::Result<OwnedFd>> {
    match step {
        Uncover::Unmount(point) => {
            // What still stands in the way is found out at the next `Open`.
            let _gone = nix::mount::umount2(*point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
            None
        }
        Uncover::Open(path, device) => {
            Some(open_path(path).and_then(|found| match device_of(found.as_fd())? == *device {
                true => Ok(found),
                false => Err(io::Error::from_raw_os_error(libc::ESTALE)),
            }))
        }
    }
}

/// struct mnt_id_req, second version (Linux 6.11); the first one ends before the namespace.
#[repr(C)]
struct MountRequest {
    size: u32,
    spare: u32,
    mount: u64,
    param: u64,
    namespace: u64,
}

impl MountRequest {
    fn new(namespace: Option<u64>, mount: u64, param: u64) -> Self {
        let size = if namespace.is_some() { 32 } else { 24 };
        Self { size, spare: 0, mount, param, namespace: namespace.unwrap_or_default() }
    }
}

/// Fills `page` with the ids that follow `after`, and says how many there are.
fn listmount(namespace: Option<u64>, after: u64, page: &mut [u64]) -> io::Result<usize> {
    let request = MountRequest::new(namespace, LSMT_ROOT, after);
    // SAFETY: the kernel reads `size` bytes of the request, at most its true size of 32, and writes at most as many u64
    // as the page is said to hold; both outlive the call.
    let listed =
        unsafe { libc::syscall(SYS_LISTMOUNT, &raw const request, page.as_mut_ptr(), page.len(), 0_u32) };
    usize::try_from(listed).map_err(|_| io::Error::last_os_error())
}

fn statmount(namespace: Option<u64>, unique: u64) -> io::Result<MountIds> {
    let request = MountRequest::new(namespace, unique, STATMOUNT_SB_BASIC | STATMOUNT_MNT_BASIC);
    // struct statmount is 512 bytes; strings would follow, and none is asked for.
    let mut answer = [0_u32; 128];
    // SAFETY: the kernel reads `size` bytes of the request, at most its true size of 32, and writes at most the 512 bytes
    // that the buffer is said to hold; both outlive the call.
    let result = unsafe {
        libc::syscall(SYS_STATMOUNT, &raw const request, answer.as_mut_ptr(), size_of_val(&answer), 0_u32)
    };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    // Offsets in u32: sb_dev_major 4, sb_dev_minor 5, mnt_id_old 14.
    Ok(MountIds { recycled: answer[14], unique, device: (answer[4], answer[5]) })
}

// Linux 6.8; the same number on every architecture that shmguard is built for.
const SYS_STATMOUNT: libc::c_long = 457;
const SYS_LISTMOUNT: libc::c_long = 458;
const LSMT_ROOT: u64 = u64::MAX;
const STATMOUNT_SB_BASIC: u64 = 0x1;
const STATMOUNT_MNT_BASIC: u64 = 0x2;

// Linux 6.14 (fanotify_init(2), fanotify_mark(2)).
const FAN_REPORT_MNT: u32 = 0x4000;
const FAN_MARK_MNTNS: u32 = 0x110;
const FAN_MNT_ATTACH: u64 = 0x0100_0000;
const FAN_MNT_DETACH: u64 = 0x0200_0000;

// statfs(2); in no crate.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

const NS_GET_USERNS: libc::Ioctl = 0xb701;
const NS_GET_OWNER_UID: libc::Ioctl = 0xb704;
const NS_GET_MNTNS_ID: libc::Ioctl = 0x8008_b705;
const NS_MNT_GET_NEXT: libc::Ioctl = 0x8010_b70b;
const NS_MNT_GET_PREV: libc::Ioctl = 0x8010_b70c;
const LOOP_GET_STATUS64: libc::Ioctl = 0x4c05;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unique_ids_are_those_of_the_mount_table() {
        let Ok(ids) = mount_ids(None) else { return eprintln!("SKIPPED: this kernel has no listmount") };
        let table = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        // Other tests mount and unmount in namespaces of their own: this table does not change.
        for line in table.lines() {
            let mut fields = line.split(' ');
            let id: u32 = fields.next().unwrap().parse().unwrap();
            let device = fields.nth(1).unwrap();
            let found = ids.iter().find(|known| known.recycled == id).unwrap();
            assert_eq!(format!("{}:{}", found.device.0, found.device.1), device);
            assert!(found.unique > u64::from(u32::MAX) >> 1);
        }
    }

    #[test]
    fn the_mount_of_a_descriptor_is_in_the_table() {
        let shm = open_path(Path::new("/proc")).unwrap();
        let id = mount_id_of(shm.as_fd()).unwrap();
        let table = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let line = table.lines().find(|line| line.starts_with(&format!("{id} "))).unwrap();
        assert!(line.contains(" /proc "));
    }
}
