//! A successor that cannot stand: what waits for it is answered all the same.
//!
//! Whoever keeps the group starts the next one, which mostly fails for the same reason, and execs would wait for as long as
//! that goes on. May not judge: nobody knows the rules here. Called by `start.rs` when a guard with an inherited group
//! fails, or follows several that died before they stood.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::say;
use super::start::descriptor_limit;
use crate::decide;
use crate::event::{Failure, Mode, Settled};
use crate::notify::{Group, Incoming};

/// So long at most: whoever starts the next one is not kept waiting by callers that try again and again.
const LONGEST: Duration = Duration::from_millis(500);

/// Answers everything that waits, as the mode says that was in force last. Of each a record is missing, and the first
/// guard that stands again says so.
pub(super) fn answer_what_waits(group: &Arc<Group>) {
    let mode = group.in_flight().stood_in().unwrap_or(Mode::Audit);
    let response = decide::reaction(Failure::TakenOver, mode, &decide::Settings::default());
    let mut answered = std::iter::from_fn(|| group.settle_older(Duration::ZERO))
        .filter(|(_, settled)| *settled == Settled::Delivered)
        .count();
    let until = Instant::now() + LONGEST;
    // Where it cannot be set, a predecessor's reader may have left it waiting: then nothing is read.
    while group.set_waiting(false).is_ok() && Instant::now() < until {
        match group.read(response) {
            Ok(Some(Incoming::Exec(exec))) => {
                answered += usize::from(exec.answer(response, false) == Settled::Delivered);
            }
            Ok(Some(Incoming::KernelDenied { .. } | Incoming::Overflow)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    // Last, for it takes longest: every number that a predecessor can have had is tried.
    answered += group.settle_left_over(response, descriptor_limit()).len();
    if answered == 0 {
        return;
    }
    let (next, missing) = group.in_flight().numbers();
    let next = next.max(1);
    let after = next.saturating_add(u64::try_from(answered).unwrap_or(u64::MAX));
    group.in_flight().note_numbers(after, if missing == 0 { next } else { missing });
    say(&format!("{answered} that waited were answered {response:?}, without a record: no guard stands"));
}
