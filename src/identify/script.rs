//! What a `#!` file is run by: the kernel takes set-id bits and capabilities from there, and never from the script.
//!
//! Owns the look at a file's first bytes and for the interpreter that they name, on the way that its caller would go. Called
//! only for callers that are not root. A look can hang (whoever serves a directory on the way may take his time), so it
//! is done [aside](super::aside), and every user has so much of our time and no more: none slows or spoils another's.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::sys::uio::pread;

use super::aside::{Aside, Running, Waited};
use super::object::facts_of;
use super::parse::{capability, script};
use super::proc::{Entry, Proc, cause};
use super::walk;
use crate::event::{Cause, Fact, FileCapabilities, Interpreter, Uid};
use crate::sys::statx::{self, Want};
use crate::sys::{mounts, xattr};

/// Looks for interpreters.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    /// Of those whose looks took long.
    accounts: Vec<Account>,
}

/// What a user has cost.
#[derive(Debug)]
struct Account {
    user: Uid,
    /// For how long was waited, at that time.
    spent: Duration,
    at: Instant,
    /// A look that has not come to an end.
    hung: Option<Running<Found>>,
}

/// `None`: the file is no script.
type Found = Result<Option<Interpreter>, Cause>;

impl Scripts {
    /// The interpreter of this file, which a `thread` of `user` executes. Waits at most [`PATIENCE`], and that only where the
    /// file is a script or lies on a disk; a user who made us wait for [`BUDGET`] gets `Late`, until time has come back.
    pub(super) fn interpreter(
        &mut self,
        proc: &Arc<Proc>,
        aside: &mut Aside,
        thread: Option<i32>,
        user: Uid,
        file: BorrowedFd<'_>,
    ) -> Fact<Interpreter> {
        let in_memory = mounts::is_in_memory(file).unwrap_or(false);
        if in_memory && head(file).is_ok_and(|head| script::interpreter(&head).is_none()) {
            return Fact::Absent;
        }
        let begun = Instant::now();
        if !self.may_look(user, begun, aside) {
            return Fact::Unknown(Cause::Late);
        }
        let proc = Arc::clone(proc);
        let file = match file.try_clone_to_owned() {
            Ok(file) => file,
            Err(error) => return Fact::Unknown(cause(error)),
        };
        let Some(running) = aside.begin(move |tell| tell(look(&proc, thread, &file))) else {
            return Fact::Unknown(Cause::Late);
        };
        let waited = running.wait(begun + PATIENCE);
        let hung = match &waited {
            Waited::Found(_) => {
                aside.take_back(running);
                None
            }
            Waited::Finished => None,
            Waited::Late => Some(running),
        };
        self.charge(user, begun, Instant::now(), hung);
        match waited {
            Waited::Found(Ok(Some(interpreter))) => Fact::Known(interpreter),
            // No script, or the exec will fail.
            Waited::Found(Ok(None) | Err(Cause::Gone)) => Fact::Absent,
            Waited::Found(Err(cause)) => Fact::Unknown(cause),
            Waited::Finished | Waited::Late => Fact::Unknown(Cause::Late),
        }
    }

    /// Whether this user has time left.
    fn may_look(&mut self, user: Uid, now: Instant, aside: &mut Aside) -> bool {
        for account in &mut self.accounts {
            account.hung = account.hung.take().and_then(|running| match running.wait(now) {
                Waited::Late => Some(running),
                Waited::Finished => None,
                Waited::Found(_) => {
                    aside.take_back(running);
                    None
                }
            });
        }
        self.accounts.retain(|account| account.hung.is_some() || !account.spent(now).is_zero());
        let hung = self.accounts.iter().filter(|account| account.hung.is_some()).count();
        match self.accounts.iter().find(|account| account.user == user) {
            Some(account) => account.hung.is_none() && account.spent(now) < BUDGET,
            None => self.accounts.len() < ACCOUNTS && hung < HANGING,
        }
    }

    /// Notes what a look has cost, if that was much.
    fn charge(&mut self, user: Uid, begun: Instant, now: Instant, hung: Option<Running<Found>>) {
        let took = now.saturating_duration_since(begun);
        if took < FREE && hung.is_none() {
            return;
        }
        match self.accounts.iter_mut().find(|account| account.user == user) {
            Some(account) => {
                (account.spent, account.at, account.hung) = (account.spent(now) + took, now, hung);
            }
            None => self.accounts.push(Account { user, spent: took, at: now, hung }),
        }
    }
}

impl Account {
    /// What it still owes: a twentieth of the time comes back.
    fn spent(&self, now: Instant) -> Duration {
        self.spent.saturating_sub(now.saturating_duration_since(self.at) / 20)
    }
}

