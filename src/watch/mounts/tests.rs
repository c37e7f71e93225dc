use super::*;
use proptest::prelude::*;

const STACKED: &[u8] = b"\
24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,size=12334524k,mode=755
25 24 0:23 / /dev/shm rw,nosuid,relatime shared:4 master:1 - tmpfs tmpfs rw,size=24684096k
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 25 0:27 / /dev/shm rw,noexec,relatime - tmpfs tmpfs rw
";

fn table(text: &[u8]) -> MountTable {
    MountTable::parse(text)
}

#[test]
fn a_line_is_read_with_all_its_parts() {
    let table = table(STACKED);
    let mount = table.by_id(25).unwrap();
    assert_eq!(mount.device, Device { major: 0, minor: 23 });
    assert_eq!(
        (mount.parent, mount.root.as_slice(), mount.point.as_slice()),
        (24, &b"/"[..], &b"/dev/shm"[..])
    );
    assert_eq!((mount.fs_type.as_slice(), mount.source.as_slice()), (&b"tmpfs"[..], &b"tmpfs"[..]));
    assert!(mount.nosuid() && !mount.noexec());
    assert!(table.by_id(30).unwrap().noexec());
    assert_eq!(table.skipped_count(), 0);
}

#[test]
fn of_two_mounts_on_one_path_the_upper_is_seen() {
    let table = table(STACKED);
    assert_eq!(table.visible(b"/dev/shm").unwrap().id, 30);
    assert_eq!(table.visible(b"/dev/shm/a/b").unwrap().id, 30);
    assert_eq!(table.visible(b"/dev/shmx").unwrap().id, 24);
    assert_eq!(table.visible(b"/").unwrap().id, 27);
    assert!(!table.is_visible(table.by_id(25).unwrap()));
}

#[test]
fn a_mount_below_a_hidden_one_is_hidden() {
    let text = [STACKED, b"31 25 0:40 / /dev/shm/sub rw - tmpfs t rw\n"].concat();
    let table = table(&text);
    assert!(!table.is_visible(table.by_id(31).unwrap()));
    assert_eq!(table.visible(b"/dev/shm/sub/x").unwrap().id, 30);
}

#[test]
fn a_table_without_a_root_still_leads_to_its_mounts() {
    let table = table(b"40 39 0:50 / /dev/shm rw - tmpfs t rw\n");
    assert_eq!(table.visible(b"/dev/shm/x").unwrap().id, 40);
    assert!(table.visible(b"/etc").is_none());
}

#[test]
fn escapes_are_the_bytes_they_stand_for() {
    let table = table(
        b"1 0 0:1 / / rw - tmpfs t rw\n2 1 0:2 /a\\040b /m\\011\\134x\\377\\999\\4 rw - tmpfs so\\043urce rw\n",
    );
    let mount = table.by_id(2).unwrap();
    assert_eq!(mount.root, b"/a b");
    assert_eq!(mount.point, b"/m\t\\x\xff\\999\\4");
    assert_eq!(mount.source, b"so#urce");
}

#[test]
fn an_empty_source_and_a_type_with_a_subtype_are_entries() {
    let table = table(b"5 1 0:9 / /x rw shared:1 - tmpfs  rw\n6 1 0:10 / /y rw - fuse.sshfs a:b rw\n");
    assert_eq!(table.mounts().len(), 2);
    assert_eq!(table.by_id(5).unwrap().source, b"");
    assert_eq!(table.by_id(5).unwrap().super_options, b"rw");
    assert_eq!(table.by_id(6).unwrap().fs_type, b"fuse.sshfs");
}

#[test]
fn a_root_that_is_no_path_is_an_entry() {
    let table = table(b"7 1 0:4 net:[4026531840] /run/netns/a rw shared:9 - nsfs nsfs rw\n");
    assert_eq!(table.by_id(7).unwrap().root, b"net:[4026531840]");
}

#[test]
fn bad_lines_are_reported_and_the_rest_is_read() {
    let bad: [&[u8]; 7] = [
        b"rubbish",
        b"1 2 3 / / rw - tmpfs t rw",
        b"-1 2 0:3 / / rw - tmpfs t rw",
        b"1 2 0:3 / / rw tmpfs t rw",
        b"1 2 0:3 / relative rw - tmpfs t rw",
        b"1 2 0:3 / / rw -",
        b"99999999999 2 0:3 / / rw - tmpfs t rw",
    ];
    let mut text = bad.join(&b'\n');
    text.extend_from_slice(b"\n25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw");
    let table = table(&text);
    assert_eq!((table.mounts().len(), table.skipped_count()), (1, bad.len()));
    assert_eq!(table.skipped()[0], b"rubbish");
}

#[test]
fn the_layers_of_an_overlay_are_found_in_either_spelling() {
    let line = |options: &str| format!("9 1 0:41 / /m rw - overlay ov {options}\n");
    let layers = |options: &str| table(line(options).as_bytes()).mounts()[0].layers();
    assert_eq!(
        layers("rw,lowerdir=/l1:/l\\134:2::/data,upperdir=/run/u\\054p,workdir=/run/w"),
        [&b"/l1"[..], b"/l:2", b"/data", b"/run/u,p"]
    );
    assert_eq!(layers("rw,lowerdir+=/a:b,datadir+=/d"), [&b"/a:b"[..], b"/d"]);
    assert!(layers("rw,lowerdir=relative").is_empty());
}

