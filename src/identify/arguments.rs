//! The arguments of the exec, from the memory of the caller that waits in it.
//!
//! Evidence, never proof: whoever shares that memory can rewrite it after we looked. Every read here can block for
//! as long as the caller's memory does, so all of it runs [aside](super::aside).

use std::time::Duration;

use super::parse::syscall::{self, Pointers, Waiting};
use super::proc::{Proc, cause};
use crate::event::{Arguments, Cause, Texts, Trust};
use crate::sys::{memory, tasks};

/// At most this many bytes of arguments, and as many of environment.
pub(super) const BYTES: usize = 128 * 1024;

/// Reads the arguments of the exec in which the thread `id` waits; how far they can be [trusted](trust) is the caller's to
/// find out. `Unsupported`: it waits in no exec that we know, as a program that the kernel starts.
pub(super) fn read(proc: &Proc, id: i32, environment: bool) -> Result<Arguments, Cause> {
    let mut text = Vec::new();
    let pointers = pointers(proc, id, &mut text)?;
    let mut memory = Memory { id, from: 0, bytes: Vec::with_capacity(PAGE) };
    let mut arguments = Arguments::default();
    arguments.truncated = !memory.list(pointers.arguments, pointers.width, &mut arguments.args)?;
    if environment {
        arguments.truncated |=
            !memory.list(pointers.environment, pointers.width, &mut arguments.environment)?;
    }
    let mut name = Vec::new();
    arguments.truncated |= !memory.string(pointers.name, NAME, &mut name)?;
    arguments.typed = name;
    Ok(arguments)
}

/// The strings of a /proc/PID/cmdline: each ends with a NUL, the last perhaps not.
pub(super) fn split(text: &[u8]) -> Texts {
    let whole = text.strip_suffix(b"\0").unwrap_or(text);
    if text.is_empty() { Texts::new() } else { whole.split(|byte| *byte == 0).collect() }
}

/// How far the arguments of a process with so many threads can be trusted. One thread is no proof that nobody else has
/// the memory: a vfork child shares its parent's. Others that share it cannot be found. Does not block.
pub(super) fn trust(id: i32, threads: u32, parent: Option<i32>) -> Trust {
    let shared = parent.is_some_and(|parent| tasks::share_memory(id, parent).unwrap_or(true));
    if threads == 1 && !shared { Trust::SingleThreaded } else { Trust::Shared }
}

fn pointers(proc: &Proc, id: i32, text: &mut Vec<u8>) -> Result<Pointers, Cause> {
    for _ in 0..TRIES {
        proc.read(id, "syscall", text)?;
        match syscall::parse(text).ok_or(Cause::Unsteady)? {
            Waiting::Exec(pointers) => return Ok(pointers),
            Waiting::Elsewhere => return Err(Cause::Unsupported),
            // The event reaches us a moment before its thread has gone to sleep.
            Waiting::Running => std::thread::sleep(PAUSE),
        }
    }
    Err(Cause::Unsteady)
}

/// The memory of one process, one page of it at hand: arguments mostly lie side by side.
struct Memory {
    id: i32,
    from: u64,
    bytes: Vec<u8>,
}

impl Memory {
    /// Appends the strings of a list of pointers that a null ends; `false` where it is longer than we read.
    fn list(&mut self, address: u64, width: usize, texts: &mut Texts) -> Result<bool, Cause> {
        let (mut left, mut text) = (BYTES, Vec::new());
        // The kernel takes no list for an empty one.
        if address == 0 {
            return Ok(true);
        }
        let step = u64::try_from(width).map_err(|_| Cause::Unsupported)?;
        for index in 0..STRINGS {
            let offset = index.checked_mul(step).and_then(|offset| address.checked_add(offset));
            let pointer = self.pointer(offset.ok_or(Cause::Unsteady)?, width)?;
            if pointer == 0 {
                return Ok(true);
            }
            text.clear();
            let whole = self.string(pointer, left, &mut text)?;
            texts.push(&text);
            left = left.saturating_sub(text.len() + 1);
            if !whole || left == 0 {
                return Ok(false);
            }
        }
        Ok(false)
    }

