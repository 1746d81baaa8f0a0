//! What workers tell each other, and the queue that it comes through.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::local::Local;
use crate::websocket::close::Close;
use crate::websocket::frame::Frame;

/// A connection, over all workers of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(pub u64);

/// Something for the clients of one worker.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// For those in a room.
    Room {
        /// The room.
        room: Arc<str>,
        /// For whom of them.
        audience: Audience,
        /// Where it stands in the room's stream; who came in later does not get it.
        offset: Option<u64>,
        /// The message.
        frame: Frame,
    },
    /// Those in a room have missed messages, and are told so; they get what comes after this offset.
    Gap {
        /// The room.
        room: Arc<str>,
        /// Where its stream is now; it may be another, with smaller numbers.
        offset: u64,
        /// What they are told; `None`: there are no words for it.
        frame: Option<Frame>,
    },
    /// For all.
    Everyone(Frame),
    /// For one connection.
    Client(Serial, Frame),
    /// One connection is to end.
    Close(Serial, Close),
    /// A room's members have changed: tell its watchers.
    Announce(Arc<str>),
    /// A question from outside.
    Ask(Question),
}

/// Who in a room gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Everyone.
    All,
    /// Everyone but one connection.
    Except(Serial),
    /// Those who have asked for its presence.
    Watchers,
}

/// A function that runs on the worker's thread.
#[derive(Clone)]
pub struct Question(pub Arc<Ask>);

/// What is asked.
pub type Ask = dyn Fn(&Rc<Local>) + Send + Sync;

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question")
    }
}

/// More than this waits only where a worker does not keep up: then nothing more is published.
const MOST: usize = 65_536;

/// The sending side of a worker's queue.
#[derive(Debug, Clone)]
pub struct Inbox {
    sender: UnboundedSender<Delivery>,
    waiting: Arc<AtomicUsize>,
}

/// The receiving side.
#[derive(Debug)]
pub struct Letters {
    receiver: UnboundedReceiver<Delivery>,
    waiting: Arc<AtomicUsize>,
}

impl Inbox {
    /// Both sides.
    pub fn new() -> (Self, Letters) {
        let (sender, receiver) = unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let inbox = Self {
            sender,
            waiting: Arc::clone(&waiting),
        };
        (inbox, Letters { receiver, waiting })
    }

    /// Whether there is room for what clients publish.
    pub fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < MOST
    }

    /// Sends it; a worker that has gone has no clients.
    pub fn send(&self, delivery: Delivery) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _ = self.sender.send(delivery);
    }
}

impl Letters {
    /// Waits for deliveries, of which as many come as there are, up to `most`. None: there will be no more.
    pub async fn next(&mut self, into: &mut Vec<Delivery>, most: usize) -> usize {
        let count = self.receiver.recv_many(into, most).await;
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        count
    }
}
