use super::*;

#[test]
fn a_systemd_host_has_a_mark_on_each_of_its_three_filesystems() {
    let plan = plan_of(SYSTEMD);
    assert_eq!(
        marks(&plan),
        [
            "filesystem 0:5 /dev*",
            "filesystem 0:23 /run",
            "filesystem 0:25 /dev/shm",
            "filesystem 0:26 /run/lock"
        ]
    );
    assert!(plan.left_out.is_empty());
    let covered: Vec<_> = plan.coverage.iter().map(|one| one.by).collect();
    assert_eq!(covered, [Covered::Mark(2), Covered::Mark(2), Covered::Mark(1), Covered::Mark(3)]);
    assert!(plan.marks[2].nosuid && !plan.marks[2].noexec && plan.marks[3].noexec);
}

#[test]
fn the_directory_that_a_mount_hides_is_watched_where_it_lies_in_memory_and_told_where_not() {
    let plan = plan_of(SYSTEMD);
    assert_eq!(names(&plan, device(5), "/shm/x"), ["/dev/shm/x", "/run/shm/x", "/var/run/shm/x"]);
    assert!(names(&plan, device(5), "/null").is_empty(), "the rest of /dev lies outside");
    let hidden = |at: usize| plan.coverage[at].unwatched_underneath.as_deref();
    assert_eq!((hidden(0), hidden(2)), (None, Some(Path::new("/"))));
}

const STACKED: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,mode=755
25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 25 0:27 / /dev/shm rw,relatime - tmpfs tmpfs rw
";

#[test]
fn both_of_two_stacked_mounts_are_marked_and_a_directory_on_the_root_filesystem_is_left_out() {
    let plan = plan_of(STACKED);
    assert_eq!(
        marks(&plan),
        ["filesystem 0:6 /dev*", "filesystem 0:23 /dev/shm?", "filesystem 0:27 /dev/shm"]
    );
    let left: Vec<_> = plan.left_out.iter().map(|left| left.directory.to_str().unwrap()).collect();
    assert_eq!(left, ["/var/run", "/var/lock"]);
    assert_eq!(plan.left_out[0].reason.to_string(), "it lies on the larger filesystem at / (ext4)");
    assert_eq!(names(&plan, device(23), "/x"), names(&plan, device(27), "/x"));
}

#[test]
fn a_shared_filesystem_is_marked_on_request_and_only_the_directory_is_inside() {
    let host = Host { settings: Settings { shared_filesystem: SharedFilesystem::Mark }, ..Host::debian() };
    let plan = host.plan(STACKED, None);
    assert!(marks(&plan).contains(&"filesystem 254:0 /*".to_owned()));
    assert!(plan.left_out.is_empty());
    let root = Device { major: 254, minor: 0 };
    assert_eq!(names(&plan, root, "/run/x"), ["/run/x", "/var/run/x"]);
    assert_eq!(names(&plan, root, "/run/lock/x"), ["/run/lock/x", "/var/run/lock/x", "/var/lock/x"]);
    assert!(names(&plan, root, "/usr/bin/ls").is_empty());
    assert!(names(&plan, root, "/runner").is_empty());
    assert_eq!(
        unknown_names(&plan, root),
        ["/run/", "/var/run/", "/var/lock/", "/run/lock/", "/var/run/lock/"]
    );
}

#[test]
fn a_filesystem_whose_files_carry_other_numbers_is_not_shared() {
    let host = Host { settings: Settings { shared_filesystem: SharedFilesystem::Mark }, ..Host::debian() };
    for fs_type in ["btrfs", "overlay"] {
        let plan = host.plan(&STACKED.replace("ext4", fs_type), None);
        assert!(plan.marks.iter().all(|mark| mark.device.major == 0));
        assert_eq!(plan.left_out[0].reason, Reason::Renumbers { fs_type: fs_type.into() });
    }
}

#[test]
fn user_directories_and_credentials_below_run_are_watched_at_any_depth() {
    let plan = plan_of(&systemd_and(
        "40 26 0:40 / /run/user/1000 rw,nosuid,nodev,relatime shared:9 - tmpfs tmpfs rw,mode=700,uid=1000
41 26 0:41 / /run/credentials/a.service ro,nosuid,nodev,noexec - ramfs ramfs rw,mode=700
42 40 0:42 / /run/user/1000/doc rw,nosuid,nodev - fuse.portal portal rw,user_id=1000
43 40 0:43 / /run/user/1000/deep/er rw - tmpfs x rw
",
    ));
    let marks = marks(&plan);
    for path in ["0:40 /run/user/1000", "0:41 /run/credentials/a.service", "0:43 /run/user/1000/deep/er"] {
        assert!(marks.contains(&format!("filesystem {path}")), "{marks:?}");
    }
    assert_eq!(
        plan.passed_over,
        [Passed {
            point: "/run/user/1000/doc".into(),
            fs_type: "fuse.portal".into(),
            why: PassedOver::Remote
        }]
    );
}

