//! Every parser of foreign bytes against the kept corpus, and against each seed changed a few thousand times.
//!
//! The same bodies as `fuzz/run`, without a fuzzer: bounded, and the same each time. `FUZZ_SEED=7 FUZZ_TIMES=100` makes it
//! others, and a hundred times as many. What it fails on is printed, to be put into the corpus.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::panic::catch_unwind;
use std::path::Path;

#[path = "../fuzz/bodies.rs"]
mod bodies;

#[test]
fn events_of_the_kernel() {
    fuzz("fanotify", 120_000, bodies::fanotify);
}

#[test]
fn mount_tables() {
    fuzz("mountinfo", 18_000, bodies::mountinfo);
}

#[test]
fn texts_of_proc() {
    fuzz("proc", 60_000, bodies::proc);
}

#[test]
fn policies_and_conditions() {
    fuzz("policy", 6_000, bodies::policy);
}

#[test]
fn configurations() {
    fuzz("config", 18_000, bodies::config);
}

#[test]
fn records() {
    fuzz("records", 30_000, bodies::records);
}

#[test]
fn requests_and_replies() {
    fuzz("control", 60_000, bodies::control);
}

/// Runs `body` with each seed, and `times` with changed ones.
fn fuzz(target: &str, times: usize, body: fn(&[u8])) {
    let seeds = seeds(target);
    let number = |name: &str, usual| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let mut dice = Dice(number("FUZZ_SEED", 0x5EED));
    let run = |input: &[u8]| {
        let held = catch_unwind(|| body(input));
        assert!(held.is_ok(), "{target} fails on: {}", input.escape_ascii());
    };
    seeds.iter().for_each(|seed| run(seed));
    for _ in 0..times * usize::try_from(number("FUZZ_TIMES", 1)).unwrap() {
        let mut input = seeds[dice.below(seeds.len())].clone();
        for _ in 0..=dice.below(8) {
            change(&mut input, &seeds, &mut dice);
        }
        input.truncate(1 << 14);
        run(&input);
    }
}

/// The corpus of a target: kept seeds, and what an earlier run has found beside them.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let seeds: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(!seeds.is_empty(), "no seeds for {target}");
    seeds
}

/// One change, of the kinds that fuzzers make.
fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], dice: &mut Dice) {
    const ODD: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b' ', b'"', b'\\', b'9', b'-', b'{'];
    let at = dice.below(input.len() + 1);
    let span = at..(at + dice.below(32)).min(input.len());
    match dice.below(7) {
        0 if at < input.len() => input[at] ^= 1 << dice.below(8),
        1 if at < input.len() => input[at] = ODD[dice.below(ODD.len())],
        2 => input.insert(at, ODD[dice.below(ODD.len())]),
        3 => drop(input.drain(span)),
        4 => {
            let again = input[span].to_vec();
            input.splice(at..at, again);
        }
        5 => input.truncate(at),
        _ => {
            // A piece of any seed.
            let other = &seeds[dice.below(seeds.len())];
            let from = dice.below(other.len() + 1);
            let piece = other[from..(from + dice.below(64)).min(other.len())].to_vec();
            input.splice(at..at, piece);
        }
    }
}

/// xorshift64*: the same numbers from the same seed.
struct Dice(u64);

impl Dice {
    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(drawn).unwrap() % bound
    }
}
