//! Why a file is opened: by ld.so to map it, by an interpreter to run it, or for anything else.
//!
//! In two steps. [`Opener`] glances at every open, never waits and mostly finds nothing; it is for the thread that
//! reads events. What looks like a load or like an interpreter's program goes to [`Judge`], on a thread that may wait:
//! it reads the opener's mappings and command line, which its owner can hold up.
//!
//! *A load* is an open whose instruction pointer lies in the mapping of the process's loader: the one at AT_BASE, or
//! the program itself where that is a loader, under whatever name. Where the loader is the C library too (musl), every
//! open comes from there, and only the arguments or LD_PRELOAD can make sure.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, fstatfs};
use nix::sys::uio::pread;

use super::aside::Aside;
use super::parse::auxv::{self, Vector};
use super::parse::elf::{self, Headers, Piece};
use super::parse::maps;
use super::parse::syscall::{self, Call, Opens, Spot};
use super::proc::{Proc, cause};
use super::{IdentifyError, arguments, interpreters, walk};
use crate::event::{Action, Cause};
use crate::sys::statx::{self, Stat, Want};

/// Which purposes are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Loads.
    pub loads: bool,
    /// Files that interpreters run.
    pub programs: bool,
}

/// Glances at opens.
#[derive(Debug)]
pub struct Opener {
    proc: Arc<Proc>,
    images: Arc<Images>,
    /// /proc/TID/syscall of the threads that opened last, the last one first.
    kept: Vec<Kept>,
    text: Vec<u8>,
}

/// Finds out what an open that looks like a load or an interpreter's is for.
#[derive(Debug)]
pub struct Judge {
    proc: Arc<Proc>,
    images: Arc<Images>,
    aside: Aside,
}

/// What a glance shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// The file is opened to be written, executed or read.
    Ordinary,
    /// It could be for one of the wanted purposes.
    Suspect(Suspicion),
}

/// An open that deserves a closer look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    thread: i32,
    wanted: Wanted,
    /// The call comes from where the process's loader lies: hardly anything else can be there.
    strong: bool,
}

/// What an open is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Anything else.
    Ordinary,
    /// This, surely.
    Surely(Action),
    /// This, or something else: nothing tells the two apart.
    Perhaps(Action),
    /// The closer look failed.
    Unknown(Cause),
}

impl Suspicion {
    /// What the open is taken for where nobody can look closer, and whether it almost surely is that.
    #[must_use]
    pub fn first_sight(&self) -> (Action, bool) {
        (if self.wanted.loads { Action::Load } else { Action::Interpret }, self.strong)
    }
}

impl Opener {
    /// A pair that shares what it learns.
    ///
    /// # Errors
    /// /proc cannot be opened.
    pub fn with_judge() -> Result<(Self, Judge), IdentifyError> {
        let proc = Proc::open().map_err(|error| IdentifyError::Open { path: "/proc", error })?;
        let (proc, images) = (Arc::new(proc), Arc::default());
        let judge = Judge { proc: Arc::clone(&proc), images: Arc::clone(&images), aside: Aside::default() };
        Ok((Self { proc, images, kept: Vec::with_capacity(KEPT), text: Vec::with_capacity(4096) }, judge))
    }

    /// Looks at the open of `file` (the event's descriptor) in which `thread` waits. Does not block.
    ///
    /// A thread outside our pid namespace, and one that is gone, open nothing that we could look at.
    pub fn glance(&mut self, thread: i32, file: BorrowedFd<'_>, wanted: Wanted) -> Glance {
        if thread <= 0 {
            return Glance::Ordinary;
        }
        let call = match self.spot(thread) {
            Some(Spot::Call(call)) => call,
            Some(Spot::Outside) => Call { opens: Opens::Unknown, code: 0 },
            // It has not gone to sleep yet, or we are not let in: the judge has more patience.
            Some(Spot::Running) => return suspect(thread, wanted, false),
            None => return Glance::Ordinary,
        };
        if matches!(call.opens, Opens::ToExecute | Opens::ToWrite) {
            return Glance::Ordinary;
        }
        let whose = if wanted.loads { self.whose(thread, call, file) } else { Whose::Ordinary };
        let wanted = Wanted {
            loads: whose != Whose::Ordinary,
            programs: wanted.programs && self.is_interpreter(thread),
        };
        if wanted == Wanted::default() {
            Glance::Ordinary
        } else {
            suspect(thread, wanted, whose == Whose::Loader)
        }
    }

