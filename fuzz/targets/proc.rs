//! The texts of /proc/PID, of which a task chooses much.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| shmguard::identify::read_foreign(bytes));
