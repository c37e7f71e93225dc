//! The guard itself: whether it runs, in which mode, and what it stands on.

use super::facts::{Facts, Guard};
use super::finding::{Check, Finding, ask, guard, guard_if_any, key, reload, start};
use crate::control::status::{KeptBy, ModeSource, Status};
use crate::event::Mode;

pub(super) const CHECKS: &[Check] = &[
    Check { id: "guard", what: "a guard runs", judge: runs },
    Check { id: "mode", what: "denials are real", judge: mode },
    Check { id: "promises", what: "what the guard promises holds", judge: promises },
    Check { id: "in-force", what: "the files on disk are in force", judge: in_force },
    Check { id: "take-over", what: "execs wait for the next guard when this one dies", judge: take_over },
    Check { id: "at-boot", what: "the guard is started at boot", judge: at_boot },
    Check { id: "namespaces", what: "the guard sees every caller", judge: namespaces },
    Check { id: "priority", what: "a flood of execs does not starve the guard", judge: priority },
    Check { id: "records", what: "records are written to a file", judge: records },
    Check { id: "copies", what: "root cannot remove the only copy of the records", judge: copies },
];

fn runs(facts: &Facts) -> Finding {
    match &facts.guard {
        Guard::Running { status, .. } => {
            let marks = status.marks.len();
            Finding::covered(format!("process {}, version {}, {marks} marks", status.pid, status.version))
        }
        Guard::Absent(why) => Finding::open(why.clone()).close(start(facts)),
        Guard::Silent(why) => Finding::unknown(why.clone()),
    }
}

fn mode(facts: &Facts) -> Finding {
    let status = match guard(facts) {
        Ok(status) => status,
        Err(finding) => return finding,
    };
    if status.mode.current == Mode::Prevent {
        return Finding::covered("prevent");
    }
    let open = Finding::open("audit: nothing is denied, everything is recorded");
    let open = match status.mode.source {
        ModeSource::KernelCommandLine => {
            open.close("take shmguard.mode= off the kernel's command line, and boot again")
        }
        ModeSource::CommandLine => open.close("start the guard without --mode audit"),
        ModeSource::Configuration | ModeSource::Control => open
            .close("shmguard report    # what prevention would deny")
            .close(ask(facts, "mode prevent --for 1h")),
    };
    open.close(key(facts, "", "mode = \"prevent\""))
        .close(reload(facts))
        .breaks("whatever `shmguard report` lists is denied")
}

fn promises(facts: &Facts) -> Finding {
    let status = match guard_if_any(facts) {
        Ok(status) => status,
        Err(finding) => return finding,
    };
    // Directories that are left out have a check of their own.
    let told = |what: &str| status.left_out.iter().any(|left| what.starts_with(&left.directory));
    let broken: Vec<_> = status.problems.iter().filter(|problem| !told(&problem.what)).collect();
    match broken.first() {
        None => Finding::covered("all of it, see shmguard status"),
        Some(first) => {
            let more = match broken.len() {
                1 => String::new(),
                count => format!(", and {} more: see shmguard status", count - 1),
            };
            let remedies = broken.iter().map(|problem| problem.remedy.clone());
            Finding::open(format!("{}{more}", first.what))
                .close_all(remedies.filter(|remedy| !remedy.is_empty()))
        }
    }
}

fn in_force(facts: &Facts) -> Finding {
    let status = match guard_if_any(facts) {
        Ok(status) => status,
        Err(finding) => return finding,
    };
    if let Some(failed) = &status.policy.failed_reload {
        return Finding::open(format!("the last reload failed: {}", failed.message))
            .close("shmguard policy check")
            .close(reload(facts));
    }
    match &facts.files.policy {
        Err(_) => Finding::unknown("the policy on disk cannot be read, see below"),
        Ok(policy) if policy.hash == status.policy.hash => Finding::covered("the same policy"),
        Ok(_) => Finding::open("the policy on disk is another one than the guard's").close(reload(facts)),
    }
}

fn take_over(facts: &Facts) -> Finding {
    match guard_if_any(facts).map(|status| status.kept_by) {
        Ok(KeptBy::ServiceManager) => Finding::covered("the service manager keeps what waits"),
        Ok(KeptBy::Parent) => Finding::covered("the guard's parent keeps what waits"),
        Ok(KeptBy::Nobody) => {
            Finding::open("nobody keeps what waits: when the guard dies, it runs").close(start(facts))
        }
        Err(finding) => finding,
    }
}

fn at_boot(facts: &Facts) -> Finding {
    let host = &facts.host;
    match host.unit {
        Some(true) if host.systemd => {
            Finding::covered("shmguard.service is enabled; what the initial RAM disk runs comes before it")
        }
        Some(false) if host.systemd => {
            Finding::open("shmguard.service is not enabled").close("systemctl enable shmguard")
        }
        _ if host.systemd => Finding::open("shmguard.service is not installed")
            .close("install the package, then: systemctl enable --now shmguard"),
        _ => Finding::unknown("this host has no systemd; who starts the guard cannot be seen"),
    }
}

fn namespaces(facts: &Facts) -> Finding {
    let (initial, whose) = match &facts.guard {
        Guard::Running { home: Ok(home), .. } => (home.initial_pid_namespace, "the guard is"),
        Guard::Running { home: Err(why), .. } => return Finding::unknown(why.clone()),
        Guard::Absent(_) | Guard::Silent(_) => {
            (facts.host.initial_pid_namespace, "a guard that is started from here would be")
        }
    };
    if initial && facts.host.initial_user_namespace {
        return Finding::covered(format!("{whose} in the host's own namespaces"));
    }
    Finding::open(format!("{whose} in a container: callers outside of it are unknown to it"))
        .close("run the guard on the host itself")
}

fn priority(facts: &Facts) -> Finding {
    let scheduling = match guard_if_any(facts) {
        Ok(status) => &status.scheduling,
        Err(finding) => return finding,
    };
    let refused = scheduling.refused.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
    let found = format!("{}{refused}", scheduling.in_force);
    if scheduling.in_force == "default" {
        return Finding::open(found)
            .close(
                "CapabilityBoundingSet=CAP_SYS_NICE    # in [Service] of a drop-in; the shipped unit has it",
            )
            .close("LimitRTPRIO=1    # as well, and no RestrictRealtime=")
            .close("or: give the guard's cgroup a real-time budget (cpu.rt_runtime_us of cgroup v1)");
    }
    Finding::covered(found)
}

fn records(facts: &Facts) -> Finding {
    match guard_if_any(facts) {
        Ok(status) if takes(status, "file") => Finding::covered("the file takes them"),
        Ok(_) => Finding::open("standard error is the only record")
            .close(key(facts, "log.file", "enabled = true"))
            .close("restart the guard"),
        Err(finding) => finding,
    }
}

fn copies(facts: &Facts) -> Finding {
    match guard_if_any(facts) {
        Ok(status) if takes(status, "syslog") || takes(status, "journal") => {
            Finding::covered("syslog or journald has a copy; that it leaves this host is theirs to see to")
        }
        Ok(_) => Finding::open("neither syslog nor journald takes them")
            .close(key(facts, "log.syslog", "enabled = true"))
            .close("or: ship the file, see /usr/share/doc/shmguard/examples"),
        Err(finding) => finding,
    }
}

fn takes(status: &Status, name: &str) -> bool {
    use crate::control::status::SinkState;
    status.sinks.iter().any(|sink| sink.name == name && sink.state == SinkState::Working)
}
