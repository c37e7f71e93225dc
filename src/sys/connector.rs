//! The kernel's process connector: a netlink socket on which it tells of every exec after it has happened.
//!
//! Only in the initial pid, user and network namespace; before Linux 6.6 only with CAP_NET_ADMIN, and with every fork and
//! exit beside the execs. The kernel never waits for the listener: what finds its buffer full is lost, and counted.

#![allow(unsafe_code, reason = "nix has neither this netlink protocol nor the socket option")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, NetlinkAddr, bind, recv, send, setsockopt, sockopt};

/// A socket on which the kernel tells of execs.
#[derive(Debug)]
pub struct Connector {
    socket: OwnedFd,
    /// What our request is known by: the kernel tells every listener of every answer. It goes into the field for the
    /// acknowledged number, whose successor is in the answer; the sequence is the kernel's own there.
    number: u32,
}

/// What the kernel tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The process with this id, as our pid namespace knows it, has executed a program.
    Exec(i32),
    /// The answer to a request, ours or another listener's.
    Answer {
        /// The number that the request had.
        number: u32,
        /// 0, or an errno.
        errno: u32,
    },
    /// Anything else.
    Other,
    /// The buffer was full: some messages are lost.
    Lost,
}

impl Connector {
    /// Opens the socket and asks to be told.
    ///
    /// # Errors
    /// EPERM: before Linux 6.6 without CAP_NET_ADMIN. EAFNOSUPPORT, EPROTONOSUPPORT: no netlink, or a kernel without
    /// CONFIG_PROC_EVENTS. ETIMEDOUT: the kernel does not answer, because we are not in the initial namespaces.
    pub fn open() -> io::Result<Self> {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: takes integers only.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_CONNECTOR) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us and nobody else knows its number.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // As much as we are given: with CAP_NET_ADMIN past the host's limit.
        if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &BUFFER)?;
        }
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, IDX_PROC))?;
        let connector = Self { socket, number: number() };
        connector.listen()?;
        Ok(connector)
    }

    /// Is told from now on only of the execs on its share of the CPUs: those whose number leaves `place` when it is
    /// divided by `sockets`.
    ///
    /// # Errors
    /// What setsockopt(2) says of SO_ATTACH_FILTER.
    pub fn divide(&self, place: u32, sockets: u32) -> io::Result<()> {
        let take =
            |code, jump_true, jump_false, k| libc::sock_filter { code, jt: jump_true, jf: jump_false, k };
        let what = u32::try_from(NETLINK_HEADER + CONNECTOR_HEADER).unwrap_or(0);
        // The filter reads words as the network writes them.
        let mut program = [
            take(LOAD_WORD, 0, 0, what),
            take(IF_EQUAL, 0, 4, EXEC.to_be()),
            take(LOAD_WORD, 0, 0, CURRENT_CPU),
            take(MODULO, 0, 0, sockets.max(1)),
            take(IF_EQUAL, 0, 1, place),
            take(RETURN, 0, 0, u32::MAX),
            take(RETURN, 0, 0, 0),
        ];
        let filter =
            libc::sock_fprog { len: u16::try_from(program.len()).unwrap_or(0), filter: program.as_mut_ptr() };
        // SAFETY: the kernel reads one sock_fprog and the `len` instructions it points to, both of which live until
        // the call is over; it copies them.
        let done = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const filter).cast(),
                libc::socklen_t::try_from(size_of_val(&filter)).unwrap_or(0),
            )
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        // What came before is of every CPU.
        while self.read()?.is_some() {}
        Ok(())
    }

    /// Reads one message; `None` where none is there. Does not block.
    ///
    /// # Errors
    /// What recv(2) says, but for a full buffer, which is [`Told::Lost`].
    pub fn read(&self) -> io::Result<Option<Told>> {
        let mut buffer = [0; 512];
        match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => Ok(Some(parse(buffer.get(..length).unwrap_or_default()))),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(Errno::ENOBUFS) => Ok(Some(Told::Lost)),
            Err(errno) => Err(errno.into()),
        }
    }

    /// How many messages were lost so far, of all kinds; `None` where the kernel does not say (before Linux 4.12).
    #[must_use]
    pub fn lost(&self) -> Option<u32> {
        let mut told = [0_u32; MEMINFO];
        let mut length = libc::socklen_t::try_from(size_of_val(&told)).ok()?;
        // SAFETY: the kernel writes at most `length` bytes into `told`, which has as many, and the new length.
        let done = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_MEMINFO,
                told.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if done == 0 { told.last().copied() } else { None }
    }

    fn listen(&self) -> io::Result<()> {
        send(self.socket.as_raw_fd(), &request(&[LISTEN], self.number), MsgFlags::empty())?;
        match self.answer()? {
            Some(0) => {}
            Some(errno) => {
                return Err(io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(libc::EIO)));
            }
            None => return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
        }
        // The second word is the kernel's own filter, Linux 6.6; before that it does not know such a request. It comes
        // second because the kernel keeps the answer from a listener who wants execs alone (measured on 6.18).
        send(self.socket.as_raw_fd(), &request(&[LISTEN, EXEC], self.number), MsgFlags::empty())?;
        Ok(())
    }

    /// Waits for the answer to the request; what is told before it is not missed by anybody yet.
    fn answer(&self) -> io::Result<Option<u32>> {
        let until = Instant::now() + ANSWERS_WITHIN;
        loop {
            match self.read()? {
                Some(Told::Answer { number, errno }) if number == self.number => {
                    return Ok(Some(errno));
                }
                Some(Told::Answer { .. } | Told::Exec(_) | Told::Other | Told::Lost) => {}
                None => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
                    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
                    match poll(&mut fds, timeout) {
                        Ok(_) | Err(Errno::EINTR) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
            }
        }
    }
}