    /// Where the thread waits; `None` where it is gone.
    fn spot(&mut self, thread: i32) -> Option<Spot> {
        for _ in 0..TRIES {
            match self.read_spot(thread)? {
                // The event reaches us a moment before its thread has gone to sleep.
                Spot::Running => std::thread::sleep(PAUSE),
                spot @ (Spot::Outside | Spot::Call(_)) => return Some(spot),
            }
        }
        Some(Spot::Running)
    }

    fn read_spot(&mut self, thread: i32) -> Option<Spot> {
        if let Some(index) = self.kept.iter().position(|kept| kept.thread == thread) {
            if let Some(text) = self.kept.get(index).and_then(|kept| kept.read(&mut self.text)) {
                let spot = syscall::spot(text);
                self.kept.swap(0, index);
                return spot;
            }
            // Another thread has been given the number.
            self.kept.swap_remove(index);
        }
        let kept = Kept { thread, file: self.proc.open_file(thread, "syscall").ok()? };
        let spot = kept.read(&mut self.text).and_then(syscall::spot);
        self.kept.truncate(KEPT - 1);
        self.kept.insert(0, kept);
        spot
    }

    /// Whose code calls, as far as can be told without the mappings: a loader's lies behind its beginning, not further
    /// than a loader is long.
    fn whose(&mut self, thread: i32, call: Call, file: BorrowedFd<'_>) -> Whose {
        let Some(vector) = vector(&self.proc, thread, &mut self.text) else { return Whose::Ordinary };
        let reach = |begin: &u64| (*begin..begin.saturating_add(REACH)).contains(&call.code);
        let Some(begin) = begin(vector).filter(reach) else { return Whose::Ordinary };
        let program = || image(&self.proc, thread).and_then(|key| self.images.get(&key));
        match (begin == vector.loader, program()) {
            // A program without a loader: its own code, unless it is one itself.
            (false, Some(Image::Program)) => Whose::Ordinary,
            (false, _) => Whose::Program,
            // Every open comes from such a loader; what it maps it opens so.
            (true, Some(Image::OfCombined)) if could_be_mapped(call, file) => Whose::Program,
            (true, Some(Image::OfCombined)) => Whose::Ordinary,
            (true, _) => Whose::Loader,
        }
    }

    fn is_interpreter(&mut self, thread: i32) -> bool {
        self.proc.link(thread, "exe", &mut self.text).is_ok() && interpreters::is_known(&self.text)
    }
}

impl Judge {
    /// Looks closer, until `deadline`. `file` is the event's descriptor.
    pub fn judge(&mut self, suspicion: Suspicion, file: BorrowedFd<'_>, deadline: Instant) -> Purpose {
        let file = match file.try_clone_to_owned() {
            Ok(file) => file,
            Err(error) => return Purpose::Unknown(cause(error)),
        };
        let (proc, images) = (Arc::clone(&self.proc), Arc::clone(&self.images));
        let looked = self.aside.run(deadline, move || {
            Look { proc: &proc, images: &images, thread: suspicion.thread, file: &file }
                .purpose(suspicion.wanted)
        });
        match looked {
            Some(Ok(purpose)) => purpose,
            Some(Err(cause)) => Purpose::Unknown(cause),
            None => Purpose::Unknown(Cause::Late),
        }
    }
}

/// Whose code opens a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// No loader's.
    Ordinary,
    /// A loader's, or the program's: it could be one itself, or have one that is its C library too.
    Program,
    /// A loader's.
    Loader,
}

