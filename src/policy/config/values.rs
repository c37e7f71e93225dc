//! The values that a key can take: words, durations, sizes, paths. Each reader is a function over a TOML value that
//! says what it found and what it wanted. Used by `config`; the command line reads durations with the same words.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _, Unexpected, Visitor};
use toml::de::{Error, ValueDeserializer};

use super::{Extra, Level, OnBadPolicy, SharedFilesystem, Switch, Sync, Unseen};
use crate::event::{Effect, Mode};

/// An operator's text in a message: in quotes, and harmless on a terminal.
pub(super) fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// A syslog facility by its name in syslog(3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Facility(usize);

impl Facility {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        FACILITIES.get(self.0).map_or("authpriv", |(name, _)| name)
    }

    /// The value of the `syslog` crate.
    #[must_use]
    pub fn to_syslog(self) -> syslog::Facility {
        FACILITIES.get(self.0).map_or(syslog::Facility::LOG_AUTHPRIV, |(_, facility)| *facility)
    }

    /// The facility with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        FACILITIES.iter().position(|(known, _)| *known == name).map(Self)
    }
}

impl Default for Facility {
    /// authpriv.
    fn default() -> Self {
        Self(0)
    }
}

impl fmt::Debug for Facility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A duration such as `500ms`, `2s`, `30m`, `1h` or `1h30m`.
///
/// # Errors
/// What is wrong, as the rest of a sentence that begins with the text.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    const WANTED: &str = "is not a duration (a number and ms, s, m, h or d: \"500ms\", \"2s\", \"30m\")";
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = number(rest).ok_or(WANTED)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => return Err("needs a unit (ms, s, m, h or d)"),
            _ => return Err(WANTED),
        };
        let part = number.checked_mul(milliseconds).map(Duration::from_millis);
        sum = part.and_then(|part| sum.checked_add(part)).ok_or("is too long")?;
        rest = after;
    }
    if text.is_empty() { Err(WANTED) } else { Ok(sum) }
}

/// A size in bytes such as `64MiB`, `1GiB`, `500kB` or `4096`.
///
/// # Errors
/// What is wrong, as the rest of a sentence that begins with the text.
pub fn size(text: &str) -> Result<u64, &'static str> {
    const WANTED: &str = "is not a size (bytes, or a number and kB, KiB, MB, MiB, GB, GiB, TB, TiB)";
    let (number, unit) = number(text).ok_or(WANTED)?;
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        "TB" => 1_000_000_000_000,
        "TiB" => 1 << 40,
        _ => return Err(WANTED),
    };
    number.checked_mul(factor).ok_or("is too large")
}

/// A path that means the same from every working directory and names each thing in one way only.
pub(super) fn absolute(text: &str) -> Result<PathBuf, &'static str> {
    if text.contains('\0') {
        return Err("holds a NUL byte");
    }
    let path = Path::new(text);
    if !path.is_absolute() {
        return Err("is not an absolute path");
    }
    // Component-wise, `.` and doubled slashes vanish; a `..` behind a link does not mean what it seems to.
    if path.components().any(|component| component == Component::ParentDir) {
        return Err("must not contain `..`");
    }
    Ok(path.components().collect())
}

pub(super) fn boolean(value: ValueDeserializer<'_>) -> Result<bool, Error> {
    scalar(value, "true or false", |found| match found {
        Scalar::Boolean(on) => Some(on),
        Scalar::Text(_) | Scalar::Number(_) => None,
    })
}

