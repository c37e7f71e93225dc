//! How values read on a terminal: spans of time, moments, tables, colours. Knows nothing of what they mean.

use std::io::{ErrorKind, IsTerminal, Write};

use super::exit;

/// Writes `text` to the command's output; the exit status where that fails.
pub(super) fn print(out: &mut dyn Write, text: &str) -> Result<(), u8> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `shmguard status | head -1` is not a failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(exit::IO),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Colours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Escape sequences.
    Colour,
    /// Text alone.
    Plain,
}

/// What a colour says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// To be known.
    Warning,
    /// Broken.
    Bad,
    /// A heading.
    Heading,
    /// Beside the point.
    Faint,
}

impl Style {
    /// Colour where standard output is a terminal and NO_COLOR is not set (no-color.org: set and not empty).
    pub(super) fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if std::io::stdout().is_terminal() && !unwanted && !dumb { Self::Colour } else { Self::Plain }
    }

    /// `text` in the tone.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        if self == Self::Plain {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "1;32",
            Tone::Warning => "1;33",
            Tone::Bad => "1;31",
            Tone::Heading => "1",
            Tone::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// `text` without anything that could move a terminal or pretend to be another line.
pub(super) fn plain(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut plain, c| {
        if is_harmless(c) {
            plain.push(c)
        } else {
            plain.extend(c.escape_unicode())
        }
        plain
    })
}

/// As [`plain`], but lines stay lines.
pub(super) fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// An error with what caused it, and what caused that.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Control characters move the terminal, format characters turn the direction of what follows.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A span of time in its two largest units: "3 d 4 h", "12 s".
pub(super) fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, unit) in units {
        let count = rest / size;
        rest %= size;
        if count > 0 || !parts.is_empty() {
            parts.push((count, unit));
        }
    }
    let shown: Vec<_> = parts
        .into_iter()
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if shown.is_empty() { "0 s".to_owned() } else { shown.join(" ") }
}

/// A moment in UTC: "2026-11-07 12:34:56 UTC".
pub(super) fn moment(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", time / 3600, time / 60 % 60, time % 60)
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar. Years are counted from March, so that the
/// leap day is the last of a year.
fn date(days: u64) -> (u64, u64, u64) {
    // 719468 days lie between 0000-03-01 and 1970-01-01; 146097 days are 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let first = (153 * month + 2) / 5;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day - first + 1)
}

/// Microseconds for people.
pub(super) fn microseconds(us: u64) -> String {
    match us {
        0..10_000 => format!("{us} us"),
        10_000..10_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{} s", us / 1_000_000),
    }
}

/// Rows with aligned columns, two spaces between them, each line behind `indent`. Numbers stand to the right.
pub(super) fn table(indent: &str, rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| {
                let number = !cell.is_empty() && cell.chars().all(|c| c.is_ascii_digit());
                if number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            })
            .collect();
        text.push_str(indent);
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_their_two_largest_units() {
        for (seconds, expected) in
            [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7200, "2 h"), (90_061, "1 d 1 h"), (86_401, "1 d")]
        {
            assert_eq!(span(seconds), expected);
        }
    }

    #[test]
    fn moments_are_those_of_date() {
        // date -u -d @N '+%F %T UTC'
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_709_251_200, "2024-03-01 00:00:00 UTC"),
            (1_767_225_599, "2025-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(moment(seconds), expected);
        }
    }

    #[test]
    fn no_text_can_move_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\nc\u{202e}d ä"), "a\\u{1b}[2Jb\\u{a}c\\u{202e}d ä");
        assert_eq!(plain_lines("a\nb\r"), "a\nb\\u{d}");
    }

    #[test]
    fn columns_are_aligned_and_numbers_stand_to_the_right() {
        let rows =
            [vec!["a".to_owned(), "5".to_owned()], vec!["bcd".to_owned(), "10".to_owned(), "x".to_owned()]];
        assert_eq!(table("  ", &rows), "  a     5\n  bcd  10  x\n");
    }

    #[test]
    fn plain_style_leaves_text_alone() {
        assert_eq!(Style::Plain.paint(Tone::Bad, "x"), "x");
        assert_eq!(Style::Colour.paint(Tone::Bad, "x"), "\x1b[1;31mx\x1b[0m");
    }
}
