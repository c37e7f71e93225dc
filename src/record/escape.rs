//! Bytes of any kind as text that stays on its line and cannot move a terminal; and back.
//!
//! A path is bytes. In a *value* valid UTF-8 stays as it is, an invalid byte becomes `\xHH` and a backslash `\\`, so
//! [`decode`] gives the same bytes back. On top of that JSON's own escapes hide what a terminal would obey or a
//! reader would not see: control characters, DEL, C1, line separators, direction marks, invisible characters.

use std::fmt;

/// What surrounds the text, and so which escapes it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Bytes as a JSON string; [`decode`] of the parsed string gives them back.
    Value,
    /// Our own or the operator's text as a JSON string; the parsed string is the text.
    Text,
    /// A line for people, on a terminal or in syslog.
    Plain,
    /// A line for people, as a JSON string: the parsed string is what `Plain` writes.
    Message,
}

/// Appends `bytes`, without quotes around them.
pub(super) fn push(out: &mut Vec<u8>, bytes: &[u8], style: Style) {
    // Nearly every text is of this kind, and the check runs over many bytes at a time.
    if bytes.chunks(BLOCK).all(|block| block.iter().fold(true, |all, byte| all & is_ordinary(*byte))) {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        push_str(out, chunk.valid(), style);
        for byte in chunk.invalid() {
            let lead: &[u8] = if style == Style::Plain { b"\\x" } else { b"\\\\x" };
            out.extend_from_slice(lead);
            out.push(hex(byte >> 4));
            out.push(hex(byte & 15));
        }
    }
}

/// The bytes behind a value's text.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, NotAValue> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'\\') => bytes.push(b'\\'),
            Some(b'x') => bytes.push(nibble(rest.next())? << 4 | nibble(rest.next())?),
            Some(_) | None => return Err(NotAValue),
        }
    }
    Ok(bytes)
}

/// A text that [`push`] with [`Style::Value`] never writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotAValue;

impl fmt::Display for NotAValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a backslash that is neither `\\\\` nor `\\xHH`")
    }
}

impl std::error::Error for NotAValue {}

fn push_str(out: &mut Vec<u8>, text: &str, style: Style) {
    let mut rest = text;
    loop {
        let run = rest.bytes().position(|byte| !is_ordinary(byte)).unwrap_or(rest.len());
        let (ordinary, tail) = rest.split_at_checked(run).unwrap_or((rest, ""));
        out.extend_from_slice(ordinary.as_bytes());
        let mut characters = tail.chars();
        let Some(character) = characters.next() else { return };
        push_char(out, character, style);
        rest = characters.as_str();
    }
}

fn push_char(out: &mut Vec<u8>, character: char, style: Style) {
    match (character, style) {
        ('"', Style::Plain) => out.push(b'"'),
        ('"', _) => out.extend_from_slice(b"\\\""),
        ('\\', Style::Plain | Style::Text) => out.extend_from_slice(b"\\\\"),
        ('\\', _) => out.extend_from_slice(b"\\\\\\\\"),
        (_, _) if !is_hidden(character) => {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        (_, Style::Plain) => push_braced(out, b"\\u{", character),
        (_, Style::Message) => push_braced(out, b"\\\\u{", character),
        (_, Style::Value | Style::Text) => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(b"\\u");
                for shift in [12, 8, 4, 0] {
                    out.push(hex(u8::try_from(*unit >> shift & 15).unwrap_or_default()));
                }
            }
        }
    }
}

fn push_braced(out: &mut Vec<u8>, lead: &[u8], character: char) {
    out.extend_from_slice(lead);
    let code = u32::from(character);
    let digits = (u32::BITS - code.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(hex(u8::try_from(code >> (4 * place) & 15).unwrap_or_default()));
    }
    out.push(b'}');
}

/// So many bytes are looked at without stopping at the first that is special, which is many at a time.
const BLOCK: usize = 32;

/// Needs no look: printable ASCII without the two characters that JSON or the value's own escapes use.
fn is_ordinary(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// A terminal would obey it, or a reader would not see it.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The digit for the low four bits.
pub(super) fn hex(nibble: u8) -> u8 {
    match nibble & 15 {
        digit @ 0..=9 => b'0' + digit,
        letter => b'a' + (letter - 10),
    }
}

fn nibble(digit: Option<u8>) -> Result<u8, NotAValue> {
    match digit {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(letter @ b'a'..=b'f') => Ok(letter - b'a' + 10),
        Some(_) | None => Err(NotAValue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(bytes: &[u8], style: Style) -> String {
        let mut out = Vec::new();
        push(&mut out, bytes, style);
        String::from_utf8(out).expect("only UTF-8 is written")
    }

    fn parsed(json: &str) -> String {
        serde_json::from_str(&format!("\"{json}\"")).expect("a JSON string")
    }

    #[test]
    fn an_invalid_byte_and_a_backslash_are_told_apart_from_their_spelling() {
        assert_eq!(written(b"a\xff\\xff", Style::Value), r"a\\xff\\\\xff");
        assert_eq!(parsed(&written(b"a\xff\\xff", Style::Value)), r"a\xff\\xff");
        assert_eq!(decode(r"a\xff\\xff"), Ok(b"a\xff\\xff".to_vec()));
    }

    #[test]
    fn what_moves_a_terminal_or_hides_from_a_reader_is_spelled_out() {
        let nasty = "\u{1b}[2J\n\r\u{7f}\u{9b}\u{202e}\u{2028}\u{200b}\u{e0041}ä";
        assert_eq!(
            written(nasty.as_bytes(), Style::Value),
            "\\u001b[2J\\u000a\\u000d\\u007f\\u009b\\u202e\\u2028\\u200b\\udb40\\udc41ä"
        );
        assert_eq!(
            written(nasty.as_bytes(), Style::Plain),
            r"\u{1b}[2J\u{a}\u{d}\u{7f}\u{9b}\u{202e}\u{2028}\u{200b}\u{e0041}ä"
        );
    }

    #[test]
    fn a_text_that_was_never_written_is_refused() {
        for text in [r"\", r"\x", r"\xf", r"\xFF", r"\n", r"\xg0"] {
            assert_eq!(decode(text), Err(NotAValue), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_value_comes_back_as_the_same_bytes(bytes in nasty_bytes()) {
            prop_assert_eq!(decode(&parsed(&written(&bytes, Style::Value))), Ok(bytes));
        }

        #[test]
        fn a_text_comes_back_as_itself(text in any::<String>()) {
            prop_assert_eq!(parsed(&written(text.as_bytes(), Style::Text)), text);
        }

        #[test]
        fn a_message_parses_to_its_plain_line(bytes in nasty_bytes()) {
            prop_assert_eq!(parsed(&written(&bytes, Style::Message)), written(&bytes, Style::Plain));
        }

        #[test]
        fn nothing_written_is_hidden_in_any_style(bytes in nasty_bytes()) {
            for style in [Style::Value, Style::Text, Style::Plain, Style::Message] {
                prop_assert!(!written(&bytes, style).chars().any(is_hidden));
            }
        }
    }

    /// Random bytes seldom form an escape sequence or a multi-byte character; these pieces do.
    fn nasty_bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<Vec<u8>>(),
            any::<char>().prop_map(|character| character.to_string().into_bytes()),
            prop::sample::select(vec![
                &b"\\"[..],
                b"\\x",
                b"\"",
                b"\n",
                b"\0",
                b"\x1b[2J",
                b"\xe2\x80\xae",
                b"\xe2\x80",
                b"\xed\xa0\x80",
                b"\xff",
            ])
            .prop_map(<[u8]>::to_vec),
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }
}
