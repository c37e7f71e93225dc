//! Members that records of several kinds have.

use super::json::{Json, push_number};
use crate::event::{Fact, Gid, Uid, Users};
use crate::record::escape::{self, Style};

/// What tells one record from all others: its number in this boot.
pub(super) fn identity(json: &mut Json<'_>, sequence: u64, dataset: &str, boot: &str) {
    json.number("sequence", sequence);
    json.filled("id", |out| {
        escape::push(out, boot.as_bytes(), Style::Text);
        out.push(b'-');
        push_number(out, sequence);
    });
    json.text("module", "shmguard");
    json.text("dataset", dataset);
}

/// An id and, where the table has one, its name.
pub(super) fn user(json: &mut Json<'_>, uid: &Fact<Uid>, users: &Users) {
    if let Fact::Known(uid) = uid {
        json.id("id", u64::from(uid.0));
        if let Some(name) = users.user(*uid) {
            json.value("name", name);
        }
    }
}

/// The same for a group.
pub(super) fn group(json: &mut Json<'_>, gid: &Fact<Gid>, users: &Users) {
    if let Fact::Known(gid) = gid {
        json.id("id", u64::from(gid.0));
        if let Some(name) = users.group(*gid) {
            json.value("name", name);
        }
    }
}
