//! The texts of /proc, read from bytes; pure.
//!
//! Each file has its own part. A task chooses much of what stands in them (its name, its mounts' names, its cgroup),
//! so nothing here panics on any bytes, and a text that is not as the kernel writes it yields `None`.

#![forbid(unsafe_code)]

pub(super) mod auxv;
pub(super) mod capability;
pub(super) mod cgroup;
pub(super) mod elf;
pub(super) mod id_map;
pub(super) mod maps;
pub(super) mod mountinfo;
pub(super) mod script;
pub(super) mod stat;
pub(super) mod status;
pub(super) mod syscall;

use std::str::FromStr;

/// The lines, without their ends.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// The words between blanks.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// A number in decimal, as the kernel writes it.
pub(super) fn decimal<T: FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A number in hexadecimal, with or without `0x`.
fn hexadecimal(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text.strip_prefix(b"0x").unwrap_or(text)).ok()?, 16).ok()
}

/// The number in the brackets of a link like `mnt:[4026531841]`.
pub(super) fn bracketed(link: &[u8]) -> Option<u64> {
    let start = link.iter().position(|byte| *byte == b'[')?;
    decimal(link.get(start + 1..)?.strip_suffix(b"]")?)
}

/// The mount id in the text of /proc/self/fdinfo/N.
pub(super) fn fdinfo_mount(text: &[u8]) -> Option<u64> {
    lines(text).find_map(|line| decimal(line.strip_prefix(b"mnt_id:")?.trim_ascii()))
}

/// Reads `text` as each of the files, and asks of it what is asked of it.
pub(super) fn read_each(text: &[u8]) {
    let mut out = Vec::new();
    if let Some(status) = status::parse(text) {
        status::unescape_name(status.name, &mut out);
    }
    if let Some(line) = mountinfo::find(text, 42) {
        mountinfo::unescape(line.root, &mut out);
        mountinfo::unescape(line.point, &mut out);
    }
    let _container = cgroup::path(text).and_then(cgroup::container);
    let _any = (stat::parse(text), syscall::parse(text), capability::read(text), script::interpreter(text));
    let _path = (maps::path(text, 0x7f00_0000_1000), id_map::shows(text, 1000));
    let _number = (bracketed(text), fdinfo_mount(text), decimal::<i32>(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespace_links_and_mount_ids_are_read() {
        assert_eq!(bracketed(b"mnt:[4026531841]"), Some(4_026_531_841));
        assert_eq!(bracketed(b"mnt:[]"), None);
        assert_eq!(bracketed(b"]["), None);
        assert_eq!(fdinfo_mount(b"pos:\t0\nflags:\t0100000\nmnt_id:\t42\nino:\t7\n"), Some(42));
        assert_eq!(fdinfo_mount(b"mnt_id:\tx\n"), None);
    }
}
