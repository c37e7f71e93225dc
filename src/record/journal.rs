//! systemd's journal by its native protocol: fields that can be searched, whatever bytes they hold.

use super::datagram::Datagram;
use super::feeder::{Outlet, Parcel};
use super::format::{Case, Entry, Level};
use crate::event::{Effect, Fact, Response};
use nix::errno::Errno;
use std::io::Write as _;
use std::path::Path;

/// The connection.
#[derive(Debug)]
pub(super) struct Journal {
    socket: Datagram,
    message: Vec<u8>,
}

impl Journal {
    /// The journal need not be there.
    pub(super) fn new(socket: &Path) -> Self {
        Self { socket: Datagram::new(socket), message: Vec::new() }
    }
}

impl Outlet for Journal {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn send(&mut self, parcel: &Parcel) -> Result<(), Errno> {
        self.message.clear();
        field(&mut self.message, "MESSAGE", &parcel.summary);
        number(&mut self.message, "PRIORITY", priority(parcel.level));
        field(&mut self.message, "SYSLOG_IDENTIFIER", b"shmguard");
        self.message.extend_from_slice(&parcel.fields);
        self.socket.send(&self.message)
    }
}

/// Appends the fields of an attempt, but for those that every message has.
pub(super) fn attempt(out: &mut Vec<u8>, sequence: u64, entry: &Entry<'_>) {
    let case = entry.case();
    let subject = &entry.attempt.subject;
    field(out, "MESSAGE_ID", message_id(case).as_bytes());
    number(out, "SHMGUARD_SEQUENCE", sequence);
    field(out, "SHMGUARD_CASE", case.name().as_bytes());
    let effect: &[u8] = if entry.decision.effect == Effect::Deny { b"deny" } else { b"allow" };
    let response: &[u8] = if entry.response == Response::Deny { b"deny" } else { b"allow" };
    field(out, "SHMGUARD_DECISION", effect);
    field(out, "SHMGUARD_RESPONSE", response);
    if let Some(rule) = entry.subject_rule() {
        field(out, "SHMGUARD_RULE", rule.id.as_bytes());
    }
    if let Some(path) = entry.attempt.object.names.first() {
        field(out, "SHMGUARD_PATH", path.get(..LONGEST.min(path.len())).unwrap_or_default());
    }
    if let Fact::Known(user) = subject.user {
        number(out, "SHMGUARD_UID", u64::from(user.0));
    }
    if let Fact::Known(pid) = subject.process {
        number(out, "SHMGUARD_PID", u64::from(pid.0.unsigned_abs()));
    }
    if let Some(image) = subject.previous.known().and_then(|image| image.executable.known()) {
        field(out, "SHMGUARD_PREVIOUS", image.get(..LONGEST.min(image.len())).unwrap_or_default());
    }
    field(out, "SHMGUARD_POLICY", entry.policy_hash.as_bytes());
}

/// Appends the fields of a notice.
pub(super) fn notice(out: &mut Vec<u8>, sequence: u64) {
    field(out, "MESSAGE_ID", GUARD.as_bytes());
    number(out, "SHMGUARD_SEQUENCE", sequence);
    field(out, "SHMGUARD_CASE", b"guard");
}

/// A value with control characters goes with its length, so that no newline in it begins a field of its own.
fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.iter().any(u8::is_ascii_control) {
        out.push(b'\n');
        out.extend_from_slice(&u64::try_from(value.len()).unwrap_or_default().to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    // Writing to a Vec cannot fail.
    writeln!(out, "{name}={value}").unwrap_or_default();
}

fn priority(level: Level) -> u64 {
    match level {
        Level::Error => 3,
        Level::Warning => 4,
        Level::Notice => 5,
        Level::Info => 6,
    }
}

/// `journalctl MESSAGE_ID=...` finds all messages of one kind. These never change.
fn message_id(case: Case) -> &'static str {
    match case {
        Case::Denied => "265e17722a8b4d71be91d8969455d61c",
        Case::WouldDeny => "e24abf8703244c1a9374e807ab153b13",
        Case::NotDelivered => "66842464d2ba47e3967106855be13edd",
        Case::Unseen => "defc918f37ad48c7ad8047f696a499ef",
        Case::Excepted => "c0648e358ebf45ab8aa33ce32e34848d",
        Case::Allowed => "ebe3100a333049629125d4d17477605c",
    }
}

const GUARD: &str = "96e5a4c5ad5b4e8e82862deb1e5c3ca6";

/// The longest path in a field; the record holds every byte.
const LONGEST: usize = 2048;
