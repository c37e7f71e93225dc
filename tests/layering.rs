//! The walls of the house: which room may import which, who may do I/O, and where unsafe lines may stand.
//!
//! Reads the source as text. What it cannot see (a macro that hides an import) does not occur here.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms that each room may import besides itself. `decide`, `policy` and `event` are pure.
const MAY_IMPORT: [(&str, &[&str]); 13] = [
    ("event", &[]),
    ("policy", &["event"]),
    ("decide", &["event", "policy"]),
    ("sys", &[]),
    ("notify", &["event", "sys"]),
    ("watch", &["event", "sys"]),
    ("identify", &["event", "sys", "watch::plan"]),
    ("record", &["event", "policy", "sys"]),
    ("control", &["event", "policy", "sys"]),
    ("supervise", &["event", "sys"]),
    ("privileges", &["sys"]),
    (
        "daemon",
        &[
            "event",
            "policy",
            "decide",
            "sys",
            "notify",
            "watch",
            "identify",
            "record",
            "control",
            "supervise",
            "privileges",
        ],
    ),
    (
        "cli",
        &[
            "event",
            "policy",
            "decide",
            "daemon",
            "control",
            "record",
            "notify",
            "privileges",
            "watch::plan",
            "identify",
        ],
    ),
];

/// Rooms and files whose results depend on their arguments alone.
const PURE: [&str; 6] = ["event", "policy", "decide", "record/format", "watch/plan", "control/protocol.rs"];

#[test]
fn imports_point_down_only() {
    let mut wrong = Vec::new();
    for (room, files) in rooms() {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == room) else {
            panic!("src/{room} is not a room of the house");
        };
        for file in files {
            for import in imports(&product_code(&file)) {
                let head = import.split("::").next().unwrap();
                let fits =
                    |allowed: &&str| import == **allowed || import.starts_with(&format!("{allowed}::"));
                if head != room && !allowed.iter().any(fits) {
                    wrong.push(format!("{} imports crate::{import}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_rooms_touch_no_file_no_clock_and_no_socket() {
    let forbidden = [
        "std::fs",
        "std::net",
        "std::os::unix::net",
        "std::process",
        "SystemTime",
        "Instant::now",
        "nix::",
        "libc::",
    ];
    let mut wrong = Vec::new();
    for file in sources(Path::new("src")) {
        let path = file.strip_prefix("src").unwrap();
        if !PURE.iter().any(|pure| path.starts_with(pure) || path == Path::new(&format!("{pure}.rs"))) {
            continue;
        }
        let code = product_code(&file);
        for word in forbidden.iter().filter(|word| says(&code, word)) {
            wrong.push(format!("{} says {word}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_lines_stand_in_sys_alone() {
    let mut wrong = Vec::new();
    for file in sources(Path::new("src")) {
        let allows = product_code(&file).contains("allow(unsafe_code");
        if allows && !file.starts_with("src/sys") {
            wrong.push(file);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn no_path_of_the_policy_stands_in_the_code_that_decides() {
    for room in ["src/decide", "src/policy"] {
        for file in sources(Path::new(room)) {
            let code = product_code(&file);
            assert!(!code.contains("/var/run/docker"), "{}", file.display());
        }
    }
}

/// Whether the code holds this word, not as the end of another one.
fn says(code: &str, word: &str) -> bool {
    let in_another =
        |at: usize| code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
    code.match_indices(word).any(|(at, _)| !in_another(at))
}

/// The rooms and their files.
fn rooms() -> BTreeMap<String, Vec<PathBuf>> {
    let mut rooms: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in sources(Path::new("src")) {
        let path = file.strip_prefix("src").unwrap();
        if path.components().count() > 1 {
            let room = path.iter().next().unwrap().to_str().unwrap().to_owned();
            rooms.entry(room).or_default().push(file);
        }
    }
    assert!(rooms.len() > 5, "src/ was not found");
    rooms
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    files
}

/// A file without comments and without its tests, which may import what they like.
fn product_code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

/// The paths behind `crate::` in a file, a list in braces taken apart.
fn imports(code: &str) -> Vec<String> {
    let mut imports = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` and `other_crate::` are no imports of ours.
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let list = &list[..list.find(';').unwrap_or(list.len())];
            imports.extend(
                list.split([',', '{', '}']).map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned),
            );
        } else {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len());
            imports.push(rest[..end].trim_end_matches(':').to_owned());
        }
    }
    imports
}

#[test]
fn the_reader_of_imports_reads_them() {
    let code =
        "use crate::event::{Pid, Uid};\nuse crate::{policy, decide::x};\nlet a = crate::sys::clock::now();\n";
    assert_eq!(imports(code), ["event", "policy", "decide::x", "sys::clock::now"]);
}
