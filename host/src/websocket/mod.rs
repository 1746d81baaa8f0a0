//! Connections that become something else than HTTP.
//!
//! - [`upgrade`]: who asks for it, and whether it was granted
//! - [`tunnel`]: bytes between a client and a target, once it was
//!
//! And WebSocket (RFC 6455) with permessage-deflate (RFC 7692), on the server's side, for connections that end here:
//!
//! - [`handshake`]: whether a request may become a connection, and the answer that makes it one
//! - [`extension`]: what of permessage-deflate is agreed on
//! - [`reader`]: bytes in, messages out, at whatever places the bytes are cut
//! - [`frame`]: messages out, encoded once for all who get them
//! - [`deflate`], [`utf8`], [`close`]: what these are made of
//!
//! # Why a codec of our own
//!
//! A hub holds many connections of which nearly all are silent, and writes the same message to many of them.
//! So a connection that is silent may own no buffer, and a message has to be framed, and deflated, once. Of what
//! there is, tokio-tungstenite has no permessage-deflate and 128 KiB of read buffer for each connection;
//! fastwebsockets 0.10 has no permessage-deflate and 8 KiB; sockudo-ws 3.1 has 64 KiB to read and 16 KiB to write;
//! yawc 0.5 lets both be small but keeps them, and, as the others do, frames and deflates a message anew for each
//! connection that it goes to. What would be left of a library is the parsing of fourteen bytes and the rules of
//! fragments and of closing, which are here, without I/O, in a form that takes a property test.
//!
//! Bytes are read into a buffer that all connections of a worker share, and unmasked in it; only what is cut off
//! between two reads is kept with the connection. The peers are asked not to keep a compression context from message
//! to message (`client_no_context_takeover`), and keep none themselves: a context is 32 KiB and more on each side of
//! each connection, and a message that refers to what its receiver got before can't be the same for all.

pub mod close;
pub mod deflate;
pub mod extension;
pub mod frame;
pub mod handshake;
pub mod reader;
pub mod tunnel;
pub mod upgrade;
pub mod utf8;
