//! The ways around an exec blocker: for each, whether this host's guard denies or at least records it.

use super::configuration;
use super::facts::{Allowed, Facts, Guard, Policy};
use super::finding::{Check, Finding, few, guard, guard_if_any, key, reload};
use super::kernel::report_unseen;
use crate::control::status::{MarkKind, Status};
use crate::event::Mode;

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "exec",
        what: "a file of a marked filesystem is executed, by any path, descriptor or mount",
        judge: exec,
    },
    Check {
        id: "single-mounts",
        what: "a bind of elsewhere, an overlay, or a disk on a directory rootfs, in a watched directory",
        judge: single_mounts,
    },
    Check {
        id: "containers",
        what: "/dev/shm of a container, a tmpfs or ramfs of its own",
        judge: containers,
    },
    Check {
        id: "user-namespaces",
        what: "a tmpfs in a namespace that a user has made",
        judge: user_namespaces,
    },
    Check { id: "mount-race", what: "mount, and execute at once", judge: mount_race },
    Check { id: "memfd", what: "memfd_create(2)", judge: memfd },
    Check {
        id: "map-files",
        what: "anonymous and System V shared memory, through /proc/PID/map_files",
        judge: map_files,
    },
    Check { id: "detached-mount", what: "a tmpfs that is mounted nowhere", judge: detached_mount },
    Check { id: "loaders", what: "ld.so FILE, LD_PRELOAD, dlopen(3)", judge: loaders },
    Check { id: "interpreters", what: "sh FILE, python FILE", judge: interpreters },
    Check { id: "content", what: "the content is changed after the answer", judge: content },
];

fn exec(facts: &Facts) -> Finding {
    let status = match guard(facts) {
        Ok(status) => status,
        Err(finding) => return finding,
    };
    let whole: Vec<_> = status
        .marks
        .iter()
        .filter(|mark| mark.kind == MarkKind::Filesystem)
        .map(|mark| mark.path.as_str())
        .collect();
    match whole.is_empty() {
        true => Finding::open("no filesystem carries a mark").close("see the check `directories`"),
        false => Finding::covered(format!("{} on {}", outcome(facts, status), few(&whole))),
    }
}

fn single_mounts(facts: &Facts) -> Finding {
    let status = match guard_if_any(facts) {
        Ok(status) => status,
        Err(finding) => return finding,
    };
    let single: Vec<_> = status
        .marks
        .iter()
        .filter(|mark| mark.kind == MarkKind::Mount)
        .map(|mark| mark.path.as_str())
        .collect();
    if single.is_empty() {
        return Finding::not_applicable("nothing is");
    }
    match &facts.guard {
        Guard::Running { status, home: Ok(home) } if home.our_mount_namespace || status.watch.host_mounts => {
            Finding::covered(format!(
                "{}: seen through the host's mounts, not through copies of them (a bind, another namespace's)",
                few(&single)
            ))
        }
        Guard::Running { home: Err(why), .. } => Finding::unknown(why.clone()),
        Guard::Running { .. } | Guard::Absent(_) | Guard::Silent(_) => Finding::open(format!(
            "{}: the guard's marks are on its own copies of these mounts",
            few(&single)
        ))
        .close_all(single.iter().map(|path| format!("umount {path}")))
        .breaks("what needs that mount; its files lie on another filesystem than shared memory"),
    }
}

fn containers(facts: &Facts) -> Finding {
    let status = match guard(facts) {
        Ok(status) => status,
        Err(finding) => return finding,
    };
    if !status.watch.containers {
        return Finding::open("watch.containers is false")
            .close(key(facts, "watch", "containers = true"))
            .close(reload(facts));
    }
    let first = match status.watch.unseen.as_str() {
        "report" => "of what runs in its first second some is told after the fact",
        _ => "what runs in its first second is not seen",
    };
    Finding::covered(format!(
        "found within a second, then {}; {first}; what else is mounted there (overlay, disk, bind) is not looked for",
        outcome(facts, status)
    ))
}

