//! System calls as safe functions: the only room that may say `unsafe`.
//!
//! Owns the kernel's structures and numbers that the `libc` and `nix` crates lack. Knows no word of policy and
//! imports no other room; errors are `std::io::Error` with the kernel's errno. Every other room may call it.

pub mod mounts;
