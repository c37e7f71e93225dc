//! Notices: what happens to the guard itself, as lines of the same log and in the same sequence.

use super::common::identity;
use super::json::Json;
use super::own::{mode, response};
use super::{Case, Host, Level, summary};
use crate::event::{Device, Failure, Mode, Pid, Response, Settled, Timestamp, Uid};
use crate::record::escape::Style;

/// One event of the guard itself.
#[derive(Clone, Copy, Debug)]
pub enum Notice<'a> {
    /// The guard stands: every mark is in place.
    Started {
        /// The program's version.
        version: &'a str,
        /// The mode it starts in.
        mode: Mode,
        /// The generation's hash.
        policy_hash: &'a str,
        /// How many rules the generation has.
        rules: usize,
        /// How many filesystems are marked.
        marks: usize,
        /// It inherited the group from a predecessor.
        taken_over: bool,
    },
    /// An orderly stop has begun.
    Stopping {
        /// The signal's name, or another cause.
        signal: &'a str,
        /// Who sent it, where the kernel tells.
        sender_pid: Option<Pid>,
        /// The sender's real user.
        sender_uid: Option<Uid>,
        /// What the sender runs.
        sender_exe: Option<&'a [u8]>,
    },
    /// A new generation holds.
    Reloaded {
        /// Its hash.
        policy_hash: &'a str,
        /// Its mode.
        mode: Mode,
        /// How many rules it has.
        rules: usize,
    },
    /// A new generation was refused; the old one stays.
    ReloadFailed {
        /// Each problem as it would be printed.
        problems: &'a [String],
    },
    /// A filesystem is watched from now on.
    MarkAdded {
        /// Where it is mounted.
        path: &'a [u8],
        /// Its type.
        fstype: &'a [u8],
        /// Its device number.
        device: Device,
    },
    /// A filesystem is watched no longer.
    MarkDropped {
        /// Where it was mounted.
        path: &'a [u8],
        /// Its type.
        fstype: &'a [u8],
        /// Its device number.
        device: Device,
    },
    /// A configured directory is not watched.
    LeftOut {
        /// The directory.
        directory: &'a [u8],
        /// Why.
        reason: &'a str,
    },
    /// The mode was changed while the guard runs.
    ModeChanged {
        /// The mode before.
        from: Mode,
        /// The mode now.
        to: Mode,
        /// Who did it: a user of the control socket, an expiry.
        by: &'a str,
        /// When it goes back by itself.
        until: Option<Timestamp>,
    },
    /// Something is missing from the log, or was answered without a look.
    Gap {
        /// What went wrong.
        failure: Failure,
        /// How often since the last such notice.
        count: u64,
        /// More about it.
        detail: &'a str,
    },
    /// A sink loses records.
    SinkLost {
        /// Its name.
        sink: &'a str,
        /// How many it has lost so far.
        count: u64,
        /// What it failed with.
        error: &'a str,
    },
    /// A sink takes records again.
    SinkBack {
        /// Its name.
        sink: &'a str,
        /// How many records it lost meanwhile.
        lost: u64,
        /// The first and last sequence number lost, where this sink is the record of truth: `verify` then knows
        /// why they are missing.
        missing: Option<(u64, u64)>,
    },
    /// The kernel did not take the answer to a recorded attempt.
    NotDelivered {
        /// The attempt's record.
        sequence: u64,
        /// What it was to be told.
        response: Response,
        /// What became of it.
        settled: Settled,
    },
    /// The log ended in an unfinished record, which a crash had left; it was cut off and is kept here.
    Torn {
        /// How long it was.
        bytes: u64,
        /// Its beginning.
        text: &'a [u8],
    },
    /// A new file begins.
    Rotated {
        /// The file that came before.
        file: &'a [u8],
    },
    /// Anything else worth a line.
    Other {
        /// `event.action`.
        action: &'a str,
        /// What to say.
        text: &'a str,
        /// Something did not work.
        failed: bool,
    },
}

