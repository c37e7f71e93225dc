//! A value's texts, one after the other, as the bytes that a comparison sees.
//!
//! Numbers that are keywords get their digits on the stack; arguments are joined, and long texts folded, in buffers
//! that are kept from one decision to the next.

use crate::event::{Doubt, Value};
use std::cell::RefCell;
use std::io::Write;

/// What came of showing a value's texts to a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// There is none: missing.
    None,
    /// Some text was accepted.
    Accepted,
    /// There are texts, and none was accepted.
    Refused,
    /// None was accepted of those that could be seen.
    Unknown(Doubt),
}

/// Shows every text of `value` to `accept` until it accepts one.
pub(crate) fn show(value: Value<'_>, mut accept: impl FnMut(&[u8]) -> bool) -> Shown {
    match value {
        Value::Absent => Shown::None,
        Value::Unknown(doubt) => Shown::Unknown(doubt),
        // The directories are not texts of the value; the caller asks `Patterns::below` of them.
        Value::Within(_) => Shown::Unknown(Doubt::PATH),
        Value::Text(text) => shown([text], accept),
        Value::Texts(texts) => shown(texts.iter(), accept),
        Value::AtLeast(texts) => match shown(texts.iter(), accept) {
            Shown::Accepted => Shown::Accepted,
            Shown::None | Shown::Refused | Shown::Unknown(_) => Shown::Unknown(Doubt::ARGUMENTS),
        },
        Value::Parts(paths, part) => shown(paths.iter().filter_map(|path| part.of(path)), accept),
        Value::Joined(texts) if texts.is_empty() => Shown::None,
        Value::Joined(texts) => {
            let mut buffer = Buffer::take();
            for (index, text) in texts.iter().enumerate() {
                if index > 0 {
                    buffer.0.push(b' ');
                }
                buffer.0.extend_from_slice(text);
            }
            shown([buffer.0.as_slice()], accept)
        }
        Value::Id(number) => digits(number, accept),
        Value::Octal(number) => formatted(format_args!("{number:04o}"), accept),
        Value::Device(device) => formatted(format_args!("{device}"), accept),
        Value::Number(number) => formatted(format_args!("{number}"), accept),
        Value::Decimal(number) => formatted(format_args!("{number}"), accept),
        Value::Bool(value) => formatted(format_args!("{value}"), accept),
        Value::Hex(bytes) => {
            let mut buffer = Buffer::take();
            for byte in bytes {
                for digit in [byte >> 4, byte & 0xf] {
                    buffer.0.push(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
                }
            }
            shown([buffer.0.as_slice()], accept)
        }
        Value::Flags(set, names) => {
            let kept = names.iter().enumerate().filter(|(bit, _)| set & (1 << bit) != 0);
            shown(kept.map(|(_, name)| name.as_bytes()), accept)
        }
        Value::Constants(texts) => shown(texts.iter().map(|text| text.as_bytes()), |text| accept(text)),
    }
}

fn shown<'a>(texts: impl IntoIterator<Item = &'a [u8]>, mut accept: impl FnMut(&[u8]) -> bool) -> Shown {
    let mut shown = Shown::None;
    for text in texts {
        if accept(text) {
            return Shown::Accepted;
        }
        shown = Shown::Refused;
    }
    shown
}

/// Ids are asked for by nearly every rule; this is several times as fast as formatting.
fn digits(mut number: u64, accept: impl FnMut(&[u8]) -> bool) -> Shown {
    let mut place = [0_u8; 20];
    let mut at = place.len();
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        at -= 1;
        if number == 0 {
            break;
        }
    }
    shown(place.get(at..), accept)
}

/// The longest is a decimal of a foreign document: 5e-324 has 326 characters.
fn formatted(text: std::fmt::Arguments<'_>, accept: impl FnMut(&[u8]) -> bool) -> Shown {
    let mut digits = [0_u8; 352];
    let mut rest = digits.as_mut_slice();
    if rest.write_fmt(text).is_err() {
        return Shown::Unknown(Doubt::OTHER);
    }
    let left = rest.len();
    shown(digits.get(..digits.len() - left), accept)
}

/// Runs `with` on `text` in lower case.
pub(crate) fn lower<T>(text: &[u8], with: impl FnOnce(&[u8]) -> T) -> T {
    changed(text, <[u8]>::make_ascii_lowercase, with)
}

/// Runs `with` on `text` from its end to its start.
pub(crate) fn backwards<T>(text: &[u8], with: impl FnOnce(&[u8]) -> T) -> T {
    changed(text, <[u8]>::reverse, with)
}

fn changed<T>(text: &[u8], change: fn(&mut [u8]), with: impl FnOnce(&[u8]) -> T) -> T {
    let mut short = [0_u8; 256];
    if let Some(place) = short.get_mut(..text.len()) {
        place.copy_from_slice(text);
        change(place);
        return with(place);
    }
    let mut buffer = Buffer::take();
    buffer.0.extend_from_slice(text);
    change(&mut buffer.0);
    with(&buffer.0)
}

/// A buffer of this thread, empty, which goes back when it is dropped and keeps its memory.
pub(crate) struct Buffer(pub(crate) Vec<u8>);

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Buffers that grew beyond this are given back to the allocator: one attempt with a huge command line must not cost
/// its memory for ever.
const KEPT: usize = 256 << 10;

impl Buffer {
    pub(crate) fn take() -> Self {
        let kept =
            BUFFERS.try_with(|buffers| buffers.try_borrow_mut().ok().and_then(|mut buffers| buffers.pop()));
        Self(kept.ok().flatten().unwrap_or_default())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.0);
        buffer.clear();
        if buffer.capacity() > KEPT {
            return;
        }
        // At the thread's end the list may be gone already; the buffer is then simply dropped.
        let _kept = BUFFERS.try_with(|buffers| {
            if let Ok(mut buffers) = buffers.try_borrow_mut() {
                buffers.push(buffer);
            }
        });
    }
}
