//! decide: stub