fn user_namespaces(facts: &Facts) -> Finding {
    if !facts.host.user_namespaces {
        return Finding::not_applicable("users cannot make user namespaces here");
    }
    match &facts.files.policy {
        Ok(policy) if policy.denies_users => {
            Finding::open("rules deny users too, and a tmpfs of a user's own namespace is not watched")
                .close(
                    "echo 'user.max_user_namespaces = 0' >/etc/sysctl.d/60-shmguard.conf && sysctl --system",
                )
                .breaks("rootless containers, the sandboxes of browsers, bubblewrap, Flatpak")
        }
        Ok(_) => Finding::not_applicable("its root is nobody on the host, and the rules are about root"),
        Err(_) => Finding::unknown("whether rules deny users: the policy cannot be read"),
    }
}

fn mount_race(facts: &Facts) -> Finding {
    let found = "a new mount is marked some 50 us after it is there";
    after_the_fact(facts, found, found)
}

fn memfd(facts: &Facts) -> Finding {
    let setting = match facts.kernel.memfd_noexec {
        Some(value) => format!("vm.memfd_noexec is {value} in this pid namespace"),
        None => "this kernel has no vm.memfd_noexec (Linux 6.3)".to_owned(),
    };
    if facts.kernel.memfd_noexec == Some(2) {
        return Finding::covered(format!("{setting}: none can be executed, but ld.so can map one"));
    }
    let finding = after_the_fact(facts, &setting, &setting);
    if finding.close.is_empty() || facts.kernel.memfd_noexec.is_none() {
        return finding;
    }
    let report = finding.close.into_iter().enumerate();
    let report = report.map(|(place, line)| if place == 0 { format!("or: {line}") } else { line });
    let found = match facts.guard {
        Guard::Absent(_) => format!("{}; {setting}", finding.found),
        Guard::Running { .. } | Guard::Silent(_) => finding.found,
    };
    Finding { close: Vec::new(), found, ..finding }
        .close("echo 'vm.memfd_noexec = 2' >/etc/sysctl.d/60-shmguard.conf && sysctl --system")
        .close_all(report)
        .breaks(
            "at 1, who runs a memfd that was made without flags (runc before 1.1.10), while MFD_EXEC still gives an \
             executable one; at 2, also who asks for MFD_EXEC (runc then runs a copy of itself from /run, which wants the \
             exception runc-init), and before Linux 6.6 everybody who does not ask for MFD_NOEXEC_SEAL. Pid namespaces \
             below this one cannot have less",
        )
}

fn map_files(facts: &Facts) -> Finding {
    if !facts.kernel.map_files {
        return Finding::not_applicable("this kernel has no /proc/PID/map_files");
    }
    after_the_fact(facts, "only root can follow its links", "root can follow its links")
}

fn detached_mount(facts: &Facts) -> Finding {
    if !facts.kernel.detached_mounts {
        return Finding::not_applicable("this kernel has no fsopen(2)");
    }
    after_the_fact(facts, "no mark can be put on one", "no mark can be put on one")
}

fn loaders(facts: &Facts) -> Finding {
    let way = Opens {
        name: "loaders",
        set: |status| &status.watch.loaders,
        may: |policy| &policy.loads_may,
        breaks: "what root's programs load from there (dlopen, LD_PRELOAD); every open of a file there asks the guard",
    };
    let finding = opens(facts, &way);
    let noexec = facts.host.scope.as_ref().is_ok_and(|scope| {
        let whole: Vec<_> = scope.marks.iter().filter(|mark| mark.whole).collect();
        !whole.is_empty() && whole.iter().all(|mark| mark.noexec)
    });
    if noexec {
        return Finding::covered(
            "every watched filesystem is noexec: the kernel refuses to map its files for execution",
        );
    }
    if finding.close.is_empty() {
        return Finding {
            found: format!("{}; what it maps from a memfd nobody sees", finding.found),
            ..finding
        };
    }
    finding.close(
        "or: mount -o remount,noexec /dev/shm    # and each other, which stops programs of yours there",
    )
}

