use super::*;

/// The same host, as a mount table says it before and after.
fn then(before: &str, after: &str) -> (Plan, Plan) {
    let host = Host::debian();
    let first = host.plan(before, None);
    let second = host.plan(after, Some(&first));
    (first, second)
}

#[test]
fn a_bind_onto_an_excepted_directory_does_not_rename() {
    let bind = "40 26 0:25 /evil /run/docker rw - tmpfs tmpfs rw\n";
    let fresh = plan_of(&systemd_and(bind));
    let (_, later) = then(SYSTEMD, &systemd_and(bind));
    for plan in [fresh, later] {
        assert_eq!(names(&plan, device(25), "/evil/x")[0], "/dev/shm/evil/x");
        assert!(marks(&plan).contains(&"filesystem 0:25 /dev/shm".to_owned()));
    }
}

#[test]
fn a_first_mount_that_goes_away_leaves_its_names_while_the_filesystem_lives() {
    let bind = "40 26 0:25 /evil /run/docker rw - tmpfs tmpfs rw\n";
    let without: String = systemd_and(bind)
        .lines()
        .filter(|line| !line.contains(" /dev/shm "))
        .fold(String::new(), |text, line| text + line + "\n");
    let host = Host::debian();
    let first = host.plan(&systemd_and(bind), None);
    let second = host.plan(&without, Some(&first));
    assert_eq!(names(&second, device(25), "/evil/x")[0], "/dev/shm/evil/x");
    assert!(marks(&second).contains(&"filesystem 0:25 /run/docker".to_owned()));
}

#[test]
fn a_moved_filesystem_keeps_its_names_and_its_mark() {
    for (to, parent) in [("/run/docker", 26), ("/mnt", 28)] {
        let moved = SYSTEMD.replace("30 24 0:25 / /dev/shm", &format!("30 {parent} 0:25 / {to}"));
        let (first, second) = then(SYSTEMD, &moved);
        assert_eq!(names(&second, device(25), "/x")[0], "/dev/shm/x");
        assert!(marks(&second).contains(&format!("filesystem 0:25 {to}")));
        assert!(
            changes(&first, &second)
                .iter()
                .all(|change| matches!(change, Change::Renew(_) | Change::Keep(_)))
        );
    }
}

#[test]
fn a_detached_filesystem_keeps_its_names_and_its_mark_is_left_alone() {
    let gone = SYSTEMD.lines().filter(|line| !line.contains("/run/lock")).collect::<Vec<_>>().join("\n");
    let (first, second) = then(SYSTEMD, &gone);
    assert_eq!(names(&second, device(26), "/x")[0], "/run/lock/x");
    let left: Vec<_> = changes(&first, &second)
        .into_iter()
        .filter(|change| !matches!(change, Change::Renew(_) | Change::Keep(_)))
        .collect();
    assert!(matches!(&left[..], [Change::Gone(mark)] if mark.device == device(26)), "{left:?}");
}

#[test]
fn a_recycled_device_number_is_another_filesystem_with_other_names() {
    let before = systemd_and("40 26 0:40 / /run/docker rw - tmpfs t rw\n");
    let after = systemd_and("40 30 0:40 / /dev/shm/sub rw - tmpfs t rw\n");
    for unique in [Some(1000), None] {
        let host = Host { unique, ..Host::debian() };
        let first = host.plan(&before, None);
        let second =
            Host { unique: unique.map(|base| base + 1000), ..Host::debian() }.plan(&after, Some(&first));
        assert_eq!(names(&second, device(40), "/x")[0], "/dev/shm/sub/x");
        assert!(
            changes(&first, &second)
                .iter()
                .any(|change| matches!(change, Change::Add(mark) if mark.device == device(40)))
        );
    }
}

#[test]
fn a_recycled_device_number_outside_is_not_marked() {
    let (_, second) = {
        let host = Host::debian();
        let first = host.plan(&systemd_and("40 26 0:40 / /run/user/1 rw - tmpfs t rw\n"), None);
        let other = Host { unique: Some(5000), ..Host::debian() };
        let second = other.plan(&systemd_and("40 28 0:40 / /tmp rw - tmpfs t rw\n"), Some(&first));
        (first, second)
    };
    assert!(!marks(&second).iter().any(|mark| mark.contains("0:40")));
    assert!(!second.scope.contains(device(40)));
}

