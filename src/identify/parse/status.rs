//! /proc/TID/status: ids, credentials and capability sets of one thread.

use super::{decimal, hexadecimal, lines, words};
use crate::event::{Capabilities, Credentials, Gid, Privileges, Uid};

/// What we need of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identify) struct Status<'a> {
    /// The thread's name as written: newline and backslash are escaped ([`unescape_name`]).
    pub(in crate::identify) name: &'a [u8],
    /// The process.
    pub(in crate::identify) process: i32,
    /// The parent process; 0 where it is outside our pid namespace.
    pub(in crate::identify) parent: i32,
    /// Credentials.
    pub(in crate::identify) credentials: Credentials,
    /// How many threads the process has; 0 for a zombie.
    pub(in crate::identify) threads: u32,
    /// The process is the first of a pid namespace below ours.
    pub(in crate::identify) first_of_namespace: bool,
    /// no_new_privs and the capability sets. `None` on kernels before 4.10, which do not write all of them.
    pub(in crate::identify) privileges: Option<Privileges>,
}

/// Reads the text. `None` where ids or credentials are missing.
pub(in crate::identify) fn parse(text: &[u8]) -> Option<Status<'_>> {
    let mut name = b"".as_slice();
    let (mut process, mut parent, mut uids, mut gids) = (None, None, None, None);
    let (mut threads, mut first_of_namespace, mut no_new_privs) = (0, false, None);
    let [mut inheritable, mut permitted, mut effective, mut bounding, mut ambient] = [None; 5];
    // A name cannot begin a line of its own: the kernel escapes newlines in it.
    for line in lines(text) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (key, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        match key {
            b"Name" => name = value.strip_prefix(b"\t").unwrap_or(value),
            b"Tgid" => process = decimal(value.trim_ascii()),
            b"PPid" => parent = decimal(value.trim_ascii()),
            b"Uid" => uids = four(value),
            b"Gid" => gids = four(value),
            b"Threads" => threads = decimal(value.trim_ascii())?,
            b"NSpid" => first_of_namespace = words(value).skip(1).last() == Some(b"1"),
            b"NoNewPrivs" => no_new_privs = Some(value.trim_ascii() != b"0"),
            b"CapInh" => inheritable = set(value),
            b"CapPrm" => permitted = set(value),
            b"CapEff" => effective = set(value),
            b"CapBnd" => bounding = set(value),
            b"CapAmb" => ambient = set(value),
            _ => {}
        }
    }
    let privileges = || {
        Some(Privileges {
            no_new_privs: no_new_privs?,
            permitted: permitted?,
            effective: effective?,
            inheritable: inheritable?,
            bounding: bounding?,
            ambient: ambient?,
        })
    };
    let [ruid, euid, suid, fsuid] = uids?.map(Uid);
    let [rgid, egid, sgid, fsgid] = gids?.map(Gid);
    Some(Status {
        name,
        process: process?,
        parent: parent?,
        credentials: Credentials { ruid, euid, suid, fsuid, rgid, egid, sgid, fsgid },
        threads,
        first_of_namespace,
        privileges: privileges(),
    })
}

/// Appends the name with its escapes (`\n` and `\\`) taken back.
pub(in crate::identify) fn unescape_name(name: &[u8], out: &mut Vec<u8>) {
    let mut bytes = name.iter().copied();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(other) => other,
                None => b'\\',
            },
            other => other,
        });
    }
}

fn four(value: &[u8]) -> Option<[u32; 4]> {
    let mut numbers = words(value).map(decimal);
    Some([numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()??])
}

fn set(value: &[u8]) -> Option<Capabilities> {
    hexadecimal(value.trim_ascii()).map(Capabilities)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &[u8] = b"Name:\ta\\nUid:\\\\0\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t70\nPid:\t71\nPPid:\t60\n\
        Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t0 \nNSpid:\t71\t1\nThreads:\t3\nCapInh:\t0000000000000001\n\
        CapPrm:\t000001ffffffffff\nCapEff:\t0000000000000002\nCapBnd:\t000001ffffffffff\n\
        CapAmb:\t0000000000000004\nNoNewPrivs:\t1\n";

    #[test]
    fn every_part_is_read_and_a_name_cannot_forge_one() {
        let status = parse(TEXT).unwrap();
        assert_eq!((status.process, status.parent, status.threads), (70, 60, 3));
        assert!(status.first_of_namespace);
        let credentials = status.credentials;
        assert_eq!(
            [credentials.ruid, credentials.euid, credentials.suid, credentials.fsuid],
            [1, 2, 3, 4].map(Uid)
        );
        assert_eq!(
            [credentials.rgid, credentials.egid, credentials.sgid, credentials.fsgid],
            [5, 6, 7, 8].map(Gid)
        );
        let privileges = status.privileges.unwrap();
        assert!(privileges.no_new_privs);
        assert_eq!((privileges.inheritable.0, privileges.effective.0, privileges.ambient.0), (1, 2, 4));
        let mut name = Vec::new();
        unescape_name(status.name, &mut name);
        assert_eq!(name, b"a\nUid:\\0");
    }

    #[test]
    fn pid_1_of_our_own_namespace_is_not_a_container() {
        let text = TEXT.to_vec();
        let text = String::from_utf8(text).unwrap().replace("NSpid:\t71\t1", "NSpid:\t1");
        assert!(!parse(text.as_bytes()).unwrap().first_of_namespace);
    }

    #[test]
    fn without_credentials_there_is_nothing_and_without_sets_no_privileges() {
        assert_eq!(parse(b"Name:\tx\nTgid:\t1\nPPid:\t0\n"), None);
        let old = parse(b"Tgid:\t1\nPPid:\t0\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n").unwrap();
        assert_eq!(old.privileges, None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, cut in 0..400_usize) {
            let _status = parse(&bytes);
            let mut mixed = TEXT.get(..cut).unwrap_or(TEXT).to_vec();
            mixed.extend(&bytes);
            let _status = parse(&mixed);
            unescape_name(&bytes, &mut Vec::new());
        }
    }
}