#[test]
fn whole_components_are_compared() {
    assert_eq!(below(b"/run/x", b"/run"), Some(&b"/x"[..]));
    assert_eq!(below(b"/run", b"/run"), Some(&b""[..]));
    assert_eq!(below(b"/runner", b"/run"), None);
    assert_eq!(below(b"/a", b"/"), Some(&b"/a"[..]));
    assert_eq!(below(b"/", b"/"), Some(&b"/"[..]));
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic_and_every_line_is_read_or_reported(text in proptest::collection::vec(any::<u8>(), 0..400)) {
        let table = MountTable::parse(&text);
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
        prop_assert_eq!(table.mounts().len() + table.skipped_count(), lines);
    }

    #[test]
    fn no_table_is_a_panic_or_an_endless_walk(
        rows in proptest::collection::vec((0_u32..6, 0_u32..6, 0_usize..5, 0_usize..5), 0..12),
        path in "(/[ab]{0,2}){0,4}",
    ) {
        let points = ["/", "/a", "/a/b", "/b", "//deleted"];
        let mut text = String::new();
        for (id, parent, root, point) in rows {
            text += &format!("{id} {parent} 0:{id} {} {} rw - overlay x lowerdir=/a:\\134,b=\n", points[root], points[point]);
        }
        let table = MountTable::parse(text.as_bytes());
        let _seen = table.visible(path.as_bytes());
        for mount in table.mounts() {
            let _seen = (table.is_visible(mount), mount.layers());
        }
    }

    #[test]
    fn what_the_kernel_escapes_comes_back(point in proptest::collection::vec(1_u8..=255, 0..20)) {
        let mut escaped = b"1 0 0:1 / /".to_vec();
        for byte in &point {
            match byte {
                b' ' | b'\t' | b'\n' | b'\\' => escaped.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
                other => escaped.push(*other),
            }
        }
        escaped.extend_from_slice(b" rw - tmpfs t rw\n");
        let table = MountTable::parse(&escaped);
        prop_assert_eq!(&table.mounts()[0].point[1..], &point[..]);
    }
}

#[test]
fn what_hides_a_mount_is_named_in_the_order_in_which_it_must_go() {
    let text = [
        STACKED,
        b"31 25 0:40 / /dev/shm/sub rw - tmpfs t rw\n32 31 0:41 / /dev/shm/sub rw - tmpfs t rw\n33 30 0:42 / /dev/shm/other rw - tmpfs t rw\n",
    ]
    .concat();
    let table = table(&text);
    let steps = |ids: &[u32]| {
        let hidden: Vec<_> = ids.iter().map(|id| table.by_id(*id).unwrap()).collect();
        let steps = table.uncovering(&hidden).into_iter().map(|step| match step {
            Step::Unmount(point) => format!("unmount {}", String::from_utf8_lossy(point)),
            Step::Reach(mount) => format!("reach {}", mount.id),
        });
        steps.collect::<Vec<_>>()
    };
    assert_eq!(steps(&[25]), ["unmount /dev/shm", "reach 25"]);
    assert_eq!(steps(&[31]), ["unmount /dev/shm", "unmount /dev/shm/sub", "reach 31"]);
    assert_eq!(steps(&[32]), ["unmount /dev/shm", "reach 32"]);
    assert_eq!(steps(&[33]), ["reach 33"]);
    // Each once, and what would be taken away with an obstacle before it is.
    assert_eq!(
        steps(&[31, 25, 33, 32]),
        ["reach 33", "unmount /dev/shm", "reach 32", "unmount /dev/shm/sub", "reach 31", "reach 25"]
    );
    assert_eq!(steps(&[25, 25]), ["unmount /dev/shm", "reach 25"]);
}

/// A stack of thousands is climbed once, not once for each of its mounts.
#[test]
fn a_high_stack_of_mounts_is_uncovered_from_its_top() {
    let mut text = b"1 0 0:1 / / rw - ext4 d rw\n".to_vec();
    for id in 2..=3000 {
        text.extend(format!("{id} {} 0:{id} / /run/x rw - tmpfs t rw\n", id - 1).bytes());
    }
    let table = table(&text);
    let hidden: Vec<_> = (2..3000).map(|id| table.by_id(id).unwrap()).collect();
    assert!(hidden.iter().all(|mount| !table.is_visible(mount)));
    assert!(table.is_visible(table.by_id(3000).unwrap()));
    let steps = table.uncovering(&hidden);
    assert_eq!(steps.len(), 2 * hidden.len());
    assert_eq!(steps.first(), Some(&Step::Unmount(b"/run/x")));
    assert_eq!(steps.get(1), Some(&Step::Reach(table.by_id(2999).unwrap())));
    assert_eq!(steps.last(), Some(&Step::Reach(table.by_id(2).unwrap())));
}
