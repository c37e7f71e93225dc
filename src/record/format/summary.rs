//! One readable line about an attempt or a notice, for the terminal, syslog and the record's `message`.

use super::own::{mode, response};
use super::{Case, Entry, Notice};
use crate::event::{Action, Basis, Cause, Device, Fact, Settled};
use crate::record::escape::{self, Style};
use std::fmt;
use std::io::Write as _;

pub(super) fn attempt(out: &mut Vec<u8>, style: Style, entry: &Entry<'_>) {
    let mut line = Line { out, style };
    let subject = &entry.attempt.subject;
    line.say(match entry.case() {
        Case::Denied => "denied: ",
        Case::WouldDeny => "would be denied: ",
        Case::NotDelivered => "not denied as decided: ",
        Case::Unseen => "ran unseen: ",
        Case::Excepted => "excepted: ",
        Case::Allowed => "allowed: ",
    });
    match &subject.user {
        Fact::Known(uid) => match entry.users.user(*uid) {
            Some(name) => {
                line.value(name);
                line.print(format_args!(" (uid {uid})"));
            }
            None => line.print(format_args!("uid {uid}")),
        },
        Fact::Unknown(cause) => line.print(format_args!("an unknown user ({cause})")),
        Fact::Absent | Fact::Unread => line.say("an unknown user"),
    }
    if subject.gains_privilege == Fact::Known(true) {
        line.say(" gaining privilege");
    }
    line.say(match (entry.attempt.action, entry.attempt.unseen) {
        (_, Some(_)) => " executed ",
        (Action::Exec, None) => " tried to execute ",
        (Action::Load, None) => " tried to load ",
        (Action::Interpret, None) => " tried to have interpreted ",
    });
    what(&mut line, entry);
    if let Some(way) = entry.attempt.unseen {
        line.print(format_args!(" ({})", way.name()));
    }
    if let Some(rule) = entry.subject_rule() {
        line.say(" [rule ");
        line.value(rule.id.as_bytes());
        line.say("]");
    }
    by(&mut line, entry);
    for failure in entry.failures {
        line.print(format_args!(" ({failure})"));
    }
    // Of a rule that could not be judged it is not known whether what it says is so.
    let judged = !matches!(entry.decision.basis, Basis::Unknown(_));
    if let Some(message) = entry.subject_rule().filter(|_| judged).and_then(|rule| rule.message.as_deref()) {
        line.say(": ");
        line.value(message.as_bytes());
    }
}

fn what(line: &mut Line<'_>, entry: &Entry<'_>) {
    let object = &entry.attempt.object;
    let seen = object.seen.known().map(Vec::as_slice);
    match object.names.first() {
        Some(name) if object.inner.is_unknown() => {
            line.say("a file in ");
            line.value(name);
        }
        Some(name) => line.value(name),
        None => line.say("an unknown file"),
    }
    // A bind mount or a link shows another path to the caller; the two spellings of one file do not need both.
    if let Some(seen) = seen.filter(|seen| object.names.iter().all(|name| name != *seen)) {
        line.say(" (seen as ");
        line.value(seen);
        line.say(")");
    }
}

fn by(line: &mut Line<'_>, entry: &Entry<'_>) {
    let subject = &entry.attempt.subject;
    // What runs already has nobody left who called: image and name are its own.
    let ran = entry.attempt.unseen.is_some();
    let image = subject.previous.known().and_then(|image| image.executable.known()).or(subject.name.known());
    if let Some(image) = image.filter(|_| !ran) {
        line.say(" by ");
        line.value(image);
    }
    let parent = subject.parent.known().and_then(|parent| parent.image.executable.known());
    if let Some(parent) = parent.filter(|_| ran) {
        line.say(" as a child of ");
        line.value(parent);
    }
    match (&subject.process, &subject.thread) {
        (Fact::Known(pid), _) => line.print(format_args!(" (pid {pid})")),
        (_, Fact::Known(thread)) => line.print(format_args!(" (thread {thread})")),
        _ => {}
    }
}

