//! The attribute `security.capability`: which capabilities a file gives.

use std::ffi::CStr;

use crate::event::FileCapabilities;

/// Its name.
pub(in crate::identify) const ATTRIBUTE: &CStr = c"security.capability";
/// Room for it: the longest of the kernel's versions has 24 bytes.
pub(in crate::identify) const LONGEST: usize = 64;

/// What the attribute gives. One that we cannot read may give all.
pub(in crate::identify) fn read(text: &[u8]) -> FileCapabilities {
    parse(text).unwrap_or(FileCapabilities { permitted: u64::MAX, inheritable: 0, root: 0 })
}

/// Reads the attribute (`struct vfs_cap_data` and `vfs_ns_cap_data`, little-endian everywhere).
///
/// Version 3 has a root id, as seen from our own user namespace.
fn parse(text: &[u8]) -> Option<FileCapabilities> {
    let word = |index: usize| Some(u32::from_le_bytes(text.get(index * 4..)?.first_chunk().copied()?));
    let (wide, root) = match word(0)? & 0xFF00_0000 {
        0x0100_0000 => (false, 0),
        0x0200_0000 => (true, 0),
        0x0300_0000 => (true, word(5)?),
        _ => return None,
    };
    let set = |low: usize, high: usize| {
        let high = if wide { word(high)? } else { 0 };
        Some(u64::from(word(low)?) | u64::from(high) << 32)
    };
    Some(FileCapabilities { permitted: set(1, 3)?, inheritable: set(2, 4)?, root })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_versions_are_read_and_others_are_not() {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let narrow = FileCapabilities { permitted: 1, inheritable: 2, root: 0 };
        let wide = FileCapabilities { permitted: 0x3_0000_0001, inheritable: 0x4_0000_0002, root: 0 };
        assert_eq!(parse(&words(&[0x0100_0001, 1, 2])), Some(narrow));
        assert_eq!(parse(&words(&[0x0200_0000, 1, 2, 3, 4])), Some(wide));
        assert_eq!(
            parse(&words(&[0x0300_0001, 1, 2, 3, 4, 1000])),
            Some(FileCapabilities { root: 1000, ..wide })
        );
        assert_eq!(parse(&words(&[0x0300_0001, 1, 2, 3, 4])), None);
        assert_eq!(parse(&words(&[0x0400_0000, 1, 2, 3, 4])), None);
        assert_eq!(parse(&words(&[0x0200_0000, 1, 2, 3])), None);
        assert_eq!(parse(b""), None);
    }
}
