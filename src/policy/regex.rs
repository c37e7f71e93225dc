//! Regular expressions as Lucene writes them, to an automaton that reads each byte once.
//!
//! An expression matches the whole value, `.` is any character, and there are no anchors: `^` and `$` are ordinary.
//! Lucene's optional operators are taken where an automaton of bounded size has them: `"..."`, `@` and `#`; the
//! complement `~`, the intersection `&` and the interval `<1-9>` are refused. Folding is of ASCII letters only.

use super::limits;
use super::mistake::Mistake;
use regex_automata::Anchored;
use regex_automata::dfa::Automaton;
use regex_automata::dfa::dense::{self, DFA};
use regex_automata::util::start;
use regex_automata::util::syntax;
use regex_automata::{MatchKind, nfa::thompson};
use std::fmt::Write;

/// An expression, ready to be matched without allocating.
#[derive(Clone, Debug)]
pub(crate) struct Regex {
    dfa: Box<DFA<Vec<u32>>>,
}

/// What came of translating an expression.
pub(crate) struct Translated {
    pub(crate) regex: Regex,
    /// What stands there as an ordinary character, and is an anchor elsewhere.
    pub(crate) anchor: Option<char>,
}

impl Regex {
    /// The automaton for `pattern`; the mistake's range is within the pattern's own text.
    pub(crate) fn translate(pattern: &str, fold: bool) -> Result<Translated, Mistake> {
        if pattern.len() > limits::REGEX {
            let message = format!("a regular expression longer than {} bytes", limits::REGEX);
            return Err(Mistake::new(0..1, message));
        }
        let mut translator = Translator { rest: pattern, depth: 0, fold, out: String::new(), anchor: None };
        translator.union().and_then(|()| translator.end()).map_err(|message| {
            let at = pattern.len() - translator.rest.len();
            let width = translator.rest.chars().next().map_or(0, char::len_utf8);
            Mistake::new(at..at + width, message)
        })?;
        let anchor = translator.anchor;
        let too_large = |_| {
            Mistake::new(0..pattern.len(), "this regular expression makes too large an automaton")
                .help("repeat less, or write several simpler ones")
        };
        let dfa = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .start_kind(regex_automata::dfa::StartKind::Anchored)
                    // Every match, not the leftmost one alone: the whole value must be one.
                    .match_kind(MatchKind::All)
                    .dfa_size_limit(Some(limits::AUTOMATON))
                    .determinize_size_limit(Some(4 * limits::AUTOMATON)),
            )
            .syntax(syntax::Config::new().dot_matches_new_line(true).nest_limit(NESTING))
            .thompson(thompson::Config::new().nfa_size_limit(Some(limits::AUTOMATON)))
            .build(&translator.out)
            .map_err(too_large)?;
        Ok(Translated { regex: Self { dfa: Box::new(dfa) }, anchor })
    }

    /// True where the whole of `text` matches. Every invalid byte counts as one character of its own.
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let Some(state) = self.after(text) else { return false };
        self.dfa.is_match_state(self.dfa.next_eoi_state(state))
    }

    /// True where some text that begins with `start` may match.
    pub(crate) fn may_begin(&self, start: &[u8]) -> bool {
        self.after(start).is_some()
    }

    /// The state after `text`, unless nothing can match any more.
    fn after(&self, text: &[u8]) -> Option<regex_automata::util::primitives::StateID> {
        let mut state = self.dfa.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?;
        for chunk in text.utf8_chunks() {
            for byte in chunk.valid().bytes() {
                state = self.dfa.next_state(state, byte);
            }
            for byte in chunk.invalid() {
                let mut place = [0; 4];
                for byte in stand_in(*byte).encode_utf8(&mut place).bytes() {
                    state = self.dfa.next_state(state, byte);
                }
            }
            if self.dfa.is_dead_state(state) || self.dfa.is_quit_state(state) {
                return None;
            }
        }
        Some(state)
    }
}

