//! Which rules of many can match at all, found from the values of a few fields.
//!
//! Most rules demand that some text be in a field: as the whole value, at its start, at its end, or anywhere. For each
//! such field trees of these texts, and an automaton for those that can be anywhere, give the rules whose demand is met
//! in one pass over the value; only rules for which every demand is met are evaluated. What cannot be told (an unknown
//! value, an unread one) meets every demand, so that evaluation still sees the doubt.

use super::condition::{Node, Test};
use super::file::Rule;
use super::limits;
use super::pattern::{Held, Place};
use crate::event::{Field, Groups, Kind};
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// A set of rules, one bit each.
pub(crate) type Bits = [u64; limits::RULES / 64];

/// Finds the rules that can match.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    pub(crate) fields: Box<[FieldIndex]>,
    /// How many words of [`Bits`] are in use.
    pub(crate) words: usize,
    pub(crate) rules: usize,
}

/// The demands on one field.
#[derive(Clone, Debug)]
pub(crate) struct FieldIndex {
    pub(crate) field: Field,
    /// Rules that demand nothing of this field.
    pub(crate) indifferent: Box<[u64]>,
    /// Of texts as they are.
    pub(crate) exact: Finder,
    /// Of texts in lower case.
    pub(crate) folded: Finder,
}

/// Finds the rules whose texts are in a value.
#[derive(Clone, Debug)]
pub(crate) struct Finder {
    starts: Tree,
    /// Of texts written backwards.
    ends: Tree,
    anywhere: Option<Anywhere>,
}

/// Texts that can be anywhere.
#[derive(Clone, Debug)]
struct Anywhere {
    automaton: AhoCorasick,
    /// For each of its texts.
    rules: Vec<Rules>,
}

/// Texts and beginnings of texts, each with the rules that demand it.
#[derive(Clone, Debug)]
struct Tree {
    nodes: Vec<Branch>,
}

#[derive(Clone, Debug, Default)]
struct Branch {
    /// What leads from the node above to this one.
    label: Box<[u8]>,
    below: Vec<usize>,
    /// Rules that are met by whatever begins so.
    begins: Rules,
    /// Rules that are met by this text alone.
    whole: Rules,
}

/// A set of rules: a list while there are few.
#[derive(Clone, Debug)]
enum Rules {
    Few(Vec<u16>),
    Many(Box<[u64]>),
}

/// With fewer rules than this that demand something of a field, asking it costs more than it saves.
const WORTH: usize = 3;

impl Index {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let words = rules.len().div_ceil(64);
        let demands: Vec<Vec<Demand>> =
            rules.iter().map(|rule| demands(&rule.condition.root, true)).collect();
        let mut fields = Vec::new();
        for field in Field::ALL.iter().copied().filter(|field| is_cheap(*field)) {
            let demanding =
                demands.iter().filter(|demands| demands.iter().any(|demand| demand.field == field));
            if demanding.count() >= WORTH {
                fields.push(FieldIndex::new(field, &demands, words));
            }
        }
        // What every attempt has is asked first: it may leave no rule for which anything must be fetched.
        fields.sort_by_key(|index| !index.field.groups().is_empty());
        Self { fields: fields.into(), words, rules: rules.len() }
    }
}

impl FieldIndex {
    fn new(field: Field, demands: &[Vec<Demand>], words: usize) -> Self {
        let mut indifferent = vec![0; words];
        let mut held: [Vec<(&Held, usize)>; 2] = [Vec::new(), Vec::new()];
        for (rule, demands) in demands.iter().enumerate() {
            let mine =
                demands.iter().filter(|demand| demand.field == field).max_by_key(|demand| demand.worth());
            let Some(demand) = mine else {
                set(&mut indifferent, rule);
                continue;
            };
            for text in &demand.held {
                let [exact, folded] = &mut held;
                if text.fold { folded } else { exact }.push((text, rule));
            }
        }
        let [exact, folded] = held.map(|held| Finder::new(&held, words));
        Self { field, indifferent: indifferent.into(), exact, folded }
    }
}

