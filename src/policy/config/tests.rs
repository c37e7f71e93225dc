//! What a configuration means, and how each kind of mistake reads.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Every key with its default, as the manual shows it.
const EVERY_KEY: &str = r#"
mode = "audit"
policy = ["/etc/shmguard/policy.d"]
builtin = true
on_record_failure = "allow"
on_unknown = "deny"
on_bad_policy = "fail"
answer_deadline = "2s"

[watch]
directories = ["/dev/shm", "/run/shm", "/var/run", "/var/lock"]
containers = true
shared_filesystem = "skip"
loaders = "off"
interpreters = "off"
unseen = "off"

[evidence]
level = "full"
redact = []

[log.file]
enabled = true
sync = "none"
path = "/var/log/shmguard/events.ndjson"
max_size = "64MiB"
keep = 8

[log.syslog]
enabled = true
socket = "/dev/log"
facility = "authpriv"

[log.journal]
enabled = "auto"

[log.audit]
enabled = "auto"

[control]
socket = "/run/shmguard/control.sock"
"#;

/// Every key with another value than its default.
const EVERY_KEY_CHANGED: &str = r#"
mode = "prevent"
policy = ["/etc/a.toml", "/etc/b"]
builtin = false
on_record_failure = "deny"
on_unknown = "allow"
on_bad_policy = "last-good"
answer_deadline = "500ms"
[watch]
directories = ["/dev/shm/"]
containers = false
shared_filesystem = "mark"
loaders = "audit"
interpreters = "deny"
unseen = "report"
[evidence]
level = "essential"
redact = ["--password=*", "-p *"]
[log.file]
enabled = false
sync = "each"
path = "/srv/e.ndjson"
max_size = 1048576
keep = 2
[log.syslog]
enabled = false
socket = "/run/log"
facility = "local3"
[log.journal]
enabled = true
[log.audit]
enabled = false
[control]
socket = "/run/c.sock"
"#;

/// The messages, each as `line:column: message`, with the help behind it.
fn mistakes(text: &str) -> Vec<String> {
    parse(Some(Path::new("c.toml")), text)
        .expect_err("the text has mistakes")
        .into_iter()
        .map(|problem| {
            let place = problem.place.expect("every mistake has a place");
            let help = problem.help.map(|help| format!(" ({help})")).unwrap_or_default();
            format!("{}:{}: {}{help}", place.line, place.column, problem.message)
        })
        .collect()
}

/// The one mistake of the text.
fn mistake(text: &str) -> String {
    let all = mistakes(text);
    assert_eq!(all.len(), 1, "{all:?}");
    all.concat()
}

#[test]
fn a_pattern_of_arguments_is_one_word_or_two() {
    for text in ["", " ", "a b c", "a  b", " a"] {
        let told = mistake(&format!("[evidence]\nredact = [{text:?}]\n"));
        assert!(told.contains("one word, or two"), "{told}");
    }
}

#[test]
fn what_takes_effect_at_the_next_start_only_is_told_by_its_name() {
    let parsed = |text: &str| parse(None, text).unwrap();
    let (old, new) = (Config::default(), parsed(EVERY_KEY_CHANGED));
    assert_eq!(
        old.fixed_until_restart(&new),
        ["answer_deadline", "[log.file]", "[log.syslog]", "[log.journal]", "[log.audit]", "[control]"]
    );
    assert!(
        old.fixed_until_restart(&parsed("mode = \"prevent\"\n[evidence]\nredact = [\"x\"]\n")).is_empty()
    );
}

#[test]
fn an_empty_file_and_a_file_with_every_key_at_its_default_mean_the_same() {
    assert_eq!(parse(None, ""), Ok(Config::default()));
    assert_eq!(parse(None, EVERY_KEY), Ok(Config::default()));
}

