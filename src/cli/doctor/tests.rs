//! Each check both ways, from made-up facts.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Guard, Home, Kernel, LeftOut, LogTrouble, Mark, Policy, Scope, Trouble};
use super::*;
use crate::control::status::{
    self, Counters, EvidenceStatus, FailedReload, KeptBy, Latency, MarkKind, ModeSource, ModeStatus,
    PolicyStatus, Scheduling, Shortfall, SinkState, SinkStatus, Status, Watch,
};
use crate::event::{Effect, Mode};
use crate::policy::config::Config;

/// A host on which nothing is open.
fn facts() -> Facts {
    Facts {
        kernel: Kernel {
            release: "6.18.1".to_owned(),
            exec_marks: Ok(Ok(())),
            fd_error: Ok(true),
            audit: Ok(true),
            mount_events: Ok(true),
            thread_info: true,
            mount_ids: true,
            detached_mounts: true,
            exec_check: true,
            connector: Ok(Ok(())),
            map_files: true,
            memfd_noexec: Some(0),
            mode_on_command_line: None,
        },
        host: facts::Host {
            name: "web1".to_owned(),
            systemd: true,
            unit: Some(true),
            user_namespaces: true,
            initial_pid_namespace: true,
            initial_user_namespace: true,
            auditd: true,
            scope: Ok(Scope { marks: vec![mark("/dev/shm"), mark("/run")], ..Scope::default() }),
        },
        files: facts::Files {
            path: Some("/etc/shmguard/shmguard.toml".into()),
            config: Ok(Config::default()),
            ownership: Vec::new(),
            policy: Ok(Policy { hash: "77af".to_owned(), builtin: true, ..Policy::default() }),
            log: Ok(()),
        },
        guard: Guard::Running {
            status: Box::new(status()),
            home: Ok(Home { initial_pid_namespace: true, our_mount_namespace: true }),
        },
        elsewhere: None,
    }
}

fn status() -> Status {
    Status {
        version: "0.1.0".to_owned(),
        pid: 812,
        started: 0,
        uptime_seconds: 0,
        mode: ModeStatus {
            current: Mode::Prevent,
            until: None,
            then: None,
            source: ModeSource::Configuration,
        },
        problems: Vec::new(),
        marks: vec![marked("/dev/shm", MarkKind::Filesystem), marked("/run", MarkKind::Filesystem)],
        left_out: Vec::new(),
        policy: PolicyStatus {
            generation: 1,
            hash: "77af".to_owned(),
            loaded: 0,
            builtin: true,
            files: Vec::new(),
            failed_reload: None,
        },
        rules: Vec::new(),
        counters: Counters::new(),
        sinks: vec![sink("file"), sink("syslog")],
        scheduling: Scheduling { in_force: "SCHED_FIFO 1".to_owned(), refused: None },
        evidence: EvidenceStatus::default(),
        answer_latency: Latency::default(),
        kernel: status::Kernel {
            release: "6.18.1".to_owned(),
            features: BTreeMap::from([
                ("FAN_ENABLE_AUDIT".to_owned(), true),
                ("FAN_REPORT_FD_ERROR".to_owned(), true),
            ]),
        },
        watch: Watch {
            host_mounts: false,
            containers: true,
            loaders: "deny".to_owned(),
            interpreters: "deny".to_owned(),
            unseen: "report".to_owned(),
        },
        kept_by: KeptBy::ServiceManager,
    }
}

fn mark(path: &str) -> Mark {
    Mark { path: path.to_owned(), whole: true, noexec: false }
}

fn marked(path: &str, kind: MarkKind) -> status::Mark {
    status::Mark {
        path: path.to_owned(),
        filesystem: "tmpfs".to_owned(),
        device: "0:25".to_owned(),
        kind,
        noexec: false,
        nosuid: true,
        since: 0,
        reason: "in a watched directory".to_owned(),
    }
}

fn sink(name: &str) -> SinkStatus {
    SinkStatus {
        name: name.to_owned(),
        target: String::new(),
        state: SinkState::Working,
        written: 1,
        lost: 0,
        last_error: None,
    }
}

/// What one check finds after a change to the good host.
fn finding(id: &str, change: impl FnOnce(&mut Facts)) -> Finding {
    let mut facts = facts();
    change(&mut facts);
    let mut checks = AREAS.iter().flat_map(|(_, _, checks)| checks.iter());
    let check = checks.find(|check| check.id == id).unwrap_or_else(|| panic!("no check {id}"));
    (check.judge)(&facts)
}

