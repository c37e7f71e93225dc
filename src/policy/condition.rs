//! A condition whose names and types have been checked: what [`crate::decide`] evaluates.
//!
//! Only the checker makes one, so that evaluation need not doubt it.

use super::function::Function;
use super::pattern::Patterns;
use super::syntax::Order;
use crate::event::{Field, Groups};
use std::ops::Range;

/// A checked condition.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The text it was made from.
    pub(crate) text: Box<str>,
    pub(crate) root: Node,
    /// Every field it reads, once each.
    pub(crate) fields: Box<[Field]>,
}

/// A part of a condition.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where it stands in [`Condition::text`].
    pub(crate) range: Range<usize>,
    pub(crate) test: Test,
}

#[derive(Clone, Debug)]
pub(crate) enum Test {
    And(Box<[Node]>),
    Or(Box<[Node]>),
    Not(Box<Node>),
    /// `true` or `false`.
    Constant(bool),
    /// A comparison with a null: neither it nor its negation holds.
    Null,
    /// The field has a value.
    Exists(Field),
    /// Some text of the field matches.
    Text(Field, Patterns),
    /// Some text of the field compares so with this one, byte by byte.
    Order(Field, Order, Box<[u8]>),
    /// The number compares so with one of these.
    Number(Field, Order, Box<[Number]>),
    /// The truth value is this.
    Bool(Field, bool),
    /// What comes of functions.
    Computed(Box<Computed>),
}

/// A predicate on what an expression gives. A null makes it neither true nor false.
#[derive(Clone, Debug)]
pub(crate) struct Computed {
    pub(crate) expression: Expression,
    /// The fields in it, once each; at most [`super::limits::FIELDS_OF_A_CALL`].
    pub(crate) fields: Box<[Field]>,
    pub(crate) wanted: Wanted,
}

/// What is asked of an expression's value.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// It is there.
    Exists,
    Bool(bool),
    Number(Order, Box<[Number]>),
    Order(Order, Box<[u8]>),
    Text(Patterns),
}

/// An expression whose types have been checked.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Field(Field),
    Text(Box<[u8]>),
    Number(Number),
    Boolean(bool),
    Null,
    Call { function: Function, fold: bool, arguments: Box<[Expression]> },
}

/// A number in a condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Integer(i64),
    Decimal(f64),
}

impl Condition {
    /// The text it was made from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every field it reads, once each.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// All facts that it may ask for.
    #[must_use]
    pub fn groups(&self) -> Groups {
        self.fields.iter().fold(Groups::NONE, |groups, field| groups | field.groups())
    }
}

impl Number {
    /// How this number compares with `other`; `None` where one is no number at all.
    pub(crate) fn compare(self, other: Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(&b)),
            (a, b) => a.decimal().partial_cmp(&b.decimal()),
        }
    }

    pub(crate) fn decimal(self) -> f64 {
        match self {
            #[expect(
                clippy::cast_precision_loss,
                reason = "EQL compares a whole with a decimal number as decimals"
            )]
            Self::Integer(number) => number as f64,
            Self::Decimal(number) => number,
        }
    }
}
