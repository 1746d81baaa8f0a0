//! What workers ask of the link: commands ready to be written, and where their answers go.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::super::memory::Limits;
use super::super::{Position, Publication, Refused};
use super::script::{Script, Scripts};
use super::{envelope, resp};
use crate::config::{self, HubMode, RedisAddress};
use crate::websocket::frame::Frame;

/// Requests that have not been written.
const REQUESTS: usize = 4096;
/// Bytes of requests that have not been answered.
const BYTES: usize = 32 << 20;
/// A room that nobody is in, and nothing is said in, is remembered for at least so long.
const ROOM: Duration = Duration::from_mins(1);

/// So long it is believed of a gateway that somebody there is in a room, after it has said so last: some times that rooms
/// are touched.
const LEASE: Duration = Duration::from_secs(30);

type Asked<T> = oneshot::Receiver<Result<T, Refused>>;
type Asker<T> = oneshot::Sender<Result<T, Refused>>;

/// What one gateway has with one hub in Redis. Shared by its workers and the link.
#[derive(Debug)]
pub(super) struct Line {
    /// This gateway, among the others.
    pub(super) node: u64,
    pub(super) hub: Arc<str>,
    pub(super) mode: HubMode,
    /// The channel of what is published.
    pub(super) channel: String,
    /// The channel of what gateways tell each other.
    pub(super) company: String,
    /// What the channels of answers, one for each gateway, begin with.
    answers: String,
    /// Of the next question.
    number: AtomicU64,
    pub(super) scripts: Scripts,
    prefix: String,
    limits: RwLock<Limits>,
    requests: mpsc::Sender<Request>,
    waiting: Arc<AtomicUsize>,
    is_up: AtomicBool,
}

/// A command on its way.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: Vec<u8>,
    pub(super) answer: Answer,
    pub(super) ticket: Ticket,
}

/// Where an answer goes. One that is dropped is answered with busy.
#[derive(Debug)]
pub(super) enum Answer {
    /// Of this command; it has to be none that says an error.
    Setup(&'static str),
    Nothing,
    /// Of a heartbeat.
    Beat,
    Published(Asker<Position>),
    Looked {
        room: Arc<str>,
        /// A client comes in.
        enters: bool,
        to: Asker<Look>,
    },
    /// The link has asked.
    Resumed(Arc<str>),
    /// To how many gateways a message for one client has gone.
    Asked(u64, Asker<bool>),
}

/// Counts the bytes of a request for as long as it lives.
#[derive(Debug)]
pub(super) struct Ticket(Arc<AtomicUsize>, usize);

/// A part of a room's stream.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) position: Position,
    pub(super) is_complete: bool,
    /// With their numbers, from the oldest.
    pub(super) messages: Vec<(u64, Frame)>,
}

/// Which part.
#[derive(Debug, Clone, Copy)]
pub(super) enum Since {
    /// None of it, only where it is.
    Now,
    /// All since a place, if it is not more than so many bytes.
    All(Position, usize),
    /// So many messages and bytes, since a place or the last ones.
    Page(Option<Position>, usize, usize),
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

impl Line {
    pub(super) fn new(
        hub: &config::Hub,
        address: &RedisAddress,
    ) -> (Arc<Self>, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(REQUESTS);
        // In braces is what a cluster would place keys by: all of a hub belong together.
        let prefix = format!("sluicegate:{{{}}}:", hub.name);
        let line = Self {
            node: rand::random(),
            hub: Arc::clone(&hub.name),
            mode: hub.mode,
            // Channels, other than keys, are the same in all databases.
            channel: format!("{prefix}messages:{}", address.database),
            answers: format!("{prefix}answers:{}:", address.database),
            number: AtomicU64::new(1),
            company: format!("{prefix}gateways:{}", address.database),
            scripts: Scripts::new(),
            prefix,
            limits: RwLock::new(Limits::of(hub)),
            requests,
            waiting: Arc::default(),
            is_up: AtomicBool::new(false),
        };
        (Arc::new(line), receiver)
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire)
    }