/// The same, of a change to the guard's status.
fn of_status(id: &str, change: impl FnOnce(&mut Status)) -> Finding {
    finding(id, |facts| match &mut facts.guard {
        Guard::Running { status, .. } => change(status),
        Guard::Absent(_) | Guard::Silent(_) => panic!("it runs"),
    })
}

fn of_policy(id: &str, change: impl FnOnce(&mut Policy)) -> Finding {
    finding(id, |facts| change(facts.files.policy.as_mut().unwrap()))
}

fn of_scope(id: &str, change: impl FnOnce(&mut Scope)) -> Finding {
    finding(id, |facts| change(facts.host.scope.as_mut().unwrap()))
}

#[track_caller]
fn is_open(finding: &Finding, found: &str, close: &str) {
    assert_eq!(finding.state, State::Open, "{finding:?}");
    assert!(finding.found.contains(found), "{finding:?}");
    assert!(finding.close.iter().any(|line| line.contains(close)), "{finding:?}");
}

#[track_caller]
fn is(finding: &Finding, state: State, found: &str) {
    assert_eq!(finding.state, state, "{finding:?}");
    assert!(finding.found.contains(found), "{finding:?}");
    assert!(finding.close.is_empty() && finding.breaks.is_none(), "{finding:?}");
}

#[test]
fn a_host_on_which_everything_is_as_it_should_be_has_nothing_open() {
    let report = Report::of(&facts());
    let other: Vec<_> = report.checks.iter().filter(|check| check.state != State::Covered).collect();
    let ids: Vec<_> = other.iter().map(|check| (check.id, check.state)).collect();
    let none = State::NotApplicable;
    assert_eq!(
        ids,
        [("single-mounts", none), ("user-namespaces", none), ("content", none), ("noexec", none)]
    );
    assert!(report.readable(Style::Plain).starts_with(
        "NOTHING IS OPEN: 37 covered, 0 open, 0 unknown, 4 not applicable, on web1 with Linux 6.18.1\n"
    ));
}

#[test]
fn without_a_guard_every_way_is_open_that_only_a_guard_covers() {
    let mut facts = facts();
    facts.guard = Guard::Absent("no guard is running at /run/shmguard/control.sock".to_owned());
    let report = Report::of(&facts);
    let open: Vec<_> =
        report.checks.iter().filter(|check| check.state == State::Open).map(|check| check.id).collect();
    assert_eq!(
        open,
        [
            "guard",
            "mode",
            "exec",
            "containers",
            "mount-race",
            "memfd",
            "map-files",
            "detached-mount",
            "loaders",
            "interpreters"
        ]
    );
    let text = report.readable(Style::Plain);
    assert!(text.contains("-> systemctl enable --now shmguard\n"), "{text}");
}

/// Two that are closed by the same lines are each followed by them.
#[test]
fn below_each_that_is_open_stands_what_closes_it() {
    let mut bare = facts();
    let mut status = status();
    status.mode.current = Mode::Audit;
    status.watch =
        Watch { host_mounts: false, containers: false, loaders: String::new(), ..status.watch.clone() };
    status.watch.unseen = "off".to_owned();
    bare.guard = Guard::Running { status: Box::new(status), home: Err(String::new()) };
    let mut none = facts();
    none.guard = Guard::Absent("no guard is running".to_owned());
    for facts in [bare, none] {
        let report = Report::of(&facts);
        let text = report.readable(Style::Plain);
        let open: Vec<_> = report.checks.iter().filter(|check| check.state == State::Open).collect();
        assert!(open.len() >= 7, "{text}");
        for check in open {
            assert!(!check.close.is_empty(), "{check:?}");
            let mut below = text.lines().skip_while(|line| !line.contains(&format!("  {}  ", check.id)));
            let title = below.next().unwrap();
            assert!(title.starts_with("  OPEN"), "{title}");
            let lines: Vec<_> =
                below.map_while(|line| Some(line.trim_start().strip_prefix("-> ")?.to_owned())).collect();
            assert_eq!(lines, check.close, "{}: {text}", check.id);
        }
    }
}

