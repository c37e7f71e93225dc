//! Nanoseconds per decision for policies of 1 to 500 rules: `cargo bench --bench decide`.
//!
//! Four kinds of policy, each asked about attempts that nothing matches (every rule has to be ruled out) and about ones
//! that the last rule matches. Prints a table; judges nothing.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people")]

use shmguard::decide::{Outcome, View, decide};
use shmguard::event::{Attempt, Credentials, Effect, Fact, Gid, Process, Timestamp, Uid, Users};
use shmguard::policy::{Generation, Source, compile};
use std::hint::black_box;
use std::time::Instant;

const SIZES: [usize; 6] = [1, 5, 10, 50, 100, 500];

fn generation(rules: &[String]) -> Generation {
    let text: String = rules
        .iter()
        .enumerate()
        .map(|(number, when)| {
            format!("[[rule]]\nid = \"r{number}\"\neffect = \"deny\"\nwhen = '''{when}'''\n")
        })
        .collect();
    compile(&[Source { file: None, text: &text }], false).unwrap()
}

/// The condition of rule number `n` of each kind of policy.
type Kind = (&'static str, fn(usize) -> String);

const KINDS: [Kind; 4] = [
    ("a directory each", |n| format!("process.executable like \"/run/app{n}/*\" and user.id == \"0\"")),
    ("a list of files each", |n| {
        let list: Vec<_> = (0..20).map(|file| format!("\"/dev/shm/app{n}/f{file}\"")).collect();
        format!("process.executable in ({}) and not user.id == \"1000\"", list.join(", "))
    }),
    ("a parent each, one directory", |n| {
        format!(
            "process.executable like \"/dev/shm/*\" and process.parent.name in (\"p{n}\", \"q{n}\") and user.id == \"0\""
        )
    }),
    ("nothing to index", |n| format!("process.executable like \"*/app{n}.*\" and user.id == \"0\"")),
];

fn attempt(path: &str, parent: &str) -> Attempt {
    let mut attempt = Attempt::default();
    attempt.subject.user = Fact::Known(Uid(0));
    attempt.subject.credentials = Fact::Known(Credentials {
        ruid: Uid(0),
        euid: Uid(0),
        suid: Uid(0),
        fsuid: Uid(0),
        rgid: Gid(0),
        egid: Gid(0),
        sgid: Gid(0),
        fsgid: Gid(0),
    });
    attempt.subject.parent =
        Fact::Known(Process { name: Fact::Known(parent.as_bytes().to_vec()), ..Process::default() });
    attempt.object.names = [path].into_iter().collect();
    if let Some(rest) = path.strip_prefix("/run/") {
        attempt.object.names.push(format!("/var/run/{rest}").as_bytes());
    }
    attempt.object.inner = Fact::Known(b"/x".to_vec());
    attempt
}

fn measure(generation: &Generation, attempt: &Attempt) -> f64 {
    let users = Users::default();
    let view = View::new(attempt, &users);
    let once = || match decide(black_box(generation), Effect::Deny, Timestamp(0), black_box(&view)) {
        Outcome::Decided(decision) => {
            let _decision = black_box(decision);
        }
        Outcome::Needs(groups) => panic!("needs {groups:?}"),
    };
    (0..10_000).for_each(|_| once());
    // The best of several rounds: what disturbs a round only makes it longer.
    let rounds = (0..7).map(|_| {
        const TIMES: u32 = 20_000;
        let start = Instant::now();
        (0..TIMES).for_each(|_| once());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
    });
    rounds.fold(f64::INFINITY, f64::min)
}

fn main() {
    print!("{:<40}", "nanoseconds per decision; rules:");
    SIZES.iter().for_each(|size| print!("{size:>8}"));
    println!();
    for (name, when) in KINDS {
        for (what, matches) in [("no match", false), ("last rule matches", true)] {
            print!("{:<40}", format!("{name}, {what}"));
            for size in SIZES {
                let rules: Vec<_> = (0..size).map(when).collect();
                let generation = generation(&rules);
                let last = if matches { size - 1 } else { 100_000 };
                let path = match name {
                    "a directory each" => format!("/run/app{last}/x"),
                    "a list of files each" => format!("/dev/shm/app{last}/f19"),
                    "nothing to index" => format!("/dev/shm/app{last}.so"),
                    _ => "/dev/shm/x".to_owned(),
                };
                print!("{:>8.0}", measure(&generation, &attempt(&path, &format!("q{last}"))));
            }
            println!();
        }
    }
    let embedded = Generation::embedded();
    let denied = measure(&embedded, &attempt("/dev/shm/kdmtmpflush", "cron"));
    println!("the embedded policy, denied: {denied:.0}");
}
