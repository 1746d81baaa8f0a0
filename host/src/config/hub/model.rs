//! What `[hubs.NAME]` becomes.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::super::model::{Origin, PluginUse};
use crate::websocket::handshake::Origins;

/// `[hubs.NAME]`
#[derive(Debug, Clone)]
pub struct Hub {
    /// Its name.
    pub name: Arc<str>,
    /// `host`: exact in lower case, or `*.example.com`.
    pub host: Option<String>,
    /// `path`: a pattern that `route::Pattern` has accepted.
    pub path: String,
    /// `mode`
    pub mode: HubMode,
    /// `plugins`
    pub plugins: Vec<PluginUse>,
    /// `origins`: web pages that may connect, beside those of the same host.
    pub origins: Origins,
    /// `subprotocols` of the raw modes, the ones liked best first.
    pub subprotocols: Vec<String>,
    /// `deflate`: whether permessage-deflate is spoken. Default true.
    pub deflate: bool,
    /// `limits`
    pub limits: HubLimits,
    /// `ping`
    pub ping: Ping,
    /// `idle_timeout`: how long a client may send no message; `None` (the default): as long as it likes.
    pub idle: Option<Duration>,
    /// `slow_clients`
    pub slow_clients: SlowClients,
    /// `history`
    pub history: History,
    /// `backplane`
    pub backplane: Backplane,
    /// Where it stands in the file.
    pub origin: Origin,
}

/// `hubs.NAME.mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubMode {
    /// "rooms": the protocol `sluicegate.hub.v1`.
    Rooms,
    /// "echo": messages go back to who sent them.
    Echo,
    /// "relay": messages go to the others on the same path.
    Relay,
    /// "hooks": plugins decide what becomes of messages.
    Hooks,
}

/// `hubs.NAME.limits`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubLimits {
    /// Connections, over all workers. Default 100,000.
    pub connections: usize,
    /// Connections of one client address; `None` (the default): no limit of their own.
    pub connections_per_address: Option<usize>,
    /// Bytes of a message, inflated. Default 64 KiB.
    pub message: usize,
    /// Messages a second of one client, and at once; `None`: no limit. Default 50.
    pub rate: Option<NonZeroU32>,
    /// Bytes that wait to be sent to one client. Default 1 MiB.
    pub queue: usize,
    /// Rooms of the hub. Default 10,000.
    pub rooms: usize,
    /// Rooms that one client may be in. Default 100.
    pub rooms_per_client: usize,
}

/// `hubs.NAME.ping`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping {
    /// A client that has sent nothing for so long is sent a ping. Default 25 s.
    pub interval: Duration,
    /// One that then sends nothing for so long is gone. Default 8 s.
    pub timeout: Duration,
}

/// `hubs.NAME.slow_clients`: what becomes of a client whose `limits.queue` is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowClients {
    /// It is disconnected, with a code that says so.
    Disconnect,
    /// What has waited longest is not sent.
    DropOldest,
}

/// `hubs.NAME.history`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// Messages of a room that are kept. Default 100; 0: none.
    pub messages: usize,
    /// How long. Default 5 m.
    pub age: Duration,
    /// Bytes of all rooms together. Default 64 MiB.
    pub memory: usize,
}

/// `hubs.NAME.backplane`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backplane {
    /// "memory": the hub is this process.
    Memory,
    /// `redis://…`: the hub is all gateways that have one of its name there.
    Redis(RedisAddress),
}

/// `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    /// A name, or an address without brackets.
    pub host: String,
    /// Default 6379.
    pub port: u16,
    /// Default 0.
    pub database: u32,
    /// Default: none.
    pub password: Option<String>,
    /// Default: "default", the user that Redis has by itself.
    pub user: Option<String>,
}

impl std::fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without its password: this gets into logs.
        write!(f, "redis://{}:{}/{}", self.host, self.port, self.database)
    }
}
