//! What /sys says of loop devices: the files behind a block device. Opens no device, so nobody is kept waiting.

use std::path::{Path, PathBuf};

/// The files in which a block device lies, as the kernel names them, each with the directory in /sys of the loop device
/// over it. Several where device mapper puts it together; none where it is no loop device, nor stands on one.
#[must_use]
pub fn images(major: u32, minor: u32) -> Vec<(PathBuf, Vec<u8>)> {
    files(Path::new(&format!("/sys/dev/block/{major}:{minor}")), 0)
}

fn files(directory: &Path, depth: usize) -> Vec<(PathBuf, Vec<u8>)> {
    // A partition has its disk's directory above it. `..` leads there because the kernel follows the link first.
    for disk in [directory.to_path_buf(), directory.join("..")] {
        if let Ok(file) = std::fs::read(disk.join("loop/backing_file")) {
            let file = file.strip_suffix(b"\n").unwrap_or(&file).to_vec();
            return vec![(disk, file)];
        }
    }
    // A device mapper device lists what it stands on. Deeper than this nobody stacks.
    let Ok(below) = std::fs::read_dir(directory.join("slaves")) else { return Vec::new() };
    if depth >= 4 {
        return Vec::new();
    }
    below.flatten().take(64).flat_map(|entry| files(&entry.path(), depth + 1)).collect()
}
