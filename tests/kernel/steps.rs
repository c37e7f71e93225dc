//! What attackers do, as a list of steps that one process takes: `unshare m`, `bind /dev/shm/evil /mnt`, `exec /mnt/x`.
//!
//! A list runs in a process of its own (see `helper`), which ends with the status of its last exec. A step that fails
//! ends it with a panic, so a way that does not work cannot look like one that is denied. Words are separated by
//! spaces, steps by newlines; `{other}` is the pid of the process that `other` has started. Descriptors have fixed
//! numbers, chosen by the list.

#![allow(
    unsafe_code,
    reason = "most of these system calls have no binding; each runs alone in a process of its own"
)]

mod rare;

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use nix::fcntl::{OFlag, RenameFlags};
use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;

use crate::elf;
use crate::helper::{DENIED, FAILED, end, fork, relay};

/// Takes the steps. Ends the process at the first exec, which must be the last step.
pub fn play(steps: &[&str]) {
    let mut other = String::new();
    let mut steps = steps.iter().map(|step| step.trim()).filter(|step| !step.is_empty());
    while let Some(step) = steps.next() {
        if step == "other" {
            let inner: Vec<&str> = steps.by_ref().take_while(|step| *step != "end").collect();
            other = start_other(&inner).to_string();
            continue;
        }
        if let Some(how) = step.strip_prefix("aside") {
            let rest: Vec<String> = steps.map(|step| step.replace("{other}", &other)).collect();
            aside(how.trim(), rest);
        }
        let step = step.replace("{other}", &other).replace("{pid}", &std::process::id().to_string());
        let words: Vec<&str> = step.split(' ').filter(|word| !word.is_empty()).collect();
        take(&words).unwrap_or_else(|error| panic!("{step}: {error}"));
    }
}

/// Takes the rest of the steps in another thread than the first one, which waits or has `ended`.
fn aside(how: &str, rest: Vec<String>) -> ! {
    let thread = std::thread::spawn(move || play(&rest.iter().map(String::as_str).collect::<Vec<_>>()));
    if how == "ended" {
        // Its status becomes that of the process if nothing is executed.
        // SAFETY: it ends this thread alone, which holds nothing that another one waits for.
        unsafe { libc::syscall(libc::SYS_exit, FAILED) };
    }
    let _panicked = thread.join();
    end(FAILED)
}

type Done = Result<(), Box<dyn std::error::Error>>;

fn take(words: &[&str]) -> Done {
    if let Some(done) = rare::take(words) {
        return done;
    }
    match *words {
        ["unshare", flags] => unshare(flags)?,
        ["unshare", flags, "wide"] => unshare_wide(flags)?,
        // Without any id in a new user namespace.
        ["unshare", flags, "bare"] => {
            nix::sched::unshare(flags.chars().map(namespace).fold(CloneFlags::empty(), CloneFlags::union))?;
        }
        ["enter", pid, kinds] => enter(pid, kinds)?,
        ["fork"] => relay_child(),
        ["wait"] => wait_for_word()?,
        ["sleep", milliseconds] => {
            std::thread::sleep(std::time::Duration::from_millis(milliseconds.parse()?));
        }
        _ => return files(words),
    }
    Ok(())
}

fn files(words: &[&str]) -> Done {
    match *words {
        ["background", program, ref arguments @ ..] => {
            let mut command = std::process::Command::new(program);
            crate::bed::die_with_parent(&mut command);
            drop(command.args(arguments).spawn()?);
        }
        // Need not succeed.
        ["try", ref rest @ ..] => drop(take(rest)),
        ["run", program, ref arguments @ ..] => {
            let ended = std::process::Command::new(program).args(arguments).output()?;
            assert!(ended.status.success(), "{words:?}: {ended:?}");
        }
        ["mkdir", path] => fs::create_dir_all(path)?,
        ["rmdir", path] => fs::remove_dir(path)?,
        // Never cut: a second round finds what the first has bound there, which can be the host's own program.
        ["touch", path] => drop(fs::OpenOptions::new().create(true).append(true).open(path)?),
        ["program", path] => write_program(path, &elf::program(), 0o755)?,
        ["program", path, mode] => write_program(path, &elf::program(), u32::from_str_radix(mode, 8)?)?,
        #[cfg(target_arch = "x86_64")]
        ["program32", path] => write_program(path, &elf::program_32(), 0o755)?,
        ["interpreter", path] => write_program(path, &elf::interpreter(), 0o755)?,
        ["interpreted", path, interpreter] => {
            write_program(path, &elf::with_interpreter(interpreter), 0o755)?;
        }
        ["script", path, interpreter] => {
            write_program(path, format!("#!{interpreter}\n").as_bytes(), 0o755)?;
        }
        ["text", path, ref text @ ..] => {
            write_program(path, text.join(" ").replace("\\n", "\n").as_bytes(), 0o755)?;
        }
        ["write", path, ref text @ ..] => fs::write(path, text.join(" "))?,
        ["register", path, text] => match fs::write(path, text) {
            // A handler that is kept open is opened here, as one that will be executed.
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => end(DENIED),
            other => other?,
        },
        ["copy", from, to] => drop(fs::copy(from, to)?),
        ["link", from, to] => fs::hard_link(from, to)?,
        ["symlink", from, to] => symlink(from, to)?,
        ["rename", from, to] => fs::rename(from, to)?,
        ["exchange", one, two] => {
            nix::fcntl::renameat2(cwd(), one, cwd(), two, RenameFlags::RENAME_EXCHANGE)?;
        }
        ["rm", path] => fs::remove_file(path)?,
        ["rm", "-rf", path] => {
            // It need not be there.
            let _removed = fs::remove_dir_all(path).or_else(|_| fs::remove_file(path));
        }
        ["chmod", mode, path] => {
            fs::set_permissions(path, fs::Permissions::from_mode(u32::from_str_radix(mode, 8)?))?;
        }
        ["chown", uid, path] => chown(path, Some(uid.parse()?), Some(uid.parse()?))?,
        ["capabilities", path, number] => file_capability(path, number.parse()?)?,
        ["cd", path] => std::env::set_current_dir(path)?,
        ["chroot", path] => std::os::unix::fs::chroot(path)?,
        _ => return mounts(words),
    }
    Ok(())
}

