//! `shmguard status`: is this host guarded, by what, and what does not hold.

use std::io::Write;
use std::time::Duration;

use super::guard::{self, Socket};
use super::words::{Style, Tone, microseconds, moment, plain, print, span, table};
use crate::control::protocol::{Reply, Request};
use crate::control::status::{LeftOut, MarkKind, ModeSource, SinkState, Status};
use crate::event::Mode;

/// Flags of `status`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 everything promised holds; 1 something does not; 69 no guard runs; 77 not permitted.

Examples:
  shmguard status
  shmguard status --json | jq '.counters.denied'
  shmguard status >/dev/null || echo 'look at shmguard on this host'")]
pub struct Args {
    /// Print everything as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

/// Asks the guard and prints. The exit status of the command.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let reply = match guard::ask(&args.socket, &Request::Status, Duration::from_secs(5), 1, err) {
        Ok(reply) => reply,
        Err(status) => return status,
    };
    let Reply::Status { status } = reply else { return guard::mismatch(err) };
    let text = if args.json {
        let mut json = serde_json::to_string_pretty(&status).unwrap_or_default();
        json.push('\n');
        json
    } else {
        render(&status, Style::of_stdout())
    };
    match print(out, &text) {
        Ok(()) => u8::from(!status.holds()),
        Err(status) => status,
    }
}

/// The whole page.
fn render(status: &Status, style: Style) -> String {
    let mut page = headline(status, style);
    page.push_str(&problems(status, style));
    page.push_str(&general(status));
    let sections = [
        ("Watched", marks(status)),
        ("Left out", left_out(status)),
        ("Policy", policy(status)),
        ("Rules, in order", rules(status)),
        ("Attempts", counters(status)),
        ("Failures", failures(status)),
        ("Logs", sinks(status)),
        ("Kernel", kernel(status)),
    ];
    for (title, body) in sections.into_iter().filter(|(_, body)| !body.is_empty()) {
        page.push_str(&format!("\n{}\n{body}", style.paint(Tone::Heading, title)));
    }
    page
}

/// Whether the host is guarded, in one line.
fn headline(status: &Status, style: Style) -> String {
    let filesystems = match status.marks.len() {
        1 => "1 filesystem".to_owned(),
        count => format!("{count} filesystems"),
    };
    let (tone, word, rest) = match (status.mode.current, status.problems.len()) {
        _ if status.marks.is_empty() => (Tone::Bad, "NOT GUARDED", "nothing is watched".to_owned()),
        (Mode::Prevent, 0) => (Tone::Good, "GUARDED", format!("{filesystems}, denials are real, all holds")),
        (Mode::Prevent, broken) => {
            (Tone::Bad, "GUARDED, WITH GAPS", format!("{filesystems}, {}", promises(broken)))
        }
        (Mode::Audit, 0) => {
            (Tone::Warning, "AUDIT ONLY", format!("{filesystems} watched, nothing is denied, all holds"))
        }
        (Mode::Audit, broken) => (
            Tone::Bad,
            "AUDIT ONLY, WITH GAPS",
            format!("{filesystems} watched, nothing is denied, {}", promises(broken)),
        ),
    };
    format!("{}: {rest}\n", style.paint(tone, word))
}

fn promises(broken: usize) -> String {
    if broken == 1 { "1 promise does not hold".to_owned() } else { format!("{broken} promises do not hold") }
}

fn problems(status: &Status, style: Style) -> String {
    let mut text = String::new();
    for problem in &status.problems {
        text.push_str(&format!("  {} {}\n", style.paint(Tone::Bad, "!"), plain(&problem.what)));
        if !problem.remedy.is_empty() {
            text.push_str(&format!(
                "    {}\n",
                style.paint(Tone::Faint, &format!("-> {}", plain(&problem.remedy)))
            ));
        }
    }
    text
}

fn general(status: &Status) -> String {
    let mode = &status.mode;
    let source = match mode.source {
        ModeSource::Configuration => "the configuration",
        ModeSource::CommandLine => "run --mode",
        ModeSource::KernelCommandLine => "the kernel's command line",
        ModeSource::Control => "shmguard mode",
    };
    let mut how = format!("{}, set by {source}", mode.current);
    if let Some(until) = mode.until {
        how.push_str(&format!(", until {}", moment(until)));
    }
    if let Some(then) = mode.then {
        how.push_str(&format!(", then {then}"));
    }
    let process = format!(
        "{}, version {}, up {} since {}",
        status.pid,
        plain(&status.version),
        span(status.uptime_seconds),
        moment(status.started)
    );
    let latency = &status.answer_latency;
    let answers = if latency.count == 0 {
        "none yet".to_owned()
    } else {
        format!(
            "half within {}, 99 % within {}, slowest {}",
            microseconds(latency.p50_us),
            microseconds(latency.p99_us),
            microseconds(latency.max_us)
        )
    };
    let refused =
        status.scheduling.refused.as_deref().map(|why| format!(" ({})", plain(why))).unwrap_or_default();
    let evidence = &status.evidence;
    table(
        "  ",
        &[
            row(["mode", &how]),
            row(["process", &process]),
            row(["answers", &answers]),
            row(["scheduling", &format!("{}{refused}", plain(&status.scheduling.in_force))]),
            row([
                "evidence",
                &format!(
                    "{} of {} waiting, {} in full, {} cut short",
                    evidence.queued, evidence.capacity, evidence.full, evidence.cut_short
                ),
            ]),
        ],
    )
}

