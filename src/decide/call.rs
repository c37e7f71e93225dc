//! EQL's functions, computed. A function of a null is null; characters are counted as wildcards count them.
//!
//! Texts that have to be made live in this thread's kept buffers, so that even these predicates do not allocate from
//! one decision to the next.

use super::texts::Buffer;
use crate::event::Field;
use crate::policy::condition::{Expression, Number};
use crate::policy::function::Function;
use crate::policy::network::Network;
use crate::policy::pattern::character;
use core::net::IpAddr;
use std::io::Write;
use std::ops::Range;

/// A value that an expression has.
pub(super) enum Datum<'a> {
    Null,
    Text(&'a [u8]),
    Made(Buffer),
    Number(Number),
    Bool(bool),
}

/// The values of the fields in an expression, one of each.
#[derive(Clone, Copy)]
pub(super) struct Bound<'a> {
    pub(super) field: Field,
    pub(super) datum: &'a Datum<'a>,
    pub(super) next: Option<&'a Bound<'a>>,
}

impl Datum<'_> {
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text),
            Self::Made(buffer) => Some(&buffer.0),
            Self::Null | Self::Number(_) | Self::Bool(_) => None,
        }
    }

    pub(super) fn number(&self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Null | Self::Text(_) | Self::Made(_) | Self::Bool(_) => None,
        }
    }

    fn whole(&self) -> Option<i64> {
        match self.number()? {
            Number::Integer(number) => Some(number),
            Number::Decimal(_) => None,
        }
    }

    pub(super) fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Null | Self::Text(_) | Self::Made(_) | Self::Number(_) => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// What `expression` gives for these values of its fields.
pub(super) fn compute<'a>(expression: &'a Expression, bound: Option<&'a Bound<'a>>) -> Datum<'a> {
    match expression {
        Expression::Null => Datum::Null,
        Expression::Text(text) => Datum::Text(text),
        Expression::Number(number) => Datum::Number(*number),
        Expression::Boolean(value) => Datum::Bool(*value),
        Expression::Field(field) => value_of(*field, bound),
        Expression::Call { function, fold, arguments } => {
            call(*function, *fold, arguments, bound).unwrap_or(Datum::Null)
        }
    }
}

fn value_of<'a>(field: Field, bound: Option<&'a Bound<'a>>) -> Datum<'a> {
    let mut next = bound;
    while let Some(bound) = next {
        if bound.field == field {
            return match bound.datum {
                Datum::Null => Datum::Null,
                Datum::Text(text) => Datum::Text(text),
                Datum::Made(buffer) => Datum::Text(&buffer.0),
                Datum::Number(number) => Datum::Number(*number),
                Datum::Bool(value) => Datum::Bool(*value),
            };
        }
        next = bound.next;
    }
    Datum::Null
}

fn call<'a>(
    function: Function,
    fold: bool,
    arguments: &'a [Expression],
    bound: Option<&'a Bound<'a>>,
) -> Option<Datum<'a>> {
    // Every argument that is a constant can be null only where the rule says so.
    let at = |place: usize| arguments.get(place).map(|argument| compute(argument, bound));
    let number = |make: fn(Number, Number) -> Option<Number>| {
        make(at(0)?.number()?, at(1)?.number()?).map(Datum::Number)
    };
    match function {
        Function::Add => number(|a, b| arithmetic(a, b, i64::checked_add, |a, b| a + b)),
        Function::Subtract => number(|a, b| arithmetic(a, b, i64::checked_sub, |a, b| a - b)),
        Function::Multiply => number(|a, b| arithmetic(a, b, i64::checked_mul, |a, b| a * b)),
        Function::Divide => number(|a, b| arithmetic(a, b, i64::checked_div, |a, b| a / b)),
        Function::Modulo => number(|a, b| arithmetic(a, b, i64::checked_rem, |a, b| a % b)),
        Function::Length => Some(Datum::Number(Number::Integer(
            i64::try_from(characters(at(0)?.text()?)).unwrap_or(i64::MAX),
        ))),
        Function::StartsWith => {
            any_of(|text, wanted| text.starts_with(wanted), fold, &at(0)?, arguments, bound)
        }
        Function::EndsWith => any_of(|text, wanted| text.ends_with(wanted), fold, &at(0)?, arguments, bound),
        Function::StringContains => {
            any_of(|text, wanted| find(text, wanted).is_some(), fold, &at(0)?, arguments, bound)
        }
        Function::IndexOf => index_of(fold, &at(0)?, &at(1)?, at(2)),
        Function::Substring => substring(at(0)?, &at(1)?, at(2)),
        Function::Between => between(fold, at(0)?, &at(1)?, &at(2)?, at(3)),
        Function::Concat => concat(arguments, bound),
        Function::String => {
            let mut buffer = Buffer::take();
            write_datum(&mut buffer, &at(0)?)?;
            Some(Datum::Made(buffer))
        }
        Function::Number => to_number(&at(0)?, at(1)),
        Function::CidrMatch => cidr_match(&at(0)?, arguments),
    }
}