fn mounts(words: &[&str]) -> Done {
    match *words {
        ["mount", kind, source, target] => mount(Some(source), target, Some(kind), MsFlags::empty(), None)?,
        ["mount", kind, source, target, data] => {
            mount(Some(source), target, Some(kind), MsFlags::empty(), Some(data))?;
        }
        ["bind", from, to] => mount(Some(from), to, None, MsFlags::MS_BIND, None)?,
        ["rbind", from, to] => mount(Some(from), to, None, MsFlags::MS_BIND | MsFlags::MS_REC, None)?,
        ["move", from, to] => mount(Some(from), to, None, MsFlags::MS_MOVE, None)?,
        ["flags", target, flags] => {
            mount(None, target, None, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | mount_flags(flags), None)?;
        }
        ["propagation", target, "shared"] => mount(None, target, None, MsFlags::MS_SHARED, None)?,
        ["propagation", target, "slave"] => mount(None, target, None, MsFlags::MS_SLAVE, None)?,
        ["umount", path] => nix::mount::umount2(path, MntFlags::empty())?,
        ["detach", path] => nix::mount::umount2(path, MntFlags::MNT_DETACH)?,
        ["pivot", new, old] => {
            call(libc::SYS_pivot_root, &[text(new).as_ptr().addr(), text(old).as_ptr().addr()])?;
        }
        ["tree", fd, path] => tree(fd, path, 1)?,
        ["rtree", fd, path] => tree(fd, path, 1 | 0x8000)?,
        ["plaintree", fd, path] => tree(fd, path, 0)?,
        ["attach", fd, path] => attach(fd, path, 4)?,
        ["beneath", fd, path] => attach(fd, path, 4 | 0x200)?,
        ["fsmount", fd, kind] => fsmount(fd, kind, &[])?,
        ["fsmount", fd, kind, ref options @ ..] => fsmount(fd, kind, options)?,
        ["mapped", fd, pid] => map_ids(fd, pid)?,
        _ => return descriptors(words),
    }
    Ok(())
}