fn marks(status: &Status) -> String {
    let rows: Vec<_> = status
        .marks
        .iter()
        .map(|mark| {
            let kind = match mark.kind {
                MarkKind::Filesystem => "whole filesystem",
                MarkKind::Mount => "this mount",
            };
            let options: Vec<_> = [(mark.noexec, "noexec"), (mark.nosuid, "nosuid")]
                .into_iter()
                .filter_map(|(on, name)| on.then_some(name))
                .collect();
            row([
                &plain(&mark.path),
                &plain(&mark.filesystem),
                &plain(&mark.device),
                kind,
                &options.join(","),
                &format!("since {}", moment(mark.since)),
                &plain(&mark.reason),
            ])
        })
        .collect();
    table("  ", &rows)
}

fn left_out(status: &Status) -> String {
    let line = |left: &LeftOut| {
        let remedy =
            if left.remedy.is_empty() { String::new() } else { format!("-> {}", plain(&left.remedy)) };
        row([&plain(&left.directory), &plain(&left.reason), &remedy])
    };
    table("  ", &status.left_out.iter().map(line).collect::<Vec<_>>())
}

fn policy(status: &Status) -> String {
    let policy = &status.policy;
    let mut text = format!(
        "  generation {}, sha256 {}, read {}\n",
        policy.generation,
        plain(&policy.hash),
        moment(policy.loaded)
    );
    if let Some(failed) = &policy.failed_reload {
        text.push_str(&format!("  a reload failed {}: {}\n", moment(failed.at), plain(&failed.message)));
    }
    let rows: Vec<_> =
        policy.files.iter().map(|file| row([&plain(&file.path), &plain(&file.sha256)])).collect();
    text.push_str(&table("  ", &rows));
    text
}

fn rules(status: &Status) -> String {
    let rows: Vec<_> = status
        .rules
        .iter()
        .map(|rule| {
            let mode = rule.mode.map(|mode| format!("{mode} only")).unwrap_or_default();
            let expires = match (rule.expires, rule.expired) {
                (Some(at), true) => format!("expired {}", moment(at)),
                (Some(at), false) => format!("until {}", moment(at)),
                (None, _) => String::new(),
            };
            row([
                &plain(&rule.id),
                &rule.effect.to_string(),
                &rule.hits.to_string(),
                "matches",
                &mode,
                &expires,
            ])
        })
        .collect();
    table("  ", &rows)
}

fn counters(status: &Status) -> String {
    let counters = &status.counters;
    let rows: Vec<_> = [
        ("attempts", counters.attempts, ""),
        ("denied", counters.denied, ""),
        ("would be denied", counters.would_deny, "allowed in audit mode only"),
        ("allowed", counters.allowed, ""),
        ("excepted", counters.excepted, "allowed by a rule"),
        ("no match", counters.no_match, "no rule applies"),
        ("unknown", counters.unknown, "decided by on_unknown"),
        ("outside", counters.outside, "not in a watched directory, unrecorded"),
        ("take-overs", counters.take_overs, "the guard was replaced while execs could wait"),
        ("reliefs", counters.reliefs, "a second thread read while the first was held up"),
        ("queue overflows", counters.queue_overflows, ""),
        ("execs looked up", counters.execs, "told by the kernel after the fact"),
        ("execs ended", counters.execs_gone, "before anybody could look"),
        ("ran unseen", counters.unseen, "without an event"),
        ("opens", counters.opens, "looked at for loads and interpreters"),
        ("unknown opens", counters.opens_unknown, "nobody found out in time what they were for"),
    ]
    .into_iter()
    // What is not looked at, and what hardly ever happens, is not told.
    .filter(|(name, count, _)| {
        *count > 0
            || !(name.ends_with("opens")
                || name.contains("execs")
                || ["ran unseen", "reliefs"].contains(name))
    })
    .map(|(name, count, meaning)| row([name, &count.to_string(), meaning]))
    .collect();
    table("  ", &rows)
}

fn failures(status: &Status) -> String {
    let rows: Vec<_> = status
        .counters
        .failures
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| row([&plain(name), &count.to_string()]))
        .collect();
    table("  ", &rows)
}

fn sinks(status: &Status) -> String {
    let rows: Vec<_> = status
        .sinks
        .iter()
        .map(|sink| {
            let state = match sink.state {
                SinkState::Working => "works",
                SinkState::Failing => "FAILS",
                SinkState::Off => "off",
            };
            let error =
                sink.last_error.as_deref().map(|error| format!("last error: {error}")).unwrap_or_default();
            row([
                &plain(&sink.name),
                state,
                &sink.written.to_string(),
                "written",
                &sink.lost.to_string(),
                "lost",
                &plain(&sink.target),
                &plain(&error),
            ])
        })
        .collect();
    table("  ", &rows)
}

fn kernel(status: &Status) -> String {
    let names = |present: bool| {
        let names: Vec<_> = status
            .kernel
            .features
            .iter()
            .filter(|(_, is_there)| **is_there == present)
            .map(|(name, _)| plain(name))
            .collect();
        names.join(", ")
    };
    let rows: Vec<_> =
        [("release", plain(&status.kernel.release)), ("has", names(true)), ("has not", names(false))]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| row([name, &value]))
            .collect();
    table("  ", &rows)
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests;
