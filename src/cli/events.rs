//! `shmguard events`: what was recorded, in readable lines; and the proof that nothing of it is missing.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::effective::{self, Which};
use super::log_files::Ended;
use super::words::{Style, Tone, plain, print};
use super::{exit, log_files};
use crate::record::verify::Verifier;

/// Show what was recorded, or prove that nothing of it is missing
///
/// Reads the log file itself, from the oldest rotated file to the one being written; no guard need run.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 done; with --verify 1 where records are missing; 66 the log can't be read.

Examples:
  shmguard events                       all of it, a line each
  shmguard events --alerts --follow     what is denied, as it happens
  shmguard events --json | jq .process  the records themselves
  shmguard events --verify              prove that the log is whole")]
pub struct Args {
    /// The log; without it, the one of the configuration
    #[arg(value_name = "EVENTS.ndjson")]
    events: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// Go on with what comes, until Ctrl-C
    #[arg(long, short, conflicts_with = "verify")]
    follow: bool,
    /// Only what was denied, would be denied, or was not delivered
    #[arg(long, conflicts_with = "verify")]
    alerts: bool,
    /// Prove that every record is there, once and in order
    #[arg(long)]
    verify: bool,
    /// Print the records as they are
    #[arg(long)]
    json: bool,
}

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Shows or proves. The exit status of the command.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let path = match &args.events {
        Some(path) => path.clone(),
        None => match effective::config(&args.which, err) {
            Ok(config) => config.log.file.path,
            Err(status) => return status,
        },
    };
    if args.verify {
        return verify(&path, args.json, out, err);
    }
    let show = Show { json: args.json, alerts: args.alerts, style: Style::of_stdout() };
    let files = log_files::generations(&path);
    let shown = log_files::lines(&files, |_, _, line, _| show.line(line, out));
    let result = shown.and_then(|()| if args.follow { follow(&path, show, out) } else { Ok(()) });
    result.map_or_else(|ended| ended.tell(err), |()| exit::DONE)
}

/// How lines are shown.
#[derive(Clone, Copy)]
struct Show {
    json: bool,
    alerts: bool,
    style: Style,
}

impl Show {
    fn line(self, line: &[u8], out: &mut dyn Write) -> io::Result<()> {
        let record: Option<Value> = serde_json::from_slice(line).ok();
        let text = |pointer: &str| record.as_ref()?.pointer(pointer)?.as_str();
        let is_alert = text("/event/kind") == Some("alert");
        if self.alerts && !is_alert {
            return Ok(());
        }
        if self.json {
            out.write_all(line)?;
            return out.write_all(b"\n");
        }
        let (Some(at), Some(message)) = (text("/@timestamp"), text("/message")) else {
            return writeln!(out, "(not a record) {}", plain(&String::from_utf8_lossy(line)));
        };
        let tone = match text("/tags/0") {
            Some("denied") => Tone::Bad,
            Some("would-deny" | "not-delivered") => Tone::Warning,
            Some("guard") => Tone::Heading,
            _ => Tone::Faint,
        };
        let seconds = at.get(..19).unwrap_or(at).replace('T', " ");
        writeln!(out, "{seconds}  {}", self.style.paint(tone, &plain(message)))
    }
}

/// Shows what is appended, also after the file was rotated.
fn follow(path: &Path, show: Show, out: &mut dyn Write) -> Result<(), Ended> {
    let of = |error| Ended::Read(path.to_path_buf(), error);
    let written = |_told| Ended::Written;
    let mut file = File::open(path).map_err(of)?;
    let mut pending = Vec::new();
    file.seek(SeekFrom::End(0)).map_err(of)?;
    loop {
        file.read_to_end(&mut pending).map_err(of)?;
        let whole = pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let rest = pending.split_off(whole);
        for line in pending.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            show.line(line, out).map_err(written)?;
        }
        pending = rest;
        out.flush().map_err(written)?;
        std::thread::sleep(LOOK);
        let now = std::fs::metadata(path).map(|metadata| metadata.ino()).ok();
        let ours = file.metadata().map_err(of)?.ino();
        if now.is_some_and(|now| now != ours) {
            // What was written to the old file before it was moved away is read first.
            file.read_to_end(&mut pending).map_err(of)?;
            file = File::open(path).map_err(of)?;
        }
    }
}

fn verify(path: &Path, json: bool, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut verifier = Verifier::new();
    let mut take = |file: &Path, number: u64, line: &[u8], torn: bool| {
        let mut whole = line.to_vec();
        if !torn {
            whole.push(b'\n');
        }
        verifier.line(&file.display().to_string(), number, &whole);
        Ok(())
    };
    if let Err(ended) = log_files::lines(&log_files::generations(path), &mut take) {
        return ended.tell(err);
    }
    let verdict = verifier.verdict();
    let holds = verdict.holds();
    let findings: Vec<String> = verdict.findings.iter().map(ToString::to_string).collect();
    let text = if json {
        let boots: Vec<_> = verdict
            .boots
            .iter()
            .map(|boot| serde_json::json!({"boot": boot.boot, "first": boot.first, "last": boot.last}))
            .collect();
        let more = verdict.more;
        let all = serde_json::json!({
            "whole": holds, "records": verdict.records, "boots": boots, "findings": findings, "more": more,
        });
        format!("{all}\n")
    } else {
        let mut text: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
        if verdict.more > 0 {
            text.push_str(&format!("and {} more\n", verdict.more));
        }
        let word = if holds { "whole" } else { "NOT WHOLE" };
        let boots = verdict.boots.len();
        text.push_str(&format!(
            "{word}: {} records of {boots} boots in {}\n",
            verdict.records,
            path.display()
        ));
        text
    };
    match print(out, &text) {
        Ok(()) if holds => exit::DONE,
        Ok(()) => exit::NO,
        Err(status) => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(alerts: bool, line: &str) -> String {
        let mut out = Vec::new();
        Show { json: false, alerts, style: Style::Plain }.line(line.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_is_one_line_and_cannot_move_the_terminal() {
        let line = r#"{"@timestamp":"2026-01-15T10:22:31.123456789Z","message":"denied:\u001b[2J\n x","event":{"kind":"alert"},"tags":["denied"]}"#;
        let text = shown(false, line);
        assert!(text.starts_with("2026-01-15 10:22:31  denied:"), "{text:?}");
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn alerts_leave_the_rest_out_and_rubbish_is_shown_as_such() {
        assert_eq!(shown(true, r#"{"@timestamp":"x","message":"m","event":{"kind":"event"}}"#), "");
        assert!(shown(false, "rubbish").starts_with("(not a record)"));
    }

    #[test]
    fn a_log_with_a_record_taken_out_does_not_verify() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.ndjson");
        let line = |sequence| {
            format!(
                "{{\"event\":{{\"sequence\":{sequence},\"action\":\"exec\"}},\"host\":{{\"boot\":{{\"id\":\"b\"}}}}}}\n"
            )
        };
        let check = |numbers: &[u64]| {
            std::fs::write(&path, numbers.iter().map(|number| line(*number)).collect::<String>()).unwrap();
            verify(&path, false, &mut Vec::new(), &mut Vec::new())
        };
        assert_eq!(check(&[1, 2, 3]), exit::DONE);
        assert_eq!(check(&[1, 3]), exit::NO);
        assert_eq!(check(&[1, 1]), exit::NO);
    }
}