#[test]
fn a_mark_is_renewed_with_every_plan_unless_its_mount_has_an_id_of_its_own() {
    for (unique, kept) in [(Some(1000), true), (None, false)] {
        let host = Host { unique, ..Host::debian() };
        let first = host.plan(SYSTEMD, None);
        let changes = changes(&first, &host.plan(SYSTEMD, Some(&first)));
        assert_eq!(changes.len(), first.marks.len());
        assert!(changes.iter().all(|change| match change {
            Change::Keep(_) => kept,
            Change::Renew(_) => !kept,
            Change::Add(_) | Change::Remove(_) | Change::Gone(_) => false,
        }));
    }
}

#[test]
fn an_outside_directory_bound_into_a_watched_one_gets_a_mount_mark_only() {
    let tmp = "39 28 0:39 / /tmp rw - tmpfs t rw\n";
    for bind in ["0:39 / /run/x", "0:39 /a /dev/shm/x", "254:1 / /run/x", "254:1 /home /dev/shm"] {
        let parent = if bind.contains("/run") { 26 } else { 30 };
        let bound = systemd_and(&format!("{tmp}45 {parent} {bind} rw - tmpfs t rw\n"));
        let (_, later) = then(&systemd_and(tmp), &bound);
        for plan in [plan_of(&bound), later] {
            let (device, path) = (bind.split(' ').next().unwrap(), bind.rsplit(' ').next().unwrap());
            assert!(marks(&plan).contains(&format!("mount {device} {path}")), "{bind}: {:?}", marks(&plan));
            assert!(!marks(&plan).iter().any(|mark| mark.starts_with(&format!("filesystem {device} "))));
        }
    }
}

#[test]
fn over_a_watched_directory_itself_the_first_look_guards_too_much_rather_than_too_little() {
    let bound = systemd_and("39 28 0:39 / /mnt rw - tmpfs t rw\n45 30 0:39 / /dev/shm rw - tmpfs t rw\n");
    assert!(marks(&plan_of(&bound)).contains(&"filesystem 0:39 /dev/shm".to_owned()));
    // A plan for no directories at all is no look.
    let from_nothing = Host::debian().plan(&bound, Some(&Plan::empty()));
    assert_eq!(marks(&from_nothing), marks(&plan_of(&bound)));
    let (_, later) = then(&systemd_and("39 28 0:39 / /mnt rw - tmpfs t rw\n"), &bound);
    assert!(marks(&later).contains(&"mount 0:39 /dev/shm".to_owned()));
}

#[test]
fn binding_a_watched_directory_out_changes_nothing() {
    let out = systemd_and("45 28 0:25 / /mnt rw - tmpfs tmpfs rw\n46 28 0:26 /a /srv rw - tmpfs tmpfs rw\n");
    let (first, later) = then(SYSTEMD, &out);
    assert_eq!(marks(&first), marks(&later));
    assert_eq!(marks(&first), marks(&plan_of(&out)));
}

#[test]
fn a_second_bind_of_the_same_directory_does_not_rename_while_the_first_is_there() {
    let one = "45 30 254:1 /home/evil /dev/shm/a rw - ext4 /dev/vda1 rw\n";
    let two = "46 26 254:1 /home/evil/deep /run/docker rw - ext4 /dev/vda1 rw\n";
    let root = Device { major: 254, minor: 1 };
    let (_, later) = then(&systemd_and(one), &systemd_and(&[one, two].concat()));
    assert_eq!(names(&later, root, "/home/evil/deep/x")[0], "/dev/shm/a/deep/x");
    assert!(marks(&later).contains(&"mount 254:1 /run/docker".to_owned()));
    let (_, alone) = then(&systemd_and(one), &systemd_and(two));
    assert_eq!(names(&alone, root, "/home/evil/deep/x")[0], "/run/docker/x");
}

#[test]
fn what_is_mounted_over_the_root_does_not_become_the_root() {
    for over in [
        "45 28 0:25 / / rw - tmpfs tmpfs rw\n",
        "45 28 0:60 / / rw - overlay o rw,lowerdir=/dev/shm/a:/run/b,upperdir=/run/lock/c,workdir=/w\n",
    ] {
        let (_, later) = then(SYSTEMD, &systemd_and(over));
        for plan in [plan_of(&systemd_and(over)), later] {
            assert_eq!(marks(&plan), marks(&plan_of(SYSTEMD)));
        }
    }
}

