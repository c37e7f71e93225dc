//! docs/faults.md and docs/evasions.md say what was seen, and by which test: every test they name is there, and every test
//! of faults and evasions is in its table.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;

/// The tests in a table, as `module::name`.
fn named(table: &str) -> BTreeSet<String> {
    named_in(&fs::read_to_string(table).unwrap())
}

fn named_in(table: &str) -> BTreeSet<String> {
    let quoted = table.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.contains("::") && !text.contains(' ')).map(str::to_owned).collect()
}

/// The tests in one file below tests/kernel.
fn tests_in(module: &str) -> BTreeSet<String> {
    let path = format!("tests/kernel/{}.rs", module.replace("::", "/"));
    let source = fs::read_to_string(path).unwrap_or_default();
    let after = source.split("#[test]\n").skip(1);
    let name = |text: &str| Some(text.split_once("fn ")?.1.split_once('(')?.0.to_owned());
    after.filter_map(name).map(|name| format!("{module}::{name}")).collect()
}

#[track_caller]
fn every_test_exists(table: &str, least: usize) {
    let named = named(table);
    assert!(named.len() > least, "{named:?}");
    for test in &named {
        let (module, _) = test.rsplit_once("::").unwrap();
        assert!(tests_in(module).contains(test), "{table} names {test}, which does not exist");
    }
}

#[track_caller]
fn names_every_test_of(table: &str, module: &str) {
    let missing: Vec<_> = tests_in(module).difference(&named(table)).cloned().collect();
    assert!(missing.is_empty(), "{table} does not name {missing:?}");
}

#[test]
fn every_test_that_the_tables_name_exists() {
    every_test_exists("docs/faults.md", 20);
    every_test_exists("docs/evasions.md", 250);
}

#[test]
fn every_test_of_faults_is_in_their_table() {
    for module in ["faults", "disk", "deadlines"] {
        names_every_test_of("docs/faults.md", module);
    }
}

#[test]
fn every_test_of_faults_was_shown_to_fail() {
    let text = fs::read_to_string("docs/faults.md").unwrap();
    let (faults, shown) = text.split_once("## How each was shown to fail").unwrap();
    let shown = named_in(shown);
    let missing: Vec<_> =
        named_in(faults).into_iter().filter(|test| !shown.contains(test) && !is_long(test)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The long form of another test, whose body is the same.
fn is_long(test: &str) -> bool {
    let (module, name) = test.rsplit_once("::").unwrap();
    let source = fs::read_to_string(format!("tests/kernel/{}.rs", module.replace("::", "/"))).unwrap();
    source.contains(&format!("#[ignore = \"long\"]\nfn {name}("))
}

#[test]
fn every_test_of_evasions_is_in_their_table() {
    let files: Vec<_> =
        fs::read_dir("tests/kernel/evasions").unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() > 10, "{files:?}");
    for file in files {
        let module = format!("evasions::{}", file.file_stem().unwrap().to_str().unwrap());
        names_every_test_of("docs/evasions.md", &module);
    }
    for module in ["benign", "service"] {
        names_every_test_of("docs/evasions.md", module);
    }
}
