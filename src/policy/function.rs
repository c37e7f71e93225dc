//! The functions of EQL: names, what they take and what they give. [`crate::decide`] computes them.

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Add,
    Between,
    CidrMatch,
    Concat,
    Divide,
    EndsWith,
    IndexOf,
    Length,
    Modulo,
    Multiply,
    Number,
    StartsWith,
    String,
    StringContains,
    Substring,
    Subtract,
}

/// What kind of value an expression has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Number,
    Boolean,
    /// Any of these.
    Any,
}

/// How a function is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signature {
    pub(crate) function: Function,
    pub(crate) name: &'static str,
    /// It has a form with `~` that folds case.
    pub(crate) folds: bool,
    /// The arguments that must be there.
    pub(crate) needs: &'static [Type],
    /// The arguments that may follow.
    pub(crate) may: &'static [Type],
    /// The last argument may be there any number of times.
    pub(crate) repeats: bool,
    pub(crate) gives: Type,
}

const fn row(
    function: Function,
    name: &'static str,
    folds: bool,
    needs: &'static [Type],
    may: &'static [Type],
    repeats: bool,
    gives: Type,
) -> Signature {
    Signature { function, name, folds, needs, may, repeats, gives }
}

use Type::{Any, Boolean as B, Number as N, Text as T};

/// All of them.
pub(crate) const ALL: &[Signature] = &[
    row(Function::Add, "add", false, &[N, N], &[], false, N),
    row(Function::Between, "between", true, &[T, T, T], &[B], false, T),
    row(Function::CidrMatch, "cidrMatch", false, &[T, T], &[], true, B),
    row(Function::Concat, "concat", false, &[Any], &[], true, T),
    row(Function::Divide, "divide", false, &[N, N], &[], false, N),
    row(Function::EndsWith, "endsWith", true, &[T, T], &[], true, B),
    row(Function::IndexOf, "indexOf", true, &[T, T], &[N], false, N),
    row(Function::Length, "length", false, &[T], &[], false, N),
    row(Function::Modulo, "modulo", false, &[N, N], &[], false, N),
    row(Function::Multiply, "multiply", false, &[N, N], &[], false, N),
    row(Function::Number, "number", false, &[T], &[N], false, N),
    row(Function::StartsWith, "startsWith", true, &[T, T], &[], true, B),
    row(Function::String, "string", false, &[Any], &[], false, T),
    row(Function::StringContains, "stringContains", true, &[T, T], &[], true, B),
    row(Function::Substring, "substring", false, &[T, N], &[N], false, T),
    row(Function::Subtract, "subtract", false, &[N, N], &[], false, N),
];

/// The function with this name; names have no case.
pub(crate) fn named(name: &str) -> Option<&'static Signature> {
    ALL.iter().find(|signature| signature.name.eq_ignore_ascii_case(name))
}

/// What to write instead of a function of an older EQL.
pub(crate) fn instead_of(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "wildcard" => Some("write `field like~ (\"...\", \"...\")`"),
        "match" | "matchlite" => Some("write `field regex~ (\"...\", \"...\")`"),
        "arraycontains" | "arraysearch" | "arraycount" => {
            Some("any value of a field with several values matches: compare the field itself")
        }
        _ => None,
    }
}

impl Signature {
    /// The type of the argument at `place`, if there can be one.
    pub(crate) fn argument(&self, place: usize) -> Option<Type> {
        let last = if self.repeats { self.needs.last() } else { None };
        self.needs.get(place).or_else(|| self.may.get(place - self.needs.len())).or(last).copied()
    }
}

impl Type {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Boolean => "a truth value",
            Self::Any => "a value",
        }
    }
}
