//! The path of a file inside its superblock, from what the kernel says of the file and of its mount; pure.

#![forbid(unsafe_code)]

use crate::event::Cause;

/// The end of the path of a file that has lost its name.
pub(super) const DELETED: &[u8] = b" (deleted)";

/// The mount's side of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// Which directory or file of the filesystem is the mount's root.
    pub(super) root: &'a [u8],
    /// Where it is mounted.
    pub(super) point: &'a [u8],
}

/// Appends the path inside the superblock: the mount's root, then what `seen` (without [`DELETED`]) has behind the
/// mount point.
///
/// `Unsupported`: the mount is nowhere, so its place says nothing. `Unsteady`: the two do not belong together; one
/// of them was renamed or moved in between.
pub(super) fn path(seen: &[u8], place: Place<'_>, out: &mut Vec<u8>) -> Result<(), Cause> {
    if place.point.is_empty() {
        return Err(Cause::Unsupported);
    }
    let point = place.point.strip_suffix(b"/").unwrap_or(place.point);
    // Whole components only: below /mnt/a nothing begins with /mnt/ab.
    let below = seen.strip_prefix(point).ok_or(Cause::Unsteady)?;
    if !below.is_empty() && !below.starts_with(b"/") {
        return Err(Cause::Unsteady);
    }
    // A root that was removed is written like no path can be.
    let root = place.root.strip_suffix(b"//deleted").unwrap_or(place.root);
    let root = root.strip_suffix(b"/").unwrap_or(root);
    if !(root.is_empty() || root.starts_with(b"/")) {
        return Err(Cause::Unsteady);
    }
    out.extend_from_slice(root);
    out.extend_from_slice(below);
    if out.is_empty() {
        out.push(b'/');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn inner(seen: &str, root: &str, point: &str) -> Result<String, Cause> {
        let mut out = Vec::new();
        let place = Place { root: root.as_bytes(), point: point.as_bytes() };
        path(seen.as_bytes(), place, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_mount_s_root_takes_the_place_of_its_point() {
        let cases = [
            ("/dev/shm/x", "/", "/dev/shm", "/x"),
            ("/mnt/y/x", "/evil", "/mnt/y", "/evil/x"),
            ("/run/docker", "/evil", "/run/docker", "/evil"),
            ("/etc/motd", "/", "/", "/etc/motd"),
            ("/mnt", "/f//deleted", "/mnt", "/f"),
            ("/", "/", "/", "/"),
        ];
        for (seen, root, point, expected) in cases {
            assert_eq!(inner(seen, root, point).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        assert_eq!(inner("/dev/shmx/y", "/", "/dev/shm"), Err(Cause::Unsteady));
        assert_eq!(inner("/other", "/", "/dev/shm"), Err(Cause::Unsteady));
        assert_eq!(inner("/x", "/", ""), Err(Cause::Unsupported));
        // nsfs and the like have roots that are no paths.
        assert_eq!(inner("/run/n", "mnt:[4026531841]", "/run/n"), Err(Cause::Unsteady));
    }

    proptest! {
        #[test]
        fn root_and_rest_are_all_there_is(root in "(/[a-c]{1,2}){0,3}", point in "(/[a-c]{1,2}){1,3}", rest in "(/[a-c]{1,2}){1,3}") {
            let shown_root = if root.is_empty() { "/" } else { &root };
            prop_assert_eq!(inner(&format!("{point}{rest}"), shown_root, &point).unwrap(), format!("{root}{rest}"));
        }
    }
}
