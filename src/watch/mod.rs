//! Mounts coming and going, and which marks follow from them.
//!
//! The flow: [`links`] resolves the configured directories once, [`mounts`] reads the mount table, [`storage`] says
//! which loop devices lie where, [`plan`] makes marks and names of that (pure), [`place`] opens what is to be marked,
//! and [`monitor`] says when to look again. [`namespaces`] finds the same directories in containers. This room places no mark and answers no event: the daemon hands the plan
//! to the room that owns the group.

pub mod links;
pub mod monitor;
pub mod mounts;
pub mod namespaces;
pub mod place;
pub mod plan;
pub mod storage;
