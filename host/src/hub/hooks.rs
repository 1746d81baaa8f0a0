//! The seam between a hub and the plugins that decide about its connections and messages.
//!
//! Everything here is a plain type that mirrors the contract's interface `hub`; a hub knows nothing of
//! components, and what runs them knows nothing of sockets. One [`Hooks`] stands for all the plugins of
//! one hub on one worker, in their order. What a failure means (`on_failure`, the breaker) has been decided
//! behind it: a plugin that is skipped looks like one that is not there, and an `Err` is a rejection.
//!
//! What comes back is checked by the hub, as what comes from a client is: identifiers, rooms and sizes are
//! bounded, and an action that breaks a bound is logged and left out.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;

use crate::exchange::Exchange;

/// What a hook comes to. A hub asks one thing at a time for each client, and reads nothing more from it meanwhile.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Rejected>>>>;

/// The hooks of one hub on one worker.
pub trait Hooks: fmt::Debug {
    /// A client that has asked for the upgrade rightly. The exchange has its request, and stays with the hooks.
    ///
    /// [`Rejected`]: the client is answered 500.
    fn on_connect(&self, exchange: Box<Exchange>) -> Answer<Admission>;

    /// A message of a client. The hub carries out what comes back, in that order.
    ///
    /// [`Rejected`]: the connection is closed with 1011.
    fn on_message(&self, client: ClientView, message: Message) -> Answer<Vec<Action>>;

    /// A client that has gone, with the code and reason of its end (1006 where there was no closing handshake).
    /// It is in no room any more: the view has those that it was in. Only [`Action::Publish`] and [`Action::SendTo`] mean
    /// anything.
    ///
    /// [`Rejected`]: nothing more.
    fn on_disconnect(&self, client: ClientView, code: u16, reason: String) -> Answer<Vec<Action>>;

    /// Whether no plugin sees messages: then [`Hooks::on_message`] says [`Action::Forward`] to all, and need not be asked.
    fn is_blind_to_messages(&self) -> bool {
        false
    }

    /// Whether no plugin sees the ends of connections: then [`Hooks::on_disconnect`] need not be told of them.
    fn is_blind_to_ends(&self) -> bool {
        false
    }
}

/// A hook failed, and its plugin's `on_failure` is "reject". The log has been told why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a plugin failed")]
pub struct Rejected;

/// Who a hook is called for. Cheap to clone, and can go to another thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientView {
    /// Its identifier.
    pub id: Arc<str>,
    /// The rooms that it is in, in the order in which it came into them.
    pub rooms: Arc<[Arc<str>]>,
    /// What hooks have kept with it.
    pub state: Bytes,
}

/// A message without its framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Binary.
    Binary(Bytes),
}

/// Whether a client is let in.
#[derive(Debug)]
pub enum Admission {
    /// It is.
    Accept(Welcome),
    /// It gets this answer instead of the upgrade.
    Reject(Response<Bytes>),
}

/// With what a client is let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Welcome {
    /// Its identifier; `None`: one that nobody can guess.
    pub client_id: Option<String>,
    /// Rooms that it is in from the start.
    pub rooms: Vec<String>,
    /// One of the subprotocols that it has offered; `None`: as the hub would choose.
    pub subprotocol: Option<String>,
    /// What is kept with it for later hooks.
    pub state: Bytes,
    /// What it is sent first.
    pub greetings: Vec<Message>,
}

/// What becomes of a message. No action at all: nothing, as [`Action::Drop`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Sends this to the client itself.
    Reply(Message),
    /// Sends this to everyone in a room, as if the client had published it; the client need not be in the room.
    Publish(String, Message),
    /// Sends this to the client of that identifier.
    SendTo(String, Message),
    /// Puts the client into a room.
    Join(String),
    /// Takes it out of a room.
    Leave(String),
    /// Keeps this with the client in place of what was kept before.
    SetState(Bytes),
    /// The message goes no further.
    Drop,
    /// Ends the connection with this code (1000, 1008, 3000 to 4999, …) and reason.
    Close(u16, String),
    /// The message is treated as if there were no hooks: a command of the hub protocol, an echo, a relayed message. In a
    /// hub of mode "hooks" there is nothing of the kind, and this does nothing.
    Forward,
    /// As [`Action::Forward`], with this message in the place of the client's.
    Replace(Message),
}
