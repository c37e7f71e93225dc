//! This machine, as records name it: read once at start.

use super::format::{Host, HostFacts};
use crate::event::Timestamp;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

impl Host {
    /// This machine: uname(2), /etc/machine-id, /etc/os-release, and the boot id. What cannot be read stays empty and
    /// is left out of the records.
    #[must_use]
    pub fn read() -> Self {
        let uname = nix::sys::utsname::uname();
        let part = |text: Option<&std::ffi::OsStr>| {
            text.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let release = read_text("/etc/os-release");
        let field = |name: &str| os_release(&release, name);
        Self::new(HostFacts {
            name: part(uname.as_ref().ok().map(|uname| uname.nodename())),
            id: read_text("/etc/machine-id"),
            boot_id: read_text("/proc/sys/kernel/random/boot_id"),
            booted: booted(),
            architecture: part(uname.as_ref().ok().map(|uname| uname.machine())),
            os_family: field("ID_LIKE").split(' ').next().unwrap_or_default().to_owned(),
            os_platform: field("ID"),
            os_name: field("NAME"),
            os_version: field("VERSION_ID"),
            kernel: part(uname.as_ref().ok().map(|uname| uname.release())),
        })
    }
}

/// At start the file may be missing (containers) or not be text; neither is a reason not to guard.
fn read_text(path: &str) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()).unwrap_or_default()
}

fn os_release(text: &str, name: &str) -> String {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim_matches(['"', '\'']).to_owned())
        .unwrap_or_default()
}

/// The clock's reading now minus the time since boot: a later step of the clock does not move it.
fn booted() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since =
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
    Timestamp(u64::try_from(now.saturating_sub(since).as_nanos()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_boot_id_and_booted_in_the_past() {
        let host = Host::read();
        assert_eq!(host.boot_id().len(), 36, "{host:?}");
        assert!(host.booted() > Timestamp(1_500_000_000_000_000_000), "{host:?}");
        assert!(host.booted().0 < u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap());
    }

    #[test]
    fn os_release_may_be_quoted_and_may_lack_a_field() {
        let text = "NAME=\"Debian GNU/Linux\"\nVERSION_ID='12'\nID=debian\n";
        assert_eq!(os_release(text, "NAME"), "Debian GNU/Linux");
        assert_eq!(os_release(text, "VERSION_ID"), "12");
        assert_eq!(os_release(text, "ID"), "debian");
        assert_eq!(os_release(text, "ID_LIKE"), "");
    }
}
