//! Whether a file lay where it lies before the exec that waits for it could begin.
//!
//! The kernel tells where a file lies now. Whoever renames it, or a directory above it, between the start of an exec
//! and our look could aim an exception at it. A rename changes the ctime of what it moves, so what was not changed
//! lately has lain there; what was, counts only where the caller itself called it by that name. Only what our own mount
//! namespace shows is looked at. Judges nothing; called by [`confirm`](super::Identifier::confirm).

use std::time::Duration;

use super::Standing;
use super::object::at;
use crate::event::{Attempt, Fact};
use crate::sys::clock;
use crate::sys::statx::Stat;

/// Longer than any exec waits for us, unless a longer `answer_deadline` lets it.
const LATELY: Duration = Duration::from_secs(3);

/// What is to be thought of the place of this file, which stands there: at one of its names in our own mount namespace.
pub(super) fn standing(stat: &Stat, attempt: &Attempt) -> Standing {
    let (object, subject) = (&attempt.object, &attempt.subject);
    let Some(inner) = object.inner.known() else { return Standing::Gone };
    let is_it = |there: Stat| (there.device, there.inode) == (stat.device, stat.inode);
    // A deleted one had a name, and could be moved before it lost that.
    let stood = |name: &[u8]| object.deleted == Fact::Known(true) || at(name).is_ok_and(is_it);
    // It stood there a moment ago.
    let Some(here) = object.names.iter().find(|name| stood(name)) else { return Standing::Gone };
    // A part of a larger filesystem can be mounted there: only what is above that is of another device.
    let device = above(here, inner).last().and_then(|parent| at(parent).ok()).map(|parent| parent.device);
    // One that cannot be looked at may have been.
    let moved = above(here, inner).any(|directory| match at(directory) {
        Ok(found) => Some(found.device) == device && was_moved_lately(&found),
        Err(_) => true,
    });
    if !moved && !was_changed_lately(stat) {
        return Standing::There;
    }
    let typed = match &subject.arguments {
        Fact::Known(arguments) => arguments.typed.as_slice(),
        Fact::Unread => return Standing::Lately,
        Fact::Absent | Fact::Unknown(_) => return Standing::Gone,
    };
    let is_named = |called: &[u8]| object.names.iter().any(|name| name == called);
    let called_so = match (typed, &subject.directory) {
        ([b'/', ..], _) => is_named(typed),
        (_, Fact::Unread) => return Standing::Lately,
        // Where the caller works may have been moved as well.
        ([_, ..], Fact::Known(directory)) if !moved => {
            is_named(&[directory, &b"/"[..], typed.strip_prefix(b"./").unwrap_or(typed)].concat())
        }
        (_, Fact::Known(_) | Fact::Absent | Fact::Unknown(_)) => false,
    };
    if called_so { Standing::There } else { Standing::Gone }
}

/// Within the last seconds, or with the clock set back since.
fn was_changed_lately(stat: &Stat) -> bool {
    let (seconds, nanoseconds) = stat.changed;
    let changed = u64::try_from(seconds).ok().map(|seconds| Duration::new(seconds, nanoseconds));
    let age = changed.and_then(|changed| Duration::from_nanos(clock::realtime()).checked_sub(changed));
    age.is_none_or(|age| age <= LATELY)
}

/// The last change of this directory was not one of its entries: that changes both times to the same, a rename of it
/// only the one.
fn was_moved_lately(stat: &Stat) -> bool {
    was_changed_lately(stat) && stat.changed != stat.modified
}

/// The directories of `name` below the root of its filesystem, the outermost first; those of others come before them where
/// a part of it is mounted.
fn above<'n>(name: &'n [u8], inner: &[u8]) -> impl Iterator<Item = &'n [u8]> {
    let root = if name.ends_with(inner) { name.len().saturating_sub(inner.len()) } else { 0 };
    let slashes = name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(place, _)| place);
    slashes.filter(move |place| *place > root).filter_map(|place| name.get(..place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Arguments, Texts};

    /// A file in a directory of ours, and what is thought of it.
    fn seen(path: &str, typed: Option<&str>, directory: Fact<Vec<u8>>) -> Standing {
        let mut attempt = Attempt::default();
        attempt.object.inner = Fact::Known(path.into());
        attempt.object.names = Texts::from_iter([path]);
        attempt.subject.directory = directory;
        if let Some(typed) = typed {
            let typed = typed.as_bytes().to_vec();
            attempt.subject.arguments = Fact::Known(Arguments { typed, ..Arguments::default() });
        }
        standing(&at(path.as_bytes()).unwrap(), &attempt)
    }

    #[test]
    fn what_has_just_come_counts_by_the_name_by_which_it_is_called() {
        assert_eq!(seen("/usr/bin/env", None, Fact::Unread), Standing::There);
        let program = std::env::current_exe().unwrap().canonicalize().unwrap();
        let directory = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
        let at_work = || Fact::Known(directory.path().to_str().unwrap().into());
        let path = directory.path().join("x");
        std::fs::write(&path, "").unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(seen(path, None, Fact::Unread), Standing::Lately);
        assert_eq!(seen(path, Some(path), Fact::Unread), Standing::There);
        assert_eq!(seen(path, Some("/run/evil/x"), at_work()), Standing::Gone);
        assert_eq!(seen(path, Some("./x"), Fact::Unread), Standing::Lately);
        for (typed, expected) in [
            ("./x", Standing::There),
            ("x", Standing::There),
            ("y", Standing::Gone),
            ("", Standing::Gone),
            ("/proc/self/fd/3", Standing::Gone),
        ] {
            assert_eq!(seen(path, Some(typed), at_work()), expected, "{typed}");
        }
        // The directory was moved there, and its caller with it.
        std::thread::sleep(Duration::from_millis(20));
        std::fs::rename(directory.path(), directory.path().with_extension("moved")).unwrap();
        std::fs::rename(directory.path().with_extension("moved"), directory.path()).unwrap();
        assert_eq!(seen(path, Some("./x"), at_work()), Standing::Gone);
        assert_eq!(seen(path, Some(path), at_work()), Standing::There);
    }

    #[test]
    fn what_has_left_its_place_since_it_was_looked_at_is_gone_whatever_it_was_called() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        std::fs::write(&path, "").unwrap();
        let name = path.to_str().unwrap().as_bytes();
        let stat = at(name).unwrap();
        let mut attempt = Attempt::default();
        attempt.object.inner = Fact::Known(name.to_vec());
        attempt.object.names = Texts::from_iter([name]);
        std::fs::rename(&path, directory.path().join("y")).unwrap();
        assert_eq!(standing(&stat, &attempt), Standing::Gone);
    }

    #[test]
    fn the_directories_above_a_file_end_below_the_root_of_its_filesystem() {
        let above = |name, inner| above(name, inner).collect::<Vec<&[u8]>>();
        assert_eq!(above(b"/run/a/b/x", b"/a/b/x"), [b"/run/a".as_slice(), b"/run/a/b"]);
        assert!(above(b"/run/x", b"/x").is_empty());
        assert_eq!(above(b"/a/x", b"/a/x"), [b"/a".as_slice()]);
    }
}
