//! What a read of the group gives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shmguard::sys::fanotify::{RECORD_LENGTH, parse};

fuzz_target!(|bytes: &[u8]| {
    if parse(bytes).is_some() {
        assert!(bytes.len() >= RECORD_LENGTH);
    }
});
