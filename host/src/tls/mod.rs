//! TLS: from the files that a configuration names to what [`rustls`] works with.
//!
//! - [`pem`]: reads certificates and private keys from files
//! - [`certificate`]: what a certificate says of itself: names, validity, subject
//! - [`loader`]: collects what is wrong, as problems of the configuration
//! - [`server`]: a listener's side; [`sni`]: which of its certificates a client gets
//! - [`client`]: the side of what the gateway connects to; [`verifier`]: whether a target is who it should be
//!
//! Everything is made when a configuration is loaded, and shared by all workers: a connection costs a reference count. A reload reads
//! the files again. Where nothing has changed, what was made before goes on, with the sessions that clients may resume;
//! connections that are open keep what they began with.
//!
//! No message holds anything of a key's file but its path.

pub mod certificate;
pub mod client;
pub mod loader;
pub mod pem;
pub mod server;
pub mod sni;
#[cfg(test)]
mod testing;
pub mod verifier;

use std::io;
use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

/// The cryptography. One for all, so that nothing depends on what a process has installed as its default.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

/// What RFC 9209 (section 2.3) calls an error of TLS, if it is one.
pub fn error_type(error: &io::Error) -> Option<&'static str> {
    Some(match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(_) => "tls_certificate_error",
        rustls::Error::AlertReceived(_) => "tls_alert_received",
        _ => "tls_protocol_error",
    })
}

/// HTTP/1.1 in the negotiation of protocols (ALPN, RFC 7301).
pub const HTTP_1_1: &[u8] = b"http/1.1";
/// HTTP/2 there.
pub const HTTP_2: &[u8] = b"h2";