impl Notice<'_> {
    /// How loud its readable line is.
    #[must_use]
    pub fn level(&self) -> Level {
        let is_routine = matches!(
            self,
            Self::MarkAdded { .. } | Self::MarkDropped { .. } | Self::Rotated { .. } | Self::Other { .. }
        );
        match shape(self).outcome {
            "failure" => Level::Error,
            _ if is_routine => Level::Info,
            _ => Level::Notice,
        }
    }

    /// The sink it is about.
    pub(crate) fn sink(&self) -> Option<&str> {
        if let Self::SinkLost { sink, .. } | Self::SinkBack { sink, .. } = self { Some(sink) } else { None }
    }
}

pub(super) fn write(line: &mut Vec<u8>, sequence: u64, at: Timestamp, notice: &Notice<'_>, host: &Host) {
    let shape = shape(notice);
    Json::document(line, |json| {
        json.time("@timestamp", at);
        json.texts("tags", &[if shape.kind == "alert" { Case::NotDelivered.name() } else { "guard" }]);
        json.filled("message", |out| summary::notice(out, Style::Message, notice));
        json.object("event", |json| {
            json.text("kind", shape.kind);
            json.texts("category", shape.categories);
            json.texts("type", shape.types);
            json.text("action", shape.action);
            json.text("outcome", shape.outcome);
            identity(json, sequence, "shmguard.guard", host.boot_id());
        });
        members(json, notice);
        json.object("shmguard", |json| own(json, notice));
        json.ready(host.members());
    });
    line.push(b'\n');
}

struct Shape<'a> {
    kind: &'static str,
    categories: &'static [&'static str],
    types: &'static [&'static str],
    action: &'a str,
    outcome: &'static str,
}

const HOST: &[&str] = &["host"];
const CONFIGURATION: &[&str] = &["configuration"];

fn shape<'a>(notice: &Notice<'a>) -> Shape<'a> {
    let shape =
        |categories, types, action, outcome| Shape { kind: "event", categories, types, action, outcome };
    match *notice {
        Notice::Started { .. } => shape(HOST, &["start"], "guard-started", "success"),
        Notice::Stopping { .. } => shape(HOST, &["end"], "guard-stopping", "success"),
        Notice::Reloaded { .. } => shape(CONFIGURATION, &["change"], "policy-reloaded", "success"),
        Notice::ReloadFailed { .. } => shape(CONFIGURATION, &["change"], "policy-reload-failed", "failure"),
        Notice::MarkAdded { .. } => shape(CONFIGURATION, &["creation"], "mark-added", "success"),
        Notice::MarkDropped { .. } => shape(CONFIGURATION, &["deletion"], "mark-dropped", "success"),
        Notice::LeftOut { .. } => shape(CONFIGURATION, &["info"], "directory-left-out", "failure"),
        Notice::ModeChanged { .. } => shape(CONFIGURATION, &["change"], "mode-changed", "success"),
        Notice::Gap { .. } => shape(HOST, &["info"], "gap", "failure"),
        Notice::SinkLost { .. } => shape(HOST, &["info"], "sink-lost", "failure"),
        Notice::SinkBack { .. } => shape(HOST, &["info"], "sink-back", "success"),
        // Nobody waiting is a caller that was killed; a refused answer leaves one that waits.
        Notice::NotDelivered { response: Response::Deny, settled: Settled::Refused(_), .. } => Shape {
            kind: "alert",
            categories: &["process", "intrusion_detection"],
            types: &["start", "denied"],
            action: "answer-not-delivered",
            outcome: "failure",
        },
        Notice::NotDelivered { .. } => shape(HOST, &["info"], "answer-not-delivered", "failure"),
        Notice::Torn { .. } => shape(HOST, &["info"], "log-repaired", "success"),
        Notice::Rotated { .. } => shape(HOST, &["info"], "log-rotated", "success"),
        Notice::Other { action, failed, .. } => {
            shape(HOST, &["info"], action, if failed { "failure" } else { "success" })
        }
    }
}