    pub(super) fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::Release);
    }

    pub(super) fn configure(&self, hub: &config::Hub) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = Limits::of(hub);
    }

    pub(super) fn publish(
        &self,
        room: &Arc<str>,
        publication: &Publication,
    ) -> Result<Asked<Position>, Refused> {
        let message = envelope::write(self.node, room, publication);
        let messages = self.limits().history.messages.to_string();
        let rest = [messages.as_bytes(), self.channel.as_bytes(), &message];
        let command = self.call(&self.scripts.publish, room, &rest);
        let (to, asked) = oneshot::channel();
        self.send(command, Answer::Published(to))?;
        Ok(asked)
    }

    /// Sends to the clients of all gateways.
    pub(super) fn broadcast(&self, frame: &Frame) -> Result<(), Refused> {
        let message = envelope::write_broadcast(frame.kind(), &frame.payload());
        let command = resp::command(&[b"PUBLISH", self.channel.as_bytes(), &message]);
        self.send(command, Answer::Nothing)
    }

    /// Sends to a client of other gateways, and asks whether it is there.
    pub(super) fn direct(&self, to: &str, frame: &Frame) -> Result<Asked<bool>, Refused> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let message = envelope::write_direct(self.node, number, to, frame);
        let command = resp::command(&[b"PUBLISH", self.channel.as_bytes(), &message]);
        let (to, asked) = oneshot::channel();
        self.send(command, Answer::Asked(number, to))?;
        Ok(asked)
    }

    /// As [`Self::direct`], where nobody asks.
    pub(super) fn direct_unasked(&self, to: &str, frame: &Frame) -> Result<(), Refused> {
        let message = envelope::write_direct(self.node, 0, to, frame);
        let command = resp::command(&[b"PUBLISH", self.channel.as_bytes(), &message]);
        self.send(command, Answer::Nothing)
    }

    /// Where a gateway is told the answers to its questions.
    pub(super) fn answers_of(&self, node: u64) -> String {
        format!("{}{node:x}", self.answers)
    }

    pub(super) fn look(
        &self,
        room: &Arc<str>,
        since: Since,
        enters: bool,
    ) -> Result<Asked<Look>, Refused> {
        let (to, asked) = oneshot::channel();
        let room = Arc::clone(room);
        let command = self.look_command(&room, since, enters);
        self.send(command, Answer::Looked { room, enters, to })?;
        Ok(asked)
    }

    /// `is_in`: somebody here is in the room, or comes in.
    pub(super) fn look_command(&self, room: &str, since: Since, is_in: bool) -> Vec<u8> {
        let all = self.limits().history.messages;
        let (place, messages, bytes) = match since {
            Since::Now => (None, 0, 0),
            Since::All(place, bytes) => (Some(place), all, bytes),
            Since::Page(place, messages, bytes) => (place, messages, bytes),
        };
        let (epoch, offset) = place.map_or((String::new(), 0), |place| {
            (place.epoch.to_string(), place.offset)
        });
        let numbers = [offset.to_string(), messages.to_string(), bytes.to_string()];
        let [offset, messages, bytes] = numbers.each_ref().map(String::as_bytes);
        let node = if is_in {
            self.node_name()
        } else {
            String::new()
        };
        let lease = LEASE.as_millis().to_string();
        let (lease, node) = (lease.as_bytes(), node.as_bytes());
        let rest = [epoch.as_bytes(), offset, messages, bytes, lease, node];
        self.call(&self.scripts.look, room, &rest)
    }

    /// These rooms are not forgotten.
    pub(super) fn touch_command(&self, rooms: &[Arc<str>]) -> Vec<u8> {
        let count = (rooms.len() + 1).to_string();
        let all = format!("{}rooms", self.prefix);
        let keys: Vec<String> = rooms
            .iter()
            .map(|room| format!("{}room:{room}", self.prefix))
            .collect();
        let age = self.room_age();
        let mut parts: Vec<&[u8]> = vec![
            b"EVALSHA",
            self.scripts.touch.digest.as_bytes(),
            count.as_bytes(),
            all.as_bytes(),
        ];
        parts.extend(keys.iter().map(String::as_bytes));
        let (node, lease) = (self.node_name(), LEASE.as_millis().to_string());
        parts.extend([&age, &node, &lease].map(String::as_bytes));
        parts.extend(rooms.iter().map(|room| room.as_bytes()));
        resp::command(&parts)
    }

    /// Nobody here is in this room any more.
    pub(super) fn vacate_command(&self, room: &str) -> Vec<u8> {
        let key = format!("{}room:{room}", self.prefix);
        let field = format!("n:{}", self.node_name());
        resp::command(&[b"HDEL", key.as_bytes(), field.as_bytes()])
    }

    fn node_name(&self) -> String {
        format!("{:x}", self.node)
    }

    fn limits(&self) -> Limits {
        *self.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn room_age(&self) -> String {
        self.limits().history.age.max(ROOM).as_millis().to_string()
    }

    /// A call of a script about a room, with what `open.lua` wants first.
    fn call(&self, script: &Script, room: &str, rest: &[&[u8]]) -> Vec<u8> {
        let limits = self.limits();
        let prefix = &self.prefix;
        let keys = [
            format!("{prefix}rooms"),
            format!("{prefix}room:{room}"),
            format!("{prefix}stream:{room}"),
        ];
        // Zero stands for no epoch.
        let epoch = rand::random::<u64>().max(1).to_string();
        let rooms = limits.rooms.to_string();
        let message_age = limits.history.age.as_millis().max(1).to_string();
        let room_age = self.room_age();
        let mut parts: Vec<&[u8]> = vec![b"EVALSHA", script.digest.as_bytes(), b"3"];
        parts.extend(keys.iter().map(String::as_bytes));
        parts.push(room.as_bytes());
        parts.extend([&epoch, &rooms, &room_age, &message_age].map(String::as_bytes));
        parts.extend(rest);
        resp::command(&parts)
    }

    fn send(&self, command: Vec<u8>, answer: Answer) -> Result<(), Refused> {
        let bytes = command.len();
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let ticket = Ticket(Arc::clone(&self.waiting), bytes);
        if !self.is_up() || before > BYTES {
            return Err(Refused::Busy);
        }
        let request = Request {
            command,
            answer,
            ticket,
        };
        self.requests.try_send(request).map_err(|_| Refused::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::backplane::Numbering;
    use crate::hub::delivery::Audience;
    use crate::websocket::frame::{Draft, Kind};

    #[test]
    fn what_waits_for_redis_is_bounded_in_bytes_and_number() {
        let text = "[hubs.h]\npath = \"/\"\nbackplane = \"redis://h\"";
        let loaded = config::parse(text, std::path::Path::new("gateway.toml")).unwrap();
        let hub = &loaded.config.hubs["h"];
        let config::Backplane::Redis(address) = &hub.backplane else {
            panic!("not Redis");
        };
        let (line, mut requests) = Line::new(hub, address);
        let room = Arc::from("a");
        let publish = |bytes: usize| {
            let mut draft = Draft::with_capacity(bytes);
            draft.payload().resize(bytes, b'x');
            let publication = Publication {
                kind: Kind::Text,
                draft,
                numbering: Numbering::None,
                audience: Audience::All,
            };
            line.publish(&room, &publication)
        };
        // Without a connection nothing waits.
        assert!(publish(1).is_err());
        line.set_up(true);
        let sent = (0..10_000).take_while(|_| publish(1 << 20).is_ok()).count();
        assert_eq!(sent, BYTES >> 20);
        assert!(publish(1).is_err());
        // What has been written counts until it is answered.
        let written = requests.try_recv().unwrap();
        assert!(publish(1).is_err());
        drop(written);
        assert!(publish(1).is_ok());
        while requests.try_recv().is_ok() {}
        assert_eq!(line.waiting.load(Ordering::Relaxed), 0);
        let sent = (0..10_000).take_while(|_| publish(1).is_ok()).count();
        assert_eq!(sent, REQUESTS);
    }
}
