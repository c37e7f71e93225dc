//! EQL's text to tokens. Every byte of the text is in a token, in a comment, in white space or in a mistake.

use super::mistake::Mistake;
use std::ops::Range;

/// A token and the bytes it stands on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) range: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A name with its dots: a field, a function or a word of the language.
    Name(String),
    /// A quoted text, its escapes undone.
    Text(String),
    Integer(i64),
    Decimal(f64),
    Symbol(Symbol),
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symbol {
    Open,
    Close,
    Comma,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Colon,
    Tilde,
    Question,
    Plus,
    Minus,
    Times,
    Divide,
    Remainder,
}

/// Symbols, the longer ones first.
const SYMBOLS: &[(&str, Symbol)] = &[
    ("==", Symbol::Equal),
    ("!=", Symbol::NotEqual),
    ("<=", Symbol::LessOrEqual),
    (">=", Symbol::GreaterOrEqual),
    ("<", Symbol::Less),
    (">", Symbol::Greater),
    ("(", Symbol::Open),
    (")", Symbol::Close),
    (",", Symbol::Comma),
    (":", Symbol::Colon),
    ("~", Symbol::Tilde),
    ("?", Symbol::Question),
    ("+", Symbol::Plus),
    ("-", Symbol::Minus),
    ("*", Symbol::Times),
    ("/", Symbol::Divide),
    ("%", Symbol::Remainder),
];

/// What other languages write, and what EQL writes instead.
const FOREIGN: &[(&str, &str)] = &[
    ("=", "equality is `==`"),
    ("&&", "write `and`"),
    ("||", "write `or`"),
    ("!", "write `not`, or `!=`"),
    ("|", "pipes are not conditions: a rule judges one attempt at a time"),
    ("[", "sequences and lists in brackets are not conditions: a rule judges one attempt at a time"),
    ("'", "text stands in double quotes"),
    (";", "a rule has one condition: join them with `and` or `or`"),
];

impl Symbol {
    pub(crate) fn text(self) -> &'static str {
        SYMBOLS.iter().find(|(_, symbol)| *symbol == self).map_or("", |(text, _)| text)
    }
}

/// All tokens, the last one [`Kind::End`], and everything that is none.
pub(crate) fn lex(text: &str) -> (Vec<Token>, Vec<Mistake>) {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new(), mistakes: Vec::new() };
    while lexer.step() {}
    lexer.tokens.push(Token { kind: Kind::End, range: text.len()..text.len() });
    (lexer.tokens, lexer.mistakes)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
    mistakes: Vec<Mistake>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn push(&mut self, kind: Kind, length: usize) {
        let range = self.at..self.at + length;
        self.tokens.push(Token { kind, range });
        self.at += length;
    }

    fn wrong(&mut self, length: usize, message: impl Into<String>, help: Option<&str>) {
        let mut mistake = Mistake::new(self.at..self.at + length, message);
        mistake.help = help.map(str::to_owned);
        self.mistakes.push(mistake);
        self.at += length;
    }

    /// One token or one stretch of what is none; false at the end.
    fn step(&mut self) -> bool {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return false };
        if first.is_whitespace() {
            self.at += first.len_utf8();
        } else if rest.starts_with("//") {
            self.at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            match rest.find("*/") {
                Some(end) if end >= 2 => self.at += end + 2,
                _ => self.wrong(rest.len(), "this comment does not end", Some("end it with `*/`")),
            }
        } else if rest.starts_with("\"\"\"") {
            self.raw_text(rest);
        } else if first == '"' {
            self.quoted_text(rest);
        } else if is_name_start(first) || first == '`' {
            self.name(rest);
        } else if first.is_ascii_digit()
            || (first == '.' && rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit()))
        {
            self.number(rest);
        } else {
            self.symbol(rest, first);
        }
        true
    }

    fn symbol(&mut self, rest: &str, first: char) {
        if let Some((text, symbol)) = SYMBOLS.iter().find(|(text, _)| rest.starts_with(text)) {
            return self.push(Kind::Symbol(*symbol), text.len());
        }
        let foreign =
            FOREIGN.iter().filter(|(text, _)| rest.starts_with(text)).max_by_key(|(text, _)| text.len());
        match foreign {
            Some(("[", help)) => {
                let end = rest.find(']').map_or(1, |end| end + 1);
                self.wrong(end, "`[...]` is not EQL", Some(help));
            }
            Some(("'", help)) => {
                let line = rest.find('\n').unwrap_or(rest.len());
                let end = rest.get(1..line).and_then(|inside| inside.find('\'')).map_or(1, |end| end + 2);
                self.wrong(end, "text in single quotes is not EQL", Some(help));
            }
            Some((text, help)) => self.wrong(text.len(), format!("`{text}` is not EQL"), Some(help)),
            None => self.wrong(first.len_utf8(), format!("unexpected character {first:?}"), None),
        }
    }

    /// A name: parts joined by dots; a part in backquotes can hold anything.
    fn name(&mut self, rest: &str) {
        let mut name = String::new();
        let mut length = 0;
        loop {
            let tail = rest.get(length..).unwrap_or_default();
            if let Some(quoted) = tail.strip_prefix('`') {
                let Some(end) = quoted.find('`') else {
                    return self.wrong(
                        rest.len(),
                        "this quoted name does not end",
                        Some("end it with a backquote"),
                    );
                };
                name.push_str(quoted.get(..end).unwrap_or_default());
                length += end + 2;
            } else {
                let end = tail.find(|c| !is_name_part(c)).unwrap_or(tail.len());
                name.push_str(tail.get(..end).unwrap_or_default());
                length += end;
            }
            let mut after = rest.get(length..).unwrap_or_default().chars();
            let goes_on =
                after.next() == Some('.') && after.next().is_some_and(|c| is_name_part(c) || c == '`');
            if !goes_on {
                break;
            }
            name.push('.');
            length += 1;
        }
        self.push(Kind::Name(name), length);
    }

    fn number(&mut self, rest: &str) {
        let mut length = 0;
        let mut last = ' ';
        for c in rest.chars() {
            let sign_of_exponent = (c == '-' || c == '+') && (last == 'e' || last == 'E');
            if !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || sign_of_exponent) {
                break;
            }
            length += c.len_utf8();
            last = c;
        }
        let text = rest.get(..length).unwrap_or_default();
        if let Ok(number) = text.parse() {
            self.push(Kind::Integer(number), length);
        } else if let Some(number) = text.parse().ok().filter(|number: &f64| number.is_finite()) {
            self.push(Kind::Decimal(number), length);
        } else {
            self.wrong(length, format!("`{text}` is not a number"), None);
        }
    }

    /// `"""..."""`: nothing is an escape; two more quotes may precede the closing three.
    fn raw_text(&mut self, rest: &str) {
        let body = rest.get(3..).unwrap_or_default();
        let Some(mut end) = body.find("\"\"\"") else {
            return self.wrong(rest.len(), "this text does not end", Some("end it with `\"\"\"`"));
        };
        while end < body.len() && body.get(end + 3..).is_some_and(|tail| tail.starts_with('"')) {
            end += 1;
        }
        let text = body.get(..end).unwrap_or_default().to_owned();
        self.push(Kind::Text(text), end + 6);
    }

    fn quoted_text(&mut self, rest: &str) {
        let mut text = String::new();
        let mut mistakes = Vec::new();
        let mut chars = rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.mistakes.append(&mut mistakes);
                    return self.push(Kind::Text(text), at + 1);
                }
                '\n' | '\r' => break,
                '\\' => {
                    let start = self.at + at;
                    match escape(rest.get(at + 1..).unwrap_or_default()) {
                        Some((c, length)) => {
                            text.push(c);
                            for _ in 0..length.saturating_sub(1) {
                                chars.next();
                            }
                            chars.next();
                        }
                        None => {
                            let shown = chars.next().map_or(String::new(), |(_, c)| c.to_string());
                            mistakes.push(
                                Mistake::new(start..start + 1 + shown.len(), format!("`\\{shown}` is not an escape"))
                                    .help("escapes are \\n \\r \\t \\\\ \\\" and \\u{hex}; in \"\"\"...\"\"\" nothing is an escape"),
                            );
                        }
                    }
                }
                c => text.push(c),
            }
        }
        self.mistakes.append(&mut mistakes);
        let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
        self.wrong(line, "this text does not end", Some("end it with `\"` on the same line"));
    }
}

