//! The harness of the end-to-end tests: real sockets on both sides of a gateway.
//!
//! ```no_run
//! use sluicegate_tests::{Answer, Gateway, Upstream};
//!
//! let upstream = Upstream::start(|_| Answer::ok("hello"));
//! let gateway = Gateway::in_front_of(&upstream).start();
//! let response = gateway.get("/x").header("a", "b").send();
//! assert_eq!((response.status(), response.text()), (200, "hello"));
//! assert_eq!(upstream.received()[0].header("a"), Some("b"));
//! ```
//!
//! - [`Gateway`]: the gateway, in this process, on a free port
//! - [`Process`]: the gateway's binary, in a process of its own
//! - [`Upstream`], [`RawUpstream`], [`Holding`], [`Refusing`], [`TargetProcess`]: what stands behind it
//! - [`HubServer`]: a WebSocket hub alone; [`WebSocket`]: a client of one
//! - [`UnixUpstream`]: an upstream at a unix socket; [`DnsServer`]: names for upstreams
//! - [`RedisServer`]: a Redis that hubs of several gateways share
//! - [`http2`]: a client of HTTP/2; [`frames`]: one that obeys no rules
//! - [`Authority`], [`Certificate`], [`TlsClient`], [`TlsWire`]: TLS; [`TlsFront`]: that of an upstream
//! - [`Wire`]: one end of a connection, down to the bytes
//!
//! Whoever waits here waits for an event, for at most [`LIMIT`], and then fails with what has come so far.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc
)]

mod answer;
mod browser;
mod dns;
pub mod frames;
mod gateway;
mod head;
mod holding;
pub mod http2;
mod hub;
mod message;
mod process;
mod redis;
mod request;
mod socket;
mod target_process;
mod tls;
mod tls_front;
mod unix;
mod upstream;
mod wait;
mod wire;

pub use answer::Answer;
pub use browser::{Browser, Window};
pub use dns::{DnsServer, Says};
pub use gateway::{Gateway, GatewayBuilder};
pub use head::Head;
pub use holding::Holding;
pub use hub::HubServer;
pub use message::{Body, Chunk, End, ReadError, Response, Transcript};
pub use process::{Finished, Process};
pub use redis::RedisServer;
pub use request::RequestBuilder;
pub use socket::{Frame, WebSocket, frame};
pub use target_process::TargetProcess;
pub use tls::{Authority, Certificate, TlsClient, TlsWire};
pub use tls_front::{Shaken, TlsFront};
pub use unix::UnixUpstream;
pub use upstream::{RawUpstream, Received, Refusing, Upstream};
pub use wait::{LIMIT, Signal, wait_until};
pub use wire::Wire;
