//! Sets of texts and wildcards that a value is compared with.
//!
//! A value matches as a whole. `*` is any number of characters, `?` exactly one, `/` and newline too; a character is
//! one UTF-8 character or one byte that is part of none. Folding is of ASCII letters only, and only where asked for.

use super::regex::Regex;
use memchr::memmem;

/// What one text is compared with: any of these.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns {
    /// Sorted.
    exact: Box<[Box<[u8]>]>,
    globs: Box<[Glob]>,
    regexes: Box<[Regex]>,
    /// The texts above are in lower case, and so must be what is compared with them.
    fold: bool,
}

/// A text that is in every value that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) text: Box<[u8]>,
    pub(crate) place: Place,
    /// It is in lower case, and compared with values that are.
    pub(crate) fold: bool,
}

/// Where in the value it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Anywhere,
    End,
    Start,
    Whole,
}

/// What is known of a match when only the beginning of the value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Below {
    Always,
    Perhaps,
    Never,
}

impl Patterns {
    /// Whole texts.
    pub(crate) fn exact<'a>(texts: impl IntoIterator<Item = &'a str>, fold: bool) -> Self {
        let mut exact: Vec<Box<[u8]>> = texts.into_iter().map(|text| folded(text.as_bytes(), fold)).collect();
        exact.sort_unstable();
        exact.dedup();
        Self { exact: exact.into(), fold, ..Self::default() }
    }

    /// Wildcards; those without `*` and `?` are whole texts.
    pub(crate) fn wildcards<'a>(texts: impl IntoIterator<Item = &'a str>, fold: bool) -> Self {
        let (globs, plain): (Vec<&str>, Vec<&str>) =
            texts.into_iter().partition(|text| text.contains(['*', '?']));
        let globs = globs.into_iter().map(|text| Glob::new(&folded(text.as_bytes(), fold))).collect();
        Self { globs, ..Self::exact(plain, fold) }
    }

    /// Regular expressions. They fold case themselves.
    pub(crate) fn regexes(regexes: Vec<Regex>) -> Self {
        Self { regexes: regexes.into(), ..Self::default() }
    }

    /// What every text that matches holds, one for each alternative; `None` where some alternative holds nothing in
    /// particular.
    pub(crate) fn holds(&self) -> Option<Vec<Held>> {
        let held = |text: &[u8], place| Held { text: text.into(), place, fold: self.fold };
        let exact = self.exact.iter().map(|text| Some(held(text, Place::Whole)));
        let globs = self.globs.iter().map(|glob| glob.holds().map(|(text, place)| held(text, place)));
        let regexes = self.regexes.iter().map(|_| None);
        exact.chain(globs).chain(regexes).collect()
    }

    /// True where a text must be in lower case before it is compared.
    pub(crate) fn folds(&self) -> bool {
        self.fold
    }

    /// True where `text` (in lower case, if [`Self::folds`]) matches one of them.
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let exact = match &*self.exact {
            [] => false,
            [only] => **only == *text,
            many => many.binary_search_by(|known| (**known).cmp(text)).is_ok(),
        };
        exact
            || self.globs.iter().any(|glob| glob.matches(text))
            || self.regexes.iter().any(|regex| regex.matches(text))
    }

    /// Whether texts that begin with `start` match.
    pub(crate) fn below(&self, start: &[u8]) -> Below {
        let mut best = Below::Never;
        let exact = self.exact.iter().any(|known| known.starts_with(start));
        if exact || self.regexes.iter().any(|regex| regex.may_begin(start)) {
            best = Below::Perhaps;
        }
        for glob in &self.globs {
            match glob.below(start) {
                Below::Always => return Below::Always,
                Below::Perhaps => best = Below::Perhaps,
                Below::Never => {}
            }
        }
        best
    }
}

/// Lower case, where wanted.
fn folded(text: &[u8], fold: bool) -> Box<[u8]> {
    if fold { text.to_ascii_lowercase().into() } else { text.into() }
}

