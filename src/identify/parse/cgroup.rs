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

/// The container that the path names: the innermost component that has one of the forms of docker, podman, nerdctl,
/// containerd, CRI-O, Kubernetes, ECS, LXC, LXD and systemd-nspawn, where these put it. A number alone is none.
pub(in crate::identify) fn container(path: &[u8]) -> Option<&[u8]> {
    let mut components = path.split(|byte| *byte == b'/').rev();
    while let Some(component) = components.next() {
        let mut above = components.clone();
        let (parent, grandparent) = (above.next().unwrap_or_default(), above.next().unwrap_or_default());
        if let Some(id) = of_unit(component).or_else(|| of_place(component, parent, grandparent)) {
            return Some(id);
        }
    }
    None
}

/// What the component says by itself.
fn of_unit(component: &[u8]) -> Option<&[u8]> {
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
    // RUNTIME-ID.scope, and SLICE:RUNTIME:ID where containerd was not told that systemd makes the cgroups.
    let last = unit.rsplit(|byte| matches!(byte, b'-' | b':')).next()?;
    let before = unit.strip_suffix(last)?;
    let runtime = before.get(..before.len().checked_sub(1)?)?.rsplit(|byte| *byte == b':').next()?;
    (is_id(last) && RUNTIMES.contains(&runtime)).then_some(last)
}

/// What the component says below these others.
fn of_place<'a>(component: &'a [u8], parent: &[u8], grandparent: &[u8]) -> Option<&'a [u8]> {
    if component.is_empty() {
        return None;
    }
    if matches!(parent, b"lxc" | b"lxc.payload") {
        return Some(component);
    }
    let of_pod = parent.strip_prefix(b"pod").is_some_and(|rest| !rest.is_empty());
    let of_pod = of_pod || parent.starts_with(b"kubepods") && parent.ends_with(b".slice");
    let of_task = grandparent == b"ecs" && is_hexadecimal(parent, 32);
    if is_id(component) && (of_pod || of_task || PLACES.contains(&parent)) {
        return Some(component);
    }
    // ECS on Fargate: 32 digits and a number.
    let (digits, number) = component.split_at_checked(32)?;
    let number = number.strip_prefix(b"-").filter(|rest| !rest.is_empty())?;
    (of_task && is_hexadecimal(digits, 32) && number.iter().all(u8::is_ascii_digit)).then_some(component)
}

fn is_id(text: &[u8]) -> bool {
    is_hexadecimal(text, 64)
}

fn is_hexadecimal(text: &[u8], length: usize) -> bool {
    text.len() == length && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What stands before an id in the name of a scope. The monitor of a container is outside it, so conmon is none of them.
const RUNTIMES: [&[u8]; 8] =
    [b"docker", b"cri-containerd", b"containerd", b"crio", b"libpod", b"nerdctl", b"podman", b"buildkit"];
/// Cgroups in which runtimes put one named by the id alone: docker's, and containerd's, which has one for each of its
/// namespaces.
const PLACES: [&[u8]; 6] = [b"docker", b"moby", b"default", b"k8s.io", b"libpod_parent", b"buildkit"];

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
            (format!("/default/{ID}"), ID),
            (format!("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod7.slice/{ID}"), ID),
            (format!("/libpod_parent/libpod-{ID}"), ID),
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
            format!("/process_api/{}", &ID[..32]),
            format!("/process_api/{ID}"),
            format!("/default/{}", &ID[..32]),
            format!("/user.slice/build-{ID}.scope"),
            format!("/{ID}"),
            format!("/ecs/x/{}-1", &ID[..32]),
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
