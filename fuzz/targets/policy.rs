//! Rules, their conditions, cases, and detection rules of others.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shmguard::policy::{Source, cases, compile, import};

fuzz_target!(|text: &str| {
    let alone = compile(&[Source { file: None, text }], false);
    let condition = format!("[[rule]]\nid = \"x\"\neffect = \"deny\"\nwhen = '''{text}'''\n");
    let wrapped = compile(&[Source { file: None, text: &condition }], false);
    for problems in [alone.err(), wrapped.err()].into_iter().flatten() {
        assert!(!problems.is_empty());
        for problem in problems {
            let _told = problem.to_string();
        }
    }
    let _cases = cases::parse(None, text);
    if let Ok(imported) = import::import(None, text) {
        let taken = compile(&[Source { file: None, text: &imported.text }], false);
        assert!(taken.is_ok(), "an imported rule does not compile: {taken:?}\n{}", imported.text);
    }
});
