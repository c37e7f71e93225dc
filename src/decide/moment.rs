//! Moments as JSON documents write them (RFC 3339), to nanoseconds since the epoch.

use crate::event::Timestamp;

/// The moment that `text` says; `None` where it says none, or one before 1970.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let when: toml::value::Datetime = text.parse().ok()?;
    crate::policy::moment(&when).map(Timestamp)
}