/// A closer look at one open. Everything here can block.
struct Look<'a> {
    proc: &'a Proc,
    images: &'a Images,
    thread: i32,
    file: &'a OwnedFd,
}

impl Look<'_> {
    fn purpose(&self, wanted: Wanted) -> Result<Purpose, Cause> {
        if wanted.loads {
            let load = self.load()?;
            if load != Purpose::Ordinary {
                return Ok(load);
            }
        }
        if wanted.programs && self.runs_program(&self.executable()?)? {
            return Ok(Purpose::Surely(Action::Interpret));
        }
        Ok(Purpose::Ordinary)
    }

    fn load(&self) -> Result<Purpose, Cause> {
        let mut text = Vec::new();
        let call = match self.spot(&mut text)? {
            Spot::Call(call) => call,
            Spot::Outside => return Ok(Purpose::Ordinary),
            Spot::Running => return Err(Cause::Unsteady),
        };
        let vector = vector(self.proc, self.thread, &mut text).ok_or(Cause::Gone)?;
        let Some(begin) = begin(vector) else { return Ok(Purpose::Ordinary) };
        self.proc.read_all(self.thread, "maps", MAPS_LIMIT, &mut text)?;
        let Some(code) = maps::mapping_at(&text, call.code) else { return Ok(Purpose::Ordinary) };
        let Some(loader) = maps::mapping_at(&text, begin).filter(|loader| loader.file == code.file) else {
            return Ok(Purpose::Ordinary);
        };
        let (start, end) = loader.range;
        let shape = self.shape(&format!("map_files/{start:x}-{end:x}"))?;
        let own = begin != vector.loader;
        self.learn(shape, own);
        if !shape.is_loader && own {
            return Ok(Purpose::Ordinary);
        }
        if !shape.is_library {
            return Ok(Purpose::Surely(Action::Load));
        }
        if self.is_named(own)? {
            return Ok(Purpose::Surely(Action::Load));
        }
        let perhaps = could_be_mapped(call, self.file.as_fd());
        Ok(if perhaps { Purpose::Perhaps(Action::Load) } else { Purpose::Ordinary })
    }

    fn spot(&self, text: &mut Vec<u8>) -> Result<Spot, Cause> {
        for _ in 0..PATIENT_TRIES {
            self.proc.read(self.thread, "syscall", text)?;
            match syscall::spot(text).ok_or(Cause::Unsteady)? {
                Spot::Running => std::thread::sleep(PATIENT_PAUSE),
                spot @ (Spot::Outside | Spot::Call(_)) => return Ok(spot),
            }
        }
        Ok(Spot::Running)
    }

    /// Keeps what was found out about the program for the glances to come.
    fn learn(&self, shape: Shape, own: bool) {
        let found = match (own, shape.is_loader, shape.is_library) {
            (true, false, _) => Some(Image::Program),
            (false, _, true) => Some(Image::OfCombined),
            (_, _, _) => None,
        };
        if let (Some(found), Some(key)) = (found, image(self.proc, self.thread)) {
            self.images.put(key, found);
        }
    }

    /// Whether arguments or environment name the file as one to load.
    fn is_named(&self, own: bool) -> Result<bool, Cause> {
        if own {
            let text = self.text("cmdline")?;
            let arguments: Vec<&[u8]> = strings(&text).collect();
            let named = interpreters::loader().map(|one| one.programs(&arguments)).unwrap_or_default();
            if self.is_one_of(named.into_iter().flat_map(list))? {
                return Ok(true);
            }
        }
        let text = self.text("environ")?;
        let preloaded = strings(&text).filter_map(|entry| entry.strip_prefix(b"LD_PRELOAD=")).flat_map(list);
        self.is_one_of(preloaded)
    }

    /// Whether the interpreter's arguments name the file as the one to run.
    fn runs_program(&self, executable: &[u8]) -> Result<bool, Cause> {
        let text = self.text("cmdline")?;
        let arguments: Vec<&[u8]> = strings(&text).collect();
        let programs = interpreters::programs(executable, &arguments);
        let inside = interpreters::inside(executable);
        let parts =
            programs.iter().flat_map(|name| inside.iter().map(move |part| [name, &b"/"[..], part].concat()));
        let parts: Vec<Vec<u8>> = parts.collect();
        self.is_one_of(programs.into_iter().chain(parts.iter().map(Vec::as_slice)))
    }

    fn is_one_of<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> Result<bool, Cause> {
        let wanted = statx::of(self.file.as_fd(), Want::Nothing).map_err(cause)?;
        Ok(names.filter(|name| !name.is_empty()).any(|name| {
            let found = walk::to(self.proc, self.thread, name);
            found.is_ok_and(|found| {
                statx::of(found.as_fd(), Want::Nothing).is_ok_and(|stat| is_same(&found, &stat, &wanted))
            })
        }))
    }

    fn executable(&self) -> Result<Vec<u8>, Cause> {
        let mut text = Vec::new();
        self.proc.link(self.thread, "exe", &mut text).map(|()| text)
    }

    fn text(&self, file: &str) -> Result<Vec<u8>, Cause> {
        let mut text = Vec::new();
        match self.proc.read_all(self.thread, file, arguments::BYTES, &mut text) {
            // What was read of it is its beginning, and a file to run stands there.
            Ok(()) | Err(Cause::TooLong) => Ok(text),
            Err(cause) => Err(cause),
        }
    }

    fn shape(&self, path: &str) -> Result<Shape, Cause> {
        let file = self.proc.open_file(self.thread, path)?;
        let key = Key::of(&statx::of(file.as_fd(), Want::Nothing).map_err(cause)?);
        if let Some(shape) = self.images.shape(&key) {
            return Ok(shape);
        }
        let shape = Shape::read(&file)?;
        self.images.put_shape(key, shape);
        Ok(shape)
    }
}

