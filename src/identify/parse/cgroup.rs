//! /proc/TID/cgroup: the path of a task's cgroup, and the container that its components name.
//!
//! Whoever may make cgroups (a user in a delegated one) can name one like a container's: the id is evidence.

use super::lines;

/// The path in the unified hierarchy; where that is only the root, the first other one.
pub(in crate::identify) fn path(text: &[u8]) -> Option<&[u8]> {
    let paths = || {
        lines(text).filter_map(|line| {
            // hierarchy:controllers:path, and a path may hold colons.
            let mut fields = line.splitn(3, |byte| *byte == b':');
            Some((fields.next()?, fields.nth(1)?))
        })
    };
    let unified = paths().find(|(hierarchy, _)| *hierarchy == b"0").map(|(_, path)| path);
    match unified {
        Some(path) if path != b"/" => Some(path),
        _ => paths()
            .map(|(_, path)| path)
            .find(|path| *path != b"/")
            .or(unified)
            .or_else(|| paths().next().map(|(_, path)| path)),
    }
}

/// The container that the path names: the innermost component that is one of the forms of docker, podman,
/// containerd, CRI-O, Kubernetes, ECS, LXC, LXD and systemd-nspawn.
pub(in crate::identify) fn container(path: &[u8]) -> Option<&[u8]> {
    let mut components = path.split(|byte| *byte == b'/').rev().peekable();
    while let Some(component) = components.next() {
        if let Some(id) = container_id(component) {
            return Some(id);
        }
        if matches!(components.peek().copied(), Some(b"lxc" | b"lxc.payload")) && !component.is_empty() {
            return Some(component);
        }
    }
    None
}

fn container_id(component: &[u8]) -> Option<&[u8]> {
    let unit = [b".scope".as_slice(), b".service"]
        .iter()
        .find_map(|suffix| component.strip_suffix(*suffix))
        .unwrap_or(component);
    if let Some(name) =
        unit.strip_prefix(b"systemd-nspawn@").or_else(|| component.strip_prefix(b"lxc.payload."))
    {
        return (!name.is_empty()).then_some(name);
    }
    if let Some(name) = unit.strip_prefix(b"machine-") {
        // libvirt's virtual machines are registered like this too, and are no containers.
        return (unit != component && !name.is_empty() && !name.starts_with(b"qemu\\x2d")).then_some(name);
    }
    // The monitor of a container is outside it.
    if unit.windows(6).any(|six| six == b"conmon") {
        return None;
    }
    let hexadecimal = |text: &[u8], length| {
        text.len() == length && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let last = unit.rsplit(|byte| matches!(byte, b'-' | b':')).next()?;
    if hexadecimal(last, 64) {
        return Some(last);
    }
    // ECS: 32 digits, alone or with a number behind.
    let (digits, number) = component.split_at_checked(32)?;
    let numbered = match number.split_first() {
        None => true,
        Some((dash, rest)) => *dash == b'-' && !rest.is_empty() && rest.iter().all(u8::is_ascii_digit),
    };
    (hexadecimal(digits, 32) && numbered).then_some(component)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "3c9f0a3c1d1f4a39a1b0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f6";

    #[test]
    fn the_unified_path_wins_unless_it_is_the_root() {
        assert_eq!(path(b"0::/user.slice/a:b\n"), Some(b"/user.slice/a:b".as_slice()));
        assert_eq!(path(b"5:cpu,cpuacct:/\n1:name=systemd:/x\n0::/\n"), Some(b"/x".as_slice()));
        assert_eq!(path(b"0::/\n"), Some(b"/".as_slice()));
        assert_eq!(path(b"4:devices:/\n"), Some(b"/".as_slice()));
        assert_eq!(path(b""), None);
    }

    #[test]
    fn every_runtime_s_form_names_its_container() {
        let task = &ID[..32];
        let cases = [
            (format!("/docker/{ID}"), ID),
            (format!("/system.slice/docker-{ID}.scope"), ID),
            (format!("/docker/{ID}/init.scope"), ID),
            (format!("/machine.slice/libpod-{ID}.scope/container"), ID),
            (format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"), ID),
            (format!("/kubepods/burstable/pod7bb7d0ff-0665-4b1e/{ID}"), ID),
            (format!("/kubepods.slice/kubepods-pod7bb7.slice/cri-containerd-{ID}.scope"), ID),
            (format!("/kubepods.slice/kubepods-pod7bb7.slice/crio-{ID}.scope"), ID),
            (
                format!(
                    "/system.slice/containerd.service/kubepods-besteffort-pod7.slice:cri-containerd:{ID}"
                ),
                ID,
            ),
            (format!("/ecs/{task}/{ID}"), ID),
            (format!("/ecs/{task}/{task}-1234567890"), &format!("{task}-1234567890")),
            (format!("/default/{task}"), task),
            ("/lxc/web".to_owned(), "web"),
            ("/lxc.payload.web/system.slice/cron.service".to_owned(), "web"),
            ("/lxc.payload/web/init.scope".to_owned(), "web"),
            ("/machine.slice/systemd-nspawn@deb.service/payload/init.scope".to_owned(), "deb"),
            ("/machine.slice/machine-deb.scope".to_owned(), "deb"),
        ];
        for (path, id) in cases {
            assert_eq!(container(path.as_bytes()), Some(id.as_bytes()), "{path}");
        }
    }

    #[test]
    fn what_is_no_container_names_none() {
        let cases = [
            "/".to_owned(),
            "/init.scope".to_owned(),
            "/user.slice/user-1000.slice/session-3.scope".to_owned(),
            "/system.slice/ssh.service".to_owned(),
            "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope".to_owned(),
            format!("/machine.slice/libpod-conmon-{ID}.scope"),
            format!("/system.slice/docker-{}.scope", ID.to_uppercase()),
            format!("/system.slice/docker-{}.scope", &ID[1..]),
            "/lxc.monitor.web".to_owned(),
            "/lxc/".to_owned(),
        ];
        for path in cases {
            assert_eq!(container(path.as_bytes()), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _path = path(&bytes);
            let _container = container(&bytes);
        }
    }
}
