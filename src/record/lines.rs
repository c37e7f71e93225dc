//! The lines of a file that somebody else may be writing: for the copy of the alerts, and for what goes along into a new
//! file.

use super::errno::errno;
use nix::errno::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The whole lines of a file from an offset on, without moving any file position.
pub(super) struct Lines<'a> {
    file: &'a File,
    offset: u64,
    buffer: Vec<u8>,
    used: usize,
}

impl<'a> Lines<'a> {
    /// The lines that begin there.
    pub(super) fn new(file: &'a File, offset: u64) -> Self {
        Self { file, offset, buffer: Vec::new(), used: 0 }
    }

    /// The next line with its newline; `None` where there is no whole one.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Errno> {
        let mut searched = self.used;
        loop {
            let fresh = self.buffer.get(searched..).unwrap_or_default();
            if let Some(newline) = newline(fresh) {
                let start = self.used;
                self.used = searched + newline + 1;
                return Ok(self.buffer.get(start..self.used));
            }
            self.buffer.drain(..self.used);
            self.used = 0;
            searched = self.buffer.len();
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    fn fill(&mut self) -> Result<bool, Errno> {
        let before = self.buffer.len();
        self.buffer.resize(before + CHUNK, 0);
        let space = self.buffer.get_mut(before..).unwrap_or_default();
        let result = self.file.read_at(space, self.offset).map_err(|error| errno(&error));
        let read = *result.as_ref().unwrap_or(&0);
        self.buffer.truncate(before + read);
        self.offset = self.offset.saturating_add(u64::try_from(read).unwrap_or_default());
        result.map(|read| read > 0)
    }
}

/// Where the first newline is. `contains` looks at many bytes at a time, `position` at one.
fn newline(bytes: &[u8]) -> Option<usize> {
    let mut before = 0;
    for piece in bytes.chunks(256) {
        if piece.contains(&b'\n') {
            return piece.iter().position(|byte| *byte == b'\n').map(|place| before + place);
        }
        before += piece.len();
    }
    None
}

const CHUNK: usize = 64 << 10;