/// The members for which ECS has names.
fn members(json: &mut Json<'_>, notice: &Notice<'_>) {
    match *notice {
        Notice::Stopping { sender_pid, sender_uid, sender_exe, .. } => {
            json.object("process", |json| {
                if let Some(pid) = sender_pid {
                    json.number("pid", u64::from(pid.0.unsigned_abs()));
                }
                if let Some(exe) = sender_exe {
                    json.value("executable", exe);
                }
            });
            if let Some(uid) = sender_uid {
                json.object("user", |json| json.id("id", u64::from(uid.0)));
            }
        }
        Notice::ReloadFailed { problems } => json.object("error", |json| {
            if let Some(first) = problems.first() {
                json.text("message", first);
            }
        }),
        Notice::SinkLost { error, .. } => json.object("error", |json| json.text("message", error)),
        Notice::Started { .. }
        | Notice::Reloaded { .. }
        | Notice::MarkAdded { .. }
        | Notice::MarkDropped { .. }
        | Notice::LeftOut { .. }
        | Notice::ModeChanged { .. }
        | Notice::Gap { .. }
        | Notice::SinkBack { .. }
        | Notice::NotDelivered { .. }
        | Notice::Torn { .. }
        | Notice::Rotated { .. }
        | Notice::Other { .. } => {}
    }
}

/// The members for which ECS has no names.
fn own(json: &mut Json<'_>, notice: &Notice<'_>) {
    match *notice {
        Notice::Started { mode: started, policy_hash, rules, marks, taken_over, .. } => {
            policy(json, started, policy_hash, rules);
            json.number("marks", count(marks));
            json.flag("taken_over", taken_over);
        }
        Notice::Reloaded { policy_hash, mode, rules } => policy(json, mode, policy_hash, rules),
        Notice::Stopping { signal, .. } => json.text("signal", signal),
        Notice::ReloadFailed { problems } => {
            json.array("problems", |json| problems.iter().for_each(|problem| json.text_element(problem)));
        }
        Notice::MarkAdded { path, fstype, device } | Notice::MarkDropped { path, fstype, device } => {
            json.object("filesystem", |json| {
                json.value("path", path);
                json.value("type", fstype);
                json.filled("device", |out| {
                    super::json::push_number(out, u64::from(device.major));
                    out.push(b':');
                    super::json::push_number(out, u64::from(device.minor));
                });
            });
        }
        Notice::LeftOut { directory, reason } => {
            json.value("directory", directory);
            json.text("reason", reason);
        }
        Notice::ModeChanged { from, to, by, until } => {
            json.text("mode", mode(to));
            json.text("mode_before", mode(from));
            json.text("by", by);
            if let Some(until) = until {
                json.time("until", until);
            }
        }
        Notice::Gap { failure, count, detail } => {
            json.texts("failures", &[failure.name()]);
            json.number("count", count);
            json.text("detail", detail);
        }
        Notice::SinkLost { sink, count, .. } => {
            json.text("sink", sink);
            json.number("lost", count);
        }
        Notice::SinkBack { sink, lost, missing } => {
            json.text("sink", sink);
            json.number("lost", lost);
            if let Some((first, last)) = missing {
                json.object("missing", |json| {
                    json.number("first", first);
                    json.number("last", last);
                });
            }
        }
        Notice::NotDelivered { sequence, response: decided, settled } => {
            json.number("refers_to", sequence);
            json.text("response", response(decided));
            match settled {
                Settled::Delivered => json.text("settled", "delivered"),
                Settled::NobodyWaited => json.text("settled", "nobody_waited"),
                Settled::Overtaken => json.text("settled", "overtaken"),
                Settled::Refused(errno) => {
                    json.text("settled", "refused");
                    json.number("errno", u64::from(errno.unsigned_abs()));
                }
            }
        }
        Notice::Torn { bytes, text } => json.object("torn", |json| {
            json.number("bytes", bytes);
            json.value("text", text);
        }),
        Notice::Rotated { file } => json.value("continues", file),
        Notice::Other { .. } => {}
    }
}

fn policy(json: &mut Json<'_>, now: Mode, hash: &str, rules: usize) {
    json.text("mode", mode(now));
    json.object("policy", |json| {
        json.text("hash", hash);
        json.number("rules", count(rules));
    });
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
