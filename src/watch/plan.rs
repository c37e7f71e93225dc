//! From mount table and configuration to marks and names; pure.

#![forbid(unsafe_code)]

use crate::event::{Device, Fact, Texts};

/// Which superblocks are watched, and the names of the files in them.
#[derive(Clone, Debug, Default)]
pub struct Scope {}

/// Where a file lies with regard to the watched directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In a watched directory (or, with the inner path unknown, possibly so).
    Inside,
    /// In a watched superblock, but surely outside every watched directory: allowed at once, unrecorded.
    Outside,
}

impl Scope {
    /// Appends to `names` every name of the file at `inner` of the superblock `device`, the kernel's own spelling
    /// first. Where `inner` is not known: the watched directories of that superblock, each with a trailing `/`.
    pub fn name(&self, _device: Device, _inner: Fact<&[u8]>, _names: &mut Texts) -> Placement {
        Placement::Inside
    }
}
