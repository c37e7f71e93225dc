//! Reads the operator's files: configuration, policy, users. The rooms that understand them open nothing.
//!
//! `run` is strict about who owns them ([`Ownership::Checked`]): a rule that others can write is not a rule.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::stat;

use crate::event::{Device, FileFacts, Gid, Texts, Uid, Users};
use crate::policy::config::{self, Config};
use crate::policy::{self, Generation, Problem, Source};
use crate::watch::{links, plan};

/// Whether files must belong to root and be writable by nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// They must, and so must the directories that hold them.
    Checked,
    /// Anybody's will do: nothing is enforced by what is read.
    Unchecked,
}

/// A file's text and where it came from.
#[derive(Clone, Debug)]
pub struct Text {
    /// The file.
    pub file: PathBuf,
    /// What is in it.
    pub text: String,
}

/// The configuration at `path`, which was named and must exist; with `None` the one at the usual place, if it exists.
///
/// # Errors
/// Every mistake in it.
pub fn config(path: Option<&Path>, ownership: Ownership) -> Result<(Config, Option<PathBuf>), Vec<Problem>> {
    let usual = Path::new(config::DEFAULT_PATH);
    let path = match path {
        Some(path) => path,
        None if usual.exists() => usual,
        None => return Ok((Config::without_file(), None)),
    };
    let text = read(path, ownership).map_err(|problem| vec![problem])?;
    Ok((config::parse(Some(path), &text)?, Some(path.to_path_buf())))
}

/// The policy that the configuration names.
///
/// # Errors
/// Every mistake in it.
pub fn policy(config: &Config, ownership: Ownership) -> Result<Generation, Vec<Problem>> {
    let texts = texts(&config.policy, ownership)?;
    let sources: Vec<_> =
        texts.iter().map(|text| Source { file: Some(&text.file), text: &text.text }).collect();
    policy::compile(&sources, config.builtin)
}

