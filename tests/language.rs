//! The rule language from outside: what is refused and how it is told, limits, and that no text is a panic.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;
use shmguard::policy::{Generation, Problem, Source, cases, compile, import::import, limits};

fn rule(when: &str) -> String {
    format!("[[rule]]\nid = \"r\"\neffect = \"deny\"\nwhen = '''\n{when}'''\n")
}

fn compiled(text: &str) -> Result<Generation, Vec<Problem>> {
    compile(&[Source { file: None, text }], false)
}

/// Line, column, message and help of everything that is wrong with a condition. The condition begins in line 5.
fn wrong(when: &str) -> Vec<String> {
    match compiled(&rule(when)) {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .iter()
            .map(|problem| {
                let place = problem.place.as_ref().unwrap();
                let help = problem.help.as_ref().map(|help| format!(" | {help}")).unwrap_or_default();
                format!("{}:{}: {}{help}", place.line, place.column, problem.message)
            })
            .collect(),
    }
}

fn is_right(when: &str) {
    assert_eq!(wrong(when), Vec::<String>::new(), "{when}");
}

#[test]
fn the_whole_language_is_taken() {
    for when in [
        r#"process where user.id == "0""#,
        r#"any where true"#,
        r#"not user.id == "0" and (user.name != "x" or process.pid > 5)"#,
        r#"process.name : "a*" and process.name like "a" and process.name like~ ("a", "b?")"#,
        r#"user.id in ("0", "1") and user.id not in ("2") and user.name in~ ("A")"#,
        r#"process.name regex "a.*" and process.name regex~ ("[a-z]+", "x{2,3}")"#,
        r#"?process.name == "x" and ?dns.question.name == null and process.name != null"#,
        r#"startsWith(process.name, "a") and ENDSWITH~(process.name, "b", "c") and stringcontains(process.name, "d")"#,
        r#"length(process.name) >= 3 and indexOf(process.name, "a", 1) == 2 and substring(process.name, -2) == "ab""#,
        r#"between(process.name, "a", "b", true) == "c" and concat(user.name, ":", process.pid) == "x:1""#,
        r#"string(process.pid) like "1*" and number("0x1f", 16) == 31 and cidrMatch(process.working_directory, "10.0.0.0/8")"#,
        r#"process.pid + 1 == 5 and process.pid * -2 < -1 and 5 > process.pid and process.pid % 2 == 1 and process.pid / 2 != 1.5"#,
        r#"process.interactive and process.interactive == false or process.interactive in (true)"#,
        "user.name == \"\\u{e9}\\n\\\"\" /* a\ncomment */ and // another\n user.name == \"\"\"raw \\ \" \"\"\"",
        "`user`.`name` == \"x\"",
        "process.args : \"-i\" and process.args_count == 2 and process.env_vars like \"LD_*\"",
        r#"host.os.type == "linux" and event.type == "start" and event.action in ("exec", "exec_event")"#,
    ] {
        is_right(when);
    }
}

