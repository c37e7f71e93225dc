//! What a filesystem type means for the watch.
//!
//! A type that is not listed, because it is newer than this list, counts as a disk: to watch too much is told in
//! the plan, to watch too little is told by nobody.

/// What a filesystem type means for the watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its files live in memory: what this program is for.
    Memory,
    /// Its files live on a block device, or the type is unknown here.
    Disk,
    /// Its files are those of other filesystems, and a run of one raises the event of the layer it lies in (from Linux 6.5
    /// on). Containers live in these.
    Layered,
    /// Its files are the kernel's: nobody can put a program there.
    Kernel,
    /// Its answers come from a process or another machine: one look at a file there can block for ever, and for
    /// FUSE any user can be that process. Whoever is let in here can hang the guard.
    Remote,
}

impl Kind {
    pub(super) fn of(fs_type: &[u8]) -> Self {
        match fs_type {
            b"tmpfs" | b"ramfs" | b"devtmpfs" | b"hugetlbfs" => Self::Memory,
            b"overlay" | b"aufs" | b"unionfs" | b"ecryptfs" | b"shiftfs" => Self::Layered,
            b"proc" | b"sysfs" | b"cgroup" | b"cgroup2" | b"cpuset" | b"devpts" | b"mqueue" | b"nsfs"
            | b"securityfs" | b"debugfs" | b"tracefs" | b"pstore" | b"efivarfs" | b"bpf" | b"configfs"
            | b"selinuxfs" | b"smackfs" | b"autofs" | b"binfmt_misc" | b"fusectl" | b"rpc_pipefs"
            | b"nfsd" | b"resctrl" | b"functionfs" | b"gadgetfs" | b"pidfs" | b"xenfs" | b"ocfs2_dlmfs" => {
                Self::Kernel
            }
            b"fuse" | b"fuseblk" | b"virtiofs" | b"nfs" | b"nfs4" | b"cifs" | b"smb3" | b"smbfs" | b"9p"
            | b"ceph" | b"afs" | b"coda" | b"orangefs" | b"lustre" | b"beegfs" | b"gfs2" | b"ocfs2"
            | b"vboxsf" | b"vmhgfs" => Self::Remote,
            other if other.starts_with(b"fuse.") => Self::Remote,
            _ => Self::Disk,
        }
    }
}

/// True where a file's st_dev is another number than the filesystem's in mountinfo: a file there cannot be told to lie
/// outside the watched directory.
pub(super) fn renumbers(fs_type: &[u8]) -> bool {
    matches!(fs_type, b"btrfs" | b"bcachefs") || Kind::of(fs_type) == Kind::Layered
}