/// The policy files behind files and directories: of a directory its `*.toml`, by name. The usual directory may be
/// missing; a path that somebody named may not.
///
/// # Errors
/// Every path that cannot be read.
pub fn texts(paths: &[PathBuf], ownership: Ownership) -> Result<Vec<Text>, Vec<Problem>> {
    let mut texts = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        match files(path, ownership) {
            Ok(files) => {
                for file in files {
                    match read(&file, ownership) {
                        Ok(text) => texts.push(Text { file, text }),
                        Err(problem) => problems.push(problem),
                    }
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(texts) } else { Err(problems) }
}

/// How a path is written, and whether it is watched.
#[derive(Clone, Debug)]
pub struct Spellings {
    /// All its names, as rules see them; the kernel's own first.
    pub names: Texts,
    /// It lies in a watched directory.
    pub watched: bool,
}

/// The names of the file to which a path leads on this host; it need not exist. A path that ends in `/` is a directory, and
/// so are its names.
#[must_use]
pub fn spellings(path: &Path, config: &Config) -> Spellings {
    let directories = links::resolve(&config.watch.directories);
    let given = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let real = links::leads_to(&given);
    let watched = directories.watched.iter().any(|directory| real.starts_with(&directory.path));
    let mut names = plan::spellings(real.as_os_str().as_bytes(), &directories.links);
    if path.as_os_str().as_bytes().ends_with(b"/") {
        names = names.iter().map(|name| [name, b"/"].concat()).collect();
    }
    Spellings { names, watched }
}

/// What the file system says of a file, with links followed; `None` where there is no file.
#[must_use]
pub fn file(path: &Path) -> Option<FileFacts> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let part = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let number =
        |number: i64, nanoseconds: i64| number.saturating_mul(1_000_000_000).saturating_add(nanoseconds);
    Some(FileFacts {
        device: Device { major: part(stat::major(metadata.dev())), minor: part(stat::minor(metadata.dev())) },
        inode: metadata.ino(),
        mode: metadata.mode(),
        uid: Uid(metadata.uid()),
        gid: Gid(metadata.gid()),
        size: metadata.size(),
        links: u32::try_from(metadata.nlink()).unwrap_or(u32::MAX),
        modified: number(metadata.mtime(), metadata.mtime_nsec()),
        changed: number(metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// The names of users and groups; a file that is missing names nobody.
#[must_use]
pub fn users() -> Users {
    let read = |path| fs::read(path).unwrap_or_default();
    Users::parse(&read("/etc/passwd"), &read("/etc/group"))
}

const USUAL_POLICY: &str = "/etc/shmguard/policy.d";

fn files(path: &Path, ownership: Ownership) -> Result<Vec<PathBuf>, Problem> {
    let cannot = |error: &io::Error| Problem::of_file(path, format!("cannot be read: {error}"));
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound && path == Path::new(USUAL_POLICY) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(cannot(&error)),
    };
    if !metadata.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    check_owner(path, ownership)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| cannot(&error))? {
        let file = entry.map_err(|error| cannot(&error))?.path();
        if file.extension().is_some_and(|extension| extension == "toml") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The longest text that is read: far above any policy, far below our memory.
const LONGEST: u64 = 16 * 1024 * 1024;

pub(super) fn read(path: &Path, ownership: Ownership) -> Result<String, Problem> {
    let cannot = |error: &io::Error| Problem::of_file(path, format!("cannot be read: {error}"));
    let metadata = fs::metadata(path).map_err(|error| cannot(&error))?;
    if !metadata.is_file() {
        return Err(Problem::of_file(path, "is not a regular file"));
    }
    if metadata.len() > LONGEST {
        return Err(Problem::of_file(
            path,
            format!("is {} bytes long; at most {LONGEST} are read", metadata.len()),
        ));
    }
    check_owner(path, ownership)?;
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        check_owner(directory, ownership)?;
    }
    let bytes = fs::read(path).map_err(|error| cannot(&error))?;
    String::from_utf8(bytes).map_err(|error| {
        let text = String::from_utf8_lossy(error.as_bytes());
        let at = error.utf8_error().valid_up_to();
        Problem::at(Some(path), &text, at..at + 1, "is not UTF-8 here").help("save the file as UTF-8")
    })
}

fn check_owner(path: &Path, ownership: Ownership) -> Result<(), Problem> {
    if ownership == Ownership::Unchecked {
        return Ok(());
    }
    let metadata =
        fs::metadata(path).map_err(|error| Problem::of_file(path, format!("cannot be read: {error}")))?;
    let shown = path.display();
    if metadata.uid() != 0 {
        let message = format!("belongs to uid {}; whoever owns it owns the rules", metadata.uid());
        return Err(Problem::of_file(path, message).help(format!("chown root {shown}")));
    }
    // A sticky directory that others may write to (/tmp) is refused too: others can put files into it.
    if metadata.mode() & 0o022 != 0 {
        let message = format!("is writable by others (mode {:04o})", metadata.mode() & 0o7777);
        return Err(Problem::of_file(path, message).help(format!("chmod go-w {shown}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_gives_its_toml_files_by_name() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["20-b.toml", "10-a.toml", "README", "30-c.toml.bak"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        let texts = texts(&[directory.path().to_path_buf()], Ownership::Unchecked).unwrap();
        assert_eq!(
            texts.iter().map(|text| text.text.as_str()).collect::<Vec<_>>(),
            ["10-a.toml", "20-b.toml"]
        );
    }

    #[test]
    fn a_named_path_that_is_missing_is_told_and_so_is_each_other() {
        let missing = [PathBuf::from("/nonexistent/a"), PathBuf::from("/nonexistent/b")];
        assert_eq!(texts(&missing, Ownership::Unchecked).unwrap_err().len(), 2);
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_refused_with_their_place() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.toml");
        fs::write(&file, b"a = 1\nb = '\xff'\n").unwrap();
        let problem = read(&file, Ownership::Unchecked).unwrap_err();
        assert_eq!(problem.place.map(|place| (place.line, place.column)), Some((2, 6)));
    }

    #[test]
    fn a_file_or_directory_that_others_can_write_is_refused_by_run_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.toml");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(read(&file, Ownership::Unchecked).is_ok());
        let problem = read(&file, Ownership::Checked).unwrap_err();
        assert!(
            problem.to_string().contains("writable by others")
                || problem.to_string().contains("belongs to uid")
        );
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(read(&file, Ownership::Checked).is_err());
    }
}
