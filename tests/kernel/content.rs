//! Rules on what a file holds: it cannot be replaced between the look and the exec.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

use crate::bed::{Bed, Exec, Guard, bed, exec};
use crate::elf;

const RUNS: &str = "/dev/shm/tool";

/// What is let run is the one program, whoever replaces it when.
#[test]
fn content_that_is_replaced_while_it_is_looked_at_never_runs() {
    bed(|bed| {
        write(Path::new(RUNS), &elf::program());
        let (replaced, _) = replace_and_execute(300);
        assert!(replaced > 0, "the file cannot be replaced between two execs without a guard either");

        let guard = only_the_program(bed);
        write(Path::new(RUNS), &elf::program());
        let (replaced, ran) = replace_and_execute(1500);
        assert_eq!(replaced, 0, "the other content ran, beside {ran} times the known one");
        assert!(ran > 0, "what is known never ran: {:#?}", guard.attempts().last());
    });
}

/// Somebody has it open for writing from before the exec: its content is nothing to rely on.
#[test]
fn a_file_that_is_open_for_writing_is_not_let_run_for_its_content() {
    bed(|bed| {
        write(Path::new(RUNS), &elf::program());
        let guard = only_the_program(bed);
        assert_eq!(exec(RUNS), Exec::Ran(0));
        assert_eq!(guard.only_attempt()["shmguard"]["rule"], "known");

        let writer = fs::OpenOptions::new().write(true).open(RUNS).unwrap();
        assert_eq!(exec(RUNS), Exec::Denied);
        drop(writer);
        // The lease of the attempt before may still be there for a moment; whoever writes waits for its end.
        write(Path::new(RUNS), &elf::another_program());
        assert_eq!(exec(RUNS), Exec::Denied);
        write(Path::new(RUNS), &elf::program());
        assert_eq!(exec(RUNS), Exec::Ran(0));
    });
}

/// A guard that lets root run the one program here, and nothing else.
fn only_the_program(bed: &Bed) -> Guard {
    let hash: String = Sha256::digest(elf::program()).iter().map(|byte| format!("{byte:02x}")).collect();
    let policy = bed.path("policy.toml");
    fs::write(
        &policy,
        format!("[[rule]]\nid = \"known\"\neffect = \"allow\"\nwhen = 'process.hash.sha256 == \"{hash}\"'\n"),
    )
    .unwrap();
    bed.guard(&format!("mode = \"prevent\"\npolicy = [\"{}\"]\n", policy.display()))
}

/// Executes `tries` times while another thread puts one content in the place of the other. How often the other program
/// ran, and how often the known one.
fn replace_and_execute(tries: usize) -> (usize, usize) {
    let done = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let contents = [elf::another_program(), elf::program()];
            for content in contents.iter().cycle() {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                // O_NONBLOCK: one that waited for the end of a lease would come too late for this exec.
                let mut options = fs::OpenOptions::new();
                if let Ok(file) = options.write(true).custom_flags(libc::O_NONBLOCK).open(RUNS) {
                    file.write_all_at(content, 0).unwrap();
                }
                std::thread::yield_now();
            }
        }
    });
    let mut ended = (0, 0);
    for _ in 0..tries {
        match exec(RUNS) {
            Exec::Ran(7) => ended.0 += 1,
            Exec::Ran(0) => ended.1 += 1,
            Exec::Denied | Exec::Failed(libc::ETXTBSY) => {}
            other => panic!("{other:?}"),
        }
    }
    done.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    ended
}

fn write(path: &Path, content: &[u8]) {
    fs::File::create(path).unwrap().write_all(content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
