//! The configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shmguard::policy::config;

fuzz_target!(|text: &str| {
    if let Err(problems) = config::parse(None, text) {
        assert!(!problems.is_empty());
        for problem in problems {
            let _told = problem.to_string();
        }
    }
});
