//! A successor that cannot stand: what waits for it is answered all the same.
//!
//! Whoever keeps the group starts the next one, which mostly fails for the same reason, and execs would wait for as long as
//! that goes on. May not judge: nobody knows the rules here. Called by `start.rs` when a guard with an inherited group
//! fails, or follows several that died before they stood.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::say;
use crate::decide;
use crate::event::{Failure, Mode, Settled};
use crate::notify::{Group, Incoming};

/// So long at most: whoever starts the next one is not kept waiting by callers that try again and again.
const LONGEST: Duration = Duration::from_millis(500);

/// Answers everything that waits, as the mode says that was in force last. Of each a record is owed, and the first guard
/// that stands again says so.
pub(super) fn answer_what_waits(group: &Arc<Group>) {
    let mode = group.in_flight().stood_in().unwrap_or(Mode::Audit);
    let response = decide::reaction(Failure::TakenOver, mode, &decide::Settings::default());
    let mut answered = 0;
    while let Some((_, settled)) = group.settle_older(Duration::ZERO) {
        count(group, settled, &mut answered);
    }
    let until = Instant::now() + LONGEST;
    // Where it cannot be set, a predecessor's reader may have left it waiting: then nothing is read.
    while group.set_waiting(false).is_ok() && Instant::now() < until {
        match group.read(response) {
            Ok(Some(Incoming::Exec(exec))) => {
                // Before the answer, for we may be killed as well.
                group.in_flight().owe(1);
                count(group, exec.answer(response, false), &mut answered);
            }
            Ok(Some(gap @ (Incoming::KernelDenied { .. } | Incoming::Overflow))) => {
                group.in_flight().owe(1);
                say(&format!("nobody stands to record a gap: {gap:?}"));
            }
            Ok(None) | Err(_) => break,
        }
    }
    // Last, for it takes longest: every number that a predecessor can have had is tried.
    answered += group.settle_left_over(response).len();
    if answered == 0 {
        return;
    }
    say(&format!("{answered} that waited were answered {response:?}, without a record: no guard stands"));
}

/// Counts an answer whose record is owed: of one that nobody waited for it is not.
fn count(group: &Group, settled: Settled, answered: &mut usize) {
    if settled == Settled::Delivered {
        *answered += 1;
    } else {
        group.in_flight().pay(1);
    }
}
