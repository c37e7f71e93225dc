//! Tests on the running kernel, as root: the real binary, real mounts, real execs.
//!
//! Each test has a mount namespace of its own with tmpfs of its own on /dev/shm and /run, and a deadline. Where it is
//! not root a test says so and is passed over; under `CI=true` it fails.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "tests hold no group, run programs, and fail by panicking"
)]

mod aborted;
mod bed;
mod benign;
mod containers;
mod content;
mod cost;
mod deadlines;
mod disk;
mod doctor;
mod elf;
mod evasions;
mod faults;
mod fuse;
mod helper;
mod loaders;
mod locked;
mod modes;
mod names;
mod scope;
mod service;
mod steps;
mod stop;
mod store;
mod subjects;
mod takeover;
mod unable;
mod unseen;