fn descriptors(words: &[&str]) -> Done {
    match *words {
        ["open", fd, path] => keep(fd, open(path, OFlag::O_RDONLY)?)?,
        ["opath", fd, path] => keep(fd, open(path, OFlag::O_PATH)?)?,
        ["tmpfile", fd, directory] => {
            let file = open(directory, OFlag::O_TMPFILE | OFlag::O_RDWR)?;
            let mut file = File::from(file);
            file.write_all(&elf::program())?;
            file.set_permissions(fs::Permissions::from_mode(0o755))?;
            // Not for writing any more, or the exec is refused with ETXTBSY.
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            keep(fd, open(&path, OFlag::O_RDONLY)?)?;
        }
        ["linkfd", fd, path] => {
            let link = format!("/proc/self/fd/{fd}");
            let follow = nix::fcntl::AtFlags::AT_SYMLINK_FOLLOW;
            nix::unistd::linkat(cwd(), link.as_str(), cwd(), path, follow)?;
        }
        ["handle", fd, path, mount] => keep(fd, by_handle(path, mount)?)?,
        ["memfd", fd] => {
            let name = text("x");
            let raw = call(libc::SYS_memfd_create, &[name.as_ptr().addr(), 0])?;
            let mut file = File::from(owned(raw));
            file.write_all(&elf::program())?;
            keep(fd, file.into())?;
        }
        ["memcopy", fd, file] => {
            let name = text("x");
            let content = fs::read(file)?;
            let mut file = File::from(owned(call(libc::SYS_memfd_create, &[name.as_ptr().addr(), 0])?));
            file.write_all(&content)?;
            keep(fd, file.into())?;
        }
        ["getfd", fd, pid, theirs] => {
            let pidfd = owned(call(libc::SYS_pidfd_open, &[pid.parse()?, 0])?);
            let raw = call(libc::SYS_pidfd_getfd, &[number(pidfd.as_raw_fd()), theirs.parse()?, 0])?;
            keep(fd, owned(raw))?;
        }
        ["received", fd, path] => keep(fd, received(path)?)?,
        ["image", path, ref size @ ..] => {
            // Anew each time: an old one may still be in a loop device.
            let _removed = fs::remove_file(path);
            let megabytes: u64 = size.first().unwrap_or(&"8").parse()?;
            File::create(path)?.set_len(megabytes << 20)?;
        }
        ["loop", fd, image] => keep(fd, attach_loop(image)?)?,
        ["mountloop", fd, kind, target] => {
            let device = fs::read_link(format!("/proc/self/fd/{fd}"))?;
            mount(device.to_str(), target, Some(kind), MsFlags::empty(), None)?;
        }
        // With another loop device as an option.
        ["mountloop", fd, kind, target, option, other] => {
            let device = fs::read_link(format!("/proc/self/fd/{fd}"))?;
            let data = format!("{option}={}", fs::read_link(format!("/proc/self/fd/{other}"))?.display());
            mount(device.to_str(), target, Some(kind), MsFlags::empty(), Some(&data))?;
        }
        _ => return identity(words),
    }
    Ok(())
}

fn identity(words: &[&str]) -> Done {
    match *words {
        ["uid", real, effective, saved] => {
            call(libc::SYS_setresuid, &[id(real)?, id(effective)?, id(saved)?])?;
        }
        ["gid", gid] => drop(call(libc::SYS_setresgid, &[id(gid)?; 3])?),
        ["user", uid] => {
            call(libc::SYS_setgroups, &[0, 0])?;
            call(libc::SYS_setresgid, &[id(uid)?; 3])?;
            call(libc::SYS_setresuid, &[id(uid)?; 3])?;
            // So that this process may still write its own tables of ids.
            call(libc::SYS_prctl, &[4, 1])?;
        }
        ["user", uid, "inheritable", capability] => user_with(uid, capability, false)?,
        ["user", uid, "ambient", capability] => user_with(uid, capability, true)?,
        ["capabilities_of", capability] => raise_ambient(capability.parse()?)?,
        ["nonewprivs"] => nix::sys::prctl::set_no_new_privs()?,
        ["noroot"] => drop(call(libc::SYS_prctl, &[28, 0b1111])?),
        ["dropbounding"] => {
            for capability in 0..64 {
                // The last ones do not exist.
                let _dropped = call(libc::SYS_prctl, &[24, capability]);
            }
        }
        _ => execute(words),
    }
    Ok(())
}

fn execute(words: &[&str]) {
    let result = match *words {
        ["exec", path] => execve(path),
        ["execat", fd, path] => execveat(fd, path, 0),
        ["execat", fd, path, "nofollow"] => execveat(fd, path, libc::AT_SYMLINK_NOFOLLOW),
        ["fexec", fd] => execveat(fd, "", libc::AT_EMPTY_PATH),
        ["check", path] => execveat("-100", path, AT_EXECVE_CHECK),
        ["checkfd", fd] => execveat(fd, "", AT_EXECVE_CHECK | libc::AT_EMPTY_PATH),
        #[cfg(target_arch = "x86_64")]
        ["int80", path] => int80(path, 11),
        #[cfg(target_arch = "x86_64")]
        ["int80at", path] => int80(path, 358),
        ["clone", flags, path] => cloned(flags, path),
        ["clone3", path] => clone3(path),
        ["spawn", path] => spawn(path),
        ["thread", path] => in_thread(path, &[]),
        ["thread", path, ref how @ ..] => in_thread(path, how),
        #[cfg(target_arch = "x86_64")]
        ["injected", path] => injected(path),
        ["mapfile", path] => execve(&map_file(path)),
        ["sysv"] => execve(&map_sysv()),
        ["anonymous"] => execve(&map_anonymous()),
        _ => rare::execute(words).unwrap_or_else(|| panic!("no such step: {words:?}")),
    };
    match result {
        // Only a check returns with success.
        Ok(()) => end(0),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => end(DENIED),
        Err(error) => {
            eprintln!("{words:?}: {error}");
            end(FAILED)
        }
    }
}