#[test]
fn what_a_guard_that_may_not_be_asked_does_is_unknown() {
    let mut facts = facts();
    facts.guard = Guard::Silent("only root may speak to the guard".to_owned());
    let report = Report::of(&facts);
    assert_eq!(report.summary.open, 0);
    let unknown = report.checks.iter().filter(|check| check.state == State::Unknown);
    for check in unknown.clone() {
        assert!(check.found.contains("only root may speak"), "{check:?}");
    }
    assert!(unknown.count() > 15);
    assert!(report.readable(Style::Plain).starts_with("NOTHING IS SEEN TO BE OPEN: "));
}

#[test]
fn the_mode_is_open_in_audit_mode_and_says_where_that_comes_from() {
    let audit = |source| {
        of_status("mode", |status| (status.mode.current, status.mode.source) = (Mode::Audit, source))
    };
    is_open(
        &audit(ModeSource::Configuration),
        "nothing is denied",
        "mode = \"prevent\"    # in /etc/shmguard",
    );
    is_open(&audit(ModeSource::Control), "nothing is denied", "shmguard mode prevent");
    is_open(&audit(ModeSource::CommandLine), "nothing is denied", "without --mode audit");
    is_open(&audit(ModeSource::KernelCommandLine), "nothing is denied", "kernel's command line");
    is(
        &of_status("exec", |status| status.mode.current = Mode::Audit),
        State::Covered,
        "recorded, not denied",
    );
    is(&of_status("exec", |_| ()), State::Covered, "denied by the rules on /dev/shm, /run");
}

#[test]
fn what_the_guard_stands_on_is_looked_at() {
    let broken = Shortfall { what: "the disk is full".to_owned(), remedy: "make room".to_owned() };
    is_open(&of_status("promises", |status| status.problems.push(broken)), "the disk is full", "make room");
    let left = status::LeftOut {
        directory: "/run/lock".to_owned(),
        reason: String::new(),
        remedy: String::new(),
        harmless: false,
    };
    let told = Shortfall { what: "/run/lock is not watched".to_owned(), remedy: String::new() };
    let finding = of_status("promises", |status| {
        status.left_out.push(left);
        status.problems.push(told);
    });
    is(&finding, State::Covered, "all of it");
    is_open(&of_policy("in-force", |policy| policy.hash = "0".to_owned()), "another one", "shmguard reload");
    let failed = FailedReload { at: 0, message: "x.toml:1:1: nonsense".to_owned() };
    is_open(
        &of_status("in-force", |status| status.policy.failed_reload = Some(failed)),
        "nonsense",
        "policy check",
    );
    is_open(&of_status("take-over", |status| status.kept_by = KeptBy::Nobody), "nobody", "systemctl enable");
    is(&of_status("take-over", |status| status.kept_by = KeptBy::Parent), State::Covered, "parent");
    is_open(
        &of_status("priority", |status| status.scheduling.in_force = "default".to_owned()),
        "default",
        "LimitRTPRIO",
    );
    is(
        &of_status("priority", |status| status.scheduling.in_force = "nice -20".to_owned()),
        State::Covered,
        "nice",
    );
    is_open(
        &of_status("records", |status| status.sinks.clear()),
        "standard error",
        "enabled = true    # in [log.file]",
    );
    is_open(&of_status("copies", |status| status.sinks.truncate(1)), "neither", "[log.syslog]");
}

#[test]
fn the_start_at_boot_is_the_units() {
    is_open(
        &finding("at-boot", |facts| facts.host.unit = Some(false)),
        "not enabled",
        "systemctl enable shmguard",
    );
    is_open(&finding("at-boot", |facts| facts.host.unit = None), "not installed", "install the package");
    is(&finding("at-boot", |facts| facts.host.systemd = false), State::Unknown, "no systemd");
}

#[test]
fn a_guard_in_a_container_is_told() {
    let inside = |facts: &mut Facts| {
        facts.guard = Guard::Running {
            status: Box::new(status()),
            home: Ok(Home { initial_pid_namespace: false, our_mount_namespace: true }),
        };
    };
    is_open(&finding("namespaces", inside), "the guard is in a container", "on the host itself");
    let would_be = |facts: &mut Facts| {
        facts.guard = Guard::Absent(String::new());
        facts.host.initial_pid_namespace = false;
    };
    is_open(&finding("namespaces", would_be), "would be in a container", "on the host itself");
}

