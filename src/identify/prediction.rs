//! Who a program would run as: from the caller's credentials and the file, and for a script its interpreter's.
//!
//! Owns which further looks that takes, each only where it would change something; what follows from them is
//! `outcome`'s. Called for every attempt that awaits its exec.

use std::os::fd::BorrowedFd;

use super::outcome::{self, SetId};
use super::parse::{bracketed, id_map, status};
use super::{Identifier, object};
use crate::event::{Cause, Credentials, Fact, FileFacts, Interpreter, Object, Subject, Uid};

impl Identifier {
    /// The user and the group after the exec.
    pub(super) fn predict(
        &mut self,
        thread: Option<i32>,
        file: BorrowedFd<'_>,
        subject: &mut Subject,
        object: &mut Object,
    ) {
        object.interpreter = Fact::Absent;
        let caller = match &subject.credentials {
            Fact::Known(caller) => *caller,
            Fact::Absent | Fact::Unread => return,
            Fact::Unknown(cause) => {
                subject.group = Fact::Unknown(*cause);
                subject.user = self.suspect(thread, *cause);
                return;
            }
        };
        match object.file.clone() {
            Fact::Known(facts) => {
                let nosuid = || object::nosuid(file, object) == Fact::Known(true);
                let bits = self.set_id(thread, &caller, &facts, nosuid);
                subject.user = Fact::Known(outcome::user(&caller, &facts, bits));
                subject.group = Fact::Known(outcome::group(&caller, &facts, bits));
                if subject.user != Fact::Known(Uid::ROOT) {
                    self.predict_script(thread, file, &caller, subject, object);
                }
            }
            Fact::Absent | Fact::Unread => {}
            Fact::Unknown(cause) => {
                // It may be set-uid: only for root is that no question.
                let root = caller.ruid == Uid::ROOT || caller.euid == Uid::ROOT;
                subject.user = if root { Fact::Known(Uid::ROOT) } else { Fact::Unknown(cause) };
                subject.group = Fact::Unknown(cause);
            }
        }
    }

    /// The same where another file gives the privilege.
    fn predict_script(
        &mut self,
        thread: Option<i32>,
        file: BorrowedFd<'_>,
        caller: &Credentials,
        subject: &mut Subject,
        object: &mut Object,
    ) {
        object.interpreter = self.scripts.interpreter(&self.proc, &mut self.aside, thread, caller.euid, file);
        match object.interpreter {
            Fact::Known(Interpreter { file, nosuid, .. }) => {
                if self.set_id(thread, caller, &file, || nosuid) == SetId::Honoured {
                    subject.user = Fact::Known(outcome::user(caller, &file, SetId::Honoured));
                    subject.group = Fact::Known(outcome::group(caller, &file, SetId::Honoured));
                }
            }
            Fact::Unknown(cause) => {
                subject.user = Fact::Unknown(cause);
                subject.group = Fact::Unknown(cause);
            }
            Fact::Absent | Fact::Unread => {}
        }
    }

    /// Without credentials: the effective user is told even when there is no descriptor left to read a file. Only
    /// root is sure then, for another's real user may still be root.
    pub(super) fn suspect(&self, thread: Option<i32>, cause: Cause) -> Fact<Uid> {
        match thread.map(|id| self.proc.owner(id)) {
            Some(Ok(Uid::ROOT)) if cause != Cause::Gone => Fact::Known(Uid::ROOT),
            _ => Fact::Unknown(cause),
        }
    }

    /// Whether the file's set-id bits may count; asked only where there are some that would change something.
    fn set_id(
        &mut self,
        thread: Option<i32>,
        caller: &Credentials,
        facts: &FileFacts,
        nosuid: impl FnOnce() -> bool,
    ) -> SetId {
        let changes =
            facts.is_set_uid() && facts.uid != caller.euid || facts.is_set_gid() && facts.gid != caller.egid;
        if !changes || nosuid() {
            return SetId::Ignored;
        }
        let read = thread.map(|id| self.proc.read(id, "status", &mut self.text));
        let privileges = match read {
            Some(Ok(())) => status::parse(&self.text).and_then(|status| status.privileges),
            Some(Err(_)) | None => None,
        };
        match privileges {
            Some(privileges) if privileges.no_new_privs => SetId::Ignored,
            Some(_) | None if thread.is_some_and(|id| self.is_unmapped(id, facts)) => SetId::Ignored,
            Some(_) | None => SetId::Honoured,
        }
    }

    /// Whether the file's owner or group has surely no id in the caller's user namespace. Each of these tables is
    /// written once: one that is still empty can get any id later, but the user root, whom only root or who has CAP_SETUID
    /// in the namespace above may write into it (user_namespaces(7)).
    fn is_unmapped(&mut self, thread: i32, facts: &FileFacts) -> bool {
        let mut lacks = |table, id, while_empty| {
            let read = self.proc.read_all(thread, table, ID_MAP_LIMIT, &mut self.text);
            read.is_ok()
                && (while_empty && self.text.is_empty() || id_map::shows(&self.text, id) == Some(false))
        };
        lacks("uid_map", facts.uid.0, facts.uid.0 == 0) || lacks("gid_map", facts.gid.0, false)
    }

    /// Whether the thread is in another user namespace than we are: what it may do there, it may not do here. `None`
    /// where that is not known.
    pub(super) fn is_in_child_namespace(&mut self, thread: i32) -> Option<bool> {
        let linked = self.proc.link(thread, "ns/user", &mut self.text);
        let theirs = linked.ok().and_then(|()| bracketed(&self.text))?;
        Some(self.user_namespace? != theirs)
    }
}

/// The kernel takes at most 340 lines.
const ID_MAP_LIMIT: usize = 16 << 10;
