//! An exec event as a JSON document: one of our own records, or what another sensor wrote.
//!
//! Only the fields that are asked for are kept, in memory that is used again for the next document. In a foreign
//! document a field that is not there is absent; in one of our own it is so only if the record says that it was looked
//! for (`shmguard.absent`), and otherwise unknown.

mod derived;
mod json;
mod shape;

pub use shape::Shape;

use crate::event::{Doubt, Facts, Field, Groups, Kind, Texts, Timestamp, Value};
use shape::{EXTRAS, Extra};
use std::fmt;

/// One document, to be filled again and again.
#[derive(Clone, Debug)]
pub struct Document {
    slots: Vec<Slot>,
    touched: Vec<usize>,
    kind: DocumentKind,
}

/// Who wrote a document, and so what a missing field means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentKind {
    /// Another sensor: what is missing is absent.
    Foreign,
    /// We did, about an attempt: what is missing is absent or unknown, and the record says which.
    Record,
    /// We did, about something else than an attempt.
    Notice,
    /// The operator asks: what is missing is unknown, and what follows from other fields is derived.
    Question,
    /// The operator did, as a case: what is missing is absent, and what follows from other fields is derived.
    Case,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    held: Held,
    texts: Texts,
}

#[derive(Clone, Copy, Debug, Default)]
enum Held {
    #[default]
    Nothing,
    /// The texts of the slot; none where the document has an empty list.
    Texts,
    Integer(i64),
    Decimal(f64),
    Bool(bool),
    Unknown,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            slots: vec![Slot::default(); Field::COUNT + EXTRAS.len()],
            touched: Vec::new(),
            kind: DocumentKind::Foreign,
        }
    }
}

impl Document {
    /// Reads one line: a JSON object, nested, with dotted keys, or both.
    ///
    /// # Errors
    /// The line is not a JSON object. What was read before the mistake is forgotten with the next line.
    pub fn read(&mut self, line: &[u8], shape: &Shape) -> Result<(), serde_json::Error> {
        self.clear();
        json::read(line, shape, self)?;
        let is = |extra, text: &str| self.extra(extra).first() == Some(text.as_bytes());
        if is(Extra::Module, "shmguard") {
            let ours = is(Extra::Provider, "fanotify") || is(Extra::Provider, "proc-connector");
            let attempt = ours && is(Extra::Dataset, "shmguard.exec");
            self.kind = if attempt { DocumentKind::Record } else { DocumentKind::Notice };
            self.unescape();
        }
        Ok(())
    }

    /// An empty case: every field is absent until it is put.
    #[must_use]
    pub fn case() -> Self {
        Self { kind: DocumentKind::Case, ..Self::default() }
    }

    /// An empty question: every field is unknown until it is put.
    #[must_use]
    pub fn question() -> Self {
        Self { kind: DocumentKind::Question, ..Self::default() }
    }

    /// True where something was put for this field, be it nothing.
    #[must_use]
    pub fn is_put(&self, field: Field) -> bool {
        self.slot(field).is_some()
    }

