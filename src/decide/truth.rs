//! Three-valued truth: true, false, or unknown with the reasons.

use crate::event::Doubt;

/// What a condition, or a part of one, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It may hold or not.
    Unknown(Doubt),
}

impl Truth {
    pub(crate) fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown(doubt) => Self::Unknown(doubt),
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// True where all are true; false where one is false, whatever is unknown.
pub(crate) fn all(parts: impl Iterator<Item = Truth>) -> Truth {
    let mut doubt = None;
    for part in parts {
        match part {
            Truth::True => {}
            Truth::False => return Truth::False,
            Truth::Unknown(why) => doubt = Some(doubt.unwrap_or(Doubt::NONE) | why),
        }
    }
    doubt.map_or(Truth::True, Truth::Unknown)
}

/// True where one is true, whatever is unknown; false where all are false.
pub(crate) fn any(parts: impl Iterator<Item = Truth>) -> Truth {
    all(parts.map(Truth::not)).not()
}
