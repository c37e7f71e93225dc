//! `shmguard replay`: decide recorded exec events again.
//!
//! Streams: one line is read, decided and forgotten before the next, in memory that is used again.

use super::effective::{self, Which};
use super::exit;
use super::words::plain;
use crate::decide::{Document, DocumentKind, Ruling, Shape, rule};
use crate::event::Timestamp;
use crate::policy::Generation;
use crate::policy::cases::Verdict;
use serde::Serialize;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Decide recorded exec events again
///
/// Reads our records, or any ECS documents, one JSON object a line. Standard output holds one line for each attempt,
/// {"line":N,"decision":"deny"|"allow"|"unknown","rule":"ID"|null}, and nothing else; the summary, and what changed
/// for our own records, go to standard error. A field that one of our records did not collect is unknown; in foreign
/// documents it is absent.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 done, whatever was decided; 66 the input can't be read; 78 mistakes in policy or configuration.

Examples:
  shmguard replay /var/log/shmguard/events.ndjson
  shmguard replay events.ndjson --policy my.toml >/dev/null
  zcat events.ndjson.*.gz | shmguard replay - | grep '\"deny\"'")]
pub struct Args {
    /// The events; `-` is standard input
    #[arg(value_name = "EVENTS.ndjson")]
    events: PathBuf,
    /// Exactly these policy files, and not the embedded policy either; may be given more than once
    #[arg(long, value_name = "FILE", num_args = 1..)]
    policy: Vec<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// Replays. The exit status of the command.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let generation = if args.policy.is_empty() {
        effective::config(&args.which, err).and_then(|config| effective::configured(&config, err))
    } else {
        effective::exactly(&args.policy, false, err)
    };
    let generation = match generation {
        Ok(generation) => generation,
        Err(status) => return status,
    };
    let cannot_read = |error: &std::io::Error, err: &mut dyn Write| {
        let _written = writeln!(err, "shmguard: {} cannot be read: {error}", args.events.display());
        exit::NO_INPUT
    };
    let input: Box<dyn Read> = if args.events == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        match File::open(&args.events) {
            Ok(file) => Box::new(file),
            Err(error) => return cannot_read(&error, err),
        }
    };
    let mut replay = Replay::new(&generation);
    let mut out = BufWriter::with_capacity(BUFFER, out);
    let status = match replay.all(BufReader::with_capacity(BUFFER, input), &mut out) {
        Ok(()) => exit::DONE,
        Err(Ended::Input(error)) => cannot_read(&error, err),
        // Said at the end of every command.
        Err(Ended::Output) => return exit::IO,
    };
    if out.flush().is_err() {
        return exit::IO;
    }
    let text = if args.json {
        format!("{}\n", serde_json::to_string(&replay.summary).unwrap_or_default())
    } else {
        replay.summary.readable()
    };
    let _written = err.write_all(text.as_bytes());
    status
}

/// Bytes read and written at once.
const BUFFER: usize = 256 << 10;

/// Bytes of the longest line: no record is near it, and memory stays bounded whatever the file holds.
const LONGEST: usize = 16 << 20;

enum Ended {
    Input(std::io::Error),
    Output,
}

struct Replay<'g> {
    generation: &'g Generation,
    shape: Shape,
    document: Document,
    now: Timestamp,
    summary: Summary,
}

impl<'g> Replay<'g> {
    fn new(generation: &'g Generation) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            generation,
            shape: Shape::of(generation),
            document: Document::default(),
            now: Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
            summary: Summary::default(),
        }
    }

    fn all(&mut self, mut input: impl BufRead, out: &mut impl Write) -> Result<(), Ended> {
        let mut line = Vec::new();
        let mut number = 0;
        while let Some(length) = next_line(&mut input, &mut line).map_err(Ended::Input)? {
            number += 1;
            if length > LONGEST {
                self.summary.unreadable.add(number);
            } else if !line.trim_ascii().is_empty() {
                self.one(number, &line, out).map_err(|_closed| Ended::Output)?;
            }
        }
        self.summary.lines = number;
        Ok(())
    }

    fn one(&mut self, number: u64, line: &[u8], out: &mut impl Write) -> std::io::Result<()> {
        if self.document.read(line, &self.shape).is_err() {
            self.summary.unreadable.add(number);
            return Ok(());
        }
        if self.document.kind() == DocumentKind::Notice {
            self.summary.notices += 1;
            return Ok(());
        }
        // Rules that end are judged as of the event.
        let now = self.document.timestamp().unwrap_or(self.now);
        let ruling = rule(self.generation, now, &self.document);
        let id = ruling.rule.map(|about| about.id.as_str());
        self.summary.count(ruling.verdict);
        if self.document.kind() == DocumentKind::Record {
            self.summary.compare(number, &ruling, &self.document);
        }
        match id {
            // An id has no character that JSON would escape.
            Some(id) => writeln!(
                out,
                "{{\"line\":{number},\"decision\":\"{}\",\"rule\":\"{id}\"}}",
                ruling.verdict.name()
            ),
            None => writeln!(
                out,
                "{{\"line\":{number},\"decision\":\"{}\",\"rule\":null}}",
                ruling.verdict.name()
            ),
        }
    }
}

