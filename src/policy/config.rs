//! The operator's configuration, `shmguard.toml`: every key, its default, and what is wrong with a given text.
//!
//! Owns the keys and their meaning. Opens nothing: text comes in, a [`Config`] or every mistake of the text goes
//! out. Whether a directory exists, who owns the file and what the marks can do is found out by those who use it.
//! The daemon reads it at start and at a reload; the commands read it to find the control socket.

mod reader;
#[cfg(test)]
mod tests;
mod values;

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use super::Problem;
use crate::event::{Effect, Mode};
use reader::{Section, Source, clause};
pub use values::{Facility, duration, size};

/// Where the configuration lies unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/shmguard/shmguard.toml";

/// The whole configuration. `Config::default()` is what an empty file means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The mode at start; `mode --for` and the kernel command line stand above it.
    pub mode: Mode,
    /// Files or directories of `*.toml` with rules, absolute. One that was named and is missing is an error, except
    /// the default directory.
    pub policy: Vec<PathBuf>,
    /// The embedded policy is the last layer.
    pub builtin: bool,
    /// What happens in prevention to an attempt that the rules allow and that could not be recorded.
    pub on_record_failure: Effect,
    /// What happens in prevention when an unknown value could have changed the answer.
    pub on_unknown: Effect,
    /// What happens when the policy cannot be read at start.
    pub on_bad_policy: OnBadPolicy,
    /// The longest time between reading an event and answering it: 100 ms to 60 s.
    pub answer_deadline: Duration,
    /// What is watched.
    pub watch: Watch,
    /// How much is looked up for a matched attempt.
    pub evidence: Evidence,
    /// Where records go.
    pub log: Log,
    /// The control socket, absolute, short enough for sockaddr_un.
    pub control: Control,
}

/// `on_bad_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBadPolicy {
    /// The guard does not start (exit 78).
    Fail,
    /// The guard starts with the last policy that was good, and says so until it is mended.
    LastGood,
}

/// `[watch]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The directories as the operator wrote them (absolute, without `.`, `..`, doubled or trailing slashes, each
    /// once, at least one). Links in them are resolved at start.
    pub directories: Vec<PathBuf>,
    /// The same directories in other mount namespaces are watched too.
    pub containers: bool,
    /// What happens to a directory that lies on a larger filesystem.
    pub shared_filesystem: SharedFilesystem,
    /// Loading a file from a watched filesystem through ld.so.
    pub loaders: Extra,
    /// Giving an interpreter a file from a watched filesystem.
    pub interpreters: Extra,
    /// Programs that run from memory without any file that could be marked.
    pub unseen: Unseen,
}

/// `watch.shared_filesystem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedFilesystem {
    /// The directory is left out, loudly.
    Skip,
    /// The whole filesystem is marked; attempts outside the directory are allowed at once and unrecorded.
    Mark,
}

/// `watch.loaders` and `watch.interpreters`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// Not looked at; costs nothing.
    Off,
    /// Recorded.
    Audit,
    /// Denied in prevention, recorded in audit mode.
    Deny,
}

/// `watch.unseen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// Not looked at.
    Off,
    /// Recorded after the fact.
    Report,
}

/// `[evidence]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// How deep the look at a matched attempt is.
    pub level: Level,
    /// Patterns of arguments that records must not show.
    pub redact: Vec<String>,
}

/// `evidence.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Who, what, where, rule, decision.
    Essential,
    /// Also arguments, parent, login, container and hash of a matched attempt.
    Full,
}

/// `[log]`: one section for each sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// `[log.file]`.
    pub file: File,
    /// `[log.syslog]`.
    pub syslog: Syslog,
    /// `[log.journal]`.
    pub journal: Journal,
    /// `[log.audit]`.
    pub audit: Audit,
}

/// `[log.file]`: the record of truth. Where it is off, standard error is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Whether it is written.
    pub enabled: bool,
    /// When it is forced to the disk.
    pub sync: Sync,
    /// Its path, absolute; `alerts.ndjson` lies beside it.
    pub path: PathBuf,
    /// It is rotated before it grows past so many bytes: 64 KiB to 1 TiB.
    pub max_size: u64,
    /// How many rotated files are kept: 1 to 1000.
    pub keep: u32,
}