#[test]
fn containers_of_docker_and_kubernetes_get_no_filesystem_mark() {
    let root = "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/aa/rootfs";
    let plan = plan_of(&systemd_and(&format!(
        "50 28 0:50 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw,lowerdir=/var/lib/docker/l/A,upperdir=/var/lib/docker/u,workdir=/var/lib/docker/w
51 26 0:4 net:[4026532281] /run/docker/netns/x rw shared:20 - nsfs nsfs rw
52 26 0:52 / {root} rw - overlay overlay rw,lowerdir=/var/lib/rancher/1,upperdir=/var/lib/rancher/2,workdir=/var/lib/rancher/3
53 26 0:53 / /run/k3s/containerd/io.containerd.grpc.v1.cri/sandboxes/aa/shm rw,nosuid,nodev,noexec - tmpfs shm rw,size=65536k
54 26 252:3 / /run/containerd/io.containerd.runtime.v2.task/default/bb/rootfs rw - ext4 /dev/mapper/pool-1 rw
55 26 0:55 / /run/calico/cgroup rw - cgroup2 none rw
56 26 254:1 /var/lib/kubelet/x /run/secrets/x rw - ext4 /dev/vda1 rw
"
    )));
    let marks = marks(&plan);
    assert_eq!(
        marks[4..],
        [
            format!("mount 0:52 {root}"),
            "filesystem 0:53 /run/k3s/containerd/io.containerd.grpc.v1.cri/sandboxes/aa/shm".to_owned(),
            "mount 252:3 /run/containerd/io.containerd.runtime.v2.task/default/bb/rootfs".to_owned(),
            "mount 254:1 /run/secrets/x".to_owned(),
        ]
    );
    let passed: Vec<_> = plan.passed_over.iter().map(|passed| passed.fs_type.as_str()).collect();
    assert_eq!(passed, ["nsfs", "cgroup2"]);
}

#[test]
fn a_disk_of_its_own_is_the_directorys_filesystem_and_one_that_is_elsewhere_too_is_not() {
    let own = plan_of(&systemd_and("60 26 8:1 / /run/big rw - xfs /dev/sda1 rw\n"));
    assert!(marks(&own).contains(&"filesystem 8:1 /run/big".to_owned()));
    let both = plan_of(&systemd_and(
        "59 28 8:1 / /srv rw - xfs /dev/sda1 rw\n60 26 8:1 / /run/big rw - xfs /dev/sda1 rw\n",
    ));
    assert!(marks(&both).contains(&"mount 8:1 /run/big".to_owned()));
}

#[test]
fn where_var_run_is_a_real_directory_it_is_left_out_and_where_it_is_a_mount_it_is_watched() {
    let host = |fs: &str| {
        Host { directories: directories(&["/var/run"], &[("/var", ""), ("/var/run", "")]), ..Host::debian() }
            .plan(&systemd_and(fs), None)
    };
    assert!(matches!(host("").left_out[0].reason, Reason::Larger { .. }));
    let mounted = host("61 28 0:61 / /var/run rw - tmpfs t rw\n");
    assert_eq!((marks(&mounted), mounted.left_out.len()), (vec!["filesystem 0:61 /var/run".to_owned()], 0));
    assert_eq!(names(&mounted, device(61), "/x"), ["/var/run/x"]);
}

#[test]
fn a_missing_directory_below_a_watched_one_is_covered_and_any_other_is_told() {
    let directories =
        directories(&["/run", "/run/shm", "/dev/shm", "/run/gone/deep"], &[("/run", ""), ("/dev", "")]);
    let host = Host { directories, ..Host::debian() };
    let plan = host.plan(&SYSTEMD.replace("/dev/shm", "/dev/other"), None);
    let run = plan.marks.iter().position(|mark| mark.path == Path::new("/run")).unwrap();
    let covered: Vec<_> = plan.coverage.iter().map(|one| one.by).collect();
    assert_eq!(covered, [Covered::Mark(run), Covered::Mark(run), Covered::LeftOut(0), Covered::Mark(run)]);
    assert_eq!(plan.left_out[0].reason, Reason::Missing);
}

