//! What plugins want done.

use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::Instant;

use super::backplane::{Pending, Refused};
use super::client::Client;
use super::codes;
use super::hooks::{Action, Message};
use super::name::is_name;
use super::protocol::event;
use super::worker::{self, WorkerHub};
use crate::config::HubMode;
use crate::observe::throttle::Throttle;
use crate::websocket::close::{Close, may_be_sent};

/// Bytes of what is kept with a client.
pub(super) const STATE: usize = 64 * 1024;
/// Lines about actions that can't be carried out, at once and a second.
static LINES: LazyLock<Throttle> = LazyLock::new(|| Throttle::new(20, 2));

/// How long, and how often, it is tried to put a client into its first rooms.
const PATIENCE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(200);

/// Why a client is not in a room.
enum NotIn {
    Never(&'static str),
    Refused(Refused),
}

impl WorkerHub {
    /// Carries out what a hook has answered, in its order; `message` is what [`Action::Forward`] means. What the connection
    /// is to be closed with, if it is.
    pub(super) async fn carry_out(
        self: Rc<Self>,
        client: Rc<Client>,
        actions: Vec<Action>,
        message: Option<Message>,
    ) -> Option<Close> {
        for action in actions {
            let done = match action {
                Action::Reply(reply) => {
                    client.send(&worker::raw(&reply));
                    Ok(())
                }
                Action::Publish(room, message) => self.publish_for(&client, &room, &message).await,
                Action::SendTo(id, message) => self.send_for(&client, &id, &message),
                Action::Join(room) => self.join_for(&client, &room).await,
                Action::Leave(name) => match client.room(&name) {
                    Some(room) => {
                        self.leave(&client, &room);
                        if self.hub.config.mode == HubMode::Rooms {
                            client.send(&event::left(None, &name));
                        }
                        Ok(())
                    }
                    None => Err("the client is not in that room"),
                },
                Action::SetState(state) if state.len() > STATE => Err("the state is too large"),
                Action::SetState(state) => {
                    client.state.replace(state);
                    Ok(())
                }
                Action::Drop => Ok(()),
                Action::Close(code, reason) if may_be_sent(code) => {
                    return Some(Close::with_reason(code, reason));
                }
                Action::Close(..) => return Some(codes::PLUGIN),
                Action::Forward | Action::Replace(_) => {
                    let replaced = match &action {
                        Action::Replace(message) => Some(message),
                        _ => message.as_ref(),
                    };
                    if let Some(message) = replaced {
                        let (kind, payload) = worker::parts(message);
                        let close = self.take(&client, kind, payload).wait().await;
                        if close.is_some() {
                            return close;
                        }
                    }
                    Ok(())
                }
            };
            if let Err(reason) = done {
                self.left_out(reason);
            }
        }
        None
    }

    /// An action was not carried out.
    pub(super) fn left_out(&self, reason: &str) {
        if LINES.admit().is_some() {
            tracing::warn!(
                hub = &*self.hub.config.name,
                "an action of a plugin was left out: {reason}"
            );
        }
    }

    async fn publish_for(
        &self,
        client: &Client,
        room: &str,
        message: &Message,
    ) -> Result<(), &'static str> {
        if !is_name(room) {
            return Err("a room can't be called that");
        }
        let mode = self.hub.config.mode;
        let publication = worker::publication(mode, room, Some(&client.id), message)
            .ok_or("rooms of this mode have no binary messages")?;
        let backplane = &self.local.shared.backplane;
        let published = backplane.publish(&Arc::from(room), publication);
        match published.wait().await {
            Ok(_) => Ok(()),
            Err(_) => Err("the hub is busy or full"),
        }
    }

    fn send_for(&self, client: &Client, id: &str, message: &Message) -> Result<(), &'static str> {
        let frame = worker::frame_for_one(self.hub.config.mode, Some(&client.id), message)
            .ok_or("clients of this mode get no binary messages")?;
        if !is_name(id) {
            return Err("a client can't be called that");
        }
        match self.local.shared.backplane.direct(id, &frame) {
            Pending::Ready(Err(_)) => Err("the hub is busy"),
            // Whether somebody is there is nothing that a plugin could know, so it is not waited for.
            Pending::Ready(Ok(_)) | Pending::Later(_) => Ok(()),
        }
    }

    async fn join_for(&self, client: &Rc<Client>, name: &str) -> Result<(), &'static str> {
        match self.put_in(client, name).await {
            Ok(()) => Ok(()),
            Err(NotIn::Never(reason)) => Err(reason),
            Err(NotIn::Refused(refused)) => {
                if self.hub.config.mode == HubMode::Rooms {
                    client.send(&event::error(None, refused.into()));
                }
                Err("the hub is busy or full")
            }
        }
    }

    /// Puts a client into the rooms that it is to be in from the start. While the backplane can't be reached it is tried again, for
    /// a while; who can't be let in is told to come later, for without its rooms it would wait for what never comes.
    pub(super) async fn put_in_first(
        &self,
        client: &Rc<Client>,
        rooms: Vec<String>,
    ) -> Option<Close> {
        let end = Instant::now() + PATIENCE;
        for room in rooms {
            loop {
                match self.put_in(client, &room).await {
                    Ok(()) => {}
                    Err(NotIn::Never(reason)) => self.left_out(reason),
                    Err(NotIn::Refused(Refused::Busy)) if Instant::now() < end => {
                        tokio::time::sleep(AGAIN.mul_f64(0.5 + rand::random::<f64>())).await;
                        continue;
                    }
                    Err(NotIn::Refused(refused @ Refused::TooManyRooms))
                        if self.hub.config.mode == HubMode::Rooms =>
                    {
                        client.send(&event::error(None, refused.into()));
                    }
                    Err(NotIn::Refused(_)) => return Some(codes::NO_ROOM),
                }
                break;
            }
        }
        None
    }

    async fn put_in(&self, client: &Rc<Client>, name: &str) -> Result<(), NotIn> {
        if !is_name(name) {
            return Err(NotIn::Never("a room can't be called that"));
        }
        let joining = self
            .join(client, name, None, None, false)
            .map_err(|_| NotIn::Never("the client is in that room, or in too many"))?;
        match joining.entered.wait().await {
            Err(refused) => {
                self.local.leave(client, &joining.room);
                Err(NotIn::Refused(refused))
            }
            Ok(entered) if self.hub.config.mode == HubMode::Rooms => {
                self.joined(client, &joining.room, None, None, Ok(entered));
                Ok(())
            }
            Ok(entered) => {
                joining.room.settle(client, entered.position.offset);
                Ok(())
            }
        }
    }
}
