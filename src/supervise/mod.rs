//! supervise: stub
