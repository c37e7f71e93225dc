//! The record file: lines appended whole or not at all, generations, and what a crash leaves at its end.
//!
//! Owns the file's name, mode and rotation. [`Appender`] is what the pipeline's thread uses, one write(2) a line;
//! everything that may take longer ([`Place`]) is called at start and by the keeper's thread.

use super::errno::errno;
use super::lines::Lines;
use super::read::Head;
use nix::errno::Errno;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a log of several generations lives: PATH, then PATH.1 (newest) to PATH.keep (oldest).
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
    keep: u32,
}

/// What was found at the end of a log.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The last whole record, of any generation.
    pub(super) last: Option<Head>,
    /// A record without its end.
    pub(super) torn: Option<Torn>,
}

/// A record without its end.
#[derive(Debug)]
pub(super) struct Torn {
    /// Where it begins.
    at: u64,
    /// Its real beginning lies farther back than we look: what takes its place must begin a line.
    headless: bool,
    /// How long it is.
    pub(super) bytes: u64,
    /// Its beginning.
    pub(super) text: Vec<u8>,
}

/// The end of the current file.
#[derive(Debug)]
pub(super) struct Appender {
    file: Arc<File>,
    size: u64,
    /// A part of a line is at the end of the file and could not be taken back.
    unfinished: bool,
}

impl Appender {
    /// Appends to `file`, which is open for appending.
    pub(super) fn new(file: File) -> Self {
        let size = file.metadata().map(|metadata| metadata.len()).unwrap_or_default();
        let mut last = [b'\n'];
        // A file that cannot be read here may hold half a line; one empty line too many does no harm.
        let read = size == 0 || file.read_exact_at(&mut last, size - 1).is_ok();
        Self { file: Arc::new(file), size, unfinished: !read || last != [b'\n'] }
    }

    /// Writes one line with one write(2). On an error nothing of it stays in the file, or, where even that fails, the
    /// next line begins with a newline, so that no two lines ever merge.
    pub(super) fn append(&mut self, line: &[u8]) -> Result<(), Errno> {
        if self.unfinished {
            self.write(b"\n").map_err(|(_, errno)| errno)?;
            self.unfinished = false;
        }
        self.write(line).map_err(|(written, errno)| {
            self.unfinished = written > 0 && self.take_back(written).is_err();
            errno
        })
    }

    /// Appends the lines of another file from this place on. How many could not be: read, they are not known, and count
    /// as one.
    pub(super) fn take_along(&mut self, other: &File, from: u64) -> u64 {
        let mut lines = Lines::new(other, from);
        let mut lost = 0;
        loop {
            match lines.next() {
                Ok(Some(line)) => lost += u64::from(self.append(line).is_err()),
                Ok(None) => return lost,
                Err(_) => return lost + 1,
            }
        }
    }

    /// Waits until what was written is on the disk.
    pub(super) fn sync(&self) -> Result<(), Errno> {
        self.file.sync_data().map_err(|error| errno(&error))
    }

    /// The size as far as we know; others may have cut the file meanwhile.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The size as it is.
    pub(super) fn measure(&mut self) {
        self.size = self.file.metadata().map_or(self.size, |metadata| metadata.len());
    }

    /// The file itself, for syncing outside of any lock.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), (u64, Errno)> {
        let mut rest = bytes;
        let mut written = 0;
        while !rest.is_empty() {
            match (&*self.file).write(rest) {
                Ok(0) => return Err((written, Errno::ENOSPC)),
                Ok(count) => {
                    written += widened(count);
                    self.size = self.size.saturating_add(widened(count));
                    rest = rest.get(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err((written, errno(&error))),
            }
        }
        Ok(())
    }

    /// Cuts off what the last write appended. The log has one writer, so the end of the file is ours.
    fn take_back(&mut self, written: u64) -> std::io::Result<()> {
        let end = self.file.metadata()?.len();
        self.file.set_len(end.saturating_sub(written))?;
        self.size = self.size.saturating_sub(written);
        Ok(())
    }
}

impl Place {
    /// A log at `path` that keeps `keep` older generations.
    pub(super) fn new(path: &Path, keep: u32) -> Self {
        Self { path: path.to_path_buf(), keep }
    }

    /// The current file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the generation `number` (from 1).
    pub(super) fn generation(&self, number: u32) -> PathBuf {
        self.with_suffix(&format!(".{number}"))
    }

    /// Opens the current file for appending; makes it (0640) and its directory (0750) where they are missing.
    pub(super) fn open(&self) -> Result<File, Errno> {
        make_directory(&self.path)?;
        append_to(&self.path)
    }

    /// Looks for the last record, and for a record without its end in the current file.
    pub(super) fn tail(&self) -> Result<Tail, Errno> {
        let mut found = Tail::default();
        if let Some(mut file) = open_to_read(&self.path)? {
            found = tail(&mut file).map_err(|error| errno(&error))?;
        }
        let mut number = 1;
        while found.last.is_none() && number <= self.keep.max(1) {
            if let Some(mut file) = open_to_read(&self.generation(number))? {
                found.last = tail(&mut file).map_err(|error| errno(&error))?.last;
            }
            number += 1;
        }
        Ok(found)
    }

