//! Finds the facts out, without changing anything, as far as whoever asks may look. May not judge them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::sys::statfs::statfs;

use super::facts::{
    Facts, Files, Guard, Home, Host, Kernel, LeftOut, LogTrouble, Mark, Policy, Scope, Seen, Trouble,
};
use crate::cli::guard::{Socket, has_systemd};
use crate::control::client::{self, Error};
use crate::control::protocol::{Reply, Request};
use crate::control::status::Status;
use crate::daemon::load::{self, Ownership};
use crate::daemon::survey;
use crate::decide::{Document, rule};
use crate::event::{Action, Effect, Field, Mode, Timestamp};
use crate::policy::cases::Verdict;
use crate::policy::config::{self, Config};
use crate::policy::{Generation, Problem};
use crate::watch::plan::{self, PassedOver, Plan};

/// Everything. Takes a few seconds at most, however the guard does.
///
/// # Errors
/// The configuration that was named has mistakes. One at the usual place is a finding.
pub(super) fn facts(path: Option<&Path>, socket: &Socket) -> Result<Facts, Vec<Problem>> {
    let read = load::config(path, Ownership::Unchecked);
    let read = match (path, read) {
        (Some(_), Err(problems)) => return Err(problems),
        (_, read) => read,
    };
    let usual = Path::new(config::DEFAULT_PATH);
    let file = path.map(Path::to_path_buf).or_else(|| usual.exists().then(|| usual.to_path_buf()));
    let (config, trouble) = match read {
        Ok((config, _)) => (config, None),
        Err(problems) => (Config::default(), Some(trouble(&problems))),
    };
    let socket = socket.named().unwrap_or(&config.control.socket).to_path_buf();
    let guard = guard(&socket);
    let elsewhere = (socket != Socket::default().resolve()).then_some(socket);
    let scope = match &guard {
        Guard::Running { status, .. } => scope_in_force(status, &config),
        Guard::Absent(_) | Guard::Silent(_) => survey::plan(&config).map(|plan| scope_planned(&plan)),
    };
    let log = log(&config);
    let files = files(file, config, trouble, log);
    Ok(Facts {
        kernel: kernel(),
        host: host(scope.map_err(|error| format!("the mount table: {error}"))),
        files,
        guard,
        elsewhere,
    })
}

fn kernel() -> Kernel {
    let probed = survey::Kernel::probe();
    let release = nix::sys::utsname::uname();
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    Kernel {
        release: release.map(|names| names.release().to_string_lossy().into_owned()).unwrap_or_default(),
        fd_error: match &probed.exec_marks {
            Ok(features) => Ok(features.fd_error),
            Err(error) => Err(not_seen(error)),
        },
        exec_marks: answered(probed.exec_marks.map(drop)),
        audit: probed.audit.map_err(|error| not_seen(&error)),
        mount_events: probed.mount_events.map_err(|error| not_seen(&error)),
        thread_info: probed.thread_info,
        mount_ids: probed.mount_ids,
        detached_mounts: probed.detached_mounts,
        exec_check: probed.exec_check,
        connector: answered(probed.connector),
        map_files: Path::new("/proc/self/map_files").exists(),
        memfd_noexec: number("/proc/sys/vm/memfd_noexec"),
        mode_on_command_line: line
            .split_whitespace()
            .rev()
            .find_map(|word| word.strip_prefix("shmguard.mode="))
            .map(str::to_owned),
    }
}

fn host(scope: Seen<Scope>) -> Host {
    let name = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    let enabled = ["/etc/systemd/system/sysinit.target.wants", "/etc/systemd/system/multi-user.target.wants"];
    let installed = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
    let has = |directories: &[&str]| {
        directories
            .iter()
            .any(|directory| fs::symlink_metadata(Path::new(directory).join("shmguard.service")).is_ok())
    };
    let zero = |path: &str| number(path) == Some(0);
    Host {
        name: name.unwrap_or_default(),
        systemd: has_systemd(),
        unit: has(&installed).then(|| has(&enabled)),
        user_namespaces: Path::new("/proc/self/ns/user").exists()
            && !zero("/proc/sys/user/max_user_namespaces")
            && !zero("/proc/sys/kernel/unprivileged_userns_clone")
            && number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") != Some(1),
        initial_pid_namespace: namespace("self", "pid") == Some(INITIAL_PID_NAMESPACE),
        initial_user_namespace: namespace("self", "user") == Some(INITIAL_USER_NAMESPACE),
        auditd: ["/run/auditd.pid", "/var/run/auditd.pid"].iter().any(|file| Path::new(file).exists()),
        scope,
    }
}

