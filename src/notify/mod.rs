//! notify: stub