/// Reads one line into `line`, without its end; of one that is too long only the beginning. `None` at the end.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<Option<usize>> {
    line.clear();
    let mut length = 0;
    loop {
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok((length > 0).then_some(length));
        }
        let end = memchr::memchr(b'\n', buffer);
        let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
        if length + part.len() <= LONGEST {
            line.extend_from_slice(part);
        }
        // The newline counts, so that an empty line is not the end.
        length += part.len() + usize::from(end.is_some());
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            return Ok(Some(length));
        }
    }
}

#[derive(Default, Serialize)]
struct Summary {
    lines: u64,
    deny: u64,
    allow: u64,
    unknown: u64,
    notices: u64,
    unreadable: Numbers,
    compared: u64,
    changed: u64,
    changes: Vec<Change>,
}

/// How many lines, and the first of them.
#[derive(Default, Serialize)]
struct Numbers {
    count: u64,
    first: Vec<u64>,
}

/// An attempt that is now decided otherwise.
#[derive(Serialize)]
struct Change {
    line: u64,
    was: String,
    by: Option<String>,
    now: &'static str,
    rule: Option<String>,
}

/// So many lines are named; the rest is counted.
const NAMED: usize = 20;

impl Numbers {
    fn add(&mut self, number: u64) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(number);
        }
    }
}

impl Summary {
    fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Deny => self.deny += 1,
            Verdict::Allow => self.allow += 1,
            Verdict::Unknown => self.unknown += 1,
        }
    }

    fn compare(&mut self, line: u64, ruling: &Ruling<'_>, document: &Document) {
        let (Some(was), by) = document.recorded() else { return };
        self.compared += 1;
        let rule = ruling.rule.map(|about| about.id.as_str());
        if was == ruling.verdict.name() && by == rule {
            return;
        }
        self.changed += 1;
        if self.changes.len() < NAMED {
            self.changes.push(Change {
                line,
                was: was.to_owned(),
                by: by.map(str::to_owned),
                now: ruling.verdict.name(),
                rule: rule.map(str::to_owned),
            });
        }
    }

    fn readable(&self) -> String {
        let mut text = format!(
            "{} lines: {} deny, {} allow, {} unknown\n",
            self.lines, self.deny, self.allow, self.unknown
        );
        if self.notices > 0 {
            text.push_str(&format!("{} of our records are not about attempts\n", self.notices));
        }
        if self.unreadable.count > 0 {
            let numbers: Vec<_> = self.unreadable.first.iter().map(u64::to_string).collect();
            let more =
                if self.unreadable.count > u64::try_from(self.unreadable.first.len()).unwrap_or(u64::MAX) {
                    ", ..."
                } else {
                    ""
                };
            let lines = numbers.join(", ");
            text.push_str(&format!("{} are no JSON object: line {lines}{more}\n", self.unreadable.count));
        }
        if self.compared > 0 {
            text.push_str(&format!("{} of {} records are decided otherwise\n", self.changed, self.compared));
        }
        for change in &self.changes {
            let by = |rule: &Option<String>| rule.as_ref().map_or("no rule".to_owned(), |rule| plain(rule));
            text.push_str(&format!(
                "  line {}: {} by {} -> {} by {}\n",
                change.line,
                plain(&change.was),
                by(&change.by),
                change.now,
                by(&change.rule)
            ));
        }
        if self.changed > u64::try_from(self.changes.len()).unwrap_or(u64::MAX) {
            text.push_str("  ...\n");
        }
        text
    }
}