fn guard(socket: &Path) -> Guard {
    match client::ask(socket, &Request::Status, Duration::from_secs(3)) {
        Ok(Reply::Status { status }) => {
            let home = home(status.pid);
            Guard::Running { status, home }
        }
        Ok(Reply::Done { .. } | Reply::Error(_)) => {
            Guard::Silent("the guard answered another question".to_owned())
        }
        Err(error @ Error::NotRunning { .. }) => Guard::Absent(error.to_string()),
        Err(error) => Guard::Silent(error.to_string()),
    }
}

fn home(pid: i32) -> Seen<Home> {
    let process = pid.to_string();
    let of = |name: &str| {
        namespace(&process, name).ok_or_else(|| format!("the namespaces of process {pid} cannot be seen"))
    };
    let ours = |name: &str, its: u64| namespace("self", name) == Some(its);
    Ok(Home {
        initial_pid_namespace: of("pid")? == INITIAL_PID_NAMESPACE,
        our_mount_namespace: ours("mnt", of("mnt")?),
    })
}

/// What the guard leaves out; the rest it does not say, and it is planned from here.
fn scope_in_force(status: &Status, config: &Config) -> io::Result<Scope> {
    let planned = scope_planned(&survey::plan(config)?);
    let left_out = status.left_out.iter().filter(|left| !left.harmless);
    Ok(Scope {
        left_out: left_out
            .map(|left| self::left_out(&left.directory, left.reason.clone(), &left.remedy))
            .collect(),
        ..planned
    })
}

fn scope_planned(plan: &Plan) -> Scope {
    let shown = |path: &Path| path.display().to_string();
    let left_out = plan.left_out.iter().filter(|left| left.reason != plan::Reason::Missing);
    let unmarked = plan.passed_over.iter().filter(|passed| passed.why != PassedOver::Kernel);
    let mut underneath: Vec<_> =
        plan.coverage.iter().filter_map(|one| one.unwatched_underneath.as_deref().map(shown)).collect();
    underneath.sort();
    underneath.dedup();
    Scope {
        marks: plan.marks.iter().filter(|mark| holds_watched(plan, mark)).map(mark).collect(),
        left_out: left_out
            .map(|left| self::left_out(&shown(&left.directory), left.reason.to_string(), &left.remedy))
            .collect(),
        unmarked: unmarked
            .map(|passed| (shown(&passed.point), format!("{} ({})", passed.why, passed.fs_type)))
            .collect(),
        underneath,
    }
}

/// Not so a filesystem that is marked for the sake of a directory which a mount hides, /dev say.
fn holds_watched(plan: &Plan, mark: &plan::Mark) -> bool {
    let covers = |one: &plan::Coverage| match one.by {
        plan::Covered::Mark(index) => plan.marks.get(index).is_some_and(|by| by.device == mark.device),
        plan::Covered::LeftOut(_) => false,
    };
    !mark.whole_filesystem_shared || plan.coverage.iter().any(covers)
}

fn mark(mark: &plan::Mark) -> Mark {
    let whole = mark.kind == plan::MarkKind::Filesystem;
    Mark { path: mark.path.display().to_string(), whole, noexec: mark.noexec }
}

fn left_out(directory: &str, reason: String, remedy: &str) -> LeftOut {
    let path = fs::canonicalize(directory).unwrap_or_else(|_| PathBuf::from(directory));
    let mode = fs::metadata(&path).map_or(0o755, |metadata| metadata.mode() & 0o7777);
    LeftOut { directory: directory.to_owned(), path, mode, reason, remedy: remedy.to_owned() }
}

fn files(
    path: Option<PathBuf>,
    config: Config,
    wrong: Option<Trouble>,
    log: Result<(), LogTrouble>,
) -> Files {
    let generation = load::policy(&config, Ownership::Unchecked);
    // What only the strict reading refuses is a matter of owners.
    let checked = load::config(path.as_deref(), Ownership::Checked)
        .map(drop)
        .and_then(|()| load::policy(&config, Ownership::Checked).map(drop));
    let strict = match (&wrong, &generation, checked) {
        (None, Ok(_), Err(problems)) => problems,
        _ => Vec::new(),
    };
    let ownership = strict.iter().map(|problem| {
        let file = problem.file.as_deref().unwrap_or(Path::new("")).display().to_string();
        (format!("{file} {}", problem.message), problem.help.clone().unwrap_or_default())
    });
    Files {
        path,
        ownership: ownership.collect(),
        policy: match &generation {
            Ok(generation) => Ok(policy(generation, &config)),
            Err(problems) => Err(trouble(problems)),
        },
        config: wrong.map_or(Ok(config), Err),
        log,
    }
}