impl Drop for Connector {
    /// The kernel counts its listeners by their requests alone: without this one it would go on telling nobody.
    fn drop(&mut self) {
        let _sent = send(self.socket.as_raw_fd(), &request(&[IGNORE], self.number), MsgFlags::empty());
    }
}

impl AsFd for Connector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A number that no other listener is likely to have.
fn number() -> u32 {
    let low = super::clock::boottime() & u64::from(u32::MAX);
    u32::try_from(low).unwrap_or(0) ^ nix::unistd::gettid().as_raw().cast_unsigned().rotate_left(16)
}

/// A netlink message with a connector message in it, whose content are these words.
fn request(words: &[u32], number: u32) -> Vec<u8> {
    let content: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let length = NETLINK_HEADER + CONNECTOR_HEADER + content.len();
    let mut message = u32::try_from(length).unwrap_or(0).to_ne_bytes().to_vec();
    // nlmsg_type NLMSG_DONE, no flags; sequence and port are the kernel's to fill in.
    message.extend(3_u16.to_ne_bytes());
    message.extend([0; 10]);
    // cb_id: index and value; sequence; acknowledged; length; flags.
    message.extend(IDX_PROC.to_ne_bytes());
    message.extend(VAL_PROC.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(number.to_ne_bytes());
    message.extend(u16::try_from(content.len()).unwrap_or(0).to_ne_bytes());
    message.extend([0; 2]);
    message.extend(content);
    message
}

/// Reads struct nlmsghdr, struct cn_msg, struct proc_event. The kernel sends one of each in a datagram, and nobody but
/// the kernel can send to this group.
fn parse(bytes: &[u8]) -> Told {
    let event = NETLINK_HEADER + CONNECTOR_HEADER;
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..)?.first_chunk().copied()?));
    let told = || {
        if word(NETLINK_HEADER)? != IDX_PROC || word(NETLINK_HEADER + 4)? != VAL_PROC {
            return None;
        }
        // Behind what, cpu and timestamp stands the event's own part.
        match word(event)? {
            NONE => {
                let number = word(NETLINK_HEADER + 12)?.wrapping_sub(1);
                Some(Told::Answer { number, errno: word(event + 16)? })
            }
            // process_pid, process_tgid: equal after an exec.
            EXEC => Some(Told::Exec(i32::try_from(word(event + 20)?).ok()?)),
            _ => None,
        }
    };
    told().unwrap_or(Told::Other)
}

