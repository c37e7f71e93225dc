//! What a field is in a record of ours or in a case, where the document does not simply say it.
//!
//! A record writes each value once and lists what is absent and what could not be known; this is where the other
//! names of a value, parts of paths, and those lists become values again. A test compares all of it with the attempt.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "of the many fields a few are derived from others, and the rest are not"
)]

use super::shape::{Extra, args_of, leader_of, named_by, same_as};
use super::{Document, DocumentKind, Held, doubt_of, held};
use crate::event::{Doubt, Facts, Field, Groups, Kind, Part, Texts, Value};

/// What a document that does not say it is about.
const USUAL_ACTION: &[&str] = &["exec"];

impl Document {
    pub(super) fn of_case(&self, field: Field) -> Value<'_> {
        if let Some(constants) = field.constants() {
            return Value::Constants(constants);
        }
        if let Some(slot) = self.slot(field) {
            return held(slot, field);
        }
        if part(field).is_some() {
            let unknown = |field| self.slot(field).is_some_and(|slot| matches!(slot.held, Held::Unknown));
            if unknown(Field::PathInside) {
                return self.path(field, self.extra(Extra::Names), false);
            }
            if let Some(names) = self.slot(Field::ProcessExecutable) {
                return self.path(field, &names.texts, !unknown(Field::ProcessExecutable));
            }
        }
        if let Some(source) = same_as(field) {
            return self.of_case(source);
        }
        match (field, leader_of(field)) {
            (Field::EntryMetaType, _) => self.entry_type(),
            (Field::EventAction, _) => Value::Constants(USUAL_ACTION),
            (Field::Unseen, _) => Value::Absent,
            (_, Some(leader)) if self.slot(leader).is_some() => self.is_same(leader),
            _ if self.kind == DocumentKind::Question => Value::Unknown(Doubt::OTHER),
            _ => Value::Absent,
        }
    }

    pub(super) fn of_record(&self, field: Field) -> Value<'_> {
        if let Some(constants) = field.constants() {
            return Value::Constants(constants);
        }
        if part(field).is_some() {
            let names = self.extra(Extra::Names);
            return self.path(field, names, self.slot(Field::PathInside).is_some() && !names.is_empty());
        }
        if let Some(args) = args_of(field)
            && let Some(value) = self.arguments(field, args)
        {
            return value;
        }
        if let Some(slot) = self.slot(field) {
            return held(slot, field);
        }
        match (field, leader_of(field), same_as(field)) {
            (Field::EventAction, _, _) => Value::Constants(USUAL_ACTION),
            (Field::EntryMetaType, _, _) => self.entry_type(),
            // It stands in every record of which it is so.
            (Field::Unseen, _, _) => Value::Absent,
            (_, Some(leader), _) => self.is_same(leader),
            (_, _, Some(source)) => self.of_record(source),
            _ => self.not_written(field),
        }
    }

    /// What a field is that the record does not hold.
    fn not_written(&self, field: Field) -> Value<'_> {
        let name = field.name();
        if self.lists(Extra::Absent, name) {
            return Value::Absent;
        }
        if self.lists(Extra::Unknown, name) {
            return Value::Unknown(doubt_of(field));
        }
        let was_looked_at = match field {
            Field::LoginUserId | Field::LoginUserName | Field::LoginSession => self.has(Extra::Login),
            // An empty set of capabilities is not written, but the sets were read where this was.
            Field::ProcessCapabilitiesPermitted | Field::ProcessCapabilitiesEffective => {
                self.slot(Field::NoNewPrivs).is_some()
            }
            // Names are looked up wherever the id is known.
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

    /// What a field that is made from the list `args` is, where that is not simply what the record says.
    fn arguments(&self, field: Field, args: Field) -> Option<Value<'_>> {
        // A list in which something was hidden is not the list that was judged.
        if self.lists(Extra::Redacted, args.name()) {
            return Some(Value::Unknown(Doubt::OTHER));
        }
        let own = field.groups().intersects(Groups::ARGUMENTS);
        if own && self.is_truncated() {
            return Some(match self.slot(field) {
                Some(slot) if field == args => Value::AtLeast(&slot.texts),
                _ => Value::Unknown(Doubt::ARGUMENTS),
            });
        }
        let is_line = field != args && field.kind() == Kind::Keyword;
        // No arguments make no command line, which the record writes as an empty one.
        if is_line && self.slot(args).is_some_and(|slot| slot.texts.is_empty()) {
            return Some(Value::Absent);
        }
        if is_line && self.slot(field).is_none() {
            return Some(match self.of_record(args) {
                Value::Unknown(doubt) => Value::Unknown(doubt),
                _ => Value::Absent,
            });
        }
        None
    }

    fn has(&self, extra: Extra) -> bool {
        self.slots.get(extra.slot()).is_some_and(|slot| !matches!(slot.held, Held::Nothing))
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
