//! HTTP/2 on the wire (RFC 9113), where both sides of the gateway need the same of it. Frames, flow control and header
//! compression are the `h2` crate's; what is here is the gateway's use of them.
//!
//! - [`tunnel`]: a stream of an HTTP/2 connection as bytes, for what comes behind an extended CONNECT (RFC 8441)
//! - [`room`]: how much of a stream its other end takes

pub mod room;
pub mod tunnel;
