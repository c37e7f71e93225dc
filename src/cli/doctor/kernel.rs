//! What the kernel gives the guard: each feature, and what stands in where it is missing.

use super::facts::{Facts, Guard, Seen};
use super::finding::{Check, Finding, key, reload, start};

pub(super) const CHECKS: &[Check] = &[
    Check { id: "exec-events", what: "the kernel asks before it executes", judge: exec_events },
    Check { id: "identity", what: "the caller is known by its thread", judge: identity },
    Check { id: "mount-events", what: "mounts are told of", judge: mount_events },
    Check { id: "mount-paths", what: "files have their true path in every namespace", judge: mount_paths },
    Check { id: "descriptor-errors", what: "the kernel's own denials are told of", judge: descriptor_errors },
    Check { id: "connector", what: "execs can be told of after the fact", judge: connector },
    Check { id: "audit-log", what: "denials are in the kernel's audit log", judge: audit_log },
    Check {
        id: "command-line",
        what: "the kernel's command line does not weaken the guard",
        judge: command_line,
    },
];

fn exec_events(facts: &Facts) -> Finding {
    match &facts.kernel.exec_marks {
        Ok(Ok(())) => Finding::covered("a mark on a tmpfs of our own was taken"),
        Ok(Err(why)) => Finding::open(format!("a mark was refused: {why}"))
            .close("boot a kernel 5.0 or newer with CONFIG_FANOTIFY_ACCESS_PERMISSIONS=y"),
        Err(_) if facts.status().is_some_and(|status| !status.marks.is_empty()) => {
            Finding::covered("the running guard has its marks")
        }
        Err(why) => Finding::unknown(why.clone()),
    }
}

fn identity(facts: &Facts) -> Finding {
    Finding::covered(match facts.kernel.thread_info {
        true => "FAN_REPORT_TID, and PIDFD_GET_INFO tells its credentials",
        false => "FAN_REPORT_TID, and /proc tells its credentials (PIDFD_GET_INFO is Linux 6.13: 30 us less)",
    })
}

fn mount_events(facts: &Facts) -> Finding {
    match seen(facts, &facts.kernel.mount_events, "FAN_MARK_MNTNS") {
        Ok(true) => Finding::covered("as events (FAN_MARK_MNTNS)"),
        Ok(false) => Finding::covered(
            "by a poll of the mount table, some 50 us later than by FAN_MARK_MNTNS (Linux 6.14)",
        ),
        Err(why) => Finding::unknown(why),
    }
}

fn mount_paths(facts: &Facts) -> Finding {
    Finding::covered(match facts.kernel.mount_ids {
        true => "statmount(2)",
        false => {
            "mountinfo: a file whose mount is shown nowhere has no path, and no exception is about it (statmount(2) is Linux 6.8)"
        }
    })
}

fn descriptor_errors(facts: &Facts) -> Finding {
    match seen(facts, &facts.kernel.fd_error, "FAN_REPORT_FD_ERROR") {
        Ok(true) => Finding::covered("each with its caller (FAN_REPORT_FD_ERROR)"),
        Ok(false) => Finding::covered("without their callers (FAN_REPORT_FD_ERROR is Linux 6.12)"),
        Err(why) => Finding::unknown(why),
    }
}

fn connector(facts: &Facts) -> Finding {
    match &facts.kernel.connector {
        Ok(Ok(())) => Finding::covered("the process connector answers"),
        Ok(Err(why)) if facts.host.initial_pid_namespace => Finding::open(format!(
            "the process connector does not answer: {why}"
        ))
        .close("boot a kernel with CONFIG_PROC_EVENTS=y, and look from the host's own network namespace"),
        Ok(Err(why)) => Finding::open(format!("the process connector does not answer in a container: {why}"))
            .close("run the guard on the host itself"),
        Err(why) => Finding::unknown(why.clone()),
    }
}

fn audit_log(facts: &Facts) -> Finding {
    if !facts.host.auditd {
        return Finding::not_applicable("no audit daemon runs");
    }
    // What the guard asked for when it made its group is what it has.
    let asked = facts.status().and_then(|status| status.kernel.features.get("FAN_ENABLE_AUDIT").copied());
    match (asked, &facts.kernel.audit) {
        (Some(true), _) => Finding::covered("FAN_AUDIT: ausearch -m FANOTIFY shows them"),
        (Some(false), Ok(true)) => Finding::open("the guard has not asked for it")
            .close(key(facts, "log.audit", "enabled = \"auto\""))
            .close(match facts.host.systemd {
                true => "systemctl stop shmguard; systemctl start shmguard    # a restart keeps the group",
                false => "stop the guard, and start it again    # a reload keeps the group",
            }),
        (_, Ok(false)) => Finding::not_applicable(
            "the kernel has no audit log for us (CAP_AUDIT_WRITE, CONFIG_AUDITSYSCALL)",
        ),
        (None, Ok(true)) => Finding::covered("FAN_ENABLE_AUDIT is there for a guard that asks"),
        (_, Err(why)) => Finding::unknown(why.clone()),
    }
}

fn command_line(facts: &Facts) -> Finding {
    match facts.kernel.mode_on_command_line.as_deref() {
        None => Finding::covered("shmguard.mode= is not on it"),
        Some("prevent") => Finding::covered("shmguard.mode=prevent"),
        Some(mode) => Finding::open(format!("shmguard.mode={mode} stands above every configuration"))
            .close("take it out of the boot loader's entry (GRUB_CMDLINE_LINUX), and boot again"),
    }
}

/// What was probed; where we may not probe, what the running guard says.
fn seen(facts: &Facts, probed: &Seen<bool>, feature: &str) -> Seen<bool> {
    probed.clone().or_else(|why| {
        facts.status().and_then(|status| status.kernel.features.get(feature).copied()).ok_or(why)
    })
}

/// The lines that switch the report of what runs unseen on.
pub(super) fn report_unseen(facts: &Facts) -> Vec<String> {
    let mut lines = vec![key(facts, "watch", "unseen = \"report\"")];
    let is_there = !matches!(facts.guard, Guard::Absent(_));
    if facts.host.systemd {
        let drop_in = "/etc/systemd/system/shmguard.service.d/unseen.conf";
        lines.push(format!("install -D -m 644 /usr/share/shmguard/systemd/unseen.conf {drop_in}"));
        lines.push("systemctl daemon-reload".to_owned());
    }
    lines.push(match (is_there, facts.host.systemd) {
        (false, _) => start(facts).to_owned(),
        (true, true) => "systemctl restart shmguard".to_owned(),
        (true, false) => reload(facts),
    });
    lines
}
