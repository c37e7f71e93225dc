//! What EQL's text says, before names and types are checked.

use std::ops::Range;

/// A piece of a condition and the bytes it stands on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Syntax {
    pub(crate) range: Range<usize>,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// Two or more, joined by `and`.
    And(Vec<Syntax>),
    /// Two or more, joined by `or`.
    Or(Vec<Syntax>),
    Not(Box<Syntax>),
    /// `a == b` and the like.
    Compare(Order, Box<Syntax>, Box<Syntax>),
    /// `a like ("x", "y")` and the like.
    Member {
        operator: Member,
        fold: bool,
        negated: bool,
        left: Box<Syntax>,
        list: Vec<Syntax>,
    },
    Call {
        name: String,
        fold: bool,
        arguments: Vec<Syntax>,
    },
    Field {
        name: String,
        optional: bool,
    },
    Text(String),
    Integer(i64),
    Decimal(f64),
    Boolean(bool),
    Null,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// How a value is compared with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// `in`: equal to one of them.
    In,
    /// `like` and `:`: matches one of them, with `*` and `?`.
    Like,
    /// `regex`: matches one of them as a whole.
    Regex,
}

impl Member {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Like => "like",
            Self::Regex => "regex",
        }
    }
}

impl Order {
    /// The same comparison with its sides changed over.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::NotEqual => Self::NotEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }

    /// What it says of two values that compare like this.
    pub(crate) fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}
