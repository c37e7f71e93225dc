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

/// Where a thread was when it came to wait, whatever it called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identify) enum Spot {
    /// It was on a processor when the kernel looked: look again.
    Running,
    /// In no call of its own: a page fault, a thread of the kernel.
    Outside,
    /// In a call.
    Call(Call),
}

/// A call in which a thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identify) struct Call {
    /// How it opens files.
    pub(in crate::identify) opens: Opens,
    /// The instruction pointer: whose code called.
    pub(in crate::identify) code: u64,
}

/// How a call opens the file that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identify) enum Opens {
    /// To execute it.
    ToExecute,
    /// Not only for reading.
    ToWrite,
    /// For reading alone, with these flags (O_* of open(2)).
    ToRead {
        /// O_CLOEXEC.
        close_on_exec: bool,
    },
    /// It cannot be told: the flags lie in memory, or this is no call that we know.
    Unknown,
}

/// Reads the text, of which each line but the two short ones is a number, six arguments, stack and instruction pointer.
pub(in crate::identify) fn spot(text: &[u8]) -> Option<Spot> {
    let text = text.trim_ascii();
    if text == b"running" {
        return Some(Spot::Running);
    }
    let mut fields = words(text);
    let number: i64 = decimal(fields.next()?)?;
    if number < 0 {
        return Some(Spot::Outside);
    }
    let mut values = fields.map(hexadecimal);
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = values.next()??;
    }
    let code = values.nth(1)??;
    Some(Spot::Call(Call { opens: opens(number, arguments), code }))
}

fn opens(number: i64, arguments: [u64; 6]) -> Opens {
    if exec(number).is_some() {
        return Opens::ToExecute;
    }
    let Some(flags) = flags_of_open(number) else { return Opens::Unknown };
    match arguments.get(flags).and_then(|flags| i32::try_from(flags & 0xffff_ffff).ok()) {
        Some(flags) if flags & (libc::O_ACCMODE | libc::O_TRUNC) != libc::O_RDONLY => Opens::ToWrite,
        Some(flags) => Opens::ToRead { close_on_exec: flags & libc::O_CLOEXEC != 0 },
        None => Opens::Unknown,
    }
}

/// At which argument open(2), openat(2) and their 32-bit forms have their flags. As with execs, no number means another
/// call that could wait for us; creat(2) writes, and is as good as unknown.
#[cfg(target_arch = "x86_64")]
fn flags_of_open(number: i64) -> Option<usize> {
    const X32: i64 = 0x4000_0000;
    match number {
        2 | 5 => Some(1),
        257 | 295 => Some(2),
        number if number == X32 + 2 => Some(1),
        number if number == X32 + 257 => Some(2),
        _ => None,
    }
}

#[cfg(target_arch = "aarch64")]
fn flags_of_open(number: i64) -> Option<usize> {
    match number {
        56 | 322 => Some(2),
        5 => Some(1),
        _ => None,
    }
}

#[cfg(target_arch = "riscv64")]
fn flags_of_open(number: i64) -> Option<usize> {
    (number == 56).then_some(2)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
fn flags_of_open(_number: i64) -> Option<usize> {
    None
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

    #[test]
    fn how_a_call_opens_is_told_by_its_flags_and_whose_code_it_is_by_the_pointer() {
        let at = |text: &str| spot(text.as_bytes());
        let call = |opens| Some(Spot::Call(Call { opens, code: 0x7f00 }));
        let reads = |close_on_exec| Opens::ToRead { close_on_exec };
        let cases = [
            // openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC), as ld.so does it.
            ("257 0xffffff9c 0x1 0x80000 0x0 0x0 0x0 0x7ffc 0x7f00\n", reads(true)),
            ("257 0xffffff9c 0x1 0x0 0x0 0x0 0x0 0x7ffc 0x7f00\n", reads(false)),
            ("2 0x1 0x88000 0x0 0x0 0x0 0x0 0x7ffc 0x7f00\n", reads(true)),
            ("257 0xffffff9c 0x1 0x2 0x0 0x0 0x0 0x7ffc 0x7f00\n", Opens::ToWrite),
            ("257 0xffffff9c 0x1 0x241 0x1b6 0x0 0x0 0x7ffc 0x7f00\n", Opens::ToWrite),
            ("437 0xffffff9c 0x1 0x2 0x18 0x0 0x0 0x7ffc 0x7f00\n", Opens::Unknown),
            ("59 0x1 0x2 0x3 0x0 0x0 0x0 0x7ffc 0x7f00\n", Opens::ToExecute),
        ];
        for (text, opens) in cases {
            assert_eq!(at(text), call(opens), "{text}");
        }
        assert_eq!(at("running\n"), Some(Spot::Running));
        assert_eq!(at("-1 0x7ffc 0x7f00\n"), Some(Spot::Outside));
        assert_eq!(at("257 0x1 0x2\n"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _waiting = parse(&bytes);
            let _spot = spot(&bytes);
            let _spot = spot(&[b"257 0x0 ", bytes.as_slice()].concat());
            let mut exec = b"59 0x".to_vec();
            exec.extend(bytes);
            let _waiting = parse(&exec);
        }
    }
}
