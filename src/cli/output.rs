//! Standard output, with what became of it: one place says what every command does when it cannot be written.
//!
//! A reader that has seen enough (`| head`) is no failure, and nothing is said. Everything else is told on standard error,
//! whatever the command made of it. Used by [`super::main`] alone; commands see a `Write`.

use std::io::{self, ErrorKind, Write};

use super::exit;

/// A stream that remembers its first error.
#[derive(Debug)]
pub(super) struct Output<W> {
    to: W,
    failed: Option<io::Error>,
}

impl<W: Write> Output<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, failed: None }
    }

    /// Writes out what is left, tells of an error, and gives the exit status of a command that ended with `status`.
    pub(super) fn end(mut self, status: u8, err: &mut dyn Write) -> u8 {
        // Remembered below, like any other.
        let _flushed = self.flush();
        match self.failed {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                // Where standard error is closed, the exit status still tells.
                let _written = writeln!(err, "shmguard: standard output cannot be written: {error}");
                exit::IO
            }
            Some(_) if status == exit::IO => exit::DONE,
            Some(_) | None => status,
        }
    }

    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && error.kind() != ErrorKind::Interrupted
            && self.failed.is_none()
        {
            let copy = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
            self.failed = Some(copy);
        }
        result
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.to.flush();
        self.note(flushed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(i32);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(self.0))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The status and the words after a write that fails so, of a command that then ends with this status.
    fn end(errno: i32, status: u8) -> (u8, String) {
        let mut out = Output::new(Broken(errno));
        assert!(out.write_all(b"x").is_err());
        let mut err = Vec::new();
        let status = out.end(status, &mut err);
        (status, String::from_utf8(err).unwrap())
    }

    #[test]
    fn what_cannot_be_written_is_told_and_a_reader_that_has_gone_is_not() {
        let told = "shmguard: standard output cannot be written: No space left on device (os error 28)\n";
        for status in [exit::DONE, exit::NO, exit::IO, exit::NO_INPUT] {
            assert_eq!(end(nix::libc::ENOSPC, status), (exit::IO, told.to_owned()));
        }
        for (status, seen) in [(exit::DONE, exit::DONE), (exit::NO, exit::NO), (exit::IO, exit::DONE)] {
            assert_eq!(end(nix::libc::EPIPE, status), (seen, String::new()));
        }
    }
}
