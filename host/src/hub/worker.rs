//! A hub on one worker, with the settings of one configuration, and what it does with the messages of clients.

use std::rc::Rc;
use std::sync::Arc;

use super::backplane::{Entered, Member, Numbering, Pending, Position, Publication, Refused};
use super::client::Client;
use super::codes;
use super::delivery::Audience;
use super::hooks::{Hooks, Message};
use super::local::Local;
use super::protocol::command::{self, Command, Envelope};
use super::protocol::event;
use super::protocol::problem::Problem;
use super::room::Room;
use super::shared::Hub;
use crate::config::HubMode;
use crate::websocket::close::Close;
use crate::websocket::frame::{Draft, Frame, Kind};

/// See the module's documentation.
#[derive(Debug)]
pub struct WorkerHub {
    /// Its settings.
    pub hub: Arc<Hub>,
    /// Its clients.
    pub local: Rc<Local>,
}

/// What has become of a message.
pub(super) enum Handled {
    /// It is done with.
    Done,
    /// The connection is to be closed.
    Close(Close),
    /// That will be known when this is; nothing more is read until then.
    Later(std::pin::Pin<Box<dyn Future<Output = Option<Close>>>>),
}

impl Handled {
    /// What comes of an answer.
    fn then<T: 'static>(pending: Pending<T>, what: impl FnOnce(T) + 'static) -> Self {
        match pending {
            Pending::Ready(value) => {
                what(value);
                Self::Done
            }
            Pending::Later(future) => Self::Later(Box::pin(async move {
                what(future.await);
                None
            })),
        }
    }

    pub(super) async fn wait(self) -> Option<Close> {
        match self {
            Self::Done => None,
            Self::Close(close) => Some(close),
            Self::Later(future) => future.await,
        }
    }
}

/// A client on its way into a room.
pub(super) struct Joining {
    pub(super) room: Rc<Room>,
    pub(super) entered: Pending<Result<Entered, Refused>>,
}

impl WorkerHub {
    /// Has to be called on the worker's thread, within its runtime. `previous` is this worker's hub of the same name
    /// under the configuration before, whose clients are from now on decided about by these `hooks`.
    pub fn new(
        worker: usize,
        hub: Arc<Hub>,
        previous: Option<&Self>,
        hooks: Option<Rc<dyn Hooks>>,
    ) -> Self {
        let local = previous
            .map(|previous| &previous.local)
            .filter(|local| Arc::ptr_eq(&local.shared, &hub.shared))
            .map_or_else(|| Local::start(worker, &hub.shared), Rc::clone);
        local.decide_by(hooks);
        Self { hub, local }
    }

    /// What a message is in a hub without hooks.
    pub(super) fn take(
        self: &Rc<Self>,
        client: &Rc<Client>,
        kind: Kind,
        payload: &[u8],
    ) -> Handled {
        match (self.hub.config.mode, kind) {
            (HubMode::Echo, _) => {
                client.send(&Frame::new(kind, payload));
                Handled::Done
            }
            (HubMode::Relay, _) => self.relay(client, kind, payload),
            (HubMode::Hooks, _) => Handled::Done,
            (HubMode::Rooms, Kind::Binary) => Handled::Close(codes::TEXT_ONLY),
            (HubMode::Rooms, Kind::Text) => match std::str::from_utf8(payload) {
                Ok(text) => self.command(client, text),
                Err(_) => Handled::Close(codes::TEXT_ONLY),
            },
        }
    }

    fn relay(&self, client: &Client, kind: Kind, payload: &[u8]) -> Handled {
        let room = client
            .rooms
            .borrow()
            .first()
            .map(|(room, _)| Rc::clone(room));
        let Some(room) = room else {
            return Handled::Done;
        };
        let mut draft = Draft::with_capacity(payload.len());
        draft.payload().extend_from_slice(payload);
        let publication = Publication {
            kind,
            draft,
            numbering: Numbering::None,
            audience: Audience::Except(client.serial),
        };
        let pending = self.local.shared.backplane.publish(&room.name, publication);
        // A relay has no words to say that a message was not taken: what can't keep up loses messages.
        Handled::then(pending, |_| ())
    }

    fn command(self: &Rc<Self>, client: &Rc<Client>, text: &str) -> Handled {
        let Envelope { id, command } = command::read(text);
        match command.and_then(|command| self.carry(client, id, command)) {
            Ok(handled) => handled,
            Err(problem) => {
                client.send(&event::error(id, problem));
                Handled::Done
            }
        }
    }