fn arithmetic(
    a: Number,
    b: Number,
    whole: fn(i64, i64) -> Option<i64>,
    decimal: fn(f64, f64) -> f64,
) -> Option<Number> {
    if let (Number::Integer(a), Number::Integer(b)) = (a, b) {
        return whole(a, b).map(Number::Integer);
    }
    let result = decimal(a.decimal(), b.decimal());
    result.is_finite().then_some(Number::Decimal(result))
}

/// The text, in lower case where wanted.
fn folded<'a>(text: &'a [u8], fold: bool, buffer: &'a mut Buffer) -> &'a [u8] {
    if !fold {
        return text;
    }
    buffer.0.extend_from_slice(text);
    buffer.0.make_ascii_lowercase();
    &buffer.0
}

/// True where one of the texts after the first is found in it, at the place that the function is about.
fn any_of<'a>(
    is_there: fn(&[u8], &[u8]) -> bool,
    fold: bool,
    source: &Datum<'_>,
    arguments: &'a [Expression],
    bound: Option<&'a Bound<'a>>,
) -> Option<Datum<'a>> {
    let mut buffer = Buffer::take();
    let source = folded(source.text()?, fold, &mut buffer);
    let mut found = false;
    for argument in arguments.iter().skip(1) {
        let wanted = compute(argument, bound);
        let mut buffer = Buffer::take();
        let wanted = folded(wanted.text()?, fold, &mut buffer);
        found |= is_there(source, wanted);
    }
    Some(Datum::Bool(found))
}

/// The character at which the text is found first, at or after `from`.
fn index_of<'a>(
    fold: bool,
    source: &Datum<'_>,
    wanted: &Datum<'_>,
    from: Option<Datum<'_>>,
) -> Option<Datum<'a>> {
    let (mut one, mut two) = (Buffer::take(), Buffer::take());
    let source = folded(source.text()?, fold, &mut one);
    let wanted = folded(wanted.text()?, fold, &mut two);
    let from = match from {
        Some(from) => usize::try_from(from.whole()?.max(0)).ok()?,
        None => 0,
    };
    let start = offset(source, from);
    let at = start + find(source.get(start..)?, wanted)?;
    let index = characters(source.get(..at)?);
    Some(Datum::Number(Number::Integer(i64::try_from(index).ok()?)))
}

/// Characters `from` to before `to`; negative ones count from the end.
fn substring<'a>(source: Datum<'a>, from: &Datum<'_>, to: Option<Datum<'_>>) -> Option<Datum<'a>> {
    let range = {
        let text = source.text()?;
        let length = i64::try_from(characters(text)).ok()?;
        let place = |place: i64| {
            usize::try_from(if place < 0 { place.saturating_add(length).max(0) } else { place.min(length) })
        };
        let from = place(from.whole()?).ok()?;
        let to = match to {
            Some(to) => place(to.whole()?).ok()?,
            None => usize::try_from(length).ok()?,
        };
        let start = offset(text, from);
        start..offset(text, to).max(start)
    };
    slice(source, range)
}

/// What stands between the first `left` and the next `right` (the last one where greedy); empty where there is none.
fn between<'a>(
    fold: bool,
    source: Datum<'a>,
    left: &Datum<'_>,
    right: &Datum<'_>,
    greedy: Option<Datum<'_>>,
) -> Option<Datum<'a>> {
    let greedy = match greedy {
        Some(greedy) => greedy.truth()?,
        None => false,
    };
    let range = {
        let (mut one, mut two, mut three) = (Buffer::take(), Buffer::take(), Buffer::take());
        let text = folded(source.text()?, fold, &mut one);
        let left = folded(left.text()?, fold, &mut two);
        let right = folded(right.text()?, fold, &mut three);
        // As Elasticsearch has it: with nothing to look for, the text itself.
        if text.is_empty() || left.is_empty() || right.is_empty() {
            0..text.len()
        } else {
            inner(text, left, right, greedy).unwrap_or(0..0)
        }
    };
    slice(source, range)
}

