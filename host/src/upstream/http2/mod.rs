//! Connections to targets that carry many exchanges at the same time (RFC 9113).
//!
//! A worker has one of them to a target, and another one when all streams of those that it has are in use. Who needs a
//! connection while one is being made waits for that.
//!
//! - [`stream`]: one exchange
//! - [`shared`]: a connection, and how many exchanges it carries
//! - [`spares`]: a target's connections

pub mod shared;
pub mod spares;
pub mod stream;