/// The character that an escape stands for, and its length in characters after the backslash (all are ASCII).
fn escape(text: &str) -> Option<(char, usize)> {
    match text.chars().next()? {
        'n' => Some(('\n', 1)),
        'r' => Some(('\r', 1)),
        't' => Some(('\t', 1)),
        '\\' => Some(('\\', 1)),
        '"' => Some(('"', 1)),
        'u' => {
            let digits = text.strip_prefix("u{")?.split_once('}')?.0;
            let plain =
                (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let code = plain.then(|| u32::from_str_radix(digits, 16).ok())??;
            Some((char::from_u32(code)?, digits.len() + 3))
        }
        _ => None,
    }
}

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_' || c == '@'
}

fn is_name_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '@'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        let (tokens, mistakes) = lex(text);
        assert_eq!(mistakes, [], "{text}");
        tokens.into_iter().map(|token| token.kind).collect()
    }

    fn name(text: &str) -> Kind {
        Kind::Name(text.into())
    }

    fn text(text: &str) -> Kind {
        Kind::Text(text.into())
    }

    #[test]
    fn names_texts_numbers_and_comments() {
        let got =
            kinds("a.b_c like~ \"x\\\"\\u{e9}\\t\" // c\n /* ( */ `odd name`.d 12 1.5 \"\"\"a\\n\"\"\"\"");
        let want = [
            name("a.b_c"),
            name("like"),
            Kind::Symbol(Symbol::Tilde),
            text("x\"\u{e9}\t"),
            name("odd name.d"),
            Kind::Integer(12),
            Kind::Decimal(1.5),
            text("a\\n\""),
            Kind::End,
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn what_is_no_token_is_told_once_and_reading_goes_on() {
        let (tokens, mistakes) = lex("a = \"\\q\" && 'x' 12x");
        let told: Vec<_> = mistakes.iter().map(|mistake| mistake.message.as_str()).collect();
        assert_eq!(
            told,
            [
                "`=` is not EQL",
                "`\\q` is not an escape",
                "`&&` is not EQL",
                "text in single quotes is not EQL",
                "`12x` is not a number"
            ]
        );
        assert_eq!(tokens.len(), 3);
    }

    #[test]
    fn open_ends_are_mistakes() {
        for text in ["\"abc", "\"abc\ndef\"", "\"\"\"a", "/* a", "`a", "\"\\"] {
            assert!(!lex(text).1.is_empty(), "{text}");
        }
    }
}