    fn carry(
        self: &Rc<Self>,
        client: &Rc<Client>,
        id: Option<&str>,
        command: Command<'_>,
    ) -> Result<Handled, Problem> {
        let backplane = &self.local.shared.backplane;
        let id = id.map(str::to_owned);
        let client = Rc::clone(client);
        let in_room = |name: &str| client.room(name).ok_or(Problem::NotJoined);
        Ok(match command {
            Command::Join {
                room,
                since,
                info,
                watches,
            } => {
                let joining = self.join(&client, &room, since, info, watches)?;
                let hub = Rc::clone(self);
                Handled::then(joining.entered, move |entered| {
                    hub.joined(&client, &joining.room, id.as_deref(), since, entered);
                })
            }
            Command::Leave { room } => {
                let room = in_room(&room)?;
                self.leave(&client, &room);
                if let Some(id) = id {
                    client.send(&event::left(Some(&id), &room.name));
                }
                Handled::Done
            }
            Command::Publish { room, data } => {
                let room = in_room(&room)?;
                let publication = Publication {
                    kind: Kind::Text,
                    draft: event::message(&room.name, Some(&client.id), data),
                    numbering: Numbering::Json,
                    audience: Audience::All,
                };
                let pending = backplane.publish(&room.name, publication);
                Handled::then(pending, move |published| match (published, id) {
                    (Ok(position), Some(id)) => {
                        client.send(&event::published(&id, &room.name, position));
                    }
                    (Ok(_), None) => {}
                    (Err(refused), id) => {
                        client.send(&event::error(id.as_deref(), refused.into()));
                    }
                })
            }
            Command::Direct { to, data } => {
                let frame = event::direct(Some(&client.id), data);
                Handled::then(backplane.direct(&to, &frame), move |is_there| {
                    match (is_there, id) {
                        (Ok(true), Some(id)) => client.send(&event::delivered(&id)),
                        (Ok(true), None) => {}
                        (Ok(false), id) => {
                            let error = event::error(id.as_deref(), Problem::NoSuchClient);
                            client.send(&error);
                        }
                        (Err(refused), id) => {
                            client.send(&event::error(id.as_deref(), refused.into()));
                        }
                    }
                })
            }
            Command::Members { room } => {
                let room = in_room(&room)?;
                Handled::then(backplane.members(&room.name), move |(members, count)| {
                    let answer = event::members(id.as_deref(), &room.name, &members, count);
                    client.send(&answer);
                })
            }
            Command::History { room, since, limit } => {
                let room = in_room(&room)?;
                let query = super::backplane::Query { since, limit };
                Handled::then(backplane.history(&room.name, query), move |page| {
                    client.send(&match page {
                        Ok(page) => event::history(id.as_deref(), &room.name, &page),
                        Err(refused) => event::error(id.as_deref(), refused.into()),
                    });
                })
            }
            Command::Ping => {
                client.send(&event::pong(id.as_deref()));
                Handled::Done
            }
        })
    }

    /// Puts a client into a room. It gets nothing until [`Self::joined`], or [`Room::settle`].
    pub(super) fn join(
        &self,
        client: &Rc<Client>,
        name: &str,
        since: Option<Position>,
        info: Option<&str>,
        watches: bool,
    ) -> Result<Joining, Problem> {
        if client.room(name).is_some() {
            return Err(Problem::AlreadyJoined);
        }
        if client.rooms.borrow().len() >= self.hub.config.limits.rooms_per_client {
            return Err(Problem::TooManyRooms);
        }
        let name = Arc::from(name);
        let room = self.local.enter(client, &name, watches);
        let member = Member {
            id: Arc::clone(&client.id),
            info: info.map(Arc::from),
        };
        let backplane = &self.local.shared.backplane;
        let entered = backplane.enter(&name, member, watches, since);
        Ok(Joining { room, entered })
    }

    /// Tells a client that it is in a room, and what it has missed; or why it is not.
    pub(super) fn joined(
        &self,
        client: &Client,
        room: &Room,
        id: Option<&str>,
        since: Option<Position>,
        entered: Result<Entered, Refused>,
    ) {
        match entered {
            Ok(Entered { position, missed }) => {
                let count = missed.as_ref().map(Vec::len);
                let asked = since.is_some();
                client.send(&event::joined(id, &room.name, position, asked, count));
                for frame in missed.iter().flatten() {
                    client.send(frame);
                }
                room.settle(client, position.offset);
            }
            Err(refused) => {
                self.local.leave(client, room);
                client.send(&event::error(id, refused.into()));
            }
        }
    }

    /// Takes a client out of a room.
    pub(super) fn leave(&self, client: &Client, room: &Room) {
        if let Some(watched) = self.local.leave(client, room) {
            let backplane = &self.local.shared.backplane;
            backplane.leave(&room.name, &client.id, watched);
        }
    }
}

/// A message of a plugin's or an operator's as the JSON that stands in `data`: text that is JSON is taken as it is, other
/// text as a string. `None`: binary, which JSON has no place for.
pub(super) fn data_of(message: &Message) -> Option<String> {
    let Message::Text(text) = message else {
        return None;
    };
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        Some(text.clone())
    } else {
        serde_json::to_string(text).ok()
    }
}

/// The frame of a message that goes to one client.
pub(super) fn frame_for_one(mode: HubMode, from: Option<&str>, message: &Message) -> Option<Frame> {
    match mode {
        HubMode::Rooms => data_of(message).map(|data| event::direct(from, &data)),
        _ => Some(raw(message)),
    }
}

/// A message for a room.
pub(super) fn publication(
    mode: HubMode,
    room: &str,
    from: Option<&str>,
    message: &Message,
) -> Option<Publication> {
    let audience = Audience::All;
    if mode == HubMode::Rooms {
        return Some(Publication {
            kind: Kind::Text,
            draft: event::message(room, from, &data_of(message)?),
            numbering: Numbering::Json,
            audience,
        });
    }
    let (kind, bytes) = parts(message);
    let mut draft = Draft::with_capacity(bytes.len());
    draft.payload().extend_from_slice(bytes);
    Some(Publication {
        kind,
        draft,
        numbering: Numbering::None,
        audience,
    })
}

/// A message as it is.
pub(super) fn raw(message: &Message) -> Frame {
    let (kind, bytes) = parts(message);
    Frame::new(kind, bytes)
}

pub(super) fn parts(message: &Message) -> (Kind, &[u8]) {
    match message {
        Message::Text(text) => (Kind::Text, text.as_bytes()),
        Message::Binary(bytes) => (Kind::Binary, bytes),
    }
}
