//! The last policy that was good, kept for a start with a bad one (`on_bad_policy = "last-good"`).
//!
//! Kept as text, with the names of its files, and compiled again: a newer program may read it. Owned by root and readable
//! by nobody else, in the directory that the service manager gives (STATE_DIRECTORY) or /var/lib/shmguard.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::load::{self, Ownership, Text};
use crate::policy::config::Config;
use crate::policy::{Generation, Problem, Source, compile};

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    builtin: bool,
    texts: Vec<KeptText>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptText {
    file: PathBuf,
    text: String,
}

/// Keeps the texts that the configuration names, which have just been found good.
///
/// # Errors
/// They can't be written; the guard stands all the same.
pub(super) fn keep(config: &Config) -> io::Result<()> {
    let texts = load::texts(&config.policy, Ownership::Checked)
        .map_err(|_| io::Error::other("the policy changed while it was kept"))?;
    let texts = texts.into_iter().map(|Text { file, text }| KeptText { file, text }).collect();
    let bytes = serde_json::to_vec(&Kept { builtin: config.builtin, texts })?;
    let directory = directory();
    if !directory.exists() {
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
    }
    // Whole or not at all: a crash while writing must not cost the copy that was there.
    let new = directory.join("last-good.new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    io::Write::write_all(&mut file, &bytes)?;
    file.sync_all()?;
    fs::rename(new, directory.join(NAME))
}

/// The kept policy.
///
/// # Errors
/// There is none, or it is not what was kept.
pub(super) fn load() -> Result<Generation, Vec<Problem>> {
    let path = directory().join(NAME);
    let of = |message: String| vec![Problem::of_file(&path, message)];
    let text = load::read(&path, Ownership::Checked).map_err(|problem| vec![problem])?;
    let kept: Kept =
        serde_json::from_str(&text).map_err(|error| of(format!("is not what was kept: {error}")))?;
    let sources: Vec<_> =
        kept.texts.iter().map(|kept| Source { file: Some(&kept.file), text: &kept.text }).collect();
    compile(&sources, kept.builtin)
}

const NAME: &str = "last-good.json";

fn directory() -> PathBuf {
    // systemd separates several directories by colons; the unit asks for one.
    let given = std::env::var_os("STATE_DIRECTORY").filter(|given| Path::new(given).is_absolute());
    given.map_or_else(|| PathBuf::from("/var/lib/shmguard"), PathBuf::from)
}