const NETLINK_HEADER: usize = 16;
const CONNECTOR_HEADER: usize = 20;
/// CN_IDX_PROC, CN_VAL_PROC (linux/connector.h).
const IDX_PROC: u32 = 1;
const VAL_PROC: u32 = 1;
/// PROC_CN_MCAST_LISTEN, PROC_CN_MCAST_IGNORE, PROC_EVENT_NONE, PROC_EVENT_EXEC (linux/cn_proc.h).
const LISTEN: u32 = 1;
const IGNORE: u32 = 2;
const NONE: u32 = 0;
const EXEC: u32 = 2;
/// Some ten thousand messages.
const BUFFER: usize = 8 << 20;
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// Instructions of the classic packet filter (linux/bpf_common.h, linux/filter.h), and where it tells the current CPU.
const LOAD_WORD: u16 = 0x20;
const IF_EQUAL: u16 = 0x15;
const MODULO: u16 = 0x94;
const RETURN: u16 = 0x06;
const CURRENT_CPU: u32 = 0xffff_f000 + 36;
/// SO_MEMINFO and its SK_MEMINFO_VARS, of which the last is SK_MEMINFO_DROPS (linux/sock_diag.h).
const SO_MEMINFO: libc::c_int = 55;
const MEMINFO: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(what: u32, rest: &[u32]) -> Vec<u8> {
        let mut bytes = request(&[what, 0, 0, 0], 8);
        bytes.extend(rest.iter().flat_map(|word| word.to_ne_bytes()));
        bytes
    }

    #[test]
    fn execs_and_answers_are_told_from_the_rest() {
        assert_eq!(parse(&message(EXEC, &[4242, 4240])), Told::Exec(4240));
        assert_eq!(parse(&message(NONE, &[1])), Told::Answer { number: 7, errno: 1 });
        assert_eq!(parse(&message(1, &[4242, 4240])), Told::Other);
        assert_eq!(parse(&message(EXEC, &[4242])), Told::Other);
        assert_eq!(parse(b""), Told::Other);
    }

    #[test]
    fn an_exec_is_told() {
        let connector = match Connector::open() {
            Ok(connector) => connector,
            Err(error) => {
                eprintln!("SKIPPED, not in the initial namespaces or not permitted: {error}");
                return;
            }
        };
        #[allow(clippy::disallowed_methods, reason = "a test holds no group")]
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let id = i32::try_from(child.id()).unwrap();
        child.wait().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let mut told = false;
        while !told && Instant::now() < until {
            match connector.read().unwrap() {
                Some(Told::Exec(process)) => told = process == id,
                Some(_) => {}
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        assert!(told);
        assert!(connector.lost().is_some());
    }

    #[test]
    fn where_the_kernel_can_tell_execs_alone_it_does() {
        let Ok(connector) = Connector::open() else { return };
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        if (numbers.next().unwrap(), numbers.next().unwrap()) < (6, 6) {
            return;
        }
        // What came before the filter was in force.
        while connector.read().unwrap().is_some() {}
        std::thread::spawn(|| ()).join().unwrap();
        #[allow(clippy::disallowed_methods, reason = "a test holds no group")]
        let ended = std::process::Command::new("/bin/true").status();
        assert!(ended.unwrap().success());
        let told: Vec<_> = std::iter::from_fn(|| connector.read().unwrap()).take(1000).collect();
        assert!(!told.is_empty() && !told.contains(&Told::Other), "{told:?}");
    }

    #[test]
    fn of_two_that_share_one_is_told_of_each_exec() {
        let pair: Vec<_> = (0..2).filter_map(|_| Connector::open().ok()).collect();
        let [first, second] = pair.as_slice() else { return };
        first.divide(0, 2).unwrap();
        second.divide(1, 2).unwrap();
        let children: Vec<i32> = (0..20)
            .map(|_| {
                #[allow(clippy::disallowed_methods, reason = "a test holds no group")]
                let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
                child.wait().unwrap();
                i32::try_from(child.id()).unwrap()
            })
            .collect();
        let told =
            |connector: &Connector| std::iter::from_fn(|| connector.read().unwrap()).collect::<Vec<_>>();
        let (first, second) = (told(first), told(second));
        for child in children {
            let by =
                [&first, &second].map(|told| told.iter().filter(|one| **one == Told::Exec(child)).count());
            assert_eq!(by.iter().sum::<usize>(), 1, "{child}: {by:?}");
        }
    }

    #[test]
    fn what_the_kernel_has_no_room_for_is_counted() {
        let Ok(connector) = Connector::open() else { return };
        setsockopt(&connector.socket, sockopt::RcvBuf, &0).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while connector.lost() == Some(0) && Instant::now() < until {
            #[allow(clippy::disallowed_methods, reason = "a test holds no group")]
            let ended = std::process::Command::new("/bin/true").status();
            assert!(ended.unwrap().success());
        }
        assert!(connector.lost() > Some(0));
        let told: Vec<_> = std::iter::from_fn(|| connector.read().unwrap()).take(1000).collect();
        assert!(told.contains(&Told::Lost), "{told:?}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, rest: Vec<u8>) {
            let _told = parse(&bytes);
            let _told = parse(&[request(&[EXEC], 0), rest].concat());
        }
    }
}