fn policy(generation: &Generation, config: &Config) -> Policy {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
    let tried = |action: Action, user: u32, gains: bool| -> Vec<(String, Verdict, Option<String>)> {
        let files = config.watch.directories.iter().map(|directory| directory.join(PROGRAM));
        files.map(|file| ask(generation, config, now, &file, action, (user, gains))).collect()
    };
    let asked = |user: u32, gains: bool| tried(Action::Exec, user, gains);
    let may = |asked: Vec<(String, Verdict, Option<String>)>| {
        let may = asked.into_iter().filter(|(_, verdict, _)| *verdict == Verdict::Allow);
        may.map(|(file, _, rule)| (file, rule)).collect()
    };
    let named = |wanted: &dyn Fn(&crate::policy::Rule) -> bool| {
        generation.rules().iter().filter(|rule| wanted(rule)).map(|rule| rule.about.id.clone()).collect()
    };
    let ended = |rule: &crate::policy::Rule| rule.about.expires.is_some_and(|at| at < now.0);
    let is = |rule: &crate::policy::Rule, effect| rule.about.effect == effect;
    Policy {
        hash: generation.hash().to_owned(),
        builtin: config.builtin,
        root_may: may(asked(0, false)),
        gaining_may: may(asked(NOBODY, true)),
        loads_may: may(tried(Action::Load, 0, false)),
        programs_may: may(tried(Action::Interpret, 0, false)),
        denies_users: asked(NOBODY, false).iter().any(|(_, verdict, _)| *verdict == Verdict::Deny),
        exceptions: named(&|rule| is(rule, Effect::Allow) && !ended(rule)),
        trials: named(&|rule| is(rule, Effect::Deny) && rule.about.mode == Some(Mode::Audit)),
        expired: named(&|rule| is(rule, Effect::Deny) && ended(rule)),
        by_content: named(&|rule| {
            let fields = rule.condition.fields();
            is(rule, Effect::Allow)
                && !ended(rule)
                && [Field::ProcessHash, Field::FileHash].iter().any(|hash| fields.contains(hash))
        }),
    }
}

/// What would be decided for a program that no rule has heard of.
fn ask(
    generation: &Generation,
    config: &Config,
    now: Timestamp,
    file: &Path,
    action: Action,
    (user, gains): (u32, bool),
) -> (String, Verdict, Option<String>) {
    let mut document = Document::question();
    for name in load::spellings(file, config).names.iter() {
        document.put(Field::ProcessExecutable, name);
    }
    let user = user.to_string();
    for field in [Field::UserId, Field::ProcessRealUserId] {
        document.put(field, user.as_bytes());
    }
    document.put(Field::GainsPrivilege, if gains { b"true" } else { b"false" });
    document.put(Field::Deleted, b"false");
    document.put(Field::EventAction, action.name().as_bytes());
    let ruling = rule(generation, now, &document);
    (file.display().to_string(), ruling.verdict, ruling.rule.map(|about| about.id.clone()))
}

/// Whether the log's directory is there, root's, and lasting.
fn log(config: &Config) -> Result<(), LogTrouble> {
    if !config.log.file.enabled {
        return Ok(());
    }
    let directory = config.log.file.path.parent().unwrap_or(Path::new("/"));
    let metadata = match fs::metadata(directory) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(LogTrouble::Missing),
        Err(error) => return Err(LogTrouble::Unreadable(format!("{}: {error}", directory.display()))),
    };
    if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
        return Err(LogTrouble::Writable);
    }
    let kind = statfs(directory).map_err(|errno| LogTrouble::Unreadable(errno.to_string()))?;
    let in_memory = [nix::sys::statfs::TMPFS_MAGIC].contains(&kind.filesystem_type());
    if in_memory { Err(LogTrouble::InMemory) } else { Ok(()) }
}

fn trouble(problems: &[Problem]) -> Trouble {
    let Some(first) = problems.first() else { return Trouble::Wrong("no reason is known".to_owned()) };
    let text = first.to_string().lines().next().unwrap_or_default().to_owned();
    match first.place {
        None if first.message.contains("Permission denied") => Trouble::Unreadable(text),
        _ => Trouble::Wrong(text),
    }
}

/// EPERM and EACCES mean that we may not ask; everything else is the kernel's answer.
fn answered(result: io::Result<()>) -> Seen<Result<(), String>> {
    match result {
        Ok(()) => Ok(Ok(())),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(not_seen(&error)),
        Err(error) => Ok(Err(error.to_string())),
    }
}

fn not_seen(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return "only root can ask the kernel".to_owned();
    }
    error.to_string()
}

fn number<T: std::str::FromStr>(path: &str) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The number of a process's namespace.
fn namespace(process: &str, name: &str) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{process}/ns/{name}")).ok()?;
    link.to_str()?.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

/// linux/proc_ns.h: these never change.
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// A name that no rule is about.
const PROGRAM: &str = "shmguard-doctor-asks";

/// A user without privilege.
const NOBODY: u32 = 65534;