#[test]
fn a_filesystem_that_becomes_the_root_loses_its_mark() {
    let before = systemd_and("45 26 8:1 / /run/nextroot rw - ext4 /dev/sda1 rw\n");
    let after = before
        .replace("45 26 8:1 / /run/nextroot", "45 1 8:1 / /")
        .replace("28 1 254:1 / /", "28 45 254:1 / /old");
    let (first, second) = then(&before, &after);
    assert!(marks(&first).contains(&"filesystem 8:1 /run/nextroot".to_owned()));
    assert!(!marks(&second).iter().any(|mark| mark.contains("8:1")));
    assert!(
        changes(&first, &second)
            .iter()
            .any(|change| matches!(change, Change::Remove(mark) if mark.device.major == 8))
    );
}

#[test]
fn an_image_kept_in_a_watched_filesystem_is_watched_wherever_it_is_mounted() {
    let stored = |file: &str, on: Option<Device>| {
        vec![
            Stored { device: Device { major: 7, minor: 3 }, on, path: file.into() },
            Stored { device: Device { major: 7, minor: 4 }, on: None, path: b"/mnt/inner.img".to_vec() },
            Stored {
                device: Device { major: 7, minor: 5 },
                on: None,
                path: b"/var/lib/snapd/x.snap".to_vec(),
            },
        ]
    };
    let text = systemd_and(
        "45 28 7:3 / /mnt rw - ext4 /dev/loop3 rw\n46 28 7:4 / /opt/x rw - xfs /dev/loop4 rw\n47 28 7:5 / /snap/x rw - squashfs /dev/loop5 rw\n",
    );
    for (file, on, name) in [
        ("/dev/shm/a.img", None, "/dev/shm/a.img/x"),
        ("/dev/shm/a.img (deleted)", Some(device(25)), "/dev/shm/a.img/x"),
        ("/a.img", Some(device(25)), "/dev/shm/x"),
    ] {
        let plan = Host { stored: stored(file, on), ..Host::debian() }.plan(&text, None);
        let marks = marks(&plan);
        assert!(marks.contains(&"filesystem 7:3 /mnt".to_owned()), "{file}: {marks:?}");
        assert!(marks.contains(&"filesystem 7:4 /opt/x".to_owned()), "an image in the image");
        assert!(!marks.iter().any(|mark| mark.contains("7:5")), "another file");
        assert_eq!(names(&plan, Device { major: 7, minor: 3 }, "/x")[0], name);
    }
}

#[test]
fn an_image_in_an_image_is_watched_also_when_it_is_mounted_later() {
    let outer = Stored { device: Device { major: 7, minor: 3 }, on: None, path: b"/dev/shm/a.img".to_vec() };
    let inner = Stored { device: Device { major: 7, minor: 4 }, on: None, path: b"/mnt/b.img".to_vec() };
    let first = systemd_and("45 28 7:3 / /mnt rw - ext4 /dev/loop3 rw\n");
    let second = format!("{first}46 28 7:4 / /opt/x rw - ext4 /dev/loop4 rw\n");
    let before = Host { stored: vec![outer.clone()], ..Host::debian() }.plan(&first, None);
    let after = Host { stored: vec![outer, inner], ..Host::debian() }.plan(&second, Some(&before));
    assert!(marks(&after).contains(&"filesystem 7:4 /opt/x".to_owned()), "{:?}", marks(&after));
}

#[test]
fn a_hidden_bind_is_told_and_marked_once_it_is_seen() {
    let bind = "45 26 254:1 /home /run/x rw - ext4 /dev/vda1 rw\n";
    let hidden = systemd_and(&format!("{bind}46 45 0:46 / /run/x rw - tmpfs t rw\n"));
    let plan = plan_of(&hidden);
    assert_eq!(plan.passed_over[0].why, PassedOver::Hidden);
    assert!(!marks(&plan).iter().any(|mark| mark.contains("254:1")));
    let (_, seen) = then(&hidden, &systemd_and(bind));
    assert!(marks(&seen).contains(&"mount 254:1 /run/x".to_owned()));
}

