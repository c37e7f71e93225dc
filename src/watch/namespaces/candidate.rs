//! Which mounts of another namespace are to be marked there; pure.
//!
//! Owns the rules that the module above gives reasons for: what a namespace shows is the word of whoever made it, and the
//! host's own table the only one to trust. What is a candidate is opened and proved before it gets a mark.

#![forbid(unsafe_code)]

use crate::watch::links::{Directories, State};
use crate::watch::mounts::{Mount, MountTable, is_in_any};
use std::os::unix::ffi::OsStrExt as _;

/// Whether the table of another namespace shows something to mark: see the module.
pub(super) fn is_candidate(mount: &Mount, spelled: &[Vec<u8>], host: &MountTable) -> bool {
    let place = is_in_any(&mount.point, spelled);
    let kind = mount.fs_type == b"tmpfs" || mount.fs_type == b"ramfs";
    // What the host has in a watched directory is marked already, and what it has elsewhere is not to be.
    let engines = |known: &Mount| {
        is_kept_for_containers(&known.point) && known.root == b"/" && !is_in_any(&known.point, spelled)
    };
    let host_has = host.mounts().iter().filter(|known| known.device == mount.device);
    place && kind && mount.root == b"/" && mount.point != b"/" && host_has.into_iter().all(engines)
}

/// Whether container engines keep the shared memory of containers there: Docker, podman and containerd in a directory
/// `shm`; Kubernetes what a pod asks for as memory (`emptyDir`) in one for each volume, below any kubelet's directory.
fn is_kept_for_containers(point: &[u8]) -> bool {
    let mut parts = point.rsplit(|byte| *byte == b'/');
    let (name, parent) = (parts.next(), parts.next());
    name == Some(b"shm") || parent == Some(b"kubernetes.io~empty-dir")
}

/// The watched directories in every spelling that was configured or that the links gave.
pub(super) fn spelled(directories: &Directories) -> Vec<Vec<u8>> {
    let watched =
        directories.watched.iter().filter(|one| matches!(one.state, State::Present | State::Missing));
    let mut spelled: Vec<Vec<u8>> = watched
        .flat_map(|one| [&one.configured, &one.path])
        .map(|path| path.as_os_str().as_bytes().to_vec())
        // All of a container is no watched directory.
        .filter(|path| path != b"/")
        .collect();
    spelled.sort();
    spelled.dedup();
    spelled
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::watch::links::{Look as Stands, resolve_with};

    pub(in crate::watch::namespaces) fn debian() -> Directories {
        resolve_with(&["/dev/shm".into(), "/var/run".into()], |path| match path.to_str() {
            Some("/var/run") => Ok(Stands::Link("/run".into(), 0)),
            _ => Ok(Stands::Directory),
        })
    }

    fn candidates(host: &str, inside: &str) -> Vec<String> {
        let (host, inside) = (MountTable::parse(host.as_bytes()), MountTable::parse(inside.as_bytes()));
        let spelled = spelled(&debian());
        let found = inside.mounts().iter().filter(|mount| is_candidate(mount, &spelled, &host));
        found.map(|mount| String::from_utf8(mount.point.clone()).unwrap()).collect()
    }

    const HOST: &str = "\
28 1 254:1 / / rw - ext4 /dev/vda1 rw
26 28 0:23 / /run rw - tmpfs tmpfs rw
30 28 0:25 / /dev/shm rw - tmpfs tmpfs rw
31 28 0:26 / /tmp rw - tmpfs tmpfs rw
32 28 0:27 / /var/lib/containers/storage/overlay-containers/a/userdata/shm rw - tmpfs shm rw
33 28 0:28 / /var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/cache rw - tmpfs tmpfs rw
34 28 0:29 / /var/lib/kubelet/pods/u/volumes/kubernetes.io~projected/token rw - tmpfs tmpfs rw
";

    #[test]
    fn the_shared_memory_of_containers_is_found() {
        let inside = "\
500 400 0:80 / / rw - overlay overlay rw
501 500 0:81 / /dev rw - tmpfs tmpfs rw
502 501 0:82 / /dev/shm rw - tmpfs shm rw
503 500 0:83 / /run rw - tmpfs tmpfs rw
504 503 0:84 / /run/secrets rw - ramfs ramfs rw
505 500 0:85 / /var/run rw - tmpfs tmpfs rw
506 500 0:86 / /tmp rw - tmpfs tmpfs rw
507 503 0:27 / /run/podman rw - tmpfs shm rw
";
        assert_eq!(candidates(HOST, inside), ["/dev/shm", "/run", "/run/secrets", "/var/run", "/run/podman"]);
    }

    #[test]
    fn what_the_host_has_elsewhere_and_what_is_no_memory_of_its_own_is_not() {
        let inside = "\
500 400 0:26 / / rw - tmpfs tmpfs rw
501 500 0:26 / /dev/shm rw - tmpfs tmpfs rw
502 500 254:1 / /dev/shm rw - ext4 /dev/vda1 rw
503 500 0:90 /part /run/x rw - tmpfs tmpfs rw
504 500 0:25 / /run/host rw - tmpfs tmpfs rw
505 500 0:91 / /run/fuse rw - fuse.x x rw
506 500 0:92 / /run/over rw - overlay o rw
";
        assert!(candidates(HOST, inside).is_empty());
    }

    #[test]
    fn the_memory_that_a_pod_asked_for_is_found_wherever_the_kubelet_keeps_it() {
        let inside = "\
500 400 0:80 / / rw - overlay overlay rw
501 500 0:28 / /dev/shm rw - tmpfs tmpfs rw
502 500 0:28 / /cache rw - tmpfs tmpfs rw
503 500 0:29 / /run/secrets rw - tmpfs tmpfs rw
504 500 0:28 /part /run/part rw - tmpfs tmpfs rw
";
        assert_eq!(candidates(HOST, inside), ["/dev/shm"]);
        assert_eq!(candidates(&HOST.replace("/var/lib/kubelet/", "/data/k/"), inside), ["/dev/shm"]);
    }
}