pub(super) fn mode(value: ValueDeserializer<'_>) -> Result<Mode, Error> {
    word(value, r#""audit" or "prevent""#, &[("audit", Mode::Audit), ("prevent", Mode::Prevent)])
}

pub(super) fn effect(value: ValueDeserializer<'_>) -> Result<Effect, Error> {
    word(value, r#""allow" or "deny""#, &[("allow", Effect::Allow), ("deny", Effect::Deny)])
}

pub(super) fn on_bad_policy(value: ValueDeserializer<'_>) -> Result<OnBadPolicy, Error> {
    word(
        value,
        r#""fail" or "last-good""#,
        &[("fail", OnBadPolicy::Fail), ("last-good", OnBadPolicy::LastGood)],
    )
}

pub(super) fn shared_filesystem(value: ValueDeserializer<'_>) -> Result<SharedFilesystem, Error> {
    word(value, r#""skip" or "mark""#, &[("skip", SharedFilesystem::Skip), ("mark", SharedFilesystem::Mark)])
}

pub(super) fn extra(value: ValueDeserializer<'_>) -> Result<Extra, Error> {
    word(
        value,
        r#""off", "audit" or "deny""#,
        &[("off", Extra::Off), ("audit", Extra::Audit), ("deny", Extra::Deny)],
    )
}

pub(super) fn unseen(value: ValueDeserializer<'_>) -> Result<Unseen, Error> {
    word(value, r#""off" or "report""#, &[("off", Unseen::Off), ("report", Unseen::Report)])
}

pub(super) fn level(value: ValueDeserializer<'_>) -> Result<Level, Error> {
    word(value, r#""essential" or "full""#, &[("essential", Level::Essential), ("full", Level::Full)])
}

pub(super) fn redact(value: ValueDeserializer<'_>) -> Result<Vec<String>, Error> {
    let patterns: Vec<String> = Vec::deserialize(value)?;
    match patterns
        .iter()
        .find(|pattern| pattern.split(' ').any(str::is_empty) || pattern.split(' ').count() > 2)
    {
        Some(pattern) => Err(custom(pattern, "is no pattern: one word, or two with one space between them")),
        None => Ok(patterns),
    }
}

pub(super) fn sync(value: ValueDeserializer<'_>) -> Result<Sync, Error> {
    word(
        value,
        r#""none", "interval" or "each""#,
        &[("none", Sync::None), ("interval", Sync::Interval), ("each", Sync::Each)],
    )
}

pub(super) fn switch(value: ValueDeserializer<'_>) -> Result<Switch, Error> {
    scalar(value, r#""auto", true or false"#, |found| match found {
        Scalar::Text(text) => (text == "auto").then_some(Switch::Auto),
        Scalar::Boolean(on) => Some(if on { Switch::On } else { Switch::Off }),
        Scalar::Number(_) => None,
    })
}

pub(super) fn facility(value: ValueDeserializer<'_>) -> Result<Facility, Error> {
    let what = r#"a facility of syslog(3) such as "authpriv", "daemon" or "local0""#;
    scalar(value, what, |found| match found {
        Scalar::Text(name) => Facility::named(name),
        Scalar::Number(_) | Scalar::Boolean(_) => None,
    })
}

pub(super) fn answer_deadline(value: ValueDeserializer<'_>) -> Result<Duration, Error> {
    let text = text(value, "a duration such as \"2s\"")?;
    let deadline = duration(&text).map_err(|wrong| custom(&text, wrong))?;
    if (Duration::from_millis(100)..=Duration::from_mins(1)).contains(&deadline) {
        Ok(deadline)
    } else {
        Err(custom(&text, "is out of bounds, expected 100ms to 60s"))
    }
}

pub(super) fn max_size(value: ValueDeserializer<'_>) -> Result<u64, Error> {
    let text = scalar(value, r#"a size such as "64MiB""#, |found| match found {
        Scalar::Text(text) => Some(text.to_owned()),
        Scalar::Number(number) => u64::try_from(number).ok().map(|number| number.to_string()),
        Scalar::Boolean(_) => None,
    })?;
    let bytes = size(&text).map_err(|wrong| custom(&text, wrong))?;
    if ((1 << 16)..=(1 << 40)).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(custom(&text, "is out of bounds, expected 64KiB to 1TiB"))
    }
}

pub(super) fn keep(value: ValueDeserializer<'_>) -> Result<u32, Error> {
    scalar(value, "a number from 1 to 1000", |found| match found {
        Scalar::Number(number) => u32::try_from(number).ok().filter(|number| (1..=1000).contains(number)),
        Scalar::Text(_) | Scalar::Boolean(_) => None,
    })
}

pub(super) fn file_path(value: ValueDeserializer<'_>) -> Result<PathBuf, Error> {
    let text = text(value, "an absolute path")?;
    let path = absolute(&text).map_err(|wrong| custom(&text, wrong))?;
    if text.ends_with('/') || text.ends_with("/.") {
        return Err(custom(&text, "is a directory, expected a file"));
    }
    Ok(path)
}

pub(super) fn socket(value: ValueDeserializer<'_>) -> Result<PathBuf, Error> {
    let path = file_path(value)?;
    let length = path.as_os_str().len();
    // sockaddr_un holds 108 bytes, one of them the NUL at the end.
    if length > 107 {
        return Err(Error::custom(format!("a socket's path has at most 107 bytes, this one has {length}")));
    }
    Ok(path)
}

fn word<T: Copy>(value: ValueDeserializer<'_>, what: &str, words: &[(&str, T)]) -> Result<T, Error> {
    scalar(value, what, |found| match found {
        Scalar::Text(text) => words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value),
        Scalar::Number(_) | Scalar::Boolean(_) => None,
    })
}

fn text(value: ValueDeserializer<'_>, what: &str) -> Result<String, Error> {
    scalar(value, what, |found| match found {
        Scalar::Text(text) => Some(text.to_owned()),
        Scalar::Number(_) | Scalar::Boolean(_) => None,
    })
}

fn custom(text: &str, wrong: &str) -> Error {
    Error::custom(format!("{} {wrong}", quoted(text)))
}

/// The digits at the front as a number, and what follows them.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, after) = text.split_at(end);
    digits.parse().ok().map(|number| (number, after))
}

