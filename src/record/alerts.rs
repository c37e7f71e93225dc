//! The second file: matched attempts once more, with a quota of its own, so that a flood of allowed attempts cannot
//! rotate the matched ones away.
//!
//! It is copied from the record file and not fed by a queue: nothing is lost to a full queue or a crash, and whoever
//! records pays nothing. Called by the keeper's thread alone.

use super::errno::errno;
use super::file::{Appender, Place};
use super::format::is_matched;
use super::lines::Lines;
use super::read::Head;
use super::settings::AlertSettings;
use nix::errno::Errno;
use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The copy in the making.
#[derive(Debug)]
pub(super) struct Alerts {
    place: Place,
    max_size: u64,
    /// `None` while it cannot be opened.
    copy: Option<Appender>,
    records: Place,
    /// The record files that are to be read, the current one last.
    sources: VecDeque<Source>,
    /// What a predecessor had no time to copy is copied.
    caught_up: bool,
    behind: bool,
    pub(super) written: u64,
    /// Matched records that were rotated away before they could be copied.
    pub(super) lost: u64,
    pub(super) error: Option<Errno>,
}

/// A record file, and up to where it was read.
#[derive(Debug)]
struct Source {
    file: Arc<File>,
    offset: u64,
}

/// For how long at a time is copied: whoever copies has the record file to rotate as well, and a flood can write faster
/// than a busy host copies.
const TURN: Duration = Duration::from_millis(200);

/// How many record files may be behind the current one before the oldest is given up: as long as they are to be read
/// their space is not free, though they were removed.
const BEHIND: usize = 4;

impl Alerts {
    /// Copies from `records`, whose current file is `current`. Nothing is opened yet.
    pub(super) fn new(records: &Place, current: Arc<File>, settings: &AlertSettings) -> Self {
        let path = records.path().parent().unwrap_or(Path::new("")).join("alerts.ndjson");
        Self {
            place: Place::new(&path, settings.keep),
            max_size: settings.max_size,
            copy: None,
            records: records.clone(),
            sources: VecDeque::from([Source { file: current, offset: 0 }]),
            caught_up: false,
            behind: false,
            written: 0,
            lost: 0,
            error: None,
        }
    }

    /// Copies what was recorded since the last call, for a moment; at first also what a predecessor had no time to copy. On
    /// an error the rest is tried again at the next call.
    pub(super) fn copy(&mut self) {
        let until = Instant::now() + TURN;
        let result = if self.caught_up { self.copy_until(until) } else { self.catch_up(until) };
        self.caught_up |= result.is_ok();
        self.behind = result == Ok(false);
        self.error = result.err();
        self.rotate();
    }

    /// Whether there was more to copy than time.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// Goes on with another record file, from this place on, when those before it are copied. What cannot be copied from
    /// them is lost, and counted.
    pub(super) fn follow(&mut self, current: Arc<File>, from: u64) {
        self.copy();
        let kept = if self.error.is_some() { 0 } else { BEHIND };
        while self.sources.len() > kept {
            let mut lost = 0;
            // Where it cannot even be read, nobody knows how many there were.
            let _read_to = self.each_line(None, &mut |line| {
                lost += u64::from(is_matched(line));
                Ok(())
            });
            self.lost += lost;
            self.sources.pop_front();
        }
        self.sources.push_back(Source { file: current, offset: from });
    }

    /// Finds the last alert's place among the records and goes on there. In the older generation as well, because a
    /// rotation may have happened just before the crash.
    fn catch_up(&mut self, until: Instant) -> Result<bool, Errno> {
        // Opening it makes it where it is missing, and its end says how far the copy has come.
        self.reopen()?;
        let tail = self.place.tail()?;
        if let Some(torn) = &tail.torn {
            // The record is whole in the record file.
            self.place.cut(torn)?;
            self.reopen()?;
        }
        let Some(Source { file: current, .. }) = self.sources.back() else { return Ok(true) };
        let current = Arc::clone(current);
        let Some(last) = tail.last else {
            self.sources = VecDeque::from([Source { file: current, offset: 0 }]);
            return self.copy_until(until);
        };
        let before = File::open(self.records.generation(1)).ok().map(Arc::new);
        let mut files = Vec::new();
        for file in before.into_iter().chain([current]) {
            files.push((find(&file, &last)?, file));
        }
        let found = files.iter().position(|(place, _)| place.is_some()).unwrap_or_default();
        let from_there = files.into_iter().skip(found);
        self.sources =
            from_there.map(|(place, file)| Source { file, offset: place.unwrap_or_default() }).collect();
        self.copy_until(until)
    }

    /// Whether all was copied.
    fn copy_until(&mut self, until: Instant) -> Result<bool, Errno> {
        if !self.copy.as_ref().is_some_and(|copy| self.place.names(&copy.file())) {
            self.reopen()?;
        }
        let Some(mut copy) = self.copy.take() else { return Err(Errno::EBADF) };
        let mut written = 0;
        let mut append = |line: &[u8]| {
            if is_matched(line) {
                copy.append(line)?;
                written += 1;
            }
            Ok(())
        };
        let result = loop {
            match self.each_line(Some(until), &mut append) {
                Ok(true) if self.sources.len() > 1 => self.sources.pop_front(),
                end => break end,
            };
        };
        self.written += written;
        self.copy = Some(copy);
        result
    }

    /// Calls `each` with the whole lines of the first source that were not read so far, until a time if there is one; stays
    /// before the first one that fails. False: there are more.
    fn each_line(
        &mut self,
        until: Option<Instant>,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Errno>,
    ) -> Result<bool, Errno> {
        let Some(source) = self.sources.front_mut() else { return Ok(true) };
        let size = source.file.metadata().map_err(|error| errno(&error))?.len();
        if size < source.offset {
            // Somebody cut the file, as `copytruncate` does.
            source.offset = 0;
        }
        let mut lines = Lines::new(&source.file, source.offset);
        let mut count = 0_u32;
        while let Some(line) = lines.next()? {
            each(line)?;
            source.offset = source.offset.saturating_add(u64::try_from(line.len()).unwrap_or_default());
            count = count.wrapping_add(1);
            // A clock is dearer than a line.
            if count.is_multiple_of(64) && until.is_some_and(|until| Instant::now() >= until) {
                return Ok(false);
            }
        }
        Ok(true)
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
