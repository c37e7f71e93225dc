//! The smallest programs that run: no library, no dynamic linker, so that they also run in an empty root directory.

/// A program that ends at once with status 0.
pub fn program() -> Vec<u8> {
    elf64(LOAD, None, EXIT)
}

/// A program of the same size that ends at once with status 7.
pub fn another_program() -> Vec<u8> {
    elf64(LOAD, None, EXIT_7)
}

/// The same as [`program`], which names `interpreter` as its dynamic linker: the kernel runs that.
pub fn with_interpreter(interpreter: &str) -> Vec<u8> {
    elf64(LOAD, Some(interpreter), EXIT)
}

/// A dynamic linker that ends at once with status 0.
pub fn interpreter() -> Vec<u8> {
    elf64(LOAD_INTERPRETER, None, EXIT)
}

/// A 32-bit program that ends at once with status 0.
#[cfg(target_arch = "x86_64")]
pub fn program_32() -> Vec<u8> {
    const CODE: &[u8] = &[0x31, 0xdb, 0x31, 0xc0, 0x40, 0xcd, 0x80];
    let address = 0x0804_8000_u32;
    let size = 52 + 32 + u32::try_from(CODE.len()).unwrap();
    let mut bytes = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2_u16, 3] {
        bytes.extend(half.to_le_bytes());
    }
    for word in [1, address + 84, 52, 0, 0] {
        bytes.extend(u32::to_le_bytes(word));
    }
    for half in [52_u16, 32, 1, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    for word in [1, 0, address, address, size, size, 5, 0x1000] {
        bytes.extend(u32::to_le_bytes(word));
    }
    bytes.extend(CODE);
    bytes
}

fn elf64(address: u64, interpreter: Option<&str>, code: &[u8]) -> Vec<u8> {
    let headers = if interpreter.is_some() { 2 } else { 1 };
    let begin = 64 + 56 * headers;
    let name = interpreter.map(|name| [name.as_bytes(), b"\0"].concat()).unwrap_or_default();
    let name_at = begin + u64::try_from(code.len()).unwrap();
    let size = name_at + u64::try_from(name.len()).unwrap();
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2_u16, MACHINE] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend(1_u32.to_le_bytes());
    for long in [address + begin, 64, 0] {
        bytes.extend(u64::to_le_bytes(long));
    }
    bytes.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, u16::try_from(headers).unwrap(), 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    let mut segment = |kind: u32, offset: u64, length: u64| {
        for word in [kind, 5] {
            bytes.extend(word.to_le_bytes());
        }
        for long in [offset, address + offset, address + offset, length, length, 0x1000] {
            bytes.extend(u64::to_le_bytes(long));
        }
    };
    if interpreter.is_some() {
        segment(3, name_at, u64::try_from(name.len()).unwrap());
    }
    segment(1, 0, size);
    bytes.extend(code);
    bytes.extend(name);
    bytes
}

const LOAD: u64 = 0x40_0000;
const LOAD_INTERPRETER: u64 = 0x80_0000;

#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;

/// `exit(0)`
#[cfg(target_arch = "x86_64")]
const EXIT: &[u8] = &[0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
#[cfg(target_arch = "aarch64")]
const EXIT: &[u8] = &[0x00, 0x00, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];

/// `exit(7)`
#[cfg(target_arch = "x86_64")]
const EXIT_7: &[u8] = &[0x6a, 7, 0x5f, 0x6a, 60, 0x58, 0x0f, 0x05, 0x90];
#[cfg(target_arch = "aarch64")]
const EXIT_7: &[u8] = &[0xe0, 0x00, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];
