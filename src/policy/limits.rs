//! How large a policy may be. Every limit is far above what a person writes, and keeps load time, memory and the
//! stack bounded whatever a file holds.

/// Bytes of one policy file.
pub const FILE: usize = 4 << 20;
/// Rules in one generation.
pub const RULES: usize = 4096;
/// Bytes of one condition.
pub const CONDITION: usize = 64 << 10;
/// Levels of parentheses, `not`, arguments.
pub const DEPTH: usize = 64;
/// Entries of one list.
pub const LIST: usize = 4096;
/// Bytes of one text.
pub const TEXT: usize = 4096;
/// Characters between two `*` of a wildcard where there is a `?` among them: such a piece is looked for at every
/// place of the value.
pub const PIECE: usize = 128;
/// Bytes of one regular expression.
pub const REGEX: usize = 1000;
/// Bytes of one regular expression's automaton.
pub const AUTOMATON: usize = 1 << 20;
/// Different fields in one call, with all calls inside it: each combination of their values is tried.
pub const FIELDS_OF_A_CALL: usize = 3;
