use super::*;

#[test]
fn a_file_has_the_kernels_name_first_and_then_those_of_the_links() {
    let plan = plan_of(SYSTEMD);
    assert_eq!(names(&plan, device(23), "/x"), ["/run/x", "/var/run/x"]);
    assert_eq!(names(&plan, device(26), "/x"), ["/run/lock/x", "/var/run/lock/x", "/var/lock/x"]);
    assert_eq!(names(&plan, device(25), "/x"), ["/dev/shm/x", "/run/shm/x", "/var/run/shm/x"]);
    assert_eq!(names(&plan, device(25), "/"), ["/dev/shm", "/run/shm", "/var/run/shm"]);
}

#[test]
fn a_link_that_leads_below_the_mount_names_only_what_lies_there() {
    let without_lock =
        SYSTEMD.lines().filter(|line| !line.contains("/run/lock")).collect::<Vec<_>>().join("\n");
    let plan = plan_of(&without_lock);
    assert_eq!(names(&plan, device(23), "/lock/x"), ["/run/lock/x", "/var/run/lock/x", "/var/lock/x"]);
    assert_eq!(names(&plan, device(23), "/lock"), ["/run/lock", "/var/run/lock", "/var/lock"]);
    assert_eq!(names(&plan, device(23), "/locker"), ["/run/locker", "/var/run/locker"]);
}

#[test]
fn an_unknown_inner_path_is_the_directories_of_that_filesystem() {
    let plan = plan_of(SYSTEMD);
    assert_eq!(unknown_names(&plan, device(26)), ["/run/lock/", "/var/run/lock/", "/var/lock/"]);
    assert_eq!(
        names(&plan, device(26), "relative"),
        unknown_names(&plan, device(26)),
        "not a path inside anything"
    );
}

#[test]
fn an_unknown_filesystem_may_be_any_watched_directory() {
    let plan = plan_of(SYSTEMD);
    assert_eq!(
        names(&plan, device(99), "/x"),
        [
            "/dev/shm/",
            "/run/shm/",
            "/var/run/shm/",
            "/run/",
            "/var/run/",
            "/var/lock/",
            "/run/lock/",
            "/var/run/lock/"
        ]
    );
}

#[test]
fn names_that_are_not_text_are_kept_byte_by_byte() {
    let plan = plan_of(SYSTEMD);
    let mut texts = Texts::new();
    let _inside = plan.scope.name(device(25), Fact::Known(b"/a\n\xff\\"), &mut texts);
    assert_eq!(texts.first(), Some(&b"/dev/shm/a\n\xff\\"[..]));
}

#[test]
fn a_chain_of_links_above_the_directory_gives_every_spelling_once() {
    let host = Host {
        directories: directories(
            &["/var/lock"],
            &[
                ("/var", "/mnt/var"),
                ("/mnt", ""),
                ("/mnt/var", ""),
                ("/mnt/var/lock", "/var/run/lock"),
                ("/mnt/var/run", "/run"),
                ("/run", ""),
                ("/run/lock", ""),
            ],
        ),
        ..Host::debian()
    };
    let plan = host.plan(SYSTEMD, None);
    let mut found = names(&plan, device(26), "/x");
    assert_eq!(found.remove(0), "/run/lock/x");
    found.sort();
    assert_eq!(found, ["/mnt/var/lock/x", "/mnt/var/run/lock/x", "/var/lock/x", "/var/run/lock/x"]);
}

#[test]
fn a_link_into_its_own_directory_is_no_endless_list() {
    let host = Host {
        directories: directories(&["/run/self/a"], &[("/run", ""), ("/run/self", "/run"), ("/run/a", "")]),
        ..Host::debian()
    };
    let plan = host.plan(SYSTEMD, None);
    assert!(names(&plan, device(23), "/a/x").len() < 4);
}

#[test]
fn a_bound_file_has_the_name_of_the_place_it_is_bound_to() {
    let plan = plan_of(&systemd_and("40 30 254:1 /usr/bin/x /dev/shm/tool rw - ext4 /dev/vda1 rw\n"));
    let root = Device { major: 254, minor: 1 };
    assert_eq!(names(&plan, root, "/usr/bin/x")[0], "/dev/shm/tool");
    assert_eq!(names(&plan, root, "/usr/bin/xy")[0], "/dev/shm/tool/", "elsewhere: unknown, not outside");
}

#[test]
fn a_name_is_found_among_hundreds_of_filesystems() {
    let more: String =
        (100..600).map(|n| format!("{n} 26 0:{n} / /run/user/{n} rw - tmpfs t rw\n")).collect();
    let plan = plan_of(&systemd_and(&more));
    assert_eq!(names(&plan, device(357), "/x"), ["/run/user/357/x", "/var/run/user/357/x"]);
}

#[test]
fn a_file_whose_mount_is_nowhere_is_outside_where_only_mounts_are_watched_and_inside_where_all_is() {
    let bound = systemd_and("40 26 254:1 /usr/sbin/runc /run/runc/x rw - ext4 /dev/vda1 rw\n");
    let first = plan_of(&bound);
    let second = Host::debian().plan(SYSTEMD, Some(&first));
    let disk = Device { major: 254, minor: 1 };
    let placed =
        |plan: &Plan, device, cause| plan.scope.name(device, Fact::Unknown(cause), &mut Texts::new());
    assert_eq!(placed(&first, disk, Cause::Unsupported), Placement::Outside);
    // A place that could be known, and is not, may be inside.
    assert_eq!(placed(&first, disk, Cause::Unsteady), Placement::Inside);
    assert_eq!(placed(&first, disk, Cause::Gone), Placement::Inside);
    for plan in [&first, &second] {
        assert_eq!(placed(plan, device(25), Cause::Unsupported), Placement::Inside);
    }
    // Its mount is gone from the table, and can still be executed through a descriptor.
    assert_eq!(placed(&second, disk, Cause::Unsupported), Placement::Outside);
    assert_eq!(placed(&second, disk, Cause::Gone), Placement::Outside);
}

/// Its marks see all of the filesystem, so what has none of the known names is none of ours. docs/limitations.md says so.
#[test]
fn a_part_of_a_larger_filesystem_that_is_bound_into_a_directory_and_then_renamed_is_outside_until_the_next_mount()
 {
    let bound = systemd_and("40 26 0:5 /outside /run/x rw - devtmpfs udev rw\n");
    let plan = plan_of(&bound);
    assert_eq!(names(&plan, device(5), "/outside/f"), ["/run/x/f", "/var/run/x/f"]);
    assert!(names(&plan, device(5), "/renamed/f").is_empty());
    let later = Host::debian().plan(&bound.replace("/outside", "/renamed"), Some(&plan));
    assert!(names(&later, device(5), "/renamed/f").contains(&"/run/x/f".to_owned()));
}
