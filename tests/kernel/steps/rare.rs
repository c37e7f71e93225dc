//! Steps that few programs take: io_uring, descriptors put in by a supervisor of system calls, machine code read from a
//! file, other shapes of file capabilities.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::fcntl::OFlag;

use super::{Done, call, execve, here, keep, number, open, owned, text};
use crate::helper::{end, fork, relay};

/// Takes the step, where it is one of these.
pub fn take(words: &[&str]) -> Option<Done> {
    Some(match *words {
        ["uring", fd, path] => opened_by_ring(path).and_then(|file| keep(fd, file)),
        ["supervised", fd, path] => put_in(fd, path),
        ["attributes", path, set, clear] => attributes(path, set, clear),
        ["remount", path, data] => {
            let flags = nix::mount::MsFlags::MS_REMOUNT;
            super::mount(None, path, None, flags, Some(data)).map_err(Into::into)
        }
        ["capabilities", path, number, kind] => file_capability(path, number, kind),
        ["nofixup"] => call(libc::SYS_prctl, &[28, 1 << 2]).map(drop).map_err(Into::into),
        #[cfg(target_arch = "x86_64")]
        ["code", path] => fs::write(path, CODE).map_err(Into::into),
        _ => return None,
    })
}

/// Executes, where the step is one of these.
pub fn execute(words: &[&str]) -> Option<std::io::Result<()>> {
    Some(match *words {
        ["sh", ref script @ ..] => shell(&script.join(" ")),
        ["clone3", path, "cgroup", directory] => into_cgroup(path, directory),
        #[cfg(target_arch = "x86_64")]
        ["jump", path] => jump(path),
        _ => return None,
    })
}

/// A shell ends with 126 where the program may not be executed.
fn shell(script: &str) -> std::io::Result<()> {
    let (shell, option, script) = (text("/bin/sh"), text("-c"), text(script));
    let arguments = [shell.as_ptr(), option.as_ptr(), script.as_ptr(), std::ptr::null()];
    let path = text("PATH=/usr/sbin:/usr/bin:/sbin:/bin");
    let environment = [path.as_ptr(), std::ptr::null()];
    let pointers = [shell.as_ptr().addr(), arguments.as_ptr().addr(), environment.as_ptr().addr()];
    call(libc::SYS_execve, &pointers).map(drop)
}

