//! HTTP/1 on the wire (RFC 9112): heads, bodies and their framing, in both directions. Code over bytes, which knows no
//! sockets; [`crate::server`] uses it towards clients, [`crate::upstream`] towards targets.
//!
//! - [`grammar`]: which bytes may stand where, lines, and fields
//! - [`request`]: reads a client's head, strictly: what two readers can take for two things is refused
//! - [`response`]: reads a target's head
//! - [`body`]: finds the end of a body, and what is in it
//! - [`inbox`]: what has come in and has not been taken yet
//! - [`outbox`]: what is to be written next, and how messages are put into it
//!
//! Why not hyper, which the gateway used first: it reads a client's head leniently, so a strict reader had to stand in
//! front of it and every head was read twice; and the two halves of its client talk through channels, which cost
//! a request more than its target's bytes did. What is read here is read once, from the buffer that the
//! kernel wrote to, and what is written goes into the buffer that the kernel reads from.

pub mod body;
pub mod grammar;
pub mod inbox;
pub mod outbox;
pub mod request;
pub mod response;

/// Bytes that are no HTTP/1 message, or can be read as two different ones; the text says what is wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);