/// A value that is no list, table, date or fraction.
enum Scalar<'v> {
    Text(&'v str),
    Number(i64),
    Boolean(bool),
}

/// Takes a scalar; `None` from `read` is a mistake that says what was found and that `what` was expected.
fn scalar<T>(
    value: ValueDeserializer<'_>,
    what: &str,
    read: impl FnOnce(Scalar<'_>) -> Option<T>,
) -> Result<T, Error> {
    value.deserialize_any(Wanted { what, read })
}

/// What serde calls with what it found. All other kinds are refused by the visitor's defaults, which name them.
struct Wanted<'w, R> {
    what: &'w str,
    read: R,
}

impl<T, R: FnOnce(Scalar<'_>) -> Option<T>> Visitor<'_> for Wanted<'_, R> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        let Self { what, read } = self;
        read(Scalar::Text(text)).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &what))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        let Self { what, read } = self;
        read(Scalar::Number(number)).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &what))
    }

    fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<T, E> {
        let Self { what, read } = self;
        read(Scalar::Boolean(on)).ok_or_else(|| E::invalid_value(Unexpected::Bool(on), &what))
    }
}

/// The facilities a program may use, those of syslog(3) without the kernel's own. The first is the default.
const FACILITIES: [(&str, syslog::Facility); 19] = [
    ("authpriv", syslog::Facility::LOG_AUTHPRIV),
    ("auth", syslog::Facility::LOG_AUTH),
    ("cron", syslog::Facility::LOG_CRON),
    ("daemon", syslog::Facility::LOG_DAEMON),
    ("ftp", syslog::Facility::LOG_FTP),
    ("lpr", syslog::Facility::LOG_LPR),
    ("mail", syslog::Facility::LOG_MAIL),
    ("news", syslog::Facility::LOG_NEWS),
    ("syslog", syslog::Facility::LOG_SYSLOG),
    ("user", syslog::Facility::LOG_USER),
    ("uucp", syslog::Facility::LOG_UUCP),
    ("local0", syslog::Facility::LOG_LOCAL0),
    ("local1", syslog::Facility::LOG_LOCAL1),
    ("local2", syslog::Facility::LOG_LOCAL2),
    ("local3", syslog::Facility::LOG_LOCAL3),
    ("local4", syslog::Facility::LOG_LOCAL4),
    ("local5", syslog::Facility::LOG_LOCAL5),
    ("local6", syslog::Facility::LOG_LOCAL6),
    ("local7", syslog::Facility::LOG_LOCAL7),
];
