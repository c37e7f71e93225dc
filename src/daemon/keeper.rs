//! What may change while the guard runs: marks, policy, mode. One place, behind one lock, for signals, mounts and the
//! control socket alike; the threads that answer see only finished values through [`super::live::Current`].

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::eventfd::EventFd;

use super::error::StartError;
use super::last_good;
use super::live::Opens;
use super::load::{self, Ownership};
use super::marks::{Changed, Marks};
use super::opens;
use super::pipeline::Shared;
use super::threads::Seat;
use super::unseen;
use super::warden::OpensGroup;
use crate::control::status::ModeSource;
use crate::decide::Settings;
use crate::event::{Mode, Timestamp};
use crate::notify::Group;
use crate::policy::config::{Config, Level, OnBadPolicy, SharedFilesystem, Unseen};
use crate::policy::{Generation, Problem};
use crate::record::{Log, Notice};
use crate::sys::clock;
use crate::watch::plan::Scope;
use crate::watch::{links, plan};

/// What may change.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared<Log>>,
    marks: Marks,
    config: Config,
    at_start: Config,
    config_file: Option<PathBuf>,
    forced_mode: Option<(Mode, ModeSource)>,
    override_mode: Option<Override>,
    /// Wakes the main thread, which ends a mode whose time is up.
    nudge: Arc<EventFd>,
    generation_number: u64,
    loaded: Timestamp,
    failed_reload: Option<(Timestamp, String)>,
    mounts_unreadable: Option<io::Error>,
    parent_gone: bool,
    opens: Option<opens::Guard>,
    /// Its group, for the thread that keeps the deadlines: it must not wait for us.
    opens_group: OpensGroup,
    /// A thread for it that was started while it could still have its priority.
    seat: Option<Seat>,
    opens_failed: Option<String>,
    unseen: Option<unseen::Watch>,
    unseen_failed: Option<String>,
}

/// A mode that somebody set over the control socket.
#[derive(Clone, Copy, Debug)]
pub struct Override {
    /// The mode.
    pub mode: Mode,
    /// Until when; for good where it is `None`.
    pub until: Option<(Instant, Timestamp)>,
}

