//! /proc/TID/syscall: the system call in which a thread waits, and where its arguments are.

use super::{decimal, hexadecimal, words};

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identify) enum Waiting {
    /// It was on a processor when the kernel looked: look again.
    Running,
    /// In no call, or in one that we do not know as an exec.
    Elsewhere,
    /// In execve or execveat.
    Exec(Pointers),
}

/// Where the caller put the arguments of the exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identify) struct Pointers {
    /// The file name.
    pub(in crate::identify) name: u64,
    /// argv; 0 for none.
    pub(in crate::identify) arguments: u64,
    /// envp; 0 for none.
    pub(in crate::identify) environment: u64,
    /// Bytes of one pointer in argv and envp: 8, or 4 for a 32-bit call.
    pub(in crate::identify) width: usize,
}

/// Reads the text.
pub(in crate::identify) fn parse(text: &[u8]) -> Option<Waiting> {
    let text = text.trim_ascii();
    if text == b"running" {
        return Some(Waiting::Running);
    }
    let mut fields = words(text);
    let number: i64 = decimal(fields.next()?)?;
    let Some((first, width)) = exec(number) else { return Some(Waiting::Elsewhere) };
    let mut pointers = fields.skip(first).map(hexadecimal);
    Some(Waiting::Exec(Pointers {
        name: pointers.next()??,
        arguments: pointers.next()??,
        environment: pointers.next()??,
        width,
    }))
}

/// At which argument the file name is, and the width of a pointer. No number here means an exec in one of the
/// processor's calling conventions and something that could wait for us in another.
#[cfg(target_arch = "x86_64")]
fn exec(number: i64) -> Option<(usize, usize)> {
    const X32: i64 = 0x4000_0000;
    match number {
        59 => Some((0, 8)),
        322 => Some((1, 8)),
        11 => Some((0, 4)),
        358 => Some((1, 4)),
        number if number == X32 + 520 => Some((0, 4)),
        number if number == X32 + 545 => Some((1, 4)),
        _ => None,
    }
}

/// The generic table, and that of 32-bit ARM.
#[cfg(target_arch = "aarch64")]
fn exec(number: i64) -> Option<(usize, usize)> {
    match number {
        221 => Some((0, 8)),
        281 => Some((1, 8)),
        11 => Some((0, 4)),
        387 => Some((1, 4)),
        _ => None,
    }
}

#[cfg(target_arch = "riscv64")]
fn exec(number: i64) -> Option<(usize, usize)> {
    match number {
        221 => Some((0, 8)),
        281 => Some((1, 8)),
        _ => None,
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
fn exec(_number: i64) -> Option<(usize, usize)> {
    None
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_kind_of_exec_is_known_by_its_number() {
        let tail = " 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffc 0x7f00\n";
        let cases = [
            ("59", [1, 2, 3], 8),
            ("322", [2, 3, 4], 8),
            ("11", [1, 2, 3], 4),
            ("358", [2, 3, 4], 4),
            ("1073742344", [1, 2, 3], 4),
            ("1073742369", [2, 3, 4], 4),
        ];
        for (number, [name, arguments, environment], width) in cases {
            let expected = Waiting::Exec(Pointers { name, arguments, environment, width });
            assert_eq!(parse(format!("{number}{tail}").as_bytes()), Some(expected), "{number}");
        }
        assert_eq!(parse(format!("0{tail}").as_bytes()), Some(Waiting::Elsewhere));
    }

    #[test]
    fn a_thread_outside_a_call_and_one_that_runs_are_told_apart() {
        assert_eq!(parse(b"running\n"), Some(Waiting::Running));
        assert_eq!(parse(b"-1 0x7ffc 0x7f00\n"), Some(Waiting::Elsewhere));
        assert_eq!(parse(b"59 0x1\n"), None);
        assert_eq!(parse(b""), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _waiting = parse(&bytes);
            let mut exec = b"59 0x".to_vec();
            exec.extend(bytes);
            let _waiting = parse(&exec);
        }
    }
}
