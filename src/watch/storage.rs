//! Which filesystems lie in files or directories of others.
//!
//! A loop device over an image in a watched directory holds a filesystem of its own, whose files are then in shared
//! memory all the same. An overlay shows files of its layers, and before Linux 6.5 a run through it did not raise the
//! layer's event (measured: 6.1 is silent, 6.12 tells). Owns the look into /sys, at the layers' directories, and the
//! question to the loop driver; what follows is the plan's. Called by the daemon before each plan.

use super::mounts::{Mount, MountTable, below, device as parse_device};
use super::plan::{Stored, is_remote};
use crate::event::Device;
use crate::sys;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The mounted filesystems that lie in files or directories of others, as far as the mark on those does not see what is
/// run from them: on loop devices, their partitions and what device mapper puts on them, in files without a device, and on
/// old kernels overlays.
/// What cannot be found out is left away. Does not block on a network filesystem, unless a link leads there.
#[must_use]
pub fn stored(table: &MountTable) -> Vec<Stored> {
    let mut stored = loops(table);
    if !layers_tell() {
        for mount in table.mounts() {
            stored.extend(layers(mount, table));
        }
    }
    stored
}

/// The files in which one filesystem lies, of whatever mount namespace.
#[must_use]
pub fn images(mount: &Mount) -> Vec<Stored> {
    if is_file_backed(mount) {
        return vec![Stored { device: mount.device, on: None, path: mount.source.clone() }];
    }
    let files = blocks(mount).into_iter().flat_map(|block| sys::loops::images(block.major, block.minor));
    files.map(|(disk, path)| Stored { device: mount.device, on: backing_device(&disk), path }).collect()
}

fn loops(table: &MountTable) -> Vec<Stored> {
    let mut seen = BTreeSet::new();
    let once = |mount: &&Mount| seen.insert(mount.device);
    let mut found: Vec<Stored> = table.mounts().iter().filter(once).flat_map(images).collect();
    let layered: Vec<Stored> = found.iter().flat_map(|image| in_layers(image, table)).collect();
    found.extend(layered);
    found
}

/// Where the file of an image lies that is seen through an overlay: in each layer that has it, for a file can have its
/// content in one and its rights in another. One that was deleted may lie in any.
fn in_layers(image: &Stored, table: &MountTable) -> Vec<Stored> {
    let path = image.path.strip_suffix(b" (deleted)").unwrap_or(&image.path);
    let Some(overlay) = table.visible(path).filter(|mount| mount.fs_type == b"overlay") else {
        return Vec::new();
    };
    let Some(rest) = below(path, &overlay.point) else { return Vec::new() };
    let inside = [overlay.root.strip_suffix(b"/").unwrap_or(&overlay.root), rest].concat();
    let mut all = layers(overlay, table);
    let (mut having, is_deleted) = (all.clone(), path.len() != image.path.len());
    having.retain(|layer| {
        let file = [layer.path.as_slice(), inside.as_slice()].concat();
        std::fs::symlink_metadata(OsStr::from_bytes(&file)).is_ok_and(|found| found.is_file())
    });
    if !is_deleted {
        all = having;
    }
    let at = |layer: Stored| Stored {
        device: image.device,
        on: layer.on,
        path: [layer.path.as_slice(), inside.as_slice()].concat(),
    };
    all.into_iter().map(at).collect()
}

/// The block devices of a filesystem. One that can have several (btrfs, bcachefs) has a device number of its own, and
/// names them as its source.
fn blocks(mount: &Mount) -> Vec<Device> {
    if mount.device.major != 0 {
        return vec![mount.device];
    }
    if is_remote(&mount.fs_type) {
        return Vec::new();
    }
    let node = |path: &[u8]| {
        // Device files only, for any user can mount a filesystem of their own and call its source what they like.
        let path = path.starts_with(b"/dev/").then(|| Path::new(OsStr::from_bytes(path)))?;
        let (major, minor) =
            sys::mounts::block_number(sys::mounts::open_path_through(path).ok()?.as_fd()).ok()?;
        Some(Device { major, minor })
    };
    mount.source.split(|byte| *byte == b':').filter_map(node).collect()
}

/// EROFS reads from a file without a device between (Linux 6.12); the kernel opened what it names as its source.
fn is_file_backed(mount: &Mount) -> bool {
    mount.device.major == 0 && mount.fs_type == b"erofs" && mount.source.starts_with(b"/")
}

/// The layers of an overlay, as far as their paths still lead to a directory: they were written by whoever mounted it, in
/// the mount namespace of that moment, and a path that leads to nothing here says nothing.
fn layers(mount: &Mount, table: &MountTable) -> Vec<Stored> {
    let local = |layer: &Vec<u8>| table.visible(layer).is_some_and(|below| !is_remote(&below.fs_type));
    let found = mount.layers().into_iter().filter(local).filter_map(|path| {
        let found = std::fs::metadata(OsStr::from_bytes(&path)).ok().filter(std::fs::Metadata::is_dir)?;
        let (major, minor) = sys::mounts::split_device(found.dev());
        Some(Stored { device: mount.device, on: Some(Device { major, minor }), path })
    });
    found.collect()
}

/// True where a run through an overlay raises the event of the layer in which the file lies: Linux 6.5. Some vendors have
/// taken that into older kernels; there a run is then seen twice.
fn layers_tell() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    is_at_least(&release, (6, 5))
}

fn is_at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= wanted
}

/// Asks the driver, who knows the file itself and not only a path that may be another namespace's.
fn backing_device(disk: &Path) -> Option<Device> {
    let number = std::fs::read(disk.join("dev")).ok()?;
    let expected = parse_device(number.strip_suffix(b"\n").unwrap_or(&number))?;
    let name = std::fs::canonicalize(disk).ok()?;
    let node = sys::mounts::open_now(&Path::new("/dev").join(name.file_name()?)).ok()?;
    let is_it = sys::mounts::block_number(node.as_fd()).ok()? == (expected.major, expected.minor);
    let (major, minor) = sys::mounts::split_device(sys::mounts::loop_backing_device(node.as_fd()).ok()?);
    is_it.then_some(Device { major, minor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        for (release, is) in [
            ("6.5.0-1\n", true),
            ("6.18.44-fc", true),
            ("10.0", true),
            ("6.4.9", false),
            ("5.14.0-6.el9", false),
            ("", false),
        ] {
            assert_eq!(is_at_least(release, (6, 5)), is, "{release}");
        }
    }

    #[test]
    fn only_layers_that_are_there_are_told() {
        let place = tempfile::tempdir().unwrap();
        let here = place.path().to_str().unwrap();
        let text = format!(
            "1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / /net rw - nfs4 h rw\n3 1 0:3 / /m rw - overlay o rw,lowerdir={here}:/gone:/net,upperdir=/proc/version\n"
        );
        let table = MountTable::parse(text.as_bytes());
        let layers = layers(table.by_id(3).unwrap(), &table);
        assert_eq!(layers.len(), 1);
        assert_eq!(layers[0].path, here.as_bytes());
        let (major, minor) = sys::mounts::split_device(place.path().metadata().unwrap().dev());
        assert_eq!(layers[0].on, Some(Device { major, minor }));
    }
}
