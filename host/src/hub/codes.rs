//! The close codes of a hub, beside those of WebSocket itself (1001 at a shutdown, 1002, 1003, 1007, 1009, 1011 when a plugin
//! fails, 1012 when a reload has replaced the hub, 1013 when a room can't be entered). RFC 6455, section 7.4.2, leaves 4000 to 4999 to applications.

use crate::websocket::close::{Close, GOING_AWAY, INTERNAL, RESTART, TRY_LATER, UNSUPPORTED};

/// A ping was not answered in time. Connect again.
pub const NO_PONG: Close = Close::new(4000, "no answer to a ping");
/// No message for as long as `idle_timeout`.
pub const IDLE: Close = Close::new(4001, "idle for too long");
/// The client did not take what it was sent. Connect again, and resume.
pub const SLOW: Close = Close::new(4002, "too slow: connect again");
/// The client went on sending over its rate.
pub const FLOOD: Close = Close::new(4003, "too many messages");
/// What an operator's disconnect is told by, where they say nothing else.
pub const OPERATOR: Close = Close::new(4004, "disconnected by the operator");

/// The gateway stops. Connect again.
pub const SHUTDOWN: Close = Close::new(GOING_AWAY, "the gateway stops: connect again");
/// Another configuration has replaced the hub. Connect again.
pub const REPLACED: Close = Close::new(RESTART, "the hub has been replaced: connect again");
/// The rooms that the client is to be in from the start can't be entered, for the backplane can't be reached or the hub is
/// full. Connect again, later.
pub const NO_ROOM: Close = Close::new(
    TRY_LATER,
    "the room can't be entered now: connect again later",
);
/// A plugin failed.
pub const PLUGIN: Close = Close::new(INTERNAL, "internal error");
/// The hub protocol is text.
pub const TEXT_ONLY: Close = Close::new(UNSUPPORTED, "this protocol is JSON text");
