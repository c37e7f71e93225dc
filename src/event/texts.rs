//! A list of byte strings in one buffer, which keeps its memory when it is cleared.
//!
//! Names and arguments come from the kernel as bytes and there are several of each; one attempt after the other
//! fills the same list without asking the allocator.

use std::fmt;

/// A list of byte strings. Equality is by content.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    /// An empty list that never grows.
    pub const NONE: Self = Self { bytes: Vec::new(), ends: Vec::new() };

    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty list that takes `texts` strings of `bytes` bytes in all before it allocates.
    #[must_use]
    pub fn with_capacity(texts: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(texts) }
    }

    /// Appends one string.
    pub fn push(&mut self, text: &[u8]) {
        self.push_parts(&[text]);
    }

    /// Appends one string that is the concatenation of `parts`.
    pub fn push_parts(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.ends.push(self.bytes.len());
    }

    /// Forgets the strings, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// How many strings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True where there is no string at all (one empty string is a string).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string at `index`.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(start..end)
    }

    /// The first string.
    #[must_use]
    pub fn first(&self) -> Option<&[u8]> {
        self.at(0)
    }

    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + '_ {
        (0..self.len()).filter_map(|index| self.at(index))
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for Texts {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let mut list = Self::new();
        for text in texts {
            list.push(text.as_ref());
        }
        list
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|text| text.escape_ascii().to_string())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Texts;

    #[test]
    fn strings_come_back_in_order_and_empty_ones_count() {
        let texts: Texts = ["a", "", "bc"].into_iter().collect();
        assert_eq!(texts.iter().collect::<Vec<_>>(), [b"a".as_slice(), b"", b"bc"]);
        assert_eq!(texts.at(3), None);
    }

    #[test]
    fn clearing_keeps_nothing_but_the_memory() {
        let mut texts: Texts = ["x"].into_iter().collect();
        texts.clear();
        assert!(texts.is_empty());
        texts.push_parts(&[b"/dev/shm", b"/x"]);
        assert_eq!(texts.first(), Some(b"/dev/shm/x".as_slice()));
    }
}