fn unshare(flags: &str) -> Done {
    let all = flags.chars().map(namespace).fold(CloneFlags::empty(), CloneFlags::union);
    let ids = (nix::unistd::geteuid(), nix::unistd::getegid());
    nix::sched::unshare(all)?;
    if all.contains(CloneFlags::CLONE_NEWUSER) {
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {} 1", ids.0))?;
        fs::write("/proc/self/gid_map", format!("0 {} 1", ids.1))?;
    }
    if all.contains(CloneFlags::CLONE_NEWNS) {
        mount(None, "/", None, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None)?;
    }
    Ok(())
}

/// A user namespace in which the first 65536 ids are those of the host, which only root can make.
fn unshare_wide(flags: &str) -> Done {
    let (mut unshared, mut tell) = std::io::pipe()?;
    let parent = std::process::id();
    let Some(child) = fork() else {
        unshared.read_exact(&mut [0])?;
        for table in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{parent}/{table}"), "0 0 65536")?;
        }
        end(0);
    };
    nix::sched::unshare(flags.chars().map(namespace).fold(CloneFlags::empty(), CloneFlags::union))?;
    tell.write_all(b"x")?;
    assert_eq!(relay(child), 0);
    Ok(())
}

fn namespace(letter: char) -> CloneFlags {
    match letter {
        'm' => CloneFlags::CLONE_NEWNS,
        'U' => CloneFlags::CLONE_NEWUSER,
        'p' => CloneFlags::CLONE_NEWPID,
        'n' => CloneFlags::CLONE_NEWNET,
        'i' => CloneFlags::CLONE_NEWIPC,
        'u' => CloneFlags::CLONE_NEWUTS,
        'C' => CloneFlags::CLONE_NEWCGROUP,
        _ => panic!("no such namespace: {letter}"),
    }
}

fn enter(pid: &str, kinds: &str) -> Done {
    for letter in kinds.chars() {
        let kind = namespace(letter);
        let name = if kind == CloneFlags::CLONE_NEWUSER { "user" } else { "mnt" };
        nix::sched::setns(File::open(format!("/proc/{pid}/ns/{name}"))?, kind)?;
    }
    Ok(())
}

/// Goes on in a child, whose end becomes ours.
fn relay_child() {
    if let Some(child) = fork() {
        end(relay(child));
    }
}

/// Tells that everything before is done, and waits to be told to go on. Ends where nobody is left to say so.
fn wait_for_word() -> Done {
    let mut out = std::io::stdout();
    out.write_all(b"\n@ready\n")?;
    out.flush()?;
    match std::io::stdin().read(&mut [0])? {
        0 => end(FAILED),
        _ => Ok(()),
    }
}

/// A child that takes these steps and then sleeps for as long as we live.
fn start_other(steps: &[&str]) -> i32 {
    let (mut done, mut tell) = std::io::pipe().unwrap();
    let Some(child) = fork() else {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).unwrap();
        play(steps);
        tell.write_all(b"x").unwrap();
        loop {
            nix::unistd::pause();
        }
    };
    drop(tell);
    let mut byte = [0];
    done.read_exact(&mut byte).expect("the other process took its steps");
    child.as_raw()
}