#[test]
fn layers_of_a_live_systems_root_are_never_marked() {
    let plan = plan_of(
        "28 1 0:28 / / rw - overlay overlay rw,lowerdir=/run/live/rootfs/filesystem.squashfs/,upperdir=/run/live/overlay/rw,workdir=/run/live/overlay/work
24 28 0:5 / /dev rw - devtmpfs udev rw
30 24 0:25 / /dev/shm rw - tmpfs tmpfs rw
26 28 0:23 / /run rw - tmpfs tmpfs rw
32 26 7:0 / /run/live/rootfs/filesystem.squashfs ro - squashfs /dev/loop0 ro
33 26 0:33 / /run/live/overlay rw - tmpfs tmpfs rw
34 26 11:0 / /run/live/medium ro - iso9660 /dev/sr0 ro
",
    );
    assert_eq!(
        marks(&plan),
        [
            "filesystem 0:5 /dev*",
            "filesystem 0:23 /run",
            "filesystem 0:25 /dev/shm",
            "filesystem 11:0 /run/live/medium"
        ]
    );
    assert!(plan.passed_over.iter().all(|passed| passed.why == PassedOver::HoldsRoot));
    let whole_run = plan_of(
        "28 1 0:28 / / rw - overlay overlay rw,lowerdir=/x,upperdir=/run/overlayfs,workdir=/run/ovlwork
26 28 0:23 / /run rw - tmpfs tmpfs rw
",
    );
    assert!(marks(&whole_run).is_empty());
    assert!(
        whole_run.left_out.iter().any(|left| left.reason == Reason::HoldsRoot { fs_type: "tmpfs".into() })
    );
}

#[test]
fn in_a_container_the_directories_that_are_mounts_are_watched() {
    let plan = plan_of(
        "700 600 0:70 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/l,upperdir=/u,workdir=/w
701 700 0:71 / /proc rw - proc proc rw
702 700 0:72 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k
703 702 0:73 / /dev/shm rw,nosuid,nodev,noexec - tmpfs shm rw,size=65536k
704 700 254:1 /var/lib/docker/containers/x/hosts /etc/hosts rw - ext4 /dev/vda1 rw
705 700 254:1 /srv/data /run/data rw - ext4 /dev/vda1 rw
",
    );
    assert_eq!(marks(&plan), ["filesystem 0:72 /dev*", "filesystem 0:73 /dev/shm", "mount 254:1 /run/data"]);
    assert_eq!(plan.left_out.len(), 2);
}

#[test]
fn a_directory_on_a_fuse_or_network_filesystem_is_left_out_even_when_shared_ones_are_marked() {
    let host = Host {
        directories: directories(&["/mnt/d"], &[("/mnt", ""), ("/mnt/d", "")]),
        settings: Settings { shared_filesystem: SharedFilesystem::Mark },
        ..Host::debian()
    };
    for point in ["/mnt", "/mnt/d"] {
        let plan = host.plan(&systemd_and(&format!("70 28 0:70 / {point} rw - nfs4 h:/x rw\n")), None);
        assert!(plan.marks.is_empty());
        assert_eq!(plan.left_out[0].reason, Reason::Remote { fs_type: "nfs4".into() });
    }
}

#[test]
fn a_chroot_that_does_not_show_the_root_marks_no_disk() {
    let plan = plan_of(
        "40 39 0:25 / /dev/shm rw - tmpfs t rw\n41 39 254:1 /srv/x /run/x rw - ext4 /dev/vda1 rw\n42 39 254:2 / /run/y rw - ext4 /dev/vdb rw\n",
    );
    assert_eq!(marks(&plan), ["filesystem 0:25 /dev/shm", "mount 254:1 /run/x", "mount 254:2 /run/y"]);
}

#[test]
fn a_larger_filesystem_that_is_watched_no_more_lies_outside_at_once() {
    let host = Host { settings: Settings { shared_filesystem: SharedFilesystem::Mark }, ..Host::debian() };
    let first = host.plan(STACKED, None);
    let root = Device { major: 254, minor: 0 };
    for after in [
        Host::debian(),
        Host { directories: directories(&["/dev/shm"], &[("/dev", ""), ("/dev/shm", "")]), ..Host::debian() },
    ] {
        let second = after.plan(STACKED, Some(&first));
        assert!(
            changes(&first, &second)
                .iter()
                .any(|change| matches!(change, Change::Remove(mark) if mark.device == root))
        );
        assert!(names(&second, root, "/usr/bin/ls").is_empty());
        let third = after.plan(STACKED, Some(&second));
        assert!(names(&third, root, "/usr/bin/ls").is_empty());
    }
}
