//! control: stub