/// `log.file.sync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// When the kernel likes.
    None,
    /// Regularly, from another thread.
    Interval,
    /// After each record, before the answer: any local user can then slow execs to the disk's pace.
    Each,
}

/// `[log.syslog]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// Whether it is written.
    pub enabled: bool,
    /// The daemon's datagram socket, absolute.
    pub socket: PathBuf,
    /// The facility of every message.
    pub facility: Facility,
}

/// `[log.journal]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// `Auto`: where /run/systemd/journal/socket exists.
    pub enabled: Switch,
}

/// `[log.audit]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// `Auto`: where the kernel's audit is on and somebody listens.
    pub enabled: Switch,
}

/// `[control]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// The socket, absolute, at most 107 bytes.
    pub socket: PathBuf,
}

/// Yes, no, or where it makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Where the other side exists.
    Auto,
    /// Required: its absence is a problem that `status` shows.
    On,
    /// Not used.
    Off,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Audit,
            policy: vec![PathBuf::from("/etc/shmguard/policy.d")],
            builtin: true,
            on_record_failure: Effect::Allow,
            on_unknown: Effect::Deny,
            on_bad_policy: OnBadPolicy::Fail,
            answer_deadline: Duration::from_secs(2),
            watch: Watch::default(),
            evidence: Evidence::default(),
            log: Log::default(),
            control: Control::default(),
        }
    }
}

impl Config {
    /// What `run` uses where there is neither `--config` nor a file at [`DEFAULT_PATH`]: the embedded policy alone,
    /// audit mode, and records to standard error only.
    #[must_use]
    pub fn without_file() -> Self {
        let log = Log {
            file: File { enabled: false, ..File::default() },
            syslog: Syslog { enabled: false, ..Syslog::default() },
            journal: Journal { enabled: Switch::Off },
            audit: Audit { enabled: Switch::Off },
        };
        Self { policy: Vec::new(), log, ..Self::default() }
    }

    /// What differs in `other` and takes effect at the next start only: keys and sections.
    #[must_use]
    pub fn fixed_until_restart(&self, other: &Self) -> Vec<&'static str> {
        let (log, others) = (&self.log, &other.log);
        [
            ("answer_deadline", self.answer_deadline != other.answer_deadline),
            ("[log.file]", log.file != others.file),
            ("[log.syslog]", log.syslog != others.syslog),
            ("[log.journal]", log.journal != others.journal),
            ("[log.audit]", log.audit != others.audit),
            ("[control]", self.control != other.control),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            directories: ["/dev/shm", "/run/shm", "/var/run", "/var/lock"].map(PathBuf::from).to_vec(),
            containers: true,
            shared_filesystem: SharedFilesystem::Skip,
            loaders: Extra::Off,
            interpreters: Extra::Off,
            unseen: Unseen::Off,
        }
    }
}

impl Default for Evidence {
    fn default() -> Self {
        Self { level: Level::Full, redact: Vec::new() }
    }
}

impl Default for File {
    fn default() -> Self {
        Self {
            enabled: true,
            sync: Sync::None,
            path: PathBuf::from("/var/log/shmguard/events.ndjson"),
            max_size: 64 * 1024 * 1024,
            keep: 8,
        }
    }
}

impl Default for Syslog {
    fn default() -> Self {
        Self { enabled: true, socket: PathBuf::from("/dev/log"), facility: Facility::default() }
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self { enabled: Switch::Auto }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self { enabled: Switch::Auto }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self { socket: PathBuf::from("/run/shmguard/control.sock") }
    }
}

/// Reads a configuration. `file` is only for the messages.
///
/// # Errors
/// Every mistake of the text at once, in the order of the text; none of the text is used then.
pub fn parse(file: Option<&Path>, text: &str) -> Result<Config, Vec<Problem>> {
    let source = Source { file, text };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<_> =
        errors.iter().map(|error| source.problem(error.span(), clause(error.message()))).collect();
    // A text that is not TOML leaves half a table: what would be said about its keys could be wrong.
    if !problems.is_empty() {
        return Err(problems);
    }
    let end = text.len()..text.len();
    let mut config = Config::default();
    Section::new(source, "", end, table.into_inner(), &mut problems)
        .read(|section| top(section, &mut config));
    if problems.is_empty() {
        return Ok(config);
    }
    problems.sort_by_key(|problem| problem.place.as_ref().map(|place| (place.line, place.column)));
    Err(problems)
}

