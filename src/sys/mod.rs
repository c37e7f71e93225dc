//! System calls as safe functions: the only room with `unsafe` lines.
//!
//! Owns raw structures, flags and numbers of the kernel's interfaces, and turns descriptors into owned ones where they
//! are born. Knows no policy words and imports no other room.

pub mod clock;
pub mod connector;
pub mod fanotify;
pub mod handle;
pub mod inherited;
pub mod lease;
pub mod links;
pub mod loops;
pub mod mapping;
pub mod memory;
pub mod mounts;
pub mod pidfd;
pub mod probe;
pub mod process;
pub mod scheduling;
pub mod shared;
pub mod statmount;
pub mod statx;
pub mod tasks;
pub mod text;
pub mod xattr;

#[cfg(test)]
pub(crate) mod testing;
