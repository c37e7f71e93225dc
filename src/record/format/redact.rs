//! What must not be shown: arguments that carry secrets.
//!
//! A pattern is what the operator writes: `--password=*` hides what `*` stands for; `--password *` hides the argument
//! after `--password`. `*` is any run of bytes; everything else is literal.

use crate::event::Texts;

/// Patterns of arguments to hide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redact {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// What the argument (or the one before it) begins with, up to the first `*`.
    prefix: Box<[u8]>,
    /// The secret is the next argument, and this one equals `prefix`.
    next: bool,
}

/// What takes the place of a secret.
pub(super) const HIDDEN: &[u8] = b"[redacted]";

impl Redact {
    /// From the operator's patterns; one without a `*` hides the whole argument that begins with it.
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
        for pattern in &self.patterns {
            if pattern.next && before == Some(&*pattern.prefix) {
                return (b"", HIDDEN);
            }
            if !pattern.next && this.starts_with(&pattern.prefix) {
                return (this.get(..pattern.prefix.len()).unwrap_or_default(), HIDDEN);
            }
        }
        (this, b"")
    }
}

impl Pattern {
    fn new(pattern: &str) -> Self {
        match pattern.split_once(' ') {
            Some((option, _)) => Self { prefix: option.as_bytes().into(), next: true },
            None => {
                let prefix = pattern.split_once('*').map_or(pattern, |(prefix, _)| prefix);
                Self { prefix: prefix.as_bytes().into(), next: false }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_and_its_option_stays() {
        let redact = Redact::new(&["--password=*", "-p *"]);
        let args: Texts = ["mysql", "--password=geheim", "-p", "auch", "--passwort=x"].into_iter().collect();
        let shown: Vec<_> = redact.show(&args).map(|(shown, hidden)| [shown, hidden].concat()).collect();
        assert_eq!(shown, [&b"mysql"[..], b"--password=[redacted]", b"-p", b"[redacted]", b"--passwort=x"]);
        assert!(redact.hides(&args));
        assert!(!Redact::new(&["--token=*"]).hides(&args));
    }
}