/// One wildcard.
#[derive(Clone, Debug)]
enum Glob {
    /// `text*`
    Starts(Box<[u8]>),
    /// `*text`
    Ends(Box<[u8]>),
    /// `*text*`; the finder holds it.
    Contains(Box<memmem::Finder<'static>>),
    /// Anything else: the pieces between the stars. The first is at the start, the last at the end; either may be empty.
    Pieces(Box<[Piece]>),
}

/// What stands between two `*`: texts with `?` between them.
#[derive(Clone, Debug)]
struct Piece {
    /// The texts; between each two of them is one `?`. `["a", "", "b"]` is `a??b`.
    texts: Box<[Box<[u8]>]>,
    /// Finds the only text.
    finder: Option<memmem::Finder<'static>>,
}

impl Glob {
    fn new(pattern: &[u8]) -> Self {
        let pieces: Vec<&[u8]> = pattern.split(|byte| *byte == b'*').collect();
        let plain = |piece: &[u8]| !piece.contains(&b'?');
        // Neighbouring stars are one star.
        let inner = |pieces: &[&[u8]]| pieces.iter().all(|piece| piece.is_empty());
        match pieces.as_slice() {
            [first, rest @ ..] if !rest.is_empty() && inner(rest) && plain(first) => {
                Self::Starts((*first).into())
            }
            [rest @ .., last] if !rest.is_empty() && inner(rest) && plain(last) => Self::Ends((*last).into()),
            [b"", text, b""] if plain(text) => {
                Self::Contains(Box::new(memmem::Finder::new(text).into_owned()))
            }
            pieces => {
                let last = pieces.len() - 1;
                let kept = pieces
                    .iter()
                    .enumerate()
                    .filter(|(at, piece)| *at == 0 || *at == last || !piece.is_empty());
                Self::Pieces(kept.map(|(_, piece)| Piece::new(piece)).collect())
            }
        }
    }

    fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Starts(start) => text.starts_with(start),
            Self::Ends(end) => text.ends_with(end),
            Self::Contains(finder) => finder.find(text).is_some(),
            Self::Pieces(pieces) => match &**pieces {
                [] => text.is_empty(),
                [only] => only.at(text) == Some(text.len()),
                [first, middle @ .., last] => matches_pieces(text, first, middle, last),
            },
        }
    }

    /// The longest text that is in every value that matches.
    fn holds(&self) -> Option<(&[u8], Place)> {
        let (text, place) = match self {
            Self::Starts(text) => (&**text, Place::Start),
            Self::Ends(text) => (&**text, Place::End),
            Self::Contains(finder) => (finder.needle(), Place::Anywhere),
            Self::Pieces(pieces) => {
                let texts = pieces.iter().flat_map(|piece| piece.texts.iter().map(|text| &**text));
                let inner = texts.map(|text| (text, Place::Anywhere));
                let first =
                    pieces.first().and_then(|piece| piece.texts.first()).map(|text| (&**text, Place::Start));
                let last =
                    pieces.last().and_then(|piece| piece.texts.last()).map(|text| (&**text, Place::End));
                // Of two as long as each other, the one that is at a known place.
                inner.chain(first).chain(last).max_by_key(|(text, place)| (text.len(), *place))?
            }
        };
        (!text.is_empty()).then_some((text, place))
    }

    fn below(&self, start: &[u8]) -> Below {
        match self {
            Self::Starts(text) if start.starts_with(text) => Below::Always,
            Self::Starts(text) if text.starts_with(start) => Below::Perhaps,
            Self::Starts(_) => Below::Never,
            Self::Contains(finder) if finder.find(start).is_some() => Below::Always,
            Self::Ends(_) | Self::Contains(_) => Below::Perhaps,
            Self::Pieces(pieces) => {
                // Only what precedes the first `*` or `?` is at a known place.
                let first =
                    pieces.first().and_then(|piece| piece.texts.first()).map_or(&b""[..], |text| text);
                let near = start.len().min(first.len());
                if start.get(..near) == first.get(..near) { Below::Perhaps } else { Below::Never }
            }
        }
    }
}

/// Leftmost places are enough: each piece has a fixed number of characters, so the leftmost place ends first.
fn matches_pieces(text: &[u8], first: &Piece, middle: &[Piece], last: &Piece) -> bool {
    let Some(mut at) = first.at(text) else { return false };
    for piece in middle {
        let Some(end) = piece.find(text.get(at..).unwrap_or_default()) else { return false };
        at += end;
    }
    text.get(at..).is_some_and(|rest| last.ends(rest))
}

impl Piece {
    fn new(piece: &[u8]) -> Self {
        let texts: Box<[Box<[u8]>]> = piece.split(|byte| *byte == b'?').map(Into::into).collect();
        let finder = match &*texts {
            [only] => Some(memmem::Finder::new(only).into_owned()),
            _ => None,
        };
        Self { texts, finder }
    }

    /// Where the piece ends, if it stands at the start of `text`.
    fn at(&self, text: &[u8]) -> Option<usize> {
        let mut at = 0;
        for (index, known) in self.texts.iter().enumerate() {
            if index > 0 {
                at += character(text.get(at..)?)?;
            }
            if !text.get(at..)?.starts_with(known) {
                return None;
            }
            at += known.len();
        }
        Some(at)
    }

    /// Where the piece ends at its leftmost place in `text`.
    fn find(&self, text: &[u8]) -> Option<usize> {
        if let (Some(finder), Some(known)) = (&self.finder, self.texts.first()) {
            return finder.find(text).map(|at| at + known.len());
        }
        let mut start = 0;
        loop {
            let rest = text.get(start..)?;
            if let Some(end) = self.at(rest) {
                return Some(start + end);
            }
            start += character(rest)?;
        }
    }

