//! docs/faults.md says what was seen, and by which test: every test it names is there, and every test of faults in it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;

/// The tests in the table, as `module::name`.
fn named() -> BTreeSet<String> {
    let table = fs::read_to_string("docs/faults.md").unwrap();
    let quoted = table.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.contains("::") && !text.contains(' ')).map(str::to_owned).collect()
}

/// The tests in one file of tests/kernel.
fn tests_in(module: &str) -> BTreeSet<String> {
    let source = fs::read_to_string(format!("tests/kernel/{module}.rs")).unwrap_or_default();
    let after = source.split("#[test]\n").skip(1);
    let name = |text: &str| Some(text.split_once("fn ")?.1.split_once('(')?.0.to_owned());
    after.filter_map(name).map(|name| format!("{module}::{name}")).collect()
}

#[test]
fn every_test_that_the_table_names_exists() {
    let named = named();
    assert!(named.len() > 20, "{named:?}");
    for test in &named {
        let module = test.split_once("::").unwrap().0;
        assert!(tests_in(module).contains(test), "docs/faults.md names {test}, which does not exist");
    }
}

#[test]
fn every_test_of_faults_is_in_the_table() {
    let missing: Vec<_> = tests_in("faults").difference(&named()).cloned().collect();
    assert!(missing.is_empty(), "docs/faults.md does not name {missing:?}");
}
