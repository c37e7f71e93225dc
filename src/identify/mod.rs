//! identify: stub
