//! Whether a request becomes a client, and the answer to it.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, Version};

use super::actions::STATE;
use super::directory::Seat;
use super::hooks::{Admission, Message, Welcome};
use super::name::{is_name, new_client_id};
use super::protocol;
use super::worker::WorkerHub;
use crate::config::HubMode;
use crate::exchange::{Exchange, Failure};
use crate::websocket::deflate::Window;
use crate::websocket::handshake::{self, Handshake, Refusal};

/// A client that has been let in, and is told so by the response that came with this.
#[derive(Debug)]
pub struct Accepted {
    pub(super) id: Arc<str>,
    pub(super) address: IpAddr,
    pub(super) deflate: Option<Window>,
    pub(super) rooms: Vec<String>,
    pub(super) state: Bytes,
    pub(super) greetings: Vec<Message>,
    pub(super) seat: Seat,
}

/// Why it has not.
#[derive(Debug)]
pub enum NotAccepted {
    /// The gateway says no.
    Failure(Failure),
    /// A plugin has answered.
    Reply(Response<Bytes>),
}

impl From<Refusal> for NotAccepted {
    fn from(refusal: Refusal) -> Self {
        Self::Failure(Failure::Handshake(refusal))
    }
}

impl WorkerHub {
    /// Looks at a request as it came, before hop-by-hop fields are taken away.
    ///
    /// # Errors
    /// What it is answered instead: 426 for what is no WebSocket, and the rest of [`Refusal`].
    pub fn check(
        &self,
        method: &Method,
        version: Version,
        headers: &HeaderMap,
    ) -> Result<Handshake, Refusal> {
        handshake::check(method, version, headers, &self.hub.rules)
    }

    /// Lets a client in, if there is room and its plugins have nothing against it. After the response's head has been
    /// written, the connection belongs to [`serve`](super::connection::serve).
    ///
    /// # Errors
    /// See [`NotAccepted`].
    pub async fn admit(
        self: &Rc<Self>,
        handshake: Handshake,
        exchange: Box<Exchange>,
    ) -> Result<(Response<()>, Accepted), NotAccepted> {
        let config = &self.hub.config;
        if self.local.is_ending() {
            return Err(Refusal::Full.into());
        }
        let address = exchange.client.address;
        let seat = self.local.shared.directory.take_seat(
            address,
            config.limits.connections,
            config.limits.connections_per_address,
        )?;
        let own_room = self.own_room(&exchange)?;
        let welcome = match self.local.hooks() {
            None => Welcome::default(),
            Some(hooks) => match hooks.on_connect(exchange).await {
                Ok(Admission::Accept(welcome)) => welcome,
                Ok(Admission::Reject(reply)) => return Err(NotAccepted::Reply(reply)),
                Err(rejected) => return Err(by_plugin(rejected.to_string())),
            },
        };
        let is_unusable = welcome
            .client_id
            .iter()
            .chain(&welcome.rooms)
            .any(|name| !is_name(name))
            || welcome.state.len() > STATE
            || welcome.rooms.len() > config.limits.rooms_per_client;
        if is_unusable {
            let what = "an identifier, room or state that can't be used";
            return Err(by_plugin(what.to_owned()));
        }
        let chosen = welcome.subprotocol.as_deref();
        let subprotocol = match (chosen, config.mode) {
            (Some(chosen), _) => handshake.speaks([chosen]),
            (None, HubMode::Rooms) => handshake.speaks([protocol::NAME]),
            (None, _) => handshake.speaks(config.subprotocols.iter().map(String::as_str)),
        };
        let response = handshake.respond(subprotocol);
        let mut rooms: Vec<String> = own_room.into_iter().collect();
        for room in welcome.rooms {
            if !rooms.contains(&room) {
                rooms.push(room);
            }
        }
        let accepted = Accepted {
            id: welcome.client_id.map_or_else(new_client_id, Arc::from),
            address,
            deflate: handshake.deflate.map(|agreement| agreement.window),
            rooms,
            state: welcome.state,
            greetings: welcome.greetings,
            seat,
        };
        Ok((response, accepted))
    }

    /// The room that the path means: all of it in a relay, a parameter of that name where there are rooms.
    fn own_room(&self, exchange: &Exchange) -> Result<Option<String>, Refusal> {
        let room = match self.hub.config.mode {
            HubMode::Relay => Some(exchange.request.target.path().to_owned()),
            HubMode::Rooms | HubMode::Hooks => exchange.path_parameter("room"),
            HubMode::Echo => None,
        };
        if room.as_deref().is_some_and(|room| !is_name(room)) {
            return Err(Refusal::Malformed("a room can't be called that"));
        }
        Ok(room)
    }
}

fn by_plugin(text: String) -> NotAccepted {
    NotAccepted::Failure(Failure::Plugin(text))
}
