//! What went wrong with exchanges, for the gateway's own log: each line with the request's id, which the client was told as
//! well. An outage must not fill a disk, so there are no more than some dozen lines a second, and one that says how many
//! were left out.

use std::net::IpAddr;
use std::sync::LazyLock;

use http::HeaderValue;

use super::throttle::Throttle;
use crate::exchange::Failure;
use crate::exchange::body::BodyError;
use crate::exchange::failure::ClientFailure;

/// Lines at once, and a second.
static LINES: LazyLock<Throttle> = LazyLock::new(|| Throttle::new(100, 20));

fn admits_line() -> bool {
    let Some(left_out) = LINES.admit() else {
        return false;
    };
    if left_out > 0 {
        tracing::warn!("{left_out} lines about failed exchanges were left out");
    }
    true
}

fn text(request_id: &HeaderValue) -> &str {
    request_id.to_str().unwrap_or("-")
}

/// The gateway answers itself. What a plugin failed with is in the log already, and what clients do wrong is nobody's
/// trouble but theirs.
pub fn failed(request_id: &HeaderValue, failure: &Failure) {
    match failure {
        Failure::Upstream(_)
        | Failure::BrokenBody(_)
        | Failure::Limit(_)
        | Failure::Internal(_) => {
            if admits_line() {
                tracing::warn!(request_id = text(request_id), "{failure}");
            }
        }
        Failure::Client(_)
        | Failure::Route(_)
        | Failure::Handshake(_)
        | Failure::NotSwitched(_)
        | Failure::Plugin(_) => {
            tracing::debug!(request_id = text(request_id), "{failure}");
        }
    }
}

/// A response broke off after its head had been handed to the client.
pub fn broke_off(request_id: &HeaderValue, error: &BodyError) {
    if admits_line() {
        tracing::warn!(
            request_id = text(request_id),
            "a response broke off: {error}"
        );
    }
}

/// A head was refused before it became an exchange; `request_id` is what the client was told.
pub fn refused(request_id: &HeaderValue, peer: IpAddr, failure: ClientFailure) {
    if tracing::enabled!(tracing::Level::INFO) && admits_line() {
        tracing::info!(request_id = text(request_id), %peer, "request refused: {failure}");
    }
}
