//! The hub is all gateways that have one of this name at the same Redis.
//!
//! ```text
//! publish → script: number, keep in the room's stream, PUBLISH → every gateway's link → directory
//! ```
//!
//! A script gives a message its number, so all gateways see one order, also the one that published it. There is one
//! connection, on a thread of its own ([`link`]), for commands and the subscription (RESP3): what comes on it is in
//! order, so the answer to who enters a room says exactly which messages will follow. When it is lost, or a number
//! does not follow the one before it, the link asks for the stream since the last number; what is not there any more is
//! told to clients as a gap. While there is no connection everything is refused as busy, at once; clients stay.
//!
//! In Redis a room is a hash (epoch and last number) and a stream whose identifiers are the numbers. Rooms that nobody is
//! in are forgotten by expiry, or where there are too many: the hash also says which gateways have somebody in the room, each for
//! half a minute from when it has said so last. `limits.rooms` counts the rooms of all gateways.
//!
//! Who is in the rooms every gateway tells the others ([`company`]), over a channel and not in Redis itself: what is there is
//! what the living say, and nothing has to be cleaned up after one that has died. A heartbeat each second is its lease; the
//! clients of one that is silent have left ([`peers`]). While there is no connection what was known stays, and afterwards
//! everyone tells everything.
//!
//! A message for one client goes to all gateways, and each answers whether it has it ([`questions`] says why).

mod company;
mod envelope;
mod link;
mod notice;
mod peers;
mod presence;
mod questions;
mod request;
mod resp;
mod script;

use std::sync::Arc;
use std::time::Instant;

use super::super::directory::Directory;
use super::{
    Backplane, Entered, Member, PAGE, Page, Pending, Position, Publication, Query, Refused,
};
use crate::config::{self, RedisAddress};
use crate::side_thread::SideThread;
use crate::websocket::frame::Frame;
use presence::Presence;
use request::{Line, Look, Since};

/// Bytes of what a client, or a gateway, that comes back is told at once; who has missed more has a gap.
const MISSED: usize = 8 << 20;

/// See the module's documentation.
#[derive(Debug)]
pub struct Redis {
    presence: Arc<Presence>,
    directory: Arc<Directory>,
    line: Arc<Line>,
    thread: Option<SideThread>,
}

impl Redis {
    /// Begins to connect; whether Redis is there shows in [`Backplane::is_connected`].
    pub fn new(directory: &Arc<Directory>, hub: &config::Hub, address: &RedisAddress) -> Self {
        let (line, requests) = Line::new(hub, address);
        let (address, shared) = (address.clone(), Arc::clone(&line));
        let presence = Arc::new(Presence::new(directory));
        let (clients, known) = (Arc::clone(directory), Arc::clone(&presence));
        let thread = SideThread::start("backplane", move |stopped| {
            link::run(address, shared, clients, known, requests, stopped)
        });
        if let Err(error) = &thread {
            tracing::error!("hub \"{}\" has no backplane: {error}", hub.name);
        }
        Self {
            presence,
            directory: Arc::clone(directory),
            line,
            thread: thread.ok(),
        }
    }
}

impl Drop for Redis {
    /// After a reload it is a worker that drops this, and the last words may take a while.
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.end_later();
        }
    }
}

impl Backplane for Redis {
    fn publish(
        &self,
        room: &Arc<str>,
        publication: Publication,
    ) -> Pending<Result<Position, Refused>> {
        if !self.directory.has_room(room) {
            return Pending::Ready(Err(Refused::Busy));
        }
        match self.line.publish(room, &publication) {
            Ok(published) => Pending::Later(Box::pin(async move {
                published.await.unwrap_or(Err(Refused::Busy))
            })),
            Err(refused) => Pending::Ready(Err(refused)),
        }
    }

    fn enter(
        &self,
        room: &Arc<str>,
        member: Member,
        watches: bool,
        since: Option<Position>,
    ) -> Pending<Result<Entered, Refused>> {
        let place = since.map_or(Since::Now, |since| Since::All(since, MISSED));
        let looked = match self.line.look(room, place, true) {
            Ok(looked) => looked,
            Err(refused) => return Pending::Ready(Err(refused)),
        };
        let id = Arc::clone(&member.id);
        self.presence.enter(room, member, watches);
        let (presence, room) = (Arc::clone(&self.presence), Arc::clone(room));
        Pending::Later(Box::pin(async move {
            match looked.await.unwrap_or(Err(Refused::Busy)) {
                Ok(look) => Ok(Entered {
                    position: look.position,
                    missed: (since.is_some() && look.is_complete)
                        .then(|| look.messages.into_iter().map(|(_, frame)| frame).collect()),
                }),
                Err(refused) => {
                    presence.leave(&room, &id, watches);
                    Err(refused)
                }
            }
        }))
    }

    fn leave(&self, room: &Arc<str>, id: &Arc<str>, watched: bool) {
        self.presence.leave(room, id, watched);
    }

    fn members(&self, room: &str) -> Pending<(Vec<Member>, usize)> {
        Pending::Ready(self.presence.members(room))
    }

    fn history(&self, room: &str, query: Query) -> Pending<Result<Page, Refused>> {
        let place = Since::Page(query.since, query.limit, PAGE);
        let looked = match self.line.look(&Arc::from(room), place, false) {
            Ok(looked) => looked,
            Err(refused) => return Pending::Ready(Err(refused)),
        };
        Pending::Later(Box::pin(async move {
            let Look {
                position,
                is_complete,
                messages,
            } = looked.await.unwrap_or(Err(Refused::Busy))?;
            let messages = messages.iter().map(|(_, frame)| frame.payload());
            Ok(Page {
                position,
                messages: messages.collect(),
                is_complete,
            })
        }))
    }

    fn direct(&self, to: &str, frame: &Frame) -> Pending<Result<bool, Refused>> {
        if self.directory.to_client(to, frame) > 0 {
            // It may have other connections elsewhere; whether it has is not what is asked.
            let _ = self.line.direct_unasked(to, frame);
            return Pending::Ready(Ok(true));
        }
        match self.line.direct(to, frame) {
            Ok(asked) => Pending::Later(Box::pin(async move {
                asked.await.unwrap_or(Err(Refused::Busy))
            })),
            Err(refused) => Pending::Ready(Err(refused)),
        }
    }

    fn broadcast(&self, frame: &Frame) -> Result<(), Refused> {
        self.line.broadcast(frame)
    }

    fn announce(&self, room: &Arc<str>) {
        self.presence.announce(room);
    }

    /// Redis does, by expiry.
    fn sweep(&self, _: Instant) {}

    fn is_connected(&self) -> bool {
        self.line.is_up()
    }

    fn configure(&self, hub: &config::Hub) {
        self.line.configure(hub);
    }
}