#[test]
fn marks_of_single_mounts_are_blind_where_the_guard_has_copies_of_them() {
    let single = |status: &mut Status| status.marks.push(marked("/run/host/x", MarkKind::Mount));
    is(&of_status("single-mounts", single), State::Covered, "/run/host/x: seen through the host's mounts");
    is(&of_status("single-mounts", single), State::Covered, "not through copies of them");
    let elsewhere = finding("single-mounts", |facts| {
        let mut status = status();
        single(&mut status);
        let home = Home { initial_pid_namespace: true, our_mount_namespace: false };
        facts.guard = Guard::Running { status: Box::new(status), home: Ok(home) };
    });
    is_open(&elsewhere, "own copies", "umount /run/host/x");
    let service = finding("single-mounts", |facts| {
        let mut status = status();
        single(&mut status);
        status.watch.host_mounts = true;
        let home = Home { initial_pid_namespace: true, our_mount_namespace: false };
        facts.guard = Guard::Running { status: Box::new(status), home: Ok(home) };
    });
    is(&service, State::Covered, "the host's mounts");
    is_open(&of_status("exec", |status| status.marks.clear()), "no filesystem carries a mark", "directories");
}

#[test]
fn what_only_the_report_of_unseen_execs_covers_is_open_without_it() {
    let off = |status: &mut Status| status.watch.unseen = "off".to_owned();
    for id in ["mount-race", "memfd", "map-files", "detached-mount"] {
        is(&of_status(id, |_| ()), State::Covered, "told after the fact");
        let open = of_status(id, off);
        is_open(
            &open,
            "watch.unseen is not in force",
            "unseen = \"report\"    # in [watch] of /etc/shmguard",
        );
        is_open(&open, "", "/usr/share/shmguard/systemd/unseen.conf");
        let deaf = finding(id, |facts| {
            let mut status = status();
            off(&mut status);
            facts.guard = Guard::Running { status: Box::new(status), home: Err(String::new()) };
            facts.kernel.connector = Ok(Err("timed out".to_owned()));
        });
        is_open(&deaf, "the kernel cannot tell of it: timed out", "connector");
    }
    let first = of_status("containers", off);
    is(&first, State::Covered, "in its first second is not seen");
    is(&first, State::Covered, "what else is mounted there (overlay, disk, bind) is not looked for");
    is(&of_status("containers", |_| ()), State::Covered, "in its first second some is told");
    is_open(&of_status("containers", |status| status.watch.containers = false), "false", "containers = true");
    is(&finding("map-files", |facts| facts.kernel.map_files = false), State::NotApplicable, "no /proc");
    is(
        &finding("detached-mount", |facts| facts.kernel.detached_mounts = false),
        State::NotApplicable,
        "fsopen",
    );
}

#[test]
fn each_value_of_memfd_noexec_is_told_apart() {
    let at = |value| {
        finding("memfd", |facts| {
            let mut status = status();
            status.watch.unseen = "off".to_owned();
            facts.guard = Guard::Running { status: Box::new(status), home: Err(String::new()) };
            facts.kernel.memfd_noexec = value;
        })
    };
    is_open(&at(Some(0)), "vm.memfd_noexec is 0", "vm.memfd_noexec = 2");
    is_open(&at(Some(1)), "vm.memfd_noexec is 1", "or: unseen = \"report\"");
    assert!(at(Some(1)).breaks.unwrap().contains("runc before 1.1.10"));
    is(&at(Some(2)), State::Covered, "none can be executed");
    let old = at(None);
    is_open(&old, "no vm.memfd_noexec", "unseen = \"report\"");
    assert!(!old.close.iter().any(|line| line.contains("sysctl")), "{old:?}");
}

#[test]
fn opens_are_denied_recorded_or_open() {
    for id in ["loaders", "interpreters"] {
        let set = |value: &'static str| {
            move |status: &mut Status| {
                status.watch.loaders = value.to_owned();
                status.watch.interpreters = value.to_owned();
            }
        };
        is(&of_status(id, set("deny")), State::Covered, "denied");
        is(&of_status(id, set("audit")), State::Covered, "recorded, not denied");
        is_open(&of_status(id, set("off")), "not in force", &format!("{id} = \"deny\""));
        let audit = of_status(id, |status| {
            set("deny")(status);
            status.mode.current = Mode::Audit;
        });
        is(&audit, State::Covered, "recorded, not denied");
    }
    let noexec = finding("loaders", |facts| {
        let mut status = status();
        status.watch.loaders = "off".to_owned();
        facts.guard = Guard::Running { status: Box::new(status), home: Err(String::new()) };
        for mark in &mut facts.host.scope.as_mut().unwrap().marks {
            mark.noexec = true;
        }
    });
    is(&noexec, State::Covered, "every watched filesystem is noexec");
    let old = finding("interpreters", |facts| facts.kernel.exec_check = false);
    is(&old, State::Covered, "none can ask this kernel");
}