#[test]
fn other_directories_after_a_reload_take_their_marks_away() {
    let host = Host::debian();
    let first = host.plan(SYSTEMD, None);
    let smaller = Host { directories: directories(&["/run"], &[("/run", "")]), ..Host::debian() };
    let second = smaller.plan(SYSTEMD, Some(&first));
    assert_eq!(marks(&second), ["filesystem 0:23 /run", "filesystem 0:26 /run/lock"]);
    let removed: Vec<_> = changes(&first, &second)
        .into_iter()
        .filter_map(|change| match change {
            Change::Remove(mark) => Some(mark.device.minor),
            Change::Add(_) | Change::Renew(_) | Change::Keep(_) | Change::Gone(_) => None,
        })
        .collect();
    assert_eq!(removed, [5, 25]);
    assert_eq!(names(&second, device(26), "/x"), ["/run/lock/x"]);
}

#[test]
fn the_shared_memory_of_another_namespace_has_its_names() {
    let foreign = vec![
        Foreign { device: device(90), point: b"/dev/shm".to_vec(), namespace: 7 },
        Foreign { device: device(23), point: b"/dev/shm".to_vec(), namespace: 7 },
    ];
    let plan = Host { foreign, ..Host::debian() }.plan(SYSTEMD, None);
    assert_eq!(names(&plan, device(90), "/x")[0], "/dev/shm/x");
    assert_eq!(names(&plan, device(23), "/x")[0], "/run/x", "what the host has is named by the host");
}

#[test]
fn an_overlay_in_a_watched_directory_is_watched_as_a_whole_but_not_the_root_of_a_container() {
    let text = systemd_and(
        "45 26 0:60 / /run/m rw - overlay o rw,lowerdir=/srv/a:/srv/b\n46 26 0:61 / /run/c/rootfs rw - overlay o rw,lowerdir=/srv/a:/srv/b\n47 26 0:62 / /run/containers/storage/overlay/aa/merged rw - overlay o rw,lowerdir=/srv/a:/srv/b\n48 26 0:62 / /run/y rw - overlay o rw,lowerdir=/srv/a:/srv/b\n",
    );
    let marks = marks(&Host::debian().plan(&text, None));
    assert!(marks.contains(&"filesystem 0:60 /run/m".to_owned()), "{marks:?}");
    assert!(marks.contains(&"mount 0:61 /run/c/rootfs".to_owned()), "{marks:?}");
    let merged = "mount 0:62 /run/containers/storage/overlay/aa/merged".to_owned();
    assert!(marks.contains(&merged), "{marks:?}");
}

#[test]
fn an_overlay_is_watched_as_a_whole_where_its_layers_mark_would_not_see_it() {
    let text = systemd_and(
        "45 28 0:60 / /mnt rw - overlay o rw,lowerdir=/dev/shm/low:/usr\n46 28 0:61 / /opt rw - overlay o rw,lowerdir=/srv/a:/srv/b\n",
    );
    let layer = |of, path: &str, on| Stored { device: device(of), on: Some(on), path: path.into() };
    let root = Device { major: 254, minor: 1 };
    let stored = vec![
        layer(60, "/dev/shm/low", device(25)),
        layer(60, "/usr", root),
        layer(61, "/srv/a", root),
        // A tmpfs at this path in another namespace, written by who mounted it there.
        layer(61, "/run/x", root),
    ];
    let plan = Host { stored, ..Host::debian() }.plan(&text, None);
    assert!(marks(&plan).contains(&"filesystem 0:60 /mnt".to_owned()));
    assert!(!marks(&plan).iter().any(|mark| mark.contains("0:61")));
    assert_eq!(names(&plan, device(60), "/x")[0], "/dev/shm/low/x");
}

#[test]
fn an_image_on_the_roots_own_directory_is_not_watched_because_of_a_bind_elsewhere() {
    let text = "\
28 1 254:1 / / rw - ext4 /dev/vda1 rw
40 28 254:1 /home /run/bound rw - ext4 /dev/vda1 rw
45 28 7:3 / /mnt rw - ext4 /dev/loop3 rw
";
    let at = |path: &str| {
        let on = Some(Device { major: 254, minor: 1 });
        let stored = vec![Stored { device: Device { major: 7, minor: 3 }, on, path: path.into() }];
        marks(&Host { stored, ..Host::debian() }.plan(text, None))
    };
    assert_eq!(at("/run/plain.img"), ["mount 254:1 /run/bound"]);
    assert_eq!(at("/run/bound/x.img"), ["filesystem 7:3 /mnt", "mount 254:1 /run/bound"]);
}
