//! Reads a log with its older generations, while a guard may go on writing and rotating it.

use super::verify::{Verdict, Verifier};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The open files of a log, the oldest first.
#[derive(Debug)]
pub struct Generations {
    files: Vec<(PathBuf, File)>,
}

impl Generations {
    /// Opens the log at `path`, and PATH.1, PATH.2 and so on.
    ///
    /// # Errors
    /// When a file that is there cannot be opened, or when there is none at all.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut files: Vec<(PathBuf, File)> = Vec::new();
        let mut seen = Vec::new();
        let mut holes = 0;
        // The newest first: where the guard rotates meanwhile, a file turns up twice (and is passed over) instead of not
        // at all.
        for number in 0.. {
            let path = generation(path, number);
            match File::open(&path) {
                Ok(file) => {
                    holes = 0;
                    let metadata = file.metadata()?;
                    let identity = (metadata.dev(), metadata.ino());
                    if !seen.contains(&identity) {
                        seen.push(identity);
                        files.push((path, file));
                    }
                }
                // A crash between two renames leaves a hole.
                Err(error) if error.kind() == ErrorKind::NotFound && holes < 2 => holes += 1,
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        if files.is_empty() {
            return Err(ErrorKind::NotFound.into());
        }
        files.reverse();
        Ok(Self { files })
    }

    /// Calls `each` with every line (and its newline, where it has one) of every file, with the file's path and the
    /// line's number from 1.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn each_line(self, each: &mut dyn FnMut(&Path, u64, &[u8])) -> io::Result<()> {
        let mut line = Vec::new();
        for (path, file) in self.files {
            let mut reader = BufReader::with_capacity(64 << 10, file);
            for number in 1.. {
                line.clear();
                if reader.read_until(b'\n', &mut line)? == 0 {
                    break;
                }
                each(&path, number, &line);
            }
        }
        Ok(())
    }

    /// Proves the log whole, or says what is wrong.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn verify(self) -> io::Result<Verdict> {
        let mut verifier = Verifier::new();
        self.each_line(&mut |path, number, line| verifier.line(&path.to_string_lossy(), number, line))?;
        Ok(verifier.verdict())
    }
}

fn generation(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    if number > 0 {
        name.push(format!(".{number}"));
    }
    PathBuf::from(name)
}
