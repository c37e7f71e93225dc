#![allow(clippy::wildcard_enum_match_arm, reason = "of the many kinds of values a few are told apart")]

use super::*;
use crate::event::{Fact, View};
use crate::record::samples::{Sample, any_attempt};
use proptest::prelude::*;

/// What a comparison can see of a value.
#[derive(Debug, PartialEq)]
enum Seen {
    Absent,
    Texts(Vec<Vec<u8>>),
    AtLeast(Vec<Vec<u8>>),
    Within(Vec<Vec<u8>>),
    Unknown(Doubt),
    Unread,
}

fn seen(value: Value<'_>) -> Seen {
    let list = |texts: &Texts| texts.iter().map(<[u8]>::to_vec).collect();
    match value {
        Value::Unknown(doubt) if !doubt.groups().is_empty() => Seen::Unread,
        Value::Unknown(doubt) => Seen::Unknown(doubt),
        Value::AtLeast(texts) => Seen::AtLeast(list(texts)),
        Value::Within(texts) => Seen::Within(list(texts)),
        value => {
            let mut texts = Vec::new();
            super::super::texts::show(value, |text| {
                texts.push(text.to_vec());
                false
            });
            if texts.is_empty() { Seen::Absent } else { Seen::Texts(texts) }
        }
    }
}

fn read(line: &str) -> Document {
    let mut document = Document::default();
    document.read(line.as_bytes(), &Shape::all()).unwrap();
    document
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// So `replay` decides what the guard decided.
    #[test]
    fn a_record_says_of_every_field_what_the_attempt_said(attempt in any_attempt()) {
        let mut attempt = attempt;
        // There is one parent, and one pid of it, however it was found.
        match &mut attempt.subject.parent {
            Fact::Known(parent) => parent.pid = attempt.subject.parent_pid.clone(),
            Fact::Absent => attempt.subject.parent_pid = Fact::Absent,
            Fact::Unknown(cause) => attempt.subject.parent_pid = Fact::Unknown(*cause),
            Fact::Unread => {}
        }
        let sample = Sample { attempt, ..Sample::denied() };
        let line = sample.line(1);
        let document = read(&line);
        prop_assert_eq!(document.kind(), DocumentKind::Record);
        let view = View::new(&sample.attempt, &sample.users);
        for field in Field::ALL {
            let live = seen(view.value(*field));
            let replayed = seen(document.value(*field));
            // The environment is only written where there is some, and is not read unless a rule asks for it.
            if *field == Field::ProcessEnvVars && sample.attempt.subject.arguments.known().is_some_and(|a| a.environment.is_empty()) {
                continue;
            }
            let agree = match (&live, &replayed) {
                // What nobody looked at is unknown afterwards, and what was looked at in vain stays so.
                (Seen::Unread, Seen::Unknown(doubt)) => *doubt == Doubt::OTHER,
                (live, replayed) => live == replayed,
            };
            prop_assert!(agree, "{}: live {live:?}, replayed {replayed:?}\n{line}", field.name());
        }
    }

    #[test]
    fn no_line_is_a_panic(line in any::<Vec<u8>>()) {
        let mut document = Document::default();
        let _read = document.read(&line, &Shape::all());
        for field in Field::ALL {
            let _value = document.value(*field);
        }
    }
}

#[test]
fn nested_and_dotted_keys_lists_and_numbers_are_the_same() {
    let nested = r#"{"user":{"id":0},"process":{"args":["a","b"],"args_count":"2","parent.pid":7,"interactive":"true"}}"#;
    let dotted = r#"{"user.id":"0","process.args":["a",["b"]],"process.args_count":2,"process.parent":{"pid":7.0},"process":{"interactive":true}}"#;
    for line in [nested, dotted] {
        let document = read(line);
        let texts = |field| seen(document.value(field));
        assert_eq!(texts(Field::UserId), Seen::Texts(vec![b"0".to_vec()]), "{line}");
        assert_eq!(texts(Field::ProcessArgs), Seen::Texts(vec![b"a".to_vec(), b"b".to_vec()]), "{line}");
        assert_eq!(texts(Field::ProcessArgsCount), Seen::Texts(vec![b"2".to_vec()]), "{line}");
        assert_eq!(texts(Field::ParentPid), Seen::Texts(vec![b"7".to_vec()]), "{line}");
        assert_eq!(texts(Field::ProcessInteractive), Seen::Texts(vec![b"true".to_vec()]), "{line}");
        assert_eq!(texts(Field::ProcessName), Seen::Absent, "{line}");
    }
}

#[test]
fn a_document_is_forgotten_with_the_next_one() {
    let shape = Shape::all();
    let mut document = Document::default();
    document.read(br#"{"user":{"id":"0"}}"#, &shape).unwrap();
    document.read(br#"{"user":{"name":"x"}}"#, &shape).unwrap();
    assert_eq!(seen(document.value(Field::UserId)), Seen::Absent);
    assert!(document.read(br#"{"user":{"id":"0"}"#, &shape).is_err());
    document.read(b"{}", &shape).unwrap();
    assert_eq!(seen(document.value(Field::UserId)), Seen::Absent);
}

#[test]
fn what_is_no_object_is_refused() {
    for line in ["", "1", "[]", "\"x\"", "null", "{} {}", "{\"a\":", "\u{feff}{}"] {
        assert!(Document::default().read(line.as_bytes(), &Shape::all()).is_err(), "{line}");
    }
    let deep = format!("{{\"user.id\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Document::default().read(deep.as_bytes(), &Shape::all()).is_err());
    let deep = format!("{{\"other\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Document::default().read(deep.as_bytes(), &Shape::all()).is_ok());
}

#[test]
fn a_hidden_argument_is_not_known() {
    let mut sample = Sample::denied();
    sample.attempt.subject.arguments = Fact::Unread;
    let line = sample.line(1).replacen(
        "\"shmguard\":{",
        "\"process.args\":[\"x\",\"***\"],\"shmguard\":{\"redacted\":[\"process.args\"],",
        1,
    );
    let document = read(&line);
    assert_eq!(seen(document.value(Field::ProcessArgs)), Seen::Unknown(Doubt::OTHER));
    assert_eq!(seen(document.value(Field::ProcessCommandLine)), Seen::Unknown(Doubt::OTHER));
}
