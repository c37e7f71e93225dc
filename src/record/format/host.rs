//! The members that say which machine a line comes from.

use super::json::Json;
use crate::event::Timestamp;

/// What records say about the machine. An empty text is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// The host name.
    pub name: String,
    /// /etc/machine-id.
    pub id: String,
    /// /proc/sys/kernel/random/boot_id.
    pub boot_id: String,
    /// When the machine booted.
    pub booted: Timestamp,
    /// `x86_64` and the like.
    pub architecture: String,
    /// `debian` and the like.
    pub os_family: String,
    /// ID of os-release.
    pub os_platform: String,
    /// NAME of os-release.
    pub os_name: String,
    /// VERSION_ID of os-release.
    pub os_version: String,
    /// The kernel's release.
    pub kernel: String,
}

/// Appends `"host":{...}` without braces around it.
pub(crate) fn host_members(out: &mut Vec<u8>, host: &HostFacts) {
    Json::members(out, |json| {
        json.object("host", |json| {
            for (name, value) in [
                ("name", &host.name),
                ("hostname", &host.name),
                ("id", &host.id),
                ("architecture", &host.architecture),
            ] {
                json.some_text(name, value);
            }
            json.object("boot", |json| json.some_text("id", &host.boot_id));
            json.object("os", |json| {
                json.text("type", "linux");
                for (name, value) in [
                    ("family", if host.os_family.is_empty() { &host.os_platform } else { &host.os_family }),
                    ("platform", &host.os_platform),
                    ("name", &host.os_name),
                    ("version", &host.os_version),
                    ("kernel", &host.kernel),
                ] {
                    json.some_text(name, value);
                }
            });
        });
    });
}
