//! Mounts coming and going, and which marks follow from them.

pub mod plan;
