//! A filesystem of files whose content never comes (fuse(4)): whoever reads one, or touches a page of one, waits.
//!
//! Speaks the protocol of /dev/fuse itself, as much of it as such files need. Dropping it ends all waiting with an error.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// The mounted filesystem.
pub struct Fuse {
    at: PathBuf,
    /// The connection; closed, it ends.
    connection: File,
}

const NEVER: &str = "never";
const ROOT: u64 = 1;
const HEADER: usize = 40;
/// Reads past the page cache: mapping such a file again waits for pages that are being read, with the memory's lock held.
const DIRECT_IO: u32 = 1;

impl Fuse {
    /// Mounts one at `at`, a directory, and serves it from a thread.
    pub fn new(at: &Path) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let connection = OpenOptions::new().read(true).write(true).open("/dev/fuse").unwrap();
        let options =
            format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", connection.as_raw_fd());
        mount(Some("test"), at, Some("fuse"), MsFlags::MS_NODEV, Some(options.as_str())).unwrap();
        let serving = connection.try_clone().unwrap();
        std::thread::spawn(move || serve(serving));
        Self { at: at.to_path_buf(), connection }
    }

    /// A name that nobody gets past.
    pub fn never(&self) -> PathBuf {
        self.at.join(NEVER)
    }

    /// One of its files, by number. One that somebody waits for holds up who maps the same one.
    pub fn file(&self, number: u8) -> PathBuf {
        self.at.join(number.to_string())
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        // Forced: what waits is given up at once, and the thread's read ends.
        umount2(&self.at, MntFlags::MNT_FORCE).unwrap_or_default();
        umount2(&self.at, MntFlags::MNT_DETACH).unwrap_or_default();
        self.connection.flush().unwrap();
    }
}

/// Answers until the filesystem is gone.
fn serve(mut connection: File) {
    let mut request = vec![0; 1 << 17];
    while let Ok(length) = connection.read(&mut request) {
        let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
        let node = u64::from_ne_bytes(request[16..24].try_into().unwrap());
        let name = request[HEADER..length].strip_suffix(b"\0").unwrap_or_default();
        let reply = match word(4) {
            // LOOKUP: of this name, whether there is such a file is never said.
            1 if name == NEVER.as_bytes() => continue,
            // A file's name is a number, and so is its node.
            1 => match std::str::from_utf8(name).ok().and_then(|name| name.parse::<u8>().ok()) {
                Some(number) => {
                    let node = ROOT + 1 + u64::from(number);
                    Ok([longs(&[node, 0, 3600, 3600, 0]), attributes(node)].concat())
                }
                None => Err(libc::ENOENT),
            },
            // GETATTR
            3 => Ok([longs(&[3600, 0]), attributes(node)].concat()),
            // OPEN: a handle, and flags.
            14 => Ok(longs(&[0, u64::from(DIRECT_IO)])),
            // READ, FORGET, INTERRUPT, BATCH_FORGET: the first never comes, the others want no answer.
            15 | 2 | 36 | 42 => continue,
            // RELEASE, FLUSH
            18 | 25 => Ok(Vec::new()),
            // INIT: version 7.31, everything else as small as may be.
            26 => Ok([words(&[7, 31, 0, 0, 0, 4096]), vec![0; 40]].concat()),
            _ => Err(libc::ENOSYS),
        };
        let (error, body) = reply.map_or_else(|errno| (-errno, Vec::new()), |body| (0, body));
        let length = u32::try_from(16 + body.len()).unwrap();
        let head = [words(&[length, error.cast_unsigned()]), request[8..16].to_vec()].concat();
        // Whoever asked may be gone.
        drop(connection.write(&[head, body].concat()));
    }
}

/// struct fuse_attr.
fn attributes(node: u64) -> Vec<u8> {
    let mode = if node == ROOT { 0o040_755 } else { 0o100_644 };
    let (size, blocks) = (1 << 20, 8);
    [longs(&[node, size, blocks, 0, 0, 0]), words(&[0, 0, 0, mode, 1, 0, 0, 0, 4096, 0])].concat()
}

fn longs(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}