/// What a rule demands of one field: that some value of it hold one of these.
#[derive(Clone, Debug)]
struct Demand {
    field: Field,
    held: Vec<Held>,
}

impl Demand {
    /// Of several demands on a field, the one with the longest shortest text tells most.
    fn worth(&self) -> usize {
        self.held.iter().map(|held| held.text.len()).min().unwrap_or(usize::MAX)
    }
}

impl Finder {
    fn new(held: &[(&Held, usize)], words: usize) -> Self {
        let (mut starts, mut ends) = (Tree::new(), Tree::new());
        let mut anywhere: Vec<(&[u8], Rules)> = Vec::new();
        for (text, rule) in held {
            match text.place {
                Place::Whole => starts.add(&text.text, true, *rule, words),
                Place::Start => starts.add(&text.text, false, *rule, words),
                Place::End => {
                    let backwards: Vec<u8> = text.text.iter().rev().copied().collect();
                    ends.add(&backwards, false, *rule, words);
                }
                Place::Anywhere => {
                    let at = anywhere.binary_search_by(|(known, _)| (*known).cmp(&text.text));
                    let at = at.unwrap_or_else(|gap| {
                        anywhere.insert(gap, (&text.text, Rules::default()));
                        gap
                    });
                    if let Some((_, rules)) = anywhere.get_mut(at) {
                        rules.add(*rule, words);
                    }
                }
            }
        }
        let anywhere = Anywhere::new(anywhere);
        if anywhere.is_err() {
            // Every value begins with the empty text, so these rules are always found.
            let rules = held.iter().filter(|(text, _)| text.place == Place::Anywhere);
            rules.for_each(|(_, rule)| starts.add(b"", false, *rule, words));
        }
        Self { starts, ends, anywhere: anywhere.ok().flatten() }
    }

    /// True where nothing is looked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.starts.is_empty() && self.ends.is_empty() && self.anywhere.is_none()
    }

    /// True where [`Self::collect`] wants the value backwards too.
    pub(crate) fn looks_backwards(&self) -> bool {
        !self.ends.is_empty()
    }

    /// Adds to `met` the rules of which a text is in `value`; `backwards` is the value from its end to its start.
    pub(crate) fn collect(&self, value: &[u8], backwards: &[u8], met: &mut [u64]) {
        self.starts.collect(value, met);
        self.ends.collect(backwards, met);
        if let Some(anywhere) = &self.anywhere {
            anywhere.collect(value, met);
        }
    }
}

impl Anywhere {
    /// `None` without texts; an error where they are too many for an automaton, which the limits of a file rule out.
    fn new(texts: Vec<(&[u8], Rules)>) -> Result<Option<Self>, aho_corasick::BuildError> {
        if texts.is_empty() {
            return Ok(None);
        }
        let (needles, rules): (Vec<&[u8]>, Vec<Rules>) = texts.into_iter().unzip();
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&needles)?;
        Ok(Some(Self { automaton, rules }))
    }

    fn collect(&self, value: &[u8], met: &mut [u64]) {
        let mut state = aho_corasick::automaton::OverlappingState::start();
        let input = aho_corasick::Input::new(value);
        loop {
            if self.automaton.try_find_overlapping(input.clone(), &mut state).is_err() {
                return;
            }
            let Some(found) = state.get_match() else { return };
            if let Some(rules) = self.rules.get(found.pattern().as_usize()) {
                rules.collect(met);
            }
        }
    }
}

