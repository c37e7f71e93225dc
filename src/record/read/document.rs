//! One JSON document seen through ECS field names.

use crate::event::{Cause, Fact, Texts};
use crate::record::escape;
use serde_json::Value;
use std::fmt;

/// A line that cannot be read as an attempt.
#[derive(Debug)]
pub enum Unreadable {
    /// It is not JSON, or not an object.
    NotJson(serde_json::Error),
    /// It is JSON, but no object.
    NotAnObject,
    /// It claims to be a record of ours, and this field is not as we write it.
    Malformed(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(error) => write!(f, "not JSON: {error}"),
            Self::NotAnObject => f.write_str("not a JSON object"),
            Self::Malformed(field) => write!(f, "the field `{field}` is not as records have it"),
        }
    }
}

impl std::error::Error for Unreadable {}

/// A document, and how to take what it does not hold.
pub(super) struct Document<'a> {
    root: &'a Value,
    own: bool,
    absent: Vec<&'a str>,
    unknown: Vec<(&'a str, Cause)>,
    redacted: Vec<&'a str>,
}

impl<'a> Document<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        let own = text(root, "event.module") == Some("shmguard");
        let texts = |name| list(root, name).filter_map(Value::as_str).collect();
        let unknown = list(root, "shmguard.unknown").filter_map(|entry| {
            Some((
                text(entry, "field")?,
                cause(text(entry, "cause")?, entry.get("errno").and_then(Value::as_i64)),
            ))
        });
        Self {
            root,
            own,
            absent: if own { texts("shmguard.absent") } else { Vec::new() },
            unknown: if own { unknown.collect() } else { Vec::new() },
            redacted: if own { texts("shmguard.redacted") } else { Vec::new() },
        }
    }

    /// It is a record of ours.
    pub(super) fn is_own(&self) -> bool {
        self.own
    }

    pub(super) fn has(&self, name: &str) -> bool {
        lookup(self.root, name).is_some()
    }

    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        lookup(self.root, name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        text(self.root, name)
    }

    /// Something was hidden in this list.
    pub(super) fn is_redacted(&self, name: &str) -> bool {
        self.redacted.contains(&name)
    }

    /// What the document says of a field that it does not hold. A name that says so covers every field below it, unless a
    /// longer name says something else.
    pub(super) fn missing<T>(&self, name: &str) -> Fact<T> {
        if !self.own {
            return Fact::Absent;
        }
        let covers = |noted: &str| {
            name.strip_prefix(noted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let unknown = self.unknown.iter().map(|(noted, cause)| (*noted, Some(*cause)));
        let absent = self.absent.iter().map(|noted| (*noted, None));
        let noted = unknown.chain(absent).filter(|(noted, _)| covers(noted));
        match noted.max_by_key(|(noted, _)| noted.len()) {
            Some((_, Some(cause))) => Fact::Unknown(cause),
            Some((_, None)) => Fact::Absent,
            None => Fact::Unread,
        }
    }

    /// A fact from one field.
    pub(super) fn fact<T>(
        &self,
        name: &str,
        make: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Fact<T>, Unreadable> {
        match lookup(self.root, name).map(|value| make(value).ok_or(())) {
            Some(Ok(made)) => Ok(Fact::Known(made)),
            // A foreign document may have another idea of the type; what cannot be used is not there.
            None | Some(Err(())) if !self.own => Ok(Fact::Absent),
            None => Ok(self.missing(name)),
            Some(Err(())) => Err(Unreadable::Malformed(name.to_owned())),
        }
    }

    /// Bytes.
    pub(super) fn bytes(&self, name: &str) -> Result<Fact<Vec<u8>>, Unreadable> {
        self.fact(name, |value| self.decoded(value))
    }

    pub(super) fn flag(&self, name: &str) -> Result<Fact<bool>, Unreadable> {
        self.fact(name, Value::as_bool)
    }

    pub(super) fn number<T: TryFrom<u64>>(&self, name: &str) -> Result<Fact<T>, Unreadable> {
        self.fact(name, number)
    }

    /// A list of byte strings. A single string is a list of one.
    pub(super) fn texts(&self, name: &str) -> Result<Fact<Texts>, Unreadable> {
        if self.is_redacted(name) {
            return Ok(Fact::Unknown(Cause::Refused));
        }
        self.fact(name, |value| {
            let elements = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            elements.iter().map(|element| self.decoded(element)).collect()
        })
    }

    fn decoded(&self, value: &Value) -> Option<Vec<u8>> {
        let text = value.as_str()?;
        if self.own { escape::decode(text).ok() } else { Some(text.as_bytes().to_vec()) }
    }
}

/// A number, or a keyword that is one.
pub(super) fn number<T: TryFrom<u64>>(value: &Value) -> Option<T> {
    let number = match value {
        Value::String(text) => text.parse().ok()?,
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            value.as_u64()?
        }
    };
    T::try_from(number).ok()
}

/// A hexadecimal number of sixteen digits.
pub(super) fn hexadecimal(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?, 16).ok()
}

/// Nanoseconds since the epoch of an RFC 3339 date in UTC.
pub(super) fn date(value: &Value) -> Option<i128> {
    let text = value.as_str()?.strip_suffix('Z')?;
    let (day, time) = text.split_once('T')?;
    let mut day = day.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (day.next()??, day.next()??, day.next()??);
    let mut time = time.splitn(3, ':');
    let (hour, minute, second) = (time.next()?, time.next()?, time.next()?);
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    let nanoseconds: i128 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let seconds =
        hour.parse::<i64>().ok()? * 3600 + minute.parse::<i64>().ok()? * 60 + second.parse::<i64>().ok()?;
    let in_range = (0..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    in_range.then(|| {
        (i128::from(days(year, month, day)) * 86_400 + i128::from(seconds)) * 1_000_000_000 + nanoseconds
    })
}

/// Days from 1970-01-01, in the Gregorian calendar, with years counted from March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let of_era = year.rem_euclid(400) * 365 + year.rem_euclid(400) / 4 - year.rem_euclid(400) / 100 + of_year;
    year.div_euclid(400) * 146_097 + of_era - 719_468
}

fn cause(name: &str, errno: Option<i64>) -> Cause {
    match name {
        "gone" => Cause::Gone,
        "outside_namespace" => Cause::OutsideNamespace,
        "refused" => Cause::Refused,
        "unsupported" => Cause::Unsupported,
        "late" => Cause::Late,
        "too_long" => Cause::TooLong,
        "unsteady" => Cause::Unsteady,
        _ => Cause::Failed(errno.and_then(|errno| i32::try_from(errno).ok()).unwrap_or_default()),
    }
}

fn text<'a>(root: &'a Value, name: &str) -> Option<&'a str> {
    lookup(root, name)?.as_str()
}

fn list<'a>(root: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    lookup(root, name).and_then(Value::as_array).into_iter().flatten()
}

/// A field by its dotted name, nested or not: some shippers write `"process.pid": 1`. Of a list the first element is
/// looked into; `null` is nothing.
fn lookup<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    if let Value::Array(elements) = value {
        return lookup(elements.first()?, name);
    }
    if let Some(found) = value.get(name) {
        return Some(found).filter(|found| !found.is_null());
    }
    name.match_indices('.')
        .filter_map(|(dot, _)| Some((name.get(..dot)?, name.get(dot + 1..)?)))
        .find_map(|(outer, inner)| lookup(value.get(outer)?, inner))
}
