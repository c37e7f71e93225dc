//! Reading policy and configuration for the commands that enforce nothing, and telling what is wrong with them.
//!
//! Ownership of the files is not checked here: that is for `run` alone, because only there do they decide.

use super::exit;
use crate::daemon::load::{self, Ownership, Text};
use crate::policy::config::Config;
use crate::policy::{Generation, Problem, Source, compile};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Which policy a command is about.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Which {
    /// The configuration that names the policy [default: /etc/shmguard/shmguard.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// The configuration.
pub(super) fn config(which: &Which, err: &mut dyn Write) -> Result<Config, u8> {
    let read = load::config(which.config.as_deref(), Ownership::Unchecked);
    read.map(|(config, _)| config).map_err(|problems| tell(&problems, err))
}

/// The policy that the configuration names, with the embedded one behind it unless it is taken away.
pub(super) fn configured(config: &Config, err: &mut dyn Write) -> Result<Generation, u8> {
    load::policy(config, Ownership::Unchecked).map_err(|problems| tell(&problems, err))
}

/// Exactly these files (of a directory: its `*.toml` by name).
pub(super) fn exactly(files: &[PathBuf], builtin: bool, err: &mut dyn Write) -> Result<Generation, u8> {
    let texts = texts(files, err)?;
    of(&texts, builtin).map_err(|problems| tell(&problems, err))
}

/// The files' texts.
pub(super) fn texts(files: &[PathBuf], err: &mut dyn Write) -> Result<Vec<Text>, u8> {
    load::texts(files, Ownership::Unchecked).map_err(|problems| tell(&problems, err))
}

/// The generation that these texts make.
pub(super) fn of(texts: &[Text], builtin: bool) -> Result<Generation, Vec<Problem>> {
    let sources: Vec<_> =
        texts.iter().map(|text| Source { file: Some(&text.file), text: &text.text }).collect();
    compile(&sources, builtin)
}

/// One file's text.
pub(super) fn text(file: &Path, err: &mut dyn Write) -> Result<String, u8> {
    let texts = texts(std::slice::from_ref(&file.to_path_buf()), err)?;
    Ok(texts.into_iter().next().map(|text| text.text).unwrap_or_default())
}

/// Prints every problem; the exit status that says so.
pub(super) fn tell(problems: &[Problem], err: &mut dyn Write) -> u8 {
    for problem in problems {
        // A closed standard error cannot be told that it is closed.
        let _written = writeln!(err, "{problem}\n");
    }
    let _written = match problems.len() {
        1 => writeln!(err, "shmguard: 1 mistake"),
        count => writeln!(err, "shmguard: {count} mistakes"),
    };
    exit::CONFIG
}
