//! statmount(2), Linux 6.8: one mount's root, mount point and flags, by its unique id.
//!
//! From Linux 6.11 on a mount of another namespace can be asked for, by that namespace's id
//! ([`mount_namespace_id`](super::mounts::mount_namespace_id)). Nothing is kept: every call asks the kernel, so a mount that has moved is told where it is now.

#![allow(unsafe_code, reason = "statmount(2) has no binding in libc or nix")]

use std::io;

/// What the kernel says of one mount. Texts are bytes without escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mount<'a> {
    /// The superblock's device number.
    pub device: (u32, u32),
    /// `MOUNT_ATTR_*` of mount_setattr(2).
    pub attributes: u64,
    /// Which directory or file of the filesystem is its root; one that was removed ends in `//deleted`.
    pub root: &'a [u8],
    /// Where it is mounted, from our root or, asked for in another namespace, from that namespace's root. Empty where
    /// that cannot be reached from there.
    pub point: &'a [u8],
}

/// `MOUNT_ATTR_NOSUID`.
pub const NOSUID: u64 = 0x2;

/// Asks for the mount with the unique id `mount`, in our own mount namespace or in the one with the id `namespace`.
/// [`parse`] reads the answer out of `buffer`.
///
/// ENOENT: no such mount there (detached, another namespace's); EOVERFLOW: the texts are longer than `buffer`, which
/// holds 512 bytes beside them; ENOSYS: an older kernel.
pub fn statmount(mount: u64, namespace: Option<u64>, buffer: &mut [u8]) -> io::Result<()> {
    let request = Request {
        // The first size is known to every kernel that has the call; the second has the namespace.
        size: if namespace.is_some() { SIZE_WITH_NAMESPACE } else { SIZE_FIRST },
        spare: 0,
        mount,
        wanted: SB_BASIC | MNT_BASIC | MNT_ROOT | MNT_POINT,
        namespace: namespace.unwrap_or(0),
    };
    // SAFETY: `request` is at least `request.size` bytes, which the kernel only reads; it writes at most
    // `buffer.len()` bytes into `buffer`, which is borrowed mutably for the call and may hold any bytes.
    let done =
        unsafe { libc::syscall(SYS_STATMOUNT, &raw const request, buffer.as_mut_ptr(), buffer.len(), 0_u32) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Reads the answer by its offsets: the structure has grown and will grow, its first fields stay. `None`: the kernel
/// left out a part that we asked for.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Mount<'_>> {
    let told = long(bytes, 8)?;
    let size = usize::try_from(word(bytes, 0)?).ok()?;
    let texts = bytes.get(TEXTS..size)?;
    let text = |bit: u64, at: usize| {
        if told & bit == 0 {
            return Some(b"".as_slice());
        }
        let text = texts.get(usize::try_from(word(bytes, at)?).ok()?..)?;
        text.get(..text.iter().position(|byte| *byte == 0)?)
    };
    if told & (SB_BASIC | MNT_BASIC | MNT_ROOT) != SB_BASIC | MNT_BASIC | MNT_ROOT {
        return None;
    }
    Some(Mount {
        device: (word(bytes, 16)?, word(bytes, 20)?),
        attributes: long(bytes, 64)?,
        root: text(MNT_ROOT, 104)?,
        point: text(MNT_POINT, 108)?,
    })
}

/// `struct mnt_id_req`.
#[repr(C)]
struct Request {
    size: u32,
    spare: u32,
    mount: u64,
    wanted: u64,
    namespace: u64,
}

const _: () = assert!(size_of::<Request>() == 32);

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

/// Where the texts begin.
const TEXTS: usize = 512;
/// The same number on every architecture that Rust's standard library runs on.
const SYS_STATMOUNT: libc::c_long = 457;
const SIZE_FIRST: u32 = 24;
const SIZE_WITH_NAMESPACE: u32 = 32;
const SB_BASIC: u64 = 1;
const MNT_BASIC: u64 = 1 << 1;
const MNT_ROOT: u64 = 1 << 3;
const MNT_POINT: u64 = 1 << 4;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn our_own_root_mount_is_at_the_root() {
        use std::os::fd::AsFd;
        let root = std::fs::File::open("/").unwrap();
        let super::super::statx::MountId::Unique(id) =
            super::super::statx::of(root.as_fd(), super::super::statx::Want::Unique).unwrap().mount
        else {
            return;
        };
        let mut buffer = [0_u8; 4096];
        statmount(id, None, &mut buffer).unwrap();
        assert_eq!(parse(&buffer).unwrap().point, b"/");
        assert_eq!(statmount(u64::MAX, None, &mut buffer).unwrap_err().raw_os_error(), Some(libc::ENOENT));
        assert_eq!(statmount(id, None, &mut [0; 513]).unwrap_err().raw_os_error(), Some(libc::EOVERFLOW));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..700), size: u32) {
            if let Some(place) = bytes.first_chunk_mut() {
                *place = (size % 800).to_ne_bytes();
            }
            if let Some(mask) = bytes.get_mut(8) {
                *mask = 0xFF;
            }
            let _mount = parse(&bytes);
        }
    }
}