/// A character of private use that stands for an invalid byte, so that it is matched as one character and never as
/// a letter.
fn stand_in(byte: u8) -> char {
    char::from_u32(0x10_ff00 + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Lucene's grammar, descended; writes the same expression in the syntax of the automaton's builder, every character
/// as a number.
struct Translator<'a> {
    rest: &'a str,
    depth: usize,
    fold: bool,
    out: String,
    anchor: Option<char>,
}

type Told = Result<(), String>;

impl Translator<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.rest = chars.as_str();
        c
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.next();
        }
        found
    }

    fn end(&self) -> Told {
        match self.peek() {
            None => Ok(()),
            Some(c) => Err(format!("`{c}` has no beginning in this regular expression")),
        }
    }

    fn union(&mut self) -> Told {
        self.concatenation()?;
        while self.take('|') {
            self.out.push('|');
            self.concatenation()?;
        }
        Ok(())
    }

    fn concatenation(&mut self) -> Told {
        while self.peek().is_some_and(|c| c != '|' && c != ')') {
            self.repetition()?;
        }
        Ok(())
    }

    fn repetition(&mut self) -> Told {
        let start = self.out.len();
        self.atom()?;
        loop {
            match self.peek() {
                Some(c @ ('?' | '*' | '+')) => {
                    self.next();
                    self.wrap(start);
                    self.out.push(c);
                }
                Some('{') => {
                    let bounds = self.bounds()?;
                    self.wrap(start);
                    self.out.push_str(&bounds);
                }
                _ => return Ok(()),
            }
        }
    }

    /// Makes one group of what was written since `start`.
    fn wrap(&mut self, start: usize) {
        self.out.insert_str(start, "(?:");
        self.out.push(')');
    }

    /// `{2}`, `{2,}`, `{2,5}`.
    fn bounds(&mut self) -> Result<String, String> {
        let body = self.rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let Some((inside, rest)) = body else { return Err("this `{` has no `}`".into()) };
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number <= 1000);
        let text = match inside.split_once(',') {
            None => number(inside).map(|n| format!("{{{n}}}")),
            Some((low, "")) => number(low).map(|low| format!("{{{low},}}")),
            Some((low, high)) => match (number(low), number(high)) {
                (Some(low), Some(high)) if low <= high => Some(format!("{{{low},{high}}}")),
                _ => None,
            },
        };
        let text = text.ok_or("a repetition is written {2}, {2,} or {2,5}, up to 1000")?;
        self.rest = rest;
        Ok(text)
    }

    fn atom(&mut self) -> Told {
        let Some(c) = self.peek() else { return Ok(()) };
        match c {
            '(' => self.group(),
            '[' => self.class(),
            '.' => self.written("."),
            '@' => self.written("(?:.*)"),
            '#' => self.written(NOTHING),
            '"' => self.quoted(),
            '\\' => self.escaped(),
            '~' | '&' | '<' => {
                Err(format!("Lucene's operator `{c}` is not supported; as a character it is `\\{c}`"))
            }
            '?' | '*' | '+' | '{' => {
                Err(format!("`{c}` has nothing to repeat; as a character it is `\\{c}`"))
            }
            c => {
                self.next();
                if c == '^' || c == '$' {
                    self.anchor = Some(c);
                }
                self.character(c);
                Ok(())
            }
        }
    }

    fn written(&mut self, text: &str) -> Told {
        self.next();
        self.out.push_str(text);
        Ok(())
    }

    fn group(&mut self) -> Told {
        if self.depth >= limits::DEPTH {
            return Err(format!("nested deeper than {} levels", limits::DEPTH));
        }
        let here = self.rest;
        self.next();
        self.depth += 1;
        self.out.push_str("(?:");
        self.union()?;
        self.out.push(')');
        self.depth -= 1;
        if self.take(')') {
            return Ok(());
        }
        self.rest = here;
        Err("this `(` has no `)`".into())
    }

    fn quoted(&mut self) -> Told {
        let body = self.rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let Some((inside, rest)) = body else { return Err("this `\"` has no end".into()) };
        self.out.push_str("(?:");
        for c in inside.chars() {
            self.character(c);
        }
        self.out.push(')');
        self.rest = rest;
        Ok(())
    }

    fn escaped(&mut self) -> Told {
        let here = self.rest;
        self.next();
        let Some(c) = self.next() else {
            self.rest = here;
            return Err("nothing follows this backslash".into());
        };
        match shorthand(c) {
            Some(set) => self.out.push_str(&format!("[{set}]")),
            None => self.character(c),
        }
        Ok(())
    }

    /// One character, in both cases where they are folded.
    fn character(&mut self, c: char) {
        let mut set = String::new();
        push_range(&mut set, c, c, self.fold);
        self.out.push('[');
        self.out.push_str(&set);
        self.out.push(']');
    }

    fn class(&mut self) -> Told {
        let here = self.rest;
        self.next();
        let mut set = String::from(if self.take('^') { "[^" } else { "[" });
        let empty = set.len();
        loop {
            match self.peek() {
                None => break,
                // A bracket that closes nothing is not a member, as in Lucene.
                Some(']') => {
                    self.next();
                    if set.len() == empty {
                        self.rest = here;
                        return Err("this `[...]` has no characters".into());
                    }
                    set.push(']');
                    self.out.push_str(&set);
                    return Ok(());
                }
                Some(_) => self.member(&mut set)?,
            }
        }
        self.rest = here;
        Err("this `[` has no `]`".into())
    }

    fn member(&mut self, set: &mut String) -> Told {
        let Some(first) = self.next() else { return Ok(()) };
        let first = match first {
            '\\' => match self.next() {
                Some(c) => match shorthand(c) {
                    Some(shorthand) => {
                        set.push_str(shorthand);
                        return Ok(());
                    }
                    None => c,
                },
                None => return Err("nothing follows this backslash".into()),
            },
            c => c,
        };
        let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
        if !is_range {
            push_range(set, first, first, self.fold);
            return Ok(());
        }
        self.next();
        let last = match self.next() {
            Some('\\') => self.next(),
            other => other,
        };
        match last {
            Some(last) if first <= last => {
                push_range(set, first, last, self.fold);
                Ok(())
            }
            _ => Err(format!("this range begins at `{first}` and ends before it")),
        }
    }
}

