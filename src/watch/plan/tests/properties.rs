use super::*;
use proptest::prelude::*;

const TYPES: &[&str] =
    &["tmpfs", "ramfs", "ext4", "overlay", "devtmpfs", "nsfs", "fuse.x", "btrfs", "squashfs", "newfs"];
const POINTS: &[&str] = &[
    "/",
    "/run",
    "/run/lock",
    "/dev",
    "/dev/shm",
    "/dev/shm/a",
    "/run/a",
    "/run/docker",
    "/mnt",
    "/tmp",
    "/run/c/rootfs",
    "/dev/shm//deleted",
];
const ROOTS: &[&str] = &["/", "/a", "/a/b", "net:[1]"];

/// Any tables of one host: ids, parents and devices that meet each other often. A device keeps its type.
fn tables(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<String>> {
    let row = (1_u32..9, 0_u32..9, 0_usize..6, 0..ROOTS.len(), 0..POINTS.len());
    let rows = proptest::collection::vec(proptest::collection::vec(row, 0..14), count);
    let types = proptest::collection::vec(0..TYPES.len(), 6);
    (rows, types).prop_map(|(tables, types)| {
        let line = |(id, parent, device, root, point): (u32, u32, usize, usize, usize)| {
            let (root, point, fs_type) = (ROOTS[root], POINTS[point], TYPES[types[device]]);
            format!(
                "{id} {parent} 0:{device} {root} {point} rw - {fs_type} s rw,lowerdir=/run/l:/dev/shm/l,upperdir=/mnt\n"
            )
        };
        tables.into_iter().map(|rows| rows.into_iter().map(line).collect()).collect()
    })
}

fn root_device(text: &str) -> Option<Device> {
    MountTable::parse(text.as_bytes()).visible(b"/").map(|mount| mount.device)
}

proptest! {
    #[test]
    fn the_filesystem_at_the_root_is_never_marked_as_a_whole(
        tables in tables(1..4),
        unique in proptest::collection::vec(proptest::option::of(0_u64..3), 4),
        stored in proptest::collection::vec((0_u32..6, proptest::option::of(0_u32..6), 0..POINTS.len()), 0..4),
    ) {
        let stored: Vec<_> = stored
            .into_iter()
            .map(|(of, on, file)| Stored { device: device(of), on: on.map(device), path: POINTS[file].into() })
            .collect();
        let mut previous: Option<Plan> = None;
        for (text, unique) in tables.iter().zip(&unique) {
            let host = Host { unique: *unique, stored: stored.clone(), ..Host::debian() };
            let plan = host.plan(text, previous.as_ref());
            let root = root_device(text);
            for mark in &plan.marks {
                prop_assert!(mark.kind == MarkKind::Mount || Some(mark.device) != root, "{}: {:?}", text, mark);
            }
            if let Some(previous) = &previous {
                let changes = changes(previous, &plan);
                let placed = changes.iter().filter(|change| matches!(change, Change::Add(_) | Change::Renew(_) | Change::Keep(_)));
                prop_assert_eq!(placed.count(), plan.marks.len());
            }
            previous = Some(plan);
        }
    }

    #[test]
    fn every_directory_is_covered_or_told_and_every_marked_file_has_a_name(tables in tables(1..2), inner in "(/[ab]){0,3}") {
        let plan = plan_of(&tables[0]);
        prop_assert_eq!(plan.coverage.len(), 4);
        for coverage in &plan.coverage {
            match coverage.by {
                Covered::Mark(index) => prop_assert!(index < plan.marks.len()),
                Covered::LeftOut(index) => prop_assert!(index < plan.left_out.len()),
            }
        }
        for mark in &plan.marks {
            let mut texts = Texts::new();
            let placement = plan.scope.name(mark.device, Fact::Known(inner.as_bytes()), &mut texts);
            prop_assert_eq!(placement == Placement::Outside, texts.is_empty());
            prop_assert!(placement == Placement::Inside || mark.whole_filesystem_shared);
        }
    }

    #[test]
    fn more_mounts_never_rename_a_file_of_a_filesystem_mark(tables in tables(2..3)) {
        let (text, more) = (&tables[0], &tables[1]);
        let host = Host::debian();
        let first = host.plan(text, None);
        // New mounts with ids of their own, after the old ones.
        let known = MountTable::parse(text.as_bytes());
        let mut longer = text.clone();
        for (extra, line) in more.lines().enumerate() {
            let (_, rest) = line.split_once(' ').unwrap();
            longer += &format!("{} {rest}\n", 100 + extra);
        }
        prop_assume!(root_device(text) == root_device(&longer));
        let second = host.plan(&longer, Some(&first));
        for mark in first.marks.iter().filter(|mark| mark.kind == MarkKind::Filesystem && !mark.whole_filesystem_shared) {
            prop_assert!(known.mounts().iter().any(|mount| mount.device == mark.device));
            prop_assert_eq!(names(&first, mark.device, "/a/x"), names(&second, mark.device, "/a/x"));
        }
    }
}
