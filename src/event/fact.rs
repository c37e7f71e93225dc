//! What is known of a value: the value itself, that there is none, that it cannot be known, or that nobody looked.
//!
//! *Unknown is not absent.* A process without a parent has no parent; a process that vanished while we looked has
//! one that we do not know. Rules treat the two differently, so the type does.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// One value about an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fact<T> {
    /// The value.
    Known(T),
    /// There is surely none.
    Absent,
    /// There may be one, and it could not be found out.
    Unknown(Cause),
    /// Nobody has looked yet.
    #[default]
    Unread,
}

/// Why a value could not be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The task ended while we looked.
    Gone,
    /// The task is not in our pid namespace: the kernel gives it no number.
    OutsideNamespace,
    /// The kernel refused (EPERM, EACCES).
    Refused,
    /// This kernel cannot tell.
    Unsupported,
    /// It was not there in time.
    Late,
    /// It is longer than we read.
    TooLong,
    /// It changed while we looked, or contradicts itself.
    Unsteady,
    /// The system call failed with this errno.
    Failed(i32),
}

/// Which facts to fetch: each costs system calls of its own, so each is fetched only when a rule or the record asks.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Groups(u16);

impl<T> Fact<T> {
    /// The value, where it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown(_) | Self::Unread => None,
        }
    }

    /// The value, where it is known, to be changed.
    pub fn known_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown(_) | Self::Unread => None,
        }
    }

    /// The same knowledge about a reference.
    pub fn as_ref(&self) -> Fact<&T> {
        match self {
            Self::Known(value) => Fact::Known(value),
            Self::Absent => Fact::Absent,
            Self::Unknown(cause) => Fact::Unknown(*cause),
            Self::Unread => Fact::Unread,
        }
    }

    /// The same knowledge about something made from the value.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Known(value) => Fact::Known(make(value)),
            Self::Absent => Fact::Absent,
            Self::Unknown(cause) => Fact::Unknown(cause),
            Self::Unread => Fact::Unread,
        }
    }

    /// True where somebody looked and could not find out.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    /// True where nobody has looked.
    pub fn is_unread(&self) -> bool {
        matches!(self, Self::Unread)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the task has ended"),
            Self::OutsideNamespace => f.write_str("the task is outside our pid namespace"),
            Self::Refused => f.write_str("the kernel refused"),
            Self::Unsupported => f.write_str("this kernel cannot tell"),
            Self::Late => f.write_str("it was not there in time"),
            Self::TooLong => f.write_str("it is too long"),
            Self::Unsteady => f.write_str("it changed while we looked"),
            Self::Failed(errno) => write!(f, "errno {errno}"),
        }
    }
}

impl Groups {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// no_new_privs, capability sets, and whether the file carries capabilities: `Subject::privileges`,
    /// `Object::capabilities`, and from them `Subject::gains_privilege`.
    pub const PRIVILEGES: Self = Self(1);
    /// `Subject::previous`, the calling image.
    pub const PREVIOUS: Self = Self(1 << 1);
    /// `Subject::parent`.
    pub const PARENT: Self = Self(1 << 2);
    /// `Subject::arguments`: argv, environment and name as typed. Reads another process's memory, which can block.
    pub const ARGUMENTS: Self = Self(1 << 3);
    /// `Subject::login` and `Subject::interactive`.
    pub const LOGIN: Self = Self(1 << 4);
    /// `Subject::cgroup` and `Subject::container`.
    pub const CGROUP: Self = Self(1 << 5);
    /// `Subject::directory`.
    pub const DIRECTORY: Self = Self(1 << 6);
    /// `Object::sha256`.
    pub const HASH: Self = Self(1 << 7);
    /// `Subject::{group,session,entry}_leader`.
    pub const LEADERS: Self = Self(1 << 8);
    /// `Subject::namespaces`.
    pub const NAMESPACES: Self = Self(1 << 9);
    /// Command lines of other processes (`args` of previous, parent and leaders): read from their memory, can block.
    pub const COMMAND_LINES: Self = Self(1 << 10);
    /// `Subject::gains_privilege` and `Object::capabilities` alone, which mostly cost less than PRIVILEGES.
    pub const GAIN: Self = Self(1 << 11);
    /// Everything.
    pub const ALL: Self = Self((1 << 12) - 1);
    /// What reads another process's memory, and so is never done by the thread that reads events.
    pub const MAY_BLOCK: Self = Self(Self::ARGUMENTS.0 | Self::COMMAND_LINES.0 | Self::HASH.0);

    /// Both; for constants, where `|` cannot be used.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The groups that are in both.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// True where every group of `other` is in `self`.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// True where some group of `other` is in `self`.
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The groups of `self` that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// True where there is no group.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Groups {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Groups {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Groups({:#06x})", self.0)
    }
}