fn write_program(path: &str, bytes: &[u8], mode: u32) -> Done {
    if let Some(directory) = Path::new(path).parent() {
        fs::create_dir_all(directory)?;
    }
    // Anew each time: one that runs could not be written to.
    let _removed = fs::remove_file(path);
    fs::write(path, bytes)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// vfs_cap_data of revision 2: effective and permitted.
fn file_capability(path: &str, number: u32) -> Done {
    let mut value = vec![1, 0, 0, 2];
    value.extend((1_u32 << number).to_le_bytes());
    value.extend([0; 12]);
    let (path, name) = (text(path), text("security.capability"));
    let pointers = [path.as_ptr().addr(), name.as_ptr().addr(), value.as_ptr().addr(), value.len(), 0];
    call(libc::SYS_setxattr, &pointers)?;
    Ok(())
}

fn mount(
    source: Option<&str>,
    target: &str,
    kind: Option<&str>,
    flags: MsFlags,
    data: Option<&str>,
) -> Result<(), nix::Error> {
    nix::mount::mount(source, target, kind, flags, data)
}

fn mount_flags(names: &str) -> MsFlags {
    let flag = |name| match name {
        "exec" | "suid" => MsFlags::empty(),
        "noexec" => MsFlags::MS_NOEXEC,
        "nosuid" => MsFlags::MS_NOSUID,
        "ro" => MsFlags::MS_RDONLY,
        "nodev" => MsFlags::MS_NODEV,
        "noatime" => MsFlags::MS_NOATIME,
        _ => panic!("no such flag: {name}"),
    };
    names.split(',').map(flag).fold(MsFlags::empty(), MsFlags::union)
}

fn tree(fd: &str, path: &str, flags: usize) -> Done {
    let path = text(path);
    keep(fd, owned(call(libc::SYS_open_tree, &[here(), path.as_ptr().addr(), flags])?))
}

fn attach(fd: &str, path: &str, flags: usize) -> Done {
    let (from, to) = (text(""), text(path));
    let arguments = [fd.parse()?, from.as_ptr().addr(), here(), to.as_ptr().addr(), flags];
    call(libc::SYS_move_mount, &arguments)?;
    Ok(())
}

fn fsmount(fd: &str, kind: &str, options: &[&str]) -> Done {
    let kind = text(kind);
    let context = owned(call(libc::SYS_fsopen, &[kind.as_ptr().addr(), 0])?);
    let context_number = number(context.as_raw_fd());
    for option in options {
        let (key, value) = option.split_once('=').ok_or("an option is key=value")?;
        let (key, value) = (text(key), text(value));
        call(libc::SYS_fsconfig, &[context_number, 1, key.as_ptr().addr(), value.as_ptr().addr(), 0])?;
    }
    call(libc::SYS_fsconfig, &[context_number, 6, 0, 0, 0])?;
    keep(fd, owned(call(libc::SYS_fsmount, &[context_number, 0, 0])?))
}

/// mount_setattr(MOUNT_ATTR_IDMAP) with the user namespace of another process.
fn map_ids(fd: &str, pid: &str) -> Done {
    let namespace = File::open(format!("/proc/{pid}/ns/user"))?;
    let attributes = [0_u64, 0, 0, u64::try_from(namespace.as_raw_fd())?];
    let attributes = [0x0010_0000, attributes[1], attributes[2], attributes[3]];
    let empty = text("");
    let flags = usize::try_from(libc::AT_EMPTY_PATH)?;
    let arguments = [fd.parse()?, empty.as_ptr().addr(), flags, attributes.as_ptr().addr(), 32];
    call(libc::SYS_mount_setattr, &arguments)?;
    Ok(())
}

fn open(path: &str, flags: OFlag) -> Result<OwnedFd, nix::Error> {
    nix::fcntl::open(path, flags | OFlag::O_CLOEXEC, Mode::from_bits_truncate(0o700))
}

/// Gives a descriptor its number; it is inherited.
fn keep(fd: &str, file: OwnedFd) -> Done {
    let wanted: i32 = fd.parse()?;
    call(libc::SYS_dup3, &[number(file.as_raw_fd()), number(wanted), 0])?;
    Ok(())
}

/// name_to_handle_at(2) there, open_by_handle_at(2) through `mount`.
fn by_handle(path: &str, mount: &str) -> Result<OwnedFd, Box<dyn std::error::Error>> {
    let mut handle = [0_u32; 34];
    handle[0] = 128;
    let mut mount_id = 0_i32;
    let path = text(path);
    let arguments = [here(), path.as_ptr().addr(), handle.as_mut_ptr().addr(), (&raw mut mount_id).addr(), 0];
    call(libc::SYS_name_to_handle_at, &arguments)?;
    let mount = open(mount, OFlag::O_RDONLY)?;
    let flags = usize::try_from(libc::O_RDONLY)?;
    let arguments = [number(mount.as_raw_fd()), handle.as_mut_ptr().addr(), flags];
    Ok(owned(call(libc::SYS_open_by_handle_at, &arguments)?))
}

/// A descriptor that another process, in a namespace of its own, has opened and sent over a socket.
fn received(path: &str) -> Result<OwnedFd, Box<dyn std::error::Error>> {
    use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    let mut byte = [1];
    if let Some(child) = fork() {
        drop(theirs);
        assert_eq!(relay(child), 0);
    } else {
        unshare("m")?;
        let file = open(path, OFlag::O_RDONLY)?;
        let fds = [file.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&fds)];
        let data = [std::io::IoSlice::new(&byte)];
        sendmsg::<()>(theirs.as_raw_fd(), &data, &rights, MsgFlags::empty(), None)?;
        end(0);
    }
    let mut space = nix::cmsg_space!([i32; 1]);
    let mut data = [std::io::IoSliceMut::new(&mut byte)];
    let message = recvmsg::<()>(ours.as_raw_fd(), &mut data, Some(&mut space), MsgFlags::empty())?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control {
            return Ok(owned(usize::try_from(fds[0])?));
        }
    }
    Err("no descriptor came".into())
}

