//! The generations of a log, as the commands that read it want them: from the oldest to the one being written.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::exit;

/// Why not every line was taken.
#[derive(Debug)]
pub(super) enum Ended {
    /// This file cannot be read.
    Read(PathBuf, io::Error),
    /// The output cannot be written, or nobody reads it any more.
    Written,
}

impl Ended {
    /// Says what cannot be read; gives the exit status. Of the output, `main` says it.
    pub(super) fn tell(&self, err: &mut dyn Write) -> u8 {
        let Self::Read(file, error) = self else { return exit::IO };
        // Where standard error is closed, the exit status still tells.
        let _written = writeln!(err, "shmguard: {} cannot be read: {error}", file.display());
        exit::NO_INPUT
    }
}

/// The files of the log at `path` that exist: `path.N` down to `path.1`, then `path`.
pub(super) fn generations(path: &Path) -> Vec<PathBuf> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    let mut older: Vec<_> = (1..).map(numbered).take_while(|file| file.exists()).collect();
    older.reverse();
    older.push(path.to_path_buf());
    older
}

/// Hands every line of every file to `take`, with the file, its number from 1, and its bytes without the newline; a last
/// line without a newline comes with `true`. One line is in memory at a time.
///
/// # Errors
/// The first file that can't be read, or what `take` could not write.
pub(super) fn lines(
    files: &[PathBuf],
    mut take: impl FnMut(&Path, u64, &[u8], bool) -> io::Result<()>,
) -> Result<(), Ended> {
    let mut line = Vec::new();
    for file in files {
        let of = |error| Ended::Read(file.clone(), error);
        let mut reader = BufReader::with_capacity(1 << 16, File::open(file).map_err(of)?);
        for number in 1.. {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(of)? == 0 {
                break;
            }
            let whole = line.strip_suffix(b"\n");
            take(file, number, whole.unwrap_or(&line), whole.is_none()).map_err(|_told| Ended::Written)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_come_from_the_oldest_and_lines_with_their_numbers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.ndjson");
        for (name, text) in
            [("events.ndjson.2", "a\nb\n"), ("events.ndjson.1", "c\n"), ("events.ndjson", "d\ne")]
        {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let mut seen = Vec::new();
        let take = |_: &Path, number, line: &[u8], torn| {
            seen.push((number, line.escape_ascii().to_string(), torn));
            Ok(())
        };
        lines(&generations(&path), take).unwrap();
        let wanted = [(1, "a", false), (2, "b", false), (1, "c", false), (1, "d", false), (2, "e", true)];
        assert_eq!(seen, wanted.map(|(number, line, torn)| (number, line.to_owned(), torn)));
    }
}
