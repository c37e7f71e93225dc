//! A fanotify exec blocker for the shared-memory directories of Linux servers.
//!
//! The flow of one attempt is the order of the rooms: [`notify`] reads the kernel's event and holds the duty to
//! answer it, [`identify`] finds out who and what, [`decide`] applies the [`policy`], [`record`] writes the line,
//! and the answer goes back to the kernel. [`daemon`] joins them; [`watch`] says which filesystems carry a mark;
//! [`control`] and [`cli`] are for people. [`sys`] holds every unsafe line, [`event`] the words all rooms share.
//!
//! Arrows point down only: `cli` and `daemon` know the rooms, the rooms know `sys` and the pure rooms (`event`,
//! `policy`, `decide`, `record::format`, `watch::plan`, `control::protocol`). `tests/layering.rs` holds that.

pub mod cli;
pub mod control;
pub mod daemon;
pub mod decide;
pub mod event;
pub mod identify;
pub mod notify;
pub mod policy;
pub mod privileges;
pub mod record;
pub mod supervise;
pub mod sys;
pub mod watch;
