//! Sluicegate: an HTTP gateway whose request and response processing is written as WebAssembly
//! components.
//!
//! # The life of a request
//!
//! ```text
//! accept → read head → validate and normalise → match route → strip hop-by-hop headers
//!   → director chain (in order) → re-validate → pick target → send
//!   → strip hop-by-hop headers → modify-response chain (in reverse) → write → record
//! ```
//!
//! The modules stand in that order:
//!
//! | module | its part |
//! |---|---|
//! | [`config`] | the file, and the validated types that it becomes |
//! | [`snapshot`] | a configuration with everything looked up, compiled and numbered |
//! | [`server`] | listeners, workers, connections |
//! | [`http1`] | HTTP/1 on the wire: reads and writes heads and bodies, for both sides |
//! | [`http2`] | what both sides need of HTTP/2 |
//! | [`gateway`] | the spine: one function that names every phase |
//! | [`exchange`] | a request and its response on their way, and HTTP's rules for a proxy |
//! | [`route`] | finds the route |
//! | [`plugin`] | the components around an exchange |
//! | [`balance`] | picks a target |
//! | [`upstream`] | connections to targets |
//! | [`websocket`] | connections that become something else than HTTP: tunnels, and the WebSocket protocol |
//! | [`hub`] | WebSocket connections that end at the gateway, and what is pushed to them |
//! | [`observe`] | counters and the access log |
//! | [`admin`] | the admin listener: health, readiness, metrics, upstreams, reload |
//! | [`demo`] | sample upstreams and a gateway in front of them |
//! | [`side_thread`] | work beside the workers, on a thread of its own |
//! | [`transport`] | bytes to and from a peer: TCP, unix sockets, TLS |
//! | [`tls`] | certificates, keys and roots become what TLS works with |
//! | [`timer`] | a timer that costs nothing until it fires |
//!
//! # What a worker has to itself
//!
//! Each worker is one thread with a runtime, listening sockets, connections to upstreams and
//! plugin instances of its own. Shared by all: the configuration's snapshot (immutable), the
//! balancers (so that the order of targets is the same however many workers there are), and
//! counters.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod admin;
pub mod balance;
pub mod config;
pub mod demo;
pub mod exchange;
pub mod gateway;
pub mod http1;
pub mod http2;
pub mod hub;
pub mod observe;
pub mod plugin;
pub mod route;
pub mod server;
pub mod side_thread;
pub mod snapshot;
pub mod timer;
pub mod tls;
pub mod transport;
pub mod upstream;
pub mod websocket;