fn interpreters(facts: &Facts) -> Finding {
    let way = Opens {
        name: "interpreters",
        set: |status| &status.watch.interpreters,
        may: |policy| &policy.programs_may,
        breaks: "scripts there that root gives to an interpreter; every open of a file there asks the guard",
    };
    let finding = opens(facts, &way);
    let asked = match facts.kernel.exec_check {
        true => "those that ask the kernel (AT_EXECVE_CHECK) are seen in any case",
        false => "none can ask this kernel (AT_EXECVE_CHECK, Linux 6.14)",
    };
    Finding { found: format!("{}; {asked}", finding.found), ..finding }
}

fn content(facts: &Facts) -> Finding {
    match &facts.files.policy {
        Err(_) => Finding::unknown("whether rules ask for content: the policy cannot be read"),
        Ok(policy) => match policy.by_content.first() {
            None => Finding::not_applicable("no exception asks what is in a file"),
            Some(rule) => Finding::covered(format!(
                "rule {rule} allows by content: nobody can write to such a file until it runs, but for a script"
            )),
        },
    }
}

/// A way that only the report of what runs unseen tells of.
fn after_the_fact(facts: &Facts, reported: &str, unreported: &str) -> Finding {
    match guard(facts) {
        Ok(status) if status.watch.unseen == "report" => {
            Finding::covered(format!("told after the fact, not denied; {reported}"))
        }
        Ok(_) => match &facts.kernel.connector {
            Ok(Err(why)) => Finding::open(format!("{unreported}, and the kernel cannot tell of it: {why}"))
                .close("see the check `connector`"),
            Ok(Ok(())) | Err(_) => Finding::open(format!("{unreported}, and watch.unseen is not in force"))
                .close_all(report_unseen(facts)),
        },
        Err(finding) if finding.close.is_empty() => finding,
        Err(finding) => Finding { close: report_unseen(facts), ..finding },
    }
}

/// A way that only the group for opens sees.
struct Opens {
    /// The key that switches it on.
    name: &'static str,
    /// What the guard says of it.
    set: fn(&Status) -> &String,
    /// Where the rules allow it to root.
    may: fn(&Policy) -> &[Allowed],
    /// What denying it breaks.
    breaks: &'static str,
}

fn opens(facts: &Facts, way: &Opens) -> Finding {
    let Opens { name, breaks, .. } = *way;
    let switch = key(facts, "watch", &format!("{name} = \"deny\""));
    let status = match guard(facts) {
        Ok(status) => status,
        Err(finding) if finding.close.is_empty() => return finding,
        Err(finding) => {
            let close = std::iter::once(switch).chain(finding.close.clone()).collect();
            return Finding { close, ..finding }.breaks(breaks);
        }
    };
    match ((way.set)(status).as_str(), status.mode.current) {
        ("deny", Mode::Prevent) => match &facts.files.policy {
            Err(_) => Finding::unknown("whether the rules deny it: the policy cannot be read"),
            Ok(policy) => match configuration::may((way.may)(policy)) {
                None => Finding::covered("denied"),
                Some(what) => {
                    Finding::open(what).close("shmguard policy show    # that rule").close(reload(facts))
                }
            },
        },
        ("deny" | "audit", _) => Finding::covered("recorded, not denied"),
        _ => Finding::open(format!("watch.{name} is not in force"))
            .close(switch)
            .close(reload(facts))
            .breaks(breaks),
    }
}

/// What the rules' denials come to.
fn outcome(facts: &Facts, status: &Status) -> &'static str {
    let denies = facts.files.policy.as_ref().map(|policy| policy.root_may.is_empty());
    match (status.mode.current, denies) {
        (Mode::Audit, _) => "recorded, not denied",
        (Mode::Prevent, Ok(true)) => "denied by the rules",
        (Mode::Prevent, Ok(false)) => "recorded, not always denied (see the check `rules`),",
        (Mode::Prevent, Err(_)) => "denied as far as the rules say, which cannot be read,",
    }
}
