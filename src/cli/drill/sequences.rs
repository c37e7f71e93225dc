//! The attack sequences, as tables: what is done, and what should come of each exec.
//!
//! Taken from public analyses; every program is a harmless stand-in that ends at once.

/// One sequence.
#[derive(Debug)]
pub(super) struct Sequence {
    /// Who does so.
    pub(super) name: &'static str,
    /// What is done, in a line.
    pub(super) about: &'static str,
    /// The steps, in order.
    pub(super) steps: &'static [Step],
}

/// One step.
#[derive(Debug)]
pub(super) enum Step {
    /// Removes a file; it need not be there.
    Remove(&'static str),
    /// Makes an empty file, as a probe whether the directory can be written to.
    Touch(&'static str),
    /// Copies the stand-in to this place, with these permissions.
    Drop(&'static str, u32),
    /// Makes a directory and those above it.
    Directory(&'static str),
    /// Reads a file to its end.
    Read(&'static str),
    /// Executes.
    Exec(Exec),
}

/// One exec and what should come of it.
#[derive(Debug)]
pub(super) struct Exec {
    /// As it is typed.
    pub(super) program: &'static str,
    /// Its arguments.
    pub(super) arguments: &'static [&'static str],
    /// Where it is typed.
    pub(super) directory: &'static str,
    /// By whom.
    pub(super) user: u32,
    /// How often.
    pub(super) times: usize,
    /// The name that the record must give.
    pub(super) name: &'static str,
    /// What should come of it.
    pub(super) end: End,
}

/// What comes of an exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// EPERM, and recorded as denied.
    Denied,
    /// It ran, recorded as matched by no rule.
    Allowed,
    /// It ran, recorded as allowed by an exception.
    Excepted,
}

impl Sequence {
    /// What should come of its execs, in words.
    pub(super) fn expected(&self) -> Vec<String> {
        let execs = self.steps.iter().filter_map(|step| match step {
            Step::Exec(exec) => Some(exec),
            Step::Remove(_) | Step::Touch(_) | Step::Drop(..) | Step::Directory(_) | Step::Read(_) => None,
        });
        execs
            .flat_map(|exec| std::iter::repeat_n(exec.end.words(true, true), exec.times))
            .fold(Vec::new(), tally)
    }
}

impl End {
    /// The words for how an exec ended: as it should, and whether the record says so too.
    pub(super) fn words(self, ended: bool, recorded: bool) -> String {
        let end = match (self, ended) {
            (Self::Denied, true) => "denied",
            (Self::Denied, false) => "RAN",
            (Self::Allowed | Self::Excepted, false) => "DENIED",
            (Self::Allowed, true) => "allowed",
            (Self::Excepted, true) => "excepted",
        };
        let record = if recorded { "recorded" } else { "NOT RECORDED" };
        format!("{end} and {record}")
    }
}

/// Adds an outcome to a list in which repetitions are counted.
pub(super) fn tally(mut list: Vec<String>, outcome: String) -> Vec<String> {
    let (count, last) = list.last().map_or((0, ""), |last| match last.split_once(" times ") {
        Some((count, last)) => (count.parse().unwrap_or(1), last),
        None => (1, last.as_str()),
    });
    if last == outcome {
        list.pop();
        list.push(format!("{} times {outcome}", count + 1));
    } else {
        list.push(outcome);
    }
    list
}

const ROOT: u32 = 0;
const NOBODY: u32 = 65534;

const fn exec(program: &'static str, name: &'static str, end: End) -> Exec {
    Exec { program, arguments: &[], directory: "/", user: ROOT, times: 1, name, end }
}

/// The sequences.
pub(super) const SEQUENCES: &[Sequence] = &[
    Sequence {
        name: "BPFDoor",
        about: "copies itself to /dev/shm/kdmtmpflush, runs that with --init, deletes it",
        steps: &[
            Step::Remove("/dev/shm/kdmtmpflush"),
            Step::Drop("/dev/shm/kdmtmpflush", 0o755),
            Step::Exec(Exec {
                arguments: &["--init"],
                ..exec("/dev/shm/kdmtmpflush", "/dev/shm/kdmtmpflush", End::Denied)
            }),
            Step::Remove("/dev/shm/kdmtmpflush"),
        ],
    },
    Sequence {
        name: "Mirai loader",
        about: "probes directories with >DIR/.x && cd DIR, then runs by relative path",
        steps: &[
            Step::Touch("/var/run/.x"),
            Step::Remove("/var/run/.x"),
            Step::Drop("/var/run/.x", 0o777),
            Step::Exec(Exec { directory: "/var/run", ..exec("./.x", "/run/.x", End::Denied) }),
            Step::Drop("/dev/shm/.x", 0o777),
            Step::Exec(Exec { directory: "/dev/shm", ..exec("./.x", "/dev/shm/.x", End::Denied) }),
        ],
    },
    Sequence {
        name: "Outlaw cron job",
        about: "cron starts /dev/shm/.rsync/c/aptitude again and again",
        steps: &[
            Step::Directory("/dev/shm/.rsync/c"),
            Step::Drop("/dev/shm/.rsync/c/aptitude", 0o755),
            Step::Exec(Exec {
                directory: "/root",
                ..exec("/dev/shm/.rsync/c/aptitude", "/dev/shm/.rsync/c/aptitude", End::Denied)
            }),
        ],
    },
    Sequence {
        name: "RedTail",
        about: "reads /proc/mounts to avoid noexec, picks /dev/shm, runs a hidden random name there",
        steps: &[
            Step::Read("/proc/mounts"),
            Step::Drop("/dev/shm/.hGf7dKq2", 0o755),
            Step::Exec(Exec {
                directory: "/dev/shm",
                ..exec("./.hGf7dKq2", "/dev/shm/.hGf7dKq2", End::Denied)
            }),
        ],
    },
    Sequence {
        name: "Kinsing respawn",
        about: "kdevtmpfsi is started again whenever it is not there, by either spelling of its directory",
        steps: &[
            Step::Drop("/dev/shm/kdevtmpfsi", 0o755),
            Step::Exec(Exec { times: 20, ..exec("/dev/shm/kdevtmpfsi", "/dev/shm/kdevtmpfsi", End::Denied) }),
            Step::Exec(Exec { times: 5, ..exec("/run/shm/kdevtmpfsi", "/dev/shm/kdevtmpfsi", End::Denied) }),
        ],
    },
    Sequence {
        name: "Muhstik",
        about: "drops pty3 in the lock directory and runs it",
        steps: &[
            Step::Drop("/run/lock/pty3", 0o755),
            Step::Exec(exec("/var/lock/pty3", "/run/lock/pty3", End::Denied)),
        ],
    },
    Sequence {
        name: "web shell",
        about: "drops and runs /dev/shm/.rev as an unprivileged user: not the rule's business, but recorded",
        steps: &[
            Step::Drop("/dev/shm/.rev", 0o755),
            Step::Exec(Exec { user: NOBODY, ..exec("/dev/shm/.rev", "/dev/shm/.rev", End::Allowed) }),
        ],
    },
    Sequence {
        name: "set-uid drop",
        about: "the same user runs a set-uid root file there: would run as root",
        steps: &[
            Step::Drop("/dev/shm/.su", 0o4755),
            Step::Exec(Exec { user: NOBODY, ..exec("/dev/shm/.su", "/dev/shm/.su", End::Denied) }),
        ],
    },
    Sequence {
        name: "excepted path",
        about: "what Docker keeps below /var/run/docker may run, and is recorded as excepted",
        steps: &[
            Step::Directory("/run/docker/runtime"),
            Step::Drop("/run/docker/runtime/hook", 0o755),
            Step::Exec(exec("/var/run/docker/runtime/hook", "/run/docker/runtime/hook", End::Excepted)),
        ],
    },
    Sequence {
        name: "exception aimed by dots",
        about: "a path that begins in the excepted directory and leaves it",
        steps: &[
            Step::Directory("/run/docker"),
            Step::Drop("/run/evil", 0o755),
            Step::Exec(exec("/var/run/docker/../evil", "/run/evil", End::Denied)),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_counted() {
        let list = ["a", "a", "a", "b", "a"].map(str::to_owned).into_iter().fold(Vec::new(), tally);
        assert_eq!(list, ["3 times a", "b", "a"]);
    }

    #[test]
    fn an_exec_that_should_not_have_run_or_was_not_recorded_reads_unlike_the_expectation() {
        let wanted = End::Denied.words(true, true);
        assert!(
            [(false, true), (true, false)]
                .iter()
                .all(|(end, record)| End::Denied.words(*end, *record) != wanted)
        );
    }
}