fn top(section: &mut Section<'_, '_>, config: &mut Config) {
    section.set("mode", &mut config.mode, values::mode);
    let policy = section.paths("policy", &mut config.policy);
    let builtin = section.set("builtin", &mut config.builtin, values::boolean);
    section.set("on_record_failure", &mut config.on_record_failure, values::effect);
    section.set("on_unknown", &mut config.on_unknown, values::effect);
    section.set("on_bad_policy", &mut config.on_bad_policy, values::on_bad_policy);
    section.set("answer_deadline", &mut config.answer_deadline, values::answer_deadline);
    section.table("watch", |section| watch(section, &mut config.watch));
    section.table("evidence", |section| {
        section.set("level", &mut config.evidence.level, values::level);
        section.set("redact", &mut config.evidence.redact, values::redact);
    });
    section.table("log", |section| log(section, &mut config.log));
    section.table("control", |section| {
        section.set("socket", &mut config.control.socket, values::socket);
    });
    if !config.builtin && config.policy.is_empty() {
        section.complain(
            policy.or(builtin),
            "no policy: `builtin` is false and `policy` names no file".to_owned(),
            Some("an empty policy allows everything: name a file or set `builtin = true`"),
        );
    }
}

fn watch(section: &mut Section<'_, '_>, watch: &mut Watch) {
    let place = section.paths("directories", &mut watch.directories);
    section.set("containers", &mut watch.containers, values::boolean);
    section.set("shared_filesystem", &mut watch.shared_filesystem, values::shared_filesystem);
    section.set("loaders", &mut watch.loaders, values::extra);
    section.set("interpreters", &mut watch.interpreters, values::extra);
    section.set("unseen", &mut watch.unseen, values::unseen);
    if watch.directories.is_empty() {
        section.complain(place.clone(), "no directory to watch".to_owned(), Some("name at least one"));
    }
    if watch.directories.iter().any(|directory| directory == Path::new("/")) {
        section.complain(
            place,
            "`/` is not a directory to watch: every program of the host would be judged".to_owned(),
            None,
        );
    }
}

fn log(section: &mut Section<'_, '_>, log: &mut Log) {
    section.table("file", |section| {
        section.set("enabled", &mut log.file.enabled, values::boolean);
        section.set("sync", &mut log.file.sync, values::sync);
        section.set("path", &mut log.file.path, values::file_path);
        section.set("max_size", &mut log.file.max_size, values::max_size);
        section.set("keep", &mut log.file.keep, values::keep);
    });
    section.table("syslog", |section| {
        section.set("enabled", &mut log.syslog.enabled, values::boolean);
        section.set("socket", &mut log.syslog.socket, values::socket);
        section.set("facility", &mut log.syslog.facility, values::facility);
    });
    section.table("journal", |section| {
        section.set("enabled", &mut log.journal.enabled, values::switch);
    });
    section.table("audit", |section| {
        section.set("enabled", &mut log.audit.enabled, values::switch);
    });
}

/// Every key with its section ("" is the top), for those who must name them all: manual, default file.
pub fn keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    let is_section = |section: &str, key: &str| {
        let full = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
        KEYS.iter().any(|(name, _)| *name == full)
    };
    KEYS.iter()
        .flat_map(|(section, keys)| keys.iter().map(|key| (*section, *key)))
        .filter(move |(section, key)| !is_section(section, key))
}

/// Every section and its keys, for the check of names and for suggestions.
const KEYS: [(&str, &[&str]); 9] = [
    (
        "",
        &[
            "mode",
            "policy",
            "builtin",
            "on_record_failure",
            "on_unknown",
            "on_bad_policy",
            "answer_deadline",
            "watch",
            "evidence",
            "log",
            "control",
        ],
    ),
    ("watch", &["directories", "containers", "shared_filesystem", "loaders", "interpreters", "unseen"]),
    ("evidence", &["level", "redact"]),
    ("log", &["file", "syslog", "journal", "audit"]),
    ("log.file", &["enabled", "sync", "path", "max_size", "keep"]),
    ("log.syslog", &["enabled", "socket", "facility"]),
    ("log.journal", &["enabled"]),
    ("log.audit", &["enabled"]),
    ("control", &["socket"]),
];