pub(super) fn notice(out: &mut Vec<u8>, style: Style, notice: &Notice<'_>) {
    let mut line = Line { out, style };
    match *notice {
        Notice::Started { version, mode: started, rules, marks, taken_over, .. } => line.print(format_args!(
            "shmguard {version} {}: {} mode, {rules} rules, {marks} filesystems",
            if taken_over { "took over" } else { "started" },
            mode(started),
        )),
        Notice::Stopping { signal, sender_pid, sender_uid, sender_exe } => {
            line.say("stopping on ");
            line.value(signal.as_bytes());
            if let Some(pid) = sender_pid {
                line.print(format_args!(" from pid {pid}"));
            }
            if let Some(uid) = sender_uid {
                line.print(format_args!(" of uid {uid}"));
            }
            if let Some(exe) = sender_exe {
                line.say(" (");
                line.value(exe);
                line.say(")");
            }
        }
        Notice::Reloaded { mode: now, rules, .. } => {
            line.print(format_args!("policy reloaded: {} mode, {rules} rules", mode(now)));
        }
        Notice::ReloadFailed { problems } => {
            line.print(format_args!("policy not reloaded, the old one stays: {} problems", problems.len()));
            if let Some(first) = problems.first() {
                line.say(", the first: ");
                line.value(first.as_bytes());
            }
        }
        Notice::MarkAdded { path, fstype, device } => place(&mut line, "watching ", path, fstype, device),
        Notice::MarkDropped { path, fstype, device } => {
            place(&mut line, "no longer watching ", path, fstype, device);
        }
        Notice::LeftOut { directory, reason } => {
            line.say("not watched: ");
            line.value(directory);
            line.say(": ");
            line.value(reason.as_bytes());
        }
        Notice::ModeChanged { from, to, by, .. } => {
            line.print(format_args!("mode changed from {} to {}: ", mode(from), mode(to)));
            line.value(by.as_bytes());
        }
        Notice::Gap { failure, count, detail } => {
            line.print(format_args!("{failure}: {count} times: "));
            line.value(detail.as_bytes());
        }
        Notice::SinkLost { sink, count, error } => {
            line.print(format_args!("{sink} loses records: {count} lost so far: "));
            line.value(error.as_bytes());
        }
        Notice::SinkBack { sink, lost, .. } => {
            line.print(format_args!("{sink} takes records again, {lost} were lost"));
        }
        Notice::NotDelivered { sequence, response: decided, settled } => {
            line.print(format_args!("the answer {} to record {sequence} ", response(decided)));
            match settled {
                Settled::Delivered => line.say("was delivered"),
                Settled::NobodyWaited => line.say("found nobody waiting"),
                Settled::Overtaken => line.say("came after the deadline, when it was answered already"),
                Settled::Refused(errno) => line.print(format_args!("was refused: {}", Cause::Failed(errno))),
            }
        }
        Notice::Torn { bytes, .. } => {
            line.print(format_args!("an unfinished record of {bytes} bytes was found at the end of the log"));
        }
        Notice::Rotated { file } => {
            line.say("the log continues here; what came before is in ");
            line.value(file);
        }
        Notice::Other { text, .. } => line.value(text.as_bytes()),
    }
}

fn place(line: &mut Line<'_>, verb: &str, path: &[u8], fstype: &[u8], device: Device) {
    line.say(verb);
    line.value(path);
    line.say(" (");
    line.value(fstype);
    line.print(format_args!(", device {device})"));
}

/// A line in the making.
struct Line<'a> {
    out: &'a mut Vec<u8>,
    style: Style,
}

impl Line<'_> {
    /// Our own ASCII text without quotation marks and backslashes.
    fn say(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// As [`Self::say`], with numbers.
    fn print(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a Vec cannot fail.
        self.out.write_fmt(text).unwrap_or_default();
    }

    /// A text from outside; where it is very long, its beginning and its length.
    fn value(&mut self, bytes: &[u8]) {
        if bytes.len() <= LONGEST {
            escape::push(self.out, bytes, self.style);
            return;
        }
        let mut end = LONGEST;
        // Not in the middle of a character, whose pieces would read as invalid bytes.
        while end > LONGEST - 4 && bytes.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
            end -= 1;
        }
        escape::push(self.out, bytes.get(..end).unwrap_or_default(), self.style);
        self.print(format_args!("...(+{} bytes)", bytes.len() - end));
    }
}

/// Syslog daemons cut or drop long messages; the record itself holds every byte.
const LONGEST: usize = 512;
