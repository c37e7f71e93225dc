//! The operator's text becomes one checked generation (rules, watch set, mode, sinks), or problems with file and line.
//!
//! Owns grammar, validation and generations. May not open files or look up users: text comes in, values go out.
//! A rule's way: [`Source`] (a file's text), `table` and `file` (TOML), `lex`, `parse` and `check` (its EQL
//! condition), [`Generation`] (all rules together). `decide` evaluates what comes out.

#![forbid(unsafe_code)]

pub mod cases;
mod check;
pub(crate) mod condition;
pub mod config;
mod file;
pub(crate) mod function;
mod generation;
pub mod import;
pub(crate) mod index;
mod lex;
pub mod limits;
mod mistake;
mod nearest;
pub(crate) mod network;
mod origin;
mod parse;
pub(crate) mod pattern;
mod problem;
pub(crate) mod regex;
mod rule;
pub(crate) mod syntax;
mod table;
mod unknowable;

pub use condition::Condition;
pub use config::Config;
pub(crate) use file::moment;
pub use file::{Rule, Source};
pub use generation::{EMBEDDED, Generation, PolicyFile, compile};
pub use problem::{Place, Problem};
pub use rule::{About, Severity, Threat, ThreatItem, Told};
