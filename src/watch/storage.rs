//! Which block devices are files, and on which filesystem those lie.
//!
//! A loop device over an image in a watched directory holds a filesystem of its own, whose files are then in shared
//! memory all the same. Owns the look into /sys and the question to the loop driver; what follows is the plan's. Called
//! by the daemon before each plan.

use super::mounts::{MountTable, device as parse_device};
use super::plan::Loop;
use crate::event::Device;
use crate::sys;
use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The mounted block devices that are files in the end: loop devices, their partitions, and what device mapper puts on
/// them. What cannot be found out is left away.
#[must_use]
pub fn loops(table: &MountTable) -> Vec<Loop> {
    let devices: BTreeSet<Device> =
        table.mounts().iter().map(|mount| mount.device).filter(|device| device.major != 0).collect();
    let mut loops = Vec::new();
    for device in devices {
        let directory = PathBuf::from(format!("/sys/dev/block/{device}"));
        for (file, on) in files(&directory, 0) {
            loops.push(Loop { device, on, file });
        }
    }
    loops
}

/// The files behind the block device whose directory in /sys this is.
fn files(directory: &Path, depth: usize) -> Vec<(Vec<u8>, Option<Device>)> {
    // A partition has its disk's directory above it. `..` leads there because the kernel follows the link first.
    for disk in [directory.to_path_buf(), directory.join("..")] {
        if let Ok(file) = std::fs::read(disk.join("loop/backing_file")) {
            let file = file.strip_suffix(b"\n").unwrap_or(&file).to_vec();
            return vec![(file, backing_device(&disk))];
        }
    }
    // A device mapper device lists what it stands on. Deeper than this nobody stacks.
    let Ok(below) = std::fs::read_dir(directory.join("slaves")) else { return Vec::new() };
    if depth >= 4 {
        return Vec::new();
    }
    below.flatten().take(64).flat_map(|entry| files(&entry.path(), depth + 1)).collect()
}

/// Asks the driver, who knows the file itself and not only a path that may be another namespace's.
fn backing_device(disk: &Path) -> Option<Device> {
    let number = std::fs::read(disk.join("dev")).ok()?;
    let expected = parse_device(number.strip_suffix(b"\n").unwrap_or(&number))?;
    let name = std::fs::canonicalize(disk).ok()?;
    let node = Path::new("/dev").join(std::ffi::OsStr::from_bytes(name.file_name()?.as_bytes()));
    let node = sys::mounts::open_now(&node).ok()?;
    let is_it = sys::mounts::block_number(node.as_fd()).ok()? == (expected.major, expected.minor);
    let (major, minor) = sys::mounts::split_device(sys::mounts::loop_backing_device(node.as_fd()).ok()?);
    is_it.then_some(Device { major, minor })
}
