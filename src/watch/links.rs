//! The configured directories, resolved through the links that the host has.
//!
//! On Debian `/var/run` is a link to `/run` and `/run/shm` one to `/dev/shm`; elsewhere they are directories. Owns
//! that walk, done once at start and at a reload: the links met here, and no others, give a file its other names.
//! No link below a watched directory is ever resolved, or root could aim an exception with one. The walk is written
//! against [`Look`], so that the tests need no links of their own. Called by the daemon; the plan takes the result. Where
//! any other path leads, [`leads_to`] says, for who only asks.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// The configured directories and what the host makes of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directories {
    /// In the order of the configuration.
    pub watched: Vec<Directory>,
    /// Every link met, each once.
    pub links: Vec<Link>,
}

/// One configured directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// As the operator wrote it.
    pub configured: PathBuf,
    /// Without links. Where the directory is missing: what it would be.
    pub path: PathBuf,
    /// Whether it can be watched.
    pub state: State,
}

/// Whether a configured directory can be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is a directory.
    Present,
    /// It, or a directory above it, does not exist.
    Missing,
    /// It, or something above it, is neither a directory nor a link.
    NotDirectory,
    /// More than 40 links.
    TooManyLinks,
    /// This link belongs to another user than root, who could aim it.
    ForeignLink(PathBuf),
    /// It is not an absolute path.
    Relative,
    /// Looking at it failed with this errno.
    Unreadable(i32),
}

/// A symbolic link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where it stands; its own directory has no links.
    pub at: PathBuf,
    /// The absolute path it leads to, which may pass through other links.
    pub to: PathBuf,
}

/// What stands at a path, without following it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// A directory.
    Directory,
    /// A link with this text, and the uid of its owner.
    Link(PathBuf, u32),
    /// Something else.
    Other,
}

/// Resolves `configured` on this host. Blocks as long as the filesystems above these directories do.
#[must_use]
pub fn resolve(configured: &[PathBuf]) -> Directories {
    resolve_with(configured, look)
}

/// [`resolve`], with another way of looking.
pub fn resolve_with(configured: &[PathBuf], look: impl Fn(&Path) -> io::Result<Look>) -> Directories {
    let mut directories = Directories::default();
    for path in configured {
        let mut walk = Walk { look: &look, links: &mut directories.links, left: 40 };
        let (resolved, state) = walk.run(path);
        directories.watched.push(Directory { configured: path.clone(), path: resolved, state });
    }
    // A link's text may pass through other links; its end is needed, not its text.
    let links = directories.links.clone();
    for link in &mut directories.links {
        link.to = follow(&link.to, &links);
    }
    directories
}

fn look(path: &Path) -> io::Result<Look> {
    let found = std::fs::symlink_metadata(path)?;
    if found.is_dir() {
        return Ok(Look::Directory);
    }
    if found.is_symlink() {
        return Ok(Look::Link(std::fs::read_link(path)?, found.uid()));
    }
    Ok(Look::Other)
}

struct Walk<'a, F> {
    look: &'a F,
    links: &'a mut Vec<Link>,
    left: usize,
}

impl<F: Fn(&Path) -> io::Result<Look>> Walk<'_, F> {
    /// Component by component, as the kernel does it.
    fn run(&mut self, path: &Path) -> (PathBuf, State) {
        if !path.is_absolute() {
            return (path.to_path_buf(), State::Relative);
        }
        let mut done = PathBuf::from("/");
        let mut rest: VecDeque<OsString> = names(path);
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                done.pop();
                continue;
            }
            let here = done.join(&name);
            match (self.look)(&here) {
                Ok(Look::Directory) => done = here,
                Ok(Look::Link(text, owner)) => {
                    if owner != 0 {
                        return (whole(here.clone(), &rest), State::ForeignLink(here));
                    }
                    if self.left == 0 {
                        return (whole(here, &rest), State::TooManyLinks);
                    }
                    self.left -= 1;
                    let to = if text.is_absolute() { text } else { done.join(text) };
                    self.note(here, &to);
                    done = PathBuf::from("/");
                    let mut names = names(&to);
                    names.append(&mut rest);
                    rest = names;
                }
                Ok(Look::Other) => return (whole(here, &rest), State::NotDirectory),
                Err(error) => return (whole(here, &rest), state_of(&error)),
            }
        }
        (done, State::Present)
    }

    fn note(&mut self, at: PathBuf, to: &Path) {
        if !self.links.iter().any(|link| link.at == at) {
            self.links.push(Link { at, to: to.to_path_buf() });
        }
    }
}

fn state_of(error: &io::Error) -> State {
    match error.raw_os_error().unwrap_or_default() {
        libc::ENOENT => State::Missing,
        libc::ENOTDIR => State::NotDirectory,
        errno => State::Unreadable(errno),
    }
}

/// The names of a path, `..` among them; `.` and the root are none.
fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().to_owned())
        .collect()
}

fn whole(here: PathBuf, rest: &VecDeque<OsString>) -> PathBuf {
    rest.iter().fold(here, |path, name| path.join(name))
}

/// `path` with the known links resolved, and no others.
pub(super) fn follow(path: &Path, links: &[Link]) -> PathBuf {
    follow_with(path, |at| links.iter().find(|link| link.at == at).map(|link| link.to.clone()))
}

/// Where an absolute path leads on this host, through all links, whoever made them. What does not exist is taken for what
/// the name says: a directory before `..`, no link anywhere. Blocks as long as the filesystems on the way do.
#[must_use]
pub fn leads_to(path: &Path) -> PathBuf {
    follow_with(path, |at| std::fs::read_link(at).ok())
}