/// What must hold for `node` to be anything but false (`positive`), or anything but true (not `positive`).
fn demands(node: &Node, positive: bool) -> Vec<Demand> {
    match (&node.test, positive) {
        (Test::Not(inner), _) => demands(inner, !positive),
        (Test::And(parts), true) | (Test::Or(parts), false) => {
            parts.iter().flat_map(|part| demands(part, positive)).collect()
        }
        (Test::Or(parts), true) | (Test::And(parts), false) => common(parts, positive),
        (Test::Text(field, patterns), true) if is_cheap(*field) => {
            patterns.holds().map(|held| Demand { field: *field, held }).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Where any of the parts is enough: what all of them demand of the same field.
fn common(parts: &[Node], positive: bool) -> Vec<Demand> {
    let mut parts = parts.iter().map(|part| demands(part, positive));
    let mut merged = parts.next().unwrap_or_default();
    for other in parts {
        merged.retain_mut(|demand| {
            let same = other.iter().find(|other| other.field == demand.field);
            demand.held.extend(same.iter().flat_map(|same| same.held.iter().cloned()));
            same.is_some()
        });
    }
    merged
}

/// Fields of one or a few short texts.
fn is_cheap(field: Field) -> bool {
    let lists = Groups::ARGUMENTS.with(Groups::COMMAND_LINES);
    field.kind() == Kind::Keyword && !field.groups().intersects(lists) && field.constants().is_none()
}

fn set(bits: &mut [u64], rule: usize) {
    if let Some(word) = bits.get_mut(rule / 64) {
        *word |= 1 << (rule % 64);
    }
}

impl Tree {
    fn new() -> Self {
        Self { nodes: vec![Branch::default()] }
    }

    /// True where nothing is in it.
    fn is_empty(&self) -> bool {
        self.nodes.len() == 1
            && self.nodes.first().is_some_and(|root| root.begins.is_empty() && root.whole.is_empty())
    }

    /// Adds to `met` the rules that demand `text` or a beginning of it.
    fn collect(&self, text: &[u8], met: &mut [u64]) {
        let mut rest = text;
        let mut next = self.nodes.first();
        while let Some(node) = next {
            node.begins.collect(met);
            if rest.is_empty() {
                node.whole.collect(met);
            }
            next = self.below(node, rest);
            if let Some(below) = next {
                rest = rest.get(below.label.len()..).unwrap_or_default();
            }
        }
    }

    /// The node below that `rest` leads to. Labels of neighbours differ in their first byte.
    fn below(&self, node: &Branch, rest: &[u8]) -> Option<&Branch> {
        let first = rest.first()?;
        let found = node.below.binary_search_by_key(first, |below| self.first_byte(*below)).ok()?;
        self.nodes.get(*node.below.get(found)?).filter(|below| rest.starts_with(&below.label))
    }

    fn first_byte(&self, node: usize) -> u8 {
        self.nodes.get(node).and_then(|node| node.label.first()).copied().unwrap_or_default()
    }

    fn add(&mut self, text: &[u8], whole: bool, rule: usize, words: usize) {
        let at = self.place(text);
        if let Some(node) = self.nodes.get_mut(at) {
            let rules = if whole { &mut node.whole } else { &mut node.begins };
            rules.add(rule, words);
        }
    }

    /// The node for `text`, made where there is none.
    fn place(&mut self, text: &[u8]) -> usize {
        let mut at = 0;
        let mut rest = text;
        while let Some(first) = rest.first() {
            let below = self.nodes.get(at).map(|node| node.below.clone()).unwrap_or_default();
            match below.binary_search_by_key(first, |below| self.first_byte(*below)) {
                Err(gap) => {
                    let leaf = self.push(Branch { label: rest.into(), ..Branch::default() });
                    if let Some(node) = self.nodes.get_mut(at) {
                        node.below.insert(gap, leaf);
                    }
                    return leaf;
                }
                Ok(found) => {
                    let Some(next) = below.get(found).copied() else { return at };
                    let common = self.split(next, rest);
                    rest = rest.get(common..).unwrap_or_default();
                    at = next;
                }
            }
        }
        at
    }

    /// Cuts the label of `node` where it stops being a beginning of `text`, so that it is one; its new length.
    fn split(&mut self, node: usize, text: &[u8]) -> usize {
        let Some(label) = self.nodes.get(node).map(|node| node.label.clone()) else { return 0 };
        let common = label.iter().zip(text).take_while(|(a, b)| a == b).count();
        if common < label.len() {
            let (head, tail) = label.split_at(common);
            let lower = match self.nodes.get_mut(node) {
                Some(upper) => std::mem::replace(upper, Branch { label: head.into(), ..Branch::default() }),
                None => return common,
            };
            let lower = self.push(Branch { label: tail.into(), ..lower });
            if let Some(upper) = self.nodes.get_mut(node) {
                upper.below.push(lower);
            }
        }
        common
    }

    fn push(&mut self, node: Branch) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Rules {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Few(rules) if rules.is_empty())
    }

    fn add(&mut self, rule: usize, words: usize) {
        match self {
            Self::Few(rules) if rules.len() < 2 * words => rules.extend(u16::try_from(rule)),
            Self::Few(rules) => {
                let mut bits = vec![0; words];
                rules.iter().for_each(|rule| set(&mut bits, usize::from(*rule)));
                set(&mut bits, rule);
                *self = Self::Many(bits.into());
            }
            Self::Many(bits) => set(bits, rule),
        }
    }

    fn collect(&self, met: &mut [u64]) {
        match self {
            Self::Few(rules) => rules.iter().for_each(|rule| set(met, usize::from(*rule))),
            Self::Many(bits) => met.iter_mut().zip(bits).for_each(|(met, bits)| *met |= bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_meets_its_beginnings_and_itself() {
        let texts = ["/dev/shm/", "/dev/", "/dev/shm/a", "/run/", "/dev/sda", "", "/dev/shm/ab"];
        let mut tree = Tree::new();
        for (rule, text) in texts.iter().enumerate() {
            tree.add(text.as_bytes(), false, rule, 2);
            tree.add(text.as_bytes(), true, rule + 64, 2);
        }
        for given in ["/dev/shm/abc", "/dev/shm/a", "/dev", "", "/run/x", "x", "/dev/sd"] {
            let mut met = [0; 2];
            tree.collect(given.as_bytes(), &mut met);
            for (rule, text) in texts.iter().enumerate() {
                assert_eq!(met[0] >> rule & 1 == 1, given.starts_with(text), "{given} begins with {text}");
                assert_eq!(met[1] >> rule & 1 == 1, given == *text, "{given} is {text}");
            }
        }
    }

    #[test]
    fn many_rules_at_one_place_become_a_set() {
        let mut tree = Tree::new();
        for rule in 0..200 {
            tree.add(b"/dev/", false, rule, 4);
        }
        let mut met = [0; 4];
        tree.collect(b"/dev/x", &mut met);
        assert_eq!(met.iter().map(|word| word.count_ones()).sum::<u32>(), 200);
    }

    #[test]
    fn texts_are_found_at_the_start_at_the_end_and_anywhere() {
        let texts = ["ab", "b", "abc", "a", "xab"];
        let mut held = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            for (nth, place) in
                [Place::Start, Place::End, Place::Anywhere, Place::Whole].into_iter().enumerate()
            {
                held.push((Held { text: text.as_bytes().into(), place, fold: false }, 16 * nth + number));
            }
        }
        let held: Vec<_> = held.iter().map(|(held, rule)| (held, *rule)).collect();
        let finder = Finder::new(&held, 1);
        for value in ["ab", "abab", "", "xabc", "cba", "b"] {
            let backwards: String = value.chars().rev().collect();
            let mut met = [0];
            finder.collect(value.as_bytes(), backwards.as_bytes(), &mut met);
            for (number, text) in texts.iter().enumerate() {
                let wanted =
                    [value.starts_with(text), value.ends_with(text), value.contains(text), value == *text];
                for (nth, wanted) in wanted.into_iter().enumerate() {
                    assert_eq!(met[0] >> (16 * nth + number) & 1 == 1, wanted, "{text} in {value}, {nth}");
                }
            }
        }
    }
}
