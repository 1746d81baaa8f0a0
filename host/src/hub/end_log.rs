//! Why the hub has ended a connection, for the gateway's own log: clients see a code and nothing else of it is left anywhere.
//! Many may be ended at once, so there are no more than some dozen lines a second, and one that says how many were left out.

use std::sync::LazyLock;

use super::client::Client;
use super::codes;
use crate::observe::throttle::Throttle;
use crate::websocket::close::Close;

/// Lines at once, and a second.
static LINES: LazyLock<Throttle> = LazyLock::new(|| Throttle::new(100, 20));

/// The hub has ended this connection. That a gateway stops, or has another configuration, is in the log already, and what
/// clients end themselves is their affair.
pub(super) fn ended(hub: &str, client: &Client, close: &Close) {
    if [codes::SHUTDOWN.code, codes::REPLACED.code].contains(&close.code)
        || !tracing::enabled!(tracing::Level::INFO)
    {
        return;
    }
    let Some(left_out) = LINES.admit() else {
        return;
    };
    if left_out > 0 {
        tracing::info!("{left_out} lines about connections that hubs have ended were left out");
    }
    tracing::info!(
        hub,
        client = &*client.id,
        address = %client.address,
        code = close.code,
        // An operator or a plugin may have written it.
        reason = ?close.reason,
        "connection ended"
    );
}