#[test]
fn every_key_takes_another_value() {
    let expected = Config {
        mode: Mode::Prevent,
        policy: vec![PathBuf::from("/etc/a.toml"), PathBuf::from("/etc/b")],
        builtin: false,
        on_record_failure: Effect::Deny,
        on_unknown: Effect::Allow,
        on_bad_policy: OnBadPolicy::LastGood,
        answer_deadline: Duration::from_millis(500),
        watch: Watch {
            directories: vec![PathBuf::from("/dev/shm")],
            containers: false,
            shared_filesystem: SharedFilesystem::Mark,
            loaders: Extra::Audit,
            interpreters: Extra::Deny,
            unseen: Unseen::Report,
        },
        evidence: Evidence {
            level: Level::Essential,
            redact: vec!["--password=*".to_owned(), "-p *".to_owned()],
        },
        log: Log {
            file: File {
                enabled: false,
                sync: Sync::Each,
                path: PathBuf::from("/srv/e.ndjson"),
                max_size: 1 << 20,
                keep: 2,
            },
            syslog: Syslog {
                enabled: false,
                socket: PathBuf::from("/run/log"),
                facility: Facility::named("local3").unwrap(),
            },
            journal: Journal { enabled: Switch::On },
            audit: Audit { enabled: Switch::Off },
        },
        control: Control { socket: PathBuf::from("/run/c.sock") },
    };
    assert_eq!(parse(None, EVERY_KEY_CHANGED), Ok(expected));
}

#[test]
fn both_texts_hold_every_key_that_there_is() {
    for text in [EVERY_KEY, EVERY_KEY_CHANGED] {
        let table: toml::Table = text.parse().unwrap();
        for (section, keys) in KEYS {
            let table = section
                .split('.')
                .filter(|name| !name.is_empty())
                .fold(&table, |table, name| table.get(name).and_then(|value| value.as_table()).unwrap());
            let mut found: Vec<_> = table.keys().map(String::as_str).collect();
            let mut known = keys.to_vec();
            found.sort_unstable();
            known.sort_unstable();
            assert_eq!(found, known, "[{section}]");
        }
    }
}

#[test]
fn without_a_file_records_go_to_standard_error_alone() {
    let config = Config::without_file();
    assert!(config.policy.is_empty() && config.builtin && config.mode == Mode::Audit);
    assert!(!config.log.file.enabled && !config.log.syslog.enabled);
    assert_eq!(config.log.journal.enabled, Switch::Off);
}

#[test]
fn text_that_is_not_toml_is_placed() {
    assert_eq!(mistake("mode = \"audit\"\npolicy = [\n"), "2:11: unclosed array, expected `]`");
    assert!(mistake("mode \"audit\"\n").starts_with("1:6: "));
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    assert_eq!(mistake("mod = \"audit\""), "1:1: unknown key `mod` (did you mean `mode`?)");
    assert_eq!(
        mistake("answer-deadline = \"1s\""),
        "1:1: unknown key `answer-deadline` (did you mean `answer_deadline`?)"
    );
    assert_eq!(
        mistake("[log.file]\npaht = \"/x\""),
        "2:1: unknown key `paht` in [log.file] (did you mean `path`?)"
    );
    assert_eq!(mistake("[wach]\nx = 1"), "1:2: unknown key `wach` (did you mean `watch`?)");
    assert_eq!(
        mistake("[log.kafka]\nx = 1"),
        "1:6: unknown key `kafka` in [log] (valid here: file, syslog, journal, audit)"
    );
}

#[test]
fn a_key_in_the_wrong_section_is_sent_to_the_right_one() {
    assert_eq!(
        mistake("[watch]\nbuiltin = false"),
        "2:1: unknown key `builtin` in [watch] (`builtin` belongs above the first [section])"
    );
    assert_eq!(
        mistake("containers = false"),
        "1:1: unknown key `containers` (`containers` belongs in [watch])"
    );
}