/// The keeper, also after another thread panicked with it: its values are replaced whole.
pub(super) fn keep(keeper: &Mutex<Keeper>) -> MutexGuard<'_, Keeper> {
    keeper.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    /// Keeps what `run` has set up.
    #[must_use]
    pub fn new(
        shared: Arc<Shared<Log>>,
        marks: Marks,
        config: Config,
        config_file: Option<PathBuf>,
        forced_mode: Option<(Mode, ModeSource)>,
        nudge: Arc<EventFd>,
    ) -> Self {
        Self {
            shared,
            marks,
            at_start: config.clone(),
            config,
            config_file,
            forced_mode,
            override_mode: None,
            nudge,
            generation_number: 1,
            loaded: Timestamp(clock::realtime()),
            failed_reload: None,
            mounts_unreadable: None,
            parent_gone: false,
            opens: None,
            opens_group: OpensGroup::default(),
            seat: None,
            opens_failed: None,
            unseen: None,
            unseen_failed: None,
        }
    }

    /// The marks, for `status`.
    #[must_use]
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The configuration of the start: sinks, socket and deadline are those that it names.
    #[must_use]
    pub fn at_start(&self) -> &Config {
        &self.at_start
    }

    /// Counts reloads that succeeded, from 1; and when the last was.
    #[must_use]
    pub fn generation(&self) -> (u64, Timestamp) {
        (self.generation_number, self.loaded)
    }

    /// The last reload, if it failed.
    #[must_use]
    pub fn failed_reload(&self) -> Option<(Timestamp, &str)> {
        self.failed_reload.as_ref().map(|(at, message)| (*at, message.as_str()))
    }

    /// Why the mount table could not be read when it last changed.
    #[must_use]
    pub fn mounts_unreadable(&self) -> Option<&io::Error> {
        self.mounts_unreadable.as_ref()
    }

    /// Why opens are not looked at although they should be.
    #[must_use]
    pub fn opens_failed(&self) -> Option<&str> {
        self.opens_failed.as_deref()
    }

    /// The group for opens, where there is one.
    #[must_use]
    pub fn opens(&self) -> Option<Arc<Group>> {
        self.opens.as_ref().map(|opens| Arc::clone(opens.group()))
    }

    /// The same, to be looked at without us.
    pub(super) fn opens_group(&self) -> OpensGroup {
        Arc::clone(&self.opens_group)
    }

    fn share_opens(&self) {
        *self.opens_group.lock().unwrap_or_else(PoisonError::into_inner) = self.opens();
    }

    /// Begins or ends to look at opens, as configured; the marks follow at the next refresh.
    pub(super) fn follow_opens(&mut self, seat: Option<Seat>) {
        self.seat = seat.or(self.seat.take());
        let wanted = opens::wanted(&self.config.watch);
        self.shared.current.change(|live| live.opens = wanted);
        if wanted == Opens::OFF {
            self.opens_failed = None;
            self.end_opens();
        } else if self.opens.is_none() {
            match opens::Guard::start(self.seat.take(), &self.shared, self.config.answer_deadline) {
                Ok(opens) => {
                    self.marks.watch_opens(Some(Arc::clone(opens.group())));
                    self.opens = Some(opens);
                    self.share_opens();
                    self.opens_failed = None;
                }
                Err(error) => {
                    let text = format!("loads and interpreters are not looked at: {error}");
                    self.shared.sink.notice(&Notice::Other {
                        action: "opens-failed",
                        text: &text,
                        failed: true,
                    });
                    self.opens_failed = Some(error.to_string());
                }
            }
        }
    }

    /// Ends to look at opens. False: its threads did not end in time.
    pub(super) fn end_opens(&mut self) -> bool {
        self.marks.watch_opens(None);
        let Some(opens) = self.opens.take() else { return true };
        self.share_opens();
        // What waits already is answered by the threads, or let through when the group is closed.
        let _cleared = opens.group().unmark_all();
        opens.end()
    }

    /// Why what runs unseen is not told although it should be.
    #[must_use]
    pub fn unseen_failed(&self) -> Option<&str> {
        let deaf = self.unseen.as_ref().filter(|unseen| unseen.is_deaf());
        self.unseen_failed.as_deref().or(deaf.map(|_| "the kernel tells nothing any more"))
    }

    /// Begins or ends to be told of execs after the fact, as configured. `seats` were taken earlier.
    pub(super) fn follow_unseen(&mut self, seats: Option<Result<Vec<unseen::Seat>, StartError>>) {
        if self.config.watch.unseen == Unseen::Off {
            self.unseen_failed = None;
            self.end_unseen();
            return;
        }
        if self.unseen.is_some() {
            return;
        }
        let seats = seats.unwrap_or_else(unseen::seats);
        let started = seats.and_then(|seats| unseen::Watch::start(seats, &self.shared));
        match started {
            Ok(unseen) => {
                self.unseen = Some(unseen);
                self.unseen_failed = None;
            }
            Err(error) => {
                let text = format!("what runs unseen is not told: {error}");
                self.shared.sink.notice(&Notice::Other {
                    action: "unseen-failed",
                    text: &text,
                    failed: true,
                });
                self.unseen_failed = Some(error.to_string());
            }
        }
    }

    /// Ends to be told of execs after the fact. False: its threads did not end in time.
    pub(super) fn end_unseen(&mut self) -> bool {
        self.unseen.take().is_none_or(unseen::Watch::end)
    }

    /// Notes that the parent of this guard is gone.
    pub fn lose_parent(&mut self) {
        self.parent_gone = true;
    }

    /// The parent of this guard is gone: nobody would take over.
    #[must_use]
    pub fn parent_gone(&self) -> bool {
        self.parent_gone
    }

    /// The mode that somebody set, the one of the command line, and the configuration's.
    #[must_use]
    pub fn modes(&self) -> (Option<Override>, Option<(Mode, ModeSource)>, Mode) {
        (self.override_mode, self.forced_mode, self.config.mode)
    }

    /// Sets the marks anew after mounts came or went.
    pub fn refresh_mounts(&mut self) {
        let result = self.marks.refresh(put_in_force(&self.shared));
        self.take_changes(result);
    }

    /// Whether there are other mount namespaces to be looked for, now and then.
    pub fn looks_around(&self) -> bool {
        self.config.watch.containers
    }

    /// Looks for the watched directories in other mount namespaces.
    pub fn look_around(&mut self) {
        let result = self.marks.look_around(put_in_force(&self.shared));
        // What the last refresh could not read is not mended by this look.
        if self.mounts_unreadable.is_none() || result.is_err() {
            self.take_changes(result);
        }
    }

    fn take_changes(&mut self, result: io::Result<Changed>) {
        match result {
            Ok(changed) => {
                self.mounts_unreadable = None;
                self.tell_marks(&changed);
            }
            Err(error) => self.mounts_unreadable = Some(error),
        }
    }

    /// Reads configuration and policy again. All or nothing: with one mistake in either, the old stay in force.
    ///
    /// # Errors
    /// Every mistake.
    pub fn reload(&mut self) -> Result<String, Vec<Problem>> {
        let result = self.read_again();
        match &result {
            Ok(_) => {
                self.failed_reload = None;
                if self.config.on_bad_policy == OnBadPolicy::LastGood {
                    self.keep_policy();
                }
            }
            Err(problems) => self.note_failed_reload(problems),
        }
        result
    }

    /// Sets the mode of the running guard, for good or for a time.
    pub fn set_mode(&mut self, mode: Mode, time: Option<Duration>, by: &str) {
        let until = time.map(|time| {
            let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            (Instant::now() + time, Timestamp(clock::realtime().saturating_add(nanoseconds)))
        });
        self.override_mode = Some(Override { mode, until });
        self.marks.group().in_flight().set_mode(Some((mode, until.map(|(_, at)| at.0))));
        self.put_mode_in_force(by);
        // Full is rung as well.
        let _rung = self.nudge.write(1);
    }

    /// Keeps the policy in force for a start with a bad one.
    pub fn keep_policy(&self) {
        if let Err(error) = last_good::keep(&self.config) {
            let text = format!("the policy could not be kept for a start with a bad one: {error}");
            self.shared.sink.notice(&Notice::Other { action: "policy-not-kept", text: &text, failed: true });
        }
    }

    /// Notes that the policy could not be read, and that the last good one stands in its place.
    pub fn note_bad_policy(&mut self, problems: &[Problem]) {
        if !problems.is_empty() {
            self.note_failed_reload(problems);
        }
    }

    fn note_failed_reload(&mut self, problems: &[Problem]) {
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        self.shared.sink.notice(&Notice::ReloadFailed { problems: &told });
        let first = told.into_iter().next().unwrap_or_default();
        self.failed_reload = Some((Timestamp(clock::realtime()), first));
    }

    /// Takes over the mode that somebody set on a guard before this one, if its time is not up.
    pub fn inherit_mode(&mut self) {
        let Some((mode, until)) = self.marks.group().in_flight().mode() else { return };
        let now = clock::realtime();
        let until = match until {
            Some(until) if until <= now => return self.marks.group().in_flight().set_mode(None),
            Some(until) => Some((Instant::now() + Duration::from_nanos(until - now), Timestamp(until))),
            None => None,
        };
        self.override_mode = Some(Override { mode, until });
        self.put_mode_in_force("it was set on the guard before this one");
    }

    /// Ends a mode whose time is up; returns how long it still holds.
    pub fn end_override(&mut self) -> Option<Duration> {
        let (until, _) = self.override_mode?.until?;
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        if left.is_none() {
            self.override_mode = None;
            self.marks.group().in_flight().set_mode(None);
            self.put_mode_in_force("its time was up");
        }
        left
    }

    /// Takes every mark away: nothing new will wait.
    ///
    /// # Errors
    /// What fanotify_mark(2) says; closing the group then lets what waits run.
    pub fn clear_marks(&mut self) -> io::Result<()> {
        self.marks.clear()
    }

    fn read_again(&mut self) -> Result<String, Vec<Problem>> {
        let (config, _) = load::config(self.config_file.as_deref(), Ownership::Checked)?;
        let generation = load::policy(&config, Ownership::Checked)?;
        let users = load::users();
        let rules = generation.rules().len();
        let directories = links::resolve(&config.watch.directories);
        if let Err(error) = self.marks.watch(directories, watch_settings(&config), config.watch.containers) {
            self.mounts_unreadable = Some(error);
        }
        self.shared.sink.redact(&config.evidence.redact);
        self.config = config;
        self.generation_number += 1;
        self.loaded = Timestamp(clock::realtime());
        let generation = Arc::new(generation);
        let hash = generation.hash().to_owned();
        let settings = settings(&self.config);
        let full = self.config.evidence.level == Level::Full;
        self.shared.current.change(|live| {
            live.set_generation(generation);
            live.settings = settings;
            live.full_evidence = full;
            live.users = Arc::new(users);
        });
        self.follow_opens(None);
        self.refresh_mounts();
        self.follow_unseen(None);
        self.put_mode_in_force("reload");
        let mode = self.shared.current.get().mode;
        self.shared.sink.notice(&Notice::Reloaded { policy_hash: &hash, mode, rules });
        let told = format!("{rules} rules are in force, mode {mode}");
        let later = self.at_start.fixed_until_restart(&self.config);
        if later.is_empty() {
            return Ok(told);
        }
        let text = format!("changed, in force from the next start on: {}", later.join(", "));
        self.shared.sink.notice(&Notice::Other { action: "restart-needed", text: &text, failed: false });
        Ok(format!("{told}; {text}"))
    }

    fn put_mode_in_force(&mut self, by: &str) {
        let to = mode_in_force(&self.config, self.forced_mode, self.override_mode);
        let from = self.shared.current.get().mode;
        if from == to {
            return;
        }
        self.shared.current.change(|live| live.mode = to);
        self.marks.group().in_flight().set_stood(to);
        let until = self.override_mode.and_then(|set| set.until).map(|(_, at)| at);
        self.shared.sink.notice(&Notice::ModeChanged { from, to, by, until });
    }

    fn tell_marks(&self, changed: &Changed) {
        use std::os::unix::ffi::OsStrExt;
        for mark in &changed.added {
            self.shared.sink.notice(&Notice::MarkAdded {
                path: mark.path.as_os_str().as_bytes(),
                fstype: mark.fs_type.as_bytes(),
                device: mark.device,
            });
        }
        for mark in &changed.dropped {
            self.shared.sink.notice(&Notice::MarkDropped {
                path: mark.path.as_os_str().as_bytes(),
                fstype: mark.fs_type.as_bytes(),
                device: mark.device,
            });
        }
        for (mark, error) in &changed.refused {
            let reason = format!("the kernel refused its mark: {error}");
            self.shared
                .sink
                .notice(&Notice::LeftOut { directory: mark.path.as_os_str().as_bytes(), reason: &reason });
        }
    }
}

