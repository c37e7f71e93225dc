//! The second file: matched attempts once more, with a quota of its own, so that a flood of allowed attempts cannot
//! rotate the matched ones away.
//!
//! It is copied from the record file and not fed by a queue: nothing is lost to a full queue or a crash, and whoever
//! records pays nothing. Called by the keeper's thread alone.

use super::file::{Appender, Place, errno};
use super::format::is_matched;
use super::lines::Lines;
use super::read::Head;
use super::settings::AlertSettings;
use nix::errno::Errno;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// The copy in the making.
#[derive(Debug)]
pub(super) struct Alerts {
    place: Place,
    max_size: u64,
    /// `None` while it cannot be opened.
    copy: Option<Appender>,
    records: Place,
    /// The current record file.
    current: Arc<File>,
    /// The record file that is read, and up to where it was.
    source: Arc<File>,
    offset: u64,
    /// What a predecessor had no time to copy is copied.
    caught_up: bool,
    pub(super) written: u64,
    /// Matched records that were rotated away before they could be copied.
    pub(super) lost: u64,
    pub(super) error: Option<Errno>,
}

impl Alerts {
    /// Copies from `records`, whose current file is `current`. Nothing is opened yet.
    pub(super) fn new(records: &Place, current: Arc<File>, settings: &AlertSettings) -> Self {
        let path = records.path().parent().unwrap_or(Path::new("")).join("alerts.ndjson");
        Self {
            place: Place::new(&path, settings.keep),
            max_size: settings.max_size,
            copy: None,
            records: records.clone(),
            source: Arc::clone(&current),
            current,
            offset: 0,
            caught_up: false,
            written: 0,
            lost: 0,
            error: None,
        }
    }

    /// Copies what was recorded since the last call; at first also what a predecessor had no time to copy. On an error
    /// the rest is tried again at the next call.
    pub(super) fn copy(&mut self) {
        let result = if self.caught_up { self.copy_rest() } else { self.catch_up() };
        self.caught_up |= result.is_ok();
        self.error = result.err();
        self.rotate();
    }

    /// Goes on with another record file, from this place on. What could not be copied from the old one is lost, and counted.
    pub(super) fn follow(&mut self, current: Arc<File>, from: u64) {
        self.copy();
        if self.error.is_some() {
            let mut lost = 0;
            // Where it cannot even be read, nobody knows how many there were.
            self.each_line(&mut |line| {
                lost += u64::from(is_matched(line));
                Ok(())
            })
            .unwrap_or_default();
            self.lost += lost;
        }
        self.source = Arc::clone(&current);
        self.current = current;
        self.offset = from;
    }

    /// Finds the last alert's place among the records and goes on there. In the older generation as well, because a
    /// rotation may have happened just before the crash.
    fn catch_up(&mut self) -> Result<(), Errno> {
        // Opening it makes it where it is missing, and its end says how far the copy has come.
        self.reopen()?;
        let tail = self.place.tail()?;
        if let Some(torn) = &tail.torn {
            // The record is whole in the record file.
            self.place.cut(torn)?;
            self.reopen()?;
        }
        let current = Arc::clone(&self.current);
        let Some(last) = tail.last else {
            self.source = current;
            self.offset = 0;
            return self.copy_rest();
        };
        let before = File::open(self.records.generation(1)).ok().map(Arc::new);
        let mut files = Vec::new();
        for file in before.into_iter().chain([current]) {
            files.push((find(&file, &last)?, file));
        }
        let found = files.iter().position(|(place, _)| place.is_some()).unwrap_or_default();
        for (place, file) in files.into_iter().skip(found) {
            self.source = file;
            self.offset = place.unwrap_or_default();
            self.copy_rest()?;
        }
        Ok(())
    }

    fn copy_rest(&mut self) -> Result<(), Errno> {
        if !self.copy.as_ref().is_some_and(|copy| self.place.names(&copy.file())) {
            self.reopen()?;
        }
        let Some(mut copy) = self.copy.take() else { return Err(Errno::EBADF) };
        let mut written = 0;
        let result = self.each_line(&mut |line| {
            if is_matched(line) {
                copy.append(line)?;
                written += 1;
            }
            Ok(())
        });
        self.written += written;
        self.copy = Some(copy);
        result
    }

    /// Calls `each` with every whole line that was not read so far; stays before the first one that fails.
    fn each_line(&mut self, each: &mut dyn FnMut(&[u8]) -> Result<(), Errno>) -> Result<(), Errno> {
        let size = self.source.metadata().map_err(|error| errno(&error))?.len();
        if size < self.offset {
            // Somebody cut the file, as `copytruncate` does.
            self.offset = 0;
        }
        let mut lines = Lines::new(&self.source, self.offset);
        while let Some(line) = lines.next()? {
            each(line)?;
            self.offset = self.offset.saturating_add(u64::try_from(line.len()).unwrap_or_default());
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Errno> {
        self.copy = None;
        self.copy = Some(Appender::new(self.place.open()?));
        Ok(())
    }

    fn rotate(&mut self) {
        if self.copy.as_ref().is_some_and(|copy| copy.size() >= self.max_size) {
            match self.place.rotate() {
                Ok(file) => self.copy = Some(Appender::new(file)),
                Err(errno) => self.error = Some(errno),
            }
        }
    }
}

/// Where the line after this record begins.
fn find(file: &File, record: &Head) -> Result<Option<u64>, Errno> {
    let mut lines = Lines::new(file, 0);
    let mut offset = 0_u64;
    while let Some(line) = lines.next()? {
        offset = offset.saturating_add(u64::try_from(line.len()).unwrap_or_default());
        let is_it = |head: Head| head.boot == record.boot && head.sequence == record.sequence;
        if is_matched(line) && Head::parse(line).is_some_and(is_it) {
            return Ok(Some(offset));
        }
    }
    Ok(None)
}
