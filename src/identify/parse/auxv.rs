//! /proc/TID/auxv: where the kernel put the program and its loader.
//!
//! The kernel keeps this list beside the process's memory, so reading it waits for nobody.

/// Where things lie in a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::identify) struct Vector {
    /// AT_BASE: where the loader begins that the program names; 0 where it names none.
    pub(in crate::identify) loader: u64,
    /// AT_PHDR: the program's own headers, in its first page or close to it.
    pub(in crate::identify) headers: u64,
}

const AT_NULL: u64 = 0;
const AT_PHDR: u64 = 3;
const AT_BASE: u64 = 7;

/// Reads the list: pairs of words, of 4 bytes each in a 32-bit process.
///
/// `None` where it is not as the kernel writes it, and for a thread of the kernel, which has none.
pub(in crate::identify) fn parse(bytes: &[u8]) -> Option<Vector> {
    // The first key is small, so the upper half of the first long word says what kind of words these are.
    let wide = bytes.get(4..8)? == [0; 4];
    let word = |index: usize| -> Option<u64> {
        if wide {
            Some(u64::from_ne_bytes(bytes.get(index.checked_mul(8)?..)?.first_chunk().copied()?))
        } else {
            Some(u32::from_ne_bytes(bytes.get(index.checked_mul(4)?..)?.first_chunk().copied()?).into())
        }
    };
    let mut vector = Vector::default();
    for index in (0..).step_by(2) {
        let value = word(index + 1)?;
        match word(index)? {
            AT_NULL => return Some(vector),
            AT_PHDR => vector.headers = value,
            AT_BASE => vector.loader = value,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_widths_are_read() {
        let pairs = [(33, 0xf700), (AT_PHDR, 0x5540), (AT_BASE, 0x7f00), (AT_NULL, 0)];
        let expected = Some(Vector { loader: 0x7f00, headers: 0x5540 });
        let wide: Vec<u8> =
            pairs.iter().flat_map(|(key, value)| [*key, *value]).flat_map(u64::to_ne_bytes).collect();
        assert_eq!(parse(&wide), expected);
        let narrow: Vec<u8> = pairs
            .iter()
            .flat_map(|(key, value)| [*key, *value])
            .flat_map(|word| u32::try_from(word).unwrap().to_ne_bytes())
            .collect();
        assert_eq!(parse(&narrow), expected);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(wide.get(..24).unwrap()), None);
    }

    #[test]
    fn our_own_is_read() {
        let vector = parse(&std::fs::read("/proc/self/auxv").unwrap()).unwrap();
        assert_ne!(vector.headers, 0);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _vector = parse(&bytes);
        }
    }
}