#[test]
fn the_manual_calls_every_check_what_the_command_does() {
    // Without what only typesets it: fonts, escapes, and where lines end.
    let manual = include_str!("../../../docs/man/shmguard.8").replace('\\', "").replace("\n.IR ", "\n");
    let manual = manual.split_whitespace().collect::<Vec<_>>().join(" ").replace(" ,", ",").to_lowercase();
    for check in AREAS.iter().flat_map(|(_, _, checks)| checks.iter()) {
        let entry = format!(".b {} {}.", check.id, check.what.to_lowercase());
        assert!(manual.contains(&entry), "{entry:?}");
    }
}

/// The mode and the switches are one thing, the rules another.
#[test]
fn what_the_rules_allow_is_not_called_denied() {
    let may = || vec![("/dev/shm/x".to_owned(), Some("all".to_owned()))];
    let loads = of_policy("loaders", |policy| policy.loads_may = may());
    is_open(&loads, "/dev/shm/x would be allowed by rule all", "shmguard policy show");
    let programs = of_policy("interpreters", |policy| policy.programs_may = may());
    is_open(&programs, "/dev/shm/x would be allowed by rule all", "shmguard policy show");
    is(&of_policy("interpreters", |policy| policy.loads_may = may()), State::Covered, "denied");
    for id in ["exec", "containers"] {
        let told = of_policy(id, |policy| policy.root_may = may()).found;
        assert!(told.contains("not always denied") && !told.contains("denied by the rules"), "{told}");
        assert!(of_policy(id, |_| ()).found.contains("denied by the rules"));
        let unreadable = finding(id, |facts| facts.files.policy = Err(Trouble::Unreadable(String::new())));
        assert!(!unreadable.found.contains("denied by the rules"), "{unreadable:?}");
    }
}

#[test]
fn commands_say_where_the_guard_is_if_they_would_not_find_it() {
    let mut facts = facts();
    facts.elsewhere = Some("/run/other/guard.sock".into());
    let Guard::Running { status, .. } = &mut facts.guard else { panic!("it runs") };
    status.mode.current = Mode::Audit;
    status.watch.loaders = "off".to_owned();
    status.policy.hash = "other".to_owned();
    let report = Report::of(&facts);
    let lines: Vec<_> = report.checks.iter().flat_map(|check| &check.close).collect();
    for command in ["shmguard reload", "shmguard mode prevent --for 1h"] {
        let told: Vec<_> = lines.iter().filter(|line| line.starts_with(command)).collect();
        assert!(!told.is_empty(), "{lines:?}");
        let wanted = format!("{command} --socket /run/other/guard.sock");
        assert!(told.iter().all(|line| ***line == wanted), "{told:?}");
    }
}

#[test]
fn namespaces_of_users_matter_where_rules_are_about_users() {
    is_open(
        &of_policy("user-namespaces", |policy| policy.denies_users = true),
        "not watched",
        "max_user_namespaces",
    );
    is(
        &finding("user-namespaces", |facts| facts.host.user_namespaces = false),
        State::NotApplicable,
        "cannot make",
    );
    let by_content = of_policy("content", |policy| policy.by_content.push("known-hash".to_owned()));
    is(&by_content, State::Covered, "rule known-hash");
}

