//! `shmguard policy test`.

use crate::cli::effective::{self, Which, tell};
use crate::cli::exit;
use crate::cli::words::{plain, print};
use crate::decide::try_case;
use crate::event::Timestamp;
use crate::policy::{Generation, cases};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Run cases: attempts with the decision that must come of them
///
/// A case file names the policy that it is about; one that names none is about the policy that the guard would read.
/// shmguard-rules(5) says how cases are written.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 all passed; 1 some failed; 78 mistakes in a case file or a policy.

Examples:
  shmguard policy test cases/shared-memory.toml
  shmguard policy test --policy my.toml my-cases.toml")]
pub(super) struct Args {
    /// Case files, or directories of *.toml
    #[arg(required = true, value_name = "CASES")]
    cases: Vec<PathBuf>,
    /// Try the cases on exactly these policy files, whatever they name
    #[arg(long, value_name = "FILE", num_args = 1)]
    policy: Vec<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// Print failed cases alone
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> Result<(), u8> {
    let now = now();
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for text in effective::texts(&args.cases, err)? {
        let cases = cases::parse(Some(&text.file), &text.text).map_err(|problems| tell(&problems, err))?;
        let generation = policy(args, &text.file, &cases, err)?;
        for case in &cases.cases {
            let place = format!("{}:{}", text.file.display(), case.line);
            match try_case(&generation, now, case) {
                Ok(()) => {
                    passed += 1;
                    if !args.quiet {
                        print(out, &format!("ok      {}\n", plain(&case.name)))?;
                    }
                }
                Err(wrong) => {
                    failed += 1;
                    print(out, &format!("FAILED  {}\n        {place}: {wrong}\n", plain(&case.name)))?;
                }
            }
        }
    }
    print(out, &format!("{passed} passed, {failed} failed\n"))?;
    if failed == 0 { Ok(()) } else { Err(exit::NO) }
}

fn policy(args: &Args, file: &Path, cases: &cases::Cases, err: &mut dyn Write) -> Result<Generation, u8> {
    if !args.policy.is_empty() {
        return effective::exactly(&args.policy, false, err);
    }
    let Some(named) = &cases.policy else {
        let config = effective::config(&args.which, err)?;
        return effective::configured(&config, err);
    };
    let here = file.parent().unwrap_or(Path::new(""));
    let files: Vec<_> = named.iter().map(|name| here.join(name)).collect();
    effective::exactly(&files, cases.builtin, err)
}

/// Rules that have ended by now are not tried.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