#[test]
fn mistakes_are_told_with_place_and_advice() {
    for (when, told) in [
        ("user.di == \"0\"", "5:1: unknown field `user.di` | did you mean `user.id`?"),
        (
            "user.id == 0",
            "5:12: `user.id` is a keyword: `==` cannot compare it with a number | keywords are text: write \"0\"",
        ),
        (
            "process.pid == \"1\"",
            "5:16: `process.pid` is a number: `==` cannot compare it with a text | write 1 without quotes",
        ),
        (
            "process.interactive == \"true\"",
            "5:24: `process.interactive` is a boolean: `==` cannot compare it with a text | write true without quotes",
        ),
        ("user.id = \"0\"", "5:9: `=` is not EQL | equality is `==`"),
        ("user.id == '0'", "5:12: text in single quotes is not EQL | text stands in double quotes"),
        ("user.id == \"0\" && true", "5:16: `&&` is not EQL | write `and`"),
        (
            "user.id == user.name",
            "5:1: two fields cannot be compared with each other | one side of a comparison is a value that stands in the rule",
        ),
        (
            "user.id == \"0\" and",
            "5:19: the condition ends here; expected a field, a value, a function or `(`",
        ),
        ("(user.id == \"0\"", "5:16: the condition ends here; expected `)` to end what `(` began"),
        (
            "user.id == \"0\" adn true",
            "5:16: `adn` stands here; expected `and`, `or` or the end | did you mean `and`?",
        ),
        ("process.pid < 5 < 7", "5:17: comparisons do not chain | join two comparisons with `and`"),
        (
            "user.id not like \"x\"",
            "5:13: `not` stands here only in `not in` | put `not` in front of the whole comparison",
        ),
        (
            "user.id",
            "5:1: `user.id` is a keyword; alone it is no condition | compare it, or write `user.id != null`",
        ),
        ("length(process.name)", "5:1: this is a number; alone it is no condition | compare it with a value"),
        ("lenght(process.name) == 1", "5:1: unknown function `lenght` | did you mean `length`?"),
        (
            "length(process.pid) == 1",
            "5:8: argument 1 of `length` is a text; a number was found | `string(...)` makes a text of it",
        ),
        ("length~(process.name) == 1", "5:1: `length` has no form with `~`"),
        ("length() == 1", "5:1: `length` takes 1 arguments; 0 were given"),
        (
            "wildcard(process.name, \"x\")",
            "5:1: unknown function `wildcard` | write `field like~ (\"...\", \"...\")`",
        ),
        (
            "cidrMatch(process.name, \"10.0.0.0/64\")",
            "5:25: this is no network | a network is written \"10.0.0.0/8\" or \"fe80::/10\"",
        ),
        (
            "process.name regex \"a~b\"",
            "5:20: Lucene's operator `~` is not supported; as a character it is `\\~` (at `~b`)",
        ),
        (
            "process.exit_code == 1",
            "5:1: `process.exit_code` cannot be used: the process has not ended before it starts | shmguard-rules(5) lists the fields that can be known before the exec",
        ),
        ("process.name in (user.name)", "5:18: a list holds values, not fields or conditions"),
        ("process.name in (\"x\", null)", "5:23: null in a list | `== null` asks whether there is no value"),
        ("user.id < null", "5:11: null has no order | `== null` and `!= null` ask whether there is a value"),
        (
            "file where true",
            "5:1: this rule is about `file` events | only the start of a process is judged: `process where ...`",
        ),
        (
            "sequence by host.id [process where true]",
            "5:1: a sequence of events cannot be judged | a rule judges one attempt at a time, before it happens",
        ),
        (
            "true | head 1",
            "5:6: `|` is not EQL | pipes are not conditions: a rule judges one attempt at a time",
        ),
        ("", "5:1: the condition ends here; expected a field, a value, a function or `(`"),
        (
            "user.name == \"\\q\"",
            "5:15: `\\q` is not an escape | escapes are \\n \\r \\t \\\\ \\\" and \\u{hex}; in \"\"\"...\"\"\" nothing is an escape",
        ),
        ("user.name == \"x", "5:14: this text does not end | end it with `\"` on the same line"),
        ("true /* x", "5:6: this comment does not end | end it with `*/`"),
    ] {
        assert_eq!(wrong(when), [told], "{when}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once_in_their_order() {
    let text = "[[rule]]\nid = \"a b\"\neffect = \"denny\"\nwhen = \"user.di == 0 and process.pdi == 1\"\nmoed = \"audit\"\n\
                [[rule]]\nid = \"b\"\n[[rule]]\nid = 1\neffect = \"deny\"\nwhen = \"true\"\nexpires = \"2030-01-01\"\n";
    let lines: Vec<_> =
        compiled(text).unwrap_err().iter().map(|problem| problem.place.as_ref().unwrap().line).collect();
    assert_eq!(lines, [2, 3, 4, 4, 5, 6, 6, 9, 12]);
}

#[test]
fn an_id_is_there_once_in_all_files() {
    let one = rule("true");
    let sources = [Source { file: None, text: &one }, Source { file: None, text: &one }];
    let problems = compile(&sources, false).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].to_string().contains("the id `r` is taken"));
    let builtin = one.replace("id = \"r\"", "id = \"shm-exec-root\"");
    assert!(compile(&[Source { file: None, text: &builtin }], true).is_err());
}

#[test]
fn an_allow_rule_may_not_rest_on_what_the_caller_chooses() {
    for field in [
        "process.args",
        "process.command_line",
        "process.env_vars",
        "shmguard.path_as_typed",
        "shmguard.path_as_seen",
    ] {
        let text = rule(&format!("{field} == \"x\""));
        assert!(compiled(&text).is_ok(), "{field}");
        let problems = compiled(&text.replace("deny", "allow")).unwrap_err();
        assert!(problems[0].message.contains("the caller chooses it"), "{field}");
    }
    let parent = rule("process.parent.command_line == \"x\"").replace("deny", "allow");
    assert!(compiled(&parent).is_ok());
}

#[test]
fn the_hash_is_of_the_rules_and_of_nothing_else() {
    let hash = |text: &str| compiled(text).unwrap().hash().to_owned();
    assert_eq!(hash(&rule("true")), hash(&rule("true")));
    assert_ne!(hash(&rule("true")), hash(&rule("false")));
    assert_eq!(hash(&rule("true")).len(), 64);
}