    /// True where the piece stands at the end of `text`.
    fn ends(&self, text: &[u8]) -> bool {
        let mut rest = text;
        for (index, known) in self.texts.iter().rev().enumerate() {
            if index > 0 {
                let Some(length) = last_character(rest) else { return false };
                rest = rest.get(..rest.len() - length).unwrap_or_default();
            }
            let Some(before) = rest.strip_suffix(&**known) else { return false };
            rest = before;
        }
        true
    }
}

/// The length of the first character: of a UTF-8 character, or 1 for a byte that begins none.
pub(crate) fn character(text: &[u8]) -> Option<usize> {
    let length = match text.first()? {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Some(1),
    };
    match text.get(..length).map(std::str::from_utf8) {
        Some(Ok(_)) => Some(length),
        Some(Err(_)) | None => Some(1),
    }
}

/// The length of the last character.
fn last_character(text: &[u8]) -> Option<usize> {
    text.last()?;
    // A leading byte is never in the middle of a character, so looking back finds what reading on would find.
    for length in (2..=4).rev() {
        let tail = text.len().checked_sub(length).and_then(|start| text.get(start..));
        if tail.is_some_and(|tail| character(tail) == Some(length)) {
            return Some(length);
        }
    }
    Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(pattern: &str, text: &[u8]) -> bool {
        Patterns::wildcards([pattern], false).matches(text)
    }

    #[test]
    fn wildcards_cross_everything_and_match_the_whole_value() {
        for (pattern, text, want) in [
            ("/dev/shm/*", "/dev/shm/a/b\nc", true),
            ("/dev/shm/*", "/dev/shm/", true),
            ("/dev/shm/*", "/dev/shm", false),
            ("/dev/shm/*", "x/dev/shm/a", false),
            ("*.so", "a.so", true),
            ("*.so", "a.so.1", false),
            ("*a*", "bab", true),
            ("*", "", true),
            ("**", "x", true),
            ("?", "", false),
            ("?", "/", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("ab*ba", "aba", false),
            ("/dev/shm/*.*/sandfly", "/dev/shm/x.y/sandfly", true),
            ("/dev/shm/*.*/sandfly", "/dev/shm/xy/sandfly", false),
            ("*?", "", false),
            ("*?", "ab", true),
            ("a?c*", "abcd", true),
            ("*b?d*", "abxbcdd", true),
            ("a??", "abc", true),
            ("a??", "ab", false),
            ("", "", true),
        ] {
            assert_eq!(like(pattern, text.as_bytes()), want, "{pattern} {text}");
        }
    }

    #[test]
    fn a_question_mark_is_one_character_or_one_invalid_byte() {
        assert!(like("a?b", "a\u{e9}b".as_bytes()));
        assert!(like("?", "\u{1f600}".as_bytes()));
        assert!(!like("??", "\u{e9}".as_bytes()));
        assert!(like("??", b"\xc3\x28"));
        assert!(like("*??", b"\xf0\x9f\x98"));
        assert!(like("*a??", b"xa\xf0\x9f\x98\x80\xff"));
        assert!(!like("*?\u{e9}", "\u{e9}".as_bytes()));
    }

    #[test]
    fn folding_is_of_ascii_letters_only() {
        let fold = Patterns::wildcards(["/Run/*", "B\u{c9}"], true);
        assert!(fold.folds());
        assert!(fold.matches(b"/run/x"));
        assert!(fold.matches("b\u{c9}".as_bytes()));
        assert!(!fold.matches("b\u{e9}".as_bytes()));
    }

    #[test]
    fn of_a_directory_it_is_known_whether_what_lies_below_matches() {
        let below =
            |pattern: &str, start: &str| Patterns::wildcards([pattern], false).below(start.as_bytes());
        assert_eq!(below("/dev/shm/*", "/dev/shm/"), Below::Always);
        assert_eq!(below("/dev/*", "/dev/shm/"), Below::Always);
        assert_eq!(below("/dev/shm/ok/*", "/dev/shm/"), Below::Perhaps);
        assert_eq!(below("/dev/shm/ok", "/dev/shm/"), Below::Perhaps);
        assert_eq!(below("/run/*", "/dev/shm/"), Below::Never);
        assert_eq!(below("/run/ok", "/dev/shm/"), Below::Never);
        assert_eq!(below("*/sandfly", "/dev/shm/"), Below::Perhaps);
        assert_eq!(below("*/shm/*", "/dev/shm/"), Below::Always);
        assert_eq!(below("/dev/shm/*.*/sandfly", "/dev/shm/"), Below::Perhaps);
        assert_eq!(below("/run/*.*/sandfly", "/dev/shm/"), Below::Never);
    }
}
