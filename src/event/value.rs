//! A field's value as a rule sees it: borrowed from the attempt, in the shape in which the attempt holds it.
//!
//! Nothing is formatted or copied to make a value; the evaluator turns a number into its digits or joins arguments
//! only where a comparison needs the text.

use super::{Device, Field, Groups, Texts};
use std::ops::{BitOr, BitOrAssign};

/// Whoever knows the facts of one attempt.
pub trait Facts {
    /// The value of one field. Asking costs nothing: what nobody has read yet is [`Value::Unknown`] and says which
    /// group to fetch.
    fn value(&self, field: Field) -> Value<'_>;
}

/// A field's value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// There is surely none: EQL's missing.
    Absent,
    /// It cannot be told.
    Unknown(Doubt),
    /// One text.
    Text(&'a [u8]),
    /// Several texts; any of them may match.
    Texts(&'a Texts),
    /// These texts and perhaps more: the rest was not read.
    AtLeast(&'a Texts),
    /// One part of each of several paths.
    Parts(&'a Texts, Part),
    /// A path of which only the directories are known, each with a trailing `/`; they are names of one directory or
    /// of several, and the path lies below at least one.
    Within(&'a Texts),
    /// One text: these, joined by single spaces.
    Joined(&'a Texts),
    /// One text: the number in decimal. Ids are keywords.
    Id(u64),
    /// One text: the number in octal with at least four digits.
    Octal(u32),
    /// One text: `major:minor`.
    Device(Device),
    /// One text: the bytes in hexadecimal.
    Hex(&'a [u8]),
    /// Several texts: `of[n]` for each bit n that is set.
    Flags(u64, &'static [&'static str]),
    /// Several texts that are the same for every attempt.
    Constants(&'static [&'static str]),
    /// A whole number.
    Number(i64),
    /// A number that is not whole; only documents of others have such.
    Decimal(f64),
    /// A truth value.
    Bool(bool),
}

/// A part of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What follows the last `/`.
    Name,
    /// What precedes the last `/`; `/` itself for what lies in the root.
    Directory,
    /// What follows the last `.` of the name; none where the name has no dot but a leading one.
    Extension,
}

/// Why a value cannot be told: one or more reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubt {
    unread: Groups,
    reasons: u8,
}

impl Doubt {
    /// No doubt.
    pub const NONE: Self = Self { unread: Groups::NONE, reasons: 0 };
    /// The arguments of the new image could not be read, or not all of them.
    pub const ARGUMENTS: Self = Self { unread: Groups::NONE, reasons: 1 };
    /// The path inside the filesystem is not known.
    pub const PATH: Self = Self { unread: Groups::NONE, reasons: 2 };
    /// Anything else: the caller or another process is gone, the kernel refused.
    pub const OTHER: Self = Self { unread: Groups::NONE, reasons: 4 };

    /// Nobody has read these groups yet.
    #[must_use]
    pub const fn unread(groups: Groups) -> Self {
        Self { unread: groups, reasons: 0 }
    }

    /// The groups that nobody has read yet.
    #[must_use]
    pub fn groups(self) -> Groups {
        self.unread
    }

    /// True where one of `other`'s reasons (not groups) is among these.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        self.reasons & other.reasons != 0
    }

    /// The doubt without `other`'s reasons.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self { unread: self.unread, reasons: self.reasons & !other.reasons }
    }
}

impl BitOr for Doubt {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self { unread: self.unread | other.unread, reasons: self.reasons | other.reasons }
    }
}

impl BitOrAssign for Doubt {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl Part {
    /// That part of `path`; `None` where it has none.
    #[must_use]
    pub fn of(self, path: &[u8]) -> Option<&[u8]> {
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let name = path.get(slash.map_or(0, |slash| slash + 1)..)?;
        match self {
            Self::Name => Some(name),
            Self::Directory => match slash? {
                0 => path.get(..1),
                slash => path.get(..slash),
            },
            Self::Extension => match name.iter().rposition(|byte| *byte == b'.')? {
                0 => None,
                dot => name.get(dot + 1..),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_paths() {
        let part = |part: Part, path: &'static str| {
            part.of(path.as_bytes()).map(|text| text.escape_ascii().to_string())
        };
        assert_eq!(part(Part::Name, "/dev/shm/a.b").as_deref(), Some("a.b"));
        assert_eq!(part(Part::Name, "a").as_deref(), Some("a"));
        assert_eq!(part(Part::Directory, "/a").as_deref(), Some("/"));
        assert_eq!(part(Part::Directory, "/dev/shm/a").as_deref(), Some("/dev/shm"));
        assert_eq!(part(Part::Directory, "a"), None);
        assert_eq!(part(Part::Extension, "/x.d/.hidden"), None);
        assert_eq!(part(Part::Extension, "/x.d/a.tar.gz").as_deref(), Some("gz"));
    }
}