#[test]
fn limits_are_told_and_nothing_overflows_the_stack() {
    let deep =
        |open: &str, close: &str, depth: usize| format!("{}true{}", open.repeat(depth), close.repeat(depth));
    is_right(&deep("(", ")", limits::DEPTH));
    is_right(&deep("not ", "", limits::DEPTH));
    for when in [
        deep("(", ")", limits::DEPTH + 1),
        deep("(", ")", 20_000),
        deep("not ", "", 10_000),
        deep("not (", ")", 10_000),
        format!("{}1 == 1", "-".repeat(30_000)),
        format!("{}1 == 1", "+".repeat(30_000)),
        format!("process.pid == {}1", "- ".repeat(20_000)),
        format!("process.pid{} == 1", " + 1".repeat(10_000)),
        format!("{}process.name{} == \"x\"", "string(".repeat(5_000), ")".repeat(5_000)),
        format!("process.name == \"{}\"", "x".repeat(limits::TEXT + 1)),
        format!("process.name in (\"x\"{})", ", \"x\"".repeat(limits::LIST)),
        format!("process.name like \"{}?\"", "x".repeat(limits::PIECE)),
        format!("process.name regex \"{}\"", "x".repeat(limits::REGEX + 1)),
        format!("process.name regex \"{}\"", "(".repeat(900)),
        format!("process.name regex \"x{}\"", "*".repeat(900)),
        "process.name regex \"((a{900}){900}){900}\"".to_owned(),
        format!("true {}", " ".repeat(limits::CONDITION)),
        "(".repeat(60_000),
        "?".repeat(60_000),
        "length(".repeat(9_000),
    ] {
        assert_eq!(wrong(&when).len(), 1, "{}", &when[..when.len().min(60)]);
    }
    // Chains are not nesting.
    is_right(&format!("true{}", " and true".repeat(5_000)));
    is_right(&format!("true{}", " or user.id == \"0\"".repeat(3_000)));
}

#[test]
fn toml_that_is_nested_without_end_is_refused() {
    for text in [
        "a = ".to_owned() + &"[".repeat(100_000),
        "[".repeat(100_000),
        format!("[{}a]", "a.".repeat(100_000)),
    ] {
        assert!(compiled(&text).is_err());
        assert!(cases::parse(None, &text).is_err());
        assert!(import(None, &text).is_err());
    }
}

/// Text that gets further into the parser than random bytes do.
fn eql() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "and",
        "or",
        "not",
        "in",
        "like",
        "like~",
        "regex",
        "regex~",
        "in~",
        ":",
        "==",
        "!=",
        "<",
        ">=",
        "(",
        ")",
        ",",
        "+",
        "-",
        "*",
        "/",
        "%",
        "?",
        "~",
        "true",
        "false",
        "null",
        "user.id",
        "process.pid",
        "process.args",
        "process.interactive",
        "process.executable",
        "dns.question.name",
        "length(",
        "startsWith(",
        "concat(",
        "\"x\"",
        "\"a*?\"",
        "\"[a-\"",
        "\"(\"",
        "\"\"\"raw\"\"\"",
        "0",
        "-1",
        "1.5",
        "1e999",
        "\"",
        "\"\"\"",
        "`",
        "//",
        "/*",
        "*/",
        "'",
        "[",
        "=",
        "&&",
        "\\",
        "\u{e9}",
        "\n",
        "process where",
        "sequence by",
        ".",
        "\0",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn no_condition_is_a_panic(when in prop_oneof![any::<String>(), eql()]) {
        let quoted = when.replace('\\', "\\\\").replace('"', "\\\"");
        for text in [rule(&when), format!("[[rule]]\nid = \"r\"\neffect = \"allow\"\nwhen = \"{quoted}\"\n")] {
            for problem in compiled(&text).err().into_iter().flatten() {
                let _shown = problem.to_string();
            }
        }
    }

    #[test]
    fn no_regular_expression_is_a_panic(pattern in "[a-c.?*+|(){}0-9,\\[\\]^$@#~&<>\\\\\"-]{0,24}", value in any::<String>()) {
        let escaped = pattern.replace('\\', "\\\\").replace('"', "\\\"");
        let text = rule(&format!("user.name regex \"{escaped}\""));
        if let Ok(generation) = compiled(&text) {
            let mut document = shmguard::decide::Document::case();
            document.put(shmguard::event::Field::UserName, value.as_bytes());
            let _ruling = shmguard::decide::rule(&generation, shmguard::event::Timestamp(0), &document);
        }
    }

    #[test]
    fn no_file_is_a_panic(text in prop_oneof![any::<String>(), eql().prop_map(|text| format!("[[rule]]\n{text}"))]) {
        let _compiled = compiled(&text);
        let _cases = cases::parse(None, &text);
        let _imported = import(None, &text);
    }
}
