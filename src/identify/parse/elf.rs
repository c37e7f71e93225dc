//! An ELF file's headers: whether it is a dynamic loader, and whether the C library is in the same file.
//!
//! Reads pieces of the file that the caller fetches; anything may stand in them.

/// Where a piece of the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identify) struct Piece {
    /// Its offset.
    pub(in crate::identify) at: u64,
    /// Its length in bytes.
    pub(in crate::identify) length: u64,
}

/// The headers of a file that is mapped wherever there is room (ET_DYN) and names no loader (no PT_INTERP): a loader, or
/// a program without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::identify) struct Headers {
    wide: bool,
    /// The dynamic section, which a loader has.
    pub(in crate::identify) dynamic: Piece,
    /// The mapped segments: address and place in the file.
    loads: Vec<(u64, Piece)>,
}

const ET_DYN: u64 = 3;
const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_NULL: u64 = 0;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;

/// What the file begins with.
const MAGIC: &[u8] = b"\x7fELF";

/// True where a file that begins so is of this kind.
pub(in crate::identify) fn is_elf(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

impl Headers {
    /// Reads them from the first page of a file. `None` where it is no such file.
    pub(in crate::identify) fn read(head: &[u8]) -> Option<Self> {
        if !is_elf(head) {
            return None;
        }
        let wide = match head.get(4)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        // Our own byte order: another one could not run here.
        if number(head, 16, 2)? != ET_DYN {
            return None;
        }
        let (table, size, count) = if wide { (32, 54, 56) } else { (28, 42, 44) };
        let table = number(head, table, if wide { 8 } else { 4 })?;
        let (size, count) = (number(head, size, 2)?, number(head, count, 2)?);
        let (mut dynamic, mut loads) = (None, Vec::new());
        for index in 0..count {
            let at = usize::try_from(table.checked_add(index.checked_mul(size)?)?).ok()?;
            let field = |narrow: usize, wide_at: usize| {
                let (offset, length) = if wide { (wide_at, 8) } else { (narrow, 4) };
                number(head, at.checked_add(offset)?, length)
            };
            let piece = Piece { at: field(4, 8)?, length: field(16, 32)? };
            match number(head, at, 4)? {
                PT_LOAD => loads.push((field(8, 16)?, piece)),
                PT_DYNAMIC => dynamic = Some(piece),
                PT_INTERP => return None,
                _ => {}
            }
        }
        Some(Self { wide, dynamic: dynamic?, loads })
    }

    /// Where the names of the file's symbols are, from the dynamic section.
    pub(in crate::identify) fn names(&self, dynamic: &[u8]) -> Option<Piece> {
        let width = if self.wide { 8 } else { 4 };
        let (mut address, mut length) = (None, None);
        for entry in dynamic.chunks_exact(2 * width) {
            let value = number(entry, width, width)?;
            match number(entry, 0, width)? {
                DT_NULL => break,
                DT_STRTAB => address = Some(value),
                DT_STRSZ => length = Some(value),
                _ => {}
            }
        }
        let (address, length) = (address?, length?);
        let (start, piece) = self
            .loads
            .iter()
            .find(|(start, piece)| address.checked_sub(*start).is_some_and(|inside| inside < piece.length))?;
        Some(Piece { at: piece.at.checked_add(address - start)?, length })
    }
}

/// True where these names are a loader's: debuggers and thread-local storage need them of every loader.
pub(in crate::identify) fn are_of_a_loader(names: &[u8]) -> bool {
    [b"\0__tls_get_addr\0".as_slice(), b"\0_dl_debug_state\0", b"\0_rtld_global\0"]
        .into_iter()
        .any(|name| memchr::memmem::find(names, name).is_some())
}

/// True where the C library is in the file whose names these are.
pub(in crate::identify) fn are_of_a_c_library(names: &[u8]) -> bool {
    memchr::memmem::find(names, b"\0fopen\0").is_some()
}

/// A number of this many bytes in the machine's own order.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    let mut wide = [0; 8];
    let place =
        if cfg!(target_endian = "little") { wide.get_mut(..length)? } else { wide.get_mut(8 - length..)? };
    place.copy_from_slice(bytes);
    Some(u64::from_ne_bytes(wide))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names_of(file: &[u8]) -> Option<Vec<u8>> {
        let piece = |piece: Piece| {
            let at = usize::try_from(piece.at).ok()?;
            file.get(at..at.checked_add(usize::try_from(piece.length).ok()?)?)
        };
        let headers = Headers::read(file.get(..4096)?)?;
        piece(headers.names(piece(headers.dynamic)?)?).map(<[u8]>::to_vec)
    }

    #[test]
    fn the_loader_of_this_program_is_one_and_is_no_c_library() {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let Some(path) = maps.split_whitespace().find(|word| word.contains("/ld-linux")) else {
            eprintln!("SKIPPED: this program has no loader of glibc's");
            return;
        };
        let names = names_of(&std::fs::read(path).unwrap()).unwrap();
        assert!(are_of_a_loader(&names));
        assert!(!are_of_a_c_library(&names));
    }

    #[test]
    fn a_program_with_a_loader_of_its_own_choice_is_none() {
        assert_eq!(Headers::read(&std::fs::read("/proc/self/exe").unwrap()[..4096]), None);
        assert_eq!(Headers::read(b"#!/bin/sh\n"), None);
        assert_eq!(Headers::read(b"\x7fELF"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, class in 1..3_u8) {
            let mut head = b"\x7fELF".to_vec();
            head.extend([class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0]);
            head.extend(&bytes);
            if let Some(headers) = Headers::read(&head) {
                let _names = headers.names(&bytes);
            }
        }
    }
}
