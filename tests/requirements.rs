//! docs/requirements.md agrees with the program and with the unit, both ways.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeSet;

const UNIT: &str = "packaging/usr/lib/systemd/system/shmguard.service";
const UNSEEN: &str = "packaging/usr/share/shmguard/systemd/unseen.conf";

fn read(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cells of the table's rows.
fn rows() -> Vec<Vec<String>> {
    let text = read("docs/requirements.md");
    let rows = text.lines().filter(|line| line.starts_with("| **"));
    let rows: Vec<Vec<_>> = rows
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert!(rows.len() > 15, "the table was not found");
    for row in &rows {
        assert_eq!(row.len(), 6, "{}", row[0]);
    }
    rows
}

/// What stands between backticks.
fn quoted(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The calls that a list of src/privileges/calls.rs names.
fn calls(list: &str) -> BTreeSet<String> {
    let source = read("src/privileges/calls.rs");
    let start = source.find(&format!("const {list}: ")).unwrap();
    let text = &source[start..start + source[start..].find("];").unwrap()];
    let names = text.split("libc::SYS_").skip(1);
    let mut calls: BTreeSet<String> = names
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned())
        .collect();
    for (constant, name) in [("STATMOUNT", "statmount"), ("LISTMOUNT", "listmount")] {
        if text.contains(&format!("    {constant},")) {
            calls.insert(name.to_owned());
        }
    }
    calls
}

/// The words that the lines of a unit give to a key, and each whole value.
fn values(unit: &str, key: &str) -> BTreeSet<String> {
    let text = read(unit);
    let lines = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.flat_map(|value| value.split_whitespace().chain([value])).map(str::to_owned).collect()
}

#[test]
fn the_table_names_the_calls_that_the_guard_may_make_and_no_others() {
    let named: BTreeSet<_> = rows().iter().flat_map(|row| quoted(&row[1])).collect();
    let used = calls("USED");
    assert!(used.len() > 100);
    let forgotten: Vec<_> = used.difference(&named).collect();
    let refused: Vec<_> = named.difference(&used).collect();
    assert!(forgotten.is_empty(), "docs/requirements.md does not say what these are for: {forgotten:?}");
    assert!(
        refused.is_empty(),
        "docs/requirements.md names calls that src/privileges/calls.rs refuses: {refused:?}"
    );
}

#[test]
fn the_table_names_the_capabilities_that_are_kept_and_that_the_unit_gives() {
    let all: BTreeSet<_> = rows()
        .iter()
        .flat_map(|row| row[2].split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter(|word| word.starts_with("CAP_"))
        .collect();
    let source = read("src/privileges/mod.rs");
    let kept: BTreeSet<_> = source
        .split("Capability::CAP_")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_uppercase() && c != '_').next().unwrap())
        .map(|name| format!("CAP_{name}"))
        .collect();
    assert!(kept.len() > 3 && kept.is_subset(&all), "{kept:?} {all:?}");
    let given: BTreeSet<_> = values(UNIT, "CapabilityBoundingSet")
        .into_iter()
        .chain(values(UNSEEN, "CapabilityBoundingSet"))
        .filter(|word| !word.contains(' '))
        .collect();
    assert_eq!(given, all, "the unit and its drop-in give these, and the table names those");
}

#[test]
fn every_line_that_the_table_names_is_in_the_unit() {
    let mut seen = 0;
    for row in rows() {
        for line in quoted(&row[3]).iter().filter(|line| !line.ends_with('=')) {
            let (unit, line) = match line.strip_prefix("unseen.conf: ") {
                Some(line) => (UNSEEN, line),
                None => (UNIT, line.as_str()),
            };
            let (key, value) = line.split_once('=').unwrap();
            assert!(values(unit, key).contains(value), "{unit} has no {line}, which {} needs", row[0]);
            seen += 1;
        }
        for key in quoted(&row[3]).iter().filter_map(|line| line.strip_suffix('=')) {
            assert!(row[3].contains("no `"), "{}", row[3]);
            assert!(values(UNIT, key).is_empty(), "{UNIT} has {key}=, which breaks {}", row[0]);
        }
    }
    assert!(seen > 25, "{seen}");
}

#[test]
fn every_call_and_namespace_that_the_unit_lets_through_in_spite_of_a_group_is_explained() {
    let named: BTreeSet<_> = rows().iter().flat_map(|row| quoted(&row[3])).collect();
    let lines = values(UNIT, "SystemCallFilter");
    let allowed = lines.iter().filter(|word| !word.contains([' ', '~', '@']));
    let unexplained: Vec<_> =
        allowed.filter(|call| !named.contains(&format!("SystemCallFilter={call}"))).collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
}

/// With systemd at hand its own lists say what the unit refuses: nothing that the guard does may be among it.
#[test]
fn the_unit_refuses_no_call_that_the_guard_makes() {
    #[expect(clippy::disallowed_methods, reason = "a test holds no group")]
    let list = |group: &str| {
        let output = std::process::Command::new("systemd-analyze").args(["syscall-filter", group]).output();
        output
            .ok()
            .filter(|output| output.status.success())
            .map(|output| String::from_utf8(output.stdout).unwrap())
    };
    let filters = values(UNIT, "SystemCallFilter");
    let refused: Vec<_> = filters
        .iter()
        .filter(|word| !word.contains(' '))
        .filter_map(|word| word.strip_prefix('~').or(word.starts_with('@').then_some(word)))
        .collect();
    assert!(refused.len() > 8, "{refused:?}");
    let mut names = BTreeSet::new();
    let mut groups: Vec<String> = refused.iter().map(|group| (*group).to_owned()).collect();
    while let Some(group) = groups.pop() {
        let Some(text) = list(&group) else {
            eprintln!("SKIPPED: systemd-analyze is not here, or does not know {group}");
            return;
        };
        for word in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            match word.starts_with('@') {
                true if word != group => groups.push(word.to_owned()),
                true => {}
                false => drop(names.insert(word.to_owned())),
            }
        }
    }
    assert!(names.contains("init_module") && names.contains("mount"), "the lists of systemd were not read");
    let broken: Vec<_> =
        calls("USED").into_iter().filter(|call| names.contains(call) && !filters.contains(call)).collect();
    assert_eq!(broken, Vec::<String>::new());
}
