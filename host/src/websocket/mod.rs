//! Connections that become something else than HTTP.
//!
//! - [`upgrade`]: who asks for it, and whether it was granted
//! - [`tunnel`]: bytes between a client and a target, once it was

pub mod tunnel;
pub mod upgrade;
