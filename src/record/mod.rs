//! record: stub