#[test]
fn mounts_that_carry_no_mark_are_told() {
    let left = |directory: &str, path: &str, reason: &str| LeftOut {
        directory: directory.to_owned(),
        path: path.into(),
        mode: 0o755,
        reason: reason.to_owned(),
        remedy: "do this".to_owned(),
    };
    let larger = "it lies on the larger filesystem at / (ext4)";
    let finding = of_scope("directories", |scope| {
        scope.left_out = vec![left("/var/run", "/run", larger), left("/var/lock", "/run/lock", larger)];
    });
    is_open(
        &finding,
        "/var/run: it lies on the larger filesystem at / (ext4), and 1 more",
        "tmpfs /run tmpfs",
    );
    is_open(&finding, "", "or: shared_filesystem = \"mark\"");
    assert!(!finding.close.iter().any(|line| line.contains("/run/lock")), "{finding:?}");
    let other =
        of_scope("directories", |scope| scope.left_out = vec![left("/x", "/x", "it is not a directory")]);
    is_open(&other, "/x: it is not a directory", "/x: do this");
    is_open(&of_scope("directories", |scope| scope.marks.clear()), "nothing is there", "directories");
    let fuse = ("/run/user/1/doc".to_owned(), "a process answers (fuse)".to_owned());
    is_open(
        &of_scope("unmarked-mounts", |scope| scope.unmarked.push(fuse)),
        "/run/user/1/doc: a",
        "umount /run/user/1",
    );
    is_open(
        &of_scope("underneath", |scope| scope.underneath.push("/".to_owned())),
        "/ has",
        "shared_filesystem",
    );
    let noexec = of_scope("noexec", |scope| scope.marks[1].noexec = true);
    is(&noexec, State::Covered, "/run: nothing runs there");
    let unseen = self::finding("directories", |facts| facts.host.scope = Err("no table".to_owned()));
    is(&unseen, State::Unknown, "no table");
}

#[test]
fn what_the_kernel_lacks_is_told_with_what_stands_in() {
    let no_marks = finding("exec-events", |facts| facts.kernel.exec_marks = Ok(Err("EINVAL".to_owned())));
    is_open(&no_marks, "EINVAL", "CONFIG_FANOTIFY_ACCESS_PERMISSIONS");
    let unasked = |facts: &mut Facts| facts.kernel.exec_marks = Err("only root".to_owned());
    is(&finding("exec-events", unasked), State::Covered, "the running guard");
    let alone = finding("exec-events", |facts| {
        unasked(facts);
        facts.guard = Guard::Absent(String::new());
    });
    is(&alone, State::Unknown, "only root");
    is(&finding("identity", |facts| facts.kernel.thread_info = false), State::Covered, "/proc tells");
    is(&finding("mount-events", |facts| facts.kernel.mount_events = Ok(false)), State::Covered, "poll");
    is(
        &finding("mount-events", |facts| facts.kernel.mount_events = Err("root".to_owned())),
        State::Unknown,
        "root",
    );
    is(&finding("mount-paths", |facts| facts.kernel.mount_ids = false), State::Covered, "mountinfo");
    is(&finding("descriptor-errors", |facts| facts.kernel.fd_error = Ok(false)), State::Covered, "without");
    let asked = finding("descriptor-errors", |facts| facts.kernel.fd_error = Err("only root".to_owned()));
    is(&asked, State::Covered, "with its caller");
    let deaf = |facts: &mut Facts| facts.kernel.connector = Ok(Err("timed out".to_owned()));
    is_open(&finding("connector", deaf), "timed out", "CONFIG_PROC_EVENTS");
    let contained = finding("connector", |facts| {
        deaf(facts);
        facts.host.initial_pid_namespace = false;
    });
    is_open(&contained, "in a container", "on the host itself");
    is(
        &finding("connector", |facts| facts.kernel.connector = Err("root".to_owned())),
        State::Unknown,
        "root",
    );
}

#[test]
fn the_audit_log_counts_only_where_somebody_reads_it() {
    is(&finding("audit-log", |facts| facts.host.auditd = false), State::NotApplicable, "no audit daemon");
    let unasked = of_status("audit-log", |status| {
        status.kernel.features.insert("FAN_ENABLE_AUDIT".to_owned(), false);
    });
    is_open(&unasked, "has not asked", "systemctl stop shmguard; systemctl start shmguard");
    let none = finding("audit-log", |facts| {
        facts.guard = Guard::Absent(String::new());
        facts.kernel.audit = Ok(false);
    });
    is(&none, State::NotApplicable, "CONFIG_AUDITSYSCALL");
}

#[test]
fn the_kernels_command_line_can_weaken_the_guard() {
    let with = |mode: &str| {
        let mode = mode.to_owned();
        finding("command-line", |facts| facts.kernel.mode_on_command_line = Some(mode))
    };
    is_open(&with("audit"), "shmguard.mode=audit", "boot loader");
    is_open(&with("off"), "shmguard.mode=off", "boot loader");
    is(&with("prevent"), State::Covered, "prevent");
}

