//! What one decision sees: policy, mode, scope and names, all of one moment.
//!
//! A reload or a mount makes a new value and swaps it in whole; an attempt in progress keeps the one it began with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::decide::Settings;
use crate::event::{Action, Mode, RuleIndex, Users};
use crate::policy::Generation;
use crate::policy::config::Extra;
use crate::watch::plan::Scope;

/// Everything that a decision depends on.
#[derive(Clone, Debug)]
pub struct Live {
    /// The rules.
    pub generation: Arc<Generation>,
    /// How often each rule of the generation decided or matched on trial.
    pub hits: Arc<[AtomicU64]>,
    /// The global mode.
    pub mode: Mode,
    /// What failures lead to.
    pub settings: Settings,
    /// Full evidence is taken for matched attempts.
    pub full_evidence: bool,
    /// Answers to matched attempts go to the kernel's audit log.
    pub audit: bool,
    /// Which filesystems are watched, and their names.
    pub scope: Arc<Scope>,
    /// User and group names.
    pub users: Arc<Users>,
    /// What is done about loads and interpreters.
    pub opens: Opens,
}

/// What is done about files that are run without an exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opens {
    /// ld.so loads a file.
    pub loads: Extra,
    /// An interpreter is given a file.
    pub programs: Extra,
}

impl Opens {
    /// Nothing.
    pub const OFF: Self = Self { loads: Extra::Off, programs: Extra::Off };
}

/// The value in force, shared by all threads.
#[derive(Debug)]
pub struct Current {
    live: Mutex<Arc<Live>>,
}

impl Current {
    /// The first value.
    #[must_use]
    pub fn new(live: Live) -> Self {
        Self { live: Mutex::new(Arc::new(live)) }
    }

    /// The value in force. Held for one decision, never longer.
    #[must_use]
    pub fn get(&self) -> Arc<Live> {
        Arc::clone(&self.live.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a changed copy in force.
    pub fn change(&self, change: impl FnOnce(&mut Live)) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Live::clone(&live);
        change(&mut next);
        *live = Arc::new(next);
    }
}

impl Live {
    /// The mode in which such an attempt is judged: for what is only to be recorded, audit.
    #[must_use]
    pub fn mode_for(&self, action: Action) -> Mode {
        let denies = match action {
            Action::Exec => true,
            Action::Load => self.opens.loads == Extra::Deny,
            Action::Interpret => self.opens.programs == Extra::Deny,
        };
        if denies { self.mode } else { Mode::Audit }
    }

    /// Counts a hit of a rule.
    pub fn hit(&self, rule: RuleIndex) {
        if let Some(counter) = self.hits.get(usize::from(rule.0)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Replaces the rules; rules that keep their id keep their count.
    pub fn set_generation(&mut self, generation: Arc<Generation>) {
        self.hits = hits(&generation, Some(self));
        self.generation = generation;
    }

    /// How often the rule with this id was hit.
    #[must_use]
    pub fn hits_of(&self, id: &str) -> u64 {
        let rules = self.generation.rules().iter().zip(self.hits.iter());
        rules
            .filter(|(rule, _)| rule.about.id == id)
            .map(|(_, counter)| counter.load(Ordering::Relaxed))
            .sum()
    }
}

/// Counters for a generation, carried over from the one before.
#[must_use]
pub fn hits(generation: &Generation, before: Option<&Live>) -> Arc<[AtomicU64]> {
    let count = |id: &str| before.map_or(0, |live| live.hits_of(id));
    generation.rules().iter().map(|rule| AtomicU64::new(count(&rule.about.id))).collect()
}
