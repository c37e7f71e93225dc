//! System calls as safe functions: the only room that may say `unsafe`.
//!
//! Owns the kernel's structures and numbers that the `libc` and `nix` crates lack. Knows no word of policy and
//! imports no other room; errors are `std::io::Error` with the kernel's errno. Every other room may call it.

pub mod links;
pub mod mapping;
pub mod memory;
pub mod namespaces;
pub mod pidfd;
pub mod statmount;
pub mod statx;
pub mod tasks;
pub mod xattr;

#[cfg(test)]
pub(crate) mod testing;
