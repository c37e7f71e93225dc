//! Our own program's code in memory.
//!
//! Reading policy and configuration runs through most of the program once, and the pages of it stay mapped for as long
//! as the process lives. Called once, at the end of the start.

#![allow(unsafe_code, reason = "nix marks madvise(2) unsafe: it can take pages away from whoever uses them")]

use std::ffi::c_void;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::ptr::NonNull;

use nix::sys::mman::{MmapAdvise, madvise};

/// Gives back the pages of code: the kernel maps those that are needed again, out of memory where they still are. About
/// two megabytes less that this process holds.
///
/// # Errors
/// /proc cannot be read, or the kernel refuses (the memory is locked).
pub fn give_back() -> io::Result<()> {
    let program = fs::read_link("/proc/self/exe")?;
    let maps = fs::read("/proc/self/maps")?;
    let lines = maps.split(|byte| *byte == b'\n');
    for (start, end) in lines.filter_map(|line| code(line, program.as_os_str().as_bytes())) {
        let Some(address) = NonNull::new(std::ptr::without_provenance_mut::<c_void>(start)) else { continue };
        // SAFETY: the range is a private mapping of our program's file that cannot be written to (`r-x`), so its pages
        // hold what the file holds: whoever runs or reads there next gets the same bytes from the kernel.
        unsafe { madvise(address, end.saturating_sub(start), MmapAdvise::MADV_DONTNEED) }?;
    }
    Ok(())
}

/// The range of a line of proc_pid_maps(5), if it is code of `program`.
fn code(line: &[u8], program: &[u8]) -> Option<(usize, usize)> {
    // No slash stands before the path.
    let (text, path) = line.split_at(line.iter().position(|byte| *byte == b'/')?);
    if path != program {
        return None;
    }
    let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let address = |digits| usize::from_str_radix(digits, 16).ok();
    (words.next()? == "r-xp").then_some((address(start)?, address(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_is_found() {
        let line = b"5581a8a0-5581b000 r-xp 00100000 fe:00 1234        /usr/bin/x y";
        assert_eq!(code(line, b"/usr/bin/x y"), Some((0x5581_a8a0, 0x5581_b000)));
        assert_eq!(code(line, b"/usr/bin/x"), None);
        // What is only readable may be relocations, which are in no file.
        for other in ["r--p", "rw-p", "r-xs", "---p"] {
            let line = format!("1000-2000 {other} 0 fe:00 1 /x");
            assert_eq!(code(line.as_bytes(), b"/x"), None);
        }
    }

    #[test]
    fn the_program_runs_on_without_what_it_gave_back() {
        give_back().unwrap();
        assert!(fs::read("/proc/self/maps").is_ok());
    }
}