/// A loop device over the image, which goes with its last user.
fn attach_loop(image: &str) -> Result<OwnedFd, Box<dyn std::error::Error>> {
    let file = nix::fcntl::open(image, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    let control = open("/dev/loop-control", OFlag::O_RDWR)?;
    for _ in 0..100 {
        let free = call(libc::SYS_ioctl, &[number(control.as_raw_fd()), 0x4C82])?;
        let device = open(&format!("/dev/loop{free}"), OFlag::O_RDWR)?;
        // struct loop_config: fd, block size, loop_info64 whose flags say that it clears itself.
        let mut config = [0_u64; 38];
        config[0] = u64::try_from(file.as_raw_fd())?;
        config[1 + 6] = 4 << 32;
        let arguments = [number(device.as_raw_fd()), 0x4C0A, config.as_ptr().addr()];
        if call(libc::SYS_ioctl, &arguments).is_ok() {
            return Ok(device);
        }
        // Another test was faster.
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Err("no free loop device".into())
}

/// Another user, with one capability left of root's.
fn user_with(uid: &str, capability: &str, ambient: bool) -> Done {
    let capability: u32 = capability.parse()?;
    call(libc::SYS_prctl, &[8, 1])?;
    call(libc::SYS_setresgid, &[id(uid)?; 3])?;
    call(libc::SYS_setresuid, &[id(uid)?; 3])?;
    if ambient { raise_ambient(capability) } else { keep_capability(capability) }
}

/// Keeps one capability, effective, permitted and inheritable.
fn keep_capability(capability: u32) -> Done {
    // Version 3, this thread; two words each of effective, permitted, inheritable.
    let header = [0x2008_0522_u32, 0];
    let set = [1_u32 << capability; 3];
    let data = [set[0], set[1], set[2], 0, 0, 0];
    call(libc::SYS_capset, &[header.as_ptr().addr(), data.as_ptr().addr()])?;
    Ok(())
}

fn raise_ambient(capability: u32) -> Done {
    keep_capability(capability)?;
    call(libc::SYS_prctl, &[47, 2, usize::try_from(capability)?, 0, 0])?;
    Ok(())
}

fn execve(path: &str) -> std::io::Result<()> {
    let path = text(path);
    let arguments = [path.as_ptr(), std::ptr::null()];
    call(libc::SYS_execve, &[path.as_ptr().addr(), arguments.as_ptr().addr(), 0]).map(drop)
}

fn execveat(fd: &str, path: &str, flags: i32) -> std::io::Result<()> {
    let fd = number(fd.parse().unwrap());
    let (path, flags) = (text(path), usize::try_from(flags).unwrap());
    let arguments = [path.as_ptr(), std::ptr::null()];
    let pointers = [fd, path.as_ptr().addr(), arguments.as_ptr().addr(), 0, flags];
    call(libc::SYS_execveat, &pointers).map(drop)
}

/// The 32-bit call, which every 64-bit process can make.
#[cfg(target_arch = "x86_64")]
fn int80(path: &str, call_number: u32) -> std::io::Result<()> {
    let low = 0x2_0000_usize;
    let protection = nix::sys::mman::ProtFlags::PROT_READ | nix::sys::mman::ProtFlags::PROT_WRITE;
    let flags = nix::sys::mman::MapFlags::MAP_ANONYMOUS
        | nix::sys::mman::MapFlags::MAP_PRIVATE
        | nix::sys::mman::MapFlags::MAP_FIXED_NOREPLACE;
    let size = std::num::NonZeroUsize::new(8192).unwrap();
    // SAFETY: NOREPLACE: no other mapping is touched.
    let memory =
        unsafe { nix::sys::mman::mmap_anonymous(std::num::NonZeroUsize::new(low), size, protection, flags) }?;
    let text = text(path);
    let bytes = text.as_bytes_with_nul();
    // SAFETY: 8192 bytes are mapped there, and nobody else has a reference to them.
    let area = unsafe { std::slice::from_raw_parts_mut(memory.as_ptr().cast::<u8>(), 8192) };
    area[..bytes.len()].copy_from_slice(bytes);
    let low = u32::try_from(low).unwrap();
    // argv: the path, and the end.
    area[4096..4100].copy_from_slice(&low.to_le_bytes());
    let argv = low + 4096;
    let (first, second, third, fourth) =
        if call_number == 11 { (low, argv, 0, 0) } else { (u32::MAX - 99, low, argv, 0) };
    let result: i32;
    // SAFETY: the kernel reads the path and argv above; rbx, which the compiler keeps for itself, is put back.
    unsafe {
        std::arch::asm!(
            "push rbx",
            "mov ebx, {first:e}",
            "int 0x80",
            "pop rbx",
            first = in(reg) first,
            inlateout("eax") call_number => result,
            in("ecx") second,
            in("edx") third,
            in("esi") fourth,
            in("edi") 0,
        );
    }
    Err(std::io::Error::from_raw_os_error(-result))
}

/// clone(2) with these flags; the child executes.
fn cloned(flags: &str, path: &str) -> std::io::Result<()> {
    let flag = |name| match name {
        "vm" => libc::CLONE_VM,
        "vfork" => libc::CLONE_VFORK,
        "files" => libc::CLONE_FILES,
        "fs" => libc::CLONE_FS,
        "parent" => libc::CLONE_PARENT,
        _ => panic!("no such flag: {name}"),
    };
    extern "C" fn child(path: *mut libc::c_void) -> libc::c_int {
        let arguments = [path.cast_const().cast::<libc::c_char>(), std::ptr::null()];
        // SAFETY: the parent keeps the path until the child has ended.
        let failed = unsafe { libc::syscall(libc::SYS_execve, path, arguments.as_ptr(), 0) };
        // The child of a clone has an errno of its parent's; nothing else runs meanwhile.
        let error = std::io::Error::last_os_error().raw_os_error();
        if failed == -1 && error == Some(libc::EPERM) { DENIED } else { FAILED }
    }
    let flags = flags.split(',').map(flag).fold(libc::SIGCHLD, |all, flag| all | flag);
    let path = text(path);
    let mut stack = vec![0_u8; 256 * 1024];
    let top = stack.as_mut_ptr_range().end;
    let aligned = top.wrapping_sub(top.addr() % 16).cast();
    // SAFETY: the stack is 256 KiB and outlives the child, for whose end we wait below.
    let pid = unsafe { libc::clone(child, aligned, flags, path.as_ptr().cast_mut().cast()) };
    assert!(pid > 0, "{}", std::io::Error::last_os_error());
    end(relay(nix::unistd::Pid::from_raw(pid)))
}

fn clone3(path: &str) -> std::io::Result<()> {
    let arguments = [0_u64, 0, 0, 0, u64::try_from(libc::SIGCHLD).unwrap(), 0, 0, 0];
    match call(libc::SYS_clone3, &[arguments.as_ptr().addr(), 64])? {
        0 => execve(path),
        child => end(relay(nix::unistd::Pid::from_raw(i32::try_from(child).unwrap()))),
    }
}

fn spawn(path: &str) -> std::io::Result<()> {
    let path = text(path);
    let arguments = [path.as_ptr().cast_mut(), std::ptr::null_mut()];
    let mut pid = 0;
    let null = std::ptr::null();
    // SAFETY: path and argv live over the call and end with NUL and a null pointer; the rest may be null.
    let error = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            path.as_ptr(),
            null,
            null.cast(),
            arguments.as_ptr(),
            arguments.as_ptr(),
        )
    };
    if error != 0 {
        return Err(std::io::Error::from_raw_os_error(error));
    }
    end(relay(nix::unistd::Pid::from_raw(pid)))
}

