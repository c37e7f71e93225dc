//! Attempts for the tests of this room: one that a person can read, and any at all.

use super::format::{Entry, Evidence, Frame, HostFacts, Redact};
use super::{Host, format};
use crate::event::{
    Action, Arguments, Attempt, Basis, Capabilities, Cause, Credentials, Decision, Device, Effect, Fact,
    FileFacts, Gid, Image, Login, Mode, MountFacts, Namespaces, Object, Pid, Privileges, Process, Response,
    RuleIndex, Subject, Texts, Timestamp, Trust, Uid, Unseen, Users,
};
use crate::policy::{About, Severity, Threat, ThreatItem, Told};
use proptest::prelude::*;

/// What an entry borrows.
pub(crate) struct Sample {
    pub(crate) attempt: Attempt,
    pub(crate) decision: Decision,
    pub(crate) mode: Mode,
    pub(crate) response: Response,
    pub(crate) rule: Option<About>,
    pub(crate) trial: Option<About>,
    pub(crate) users: Users,
}

impl Sample {
    /// BPFDoor's copy of itself, run by root, denied.
    pub(crate) fn denied() -> Self {
        Self {
            attempt: bpfdoor(),
            decision: Decision {
                effect: Effect::Deny,
                basis: Basis::Rule(RuleIndex(0)),
                trial: None,
                passed_over: None,
            },
            mode: Mode::Prevent,
            response: Response::Deny,
            rule: Some(about("shm-exec-root", Effect::Deny)),
            trial: None,
            users: users(),
        }
    }

    /// The same where no rule matches.
    pub(crate) fn allowed() -> Self {
        Self {
            decision: Decision {
                effect: Effect::Allow,
                basis: Basis::NoMatch,
                trial: None,
                passed_over: None,
            },
            response: Response::Allow,
            rule: None,
            ..Self::denied()
        }
    }

    pub(crate) fn entry(&self) -> Entry<'_> {
        Entry {
            attempt: &self.attempt,
            decision: &self.decision,
            mode: self.mode,
            response: self.response,
            rule: self.rule.as_ref(),
            trial: self.trial.as_ref(),
            passed_over: None,
            policy_hash: "5f0c",
            evidence: Evidence::Essential,
            failures: &[],
            duration_ns: Some(48_211),
            users: &self.users,
        }
    }

    /// Its line, with its newline.
    pub(crate) fn line(&self, sequence: u64) -> String {
        line(sequence, &self.entry())
    }
}

pub(crate) fn line(sequence: u64, entry: &Entry<'_>) -> String {
    let mut out = Vec::new();
    let host = host();
    format::attempt(&mut out, sequence, entry, &Frame { host: &host, redact: &Redact::default() });
    String::from_utf8(out).expect("a line is UTF-8")
}

pub(crate) fn host() -> Host {
    Host::new(HostFacts {
        name: "srv1".into(),
        id: "9f0c2e1f".into(),
        boot_id: "88a1f0ed-0000-4000-8000-000000000001".into(),
        booted: Timestamp(1_768_000_000_000_000_000),
        architecture: "x86_64".into(),
        os_family: String::new(),
        os_platform: "debian".into(),
        os_name: "Debian GNU/Linux".into(),
        os_version: "12".into(),
        kernel: "6.1.0-28-amd64".into(),
    })
}

pub(crate) fn users() -> Users {
    Users::parse(b"root:x:0:0::/:\nwww-data:x:33:33::/:\n", b"root:x:0:\nwww-data:x:33:\n")
}

pub(crate) fn about(id: &str, effect: Effect) -> About {
    About {
        told: Told::default(),
        id: id.into(),
        name: Some("Binary executed from shared memory".into()),
        effect,
        mode: None,
        expires: None,
        severity: Severity::High,
        risk_score: 73,
        message: None,
        reason: None,
        references: vec!["https://example.org/a".into(), "https://example.org/b".into()],
        uuid: Some("3f3f9fe2-d095-11ec-95dc-f661ea17fbce".into()),
        version: Some("103".into()),
        authors: vec!["Somebody".into()],
        license: Some("Apache-2.0".into()),
        ruleset: "shared-memory".into(),
        threats: vec![Threat {
            framework: "MITRE ATT&CK".into(),
            tactic: item("TA0002", "Execution"),
            techniques: vec![item("T1059", "Command and Scripting Interpreter")],
            subtechniques: vec![item("T1059.004", "Unix Shell")],
        }],
    }
}

