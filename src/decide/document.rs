//! An exec event as a JSON document: one of our own records, or what another sensor wrote.
//!
//! Only the fields that are asked for are kept, in memory that is used again for the next document. In a foreign
//! document a field that is not there is absent; in one of our own it is so only if the record says that it was looked
//! for (`shmguard.absent`), and otherwise unknown.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "of the many fields a few are derived from others, and the rest are not"
)]

use crate::event::{Doubt, Facts, Field, Groups, Kind, Part, Texts, Timestamp, Value};
use crate::policy::Generation;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::sync::LazyLock;

/// Which fields of a document are kept, as a tree of the parts of their names.
#[derive(Clone, Debug)]
pub struct Shape {
    nodes: Vec<Branch>,
}

#[derive(Clone, Debug, Default)]
struct Branch {
    below: Vec<(Box<str>, usize)>,
    slot: Option<usize>,
}

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

/// What a record says beside the fields. Their slots follow those of the fields.
#[derive(Clone, Copy)]
enum Extra {
    Provider,
    Module,
    Dataset,
    Timestamp,
    Names,
    Absent,
    Unknown,
    Redacted,
    Truncated,
    Login,
    Decision,
    Basis,
    Rule,
}

/// What a document that does not say it is about.
const USUAL_ACTION: &[&str] = &["exec"];

const EXTRAS: &[(Extra, &str)] = &[
    (Extra::Provider, "event.provider"),
    (Extra::Module, "event.module"),
    (Extra::Dataset, "event.dataset"),
    (Extra::Timestamp, "@timestamp"),
    (Extra::Names, "shmguard.names"),
    (Extra::Absent, "shmguard.absent"),
    (Extra::Unknown, "shmguard.unknown.field"),
    (Extra::Redacted, "shmguard.redacted"),
    (Extra::Truncated, "shmguard.arguments.truncated"),
    (Extra::Login, "shmguard.login"),
    (Extra::Decision, "shmguard.decision"),
    (Extra::Basis, "shmguard.basis"),
    (Extra::Rule, "shmguard.rule"),
];

impl Extra {
    fn slot(self) -> usize {
        Field::COUNT + self as usize
    }
}

impl Shape {
    /// Everything that the rules of `generation` read, and what these fields are derived from.
    #[must_use]
    pub fn of(generation: &Generation) -> Self {
        let mut shape = Self { nodes: vec![Branch::default()] };
        for field in generation.fields() {
            shape.add_with_sources(*field);
        }
        shape.add_extras();
        shape
    }

    /// Every field.
    #[must_use]
    pub fn all() -> Self {
        let mut shape = Self { nodes: vec![Branch::default()] };
        for field in Field::ALL {
            shape.add_with_sources(*field);
        }
        shape.add_extras();
        shape
    }

    fn add_with_sources(&mut self, field: Field) {
        self.add(field.name(), field.index());
        if let Some(source) = same_as(field) {
            self.add(source.name(), source.index());
        }
        if let Some(id) = named_by(field) {
            self.add(id.name(), id.index());
        }
        if let Some(args) = args_of(field) {
            self.add(args.name(), args.index());
        }
        if let Some(leader) = leader_of(field) {
            self.add(leader.name(), leader.index());
            self.add(Field::ProcessPid.name(), Field::ProcessPid.index());
        }
        if matches!(field, Field::ProcessCapabilitiesPermitted | Field::ProcessCapabilitiesEffective) {
            self.add(Field::NoNewPrivs.name(), Field::NoNewPrivs.index());
        }
        if field == Field::EntryMetaType {
            self.add(Field::ContainerId.name(), Field::ContainerId.index());
            self.add(Field::EntryLeaderName.name(), Field::EntryLeaderName.index());
        }
    }

    fn add_extras(&mut self) {
        self.add(Field::PathInside.name(), Field::PathInside.index());
        for (extra, name) in EXTRAS {
            self.add(name, extra.slot());
        }
    }

