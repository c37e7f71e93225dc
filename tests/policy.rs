//! The shipped policy: every file compiles, has cases, and passes them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use shmguard::decide::try_case;
use shmguard::event::{Field, Groups, Timestamp};
use shmguard::policy::{Generation, Source, cases, compile};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A year in which every shipped rule holds.
const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);

fn generation(files: &[PathBuf], builtin: bool) -> Generation {
    let texts: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let sources: Vec<_> =
        files.iter().zip(&texts).map(|(file, text)| Source { file: Some(file), text }).collect();
    compile(&sources, builtin).unwrap_or_else(|problems| panic!("{}", problems[0]))
}

fn files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    files.sort();
    files
}

#[test]
fn every_case_passes_and_every_rule_has_cases_on_both_sides() {
    let mut matched = BTreeSet::new();
    let mut avoided = BTreeSet::new();
    let mut rules = BTreeSet::new();
    for file in files("policy/cases") {
        let text = fs::read_to_string(&file).unwrap();
        let cases = cases::parse(Some(&file), &text).unwrap_or_else(|problems| panic!("{}", problems[0]));
        let here = file.parent().unwrap();
        let policy: Vec<_> = cases.policy.unwrap().iter().map(|name| here.join(name)).collect();
        let generation = generation(&policy, cases.builtin);
        let ids: Vec<_> = generation.rules().iter().map(|rule| rule.about.id.clone()).collect();
        rules.extend(ids.clone());
        for case in &cases.cases {
            if let Err(wrong) = try_case(&generation, NOW, case) {
                panic!("{}:{}: {}: {wrong}", file.display(), case.line, case.name);
            }
            let decided = case.rule.clone().unwrap();
            avoided.extend(ids.iter().filter(|id| **id != decided).cloned());
            matched.insert(decided);
        }
    }
    assert_eq!(rules.difference(&matched).collect::<Vec<_>>(), Vec::<&String>::new(), "never match");
    assert_eq!(rules.difference(&avoided).collect::<Vec<_>>(), Vec::<&String>::new(), "always match");
}

#[test]
fn every_shipped_file_compiles_without_a_warning_and_has_cases() {
    let mut all = files("policy");
    all.extend(files("policy/exceptions"));
    assert!(all.len() > 10);
    for file in &all {
        let generation = generation(std::slice::from_ref(file), false);
        assert_eq!(generation.warnings(), [], "{}", file.display());
        assert!(Path::new("policy/cases").join(file.file_name().unwrap()).exists(), "{}", file.display());
        for rule in generation.rules() {
            assert!(rule.about.reason.is_some(), "{} has no reason", rule.about.id);
        }
    }
}

#[test]
fn all_exceptions_can_stand_together_in_front_of_the_embedded_policy() {
    let generation = generation(&files("policy/exceptions"), true);
    assert_eq!(generation.rules().last().unwrap().about.id, "shm-exec-root");
}

/// The list of fields in the manual, from the program's table.
fn fields_for_the_manual() -> String {
    const READ: [(Groups, &str); 11] = [
        (Groups::PRIVILEGES, "privileges"),
        (Groups::PREVIOUS, "previous"),
        (Groups::PARENT, "parent"),
        (Groups::ARGUMENTS, "arguments"),
        (Groups::LOGIN, "login"),
        (Groups::CGROUP, "cgroup"),
        (Groups::DIRECTORY, "directory"),
        (Groups::HASH, "hash"),
        (Groups::LEADERS, "leaders"),
        (Groups::NAMESPACES, "namespaces"),
        (Groups::COMMAND_LINES, "command lines"),
    ];
    let mut text = String::new();
    for field in Field::ALL {
        let row = field.row();
        let read: Vec<_> =
            READ.iter().filter(|(group, _)| row.groups.intersects(*group)).map(|(_, name)| *name).collect();
        let read = if read.is_empty() { "nothing".to_owned() } else { read.join(", ") };
        let unknown = match field.unknown_when() {
            usual if usual.contains("has ended") => String::new(),
            unknown => format!(" Unknown: {unknown}."),
        };
        let source = row.source.replace('-', "\\-");
        let name = row.name.replace('-', "\\-");
        text.push_str(&format!(
            ".TP\n.BR {name} \" ({})\"\n{}{source}.\nReads {read}.{unknown}\n",
            row.kind.name(),
            // A line that begins with a dot or a quote would be a request.
            if source.starts_with(['.', '\'']) { "\\&" } else { "" },
        ));
    }
    text
}

#[test]
fn the_manual_lists_every_field_as_the_program_knows_it() {
    let file = "docs/man/shmguard-rules.5";
    let manual = fs::read_to_string(file).unwrap();
    let (before, rest) = manual.split_once(".\\\" fields begin\n").unwrap();
    let (listed, after) = rest.split_once(".\\\" fields end\n").unwrap();
    let wanted = fields_for_the_manual();
    if std::env::var_os("SHMGUARD_WRITE_MANUAL").is_some() {
        fs::write(file, format!("{before}.\\\" fields begin\n{wanted}.\\\" fields end\n{after}")).unwrap();
    } else {
        assert_eq!(listed, wanted, "SHMGUARD_WRITE_MANUAL=1 cargo test --test policy writes it anew");
    }
}
