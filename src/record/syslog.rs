//! The local syslog daemon: `<PRI>tag[pid]: message`, the one form that both rsyslog and journald read rightly on
//! /dev/log (RFC 5424 text is mis-parsed there by rsyslog's default input).

use super::datagram::Datagram;
use super::feeder::{Outlet, Parcel};
use super::format::Level;
use super::settings::SyslogSettings;
use nix::errno::Errno;
use syslog::{Facility, Formatter3164, LogFormat, Severity};

/// The connection.
#[derive(Debug)]
pub(super) struct Syslog {
    socket: Datagram,
    formatter: Formatter3164,
    message: Vec<u8>,
}

impl Syslog {
    /// `None` where there is no such facility. The daemon need not be there.
    pub(super) fn new(settings: &SyslogSettings) -> Option<Self> {
        let formatter = Formatter3164 {
            facility: settings.facility.parse::<Facility>().ok()?,
            hostname: None,
            process: TAG.to_owned(),
            pid: std::process::id(),
        };
        Some(Self { socket: Datagram::new(&settings.socket), formatter, message: Vec::new() })
    }
}

impl Outlet for Syslog {
    fn name(&self) -> &'static str {
        "syslog"
    }

    fn send(&mut self, parcel: &Parcel) -> Result<(), Errno> {
        self.message.clear();
        let text = String::from_utf8_lossy(&parcel.summary);
        let severity = severity(parcel.level);
        self.formatter.format(&mut self.message, severity, text).map_err(|_| Errno::EINVAL)?;
        cut_date(&mut self.message);
        self.socket.send(&self.message)
    }
}

/// The formatter writes the date in UTC, which daemons take for local time where they look at it at all. Without one
/// they use their own.
fn cut_date(message: &mut Vec<u8>) {
    let after = message.iter().position(|byte| *byte == b'>').map(|end| end + 1);
    let tag = message.windows(TAG.len()).position(|window| window == TAG.as_bytes());
    if let (Some(after), Some(tag)) = (after, tag)
        && after < tag
    {
        message.drain(after..tag);
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::Error => Severity::LOG_ERR,
        Level::Warning => Severity::LOG_WARNING,
        Level::Notice => Severity::LOG_NOTICE,
        Level::Info => Severity::LOG_INFO,
    }
}

const TAG: &str = "shmguard";
