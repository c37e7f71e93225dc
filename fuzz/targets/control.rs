//! What a client of the control socket sends, and what one gets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shmguard::control::protocol::{Reply, Request};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = Request::decode(bytes) {
        assert_eq!(Request::decode(&request.encode()).as_ref(), Ok(&request));
    }
    if let Ok(reply) = Reply::decode(bytes) {
        assert!(Reply::decode(&reply.encode()).is_ok());
    }
});