fn into_cgroup(path: &str, directory: &str) -> std::io::Result<()> {
    let group = open(directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    let long = |value: i32| u64::try_from(value).unwrap();
    // struct clone_args: flags (CLONE_INTO_CGROUP), exit_signal at 4, cgroup at 10.
    let mut arguments = [0_u64; 11];
    arguments[0] = 1 << 33;
    arguments[4] = long(libc::SIGCHLD);
    arguments[10] = long(group.as_raw_fd());
    match call(libc::SYS_clone3, &[arguments.as_ptr().addr(), 88])? {
        0 => execve(path),
        child => end(relay(nix::unistd::Pid::from_raw(i32::try_from(child).unwrap()))),
    }
}

/// mov edi, 0; mov eax, 231 (exit_group); syscall
#[cfg(target_arch = "x86_64")]
const CODE: [u8; 12] = [0xBF, 0, 0, 0, 0, 0xB8, 0xE7, 0, 0, 0, 0x0F, 0x05];

/// What every loader of one's own does: reads, and goes there.
#[cfg(target_arch = "x86_64")]
fn jump(path: &str) -> std::io::Result<()> {
    use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
    let code = fs::read(path)?;
    let size = std::num::NonZeroUsize::new(4096).unwrap();
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE | ProtFlags::PROT_EXEC;
    // SAFETY: a fresh mapping at a place of the kernel's choosing.
    let memory = unsafe { mmap_anonymous(None, size, protection, MapFlags::MAP_PRIVATE) }?;
    // SAFETY: 4096 bytes were just mapped there, for us alone.
    let area = unsafe { std::slice::from_raw_parts_mut(memory.as_ptr().cast::<u8>(), 4096) };
    area[..code.len()].copy_from_slice(&code);
    // SAFETY: the bytes are CODE, which takes no argument and ends the process.
    let run = unsafe { std::mem::transmute::<*mut u8, extern "C" fn()>(area.as_mut_ptr()) };
    run();
    Ok(())
}

/// openat(2) by a ring instead of a system call.
fn opened_by_ring(path: &str) -> Result<OwnedFd, Box<dyn std::error::Error>> {
    const OPENAT: u8 = 18;
    let mut parameters = [0_u32; 30];
    let ring = owned(call(libc::SYS_io_uring_setup, &[1, parameters.as_mut_ptr().addr()])?);
    let map = |size: usize, offset: usize| {
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let arguments = [0, size, usize::try_from(protection)?, usize::try_from(flags)?];
        let [place, size, protection, flags] = arguments;
        let at = call(libc::SYS_mmap, &[place, size, protection, flags, number(ring.as_raw_fd()), offset])?;
        Ok::<_, Box<dyn std::error::Error>>(std::ptr::with_exposed_provenance_mut::<u32>(at))
    };
    let (queue, entries) = (map(4096, 0)?, map(4096, 0x1000_0000)?);
    // struct io_uring_params in u32: sq_off at 10 (tail 1, array 6), cq_off at 20 (cqes 5).
    let at = |index: usize| usize::try_from(parameters[index]).unwrap() / 4;
    let path = text(path);
    let address = u64::try_from(path.as_ptr().addr())?;
    let halves = [u32::try_from(address & 0xFFFF_FFFF)?, u32::try_from(address >> 32)?];
    let write = |base: *mut u32, index: usize, value: u32| {
        // SAFETY: each index below lies in the first of the 4096 bytes that were mapped at `base`.
        unsafe { base.wrapping_add(index).write_volatile(value) };
    };
    // struct io_uring_sqe in u32: opcode 0, fd 1, addr 4, open_flags 7.
    write(entries, 0, OPENAT.into());
    write(entries, 1, libc::AT_FDCWD.cast_unsigned());
    write(entries, 4, halves[0]);
    write(entries, 5, halves[1]);
    write(queue, at(10 + 6), 0);
    write(queue, at(10 + 1), 1);
    call(libc::SYS_io_uring_enter, &[number(ring.as_raw_fd()), 1, 1, 1, 0, 0])?;
    // struct io_uring_cqe: user_data, then the result.
    // SAFETY: the first completion lies in the mapping, and the call above has waited for it.
    let result = unsafe { queue.wrapping_add(at(20 + 5) + 2).read_volatile() }.cast_signed();
    match usize::try_from(result) {
        Ok(raw) => Ok(owned(raw)),
        Err(_) => Err(std::io::Error::from_raw_os_error(-result).into()),
    }
}

/// A supervisor answers one of our system calls, and with it gives us a descriptor that we never opened.
fn put_in(fd: &str, path: &str) -> Done {
    const NOTIFY: u32 = 0x7FC0_0000;
    const ALLOW: u32 = 0x7FFF_0000;
    let wanted: u32 = fd.parse()?;
    // Load the number of the call; the one that nobody else makes goes to the supervisor.
    let called = u32::try_from(libc::SYS_getpgid)?;
    let filter: [(u16, u8, u8, u32); 4] =
        [(0x20, 0, 0, 0), (0x15, 0, 1, called), (0x06, 0, 0, NOTIFY), (0x06, 0, 0, ALLOW)];
    let filter: Vec<u64> = filter
        .iter()
        .map(|(code, yes, no, value)| {
            u64::from(*code) | u64::from(*yes) << 16 | u64::from(*no) << 24 | u64::from(*value) << 32
        })
        .collect();
    let program = [4_usize, filter.as_ptr().addr()];
    // SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER.
    let listener = owned(call(libc::SYS_seccomp, &[1, 1 << 3, program.as_ptr().addr()])?);
    let ours = std::process::id();
    let Some(_supervisor) = fork() else {
        let pidfd = owned(call(libc::SYS_pidfd_open, &[usize::try_from(ours)?, 0])?);
        let arguments = [number(pidfd.as_raw_fd()), number(listener.as_raw_fd()), 0];
        let listener = owned(call(libc::SYS_pidfd_getfd, &arguments)?);
        super::unshare("m")?;
        let file = open(path, OFlag::O_RDONLY)?;
        let ask = |request: libc::Ioctl, argument: usize| {
            let request = usize::try_from(request).unwrap();
            call(libc::SYS_ioctl, &[number(listener.as_raw_fd()), request, argument])
        };
        // struct seccomp_notif, 80 bytes; struct seccomp_notif_addfd; struct seccomp_notif_resp.
        let mut asked = [0_u64; 10];
        ask(0xC050_2100, asked.as_mut_ptr().addr())?;
        let source = u64::try_from(file.as_raw_fd())?;
        let put = [asked[0], 1 | source << 32, wanted.into()];
        ask(0x4018_2103, put.as_ptr().addr())?;
        let answer = [asked[0], 0, 0];
        ask(0xC018_2101, answer.as_ptr().addr())?;
        end(0);
    };
    call(libc::SYS_getpgid, &[0])?;
    Ok(())
}

/// mount_setattr(2); `-` for none.
fn attributes(path: &str, set: &str, clear: &str) -> Done {
    let flag = |name: &str| match name {
        "-" => 0_u64,
        "ro" => 1,
        "nosuid" => 2,
        "noexec" => 8,
        _ => panic!("no such attribute: {name}"),
    };
    let wanted = [flag(set), flag(clear), 0, 0];
    let path = text(path);
    let arguments = [here(), path.as_ptr().addr(), 0x8000, wanted.as_ptr().addr(), 32];
    call(libc::SYS_mount_setattr, &arguments)?;
    Ok(())
}

/// vfs_cap_data: `inheritable`, in revision 2; or permitted, of revision 3 with the root id of this name.
fn file_capability(path: &str, capability: &str, kind: &str) -> Done {
    let set = (1_u32 << capability.parse::<u32>()?).to_le_bytes();
    let (revision, permitted, inheritable) =
        if kind == "inheritable" { (2, [0; 4], set) } else { (3, set, [0; 4]) };
    let mut value = vec![1, 0, 0, revision];
    value.extend([permitted, inheritable, [0; 4], [0; 4]].concat());
    if let Some(root) = kind.strip_prefix("root=") {
        value.extend(root.parse::<u32>()?.to_le_bytes());
    }
    let (file, name) = (File::open(path)?, text("security.capability"));
    let pointers = [number(file.as_raw_fd()), name.as_ptr().addr(), value.as_ptr().addr(), value.len(), 0];
    call(libc::SYS_fsetxattr, &pointers)?;
    Ok(())
}
