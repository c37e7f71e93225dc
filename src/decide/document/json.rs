//! JSON to the slots of a document, without a tree in between: what is not kept is passed over as it is read.

use super::{Document, Held, Shape};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Fills `document` from one JSON object.
pub(super) fn read(line: &[u8], shape: &Shape, document: &mut Document) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(line);
    Object(Into { document, shape, at: 0 }).deserialize(&mut json)?;
    json.end()
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
        self.shape.slot(self.at)
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
