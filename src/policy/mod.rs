//! The operator's text becomes one checked generation (rules, watch set, mode, sinks), or problems with file and line.
//!
//! Owns grammar, validation and generations. May not open files or look up users: text comes in, values go out.

#![forbid(unsafe_code)]

pub mod config;
mod problem;
mod rule;

pub use config::Config;
pub use problem::{Place, Problem};
pub use rule::{About, Severity, Threat, ThreatItem};
