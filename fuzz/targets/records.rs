//! Lines of a log, ours or another product's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shmguard::record::read::{Head, attempt};
use shmguard::record::verify::Verifier;

fuzz_target!(|bytes: &[u8]| {
    let mut verifier = Verifier::new();
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        let _head = Head::parse(line);
        if let Err(unreadable) = attempt(line) {
            let _told = unreadable.to_string();
        }
        verifier.line("log", number, line);
    }
    let _holds = verifier.verdict().holds();
});
