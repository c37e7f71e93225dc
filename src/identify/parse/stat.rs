//! /proc/TID/stat: name, parent, group, session, terminal and start of one process.

use super::{decimal, words};

/// What we need of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identify) struct Stat<'a> {
    /// The name, unescaped.
    pub(in crate::identify) name: &'a [u8],
    /// The parent process; 0 where it is outside our pid namespace.
    pub(in crate::identify) parent: i32,
    /// The process group; 0 where its leader is outside our pid namespace.
    pub(in crate::identify) group: i32,
    /// The session; 0 where its leader is outside our pid namespace.
    pub(in crate::identify) session: i32,
    /// There is a controlling terminal.
    pub(in crate::identify) interactive: bool,
    /// When the task started, nanoseconds since boot, in steps of 10 ms.
    pub(in crate::identify) start: u64,
}

/// The kernel converts to USER_HZ for user space; that is 100 on every architecture that Rust's std runs on.
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// Reads the text.
pub(in crate::identify) fn parse(text: &[u8]) -> Option<Stat<'_>> {
    // A name may hold blanks and brackets; what follows it does not.
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let name = text.get(open + 1..close)?;
    // From the state on, field 3 of proc_pid_stat(5).
    let mut fields = words(text.get(close + 1..)?.trim_ascii());
    let parent = decimal(fields.nth(1)?)?;
    let group = decimal(fields.next()?)?;
    let session = decimal(fields.next()?)?;
    let terminal: i64 = decimal(fields.next()?)?;
    // Field 22; the terminal was field 7.
    let ticks: u64 = decimal(fields.nth(14)?)?;
    let start = ticks.checked_mul(NANOSECONDS_PER_TICK)?;
    Some(Stat { name, parent, group, session, interactive: terminal != 0, start })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TAIL: &[u8] = b" S 60 61 62 34816 70 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 10\n";

    #[test]
    fn a_name_with_brackets_and_blanks_is_whole() {
        let mut text = b"70 (a) R 1 1 1 (b)".to_vec();
        text.extend(TAIL);
        let stat = parse(&text).unwrap();
        assert_eq!(stat.name, b"a) R 1 1 1 (b");
        assert_eq!((stat.parent, stat.group, stat.session), (60, 61, 62));
        assert!(stat.interactive);
        assert_eq!(stat.start, 42_420_000_000);
    }

    #[test]
    fn our_own_is_read() {
        let text = std::fs::read("/proc/self/stat").unwrap();
        let stat = parse(&text).unwrap();
        assert_eq!(stat.parent, nix::unistd::getppid().as_raw());
        assert_eq!(stat.group, nix::unistd::getpgrp().as_raw());
        assert!(stat.start > 0);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, tail: Vec<u8>) {
            let mut text = bytes;
            text.extend(b") S 1 2");
            text.extend(tail);
            let _stat = parse(&text);
        }
    }
}
