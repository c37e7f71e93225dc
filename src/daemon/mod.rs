//! Start, threads, and stop: the only room that knows all others.
//!
//! Threads: the *reader* answers (`reader.rs`), the *evidence* thread looks closer at matched attempts, two more answer
//! opens where those are asked about (`opens.rs`), the *control* thread serves the socket (`control.rs`), others are
//! told of execs after the fact (`unseen.rs`), the log has one of its own, the *warden* keeps the deadlines and the
//! watchdog, with a second reader at hand (`warden.rs`), and the main thread is the *steward*: signals, mounts. May not
//! parse, judge or format; [`pipeline`] is one attempt, [`keeper`] what may change.
//!
//! A process that holds the group never executes another program: a child keeps a copy of the group until its exec
//! succeeds, and would wait for itself.

mod control;
pub mod counters;
mod error;
mod held;
pub mod keeper;
mod last_good;
mod leave;
pub mod live;
pub mod load;
mod marks;
mod opens;
mod pace;
pub mod pipeline;
mod reader;
pub mod seen;
mod signals;
mod sinks;
mod start;
mod status;
mod steward;
mod supervised;
pub mod survey;
mod thread;
mod threads;
mod unable;
mod unseen;
mod warden;

pub use error::StartError;
pub use start::{Options, run};
