//! The members that are the same in every line of a log: which machine, which observer, which schema. They are written
//! once and copied from then on.

use super::ECS_VERSION;
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

/// The machine, with its part of the line already written.
#[derive(Clone, Debug)]
pub struct Host {
    facts: HostFacts,
    members: Vec<u8>,
}

impl Host {
    /// From facts that are given. `Host::read` gives this machine.
    #[must_use]
    pub fn new(facts: HostFacts) -> Self {
        let mut members = Vec::new();
        write(&mut members, &facts);
        Self { facts, members }
    }

    /// The kernel's random id of this boot; sequence numbers count within it.
    #[must_use]
    pub fn boot_id(&self) -> &str {
        &self.facts.boot_id
    }

    /// When the machine booted.
    #[must_use]
    pub fn booted(&self) -> Timestamp {
        self.facts.booted
    }

    /// The members that end every line.
    pub(super) fn members(&self) -> &[u8] {
        &self.members
    }
}

/// Appends `"host":{...},"observer":{...},"ecs":{...}`.
fn write(out: &mut Vec<u8>, host: &HostFacts) {
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
        json.object("observer", |json| {
            json.text("type", "ips");
            json.text("product", "shmguard");
            json.text("version", env!("CARGO_PKG_VERSION"));
        });
        json.object("ecs", |json| json.text("version", ECS_VERSION));
    });
}