/// What a mapped file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    is_loader: bool,
    is_library: bool,
}

impl Shape {
    fn read(file: &OwnedFd) -> Result<Self, Cause> {
        let none = Self { is_loader: false, is_library: false };
        let head = piece(file, Piece { at: 0, length: HEAD })?;
        let Some(headers) = Headers::read(&head) else { return Ok(none) };
        let dynamic = piece(file, headers.dynamic)?;
        let Some(names) = headers.names(&dynamic) else { return Ok(none) };
        let names = piece(file, names)?;
        Ok(Self { is_loader: elf::are_of_a_loader(&names), is_library: elf::are_of_a_c_library(&names) })
    }
}

/// What the program of a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Image {
    /// It has no loader and is none.
    Program,
    /// Its loader is its C library too.
    OfCombined,
}

/// A file, as it was when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    file: ((u32, u32), u64),
    size: u64,
    changed: (i64, u32),
}

impl Key {
    fn of(stat: &Stat) -> Self {
        Self { file: (stat.device, stat.inode), size: stat.size, changed: stat.changed }
    }
}

/// What is known of programs and loaders. Nothing here makes an open ordinary that is none: a program that is its own
/// loader is known by its content, and behind a loader that is a C library every ELF file is looked at again.
#[derive(Debug, Default)]
struct Images {
    known: Mutex<HashMap<Key, Image>>,
    shapes: Mutex<HashMap<Key, Shape>>,
}

impl Images {
    fn get(&self, key: &Key) -> Option<Image> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    fn put(&self, key: Key, image: Image) {
        insert(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner), key, image);
    }

    fn shape(&self, key: &Key) -> Option<Shape> {
        self.shapes.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    fn put_shape(&self, key: Key, shape: Shape) {
        insert(&mut self.shapes.lock().unwrap_or_else(PoisonError::into_inner), key, shape);
    }
}

/// Anybody can make new files without end: the map is emptied when it is full.
fn insert<V>(map: &mut HashMap<Key, V>, key: Key, value: V) {
    if map.len() >= IMAGES {
        map.clear();
    }
    map.insert(key, value);
}

