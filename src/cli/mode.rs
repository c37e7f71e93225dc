//! `shmguard mode`: what is the mode, or change it.

use std::io::Write;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::guard::{self, Socket};
use super::words::{moment, plain_lines, print};
use crate::control::protocol::{Reply, Request};
use crate::event::Mode;
use crate::policy::config;

/// Flags of `mode`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 done; 1 the guard could not; 69 no guard runs; 77 not permitted.

Examples:
  shmguard mode
  shmguard mode prevent
  shmguard mode audit --for 30m      # a maintenance window")]
pub struct Args {
    /// The new mode
    #[arg(value_parser = modes())]
    mode: Option<Mode>,
    /// How long it holds, such as 90s, 30m or 2h; at most a year; afterwards the mode of the configuration
    #[arg(long = "for", value_name = "TIME", requires = "mode", value_parser = span)]
    span: Option<Duration>,
    #[command(flatten)]
    socket: Socket,
}

/// Asks the guard and prints. The exit status of the command.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let request = match args.mode {
        None => Request::Status,
        Some(mode) => Request::Mode { mode, for_seconds: args.span.map(|span| span.as_secs()) },
    };
    let text = match guard::ask(&args.socket, &request, Duration::from_secs(5), 1, err) {
        Ok(Reply::Status { status }) if args.mode.is_none() => {
            let until =
                status.mode.until.map(|until| format!(" until {}", moment(until))).unwrap_or_default();
            format!("{}{until}\n", status.mode.current)
        }
        Ok(Reply::Done { message }) if args.mode.is_some() => format!("{}\n", plain_lines(&message)),
        Ok(Reply::Status { .. } | Reply::Done { .. } | Reply::Error(_)) => return guard::mismatch(err),
        Err(status) => return status,
    };
    print(out, &text).err().unwrap_or_default()
}

/// The modes, as words that completions know too.
fn modes() -> impl TypedValueParser<Value = Mode> {
    PossibleValuesParser::new(["audit", "prevent"])
        .map(|word| if word == "prevent" { Mode::Prevent } else { Mode::Audit })
}

fn span(text: &str) -> Result<Duration, String> {
    let span = config::duration(text).map_err(|wrong| format!("{text:?} {wrong}"))?;
    if span < Duration::from_secs(1) {
        return Err(format!("{text:?} is shorter than a second"));
    }
    if span.as_secs() > Request::LONGEST {
        return Err(format!("{text:?} is longer than a year (366d): set `mode` in the configuration"));
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &[&str]) -> Result<Args, clap::Error> {
        Line::try_parse_from([&["mode"], line].concat()).map(|line| line.args)
    }

    #[test]
    fn a_mode_may_hold_for_a_time() {
        let args = parse(&["audit", "--for", "30m"]).unwrap();
        assert_eq!((args.mode, args.span), (Some(Mode::Audit), Some(Duration::from_mins(30))));
        assert_eq!(parse(&[]).unwrap().mode, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let lines: [&[&str]; 6] = [
            &["off"],
            &["--for", "1h"],
            &["audit", "--for", "0s"],
            &["audit", "--for", "30"],
            &["audit", "--for", "367d"],
            &["audit", "--for", "99999999999h"],
        ];
        for line in lines {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line:?}: {error}");
        }
    }
}