    fn add(&mut self, name: &str, slot: usize) {
        let mut at = 0;
        for part in name.split('.') {
            at = match self.step(at, part) {
                Some(next) => next,
                None => {
                    let next = self.nodes.len();
                    self.nodes.push(Branch::default());
                    if let Some(node) = self.nodes.get_mut(at) {
                        node.below.push((part.into(), next));
                    }
                    next
                }
            };
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.slot = Some(slot);
        }
    }

    fn step(&self, at: usize, part: &str) -> Option<usize> {
        let node = self.nodes.get(at)?;
        node.below.iter().find(|(name, _)| **name == *part).map(|(_, next)| *next)
    }

    /// The node that a key leads to; a key may hold several parts, joined by dots.
    fn follow(&self, at: usize, key: &str) -> Option<usize> {
        if let Some(next) = self.step(at, key) {
            return Some(next);
        }
        if !key.contains('.') {
            return None;
        }
        key.split('.').try_fold(at, |at, part| self.step(at, part))
    }
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
        let mut json = serde_json::Deserializer::from_slice(line);
        Object(Into { document: self, shape, at: 0 }).deserialize(&mut json)?;
        json.end()?;
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

impl Document {
    fn of_case(&self, field: Field) -> Value<'_> {
        if let Some(constants) = field.constants() {
            return Value::Constants(constants);
        }
        if field == Field::EventAction && self.slot(field).is_none() {
            return Value::Constants(USUAL_ACTION);
        }
        if let Some(slot) = self.slot(field) {
            return held(slot, field);
        }
        if self.slot(Field::PathInside).is_some_and(|slot| matches!(slot.held, Held::Unknown))
            && field.is_path()
        {
            return self.path(field, self.extra(Extra::Names), false);
        }
        match (part(field), self.slot(Field::ProcessExecutable)) {
            (Some(None), Some(names)) => return Value::Texts(&names.texts),
            (Some(Some(part)), Some(names)) => return Value::Parts(&names.texts, part),
            _ => {}
        }
        if let Some(source) = same_as(field).filter(|source| *source != field) {
            return self.of_case(source);
        }
        match field {
            Field::EntryMetaType => self.entry_type(),
            _ if leader_of(field).is_some_and(|leader| self.slot(leader).is_some()) => {
                leader_of(field).map_or(Value::Absent, |leader| self.is_same(leader))
            }
            // What an attempt is unless something else is said.
            Field::EventAction => Value::Constants(&["exec"]),
            Field::Unseen => Value::Absent,
            _ if self.kind == DocumentKind::Question => Value::Unknown(Doubt::OTHER),
            _ => Value::Absent,
        }
    }