    /// Puts `line`, which tells of `torn`, in its place: one write over it, so that a crash meanwhile loses nothing
    /// but what is in the line; then cuts off what it did not cover.
    pub(super) fn replace(&self, torn: &Torn, line: &[u8]) -> Result<(), Errno> {
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&self.path)
            .map_err(|error| errno(&error))?;
        let start = if torn.headless { torn.at.saturating_add(1) } else { torn.at };
        if torn.headless {
            file.write_all_at(b"\n", torn.at).map_err(|error| errno(&error))?;
        }
        file.write_all_at(line, start)
            .and_then(|()| file.set_len(start.saturating_add(widened(line.len()))))
            .map_err(|error| errno(&error))
    }

    /// Cuts off a torn record.
    pub(super) fn cut(&self, torn: &Torn) -> Result<(), Errno> {
        append_to(&self.path)?.set_len(torn.at).map_err(|error| errno(&error))
    }

    /// True while the path names `file`.
    pub(super) fn names(&self, file: &File) -> bool {
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        match (std::fs::symlink_metadata(&self.path), file.metadata()) {
            (Ok(named), Ok(open)) => identity(named) == identity(open),
            _ => false,
        }
    }

    /// Begins a new file, and moves the current one to the first generation. Writers may go on writing to the moved
    /// file meanwhile. A crash or an error at any step loses no generation but the oldest.
    pub(super) fn rotate(&self) -> Result<File, Errno> {
        self.begin_next().map_err(|error| errno(&error))
    }

    fn begin_next(&self) -> std::io::Result<File> {
        let next = self.with_suffix(".next");
        forget(&next)?;
        // The oldest goes first: where the disk is full, the new file needs its space.
        forget(&self.generation(self.keep.max(1)))?;
        let file = append_to(&next).map_err(std::io::Error::from)?;
        self.shift()?;
        std::fs::rename(&self.path, self.generation(1))?;
        std::fs::rename(&next, &self.path)?;
        if self.keep == 0 {
            forget(&self.generation(1))?;
        }
        Ok(file)
    }

    /// Moves each generation up by one, up to the first number that is free: after an error half-way nothing is
    /// moved twice.
    fn shift(&self) -> std::io::Result<()> {
        let free =
            (1..=self.keep).find(|number| !self.generation(*number).exists()).unwrap_or(self.keep.max(1));
        for number in (1..free).rev() {
            std::fs::rename(self.generation(number), self.generation(number + 1))?;
        }
        Ok(())
    }

    fn with_suffix(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(self.path.as_os_str());
        name.push(suffix);
        PathBuf::from(name)
    }
}

/// Makes the directory (0750) of the file at `path` where it is missing.
pub(super) fn make_directory(path: &Path) -> Result<(), Errno> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let Some(directory) = directory else { return Ok(()) };
    DirBuilder::new().recursive(true).mode(0o750).create(directory).map_err(|error| errno(&error))
}

/// A regular file, made where it is missing. A link or a pipe that somebody put there is refused.
fn append_to(path: &Path) -> Result<File, Errno> {
    let open = |new: bool| {
        OpenOptions::new()
            .append(true)
            .read(true)
            .create_new(new)
            .mode(0o640)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
    };
    let file = match open(false) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let file = open(true).map_err(|error| errno(&error))?;
            // The process's umask must not decide who reads the log.
            file.set_permissions(PermissionsExt::from_mode(0o640)).map_err(|error| errno(&error))?;
            file
        }
        other => other.map_err(|error| errno(&error))?,
    };
    let is_file = file.metadata().map_err(|error| errno(&error))?.is_file();
    if is_file { Ok(file) } else { Err(Errno::EINVAL) }
}

fn open_to_read(path: &Path) -> Result<Option<File>, Errno> {
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(errno(&error)),
    }
}

fn forget(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads backwards in growing steps until a whole record is found; at most [`FARTHEST`] bytes, because a file that
/// holds none in so many is not one of ours.
fn tail(file: &mut File) -> std::io::Result<Tail> {
    let size = file.seek(SeekFrom::End(0))?;
    let mut step = FIRST_STEP;
    loop {
        let from = size.saturating_sub(step);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(step).read_to_end(&mut bytes)?;
        let found = in_tail(&bytes, from);
        if found.last.is_some() || from == 0 || step >= FARTHEST {
            return Ok(found);
        }
        step = step.saturating_mul(8);
    }
}

fn in_tail(bytes: &[u8], from: u64) -> Tail {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let (whole, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    let torn = (!rest.is_empty()).then(|| Torn {
        at: from.saturating_add(widened(end)),
        headless: end == 0 && from > 0,
        bytes: widened(rest.len()),
        text: rest.get(..LONGEST_TORN.min(rest.len())).unwrap_or_default().to_vec(),
    });
    // The first piece may be the end of a longer line; it then is no JSON and is passed over.
    let last = whole.split(|byte| *byte == b'\n').rev().find_map(Head::parse);
    Tail { last, torn }
}

fn widened(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

const FIRST_STEP: u64 = 64 << 10;
const FARTHEST: u64 = 32 << 20;
/// A file system may leave megabytes of zeros at the end after a power cut; their beginning says enough.
const LONGEST_TORN: usize = 16 << 10;
