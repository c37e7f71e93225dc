//! Exit statuses: part of the interface, so in one place. Those from 64 on are sysexits.h's.

/// Done.
pub const DONE: u8 = 0;
/// The answer is no: a drill or cases failed, a promise does not hold.
pub const NO: u8 = 1;
/// The command line cannot be understood.
pub const USAGE: u8 = 2;
/// EX_DATAERR: the input is not what it should be.
pub const DATA: u8 = 65;
/// EX_NOINPUT: the input can't be read.
pub const NO_INPUT: u8 = 66;
/// EX_UNAVAILABLE: no guard runs, or the kernel can't do it.
pub const UNAVAILABLE: u8 = 69;
/// EX_SOFTWARE: a mistake in this program.
pub const SOFTWARE: u8 = 70;
/// EX_OSERR: the operating system refused something that it should not.
pub const OS: u8 = 71;
/// EX_IOERR: output could not be written.
pub const IO: u8 = 74;
/// EX_TEMPFAIL: try again later; another guard runs, or the guard does not reply in time.
pub const BUSY: u8 = 75;
/// EX_PROTOCOL: guard and command do not understand each other.
pub const PROTOCOL: u8 = 76;
/// EX_NOPERM: privileges are missing.
pub const NO_PERMISSION: u8 = 77;
/// EX_CONFIG: a mistake in policy or configuration.
pub const CONFIG: u8 = 78;