#[test]
fn a_wrong_type_says_what_was_found_and_expected() {
    for (text, expected) in [
        ("mode = 1", "1:8: `mode`: invalid value: integer `1`, expected \"audit\" or \"prevent\""),
        (
            "mode = \"Audit\"",
            "1:8: `mode`: invalid value: string \"Audit\", expected \"audit\" or \"prevent\"",
        ),
        ("mode = [1]", "1:8: `mode`: invalid type: sequence, expected \"audit\" or \"prevent\""),
        ("mode = {}", "1:8: `mode`: invalid type: map, expected \"audit\" or \"prevent\""),
        ("builtin = \"yes\"", "1:11: `builtin`: invalid value: string \"yes\", expected true or false"),
        ("policy = \"/etc\"", "1:10: `policy`: invalid type: string \"/etc\", expected a sequence"),
        ("watch = 1.5", "1:9: `watch`: found float, expected a table (write [watch])"),
        ("[log]\nfile = true", "2:8: `file`: found boolean, expected a table (write [log.file])"),
        (
            "[log.journal]\nenabled = \"on\"",
            "2:11: `enabled`: invalid value: string \"on\", expected \"auto\", true or false",
        ),
        (
            "[log.file]\nkeep = -1",
            "2:8: `keep`: invalid value: integer `-1`, expected a number from 1 to 1000",
        ),
        (
            "on_bad_policy = 1979-05-27",
            "1:17: `on_bad_policy`: invalid type: map, expected \"fail\" or \"last-good\"",
        ),
    ] {
        assert_eq!(mistake(text), expected);
    }
    assert!(mistake("[log.syslog]\nfacility = \"kern\"").contains("expected a facility of syslog(3)"));
}

#[test]
fn a_mistake_in_a_list_points_to_its_element() {
    assert_eq!(
        mistake("[watch]\ndirectories = [\n  \"/dev/shm\",\n  3,\n]"),
        "4:3: `directories`: invalid type: integer `3`, expected a string"
    );
    assert_eq!(
        mistake("[watch]\ndirectories = [\"/dev/shm\", \"run\"]"),
        "2:28: `directories`: \"run\" is not an absolute path"
    );
}

#[test]
fn paths_must_be_absolute_and_plain() {
    assert_eq!(mistake("policy = [\"rules\"]"), "1:11: `policy`: \"rules\" is not an absolute path");
    assert_eq!(mistake("policy = [\"/a/../b\"]"), "1:11: `policy`: \"/a/../b\" must not contain `..`");
    assert_eq!(mistake("policy = [\"/a\\u0000b\"]"), "1:11: `policy`: \"/a\\0b\" holds a NUL byte");
    assert_eq!(mistake("[log.file]\npath = \"e\""), "2:8: `path`: \"e\" is not an absolute path");
    assert_eq!(mistake("[log.file]\npath = \"/e/\""), "2:8: `path`: \"/e/\" is a directory, expected a file");
    let long = format!("[control]\nsocket = \"/{}\"", "s".repeat(107));
    assert_eq!(mistake(&long), "2:10: `socket`: a socket's path has at most 107 bytes, this one has 108");
}

#[test]
fn one_directory_written_twice_is_refused_whatever_its_slashes() {
    assert_eq!(
        mistake("[watch]\ndirectories = [\"/dev/shm\", \"/dev//./shm/\"]"),
        "2:28: `directories` names /dev/shm twice"
    );
}

#[test]
fn nothing_to_watch_and_everything_to_watch_are_refused() {
    assert_eq!(mistake("[watch]\ndirectories = []"), "2:15: no directory to watch (name at least one)");
    assert!(mistake("[watch]\ndirectories = [\"/\"]").starts_with("2:15: `/` is not a directory to watch"));
}

#[test]
fn a_guard_without_any_rule_is_refused() {
    assert!(mistake("policy = []\nbuiltin = false").starts_with("1:10: no policy"));
    assert!(parse(None, "policy = []").is_ok());
}

#[test]
fn durations_and_sizes_are_read_with_their_units() {
    for (text, milliseconds) in
        [("500ms", 500), ("2s", 2000), ("30m", 1_800_000), ("1h30m", 5_400_000), ("0s", 0)]
    {
        assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
    }
    for text in ["", "2", "s", "2 s", "-2s", "1.5s", "2x", "99999999999999999999s", "18446744073709551615d"] {
        assert!(duration(text).is_err(), "{text}");
    }
    for (text, bytes) in
        [("64MiB", 64 << 20), ("1GiB", 1 << 30), ("4096", 4096), ("5kB", 5000), ("1 TiB", 1 << 40)]
    {
        assert_eq!(size(text), Ok(bytes), "{text}");
    }
    for text in ["", "MiB", "1.5GiB", "64mib", "-1", "18446744073709551615KiB"] {
        assert!(size(text).is_err(), "{text}");
    }
}