fn look(proc: &Proc, thread: Option<i32>, file: &OwnedFd) -> Found {
    let head = head(file.as_fd())?;
    let Some(name) = script::interpreter(&head) else { return Ok(None) };
    let found = walk::to(proc, thread.ok_or(Cause::Unsupported)?, name)?;
    let facts = facts_of(&statx::of(found.as_fd(), Want::Nothing).map_err(cause)?);
    let filesystem = fstatvfs(&found).map_err(|errno| cause(errno.into()))?;
    let nosuid = filesystem.flags().contains(FsFlags::ST_NOSUID);
    Ok(Some(Interpreter { file: facts, nosuid, capabilities: capabilities(&found)? }))
}

fn capabilities(found: &OwnedFd) -> Result<Option<FileCapabilities>, Cause> {
    let number = found.as_raw_fd();
    let entry = Entry::of(format_args!("/proc/self/fd/{number}"));
    let mut attribute = [0; capability::LONGEST];
    match xattr::at(entry.as_c_str(), capability::ATTRIBUTE, &mut attribute) {
        Ok(length) => Ok(Some(capability::read(attribute.get(..length).unwrap_or_default()))),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => Ok(None),
        Err(error) => Err(cause(error)),
    }
}

/// As much of the file as the kernel looks at.
fn head(file: BorrowedFd<'_>) -> Result<[u8; script::HEAD], Cause> {
    let mut head = [0; script::HEAD];
    pread(file, &mut head, 0).map_err(|errno| cause(errno.into()))?;
    Ok(head)
}

/// How long a look may take.
const PATIENCE: Duration = Duration::from_millis(50);
/// A look that takes less is not counted.
const FREE: Duration = Duration::from_millis(1);
/// How long a user can make us wait before his looks are given up at once.
const BUDGET: Duration = Duration::from_millis(200);
/// Of so many users what they cost is kept; beyond that nobody new may look.
const ACCOUNTS: usize = 64;
/// So many looks may hang: half of the threads that there are for what can.
const HANGING: usize = super::aside::LIMIT / 2;

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Uid = Uid(1);
    const OTHER: Uid = Uid(2);

    #[test]
    fn a_user_who_makes_us_wait_has_no_time_left_until_some_has_come_back_and_others_have_theirs() {
        let (mut scripts, mut aside) = (Scripts::default(), Aside::default());
        let begun = Instant::now();
        let mut now = begun;
        let mut may = |scripts: &mut Scripts, user, now| scripts.may_look(user, now, &mut aside);
        for _ in 0..5 {
            assert!(may(&mut scripts, SLOW, now));
            scripts.charge(SLOW, now, now + Duration::from_millis(49), None);
            now += Duration::from_millis(49);
        }
        assert!(!may(&mut scripts, SLOW, now));
        assert!(may(&mut scripts, OTHER, now));
        // 45 ms too much take 20 times as long.
        assert!(!may(&mut scripts, SLOW, now + Duration::from_millis(500)));
        assert!(may(&mut scripts, SLOW, now + Duration::from_millis(1000)));
        assert!(may(&mut scripts, SLOW, now + Duration::from_secs(6)));
        assert!(scripts.accounts.is_empty());
    }

    #[test]
    fn a_short_look_costs_nothing() {
        let mut scripts = Scripts::default();
        let now = Instant::now();
        scripts.charge(SLOW, now, now + FREE / 2, None);
        assert!(scripts.accounts.is_empty());
    }

    #[test]
    fn a_user_whose_look_hangs_may_not_look_until_it_ends_and_only_so_many_hang() {
        let (mut scripts, mut aside) = (Scripts::default(), Aside::default());
        let mut releases = Vec::new();
        for number in 0..u32::try_from(HANGING).unwrap() {
            let (release, until) = std::sync::mpsc::channel::<()>();
            let begun = Instant::now();
            assert!(scripts.may_look(Uid(number), begun, &mut aside));
            let running = aside.begin(move |tell| {
                until.recv().unwrap_or_default();
                tell(Ok(None));
            });
            scripts.charge(Uid(number), begun, Instant::now(), running);
            releases.push(release);
        }
        assert!(!scripts.may_look(Uid(0), Instant::now(), &mut aside));
        assert!(!scripts.may_look(Uid(1000), Instant::now(), &mut aside));
        drop(releases.remove(0));
        let deadline = Instant::now() + Duration::from_secs(20);
        while !scripts.may_look(Uid(0), Instant::now(), &mut aside) {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(scripts.may_look(Uid(1000), Instant::now(), &mut aside));
    }
}