#[test]
fn what_the_operators_files_leave_open_is_told() {
    let wrong = || Trouble::Wrong("x.toml:1:1: nonsense".to_owned());
    is_open(&finding("configuration", |facts| facts.files.config = Err(wrong())), "nonsense", "policy check");
    is_open(&finding("configuration", |facts| facts.files.policy = Err(wrong())), "nonsense", "policy check");
    let unreadable = || Trouble::Unreadable("Permission denied".to_owned());
    is(&finding("configuration", |facts| facts.files.config = Err(unreadable())), State::Unknown, "denied");
    is(&finding("rules", |facts| facts.files.policy = Err(unreadable())), State::Unknown, "cannot be read");
    let owned = finding("ownership", |facts| {
        facts.files.ownership.push(("x.toml belongs to uid 5".to_owned(), "chown root x.toml".to_owned()));
    });
    is_open(&owned, "belongs to uid 5", "chown root x.toml");
    let may = || vec![("/dev/shm/x".to_owned(), None)];
    let without = of_policy("rules", |policy| (policy.root_may, policy.builtin) = (may(), false));
    is_open(&without, "no rule matches", "builtin = true");
    let ruled =
        of_policy("rules", |policy| policy.root_may = vec![("/run/x".to_owned(), Some("all".to_owned()))]);
    is_open(&ruled, "/run/x would be allowed by rule all", "shmguard explain");
    is(&of_policy("rules", |policy| policy.builtin = false), State::Covered, "other rules");
    is_open(
        &of_policy("gained-privilege", |policy| policy.gaining_may = may()),
        "no rule",
        "gains_privilege",
    );
    is(
        &of_policy("exceptions", |policy| policy.exceptions.push("runc".to_owned())),
        State::Covered,
        "runc: each",
    );
    is_open(&of_policy("trials", |policy| policy.trials.push("mine".to_owned())), "mine", "mode = \"audit\"");
    is_open(&of_policy("trials", |policy| policy.expired.push("old".to_owned())), "old", "expires");
    let lenient =
        finding("on-unknown", |facts| facts.files.config.as_mut().unwrap().on_unknown = Effect::Allow);
    is_open(&lenient, "allow", "on_unknown = \"deny\"");
}

#[test]
fn a_log_that_others_can_write_or_a_reboot_takes_away_is_told() {
    let log = |trouble| finding("log-directory", |facts| facts.files.log = Err(trouble));
    is_open(&log(LogTrouble::Missing), "/var/log/shmguard is not there", "install -d");
    is_open(&log(LogTrouble::Writable), "others than root", "chmod go-w /var/log/shmguard");
    is_open(&log(LogTrouble::InMemory), "gone after a reboot", "path = ");
    is(&log(LogTrouble::Unreadable("denied".to_owned())), State::Unknown, "denied");
}

#[test]
fn ids_are_there_once_and_the_manual_names_each_with_what_it_asks() {
    let manual = include_str!("../../../docs/man/shmguard.8").replace("\\-", "-");
    let section = manual.split("\n.SS doctor\n").nth(1).unwrap().split("\n.SS ").next().unwrap();
    let mut seen = BTreeSet::new();
    for (area, _, checks) in AREAS {
        for check in checks {
            assert!(seen.insert(check.id), "{} is there twice", check.id);
            assert!(
                section.contains(&format!("\n.B {}\n", check.id)),
                "shmguard.8 does not name {}",
                check.id
            );
        }
        assert!(section.contains(&format!("\n.RB ( {area} )")) || section.contains(area), "{area}");
    }
    let named = section.lines().filter(|line| line.starts_with(".B ") && !line.contains("--")).count();
    assert_eq!(named, seen.len(), "shmguard.8 names checks that are not there");
}

#[test]
fn the_json_has_the_form_that_the_manual_promises() {
    let json = serde_json::to_value(Report::of(&facts())).unwrap();
    assert_eq!(json["host"]["name"], "web1");
    assert_eq!(json["host"]["kernel"], "6.18.1");
    assert_eq!(json["summary"]["covered"], 37);
    let check = &json["checks"][0];
    let mut keys: Vec<_> = check.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["area", "breaks", "close", "found", "id", "state", "what"]);
    assert_eq!(
        (&check["id"], &check["area"], &check["state"]),
        (&"guard".into(), &"guard".into(), &"covered".into())
    );
}

#[test]
fn no_text_that_was_found_moves_the_terminal() {
    let mut facts = facts();
    facts.host.name = "web\x1b[2J".to_owned();
    facts.kernel.mode_on_command_line = Some("\x1b]0;x\x07".to_owned());
    assert!(!Report::of(&facts).readable(Style::Plain).contains('\x1b'));
}
