//! How the host lays out its mounts.

use super::facts::{Facts, LeftOut, Scope};
use super::finding::{Check, Finding, few, key, reload};

pub(super) const CHECKS: &[Check] = &[
    Check { id: "directories", what: "every watched directory carries a mark", judge: directories },
    Check {
        id: "unmarked-mounts",
        what: "every mount in a watched directory carries a mark",
        judge: unmarked,
    },
    Check {
        id: "underneath",
        what: "what lies under the mounts of watched directories is watched",
        judge: underneath,
    },
    Check { id: "noexec", what: "what the kernel refuses first, because of noexec", judge: noexec },
];

fn directories(facts: &Facts) -> Finding {
    with_scope(facts, |scope| {
        if scope.marks.is_empty() && scope.left_out.is_empty() {
            return Finding::open("nothing is there to watch").close(key(
                facts,
                "watch",
                "directories = [...]",
            ));
        }
        let Some(first) = scope.left_out.first() else {
            let marks: Vec<_> = scope.marks.iter().map(|mark| mark.path.as_str()).collect();
            return Finding::covered(few(&marks));
        };
        let more = match scope.left_out.len() {
            1 => String::new(),
            count => format!(", and {} more", count - 1),
        };
        let finding = Finding::open(format!("{}: {}{more}", first.directory, first.reason));
        let is_larger = |left: &&LeftOut| left.reason.contains("larger filesystem at");
        let (larger, other): (Vec<_>, Vec<_>) = scope.left_out.iter().partition(is_larger);
        let finding =
            finding.close_all(other.iter().map(|left| format!("{}: {}", left.directory, left.remedy)));
        if larger.is_empty() {
            return finding;
        }
        // A tmpfs for the outermost of them holds the others.
        let outermost = larger.iter().filter(|left| {
            !larger.iter().any(|above| above.path != left.path && left.path.starts_with(&above.path))
        });
        let lines = outermost.map(|left| {
            format!(
                "tmpfs {} tmpfs nosuid,nodev,mode={:o} 0 0    # in /etc/fstab; boot again",
                left.path.display(),
                left.mode
            )
        });
        finding
            .close_all(lines)
            .close(format!("or: {}", key(facts, "watch", "shared_filesystem = \"mark\"")))
            .breaks("with \"mark\" every exec of that filesystem asks the guard")
    })
}

fn unmarked(facts: &Facts) -> Finding {
    with_scope(facts, |scope| {
        let points: Vec<_> = scope.unmarked.iter().map(|(point, _)| point.as_str()).collect();
        match scope.unmarked.first() {
            None => Finding::covered("no FUSE, network or hidden filesystem is mounted in one"),
            Some((_, why)) => Finding::open(format!("{}: {why}", few(&points)))
                .close_all(points.iter().map(|point| format!("umount {point}")))
                .breaks("what needs that mount"),
        }
    })
}

fn underneath(facts: &Facts) -> Finding {
    with_scope(facts, |scope| {
        let points: Vec<_> = scope.underneath.iter().map(String::as_str).collect();
        match points.is_empty() {
            true => Finding::covered("nothing lies there, or it carries a mark"),
            false => Finding::open(format!(
                "{} has a directory under a watched mount; root who takes that mount away runs from it unseen",
                few(&points)
            ))
            .close(key(facts, "watch", "shared_filesystem = \"mark\""))
            .close(reload(facts))
            .breaks("every exec of that filesystem then asks the guard"),
        }
    })
}

fn noexec(facts: &Facts) -> Finding {
    with_scope(facts, |scope| {
        let refused: Vec<_> =
            scope.marks.iter().filter(|mark| mark.noexec).map(|mark| mark.path.as_str()).collect();
        match refused.is_empty() {
            true => Finding::not_applicable("no watched mount is noexec"),
            false => Finding::covered(format!(
                "{}: nothing runs there, and there is no record of it",
                few(&refused)
            )),
        }
    })
}

fn with_scope(facts: &Facts, judge: impl Fn(&Scope) -> Finding) -> Finding {
    match &facts.host.scope {
        Ok(scope) => judge(scope),
        Err(why) => Finding::unknown(why.clone()),
    }
}
