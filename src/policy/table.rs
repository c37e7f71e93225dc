//! Reading a TOML table key by key so that every mistake in it is told, each with its place.
//!
//! A deserializer stops at the first mistake; an operator wants all of them.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a value of another type than the key's is a mistake, whatever it is"
)]

use super::nearest::did_you_mean;
use super::problem::Problem;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

/// A text with the file that it stands in, and what is wrong with it so far.
pub(crate) struct Reader<'a> {
    pub(crate) file: Option<&'a Path>,
    pub(crate) text: &'a str,
    pub(crate) problems: Vec<Problem>,
}

/// One table, and which of its keys were asked for.
pub(crate) struct Table<'t, 'i> {
    table: &'t DeTable<'i>,
    range: Range<usize>,
    known: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: Option<&'a Path>, text: &'a str) -> Self {
        Self { file, text, problems: Vec::new() }
    }

    /// The document, or nothing where it is not TOML.
    pub(crate) fn document(&mut self) -> Option<DeTable<'a>> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            self.wrong(error.span().unwrap_or(0..0), error.message().trim_end());
        }
        errors.is_empty().then(|| document.into_inner())
    }

    pub(crate) fn wrong(&mut self, range: Range<usize>, message: impl Into<String>) {
        self.problems.push(Problem::at(self.file, self.text, range, message));
    }

    pub(crate) fn wrong_with_help(
        &mut self,
        range: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems.push(Problem::at(self.file, self.text, range, message).help(help));
    }

    /// The line of a byte, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }

    fn wrong_type<T>(&mut self, key: &str, wanted: &str, found: &Spanned<DeValue<'_>>) -> Option<T> {
        let kind = found.get_ref().type_str();
        self.wrong(found.span(), format!("`{key}` is {} {kind}; expected {wanted}", article(kind)));
        None
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

impl<'t, 'i> Table<'t, 'i> {
    pub(crate) fn new(table: &'t DeTable<'i>, range: Range<usize>) -> Self {
        Self { table, range, known: Vec::new() }
    }

    /// Where the table stands.
    pub(crate) fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.known.push(key);
        self.table.get(key)
    }

    pub(crate) fn text(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
    ) -> Option<(&'t str, Range<usize>)> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some((text, value.span())),
            _ => reader.wrong_type(key, "a string", value),
        }
    }

    pub(crate) fn string(&mut self, key: &'static str, reader: &mut Reader<'_>) -> Option<String> {
        self.text(key, reader).map(|(text, _)| text.to_owned())
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        reader: &mut Reader<'_>,
    ) -> Option<T> {
        let (given, range) = self.text(key, reader)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == given) {
            return Some(*value);
        }
        let all: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let message = format!("`{key}` is \"{given}\"; expected {}", all.join(" or "));
        match did_you_mean(given, words.iter().map(|(word, _)| *word)) {
            Some(help) => reader.wrong_with_help(range, message, help),
            None => reader.wrong(range, message),
        }
        None
    }

    pub(crate) fn boolean(&mut self, key: &'static str, reader: &mut Reader<'_>) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => reader.wrong_type(key, "true or false", value),
        }
    }

    pub(crate) fn number(
        &mut self,
        key: &'static str,
        within: std::ops::RangeInclusive<i64>,
        reader: &mut Reader<'_>,
    ) -> Option<i64> {
        let value = self.value(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => return reader.wrong_type(key, "a whole number", value),
        };
        if let Some(number) = number.filter(|number| within.contains(number)) {
            return Some(number);
        }
        reader
            .wrong(value.span(), format!("`{key}` must lie between {} and {}", within.start(), within.end()));
        None
    }

    pub(crate) fn datetime(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
    ) -> Option<(Datetime, Range<usize>)> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Datetime(when) => Some((*when, value.span())),
            _ => reader.wrong_type(key, "a date without quotes, such as 2030-12-31", value),
        }
    }

    /// A list of strings; one string alone is a list of one.
    pub(crate) fn strings(&mut self, key: &'static str, reader: &mut Reader<'_>) -> Vec<String> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let mut strings = Vec::new();
        let entries = match value.get_ref() {
            DeValue::Array(entries) => entries.iter().collect(),
            _ => vec![value],
        };
        for entry in entries {
            match entry.get_ref() {
                DeValue::String(text) => strings.push(text.to_string()),
                _ => reader.wrong_type(key, "strings", entry).unwrap_or_default(),
            }
        }
        strings
    }

    /// The tables of `[[key]]`; one table alone is a list of one.
    pub(crate) fn tables(&mut self, key: &'static str, reader: &mut Reader<'_>) -> Vec<Table<'t, 'i>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let entries = match value.get_ref() {
            DeValue::Array(entries) => entries.iter().collect(),
            _ => vec![value],
        };
        let mut tables = Vec::new();
        for entry in entries {
            match entry.get_ref() {
                DeValue::Table(table) => tables.push(Table::new(table, entry.span())),
                _ => reader.wrong_type(key, &format!("tables: [[{key}]]"), entry).unwrap_or_default(),
            }
        }
        tables
    }

    /// The table itself, for keys that are not known beforehand.
    pub(crate) fn entries(&self) -> &'t DeTable<'i> {
        self.table
    }

    pub(crate) fn missing(&self, key: &str, reader: &mut Reader<'_>) {
        reader.wrong(self.range(), format!("`{key}` is missing"));
    }

    /// Tells every key that nobody asked for.
    pub(crate) fn finish(&self, reader: &mut Reader<'_>) {
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let help = did_you_mean(name, self.known.iter().copied())
                .unwrap_or_else(|| format!("keys here are {}", self.known.join(", ")));
            reader.wrong_with_help(key.span(), format!("unknown key `{name}`"), help);
        }
    }
}
