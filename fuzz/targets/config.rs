//! See fuzz/bodies.rs.
#![no_main]
#![allow(dead_code, reason = "one body of many")]

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::config(bytes));
