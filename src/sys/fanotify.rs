//! The fanotify group: fanotify_init(2), fanotify_mark(2), and the records of fanotify(7).
//!
//! The `fanotify-rs` crate gives the two calls and the constants. Its reader is not used: it parses records at a fixed
//! size, closes the event's descriptor before anyone can look at it, panics on names that are not UTF-8 and ignores the
//! result of an answer. Records are parsed here, in safe code over bytes.

#![allow(unsafe_code, reason = "turns the integers that the kernel returns into owned descriptors")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use fanotify::low_level::{self, FANOTIFY_METADATA_VERSION};
use nix::unistd;

pub use fanotify::low_level::{
    FAN_ALLOW, FAN_AUDIT, FAN_CLASS_CONTENT, FAN_CLOEXEC, FAN_DENY, FAN_ENABLE_AUDIT, FAN_MARK_ADD,
    FAN_MARK_FILESYSTEM, FAN_MARK_FLUSH, FAN_MARK_IGNORED_MASK, FAN_MARK_IGNORED_SURV_MODIFY, FAN_MARK_MOUNT,
    FAN_MARK_REMOVE, FAN_NONBLOCK, FAN_OPEN_EXEC_PERM, FAN_OPEN_PERM, FAN_Q_OVERFLOW, FAN_REPORT_TID,
    FAN_UNLIMITED_MARKS, FAN_UNLIMITED_QUEUE,
};

/// Report the errno with which the kernel failed to open an event's file, instead of FAN_NOFD (Linux 6.12,
/// include/uapi/linux/fanotify.h; no crate has it).
pub const FAN_REPORT_FD_ERROR: u32 = 0x2000;

/// One event as the kernel wrote it, its descriptor not yet owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// FAN_* bits.
    pub mask: u64,
    /// The event's descriptor; below zero FAN_NOFD (-1) or, with FAN_REPORT_FD_ERROR, a negated errno.
    pub fd: RawFd,
    /// The thread (FAN_REPORT_TID); 0 where our pid namespace has no number for it.
    pub thread: i32,
}

/// One event, its descriptor owned.
#[derive(Debug)]
pub struct Event {
    /// FAN_* bits.
    pub mask: u64,
    /// The file, open for reading; or the errno with which the kernel failed to open it (`None`: it did not say).
    pub file: Result<OwnedFd, Option<i32>>,
    /// The thread; 0 where our pid namespace has no number for it.
    pub thread: i32,
}

/// The bytes that a read of one event takes: struct fanotify_event_metadata. The kernel never splits an event, and
/// returns as many as fit: with room for one, it returns one.
pub const RECORD_LENGTH: usize = 24;

/// Makes a group whose events' files are opened without waiting: who holds a write lease on a file (fcntl(2)) would
/// else hold up the reader for /proc/sys/fs/lease-break-time, and a FIFO (before Linux 6.14) for ever. The caller owns the descriptor; the last copy that closes lets every waiting exec run.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN; EINVAL for a flag that the kernel does not know, or no permission events at all;
/// ENOSYS without CONFIG_FANOTIFY; EMFILE at the limit of groups or descriptors.
pub fn init(flags: u32) -> io::Result<OwnedFd> {
    let event_flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_LARGEFILE | libc::O_NONBLOCK;
    let fd = low_level::fanotify_init(flags, event_flags.cast_unsigned())?;
    // SAFETY: fanotify_init returned this descriptor a line ago without an error, and nothing else has seen the number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Adds or removes a mark on the object at `path`, resolved from the current directory.
///
/// # Errors
/// What fanotify_mark(2) says; EINVAL also for a path with a NUL byte, which the binding would silently cut.
pub fn mark(group: BorrowedFd<'_>, flags: u32, mask: u64, path: &Path) -> io::Result<()> {
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    low_level::fanotify_mark(group.as_raw_fd(), flags, mask, libc::AT_FDCWD, path)
}

/// Reads one event. `None` where none waits (the group must be FAN_NONBLOCK, else this blocks), or, without
/// FAN_REPORT_FD_ERROR, where its file is leased.
///
/// # Errors
/// EINTR; EMFILE, ENFILE, ENOMEM, EACCES: the kernel could not open the file for us, has denied that exec itself, and
/// (without FAN_REPORT_FD_ERROR) dropped the event. InvalidData: the record is not of the form we know.
pub fn read(group: BorrowedFd<'_>) -> io::Result<Option<Event>> {
    let mut buffer = [0; RECORD_LENGTH];
    let length = match unistd::read(group, &mut buffer) {
        Ok(length) => length,
        Err(nix::Error::EAGAIN) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let record = buffer.get(..length).and_then(parse).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "a fanotify record of a form that this program does not know",
        )
    })?;
    let file = if record.fd >= 0 {
        // SAFETY: the kernel installed this descriptor in our table for this one record, which was just read and is
        // parsed once: nobody else owns the number.
        Ok(unsafe { OwnedFd::from_raw_fd(record.fd) })
    } else {
        Err(Some(record.fd.wrapping_neg()).filter(|errno| *errno > 1))
    };
    Ok(Some(Event { mask: record.mask, file, thread: record.thread }))
}