fn inner(text: &[u8], left: &[u8], right: &[u8], greedy: bool) -> Option<Range<usize>> {
    let start = find(text, left)? + left.len();
    let rest = text.get(start..)?;
    let end = if greedy { memchr::memmem::rfind(rest, right)? } else { find(rest, right)? };
    Some(start..start + end)
}

/// A part of a text, without copying one that is borrowed.
fn slice(source: Datum<'_>, range: Range<usize>) -> Option<Datum<'_>> {
    match source {
        Datum::Text(text) => text.get(range).map(Datum::Text),
        Datum::Made(mut buffer) => {
            buffer.0.truncate(range.end);
            buffer.0.drain(..range.start.min(range.end));
            Some(Datum::Made(buffer))
        }
        Datum::Null | Datum::Number(_) | Datum::Bool(_) => None,
    }
}

fn concat<'a>(arguments: &'a [Expression], bound: Option<&'a Bound<'a>>) -> Option<Datum<'a>> {
    let mut buffer = Buffer::take();
    for argument in arguments {
        write_datum(&mut buffer, &compute(argument, bound))?;
    }
    Some(Datum::Made(buffer))
}

/// Appends a value as text; `None` for a null.
fn write_datum(buffer: &mut Buffer, datum: &Datum<'_>) -> Option<()> {
    match datum {
        Datum::Null => return None,
        Datum::Text(text) => buffer.0.extend_from_slice(text),
        Datum::Made(made) => buffer.0.extend_from_slice(&made.0),
        Datum::Number(Number::Integer(number)) => write!(buffer.0, "{number}").ok()?,
        // Java writes a whole decimal with one place behind the point.
        Datum::Number(Number::Decimal(number)) => write!(buffer.0, "{number:?}").ok()?,
        Datum::Bool(value) => write!(buffer.0, "{value}").ok()?,
    }
    Some(())
}

/// The number that a text says; with a base, or with `0x` in front, a whole one.
fn to_number<'a>(source: &Datum<'_>, base: Option<Datum<'_>>) -> Option<Datum<'a>> {
    let text = std::str::from_utf8(source.text()?).ok()?;
    let base = match base {
        Some(base) => Some(u32::try_from(base.whole()?).ok().filter(|base| (2..=36).contains(base))?),
        None => None,
    };
    let hexadecimal = text.strip_prefix("0x").filter(|_| base.is_none() || base == Some(16));
    let number = match (hexadecimal, base) {
        (Some(digits), _) => Number::Integer(i64::from_str_radix(digits, 16).ok()?),
        (None, Some(base)) => Number::Integer(i64::from_str_radix(text, base).ok()?),
        (None, None) => match text.parse() {
            Ok(number) => Number::Integer(number),
            Err(_) => Number::Decimal(text.parse().ok().filter(|number: &f64| number.is_finite())?),
        },
    };
    Some(Datum::Number(number))
}

/// True where the address lies in one of the networks, which were checked when the rule was.
fn cidr_match<'a>(source: &Datum<'_>, arguments: &[Expression]) -> Option<Datum<'a>> {
    let address: IpAddr = std::str::from_utf8(source.text()?).ok()?.parse().ok()?;
    let within = arguments.iter().skip(1).any(|argument| {
        let Expression::Text(text) = argument else { return false };
        let network = std::str::from_utf8(text).ok().and_then(Network::parse);
        network.is_some_and(|network| network.contains(address))
    });
    Some(Datum::Bool(within))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}

fn characters(text: &[u8]) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    let mut rest = text;
    let mut count = 0;
    while let Some(length) = character(rest) {
        rest = rest.get(length..).unwrap_or_default();
        count += 1;
    }
    count
}

/// The byte at which character number `index` begins; the end where there are fewer.
fn offset(text: &[u8], index: usize) -> usize {
    let mut at = 0;
    for _ in 0..index {
        match text.get(at..).and_then(character) {
            Some(length) => at += length,
            None => break,
        }
    }
    at
}
