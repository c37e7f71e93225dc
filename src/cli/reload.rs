//! `shmguard reload`: read policy and configuration again.

use std::io::Write;
use std::time::Duration;

use super::exit;
use super::guard::{self, Socket};
use super::words::{plain_lines, print};
use crate::control::protocol::{Reply, Request};

/// Flags of `reload`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 done; 69 no guard runs; 77 not permitted; 78 there are mistakes, and nothing has changed.

Examples:
  shmguard policy check && shmguard reload")]
pub struct Args {
    #[command(flatten)]
    socket: Socket,
}

/// Asks the guard and prints. The exit status of the command.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    // Marking many filesystems and reading many rules may take its time.
    match guard::ask(&args.socket, &Request::Reload, Duration::from_secs(30), exit::CONFIG, err) {
        Ok(Reply::Done { message }) => {
            print(out, &format!("{}\n", plain_lines(&message))).err().unwrap_or_default()
        }
        Ok(Reply::Status { .. } | Reply::Error(_)) => guard::mismatch(err),
        Err(status) => status,
    }
}
