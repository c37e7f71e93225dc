//! /proc/PID/mountinfo, whose names and options a user chooses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shmguard::watch::mounts::MountTable;

fuzz_target!(|bytes: &[u8]| {
    let table = MountTable::parse(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    assert!(table.mounts().len() + table.skipped_count() <= lines);
    for mount in table.mounts() {
        let _visible = table.is_visible(mount);
        let _hiding = table.hiding(mount);
        let _layers = mount.layers();
        let _found = table.visible(&mount.point);
        let _flags = (mount.nosuid(), mount.noexec());
    }
});
