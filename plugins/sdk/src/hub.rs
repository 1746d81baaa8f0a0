//! Hooks of a WebSocket hub: who may connect, what becomes of messages, and what happens when somebody goes.
//!
//! ```
//! use sluicegate_plugin::prelude::*;
//!
//! /// A room for everybody, in which nobody shouts.
//! struct Quiet;
//!
//! impl Plugin for Quiet {
//!     type Config = NoConfig;
//!
//!     fn new(_: NoConfig) -> Result<Self> {
//!         Ok(Self)
//!     }
//! }
//!
//! impl Hub for Quiet {
//!     fn connect(&self, request: &Request) -> Result<Admission> {
//!         let Some(name) = request.header_str("x-user") else {
//!             return Ok(Reply::text(401, "who are you?").into());
//!         };
//!         Ok(Admission::accept().id(name).room("hall").greeting("welcome").into())
//!     }
//!
//!     fn message(&self, client: &Client, message: Message) -> Result<Vec<Action>> {
//!         Ok(match message.as_text() {
//!             Some("/leave") => vec![Action::close(1000, "see you")],
//!             Some(text) if text == text.to_uppercase() => vec![Action::reply("not so loud, please")],
//!             Some(text) => vec![Action::publish("hall", format!("{}: {text}", client.id()))],
//!             None => vec![Action::close(1003, "text only")],
//!         })
//!     }
//!
//!     fn disconnect(&self, client: &Client, _: u16, _: &str) -> Result<Vec<Action>> {
//!         Ok(vec![Action::publish("hall", format!("{} has left", client.id()))])
//!     }
//! }
//!
//! sluicegate_plugin::export!(Quiet: Hub);
//! # fn main() {}
//! ```
//!
//! ```toml
//! [plugins.quiet]
//! component = "target/wasm32-wasip2/release/quiet.wasm"
//!
//! [hubs.hall]
//! path = "/hall"
//! mode = "hooks"
//! plugins = ["quiet"]
//! ```
//!
//! # Several plugins
//!
//! are layers: [`connect`](Hub::connect) and [`message`](Hub::message) run in the listed order, and a plugin that rejects, or that
//! does not forward a message, ends it there; [`disconnect`](Hub::disconnect) runs in reverse. A message that is forwarded by
//! all comes to the hub itself, which does with it what its `mode` says: in `rooms` it is a command of the hub's protocol.
//!
//! # What is kept with a connection
//!
//! An instance serves many connections, one call after the other, and another call may come to another instance. What belongs to a
//! connection goes into its state ([`Welcome::state`], [`Action::set_state`], [`Client::state`]), which is the plugin's own.
//!
//! # Names
//!
//! Rooms and clients have names of 1 to 128 bytes without control characters. An action with another name counts as the
//! plugin's failure; so ask [`is_name`] about what a client has chosen.

pub use crate::bindings::hub_hook::exports::sluicegate::plugin::hub::{
    Action, Admission, Closing, Welcome,
};
pub use crate::bindings::sluicegate::plugin::hub_types::{Client, Message};
use crate::error::Result;
use crate::plugin::{Plugin, Reply, Request};

/// The hooks of a hub. Each has a default that lets everything pass; one that is left at its default should be declined in
/// [`Plugin::needs`], which saves its calls.
pub trait Hub: Plugin {
    /// A client asks to be connected: it is accepted ([`Admission::accept`]), or gets a [`Reply`]. The request can be read; edits
    /// of it are refused, as it is not sent anywhere.
    fn connect(&self, request: &Request) -> Result<Admission> {
        let _ = request;
        Ok(Admission::accept().into())
    }

    /// A message from the client. What is not forwarded ends here: an empty list drops the message.
    fn message(&self, client: &Client, message: Message) -> Result<Vec<Action>> {
        let _ = (client, message);
        Ok(Action::Forward.into())
    }

    /// The connection is gone. The code is 1005 where the client gave none, and 1006 where it just went. Only
    /// [`Action::publish`] and [`Action::send_to`] have a meaning here.
    fn disconnect(&self, client: &Client, code: u16, reason: &str) -> Result<Vec<Action>> {
        let _ = (client, code, reason);
        Ok(Vec::new())
    }
}

/// The longest name of a room or a client, in bytes.
pub const MAX_NAME: usize = 128;

/// Whether rooms and clients can be called so: 1 to 128 bytes without control characters.
pub fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

impl Admission {
    /// Into the hub, or to the next plugin: `Admission::accept().id("ann").room("hall").into()`.
    pub fn accept() -> Welcome {
        Welcome {
            client_id: None,
            rooms: Vec::new(),
            subprotocol: None,
            state: Vec::new(),
            greetings: Vec::new(),
        }
    }
}