/// Answers the event whose descriptor has this number, with FAN_ALLOW or FAN_DENY and flags.
///
/// # Errors
/// ENOENT: no event with that number waits (its caller was killed, or it is answered already). EINVAL: the response is
/// not one that the group takes (FAN_AUDIT without FAN_ENABLE_AUDIT); the event then stays pending.
pub fn respond(group: BorrowedFd<'_>, number: RawFd, response: u32) -> io::Result<()> {
    let mut bytes = [0; 8];
    let (fd, answer) = bytes.split_at_mut(4);
    fd.copy_from_slice(&number.to_ne_bytes());
    answer.copy_from_slice(&response.to_ne_bytes());
    loop {
        match unistd::write(group, &bytes) {
            Ok(_) => return Ok(()),
            Err(nix::Error::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The event at the start of `bytes`: struct fanotify_event_metadata, version 3, of any total length (information
/// records that follow it are stepped over by their length, not by ours).
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Record> {
    let event_length = usize::try_from(u32::from_ne_bytes(field(bytes, 0)?)).ok()?;
    let [version] = field(bytes, 4)?;
    let metadata_length = usize::from(u16::from_ne_bytes(field(bytes, 6)?));
    let whole = event_length >= metadata_length && bytes.len() >= event_length;
    if version != FANOTIFY_METADATA_VERSION || metadata_length < RECORD_LENGTH || !whole {
        return None;
    }
    Some(Record {
        mask: u64::from_ne_bytes(field(bytes, 8)?),
        fd: i32::from_ne_bytes(field(bytes, 16)?),
        thread: i32::from_ne_bytes(field(bytes, 20)?),
    })
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(length: u32, version: u8, metadata: u16) -> Vec<u8> {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend([version, 0]);
        bytes.extend(metadata.to_ne_bytes());
        bytes.extend(FAN_OPEN_EXEC_PERM.to_ne_bytes());
        bytes.extend(7_i32.to_ne_bytes());
        bytes.extend(4242_i32.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_plain_record_is_read() {
        let parsed = parse(&record(24, 3, 24)).unwrap();
        assert_eq!(parsed, Record { mask: FAN_OPEN_EXEC_PERM, fd: 7, thread: 4242 });
    }

    #[test]
    fn information_records_are_stepped_over() {
        let mut bytes = record(32, 3, 24);
        bytes.extend([0; 8]);
        assert_eq!(parse(&bytes).unwrap().fd, 7);
    }

    #[test]
    fn another_version_a_short_record_and_a_lying_length_are_refused() {
        assert_eq!(parse(&record(24, 2, 24)), None);
        assert_eq!(parse(&record(24, 3, 24)[..23]), None);
        assert_eq!(parse(&record(25, 3, 24)), None);
        assert_eq!(parse(&record(23, 3, 24)), None);
        assert_eq!(parse(&record(24, 3, 16)), None);
    }

    #[test]
    fn a_path_with_a_nul_byte_is_refused_and_not_cut() {
        let (group, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let error =
            mark(std::os::fd::AsFd::as_fd(&group), FAN_MARK_ADD, FAN_OPEN_EXEC_PERM, Path::new("/dev\0/shm"));
        assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _parsed = parse(&bytes);
        }
    }
}