    fn of_record(&self, field: Field) -> Value<'_> {
        if let Some(constants) = field.constants() {
            return Value::Constants(constants);
        }
        if field == Field::EventAction && self.slot(field).is_none() {
            return Value::Constants(USUAL_ACTION);
        }
        if part(field).is_some() {
            let known = self.slot(Field::PathInside).is_some() && !self.extra(Extra::Names).is_empty();
            return self.path(field, self.extra(Extra::Names), known);
        }
        if let Some(args) = args_of(field) {
            // A list in which something was hidden is not the list that was judged.
            if self.lists(Extra::Redacted, args.name()) {
                return Value::Unknown(Doubt::OTHER);
            }
            // No arguments make no command line, which the record writes as an empty one.
            let is_line = field != args && field.kind() == Kind::Keyword;
            let none = self.slot(args).is_some_and(|slot| slot.texts.is_empty());
            if is_line && none && !(args == Field::ProcessArgs && self.is_truncated()) {
                return Value::Absent;
            }
            if is_line && self.slot(field).is_none() {
                return match self.of_record(args) {
                    Value::Unknown(doubt) => Value::Unknown(doubt),
                    Value::AtLeast(_) => Value::Unknown(Doubt::ARGUMENTS),
                    _ => Value::Absent,
                };
            }
        }
        if let Some(slot) = self.slot(field) {
            return match field {
                Field::ProcessArgs | Field::ProcessEnvVars if self.is_truncated() => {
                    Value::AtLeast(&slot.texts)
                }
                Field::ProcessCommandLine if self.is_truncated() => Value::Unknown(Doubt::ARGUMENTS),
                _ => held(slot, field),
            };
        }
        if field == Field::EntryMetaType {
            return self.entry_type();
        }
        if let Some(leader) = leader_of(field) {
            return self.is_same(leader);
        }
        if let Some(source) = same_as(field) {
            return self.of_record(source);
        }
        let name = field.name();
        if self.lists(Extra::Absent, name) {
            return Value::Absent;
        }
        if self.lists(Extra::Unknown, name) {
            return Value::Unknown(doubt_of(field));
        }
        let was_looked_at = match field {
            Field::LoginUserId | Field::LoginUserName | Field::LoginSession => {
                self.slots.get(Extra::Login.slot()).is_some_and(|slot| !matches!(slot.held, Held::Nothing))
            }
            // It stands in every record of which it is so.
            Field::Unseen => true,
            // An empty set of capabilities is not written, but the sets were read where this was.
            Field::ProcessCapabilitiesPermitted | Field::ProcessCapabilitiesEffective => {
                self.slot(Field::NoNewPrivs).is_some()
            }
            Field::ProcessArgsCount if self.is_truncated() => return Value::Unknown(Doubt::ARGUMENTS),
            // Names are looked up wherever the id is known, and a command line is written where there are arguments.
            _ => named_by(field).or(args_of(field)).is_some_and(|source| self.slot(source).is_some()),
        };
        if was_looked_at {
            return Value::Absent;
        }
        if let Some(id) = named_by(field) {
            return self.of_record(id);
        }
        // What every attempt has was looked for.
        Value::Unknown(if field.groups().is_empty() { doubt_of(field) } else { Doubt::OTHER })
    }

    fn is_truncated(&self) -> bool {
        self.slots.get(Extra::Truncated.slot()).is_some_and(|slot| matches!(slot.held, Held::Bool(true)))
    }

    fn path<'a>(&'a self, field: Field, names: &'a Texts, known: bool) -> Value<'a> {
        match part(field) {
            Some(Some(part)) if known => Value::Parts(names, part),
            Some(None) if known => Value::Texts(names),
            Some(None) if !names.is_empty() => Value::Within(names),
            _ => Value::Unknown(Doubt::PATH),
        }
    }

    /// Whether a leader, by its pid, is the process itself.
    fn is_same(&self, leader: Field) -> Value<'_> {
        match (self.value(leader), self.value(Field::ProcessPid)) {
            (Value::Number(leader), Value::Number(own)) => Value::Bool(leader == own),
            (Value::Number(_), other) | (other, _) => other,
        }
    }

    fn entry_type(&self) -> Value<'_> {
        match self.value(Field::ContainerId) {
            Value::Texts(_) => Value::Text(b"container"),
            Value::Absent => match self.value(Field::EntryLeaderName) {
                Value::Texts(name) if name.first() == Some(b"sshd") => Value::Text(b"sshd"),
                Value::Texts(_) => Value::Text(b"init"),
                value => value,
            },
            value => value,
        }
    }
}

/// For fields made from the file's names: which part of each.
fn part(field: Field) -> Option<Option<Part>> {
    match field {
        Field::ProcessExecutable | Field::FilePath => Some(None),
        Field::ProcessName | Field::FileName => Some(Some(Part::Name)),
        Field::FileDirectory => Some(Some(Part::Directory)),
        Field::FileExtension => Some(Some(Part::Extension)),
        _ => None,
    }
}

