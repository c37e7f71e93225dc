//! From a byte of a TOML string's value to the byte of the file that it came from.

use std::ops::Range;

/// Where `range` of the value stands in the file, given the string's token (with its quotes) and where that begins.
pub(crate) fn in_file(token: &str, begins: usize, range: &Range<usize>) -> Range<usize> {
    let (mut at, end, escapes) = body(token);
    let mut decoded = 0;
    let mut start = None;
    while decoded < range.end.max(range.start + 1) && at < end {
        let rest = token.get(at..end).unwrap_or_default();
        let (raw, value) = step(rest, escapes);
        // A step without a value (a line's end that is escaped) is where nothing begins.
        if start.is_none() && decoded + value > range.start {
            start = Some(at);
            if range.is_empty() {
                break;
            }
        }
        at += raw;
        decoded += value;
    }
    begins + start.unwrap_or(at)..begins + at
}

/// Where the value begins and ends inside the token, and whether a backslash is an escape.
fn body(token: &str) -> (usize, usize, bool) {
    for (quotes, escapes) in [("'''", false), ("\"\"\"", true), ("'", false), ("\"", true)] {
        if token.len() >= 2 * quotes.len() && token.starts_with(quotes) && token.ends_with(quotes) {
            let mut start = quotes.len();
            if quotes.len() == 3 {
                // A newline right behind the opening quotes is not part of the value.
                let rest = token.get(start..).unwrap_or_default();
                start += if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
            }
            return (start, token.len() - quotes.len(), escapes);
        }
    }
    (0, token.len(), false)
}

/// How many bytes of the token the next bit of the value takes, and how many of the value it makes.
fn step(rest: &str, escapes: bool) -> (usize, usize) {
    let Some(first) = rest.chars().next() else { return (1, 1) };
    if first == '\r' && rest.starts_with("\r\n") {
        // The parser makes one newline of it.
        return (1, 0);
    }
    if first != '\\' || !escapes {
        return (first.len_utf8(), first.len_utf8());
    }
    let digits = |count: usize| {
        let code = rest.get(2..2 + count).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        (2 + count, code.and_then(char::from_u32).map_or(1, char::len_utf8))
    };
    match rest.as_bytes().get(1) {
        Some(b'x') => digits(2),
        Some(b'u') => digits(4),
        Some(b'U') => digits(8),
        // A line's end that is escaped takes the white space before the next word with it.
        Some(byte) if byte.is_ascii_whitespace() => {
            let white = rest.get(1..).unwrap_or_default();
            (1 + white.len() - white.trim_start().len(), 0)
        }
        _ => (2, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::in_file;

    #[test]
    fn places_in_every_kind_of_string() {
        let found = |token: &str, range| {
            let place = in_file(token, 100, &range);
            token[place.start - 100..place.end - 100].to_owned()
        };
        assert_eq!(found("'abc'", 1..2), "b");
        assert_eq!(found("'''\nabc\nd'''", 4..5), "d");
        assert_eq!(found(r#""a\"bc""#, 2..3), "b");
        assert_eq!(found(r#""\u00e9b\tc""#, 2..3), "b");
        assert_eq!(found(r#""\u00e9b\tc""#, 4..5), "c");
        assert_eq!(found("\"\"\"\na \\\n   bc\"\"\"", 2..3), "b");
        assert_eq!(found("'''\r\na\r\nb'''", 2..3), "b");
        assert_eq!(found("'abc'", 3..3), "");
        assert_eq!(found("'abc'", 9..12), "");
    }
}
