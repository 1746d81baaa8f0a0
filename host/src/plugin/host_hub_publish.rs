//! The host's side of `hub-publish`: plugins send into hubs that were granted to them.

use std::sync::{Arc, PoisonError, RwLock};

use super::bindings::sluicegate::plugin::hub_publish::{Host, SendError};
use super::bindings::sluicegate::plugin::hub_types::Message as WitMessage;
use super::host_hub::is_name;
use super::state::State;
use crate::hub::hooks::Message;

/// The hubs that run, for plugins to send into. Called on a worker's thread, in the middle of a hook: it takes a message
/// over or refuses it, and never waits.
pub trait Hubs: std::fmt::Debug + Send + Sync {
    /// Sends a message. Names have been checked for their form.
    ///
    /// # Errors
    /// Why it was not taken over.
    fn send(&self, hub: &str, to: Receivers, message: Message) -> Result<(), Refusal>;
}

/// Whom a plugin sends to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receivers {
    /// All who are in this room.
    Room(String),
    /// All clients.
    Everyone,
    /// The client of this identifier.
    Client(String),
}

/// Why a hub does not take a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such hub.
    #[error("no such hub")]
    UnknownHub,
    /// It is larger than the hub's `limits.message`.
    #[error("the message is too large")]
    TooLarge,
    /// Not now.
    #[error("{0}")]
    Unavailable(&'static str),
}

/// Where the plugins of a configuration find the running hubs. They are loaded before hubs run, and kept over
/// reloads: so they hold this, and what runs is put into it.
#[derive(Debug, Default)]
pub struct Outlet(RwLock<Option<Arc<dyn Hubs>>>);

impl Outlet {
    /// From now on plugins send into these.
    pub fn connect(&self, hubs: Arc<dyn Hubs>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(hubs);
    }

    fn hubs(&self) -> Option<Arc<dyn Hubs>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The hubs that one plugin may send into: its `allow.hubs`.
#[derive(Debug, Clone, Default)]
pub struct Grant {
    names: Arc<[String]>,
    outlet: Arc<Outlet>,
}

impl Grant {
    /// These hubs, wherever they run.
    pub fn new(names: &[String], outlet: &Arc<Outlet>) -> Self {
        Self {
            names: names.into(),
            outlet: Arc::clone(outlet),
        }
    }

    /// Their names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    fn send(&self, hub: &str, to: Receivers, message: WitMessage) -> Result<(), SendError> {
        // What is not granted is not told apart from what is not there.
        if !self.names.iter().any(|name| name == hub) {
            return Err(SendError::UnknownHub);
        }
        let named = match &to {
            Receivers::Room(name) | Receivers::Client(name) => is_name(name),
            Receivers::Everyone => true,
        };
        if !named {
            return Err(SendError::InvalidName);
        }
        let hubs = self
            .outlet
            .hubs()
            .ok_or_else(|| SendError::Unavailable("the hubs do not run yet".to_owned()))?;
        hubs.send(hub, to, message.into())
            .map_err(|refusal| match refusal {
                Refusal::UnknownHub => SendError::UnknownHub,
                Refusal::TooLarge => SendError::TooLarge,
                Refusal::Unavailable(why) => SendError::Unavailable(why.to_owned()),
            })
    }
}

impl From<WitMessage> for Message {
    fn from(message: WitMessage) -> Self {
        match message {
            WitMessage::Text(text) => Self::Text(text),
            WitMessage::Binary(bytes) => Self::Binary(bytes.into()),
        }
    }
}

impl Host for State {
    fn publish(&mut self, hub: String, room: String, message: WitMessage) -> Result<(), SendError> {
        self.hubs.send(&hub, Receivers::Room(room), message)
    }

    fn publish_all(&mut self, hub: String, message: WitMessage) -> Result<(), SendError> {
        self.hubs.send(&hub, Receivers::Everyone, message)
    }

    fn send_to(
        &mut self,
        hub: String,
        client: String,
        message: WitMessage,
    ) -> Result<(), SendError> {
        self.hubs.send(&hub, Receivers::Client(client), message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Debug, Default)]
    struct Recorded(Mutex<Vec<(String, Receivers, Message)>>);

    impl Hubs for Recorded {
        fn send(&self, hub: &str, to: Receivers, message: Message) -> Result<(), Refusal> {
            if message == Message::Text("large".to_owned()) {
                return Err(Refusal::TooLarge);
            }
            self.0.lock().unwrap().push((hub.to_owned(), to, message));
            Ok(())
        }
    }

    #[test]
    fn only_what_is_granted_is_sent_and_only_to_names() {
        let outlet = Arc::new(Outlet::default());
        let grant = Grant::new(&["chat".to_owned()], &outlet);
        let text = |text: &str| WitMessage::Text(text.to_owned());
        let room = |name: &str| Receivers::Room(name.to_owned());
        assert!(matches!(
            grant.send("chat", room("a"), text("early")),
            Err(SendError::Unavailable(_))
        ));
        let recorded = Arc::new(Recorded::default());
        outlet.connect(Arc::clone(&recorded) as Arc<dyn Hubs>);
        for (hub, to, what, expected) in [
            ("chat", room("a"), "x", "Ok"),
            ("chat", Receivers::Everyone, "x", "Ok"),
            ("chat", Receivers::Client("ann".to_owned()), "x", "Ok"),
            ("news", room("a"), "x", "UnknownHub"),
            ("chat", room(""), "x", "InvalidName"),
            ("chat", room("a\nb"), "x", "InvalidName"),
            (
                "chat",
                Receivers::Client("x".repeat(129)),
                "x",
                "InvalidName",
            ),
            ("chat", room("a"), "large", "TooLarge"),
        ] {
            let result = format!("{:?}", grant.send(hub, to.clone(), text(what)));
            assert!(result.contains(expected), "{hub} {to:?}: {result}");
        }
        assert_eq!(recorded.0.lock().unwrap().len(), 3);
        let none = Grant::default();
        assert!(matches!(
            none.send("chat", Receivers::Everyone, text("x")),
            Err(SendError::UnknownHub)
        ));
    }
}
