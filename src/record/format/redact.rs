//! What must not be shown: arguments that carry secrets.
//!
//! A pattern is what the operator writes, with `*` and `?` as in rules, compared with a whole argument. What matches is
//! hidden, except the literal text in front of the first wildcard: `--password=*` leaves `--password=`. A pattern of two
//! words, `--password *`, hides the argument that follows one which matches the first word.

use crate::event::Texts;
use crate::policy::pattern::Patterns;

/// Patterns of arguments to hide.
#[derive(Clone, Debug, Default)]
pub struct Redact {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    /// The argument before it matches; none: any will do.
    before: Option<Patterns>,
    /// The argument itself matches.
    this: Patterns,
    /// How much of the argument may be shown.
    shown: usize,
}

/// What takes the place of a secret.
pub(super) const HIDDEN: &[u8] = b"[redacted]";

impl Redact {
    /// From the operator's patterns.
    #[must_use]
    pub fn new<T: AsRef<str>>(patterns: &[T]) -> Self {
        Self { patterns: patterns.iter().map(|pattern| Pattern::new(pattern.as_ref())).collect() }
    }

    /// The arguments as they may be shown: what to write first, and what in place of the rest.
    pub(super) fn show<'a>(&'a self, args: &'a Texts) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        (0..args.len()).map(|index| self.shown(args, index))
    }

    /// Whether anything in `args` is hidden.
    pub(super) fn hides(&self, args: &Texts) -> bool {
        !self.patterns.is_empty() && self.show(args).any(|(_, hidden)| !hidden.is_empty())
    }

    fn shown<'a>(&self, args: &'a Texts, index: usize) -> (&'a [u8], &'static [u8]) {
        let this = args.at(index).unwrap_or_default();
        let before = index.checked_sub(1).and_then(|before| args.at(before));
        // The least that any of those that match would show.
        let matching = self.patterns.iter().filter(|pattern| pattern.matches(before, this));
        match matching.map(|pattern| pattern.shown).min() {
            Some(shown) => (this.get(..shown).unwrap_or_default(), HIDDEN),
            None => (this, b""),
        }
    }
}

impl Pattern {
    fn new(pattern: &str) -> Self {
        let (before, this) = match pattern.split_once(' ') {
            Some((before, this)) => (Some(Patterns::wildcards([before], false)), this),
            None => (None, pattern),
        };
        let shown = this.find(['*', '?']).unwrap_or(0);
        Self { before, this: Patterns::wildcards([this], false), shown }
    }

    fn matches(&self, before: Option<&[u8]>, this: &[u8]) -> bool {
        let follows = match &self.before {
            Some(pattern) => before.is_some_and(|before| pattern.matches(before)),
            None => true,
        };
        follows && self.this.matches(this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(patterns: &[&str], args: &[&str]) -> Vec<String> {
        let (redact, args) = (Redact::new(patterns), args.iter().collect::<Texts>());
        let shown: Vec<_> = redact.show(&args).map(|(shown, hidden)| [shown, hidden].concat()).collect();
        assert_eq!(redact.hides(&args), shown.iter().any(|text| text.ends_with(HIDDEN)));
        shown.into_iter().map(|text| String::from_utf8(text).unwrap()).collect()
    }

    #[test]
    fn a_secret_is_hidden_and_its_option_stays() {
        let args = ["mysql", "--password=geheim", "-p", "auch", "--passwort=x", "-pkurz"];
        let wanted = ["mysql", "--password=[redacted]", "-p", "[redacted]", "--passwort=x", "-p[redacted]"];
        assert_eq!(shown(&["--password=*", "-p *", "-p?*"], &args), wanted);
        assert_eq!(shown(&["--token=*"], &args), args);
        assert_eq!(shown(&[], &args), args);
    }

    #[test]
    fn what_begins_with_a_wildcard_or_has_none_is_hidden_whole() {
        assert_eq!(
            shown(&["*secret*", "geheim"], &["x", "my-secret-7", "geheim", "geheimnis"]),
            ["x", "[redacted]", "[redacted]", "geheimnis"]
        );
    }

    #[test]
    fn of_two_patterns_the_one_that_shows_less_wins() {
        assert_eq!(shown(&["--key=*", "*key*"], &["--key=7"]), ["[redacted]"]);
    }
}