fn item(id: &str, name: &str) -> ThreatItem {
    ThreatItem { id: id.into(), name: name.into(), reference: Some(format!("https://attack.mitre.org/{id}")) }
}

/// The essential facts of one attempt.
pub(crate) fn bpfdoor() -> Attempt {
    let ids = |id| Credentials {
        ruid: Uid(id),
        euid: Uid(id),
        suid: Uid(id),
        fsuid: Uid(id),
        rgid: Gid(id),
        egid: Gid(id),
        sgid: Gid(id),
        fsgid: Gid(id),
    };
    Attempt {
        action: Action::Exec,
        unseen: None,
        at: Timestamp(1_768_472_551_123_456_789),
        subject: Subject {
            thread: Fact::Known(Pid(4242)),
            process: Fact::Known(Pid(4242)),
            parent_pid: Fact::Known(Pid(4200)),
            credentials: Fact::Known(ids(0)),
            user: Fact::Known(Uid(0)),
            group: Fact::Known(Gid(0)),
            name: Fact::Known(b"bash".to_vec()),
            ..Subject::default()
        },
        object: Object {
            names: ["/dev/shm/kdmtmpflush", "/run/shm/kdmtmpflush"].into_iter().collect(),
            inner: Fact::Known(b"/kdmtmpflush".to_vec()),
            seen: Fact::Known(b"/dev/shm/kdmtmpflush".to_vec()),
            deleted: Fact::Known(false),
            file: Fact::Known(FileFacts {
                device: Device { major: 0, minor: 24 },
                inode: 12,
                mode: 0o100_755,
                uid: Uid(0),
                gid: Gid(0),
                size: 16_384,
                links: 1,
                modified: 1_768_472_550_000_000_000,
                changed: 1_768_472_550_500_000_000,
            }),
            mount: MountFacts { id: Fact::Known(31), unique: true, nosuid: Fact::Known(true) },
            ..Object::default()
        },
    }
}

/// Any attempt: any bytes where bytes come from outside, and every state of every fact.
pub(crate) fn any_attempt() -> BoxedStrategy<Attempt> {
    let action = prop::sample::select(Action::ALL.to_vec());
    let unseen = prop::option::weighted(0.2, prop::sample::select(Unseen::ALL.to_vec()));
    (0..u64::MAX >> 1, action, unseen, any_subject(), any_object())
        .prop_map(|(at, action, unseen, subject, object)| Attempt {
            at: Timestamp(at),
            action,
            unseen,
            subject,
            object,
        })
        .boxed()
}

/// Bytes as an attacker would choose them.
pub(crate) fn nasty() -> BoxedStrategy<Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..6),
        prop::sample::select(vec![
            &b"/dev/shm/"[..],
            b"\\",
            b"\\xff",
            b"\"",
            b"\n{\"event\":{}}\n",
            b"\0",
            b"\x1b[2J",
            b"\xe2\x80\xae",
            b"\xe2\x80",
            b"\xff",
            b" (deleted)",
            "ä".as_bytes(),
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat()).boxed()
}

/// Boxed, or the tree of so many strategies does not fit the test's stack.
fn fact<T: Clone + std::fmt::Debug + 'static>(
    known: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Fact<T>> {
    let cause = prop::sample::select(vec![
        Cause::Gone,
        Cause::OutsideNamespace,
        Cause::Refused,
        Cause::Unsupported,
        Cause::Late,
        Cause::TooLong,
        Cause::Unsteady,
        Cause::Failed(40),
    ]);
    prop_oneof![
        4 => known.prop_map(Fact::Known),
        1 => Just(Fact::Absent),
        1 => cause.prop_map(Fact::Unknown),
        1 => Just(Fact::Unread),
    ]
    .boxed()
}

fn texts() -> BoxedStrategy<Texts> {
    prop::collection::vec(nasty(), 0..4).prop_map(|list| list.iter().collect()).boxed()
}

fn pid() -> impl Strategy<Value = Pid> {
    (1..i32::MAX).prop_map(Pid)
}

fn credentials() -> impl Strategy<Value = Credentials> {
    any::<[u32; 8]>().prop_map(|[ruid, euid, suid, fsuid, rgid, egid, sgid, fsgid]| Credentials {
        ruid: Uid(ruid),
        euid: Uid(euid),
        suid: Uid(suid),
        fsuid: Uid(fsuid),
        rgid: Gid(rgid),
        egid: Gid(egid),
        sgid: Gid(sgid),
        fsgid: Gid(fsgid),
    })
}

