//! What makes one hub of several gateways: the order of a room's messages, its history, who is in it, and the way to a
//! client that is elsewhere.
//!
//! - [`memory`]: the hub is this process
//! - [`redis`]: the hub is all gateways that have one of this name at the same Redis
//!
//! A backplane numbers what is published to a room and hands it, in the order of the numbers, to the
//! [`Directory`](super::directory::Directory) of its process. Operations that a backplane can finish at once are finished
//! at once; for one that asks another machine there is [`Pending::Later`], and the client that waits for it is not read from.

mod attendance;
pub mod memory;
pub mod redis;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::delivery::Audience;
use crate::config;
use crate::websocket::frame::{Draft, Frame, Kind};

/// A place in a room's stream of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The number of the last message; the first is 1.
    pub offset: u64,
    /// Which stream it is: a room that has been forgotten begins another.
    pub epoch: u64,
}

/// A message for a room, whose number is not known yet.
#[derive(Debug)]
pub struct Publication {
    /// Text or binary.
    pub kind: Kind,
    /// All of the message but its number.
    pub draft: Draft,
    /// How the number is put in.
    pub numbering: Numbering,
    /// For whom.
    pub audience: Audience,
}

/// Where a message says its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// Nowhere: it is the user's own.
    None,
    /// At the end of the JSON object that the message is.
    Json,
}

impl Publication {
    /// The message with its number.
    pub fn finish(mut self, offset: u64) -> Frame {
        if self.numbering == Numbering::Json {
            let end = format!(",\"offset\":{offset}}}");
            self.draft.payload().extend_from_slice(end.as_bytes());
        }
        self.draft.finish(self.kind)
    }
}

/// Somebody in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The client's identifier.
    pub id: Arc<str>,
    /// What it says of itself: JSON.
    pub info: Option<Arc<str>>,
}

/// What a client finds when it comes into a room.
#[derive(Debug)]
pub struct Entered {
    /// Where the room's stream is. What comes after that will be delivered.
    pub position: Position,
    /// What it has missed since it was here, from the oldest; `None`: that can't be told, or was not asked.
    pub missed: Option<Vec<Frame>>,
}

/// Some of a room's messages.
#[derive(Debug)]
pub struct Page {
    /// Where the room's stream is.
    pub position: Position,
    /// Messages, from the oldest.
    pub messages: Vec<Bytes>,
    /// Whether these are all that were asked for.
    pub is_complete: bool,
}

/// What is asked of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// After this place; `None`: the last ones.
    pub since: Option<Position>,
    /// So many at most.
    pub limit: usize,
}

/// Bytes of a [`Page`]; what is beyond them is asked for with another query.
pub const PAGE: usize = 256 * 1024;
/// Members that are told of a room.
pub const MEMBERS: usize = 10_000;

/// Why something is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `limits.rooms`
    #[error("there are as many rooms as there may be")]
    TooManyRooms,
    /// Some worker does not keep up, or the backplane can't be reached.
    #[error("too much is waiting to be delivered, or the hub's backplane can't be reached")]
    Busy,
}

/// What comes at once, or later.
pub enum Pending<T> {
    /// Now.
    Ready(T),
    /// Later.
    Later(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Ready",
            Self::Later(_) => "Later",
        })
    }
}

impl<T> Pending<T> {
    /// Waits for it.
    pub async fn wait(self) -> T {
        match self {
            Self::Ready(value) => value,
            Self::Later(future) => future.await,
        }
    }
}

/// See the module's documentation.
///
/// Where there are as many rooms as there may be, one more takes the place of rooms that nobody is in and that are only kept
/// for their histories, those first that have been silent for longest; only where all have somebody in them is it refused.
pub trait Backplane: fmt::Debug + Send + Sync {
    /// Numbers a message and hands it out.
    fn publish(
        &self,
        room: &Arc<str>,
        publication: Publication,
    ) -> Pending<Result<Position, Refused>>;

    /// A connection of this client comes into a room; `watches`: it is told who comes and goes.
    fn enter(
        &self,
        room: &Arc<str>,
        member: Member,
        watches: bool,
        since: Option<Position>,
    ) -> Pending<Result<Entered, Refused>>;

    /// A connection of this client, that did or did not watch, has left a room.
    fn leave(&self, room: &Arc<str>, id: &Arc<str>, watched: bool);

    /// Who is in a room, [`MEMBERS`] at most, and how many there are.
    fn members(&self, room: &str) -> Pending<(Vec<Member>, usize)>;

    /// What was published to a room.
    fn history(&self, room: &str, query: Query) -> Pending<Result<Page, Refused>>;

    /// Sends to a client, wherever it is; `false`: it is nowhere. Refused: that can't be known, within a few seconds. What
    /// is later is the answer: the message is on its way also if nobody waits for that.
    fn direct(&self, to: &str, frame: &Frame) -> Pending<Result<bool, Refused>>;

    /// Sends to all clients, wherever they are.
    fn broadcast(&self, frame: &Frame) -> Result<(), Refused>;

    /// Tells those who watch a room what has changed. Called on a worker that has been asked to by the directory.
    fn announce(&self, room: &Arc<str>);

    /// Forgets what is too old.
    fn sweep(&self, now: Instant);

    /// Whether messages can be published.
    fn is_connected(&self) -> bool {
        true
    }

    /// Another configuration of the same hub.
    fn configure(&self, hub: &config::Hub);
}
