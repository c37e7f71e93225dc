//! privileges: stub