    fn pointer(&mut self, address: u64, width: usize) -> Result<u64, Cause> {
        let mut bytes = [0; 8];
        let mut at = address;
        // A pointer may lie across the end of a page.
        for byte in bytes.iter_mut().take(width) {
            *byte = *self.at(at)?.first().ok_or(Cause::Unsteady)?;
            at = at.checked_add(1).ok_or(Cause::Unsteady)?;
        }
        Ok(u64::from_le_bytes(bytes))
    }

    /// Appends the string at `address`, at most `limit` bytes of it; `false` where it is longer.
    fn string(&mut self, address: u64, limit: usize, text: &mut Vec<u8>) -> Result<bool, Cause> {
        let mut address = address;
        loop {
            let bytes = self.at(address)?;
            let end = bytes.iter().position(|byte| *byte == 0);
            let piece = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
            let room = limit.saturating_sub(text.len());
            if piece.len() > room {
                text.extend_from_slice(piece.get(..room).unwrap_or_default());
                return Ok(false);
            }
            text.extend_from_slice(piece);
            if end.is_some() {
                return Ok(true);
            }
            let step = u64::try_from(piece.len()).map_err(|_| Cause::Unsteady)?;
            address = address.checked_add(step).ok_or(Cause::Unsteady)?;
        }
    }

    /// What lies from `address` to the end of its page, at least one byte.
    fn at(&mut self, address: u64) -> Result<&[u8], Cause> {
        let held = |from: u64, length: usize| {
            let offset = usize::try_from(address.checked_sub(from)?).ok()?;
            (offset < length).then_some(offset)
        };
        if held(self.from, self.bytes.len()).is_none() {
            let page = u64::try_from(PAGE).map_err(|_| Cause::Unsteady)?;
            self.from = address - address % page;
            self.bytes.resize(PAGE, 0);
            let read = memory::read(self.id, self.from, &mut self.bytes);
            self.bytes.truncate(*read.as_ref().unwrap_or(&0));
            // EFAULT: the exec itself would fail.
            read.map_err(cause)?;
        }
        let offset = held(self.from, self.bytes.len()).ok_or(Cause::Unsteady)?;
        self.bytes.get(offset..).ok_or(Cause::Unsteady)
    }
}

const STRINGS: u64 = 4096;
const NAME: usize = 4096;
/// The smallest page of any machine: never more is read at once, so an unreadable page hides nothing before it.
const PAGE: usize = 4096;
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_micros(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_split_at_its_ends() {
        let parts = |text: &[u8]| split(text).iter().map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(parts(b"a\0\0b c\0"), [b"a".to_vec(), b"".to_vec(), b"b c".to_vec()]);
        assert_eq!(parts(b"no end"), [b"no end".to_vec()]);
        assert_eq!(parts(b"\0"), [b"".to_vec()]);
        assert!(split(b"").is_empty());
    }

    #[test]
    fn strings_and_lists_are_read_from_our_own_memory() {
        let long = [b'x'; 3 * PAGE];
        let strings: [&[u8]; 3] = [b"one\0", b"\0", &[&long[..], b"\0"].concat()];
        let mut list: Vec<u64> =
            strings.iter().map(|text| u64::try_from(text.as_ptr().addr()).unwrap()).collect();
        list.push(0);
        let mut memory = Memory { id: nix::unistd::getpid().as_raw(), from: 0, bytes: Vec::new() };
        let mut texts = Texts::new();
        let address = u64::try_from(list.as_ptr().addr()).unwrap();
        assert_eq!(memory.list(address, 8, &mut texts), Ok(true));
        assert_eq!(texts.iter().collect::<Vec<_>>(), [b"one".as_slice(), b"", &long]);
        let mut cut = Vec::new();
        assert_eq!(memory.string(list[2], 5000, &mut cut), Ok(false));
        assert_eq!(cut.len(), 5000);
        assert!(memory.string(8, 5000, &mut cut).is_err());
    }
}
