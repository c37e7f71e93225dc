//! What a check comes to.

use serde::Serialize;

use super::facts::{Facts, Guard};
use crate::control::status::Status;

/// One question about this host, and the pure function that answers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    /// Stable: part of the interface, and listed in the manual.
    pub(super) id: &'static str,
    /// What is asked: a way around the guard, or what it stands on.
    pub(super) what: &'static str,
    /// The answer.
    pub(super) judge: fn(&Facts) -> Finding,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Denied or at least recorded; or it holds.
    Covered,
    /// Neither.
    Open,
    /// Not on this host.
    NotApplicable,
    /// It could not be seen.
    Unknown,
}

/// The answer to a [`Check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// How it stands.
    pub(super) state: State,
    /// What was found that says so: one clause.
    pub(super) found: String,
    /// What closes it: commands, and lines of files. All of them in order; one that begins with "or: " starts another way.
    pub(super) close: Vec<String>,
    /// What closing it breaks.
    pub(super) breaks: Option<String>,
}

impl Finding {
    pub(super) fn covered(found: impl Into<String>) -> Self {
        Self::of(State::Covered, found)
    }

    pub(super) fn open(found: impl Into<String>) -> Self {
        Self::of(State::Open, found)
    }

    pub(super) fn not_applicable(found: impl Into<String>) -> Self {
        Self::of(State::NotApplicable, found)
    }

    pub(super) fn unknown(found: impl Into<String>) -> Self {
        Self::of(State::Unknown, found)
    }

    /// Adds a line that closes it.
    pub(super) fn close(mut self, line: impl Into<String>) -> Self {
        self.close.push(line.into());
        self
    }

    /// Adds several.
    pub(super) fn close_all(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.close.extend(lines);
        self
    }

    /// Says what that breaks.
    pub(super) fn breaks(mut self, what: impl Into<String>) -> Self {
        self.breaks = Some(what.into());
        self
    }

    fn of(state: State, found: impl Into<String>) -> Self {
        Self { state, found: found.into(), close: Vec::new(), breaks: None }
    }
}

/// The running guard; without one, the finding of every check that needs one.
pub(super) fn guard(facts: &Facts) -> Result<&Status, Finding> {
    match &facts.guard {
        Guard::Running { status, .. } => Ok(status),
        Guard::Absent(_) => Err(Finding::open("no guard runs").close(start(facts))),
        Guard::Silent(why) => Err(Finding::unknown(why.clone())),
    }
}

/// The same for what is only asked of a guard that runs.
pub(super) fn guard_if_any(facts: &Facts) -> Result<&Status, Finding> {
    match &facts.guard {
        Guard::Absent(_) => Err(Finding::not_applicable("no guard runs")),
        Guard::Running { .. } | Guard::Silent(_) => guard(facts),
    }
}

/// How a guard is started here.
pub(super) fn start(facts: &Facts) -> &'static str {
    match facts.host.unit {
        Some(_) if facts.host.systemd => "systemctl enable --now shmguard",
        _ => "shmguard run --supervise",
    }
}

/// A line of the configuration, and where it belongs.
pub(super) fn key(facts: &Facts, section: &str, line: &str) -> String {
    let file = facts.files.path.as_deref();
    let file = file.unwrap_or(std::path::Path::new(crate::policy::config::DEFAULT_PATH)).display();
    match section {
        "" => format!("{line}    # in {file}, before the first section"),
        _ => format!("{line}    # in [{section}] of {file}"),
    }
}

/// What makes a running guard take over a changed configuration.
pub(super) fn reload(facts: &Facts) -> String {
    ask(facts, "reload")
}

/// A command that reaches this guard.
pub(super) fn ask(facts: &Facts, command: &str) -> String {
    match &facts.elsewhere {
        None => format!("shmguard {command}"),
        Some(socket) => format!("shmguard {command} --socket {}", socket.display()),
    }
}

/// The first few, and how many more.
pub(super) fn few(names: &[&str]) -> String {
    const FEW: usize = 4;
    let shown: Vec<_> = names.iter().take(FEW).copied().collect();
    match names.len().saturating_sub(FEW) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
