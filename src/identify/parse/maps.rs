//! /proc/PID/maps: the path of one mapping, of any length, and which file lies at an address.

use super::{decimal, hexadecimal, lines, words};

/// The path of the mapping that begins at `address`.
///
/// The kernel writes a newline as `\012` and a backslash as itself, so a name that holds `\012` can be two names:
/// `None` then, as where there is no such mapping.
pub(in crate::identify) fn path(text: &[u8], address: u64) -> Option<&[u8]> {
    lines(text).find_map(|line| {
        let dash = line.iter().position(|byte| *byte == b'-')?;
        if hexadecimal(line.get(..dash)?) != Some(address) {
            return None;
        }
        // Five fields without a slash stand before it, the device as hexadecimal.
        let path = line.get(line.iter().position(|byte| *byte == b'/')?..)?;
        (!path.windows(4).any(|four| four == b"\\012")).then_some(path)
    })
}

/// A mapping of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identify) struct Mapping<'a> {
    /// Its first address, and the first one behind it.
    pub(in crate::identify) range: (u64, u64),
    /// The device and inode of the file, as this file writes them; no other file of /proc has the same device for
    /// every filesystem.
    pub(in crate::identify) file: (&'a [u8], u64),
}

/// The mapping of a file that `address` lies in; `None` where there is none, or where it is of no file.
pub(in crate::identify) fn mapping_at(text: &[u8], address: u64) -> Option<Mapping<'_>> {
    lines(text).find_map(|line| {
        let mut fields = words(line);
        let range = fields.next()?;
        let dash = range.iter().position(|byte| *byte == b'-')?;
        let (start, end) = (hexadecimal(range.get(..dash)?)?, hexadecimal(range.get(dash + 1..)?)?);
        if !(start..end).contains(&address) {
            return None;
        }
        let device = fields.nth(2)?;
        let inode = decimal(fields.next()?).filter(|inode| *inode != 0)?;
        Some(Mapping { range: (start, end), file: (device, inode) })
    })
}

#[cfg(test)]
mod tests {
    use super::{Mapping, mapping_at, path};

    #[test]
    fn the_file_at_an_address_is_told_and_memory_of_no_file_is_none() {
        let text = b"7f00-7f10 r--p 00000000 00:19 5                     /lib/x\n\
            7f10-7f20 r-xp 00001000 00:19 5                     /lib/x\n\
            8000-9000 rw-p 00000000 00:00 0 \n";
        let found = Some(Mapping { range: (0x7f10, 0x7f20), file: (b"00:19", 5) });
        assert_eq!(mapping_at(text, 0x7f10), found);
        assert_eq!(mapping_at(text, 0x7f1f), found);
        assert_eq!(mapping_at(text, 0x7f20), None);
        assert_eq!(mapping_at(text, 0x8000), None);
    }

    #[test]
    fn the_path_of_the_right_mapping_is_told_unless_it_could_be_two() {
        let text = b"7f00-7f01 r-xp 00000000 00:19 5                     /dev/shm/a b (deleted)\n\
            8000-9000 ---p 00000000 00:19 6                          /dev/shm/n\\012l\n";
        assert_eq!(path(text, 0x7f00), Some(b"/dev/shm/a b (deleted)".as_slice()));
        assert_eq!(path(text, 0x8000), None);
        assert_eq!(path(text, 0x9000), None);
        assert_eq!(path(b"7f00-7f01 r-xp 00000000 00:19 5\n", 0x7f00), None);
    }
}
