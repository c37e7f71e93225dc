//! System calls as safe functions: the only room with `unsafe` lines.
//!
//! Owns raw structures, flags and numbers of the kernel's interfaces, and turns descriptors into owned ones where they
//! are born. Knows no policy words and imports no other room.

pub mod clock;
pub mod fanotify;
pub mod mounts;
pub mod scheduling;
pub mod shared;