/// The field that holds the same value in our records.
fn same_as(field: Field) -> Option<Field> {
    Some(match field {
        Field::UserRealId => Field::ProcessRealUserId,
        Field::UserRealName => Field::ProcessRealUserName,
        Field::GroupRealId => Field::ProcessRealGroupId,
        Field::GroupRealName => Field::ProcessRealGroupName,
        Field::ProcessUserId => Field::UserId,
        Field::ProcessUserName => Field::UserName,
        Field::ProcessGroupId => Field::GroupId,
        Field::ProcessGroupName => Field::GroupName,
        Field::FileHash => Field::ProcessHash,
        Field::FilePath => Field::ProcessExecutable,
        Field::FileName => Field::ProcessName,
        _ => return None,
    })
}

/// The pid of the leader of which a field says whether it is the process itself.
fn leader_of(field: Field) -> Option<Field> {
    match field {
        Field::GroupLeaderSame => Some(Field::GroupLeaderPid),
        Field::SessionLeaderSame => Some(Field::SessionLeaderPid),
        Field::EntryLeaderSame => Some(Field::EntryLeaderPid),
        _ => None,
    }
}

/// The id whose name a field holds.
fn named_by(field: Field) -> Option<Field> {
    static IDS: LazyLock<Vec<Option<Field>>> =
        LazyLock::new(|| Field::ALL.iter().map(|field| find_id(*field)).collect());
    IDS.get(field.index()).copied().flatten()
}

fn find_id(field: Field) -> Option<Field> {
    match field {
        Field::FileOwner => Some(Field::FileUid),
        Field::FileGroup => Some(Field::FileGid),
        field => Field::named(&format!("{}.id", field.name().strip_suffix(".name")?)),
    }
}

/// The list of arguments that a field is made from.
fn args_of(field: Field) -> Option<Field> {
    static LISTS: LazyLock<Vec<Option<Field>>> =
        LazyLock::new(|| Field::ALL.iter().map(|field| find_args(*field)).collect());
    LISTS.get(field.index()).copied().flatten()
}

fn find_args(field: Field) -> Option<Field> {
    if field == Field::ProcessEnvVars {
        return Some(field);
    }
    let name = field.name();
    let prefix = [".args", ".args_count", ".command_line"].iter().find_map(|end| name.strip_suffix(end))?;
    Field::named(&format!("{prefix}.args"))
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

/// Where a value of the JSON goes.
struct Into<'d> {
    document: &'d mut Document,
    shape: &'d Shape,
    at: usize,
}

/// The document itself must be an object.
struct Object<'d>(Into<'d>);

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self.0)
    }
}

impl<'de> DeserializeSeed<'de> for Into<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Into<'_> {
    fn slot(&self) -> Option<usize> {
        self.shape.nodes.get(self.at).and_then(|node| node.slot)
    }
}

impl<'de> Visitor<'de> for Into<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if let Some(slot) = self.slot() {
            // Known to be there, whatever is in it.
            self.document.touch(slot);
        }
        while let Some(next) = map.next_key_seed(Key { shape: self.shape, at: self.at })? {
            match next {
                Some(at) => {
                    map.next_value_seed(Into { document: &mut *self.document, shape: self.shape, at })?
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if let Some(slot) = self.slot() {
            self.document.touch(slot);
        }
        while list
            .next_element_seed(Into { document: &mut *self.document, shape: self.shape, at: self.at })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if let Some(slot) = self.slot() {
            self.document.put_text(slot, text.as_bytes());
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if let Some(slot) = self.slot() {
            self.document.put_bool(slot, value);
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        if let Some(slot) = self.slot() {
            self.document.put_number(slot, Held::Integer(number), format_args!("{number}"));
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        if let Some(slot) = self.slot() {
            let held = Held::Integer(i64::try_from(number).unwrap_or(i64::MAX));
            self.document.put_number(slot, held, format_args!("{number}"));
        }
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        if let Some(slot) = self.slot() {
            self.document.put_number(slot, Held::Decimal(number), format_args!("{number}"));
        }
        Ok(())
    }

    /// A null is as good as nothing.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A key, as the node it leads to.
struct Key<'d> {
    shape: &'d Shape,
    at: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.shape.follow(self.at, key))
    }
}

#[cfg(test)]
mod tests;