/// Puts a scope in force for every decision from now on.
fn put_in_force(shared: &Arc<Shared<Log>>) -> impl FnMut(Scope) + use<> {
    let shared = Arc::clone(shared);
    move |scope| {
        let scope = Arc::new(scope);
        shared.current.change(|live| live.scope = Arc::clone(&scope));
    }
}

/// The mode that holds: what somebody set, else the command line's, else the configuration's.
#[must_use]
pub fn mode_in_force(config: &Config, forced: Option<(Mode, ModeSource)>, set: Option<Override>) -> Mode {
    set.map(|set| set.mode).or(forced.map(|(mode, _)| mode)).unwrap_or(config.mode)
}

/// What failures lead to, as configured.
#[must_use]
pub fn settings(config: &Config) -> Settings {
    Settings { on_unknown: config.on_unknown, on_record_failure: config.on_record_failure }
}

/// How directories are watched, as configured.
#[must_use]
pub fn watch_settings(config: &Config) -> plan::Settings {
    let shared_filesystem = match config.watch.shared_filesystem {
        SharedFilesystem::Skip => plan::SharedFilesystem::Skip,
        SharedFilesystem::Mark => plan::SharedFilesystem::Mark,
    };
    plan::Settings { shared_filesystem }
}

/// The generation that is compiled from what the configuration names.
///
/// # Errors
/// Every mistake.
pub fn first_generation(config: &Config) -> Result<Generation, Vec<Problem>> {
    load::policy(config, Ownership::Checked)
}
