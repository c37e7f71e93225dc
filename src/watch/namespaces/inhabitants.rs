//! Who is in a mount namespace: the tasks through which it can be looked into.
//!
//! Owns the search through /proc. Mostly the first thread of some process is in it, and one link of each process tells;
//! but a thread can be in a namespace of its own, also where the first one has ended already. Threads are many and each
//! of them costs as much as a process, so they are searched only for a namespace in which no process was found, only
//! where a process has several, and a bounded number at a time. Called by the scan of namespaces alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The tasks of a search, of each mount namespace (by inode number) a few, the oldest first.
pub(super) type Tasks = BTreeMap<u64, Vec<u32>>;

/// A few processes of each of these mount namespaces.
pub(super) fn processes(wanted: &BTreeSet<u64>) -> io::Result<Tasks> {
    let mut tasks = Tasks::new();
    for pid in pids()? {
        note(&mut tasks, wanted, pid);
    }
    Ok(tasks)
}

/// The search among threads; it goes on where the last one stopped.
#[derive(Debug, Default)]
pub(super) struct Threads {
    /// The process to go on with.
    from: u32,
}

impl Threads {
    /// Adds a few threads of each of these mount namespaces. False: not all were looked at, the rest is next.
    pub(super) fn search(&mut self, wanted: &BTreeSet<u64>, tasks: &mut Tasks) -> io::Result<bool> {
        let mut left = THREADS;
        let from = std::mem::take(&mut self.from);
        for pid in pids()?.into_iter().filter(|pid| *pid >= from) {
            let place = PathBuf::from(format!("/proc/{pid}/task"));
            if !has_several(&place) {
                continue;
            }
            if left == 0 {
                self.from = pid;
                return Ok(false);
            }
            for thread in numbers(&place).unwrap_or_default().into_iter().take(left) {
                left -= 1;
                note(tasks, wanted, thread);
            }
        }
        Ok(true)
    }
}

fn note(tasks: &mut Tasks, wanted: &BTreeSet<u64>, id: u32) {
    if let Some(inode) = namespace_of(&namespace_file(id)).filter(|inode| wanted.contains(inode)) {
        let found = tasks.entry(inode).or_default();
        if found.len() < TASKS {
            found.push(id);
        }
    }
}

/// The kernel counts a process's threads as links of this directory, beside the two that every such one has; a first
/// thread that has ended is one of them until the last has.
fn has_several(place: &Path) -> bool {
    std::fs::metadata(place).is_ok_and(|found| found.nlink() > 3)
}

/// The ids of the processes there are, in ascending order.
pub(super) fn pids() -> io::Result<Vec<u32>> {
    numbers(Path::new("/proc"))
}

fn numbers(directory: &Path) -> io::Result<Vec<u32>> {
    let names =
        std::fs::read_dir(directory)?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut numbers: Vec<u32> = names.collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The file of a task's mount namespace: a thread's id does as well as a process's.
pub(super) fn namespace_file(id: u32) -> PathBuf {
    format!("/proc/{id}/ns/mnt").into()
}

/// `mnt:[4026531841]`
pub(super) fn namespace_of(file: &Path) -> Option<u64> {
    let text = std::fs::read_link(file).ok()?;
    text.to_str()?.strip_prefix("mnt:[")?.strip_suffix(']')?.parse().ok()
}

/// Through how many tasks a namespace is looked at: one of them can have another root directory.
const TASKS: usize = 4;
/// How many threads are looked at in one search.
const THREADS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test runs programs")]
    fn several_threads_show_in_the_links_of_their_directory() {
        let ours = PathBuf::from("/proc/self/task");
        let (hold, held) = channel::<()>();
        let more = std::thread::spawn(move || held.recv());
        assert!(has_several(&ours));
        drop(hold);
        let _ended = more.join();
        let mut alone = std::process::Command::new("sleep").arg("10").spawn().unwrap();
        assert!(!has_several(Path::new(&format!("/proc/{}/task", alone.id()))));
        alone.kill().unwrap();
        alone.wait().unwrap();
    }

    #[test]
    fn a_thread_is_found_where_its_process_is_searched() {
        let (tell, told) = channel();
        let (hold, held) = channel::<()>();
        let more = std::thread::spawn(move || {
            tell.send(()).unwrap();
            held.recv()
        });
        told.recv().unwrap();
        let ours = namespace_of(&namespace_file(std::process::id())).unwrap();
        let mut tasks = Tasks::new();
        // From here on, for other processes are of no interest, and may be many.
        let mut threads = Threads { from: std::process::id() };
        threads.search(&BTreeSet::from([ours]), &mut tasks).unwrap();
        assert!(tasks.get(&ours).is_some_and(|found| found.len() > 1), "{tasks:?}");
        drop(hold);
        let _ended = more.join();
    }
}