/// Component by component, as the kernel does it: `..` is the directory above where the way has led, not above what is
/// written.
fn follow_with(path: &Path, link: impl Fn(&Path) -> Option<PathBuf>) -> PathBuf {
    let mut left = 40;
    let mut done = PathBuf::from("/");
    let mut rest = names(path);
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            done.pop();
            continue;
        }
        done.push(name);
        if left > 0
            && let Some(to) = link(&done)
        {
            left -= 1;
            done.pop();
            if to.is_absolute() {
                done = PathBuf::from("/");
            }
            let mut names = names(&to);
            names.append(&mut rest);
            rest = names;
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// A host made of links and directories; what is not named does not exist.
    fn host(entries: &[(&str, &str)]) -> impl Fn(&Path) -> io::Result<Look> {
        let entries: HashMap<PathBuf, String> =
            entries.iter().map(|(at, what)| (PathBuf::from(at), (*what).to_owned())).collect();
        move |path| match entries.get(path).map(String::as_str) {
            Some("dir") => Ok(Look::Directory),
            Some("file") => Ok(Look::Other),
            Some("theirs") => Ok(Look::Link("/tmp".into(), 1000)),
            Some(target) => Ok(Look::Link(target.into(), 0)),
            None => Err(io::Error::from_raw_os_error(2)),
        }
    }

    fn paths(texts: &[&str]) -> Vec<PathBuf> {
        texts.iter().map(PathBuf::from).collect()
    }

    const DEBIAN: &[(&str, &str)] = &[
        ("/dev", "dir"),
        ("/dev/shm", "dir"),
        ("/run", "dir"),
        ("/run/shm", "/dev/shm"),
        ("/run/lock", "dir"),
        ("/var", "dir"),
        ("/var/run", "/run"),
        ("/var/lock", "/run/lock"),
    ];

    #[test]
    fn the_links_of_debian_lead_to_three_directories() {
        let found = resolve_with(&paths(&["/dev/shm", "/run/shm", "/var/run", "/var/lock"]), host(DEBIAN));
        let resolved: Vec<_> = found.watched.iter().map(|one| one.path.to_str().unwrap()).collect();
        assert_eq!(resolved, ["/dev/shm", "/dev/shm", "/run", "/run/lock"]);
        assert!(found.watched.iter().all(|one| one.state == State::Present));
        let links: Vec<_> =
            found.links.iter().map(|link| (link.at.to_str().unwrap(), link.to.to_str().unwrap())).collect();
        assert_eq!(links, [("/run/shm", "/dev/shm"), ("/var/run", "/run"), ("/var/lock", "/run/lock")]);
    }

    #[test]
    fn relative_links_and_links_above_a_directory_are_followed() {
        let found = resolve_with(
            &paths(&["/var/lock"]),
            host(&[
                ("/var", "mnt/./var"),
                ("/mnt", "dir"),
                ("/mnt/var", "dir"),
                ("/mnt/var/lock", "../../var/run/lock"),
                ("/mnt/var/run", "/run"),
                ("/run", "dir"),
                ("/run/lock", "dir"),
            ]),
        );
        assert_eq!(found.watched[0].path, Path::new("/run/lock"));
        let lock = found.links.iter().find(|link| link.at == Path::new("/mnt/var/lock")).unwrap();
        assert_eq!(lock.to, Path::new("/run/lock"), "the end of a chain of links, not its text");
    }

    #[test]
    fn what_cannot_be_watched_says_why() {
        let look = host(&[
            ("/a", "dir"),
            ("/a/loop", "/a/loop"),
            ("/a/theirs", "theirs"),
            ("/a/file", "file"),
            ("/a/up", "../gone/x"),
        ]);
        let state = |path: &str| resolve_with(&paths(&[path]), &look).watched.remove(0);
        assert_eq!(state("/a/none").state, State::Missing);
        assert_eq!(state("/a/up/y").path, Path::new("/gone/x/y"));
        assert_eq!(state("/a/file/x").state, State::NotDirectory);
        assert_eq!(state("/a/loop").state, State::TooManyLinks);
        assert_eq!(state("/a/theirs").state, State::ForeignLink("/a/theirs".into()));
        assert_eq!(state("run").state, State::Relative);
    }

    #[test]
    fn a_path_leads_where_the_links_on_its_way_lead_and_dots_go_up_from_there() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        std::fs::create_dir_all(place.join("a/b")).unwrap();
        for (to, at) in [("a/b", "relative"), ("/run/x", "absolute"), ("none", "dangling"), ("loop", "loop")]
        {
            std::os::unix::fs::symlink(to, place.join(at)).unwrap();
        }
        let leads = |from: &str, to: &str| {
            assert_eq!(leads_to(&place.join(from)), place.join(to), "{from}");
        };
        leads("a/../nope", "nope");
        leads("relative/nope", "a/b/nope");
        leads("relative/../nope", "a/nope");
        leads("relative/.././../relative", "a/b");
        leads("dangling/nope", "none/nope");
        leads("nope/../a/x", "a/x");
        leads("absolute", "/run/x");
        leads("loop", "loop");
        assert_eq!(leads_to(Path::new("/../..")), Path::new("/"));
    }

    #[test]
    fn a_real_link_is_read() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        std::fs::create_dir(place.join("d")).unwrap();
        std::os::unix::fs::symlink("d", place.join("l")).unwrap();
        let found = resolve(&[place.join("l")]);
        if found.watched[0].state == State::ForeignLink(place.join("l")) {
            return; // Not root: the link is ours, and so another user's than root's.
        }
        assert_eq!(
            (found.watched[0].path.clone(), &found.watched[0].state),
            (place.join("d"), &State::Present)
        );
    }
}
