//! Readiness, watchdog, and the hand-over of the group after a crash.
//!
//! Owns what the guard says to whoever started it: systemd's notification protocol (sd_notify(3)), or nobody. Reads no
//! events and knows no rules. Called by the daemon alone.

pub mod parent;
pub mod service;
