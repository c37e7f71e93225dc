//! /proc/PID/mountinfo: one mount by its id, for kernels without statmount(2).

use super::{decimal, lines};

/// One line. The texts are as written: blank, tab, newline, backslash (and `#`) are octal ([`unescape`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identify) struct Line<'a> {
    /// The superblock's device number.
    pub(in crate::identify) device: (u32, u32),
    /// Which directory or file of the filesystem is the mount's root.
    pub(in crate::identify) root: &'a [u8],
    /// Where it is mounted, from the root of the process whose file it is.
    pub(in crate::identify) point: &'a [u8],
    /// The mount is nosuid.
    pub(in crate::identify) nosuid: bool,
}

/// The line of the mount with this id.
pub(in crate::identify) fn find(text: &[u8], id: u64) -> Option<Line<'_>> {
    lines(text).find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        if decimal(fields.next()?) != Some(id) {
            return None;
        }
        let device = fields.nth(1)?;
        let colon = device.iter().position(|byte| *byte == b':')?;
        let device = (decimal(device.get(..colon)?)?, decimal(device.get(colon + 1..)?)?);
        let (root, point) = (fields.next()?, fields.next()?);
        let nosuid = fields.next()?.split(|byte| *byte == b',').any(|option| option == b"nosuid");
        Some(Line { device, root, point, nosuid })
    })
}

/// Appends the text with its octal escapes taken back.
pub(in crate::identify) fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        match (byte, octal(after)) {
            (b'\\', Some((byte, after))) => {
                out.push(byte);
                rest = after;
            }
            _ => {
                out.push(*byte);
                rest = after;
            }
        }
    }
}

/// Three octal digits of one byte, and what follows them.
fn octal(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = text.split_first_chunk::<3>()?;
    let value = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?;
    digits.iter().all(u8::is_ascii_digit).then_some((value, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mount_is_found_by_its_id_and_its_names_are_unescaped() {
        let text = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda rw\n\
            122 22 0:25 /a\\134040b /mnt/x\\040y\\012 rw,nosuid,nodev shared:2 master:1 - tmpfs tmpfs rw,size=1k\n";
        let line = find(text, 122).unwrap();
        assert_eq!((line.device, line.nosuid), ((0, 25), true));
        let (mut root, mut point) = (Vec::new(), Vec::new());
        unescape(line.root, &mut root);
        unescape(line.point, &mut point);
        assert_eq!(root, b"/a\\040b");
        assert_eq!(point, b"/mnt/x y\n");
        assert!(!find(text, 22).unwrap().nosuid);
        assert_eq!(find(text, 2), None);
    }

    #[test]
    fn what_is_no_escape_stays() {
        let mut out = Vec::new();
        unescape(b"\\999\\7\\777\\+12\\", &mut out);
        assert_eq!(out, b"\\999\\7\\777\\+12\\");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let mut line = b"1 2 ".to_vec();
            line.extend(&bytes);
            let _line = find(&line, 1);
            unescape(&bytes, &mut Vec::new());
        }

        #[test]
        fn every_name_comes_back(name: Vec<u8>) {
            let written: Vec<u8> = name.iter().flat_map(|byte| match byte {
                b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
                other => vec![*other],
            }).collect();
            let mut out = Vec::new();
            unescape(&written, &mut out);
            prop_assert_eq!(out, name);
        }
    }
}
