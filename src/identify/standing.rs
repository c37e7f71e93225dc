//! Whether a file is where it is said to be, asked before its place lets it run.
//!
//! A path is made of two answers of the kernel: whoever moves mounts or renames directories between the two could make
//! up a path that never was, or bring the file there meanwhile. So it is looked at again, and where that can be seen the
//! very file must stand at its name. What was there when the exec began is [`arrival`]'s. Judges nothing.

use std::os::fd::BorrowedFd;

use super::mount::{Asking, Whereabouts};
use super::{Identifier, arrival, inner};
use crate::event::{Attempt, Cause, Fact, FileFacts, Object, Pid};
use crate::sys::statx::{self, Stat};
use crate::watch::plan::{Placement, Scope};

/// Whether an exception may hold for the place of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is there, and was when the exec began.
    There,
    /// It is there, but may have come since the exec began: by which name the caller called it (the groups ARGUMENTS and
    /// DIRECTORY) decides that.
    Lately,
    /// It is not, or cannot be seen to be there.
    Gone,
}

impl Identifier {
    /// Whether `file` is where `attempt` says, and was when its exec began. Asked only when a rule is about to allow
    /// because of where it is.
    ///
    /// Looks several times, and in our own mount namespace at the name itself: the very file must stand there (one
    /// without a name cannot), unless `scope` has its superblock from another namespace. [`Standing::Gone`] for an
    /// unknown place. Does not block. Costs about as much as [`Identifier::essential`] twice; where the answer would be
    /// the same with the place unknown, it is not needed.
    pub fn confirm(&mut self, file: BorrowedFd<'_>, scope: &Scope, attempt: &Attempt) -> Standing {
        let Attempt { subject, object, .. } = attempt;
        let (Some(inner), Some(facts)) = (object.inner.known(), object.file.known()) else {
            return Standing::Gone;
        };
        let thread = subject.thread.known().map(|Pid(id)| *id);
        let Some((stat, whereabouts)) = self.steady(LOOKS, thread, file, object) else {
            return Standing::Gone;
        };
        let shown = shown(&object.seen, &object.deleted);
        let is_shown = shown.is_some_and(|seen| object.names.iter().any(|name| name == seen));
        let is_covered = shown.is_some_and(|seen| scope.covers(seen));
        // It was run through another of its mounts: where only mounts are watched, that would have another name; and one in
        // another watched directory is no way to aim an exception there.
        if !is_shown && (scope.watches_mounts(facts.device) || is_covered && whereabouts.is_home(scope)) {
            return Standing::Gone;
        }
        let stands = match self.files.stands(&stat, facts.device, inner, object.names.iter()) {
            // A deleted file had that name.
            Some(stands) => stands || is_shown && object.deleted == Fact::Known(true),
            // Its names are those of another namespace, or of a place that it was taken away from. What came there when
            // is not looked at.
            None if matches!(whereabouts, Whereabouts::Elsewhere(_))
                && scope.namespace(facts.device).is_some() =>
            {
                return Standing::There;
            }
            None => false,
        };
        match stands {
            false => Standing::Gone,
            true if attempt.awaits_exec() => arrival::standing(&stat, attempt),
            true => Standing::There,
        }
    }

    /// Names the file, and says whether it is in a watched directory. `whereabouts` of its own mount.
    pub(super) fn place(
        &mut self,
        whereabouts: Whereabouts,
        thread: Option<i32>,
        file: BorrowedFd<'_>,
        scope: &Scope,
        object: &mut Object,
    ) -> Placement {
        let Fact::Known(FileFacts { device, .. }) = object.file else { return Placement::Inside };
        let inner = object.inner.as_ref().map(Vec::as_slice);
        if let (Fact::Known(inner), Some(seen)) = (&inner, shown(&object.seen, &object.deleted))
            && scope.name_as_seen(device, inner, seen, &mut object.names)
        {
            return Placement::Inside;
        }
        let placement = scope.name(device, inner, &mut object.names);
        let Some(inner) = object.inner.known().filter(|_| placement == Placement::Outside) else {
            return placement;
        };
        // What is outside runs unrecorded, so whoever moves mounts must not make it seem so.
        let is_there = match whereabouts {
            Whereabouts::Nowhere | Whereabouts::OurRoot => true,
            Whereabouts::Ours => self.steady(LOOKS_OUTSIDE, thread, file, object).is_some(),
            Whereabouts::Elsewhere(_) => {
                let asking = Asking::now(&self.proc, self.features, thread);
                scope.name(device, Fact::Unknown(Cause::Unsteady), &mut self.directories);
                let there = self.files.stands_inside(asking, file, device, inner, self.directories.iter());
                self.directories.clear();
                there
            }
        };
        if is_there {
            return placement;
        }
        object.inner = Fact::Unknown(Cause::Unsteady);
        object.names.clear();
        scope.name(device, Fact::Unknown(Cause::Unsteady), &mut object.names)
    }

    /// Looks again, `looks` times: the file's facts, and where its mount is, if the file is where `object` says each
    /// time. One whose mount is nowhere, as that of an overlay's layer, is looked at through our own mounts.
    fn steady(
        &mut self,
        looks: usize,
        thread: Option<i32>,
        file: BorrowedFd<'_>,
        object: &Object,
    ) -> Option<(Stat, Whereabouts)> {
        let asking = Asking::now(&self.proc, self.features, thread);
        let inner = object.inner.known()?;
        let mut last = None;
        for _ in 0..looks {
            let stat = statx::of(file, self.features.mount_id()).ok()?;
            let look = self.files.look(asking, &mut self.aside, file, &stat, &mut self.seen, &mut self.inner);
            let mut whereabouts = look.found().whereabouts;
            if look.inner == Err(Cause::Unsupported) && stat.links == 1 {
                let roots = object.names.iter().filter_map(|name| name.strip_suffix(inner.as_slice()));
                let which = (object.file.known()?.device, stat.inode);
                let Self { files, aside, inner, .. } = self;
                if !files.is_inside(asking, aside, file, which, roots, inner) {
                    return None;
                }
                // The layer's, which is ours; that of the run is not to be seen.
                whereabouts = Whereabouts::Nowhere;
            } else if look.inner.is_err() {
                return None;
            }
            if self.inner != *inner || look.deleted != object.deleted {
                return None;
            }
            last = Some((stat, whereabouts));
        }
        last
    }
}

/// The path at which a file was `seen`, without the kernel's word for one that has lost its name.
fn shown<'a>(seen: &'a Fact<Vec<u8>>, deleted: &Fact<bool>) -> Option<&'a [u8]> {
    let seen = seen.known()?;
    if *deleted == Fact::Known(true) { seen.strip_suffix(inner::DELETED) } else { Some(seen) }
}

/// How often a place is looked at again. Each look is two questions in turn; to deceive it, the mover would have
/// to be in step with all of them.
const LOOKS: usize = 4;
/// The same for a place outside, on a mount of ours.
const LOOKS_OUTSIDE: usize = 2;
