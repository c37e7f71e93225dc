//! What a guarded exec costs, against the least that it could cost.
//!
//! `cargo bench --bench guard [-- PART... --long --calm MINUTES --json FILE --svg DIRECTORY]`, as root, on Linux 5.0 or newer, with a C
//! compiler. Compiles the reference responders in benches/reference, starts every contestant on mounts of its own, and
//! calls them in turn, a little each, round after round: what disturbs one disturbs all. Ratios are of one run; one
//! that claims less than two equal contestants differ by is refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::cast_precision_loss,
    unreachable_pub,
    reason = "a measurement that cannot be made ends the run; it starts programs and prints"
)]

mod caller;
mod fapolicyd;
mod machine;
mod numbers;
mod parts;
mod report;
mod responder;
mod stage;
mod svg;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use machine::Machine;
use parts::{Form, PARTS};
use report::Report;
use stage::Base;

/// What the command line asks for.
#[derive(Default)]
struct Wish {
    /// Set by `cargo bench`; `cargo test --benches` does not.
    bench: bool,
    long: bool,
    parts: Vec<String>,
    json: Option<PathBuf>,
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    let wish = match read_arguments() {
        Ok(wish) => wish,
        Err(message) => {
            eprintln!("{message}\n{}", usage());
            return ExitCode::from(2);
        }
    };
    if !wish.bench {
        println!("not measured: run by `cargo bench --bench guard`");
        return ExitCode::SUCCESS;
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("the benchmark needs root: it makes mounts and marks them");
        return ExitCode::from(77);
    }
    let machine = Machine::read();
    let form = if wish.long { Form::Long } else { Form::Short };
    println!("{}; {} form", machine.line(), if wish.long { "long" } else { "short" });
    let base = Base::new();
    let mut report = Report::default();
    let wanted = |name: &str| wish.parts.is_empty() || wish.parts.iter().any(|part| part == name);
    for part in PARTS.iter().filter(|part| wanted(part.name)) {
        (part.run)(&base, form, &mut report);
    }
    // Back where files can be written for others to see: the host's other mounts were never changed.
    base.enter();
    if let Some(file) = &wish.json {
        fs::write(file, format!("{:#}\n", report.json(&machine.json()))).expect("the JSON file");
    }
    if let Some(directory) = &wish.svg {
        fs::create_dir_all(directory).expect("the directory for SVG files");
        for (name, chart) in report.charts() {
            fs::write(directory.join(format!("{name}.svg")), chart.svg(&machine.line()))
                .expect("an SVG file");
        }
    }
    ExitCode::SUCCESS
}

fn read_arguments() -> Result<Wish, String> {
    let mut wish = Wish::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut file =
            || arguments.next().map(PathBuf::from).ok_or_else(|| format!("{argument}: of what name?"));
        match argument.as_str() {
            "--bench" => wish.bench = true,
            "--short" => wish.long = false,
            "--long" => wish.long = true,
            "--calm" => {
                let minutes = arguments
                    .next()
                    .and_then(|word| word.parse::<u64>().ok())
                    .ok_or("--calm: how many minutes?")?;
                machine::be_patient(Duration::from_secs(60 * minutes));
            }
            "--json" => wish.json = Some(absolute(file()?)),
            "--svg" => wish.svg = Some(absolute(file()?)),
            name if PARTS.iter().any(|part| part.name == name) => wish.parts.push(name.to_owned()),
            _ => return Err(format!("`{argument}` is not a part")),
        }
    }
    Ok(wish)
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

fn usage() -> String {
    let mut text = "usage: cargo bench --bench guard -- [PART...] [--long] [--calm MINUTES] [--json FILE] [--svg DIRECTORY]\n\
                    --calm waits, so long in all, for other programs to be quiet\nparts:\n"
        .to_owned();
    for part in PARTS {
        text.push_str(&format!("  {:12} {}\n", part.name, part.about));
    }
    text
}
