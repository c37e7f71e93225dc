//! /proc/self/maps: the path of one mapping, of any length.

use super::{hexadecimal, lines};

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

#[cfg(test)]
mod tests {
    use super::path;

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