/// A thread that is not its process's first executes; the first one is made to look harmless.
fn in_thread(path: &str, how: &[&str]) -> std::io::Result<()> {
    let (go, went) = std::sync::mpsc::channel::<()>();
    let path = path.to_owned();
    let how: Vec<String> = how.iter().map(|word| (*word).to_owned()).collect();
    let its = how.clone();
    let thread = std::thread::spawn(move || {
        went.recv().unwrap();
        match its.first().map(String::as_str) {
            // Only the leader is root.
            Some("user") => drop(call(libc::SYS_setresuid, &[id(&its[1]).unwrap(); 3]).unwrap()),
            Some("zombie") => std::thread::sleep(std::time::Duration::from_millis(100)),
            _ => {}
        }
        execute(&["exec", &path]);
    });
    match how.first().map(String::as_str) {
        Some("leader") => drop(call(libc::SYS_setresuid, &[id(&how[1]).unwrap(); 3])?),
        // The first thread ends: the process lives on, its leader is a zombie.
        Some("zombie") => {
            go.send(()).unwrap();
            call(libc::SYS_exit, &[0])?;
        }
        Some("flipping") => {
            go.send(()).unwrap();
            loop {
                call(libc::SYS_setresuid, &[usize::MAX, 65534, usize::MAX])?;
                call(libc::SYS_setresuid, &[usize::MAX, 0, usize::MAX])?;
            }
        }
        _ => {}
    }
    go.send(()).unwrap();
    thread.join().unwrap();
    Ok(())
}

