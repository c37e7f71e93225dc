//! /proc/TID/uid_map and gid_map: which ids of ours a user namespace knows.

use super::{decimal, lines, words};

/// Whether `id`, one of our own namespace, has an id in the namespace of this table. `None` for a table that is empty
/// (it can still be written) or not as the kernel writes it.
pub(in crate::identify) fn shows(text: &[u8], id: u32) -> Option<bool> {
    let mut shown = None;
    for line in lines(text) {
        let mut numbers = words(line).map(decimal::<u32>);
        let (_inside, first, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let is = id.checked_sub(first).is_some_and(|place| place < count);
        shown = Some(shown.unwrap_or(false) || is);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_is_shown_if_a_range_has_it() {
        let all = b"         0          0 4294967295\n";
        assert_eq!((shows(all, 0), shows(all, 1000)), (Some(true), Some(true)));
        let rootless = b"         0       1000          1\n         1     100000      65536\n";
        let expected =
            [(0, false), (999, false), (1000, true), (1001, false), (100_000, true), (165_536, false)];
        for (id, is) in expected {
            assert_eq!(shows(rootless, id), Some(is), "{id}");
        }
    }

    #[test]
    fn an_empty_or_odd_table_says_nothing() {
        assert_eq!(shows(b"", 0), None);
        assert_eq!(shows(b"0 0\n", 0), None);
        assert_eq!(shows(b"0 1000 1\nx\n", 0), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, id: u32) {
            let _shown = shows(&bytes, id);
        }
    }
}
