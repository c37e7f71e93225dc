//! Runs reference/caller.c on a stage and reads what it says.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::machine::wait_for_calm;
use crate::responder::Contestant;
use crate::stage::Base;

/// How a program is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// One execve that fails.
    Direct,
    /// vfork, execve, wait.
    Vfork,
    /// open and close.
    Open,
}

/// Who calls what, and what is to come of it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub how: How,
    pub uid: u32,
    /// The errno; 0 for success.
    pub expect: i32,
    pub path: &'a Path,
}

/// What a herd did.
#[derive(Clone, Copy, Debug)]
pub struct Herd {
    pub execs: u64,
    pub time: Duration,
}

/// What a storm did.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    pub refused: u64,
    pub otherwise: u64,
    pub time: Duration,
}

/// A process that disturbs. Killed when it is dropped.
pub struct Neighbour(Child);

impl How {
    fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Vfork => "vfork",
            Self::Open => "open",
        }
    }
}

/// Calls `count` times, after `warm` times that are not counted; microseconds.
pub fn latency(base: &Base, on: &Contestant, call: Call<'_>, warm: usize, count: usize) -> Vec<f64> {
    latency_of(base, on, "caller", call, warm, count)
}

/// The same by another copy of the caller.
pub fn latency_of(
    base: &Base,
    on: &Contestant,
    program: &str,
    call: Call<'_>,
    warm: usize,
    count: usize,
) -> Vec<f64> {
    on.stage.enter();
    let Call { how, uid, expect, path } = call;
    let numbers = [uid.to_string(), expect.to_string(), warm.to_string(), count.to_string()];
    wait_for_others();
    let mut command = called(base, program, "latency");
    command.arg(how.word()).args(numbers).arg(path);
    let output = run(command, on);
    let words = output.chunks_exact(4).map(|word| u32::from_ne_bytes(word.try_into().expect("four bytes")));
    words.map(|time| f64::from(time) / 1000.0).collect()
}

/// `processes` callers at once, for a time.
pub fn herd(base: &Base, on: &Contestant, call: Call<'_>, processes: usize, time: Duration) -> Herd {
    on.stage.enter();
    let Call { how, uid, expect, path } = call;
    let numbers = [uid.to_string(), expect.to_string(), time.as_millis().to_string(), processes.to_string()];
    wait_for_others();
    let mut command = caller(base, "herd");
    command.arg(how.word()).args(numbers).arg(path);
    let numbers = numbers_in(&run(command, on));
    Herd { execs: numbers[0], time: Duration::from_nanos(numbers[1]) }
}

/// `processes` callers of `count` names each.
pub fn storm(base: &Base, on: &Contestant, processes: usize, count: usize, directory: &Path) -> Storm {
    on.stage.enter();
    let numbers = ["0".to_owned(), on.kind.denial().to_string(), processes.to_string(), count.to_string()];
    let mut command = caller(base, "storm");
    command.args(numbers).arg(directory);
    let numbers = numbers_in(&run(command, on));
    Storm { refused: numbers[0], otherwise: numbers[1], time: Duration::from_nanos(numbers[2]) }
}

/// Starts callers that go on until they are dropped.
pub fn neighbour(base: &Base, on: &Contestant, call: Call<'_>, processes: usize) -> Neighbour {
    on.stage.enter();
    let Call { how, uid, expect, path } = call;
    let numbers = [uid.to_string(), expect.to_string(), "3600000".to_owned(), processes.to_string()];
    let mut command = caller(base, "herd");
    command.arg(how.word()).args(numbers).arg(path).stdout(Stdio::null());
    Neighbour::start(command)
}

/// Whether an exec of this program by ourselves, on the stage entered last, is let through.
pub fn runs(program: &Path) -> bool {
    match Command::new(program).stdin(Stdio::null()).status() {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{}: {error}", program.display());
            false
        }
    }
}

/// Burns one CPU until it is dropped.
pub fn hog(base: &Base) -> Neighbour {
    Neighbour::start(caller(base, "hog"))
}

impl Neighbour {
    fn start(mut command: Command) -> Self {
        NEIGHBOURS.fetch_add(1, Ordering::Relaxed);
        Self(command.spawn().expect("a neighbour"))
    }
}

/// How many disturb on purpose.
static NEIGHBOURS: AtomicUsize = AtomicUsize::new(0);

/// Unless somebody disturbs on purpose.
fn wait_for_others() {
    if NEIGHBOURS.load(Ordering::Relaxed) == 0 {
        wait_for_calm();
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        NEIGHBOURS.fetch_sub(1, Ordering::Relaxed);
        // Its children die with it (PR_SET_PDEATHSIG).
        let _killed = self.0.kill();
        let _status = self.0.wait();
    }
}

fn caller(base: &Base, mode: &str) -> Command {
    called(base, "caller", mode)
}

fn called(base: &Base, program: &str, mode: &str) -> Command {
    let mut command = Command::new(base.path("bin").join(program));
    command.arg(mode).stdin(Stdio::null());
    command
}

fn run(mut command: Command, on: &Contestant) -> Vec<u8> {
    let output = command.output().expect("the caller");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", on.name);
    output.stdout
}

fn numbers_in(text: &[u8]) -> Vec<u64> {
    String::from_utf8_lossy(text).split_whitespace().map(|word| word.parse().expect("a number")).collect()
}
