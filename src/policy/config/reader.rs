//! Walks a parsed TOML table by name, and collects every mistake instead of stopping at the first.
//!
//! Values are taken through serde; tables are walked by hand, because a derived structure would report one mistake
//! a run. Used by `config` alone.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error, ValueDeserializer};

use super::values::{self, quoted};
use super::{KEYS, Problem};

/// The text that is read, for excerpts.
#[derive(Clone, Copy)]
pub(super) struct Source<'s> {
    pub(super) file: Option<&'s Path>,
    pub(super) text: &'s str,
}

/// One table of the text. Keys are taken out of it as they are read; what is left over is unknown.
pub(super) struct Section<'s, 'p> {
    source: Source<'s>,
    /// "" for the top, else "log.file".
    name: &'static str,
    place: Range<usize>,
    table: DeTable<'s>,
    problems: &'p mut Vec<Problem>,
}

impl Source<'_> {
    pub(super) fn problem(self, place: Option<Range<usize>>, message: String) -> Problem {
        match place {
            Some(range) => Problem::at(self.file, self.text, range, message),
            None => Problem { file: self.file.map(Path::to_path_buf), place: None, message, help: None },
        }
    }
}

impl<'s, 'p> Section<'s, 'p> {
    pub(super) fn new(
        source: Source<'s>,
        name: &'static str,
        place: Range<usize>,
        table: DeTable<'s>,
        problems: &'p mut Vec<Problem>,
    ) -> Self {
        Self { source, name, place, table, problems }
    }

    /// Lets `read` take the keys it knows, then complains about the others.
    pub(super) fn read(mut self, read: impl FnOnce(&mut Self)) {
        read(&mut self);
        let left: Vec<_> = self.table.keys().map(|key| (key.span(), key.get_ref().to_string())).collect();
        for (place, key) in left {
            let problem = self.source.problem(Some(place), format!("unknown key `{key}`{}", self.inside()));
            self.problems.push(match suggestion(self.name, &key) {
                Some(help) => problem.help(help),
                None => problem,
            });
        }
    }

    /// Reads `key` into `target`, which keeps its default where the key is absent or wrong. The place of the value,
    /// where there is one.
    pub(super) fn set<T>(
        &mut self,
        key: &'static str,
        target: &mut T,
        read: impl FnOnce(ValueDeserializer<'s>) -> Result<T, Error>,
    ) -> Option<Range<usize>> {
        let value = self.table.remove(key)?;
        let place = value.span();
        match read(ValueDeserializer::from(value)) {
            Ok(value) => *target = value,
            Err(error) => {
                let at = error.span().unwrap_or(place.clone());
                self.complain(Some(at), format!("`{key}`: {}", clause(error.message())), None);
            }
        }
        Some(place)
    }

    /// Reads a list of absolute paths, each of which may stand there once. As [`Section::set`].
    pub(super) fn paths(&mut self, key: &'static str, target: &mut Vec<PathBuf>) -> Option<Range<usize>> {
        let mut texts: Option<Vec<Spanned<String>>> = None;
        let place = self.set(key, &mut texts, |value| Vec::deserialize(value).map(Some))?;
        let Some(texts) = texts else { return Some(place) };
        target.clear();
        for text in texts {
            match values::absolute(text.get_ref()) {
                Ok(path) if target.contains(&path) => {
                    self.complain(Some(text.span()), format!("`{key}` names {} twice", path.display()), None);
                }
                Ok(path) => target.push(path),
                Err(wrong) => {
                    self.complain(
                        Some(text.span()),
                        format!("`{key}`: {} {wrong}", quoted(text.get_ref())),
                        None,
                    );
                    // Kept, so that the list does not seem to be empty as well.
                    target.push(PathBuf::from(text.into_inner()));
                }
            }
        }
        Some(place)
    }

    /// Reads the table `key`, where it is there.
    pub(super) fn table(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'s, '_>)) {
        let Some(value) = self.table.remove(key) else { return };
        let place = value.span();
        match value.into_inner() {
            DeValue::Table(table) => {
                Section::new(self.source, full_name(self.name, key), place, table, self.problems).read(read);
            }
            other @ (DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)) => {
                let kind = other.type_str();
                let name = full_name(self.name, key);
                self.complain(
                    Some(place),
                    format!("`{key}`: found {kind}, expected a table"),
                    Some(&format!("write [{name}]")),
                );
            }
        }
    }

    /// Adds a mistake at `place`, or at the section where there is none.
    pub(super) fn complain(&mut self, place: Option<Range<usize>>, message: String, help: Option<&str>) {
        let problem = self.source.problem(Some(place.unwrap_or(self.place.clone())), message);
        self.problems.push(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }

    fn inside(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!(" in [{}]", self.name) }
    }
}

/// The first line of a foreign message, without a full stop.
pub(super) fn clause(message: &str) -> String {
    message.lines().next().unwrap_or("cannot be read").trim_end_matches('.').to_owned()
}

/// The section's name in [`KEYS`]; every table that is read stands there.
fn full_name(section: &str, key: &'static str) -> &'static str {
    let full = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
    KEYS.iter().map(|(name, _)| *name).find(|name| *name == full).unwrap_or(key)
}

/// What the operator may have meant by `key` in `section`.
fn suggestion(section: &str, key: &str) -> Option<String> {
    let own = KEYS.iter().find(|(name, _)| *name == section).map(|(_, keys)| *keys)?;
    if let Some(near) = nearest(key, own) {
        return Some(format!("did you mean `{near}`?"));
    }
    let elsewhere = KEYS.iter().find(|(_, keys)| keys.contains(&key)).map(|(name, _)| *name);
    Some(match elsewhere {
        // TOML: a key below a [section] line belongs to that section.
        Some("") => format!("`{key}` belongs above the first [section]"),
        Some(name) => format!("`{key}` belongs in [{name}]"),
        None => format!("valid here: {}", own.join(", ")),
    })
}

/// The candidate that is fewest edits away, if that is few enough to be a slip.
fn nearest<'k>(word: &str, candidates: &[&'k str]) -> Option<&'k str> {
    // The distance is quadratic, and the operator's key may be as long as the file.
    if word.len() > 64 {
        return None;
    }
    candidates
        .iter()
        .map(|candidate| (edits(word, candidate), *candidate))
        .filter(|(edits, candidate)| *edits <= candidate.len().div_ceil(3))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, with `-` and `_` alike and case folded.
fn edits(left: &str, right: &str) -> usize {
    let fold = |c: char| if c == '-' { '_' } else { c.to_ascii_lowercase() };
    let right: Vec<char> = right.chars().map(fold).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.chars().map(fold).enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(index + 1);
        for (pair, to) in row.windows(2).zip(&right) {
            let &[diagonal, above] = pair else { continue };
            let before = next.last().copied().unwrap_or_default();
            next.push((diagonal + usize::from(from != *to)).min(above + 1).min(before + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