    /// The file's names, for people.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let names = self.slot(Field::ProcessExecutable).map(|slot| &slot.texts);
        names
            .into_iter()
            .flat_map(Texts::iter)
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect()
    }

    /// Adds a text to a field. A number or a truth value is read from its text.
    pub fn put(&mut self, field: Field, text: &[u8]) {
        self.put_text(field.index(), text);
    }

    /// Makes a field absent, whatever it could be derived from.
    pub fn put_nothing(&mut self, field: Field) {
        let _there = self.touch(field.index());
    }

    /// Makes a field unknown.
    pub fn put_unknown(&mut self, field: Field) {
        if let Some(slot) = self.touch(field.index()) {
            slot.held = Held::Unknown;
        }
    }

    /// Adds a directory in which the file is known to lie, while its path is not known otherwise.
    pub fn put_within(&mut self, directory: &[u8]) {
        self.put_unknown(Field::PathInside);
        self.put_text(Extra::Names.slot(), directory);
    }

    /// Who wrote it.
    #[must_use]
    pub fn kind(&self) -> DocumentKind {
        self.kind
    }

    /// `@timestamp`, where it is there and a moment.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        super::moment::parse(std::str::from_utf8(self.extra(Extra::Timestamp).first()?).ok()?)
    }

    /// What our record says was decided: the effect, and the rule that decided or could not be judged.
    #[must_use]
    pub fn recorded(&self) -> (Option<&str>, Option<&str>) {
        let text = |extra| self.extra(extra).first().and_then(|text| std::str::from_utf8(text).ok());
        let decision = match text(Extra::Basis) {
            Some("unknown") => Some("unknown"),
            _ => text(Extra::Decision),
        };
        (decision, text(Extra::Rule))
    }

    fn clear(&mut self) {
        while let Some(at) = self.touched.pop() {
            if let Some(slot) = self.slots.get_mut(at) {
                slot.held = Held::Nothing;
                slot.texts.clear();
            }
        }
        self.kind = DocumentKind::Foreign;
    }

    fn extra(&self, extra: Extra) -> &Texts {
        static NONE: Texts = Texts::NONE;
        self.slots.get(extra.slot()).map_or(&NONE, |slot| &slot.texts)
    }

    fn slot(&self, field: Field) -> Option<&Slot> {
        self.slots.get(field.index()).filter(|slot| !matches!(slot.held, Held::Nothing))
    }

    fn touch(&mut self, at: usize) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(at)?;
        if matches!(slot.held, Held::Nothing) {
            self.touched.push(at);
            slot.held = Held::Texts;
        }
        Some(slot)
    }

    /// Elasticsearch takes numbers and truth values in quotes for fields of these types, and anything for a keyword.
    fn put_text(&mut self, at: usize, text: &[u8]) {
        let kind = Field::ALL.get(at).map_or(Kind::Keyword, |field| field.kind());
        let Some(slot) = self.touch(at) else { return };
        let parsed = std::str::from_utf8(text).ok();
        match kind {
            Kind::Keyword => slot.texts.push(text),
            Kind::Number => {
                if let Some(number) = parsed.and_then(|text| text.parse().ok()) {
                    slot.held = Held::Integer(number);
                } else if let Some(number) = parsed.and_then(|text| text.parse().ok()) {
                    slot.held = Held::Decimal(number);
                }
            }
            Kind::Boolean => {
                if let Some(value) = parsed.and_then(|text| text.parse().ok()) {
                    slot.held = Held::Bool(value);
                }
            }
        }
    }

    fn put_number(&mut self, at: usize, number: Held, text: fmt::Arguments<'_>) {
        let is_number = Field::ALL.get(at).is_some_and(|field| field.kind() == Kind::Number);
        let Some(slot) = self.touch(at) else { return };
        if is_number {
            slot.held = number;
        } else {
            slot.texts.push(text.to_string().as_bytes());
        }
    }

    fn put_bool(&mut self, at: usize, value: bool) {
        let is_bool = Field::ALL.get(at).is_none_or(|field| field.kind() == Kind::Boolean);
        let Some(slot) = self.touch(at) else { return };
        if is_bool {
            slot.held = Held::Bool(value);
        } else {
            slot.texts.push(if value { b"true" } else { b"false" });
        }
    }

    /// Undoes the escapes of our records: `\xHH` is a byte, `\\` a backslash.
    fn unescape(&mut self) {
        for at in &self.touched {
            let Some(slot) = self.slots.get_mut(*at) else { continue };
            if slot.texts.iter().any(|text| text.contains(&b'\\')) {
                slot.texts = slot.texts.iter().map(unescaped).collect();
            }
        }
    }

    fn lists(&self, list: Extra, name: &str) -> bool {
        self.extra(list).iter().any(|listed| {
            let rest = name.as_bytes().strip_prefix(listed);
            rest.is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'.'))
        })
    }
}

impl Facts for Document {
    fn value(&self, field: Field) -> Value<'_> {
        match self.kind {
            DocumentKind::Foreign | DocumentKind::Notice => {
                self.slot(field).map_or(Value::Absent, |slot| held(slot, field))
            }
            DocumentKind::Record => self.of_record(field),
            DocumentKind::Case | DocumentKind::Question => self.of_case(field),
        }
    }
}

fn held(slot: &Slot, field: Field) -> Value<'_> {
    match slot.held {
        Held::Nothing => Value::Absent,
        Held::Texts if slot.texts.is_empty() => Value::Absent,
        Held::Texts => Value::Texts(&slot.texts),
        Held::Integer(number) => Value::Number(number),
        Held::Decimal(number) => Value::Decimal(number),
        Held::Bool(value) => Value::Bool(value),
        Held::Unknown => Value::Unknown(doubt_of(field)),
    }
}

fn doubt_of(field: Field) -> Doubt {
    if field.is_path() {
        Doubt::PATH
    } else if field.groups().intersects(Groups::ARGUMENTS) {
        Doubt::ARGUMENTS
    } else {
        Doubt::OTHER
    }
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'\\', [b'\\', tail @ ..]) => {
                bytes.push(b'\\');
                rest = tail;
            }
            (b'\\', [b'x', high, low, tail @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = tail;
                }
                _ => bytes.push(b'\\'),
            },
            _ => bytes.push(*byte),
        }
    }
    bytes
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests;
