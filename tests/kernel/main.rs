//! Tests on the running kernel, as root: the real binary, real mounts, real execs.
//!
//! Each test has a mount namespace of its own with tmpfs of its own on /dev/shm and /run, and a deadline. Where it is
//! not root a test says so and is passed over; under `CI=true` it fails.

mod bed;
mod helper;
mod modes;
mod names;
mod scope;
mod stop;
mod subjects;
