//! Which sinks the configuration asks for, and which of them this host has.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use crate::policy::config::{self, Config, Switch};
use crate::record::{AlertSettings, FileSettings, JournalSettings, Settings, Stderr, Sync, SyslogSettings};

/// systemd-journald's native socket (systemd-journald.service(8)).
const JOURNAL: &str = "/run/systemd/journal/socket";

/// The log's settings. Without a file, standard error is the record; with one, a person at a terminal reads along.
pub(super) fn settings(config: &Config) -> Settings {
    let log = &config.log;
    let file = log.file.enabled.then(|| FileSettings {
        path: log.file.path.clone(),
        max_size: log.file.max_size,
        keep: log.file.keep,
        sync: match log.file.sync {
            config::Sync::None => Sync::None,
            config::Sync::Interval => Sync::Interval,
            config::Sync::Each => Sync::Each,
        },
        alerts: Some(AlertSettings { max_size: log.file.max_size, keep: log.file.keep }),
    });
    let stderr = match &file {
        None => Stderr::Record,
        Some(_) if io::stderr().is_terminal() => Stderr::Readable,
        Some(_) => Stderr::Off,
    };
    Settings {
        file,
        syslog: log.syslog.enabled.then(|| SyslogSettings {
            socket: log.syslog.socket.clone(),
            facility: log.syslog.facility.name().to_owned(),
        }),
        journal: wants_journal(log.journal.enabled)
            .then(|| JournalSettings { socket: PathBuf::from(JOURNAL) }),
        stderr,
        redact: config.evidence.redact.clone(),
    }
}

/// Kernel audit records: where they are asked for, or where an audit daemon runs.
pub(super) fn wants_audit(config: &Config) -> bool {
    let runs = || ["/run/auditd.pid", "/var/run/auditd.pid"].iter().any(|file| Path::new(file).exists());
    wants(config.log.audit.enabled, runs)
}

fn wants_journal(switch: Switch) -> bool {
    wants(switch, || Path::new(JOURNAL).exists())
}

fn wants(switch: Switch, is_there: impl Fn() -> bool) -> bool {
    match switch {
        Switch::On => true,
        Switch::Off => false,
        Switch::Auto => is_there(),
    }
}