/// An open /proc/TID/syscall. It stays with its thread.
#[derive(Debug)]
struct Kept {
    thread: i32,
    file: OwnedFd,
}

impl Kept {
    /// `None`: the thread is gone.
    fn read<'t>(&self, text: &'t mut Vec<u8>) -> Option<&'t [u8]> {
        text.resize(LINE, 0);
        let length = pread(&self.file, text, 0).ok().filter(|length| *length > 0)?;
        text.get(..length)
    }
}

/// Whether a file that was found is the one that was opened. Through an overlay, which has numbers of its own for its
/// files, the layer's file is what was opened: size and times are those of the layer.
fn is_same(found: &OwnedFd, stat: &Stat, opened: &Stat) -> bool {
    let of_layer = |stat: &Stat| (stat.size, stat.modified, stat.changed);
    (stat.device, stat.inode) == (opened.device, opened.inode)
        || of_layer(stat) == of_layer(opened)
            && fstatfs(found).is_ok_and(|about| about.filesystem_type() == OVERLAYFS_SUPER_MAGIC)
}

fn suspect(thread: i32, wanted: Wanted, strong: bool) -> Glance {
    Glance::Suspect(Suspicion { thread, wanted, strong })
}

/// Where the process's loader begins, or where the program does if it names none.
fn begin(vector: Vector) -> Option<u64> {
    // The headers are in the first page.
    let own = || vector.headers & !0xfff;
    Some(if vector.loader == 0 { own() } else { vector.loader }).filter(|begin| *begin != 0)
}

fn vector(proc: &Proc, thread: i32, text: &mut Vec<u8>) -> Option<Vector> {
    proc.read(thread, "auxv", text).ok()?;
    auxv::parse(text)
}

/// The program of a process, as it is on its disk.
fn image(proc: &Proc, thread: i32) -> Option<Key> {
    let found = proc.open_path(thread, "exe").ok()?;
    statx::of(found.as_fd(), Want::Nothing).ok().map(|stat| Key::of(&stat))
}

/// Whether musl's loader maps the file, as far as flags and content tell: it opens libraries close-on-exec, and they are
/// ELF files.
fn could_be_mapped(call: Call, file: BorrowedFd<'_>) -> bool {
    if call.opens == (Opens::ToRead { close_on_exec: false }) {
        return false;
    }
    let mut head = [0; 4];
    // What cannot be read may be one.
    !matches!(pread(file, &mut head, 0), Ok(read) if !head.get(..read).is_some_and(elf::is_elf))
}

fn piece(file: &OwnedFd, piece: Piece) -> Result<Vec<u8>, Cause> {
    let length = usize::try_from(piece.length.min(PIECE)).map_err(|_| Cause::TooLong)?;
    let mut bytes = vec![0; length];
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        let at = u64::try_from(read).ok().and_then(|read| piece.at.checked_add(read));
        let at = at.and_then(|at| i64::try_from(at).ok()).ok_or(Cause::TooLong)?;
        match pread(file, rest, at) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(nix::Error::EINTR) => {}
            Err(errno) => return Err(cause(errno.into())),
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}

fn strings(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(b"\0").unwrap_or(text).split(|byte| *byte == 0)
}

/// A list of files as LD_PRELOAD has it.
fn list(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b':' | b' '))
}

/// How many threads' files are kept open.
const KEPT: usize = 16;
const LINE: usize = 256;
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_micros(20);
const PATIENT_TRIES: usize = 200;
const PATIENT_PAUSE: Duration = Duration::from_micros(200);
/// No loader is longer: glibc's has 0.2 MiB, musl's with its library 0.7.
const REACH: u64 = 4 << 20;
const HEAD: u64 = 4096;
const PIECE: u64 = 1 << 20;
const MAPS_LIMIT: usize = 16 << 20;
const IMAGES: usize = 1024;