fn image() -> impl Strategy<Value = Image> {
    (fact(nasty()), fact(texts())).prop_map(|(executable, args)| Image { executable, args })
}

/// Another process. Its filesystem ids are its effective ones: the record does not keep them apart.
fn process() -> BoxedStrategy<Process> {
    let credentials = credentials().prop_map(|ids| Credentials { fsuid: ids.euid, fsgid: ids.egid, ..ids });
    (
        fact(pid()),
        fact(nasty()),
        image(),
        fact(credentials),
        fact(nasty()),
        fact(any::<bool>()),
        fact(0..1_u64 << 60),
    )
        .prop_map(|(pid, name, image, credentials, directory, interactive, start)| Process {
            pid,
            name,
            image,
            credentials,
            directory,
            interactive,
            start,
        })
        .boxed()
}

fn arguments() -> BoxedStrategy<Arguments> {
    (texts(), texts(), nasty(), any::<bool>(), any::<bool>())
        .prop_map(|(args, environment, typed, alone, truncated)| Arguments {
            args,
            environment,
            typed,
            trust: if alone { Trust::SingleThreaded } else { Trust::Shared },
            truncated,
        })
        .boxed()
}

fn privileges() -> impl Strategy<Value = Privileges> {
    (any::<bool>(), any::<[u64; 5]>()).prop_map(|(no_new_privs, sets)| {
        let [permitted, effective, inheritable, bounding, ambient] = sets.map(Capabilities);
        Privileges { no_new_privs, permitted, effective, inheritable, bounding, ambient }
    })
}

fn any_subject() -> BoxedStrategy<Subject> {
    let login = (any::<Option<u32>>(), any::<Option<u32>>())
        .prop_map(|(user, session)| Login { user: user.map(Uid), session });
    let namespaces = any::<[u64; 3]>().prop_map(|[mount, pid, user]| Namespaces { mount, pid, user });
    let ids = (
        fact(pid()),
        fact(pid()),
        fact(pid()),
        fact(credentials()),
        fact(any::<u32>().prop_map(Uid)),
        fact(any::<u32>().prop_map(Gid)),
        fact(nasty()),
        fact(privileges()),
        fact(any::<bool>()),
    );
    let others = (fact(image()), fact(process()), fact(process()), fact(process()), fact(process()));
    let rest = (
        fact(arguments()),
        fact(login),
        fact(any::<bool>()),
        fact(nasty()),
        fact(nasty()),
        fact(nasty()),
        fact(namespaces),
        fact(0..1_u64 << 60),
    );
    (ids, others, rest)
        .prop_map(|(ids, others, rest)| {
            let (thread, process, parent_pid, credentials, user, group, name, privileges, gains_privilege) =
                ids;
            let (previous, parent, group_leader, session_leader, entry_leader) = others;
            let (arguments, login, interactive, cgroup, container, directory, namespaces, start) = rest;
            Subject {
                thread,
                process,
                parent_pid,
                credentials,
                user,
                group,
                name,
                privileges,
                gains_privilege,
                previous,
                parent,
                group_leader,
                session_leader,
                entry_leader,
                arguments,
                login,
                interactive,
                cgroup,
                container,
                directory,
                namespaces,
                start,
            }
        })
        .boxed()
}

fn any_object() -> BoxedStrategy<Object> {
    let file = (any::<[u32; 6]>(), any::<[u64; 2]>(), any::<[i64; 2]>()).prop_map(
        |([major, minor, mode, uid, gid, links], [inode, size], [modified, changed])| FileFacts {
            device: Device { major, minor },
            inode,
            mode,
            uid: Uid(uid),
            gid: Gid(gid),
            size,
            links,
            modified,
            changed,
        },
    );
    let mount = (fact(any::<u64>()), any::<bool>(), fact(any::<bool>())).prop_map(|(id, unique, nosuid)| {
        let unique = unique && id.known().is_some();
        MountFacts { id, unique, nosuid }
    });
    (
        texts(),
        fact(nasty()),
        fact(nasty()),
        fact(any::<bool>()),
        fact(file),
        mount,
        fact(any::<bool>()),
        fact(any::<[u8; 32]>()),
    )
        .prop_map(|(names, inner, seen, deleted, file, mount, capabilities, sha256)| Object {
            names,
            inner,
            seen,
            deleted,
            file,
            mount,
            interpreter: Fact::Unread,
            capabilities,
            sha256,
        })
        .boxed()
}
