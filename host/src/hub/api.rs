//! What operators (the admin listener) and plugins on routes can do to a hub, from any thread.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::backplane::{Position, Refused};
use super::delivery::{Delivery, Question};
use super::hooks::Message;
use super::local::Local;
use super::name::is_name;
use super::protocol::event;
use super::shared::Hub;
use super::worker;
use crate::config::HubMode;
use crate::websocket::close::Close;

/// Workers answer between two steps of their work. One that does not within this time is left out.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why something is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// No name.
    #[error("a name has 1 to 128 bytes and no control characters")]
    BadName,
    /// Binary in a hub whose messages are JSON.
    #[error("messages of this hub are JSON: binary is not possible")]
    NoBinary,
    /// Larger than `limits.message`.
    #[error("the message is larger than the hub's limit")]
    TooLarge,
    /// See [`Refused`].
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// A connected client, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientInfo {
    /// Its identifier.
    pub id: Arc<str>,
    /// Its address.
    pub address: IpAddr,
    /// When it came.
    pub since: SystemTime,
    /// The rooms that it is in.
    pub rooms: Vec<Arc<str>>,
    /// Bytes that wait to be sent to it.
    pub queued: usize,
}

impl Hub {
    /// Sends to everyone in a room, as nobody in particular. In a hub of mode "rooms" the message is numbered and kept as
    /// those of clients are.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn publish(&self, room: &str, message: &Message) -> Result<Position, ApiError> {
        if !is_name(room) {
            return Err(ApiError::BadName);
        }
        self.check_size(message)?;
        let publication =
            worker::publication(self.config.mode, room, None, message).ok_or(ApiError::NoBinary)?;
        let published = self.shared.backplane.publish(&Arc::from(room), publication);
        Ok(published.wait().await?)
    }

    /// Sends to all clients; neither numbered nor kept.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn broadcast(&self, message: &Message) -> Result<(), ApiError> {
        self.check_size(message)?;
        let frame = match self.config.mode {
            HubMode::Rooms => {
                let data = worker::data_of(message).ok_or(ApiError::NoBinary)?;
                event::broadcast(&data)
            }
            _ => worker::raw(message),
        };
        Ok(self.shared.backplane.broadcast(&frame)?)
    }

    /// Sends to all connections of a client; whether there are any.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn send_to(&self, client: &str, message: &Message) -> Result<bool, ApiError> {
        self.check_size(message)?;
        let frame =
            worker::frame_for_one(self.config.mode, None, message).ok_or(ApiError::NoBinary)?;
        if !is_name(client) {
            return Ok(false);
        }
        Ok(self.shared.backplane.direct(client, &frame).wait().await?)
    }

    /// Ends all connections of a client; how many there are.
    pub fn disconnect(&self, client: &str, close: &Close) -> usize {
        self.shared.directory.close(client, close)
    }

    /// Connected clients, `most` at most; those in a room, where one is given.
    pub async fn clients(&self, room: Option<&str>, most: usize) -> Vec<ClientInfo> {
        let room: Option<Arc<str>> = room.map(Arc::from);
        let answers = self
            .ask(move |local| {
                let clients = local.clients.borrow();
                let meant = clients
                    .values()
                    .filter(|client| room.as_ref().is_none_or(|room| client.room(room).is_some()));
                let infos = meant.take(most).map(|client| ClientInfo {
                    id: Arc::clone(&client.id),
                    address: client.address,
                    since: client.since,
                    rooms: client.view().rooms.to_vec(),
                    queued: client.outbox.borrow().bytes(),
                });
                infos.collect::<Vec<ClientInfo>>()
            })
            .await;
        let mut clients: Vec<ClientInfo> = answers.into_iter().flatten().collect();
        clients.sort_by(|one, other| (one.since, &one.id).cmp(&(other.since, &other.id)));
        clients.truncate(most);
        clients
    }

    /// Rooms and how many connections are in them, `most` at most, the fullest first.
    pub async fn rooms(&self, most: usize) -> Vec<(Arc<str>, usize)> {
        let answers = self
            .ask(|local| {
                let rooms = local.rooms.borrow();
                let counts = rooms
                    .values()
                    .map(|room| (Arc::clone(&room.name), room.len()));
                counts.collect::<Vec<(Arc<str>, usize)>>()
            })
            .await;
        let mut counts = std::collections::HashMap::new();
        for (room, count) in answers.into_iter().flatten() {
            *counts.entry(room).or_insert(0) += count;
        }
        let mut rooms: Vec<(Arc<str>, usize)> = counts.into_iter().collect();
        rooms.sort_by(|(one, ones), (other, others)| others.cmp(ones).then(one.cmp(other)));
        rooms.truncate(most);
        rooms
    }

    /// Asks all workers something.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(&Local) -> T + Send + Sync + 'static,
    ) -> Vec<T> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        // The sender is gone when all have answered.
        let sender = Mutex::new(sender);
        let question = Question(Arc::new(move |local: &Rc<Local>| {
            let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = sender.send(question(local));
        }));
        let asked = self.shared.directory.to_workers(&Delivery::Ask(question));
        let mut answers = Vec::with_capacity(asked);
        let all = async {
            while answers.len() < asked {
                let Some(answer) = receiver.recv().await else {
                    break;
                };
                answers.push(answer);
            }
        };
        let _ = tokio::time::timeout(PATIENCE, all).await;
        answers
    }

    fn check_size(&self, message: &Message) -> Result<(), ApiError> {
        let (_, bytes) = worker::parts(message);
        if bytes.len() > self.config.limits.message {
            return Err(ApiError::TooLarge);
        }
        Ok(())
    }
}
