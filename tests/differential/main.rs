//! Rules and events made at random, decided by the program and by an evaluator written in the plainest way from the
//! semantics in shmguard-rules(5). They must agree on every one.
//!
//! `SHMGUARD_SEED=n` tries other ones than usual.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "the evaluator is to be plain before anything else"
)]

mod generate;
mod plain;

use generate::{Dice, Event};
use plain::Ruled;
use shmguard::decide::{Document, DocumentKind, Shape, rule};
use shmguard::event::{Field, Timestamp};
use shmguard::policy::{Generation, Source, compile};

const POLICIES: usize = 1_000;
const EVENTS_EACH: usize = 25;

fn generation(text: &str) -> Generation {
    compile(&[Source { file: None, text }], false)
        .unwrap_or_else(|problems| panic!("{}\n{text}", problems[0]))
}

/// The event as a case: any bytes, and unknown values.
fn case(event: &Event) -> Document {
    let mut document = Document::case();
    for (name, values) in &event.known {
        for value in values {
            document.put(Field::named(name).unwrap(), value);
        }
    }
    for name in &event.unknown {
        document.put_unknown(Field::named(name).unwrap());
    }
    document
}

#[test]
fn the_program_and_the_plain_evaluator_agree() {
    let seed = std::env::var("SHMGUARD_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut dice = Dice::new(seed);
    let mut decided = std::collections::BTreeMap::new();
    let mut as_json = 0;
    for _ in 0..POLICIES {
        let rules = generate::rules(&mut dice);
        let text = generate::policy_text(&rules, &mut dice);
        let generation = generation(&text);
        let shape = Shape::of(&generation);
        for _ in 0..EVENTS_EACH {
            let event = generate::event(&mut dice);
            let wanted = plain::decide(&rules, &event);
            let ruling = rule(&generation, Timestamp(0), &case(&event));
            let got = Ruled {
                verdict: ruling.verdict.name(),
                rule: ruling.rule.map(|about| about.id.clone()),
                trial: ruling.trial.map(|about| about.id.clone()),
            };
            assert_eq!(got, wanted, "seed {seed}\n{text}\n{event:#?}");
            *decided.entry((wanted.verdict, wanted.rule.is_some())).or_insert(0) += 1;
            if let Some(json) = generate::json(&event, &mut dice) {
                let mut document = Document::default();
                document.read(json.as_bytes(), &shape).unwrap();
                assert_eq!(document.kind(), DocumentKind::Foreign);
                let ruling = rule(&generation, Timestamp(0), &document);
                let got = (ruling.verdict.name(), ruling.rule.map(|about| about.id.clone()));
                assert_eq!(got, (wanted.verdict, wanted.rule), "seed {seed}\n{text}\n{json}");
                as_json += 1;
            }
        }
    }
    // Rules that never match, or events that never leave a doubt, would prove nothing.
    assert!(as_json > 3_000, "{as_json}");
    for way in [("deny", true), ("allow", true), ("allow", false), ("unknown", true)] {
        assert!(decided.get(&way).is_some_and(|count| *count > 1_000), "{decided:?}");
    }
}