/// A tracer turns an innocent call of another process into an exec.
#[cfg(target_arch = "x86_64")]
fn injected(path: &str) -> std::io::Result<()> {
    let path = text(path);
    let arguments = [path.as_ptr(), std::ptr::null()];
    let Some(child) = fork() else {
        call(libc::SYS_ptrace, &[0, 0, 0, 0])?;
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP)?;
        loop {
            call(libc::SYS_getppid, &[])?;
        }
    };
    let pid = number(child.as_raw());
    let go_on = |request: usize| {
        call(libc::SYS_ptrace, &[request, pid, 0, 0]).unwrap();
        nix::sys::wait::waitpid(child, Some(nix::sys::wait::WaitPidFlag::__WALL)).unwrap()
    };
    nix::sys::wait::waitpid(child, Some(nix::sys::wait::WaitPidFlag::__WALL))?;
    go_on(24);
    let mut registers = [0_u64; 27];
    call(libc::SYS_ptrace, &[12, pid, 0, registers.as_mut_ptr().addr()])?;
    let long = |value: usize| u64::try_from(value).unwrap();
    // rdi, rsi, rdx and orig_rax of user_regs_struct.
    registers[14] = long(path.as_ptr().addr());
    registers[13] = long(arguments.as_ptr().addr());
    registers[12] = 0;
    registers[15] = 59;
    call(libc::SYS_ptrace, &[13, pid, 0, registers.as_mut_ptr().addr()])?;
    go_on(24);
    call(libc::SYS_ptrace, &[12, pid, 0, registers.as_mut_ptr().addr()])?;
    let result = registers[10].cast_signed();
    if result < 0 {
        call(libc::SYS_kill, &[pid, 9])?;
        return Err(std::io::Error::from_raw_os_error(i32::try_from(-result).unwrap()));
    }
    loop {
        if let nix::sys::wait::WaitStatus::Exited(_, status) = go_on(7) {
            end(status);
        }
    }
}

/// The link of /proc to what is mapped at a place.
fn map_file(path: &str) -> String {
    let file = File::open(path).unwrap();
    let size = std::num::NonZeroUsize::new(4096).unwrap();
    let (protection, flags) = (nix::sys::mman::ProtFlags::PROT_READ, nix::sys::mman::MapFlags::MAP_PRIVATE);
    // SAFETY: a fresh mapping at a place of the kernel's choosing.
    let at = unsafe { nix::sys::mman::mmap(None, size, protection, flags, &file, 0) }.unwrap();
    let address = at.as_ptr().addr();
    format!("/proc/self/map_files/{address:x}-{:x}", address + 4096)
}

fn map_sysv() -> String {
    let segment = call(libc::SYS_shmget, &[0, 4096, 0o700]).unwrap();
    let address = call(libc::SYS_shmat, &[segment, 0, 0]).unwrap();
    call(libc::SYS_shmctl, &[segment, 0, 0]).unwrap();
    fill(address)
}

fn map_anonymous() -> String {
    let size = std::num::NonZeroUsize::new(4096).unwrap();
    let protection = nix::sys::mman::ProtFlags::PROT_READ | nix::sys::mman::ProtFlags::PROT_WRITE;
    let flags = nix::sys::mman::MapFlags::MAP_SHARED;
    // SAFETY: a fresh mapping at a place of the kernel's choosing.
    let at = unsafe { nix::sys::mman::mmap_anonymous(None, size, protection, flags) }.unwrap();
    let path = fill(at.as_ptr().expose_provenance());
    // What cannot be executed is made so through its name.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

/// Puts a program into the memory at this address, and names it.
fn fill(address: usize) -> String {
    let program = elf::program();
    // SAFETY: 4096 bytes were just mapped there, for us alone.
    let memory =
        unsafe { std::slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut(address), 4096) };
    memory[..program.len()].copy_from_slice(&program);
    format!("/proc/self/map_files/{address:x}-{:x}", address + 4096)
}

/// A system call. Pointers among the arguments lead to memory that lives until it returns, as large as that call wants.
pub fn call(which: libc::c_long, arguments: &[usize]) -> std::io::Result<usize> {
    let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: said by each caller's shape: locals that outlive this call, of the size that the call reads or writes.
    let result = unsafe {
        libc::syscall(which, argument(0), argument(1), argument(2), argument(3), argument(4), argument(5))
    };
    usize::try_from(result).map_err(|_| std::io::Error::last_os_error())
}

fn owned(raw: usize) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor, and nobody else knows its number.
    unsafe { OwnedFd::from_raw_fd(i32::try_from(raw).unwrap()) }
}

fn cwd() -> std::os::fd::BorrowedFd<'static> {
    nix::fcntl::AT_FDCWD
}

fn here() -> usize {
    number(libc::AT_FDCWD)
}

/// An int as a register holds it.
fn number(value: i32) -> usize {
    isize::try_from(value).unwrap().cast_unsigned()
}

fn id(word: &str) -> Result<usize, std::num::ParseIntError> {
    if word == "-" { Ok(usize::MAX) } else { word.parse() }
}

fn text(text: &str) -> CString {
    CString::new(text).unwrap()
}

const AT_EXECVE_CHECK: i32 = 0x10000;