impl Welcome {
    /// The connection is called so. Of several plugins the first that says it decides.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// It is in this room from the beginning.
    #[must_use]
    pub fn room(mut self, room: impl Into<String>) -> Self {
        self.rooms.push(room.into());
        self
    }

    /// It is in these rooms from the beginning.
    #[must_use]
    pub fn rooms(mut self, rooms: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.rooms.extend(rooms.into_iter().map(Into::into));
        self
    }

    /// Of the subprotocols that the client has offered this one is spoken.
    #[must_use]
    pub fn subprotocol(mut self, subprotocol: impl Into<String>) -> Self {
        self.subprotocol = Some(subprotocol.into());
        self
    }

    /// What [`Client::state`] says in later calls; at most 16 KiB.
    #[must_use]
    pub fn state(mut self, state: impl Into<Vec<u8>>) -> Self {
        self.state = state.into();
        self
    }

    /// The client gets this before anything else.
    #[must_use]
    pub fn greeting(mut self, message: impl Into<Message>) -> Self {
        self.greetings.push(message.into());
        self
    }
}

impl From<Welcome> for Admission {
    fn from(welcome: Welcome) -> Self {
        Self::Accept(welcome)
    }
}

impl From<Reply> for Admission {
    fn from(reply: Reply) -> Self {
        Self::Reject(reply)
    }
}

impl Action {
    /// To the client that sent the message.
    pub fn reply(message: impl Into<Message>) -> Self {
        Self::Reply(message.into())
    }

    /// The same with a text.
    pub fn reply_text(text: impl Into<String>) -> Self {
        Self::Reply(Message::Text(text.into()))
    }

    /// To all who are in a room.
    pub fn publish(room: impl Into<String>, message: impl Into<Message>) -> Self {
        Self::Publish((room.into(), message.into()))
    }

    /// To one client. If there is none of that id it is lost.
    pub fn send_to(client: impl Into<String>, message: impl Into<Message>) -> Self {
        Self::SendTo((client.into(), message.into()))
    }

    /// The client joins a room.
    pub fn join(room: impl Into<String>) -> Self {
        Self::Join(room.into())
    }

    /// The client leaves a room.
    pub fn leave(room: impl Into<String>) -> Self {
        Self::Leave(room.into())
    }

    /// What [`Client::state`] says from the next call on; at most 16 KiB.
    pub fn set_state(state: impl Into<Vec<u8>>) -> Self {
        Self::SetState(state.into())
    }

    /// The message goes on, as this one.
    pub fn replace(message: impl Into<Message>) -> Self {
        Self::Replace(message.into())
    }

    /// The connection ends: with 1000, 1001, 1003, 1007 to 1009, 1011 to 1014 or 3000 to 4999, and at most 123 bytes of reason.
    pub fn close(code: u16, reason: impl Into<String>) -> Self {
        Self::Close(Closing {
            code,
            reason: reason.into(),
        })
    }
}

/// `Ok(Action::Forward.into())`
impl From<Action> for Vec<Action> {
    fn from(action: Action) -> Self {
        vec![action]
    }
}

impl Message {
    /// The text of a text message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// What is in it, of either kind.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes)
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(bytes.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admission_is_built_in_one_line() {
        let admission: Admission = Admission::accept()
            .id("ann")
            .room("hall")
            .rooms(["news", "all"])
            .subprotocol("chat.v1")
            .state("guest")
            .greeting("hello")
            .greeting(vec![1])
            .into();
        assert_eq!(
            admission,
            Admission::Accept(Welcome {
                client_id: Some("ann".to_owned()),
                rooms: ["hall", "news", "all"].map(str::to_owned).to_vec(),
                subprotocol: Some("chat.v1".to_owned()),
                state: b"guest".to_vec(),
                greetings: vec![Message::from("hello"), Message::Binary(vec![1])],
            })
        );
        assert!(matches!(
            Admission::from(Reply::text(403, "no")),
            Admission::Reject(Reply { status: 403, .. })
        ));
    }

    #[test]
    fn an_action_is_a_list_of_one() {
        let actions: Vec<Action> = Action::reply_text("pong").into();
        assert_eq!(actions, [Action::reply("pong")]);
    }

    #[test]
    fn names_are_short_and_printable() {
        for good in ["a", "room 1", "räume/äöü", &"x".repeat(128)] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "",
            "a\n",
            "\u{0}",
            "\u{85}",
            &"x".repeat(129),
            &"ä".repeat(65),
        ] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
