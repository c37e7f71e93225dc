//! What an exec makes of credentials: the user, the group and the privileges of the new program; pure.
//!
//! Follows bprm_fill_uid and cap_bprm_creds_from_file of the kernel. Where those look at more than is known here the
//! prediction errs on the side of more privilege, never of less.

#![forbid(unsafe_code)]

use crate::event::{Credentials, FileCapabilities, FileFacts, Gid, Uid};

/// What becomes of the set-id bits of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetId {
    /// They may count. They still do not where the mount is not of the caller's namespace, or where it is traced by
    /// somebody who may not: left out here. They
    /// do not on a `#!` script either, but its first bytes could change after we looked.
    Honoured,
    /// They surely do not: none are set, the mount is nosuid, the caller has set no_new_privs, or owner or group have
    /// no id in the caller's user namespace.
    Ignored,
}

/// `user.id`: root if the real or the effective user after the exec is root, else the effective user after it. The
/// exec resets the saved and the filesystem user to that.
pub(super) fn user(caller: &Credentials, file: &FileFacts, bits: SetId) -> Uid {
    // An effective root who executes a set-uid file of somebody else is said to stay root.
    if caller.ruid == Uid::ROOT || caller.euid == Uid::ROOT {
        return Uid::ROOT;
    }
    match bits {
        SetId::Honoured if file.is_set_uid() => file.uid,
        SetId::Honoured | SetId::Ignored => caller.euid,
    }
}

/// `user.id` of code that runs with the caller's own identity: it can go back to a saved root.
pub(super) fn holder(caller: &Credentials) -> Uid {
    let Credentials { ruid, euid, suid, fsuid, .. } = *caller;
    if [ruid, euid, suid, fsuid].contains(&Uid::ROOT) { Uid::ROOT } else { euid }
}

/// The effective group after the exec.
pub(super) fn group(caller: &Credentials, file: &FileFacts, bits: SetId) -> Gid {
    match bits {
        SetId::Honoured if file.is_set_gid() => file.gid,
        SetId::Honoured | SetId::Ignored => caller.egid,
    }
}

/// The caller's sets that decide which capabilities the new program holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sets {
    pub(super) permitted: u64,
    pub(super) inheritable: u64,
    /// All, where not known.
    pub(super) bounding: u64,
    pub(super) ambient: u64,
    pub(super) no_new_privs: bool,
}

/// Whether the new program holds a capability that its user id alone does not give.
///
/// Over-estimates: ambient capabilities are said to be kept also by a file that drops them (set-id, or with
/// capabilities of its own).
pub(super) fn gains(file: Option<FileCapabilities>, caller: &Sets) -> bool {
    let given = file.map_or(0, |file| {
        let given = file.permitted & caller.bounding | file.inheritable & caller.inheritable;
        // no_new_privs lets a file give only what the caller has already.
        if caller.no_new_privs { given & caller.permitted } else { given }
    });
    given | caller.ambient != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Device;

    fn caller(ruid: u32, euid: u32, suid: u32) -> Credentials {
        let gid = Gid(100);
        Credentials {
            ruid: Uid(ruid),
            euid: Uid(euid),
            suid: Uid(suid),
            fsuid: Uid(euid),
            rgid: gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
        }
    }

    fn file(mode: u32, uid: u32) -> FileFacts {
        FileFacts {
            device: Device { major: 0, minor: 1 },
            inode: 1,
            mode,
            uid: Uid(uid),
            gid: Gid(uid),
            size: 0,
            links: 1,
            modified: 0,
            changed: 0,
        }
    }

    #[test]
    fn the_user_is_root_whenever_real_or_effective_root_remains() {
        use SetId::{Honoured, Ignored};
        let plain = file(0o755, 0);
        let cases = [
            (caller(1000, 1000, 1000), plain, Ignored, 1000),
            (caller(0, 1000, 1000), plain, Ignored, 0),
            (caller(1000, 0, 1000), plain, Ignored, 0),
            // The exec overwrites the saved user with the effective one.
            (caller(1000, 1000, 0), plain, Ignored, 1000),
            (caller(1000, 1001, 1000), plain, Ignored, 1001),
            (caller(1000, 1000, 1000), file(0o4755, 0), Honoured, 0),
            (caller(1000, 1000, 1000), file(0o4755, 0), Ignored, 1000),
            (caller(1000, 1000, 1000), file(0o4755, 1001), Honoured, 1001),
            (caller(0, 0, 0), file(0o4755, 1001), Honoured, 0),
            (caller(1000, 1000, 1000), file(0o2755, 0), Honoured, 1000),
        ];
        for (caller, file, bits, expected) in cases {
            assert_eq!(user(&caller, &file, bits), Uid(expected), "{caller:?} {:o} {bits:?}", file.mode);
        }
    }

    #[test]
    fn code_in_a_running_process_is_roots_wherever_root_is_left() {
        for (ids, expected) in [((0, 1, 1), 0), ((1, 0, 1), 0), ((1, 1, 0), 0), ((1, 2, 3), 2)] {
            assert_eq!(holder(&caller(ids.0, ids.1, ids.2)), Uid(expected), "{ids:?}");
        }
    }

    #[test]
    fn a_set_gid_bit_counts_only_with_group_execute() {
        let caller = caller(1, 1, 1);
        assert_eq!(group(&caller, &file(0o2755, 7), SetId::Honoured), Gid(7));
        assert_eq!(group(&caller, &file(0o2745, 7), SetId::Honoured), Gid(100));
        assert_eq!(group(&caller, &file(0o2755, 7), SetId::Ignored), Gid(100));
    }

    #[test]
    fn capabilities_come_from_the_file_or_are_ambient() {
        let sets = Sets { permitted: 0, inheritable: 0, bounding: u64::MAX, ambient: 0, no_new_privs: false };
        let net_raw = Some(FileCapabilities { permitted: 1 << 13, inheritable: 0, root: 0 });
        let if_inherited = Some(FileCapabilities { permitted: 0, inheritable: 1 << 13, root: 0 });
        assert!(!gains(None, &sets));
        assert!(gains(net_raw, &sets));
        assert!(!gains(net_raw, &Sets { bounding: 0, ..sets }));
        assert!(!gains(net_raw, &Sets { no_new_privs: true, ..sets }));
        assert!(gains(net_raw, &Sets { no_new_privs: true, permitted: 1 << 13, ..sets }));
        assert!(!gains(if_inherited, &sets));
        assert!(gains(if_inherited, &Sets { inheritable: 1 << 13, ..sets }));
        assert!(gains(None, &Sets { ambient: 1, ..sets }));
    }
}
