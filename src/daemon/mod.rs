//! daemon: stub
