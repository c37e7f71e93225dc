//! The rules that can match an attempt, found by the generation's index.

use super::texts::{Shown, backwards, lower, show};
use crate::event::{Facts, RuleIndex, Value};
use crate::policy::index::{Bits, FieldIndex, Finder, Index};
use crate::policy::limits;

/// A set of rules, taken out in the order in which they are tried.
pub(super) struct Candidates {
    bits: Bits,
    words: usize,
    at: usize,
}

impl Candidates {
    /// Every rule whose demands on the indexed fields are met, or may be.
    pub(super) fn of(index: &Index, facts: &impl Facts) -> Self {
        let mut bits: Bits = [0; limits::RULES / 64];
        let words = index.words.min(bits.len());
        for (number, word) in bits.iter_mut().take(words).enumerate() {
            // The last word may not be full.
            let rest = index.rules.saturating_sub(number * 64);
            *word = if rest >= 64 { u64::MAX } else { (1 << rest) - 1 };
        }
        for field in &index.fields {
            narrow(field, facts, bits.get_mut(..words).unwrap_or_default());
        }
        Self { bits, words, at: 0 }
    }
}

/// Takes out the rules whose demand on the field is surely not met.
fn narrow(index: &FieldIndex, facts: &impl Facts, bits: &mut [u64]) {
    // Asking a field is not free, and no rule that is left may care.
    if bits.iter().zip(&index.indifferent).all(|(left, indifferent)| left & !indifferent == 0) {
        return;
    }
    let value = facts.value(index.field);
    if let Value::Within(_) | Value::Unknown(_) = value {
        return;
    }
    let mut met: Bits = [0; limits::RULES / 64];
    let met = met.get_mut(..bits.len()).unwrap_or_default();
    met.iter_mut().zip(&index.indifferent).for_each(|(met, indifferent)| *met = *indifferent);
    let shown = show(value, |text| {
        collect(&index.exact, text, met);
        if !index.folded.is_empty() {
            lower(text, |text| collect(&index.folded, text, met));
        }
        false
    });
    if let Shown::Unknown(_) = shown {
        return;
    }
    bits.iter_mut().zip(met).for_each(|(left, met)| *left &= *met);
}

fn collect(finder: &Finder, text: &[u8], met: &mut [u64]) {
    if finder.looks_backwards() {
        backwards(text, |backwards| finder.collect(text, backwards, met));
    } else {
        finder.collect(text, b"", met);
    }
}

impl Iterator for Candidates {
    type Item = RuleIndex;

    fn next(&mut self) -> Option<RuleIndex> {
        while self.at < self.words {
            let word = self.bits.get_mut(self.at)?;
            if *word != 0 {
                let bit = word.trailing_zeros();
                *word &= *word - 1;
                return u16::try_from(self.at * 64 + usize::try_from(bit).ok()?).ok().map(RuleIndex);
            }
            self.at += 1;
        }
        None
    }
}
