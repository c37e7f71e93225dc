//! What is wrong in the operator's text, and where.
//!
//! Rules, configuration and cases all report through this one type, so that every mistake reads the same:
//! `file:line:column: what was found; what was expected`, with an excerpt and a caret under it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as the operator named it; `None` for the embedded policy and for text without a file.
    pub file: Option<PathBuf>,
    /// The place, where the mistake has one.
    pub place: Option<Place>,
    /// What is wrong: one lower-case clause without a full stop.
    pub message: String,
    /// What to do about it: the nearest valid name, what was expected.
    pub help: Option<String>,
}

/// A place in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line's text, for the excerpt.
    pub excerpt: String,
    /// How many characters the caret underlines, at least 1.
    pub width: usize,
}

impl Problem {
    /// A mistake at a byte range of `text`.
    #[must_use]
    pub fn at(file: Option<&Path>, text: &str, range: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            file: file.map(Path::to_path_buf),
            place: Some(Place::of(text, range)),
            message: message.into(),
            help: None,
        }
    }

    /// A mistake without a place, such as a file that cannot be read.
    #[must_use]
    pub fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self { file: Some(file.to_path_buf()), place: None, message: message.into(), help: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Place {
    /// The place of a byte range; a range past the end is the end.
    #[must_use]
    pub fn of(text: &str, range: Range<usize>) -> Self {
        let start = floor_char(text, range.start);
        let end = floor_char(text, range.end.max(start));
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let rest = text.get(line_start..).unwrap_or_default();
        let excerpt = rest.lines().next().unwrap_or_default().to_owned();
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        let width =
            text.get(start..end).unwrap_or_default().lines().next().unwrap_or_default().chars().count();
        Self { line: before.matches('\n').count() + 1, column, excerpt, width: width.max(1) }
    }
}

fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display())?,
            None => f.write_str("(embedded)")?,
        }
        if let Some(place) = &self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(place) = &self.place {
            let gutter = place.line.to_string();
            let pad = " ".repeat(gutter.len());
            let indent: String = place
                .excerpt
                .chars()
                .take(place.column - 1)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            write!(
                f,
                "\n {pad} |\n {gutter} | {}\n {pad} | {indent}{}",
                place.excerpt,
                "^".repeat(place.width)
            )?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n   = help: {help}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Problem;
    use std::path::Path;

    #[test]
    fn a_problem_names_file_line_and_column_and_underlines_the_place() {
        let text = "a = 1\nwhen = 'x'\n";
        let problem =
            Problem::at(Some(Path::new("p.toml")), text, 6..10, "no such key").help("did you mean `then`?");
        assert_eq!(
            problem.to_string(),
            "p.toml:2:1: no such key\n   |\n 2 | when = 'x'\n   | ^^^^\n   = help: did you mean `then`?"
        );
    }

    #[test]
    fn a_range_past_the_end_or_inside_a_character_is_no_panic() {
        for range in [0..0, 3..99, 99..100, 1..2] {
            let _shown = Problem::at(None, "ä\n", range, "m").to_string();
        }
    }
}
