//! The control socket: how people and scripts look into the running guard and give it orders.
//!
//! Owns the wire types ([`protocol`], [`status`]: pure), the socket with its check of the peer ([`server`]) and the
//! other end of it ([`client`]). Must not let an unchecked peer change anything, and knows nothing of what a request
//! does: the daemon hands the server a function for that. No answer to the kernel ever waits for this room.

pub mod client;
pub mod protocol;
pub mod server;
pub mod status;

#[cfg(test)]
mod tests;