#[test]
fn deadline_and_file_size_have_bounds() {
    for text in ["100ms", "60s", "1m"] {
        assert!(parse(None, &format!("answer_deadline = \"{text}\"")).is_ok(), "{text}");
    }
    assert_eq!(
        mistake("answer_deadline = \"99ms\""),
        "1:19: `answer_deadline`: \"99ms\" is out of bounds, expected 100ms to 60s"
    );
    assert!(mistake("answer_deadline = \"61s\"").contains("out of bounds"));
    assert!(mistake("answer_deadline = 2").contains("integer `2`, expected a duration"));
    assert!(mistake("answer_deadline = \"2\"").contains("needs a unit"));
    assert!(mistake("[log.file]\nmax_size = \"1KiB\"").contains("expected 64KiB to 1TiB"));
    assert!(mistake("[log.file]\nmax_size = 0").contains("out of bounds"));
    assert!(mistake("[log.file]\nkeep = 0").contains("expected a number from 1 to 1000"));
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_text() {
    let all = mistakes("mode = 1\nbultin = true\n[watch]\ndirectories = []\n[log.file]\nkeep = \"x\"\n[x]\n");
    let places: Vec<_> = all.iter().map(|mistake| mistake.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["1:8", "2:1", "4:15", "6:8", "7:2"], "{all:#?}");
}

#[test]
fn a_mistake_is_shown_with_its_line_and_a_caret() {
    let problems = parse(Some(Path::new("/etc/shmguard/shmguard.toml")), "mode = \"on\"").unwrap_err();
    let shown = problems.first().unwrap().to_string();
    assert!(shown.starts_with("/etc/shmguard/shmguard.toml:1:8: `mode`: invalid value"), "{shown}");
    assert!(shown.contains("\n 1 | mode = \"on\"\n   |        ^^^^"), "{shown}");
}

#[test]
fn every_facility_has_a_name_that_the_syslog_crate_knows() {
    for name in ["authpriv", "auth", "daemon", "user", "local0", "local7", "uucp"] {
        let facility = Facility::named(name).unwrap();
        let theirs: syslog::Facility = name.parse().unwrap();
        assert_eq!((facility.name(), facility.to_syslog() as u32), (name, theirs as u32));
    }
    assert_eq!(Facility::named("kern"), None);
}

/// A line that is nearly a configuration: known words in a random order.
fn nearly() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        proptest::sample::select(
            KEYS.iter().flat_map(|(name, keys)| keys.iter().chain([name]).copied()).collect::<Vec<_>>()
        )
        .prop_map(str::to_owned),
        "[=\\[\\]{}\",.\n#'0-9 -]{1,3}",
        "(\"/(dev|..)/?[a-z]?\"|\"[0-9]{1,20}(ms|s|MiB)?\"|true|-?[0-9]{1,25}|1e400|nan|1979-05-27)",
    ];
    proptest::collection::vec(word, 0..40).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in prop_oneof![any::<String>(), nearly()]) {
        if let Err(problems) = parse(None, &text) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                let _shown = problem.to_string();
            }
        }
    }

    #[test]
    fn a_slip_of_one_letter_in_a_key_is_always_found(index in 0usize..1000, at in 0usize..1000) {
        let lines: Vec<&str> = EVERY_KEY.lines().collect();
        let keys: Vec<usize> = (0..lines.len()).filter(|line| lines[*line].contains(" = ")).collect();
        let line = keys[index % keys.len()];
        let length = lines[line].find(" = ").unwrap();
        let mut broken: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        broken[line].replace_range(at % length..=at % length, "Q");
        let mistakes = mistakes(&broken.join("\n"));
        prop_assert_eq!(mistakes.len(), 1);
        prop_assert!(mistakes[0].contains("did you mean"), "{}", mistakes[0]);
    }
}