/// Levels of groups that the builder may meet: ours, and one for each repetition of a repetition.
const NESTING: u32 = 250;

/// A set that has no member.
const NOTHING: &str = r"[^\x{0}-\x{10FFFF}]";

/// The members of `\d` and the like: ASCII, as in Lucene.
fn shorthand(c: char) -> Option<&'static str> {
    match c {
        'd' => Some("0-9"),
        'D' => Some(r"\x{0}-\x{2f}\x{3a}-\x{10FFFF}"),
        's' => Some(r"\x{9}\x{a}\x{d}\x{20}"),
        'S' => Some(r"\x{0}-\x{8}\x{b}\x{c}\x{e}-\x{1f}\x{21}-\x{10FFFF}"),
        'w' => Some("0-9A-Z_a-z"),
        'W' => Some(r"\x{0}-\x{2f}\x{3a}-\x{40}\x{5b}-\x{5e}\x{60}\x{7b}-\x{10FFFF}"),
        _ => None,
    }
}

/// Writes a range as a member of a set, with the other case of the ASCII letters in it.
fn push_range(set: &mut String, first: char, last: char, fold: bool) {
    let mut push = |first: u32, last: u32| {
        // Writing to a String cannot fail.
        let _written = write!(set, r"\x{{{first:x}}}-\x{{{last:x}}}");
    };
    let (first, last) = (u32::from(first), u32::from(last));
    push(first, last);
    if fold {
        for (low, high, other) in [('A', 'Z', 'a'), ('a', 'z', 'A')] {
            let (low, high) = (u32::from(low).max(first), u32::from(high).min(last));
            if low <= high {
                let base = if other == 'a' { u32::from('A') } else { u32::from('a') };
                let shift = |c: u32| c - base + u32::from(other);
                push(shift(low), shift(high));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: impl AsRef<[u8]>) -> bool {
        match Regex::translate(pattern, false) {
            Ok(translated) => translated.regex.matches(text.as_ref()),
            Err(mistake) => panic!("{pattern}: {mistake:?}"),
        }
    }

    #[test]
    fn an_expression_matches_the_whole_value() {
        assert!(matches("a.c", "a\nc"));
        assert!(!matches("a.c", "xabc"));
        assert!(matches("a|ab", "ab"));
        assert!(matches("(a|ab)(c|bcd)*", "abcd"));
        assert!(matches("/dev/shm/[^/]+", "/dev/shm/x"));
        assert!(!matches("/dev/shm/[^/]+", "/dev/shm/x/y"));
        assert!(matches("", ""));
        assert!(!matches("", "a"));
        assert!(matches("a{2,3}b{1}c{1,}", "aabcc"));
        assert!(matches(r"\d+\.\d+", "1.25"));
        assert!(matches("[0-9a-f]{8}", "00c0ffee"));
    }

    #[test]
    fn lucene_reads_some_characters_its_own_way() {
        assert!(matches("^a$", "^a$"));
        assert!(Regex::translate("^a", false).is_ok_and(|t| t.anchor == Some('^')));
        assert!(matches(r#""a.b"@"#, "a.bxyz"));
        assert!(!matches(r#""a.b""#, "axb"));
        assert!(!matches("#", ""));
        assert!(matches("a&b".replace('&', r"\&").as_str(), "a&b"));
        assert!(matches(r"[\]a-c\-]+", "]-ab"));
        assert!(matches("[[:]", ":"));
        for wrong in [
            "a~b", "a&b", "<1-9>", "*a", "(?:a)", "(", ")", "[", "a{", "a{9", "a{5,2}", "[z-a]", "\\", "[]",
            "a**)",
        ] {
            assert!(Regex::translate(wrong, false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_character_is_a_utf8_character_or_one_invalid_byte() {
        assert!(matches(".", "\u{e9}"));
        assert!(matches(".", b"\xff"));
        assert!(matches("..", b"\xc3\x28"));
        assert!(!matches(".", b"\xe2\x82"));
        assert!(matches("..", b"\xe2\x82"));
        assert!(matches("[^a]", b"\x80"));
        assert!(!matches("[a-z]", b"\x80"));
    }

    #[test]
    fn folding_is_of_ascii_letters_only() {
        let fold = |pattern: &str, text: &str| {
            Regex::translate(pattern, true).is_ok_and(|t| t.regex.matches(text.as_bytes()))
        };
        assert!(fold("abC[d-f]", "ABcE"));
        assert!(fold("[X-c]", "x") && fold("[X-c]", "C"));
        assert!(!fold("\u{e9}", "\u{c9}"));
        assert!(!fold("k", "\u{212a}"));
        assert!(!fold("[^a]", "A"));
    }

    #[test]
    fn an_expression_that_would_grow_without_bound_is_refused() {
        for wild in ["(.*a){30}b.{30}", "((a{100}){100}){100}", "(a|b)*a(a|b){40}", &"(".repeat(500)] {
            assert!(Regex::translate(wild, false).is_err(), "{wild}");
        }
    }
}
