//! Whether a file lay where it lies before the exec that waits for it could begin.
//!
//! The kernel tells where a file lies now. Whoever renames it, or a directory above it, between the start of an exec
//! and our look could aim an exception at it. A rename changes the ctime of what it moves, so what was not changed
//! lately has lain there; what was, counts only where the caller itself called it by that name. Judges nothing;
//! called by [`confirm`](super::Identifier::confirm).

use std::time::Duration;

use super::object::at;
use crate::event::{Arguments, Object};
use crate::sys::clock;
use crate::sys::statx::Stat;

/// Longer than any exec waits for us, unless a longer `answer_deadline` lets it.
const LATELY: Duration = Duration::from_secs(3);

/// Whether neither the file was changed lately nor a directory above it moved, up to the root of its filesystem. `false`
/// where that cannot be seen: in a mount namespace that is not ours, or with the clock set back.
pub(super) fn is_long_ago(stat: &Stat, object: &Object) -> bool {
    let now = clock::realtime();
    let old = |stat: &Stat| {
        let (seconds, nanoseconds) = stat.changed;
        let changed = u64::try_from(seconds).ok().map(|seconds| Duration::new(seconds, nanoseconds));
        changed
            .and_then(|changed| Duration::from_nanos(now).checked_sub(changed))
            .is_some_and(|age| age > LATELY)
    };
    let Some(inner) = object.inner.known().filter(|_| old(stat)) else { return false };
    object.names.iter().any(|name| {
        name.ends_with(inner)
            && at(name).is_ok_and(|there| (there.device, there.inode) == (stat.device, stat.inode))
            && above(name, inner)
                .all(|directory| at(directory).is_ok_and(|stat| old(&stat) || has_new_entry(&stat)))
    })
}

/// Whether the last change of this directory was one of its entries, and not its own place: that changes both times to
/// the same, a rename of it only the one.
fn has_new_entry(stat: &Stat) -> bool {
    stat.changed == stat.modified
}

/// The directories of `name` below the root of its filesystem, the outermost first.
fn above<'n>(name: &'n [u8], inner: &[u8]) -> impl Iterator<Item = &'n [u8]> {
    let root = name.len().saturating_sub(inner.len());
    let slashes = name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(place, _)| place);
    slashes.filter(move |place| *place > root).filter_map(|place| name.get(..place))
}

/// Whether the caller gave exec one of the file's names: its own thread then executes what an exception names.
pub(super) fn is_called_so(arguments: &Arguments, object: &Object) -> bool {
    object.names.iter().any(|name| name == arguments.typed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Fact, Texts};

    #[test]
    fn what_has_just_come_is_told_from_what_has_lain_there() {
        let program = std::env::current_exe().unwrap().canonicalize().unwrap();
        let new = tempfile::NamedTempFile::new_in(program.parent().unwrap()).unwrap();
        let object = |name: &str| Object {
            inner: Fact::Known(name.into()),
            names: Texts::from_iter([name]),
            ..Object::default()
        };
        let long_ago = |name: &str, of: &str| is_long_ago(&at(of.as_bytes()).unwrap(), &object(name));
        assert!(long_ago("/usr/bin/env", "/usr/bin/env"));
        assert!(!long_ago("/usr/bin/env", "/usr/bin/id"));
        let new = new.path().to_str().unwrap();
        assert!(!long_ago(new, new));
        let directory = tempfile::tempdir().unwrap();
        let at = || at(directory.path().to_str().unwrap().as_bytes()).unwrap();
        std::fs::write(directory.path().join("entry"), "").unwrap();
        assert!(has_new_entry(&at()));
        std::thread::sleep(Duration::from_millis(20));
        std::fs::rename(directory.path(), directory.path().with_extension("moved")).unwrap();
        std::fs::rename(directory.path().with_extension("moved"), directory.path()).unwrap();
        assert!(!has_new_entry(&at()));
    }

    #[test]
    fn the_directories_above_a_file_end_below_the_root_of_its_filesystem() {
        let above = |name, inner| above(name, inner).collect::<Vec<&[u8]>>();
        assert_eq!(above(b"/run/a/b/x", b"/a/b/x"), [b"/run/a".as_slice(), b"/run/a/b"]);
        assert!(above(b"/run/x", b"/x").is_empty());
        assert_eq!(above(b"/a/x", b"/a/x"), [b"/a".as_slice()]);
    }
}
