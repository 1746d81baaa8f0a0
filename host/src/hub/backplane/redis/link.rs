//! The connection to Redis, and the rooms that somebody here is in.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::request::{Answer, Line, Look, Request, Since, Ticket};
use super::resp::{self, Value};
use super::{MISSED, envelope};
use crate::config::{HubMode, RedisAddress};
use crate::hub::backplane::{Position, Refused};
use crate::hub::delivery::{Audience, Delivery};
use crate::hub::directory::Directory;
use crate::hub::protocol::event;
use crate::side_thread::Stopped;

const CONNECT: Duration = Duration::from_secs(2);
/// Between attempts: from the first to the last, each about twice the one before.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Between pings.
const PING: Duration = Duration::from_secs(1);
/// A connection on which nothing has come for so long is lost.
const SILENCE: Duration = Duration::from_secs(4);
/// Pings between two times that rooms are kept from being forgotten.
const TOUCH: u32 = 10;
/// Rooms of one such command.
const TOUCHED: usize = 500;
/// Room for one read.
const INPUT: usize = 16 << 10;
/// No more requests are taken while so much waits to be written.
const OUTPUT: usize = 1 << 20;

/// Where a room's stream is, as far as it has been delivered here.
#[derive(Debug)]
struct Known {
    position: Position,
    /// The stream has been asked for: what comes before the answer is in it.
    is_resuming: bool,
    /// Something has been left out, because a worker did not keep up.
    is_behind: bool,
}

#[derive(Debug)]
struct Link {
    shared: Arc<Line>,
    directory: Arc<Directory>,
    rooms: HashMap<Arc<str>, Known>,
    output: BytesMut,
    waiting: VecDeque<(Answer, Option<Ticket>)>,
    has_complained: bool,
}

/// Connects, and connects again, until it is stopped.
pub(super) async fn run(
    address: RedisAddress,
    shared: Arc<Line>,
    directory: Arc<Directory>,
    mut requests: mpsc::Receiver<Request>,
    mut stopped: Stopped,
) {
    let mut link = Link {
        shared,
        directory,
        rooms: HashMap::new(),
        output: BytesMut::new(),
        waiting: VecDeque::new(),
        has_complained: false,
    };
    let mut pause = BACKOFF.0;
    let mut is_told = false;
    loop {
        let connected = tokio::select! {
            () = stopped.wait() => return,
            connected = link.serve(&address, &mut requests) => connected,
        };
        let was_up = link.shared.is_up();
        link.shared.set_up(false);
        // Nobody waits for what will not come.
        link.waiting.clear();
        link.output.clear();
        if was_up {
            pause = BACKOFF.0;
            is_told = false;
        }
        if let Err(error) = connected
            && !is_told
        {
            is_told = true;
            let hub = &link.shared.hub;
            tracing::warn!("hub \"{hub}\" has no connection to {address:?}: {error}");
        }
        let until = Instant::now() + pause.mul_f64(0.5 + 0.5 * rand::random::<f64>());
        pause = (pause * 2).min(BACKOFF.1);
        loop {
            tokio::select! {
                () = stopped.wait() => return,
                () = tokio::time::sleep_until(until) => break,
                // Dropped, which is an answer. When there are none any more the hub has gone.
                request = requests.recv() => if request.is_none() { return },
            }
        }
    }
}

impl Link {
    async fn serve(
        &mut self,
        address: &RedisAddress,
        requests: &mut mpsc::Receiver<Request>,
    ) -> io::Result<()> {
        let place = (address.host.as_str(), address.port);
        let mut stream = tokio::time::timeout(CONNECT, TcpStream::connect(place)).await??;
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = stream.split();
        self.set_up(address);
        let mut input = BytesMut::new();
        let mut heard = Instant::now();
        let mut ticks = 0_u32;
        let mut tick = tokio::time::interval(PING);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // A buffer that is nearly full would be read into by a few bytes.
            input.reserve(INPUT);
            tokio::select! {
                read = reader.read_buf(&mut input) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    heard = Instant::now();
                    while let Some((value, length)) = resp::parse(&input).map_err(io::Error::other)? {
                        self.take(&value)?;
                        input.advance(length);
                    }
                }
                written = writer.write(&self.output), if !self.output.is_empty() => {
                    self.output.advance(written?);
                }
                Some(request) = requests.recv(), if self.shared.is_up() && self.output.len() < OUTPUT => {
                    self.output.extend_from_slice(&request.command);
                    self.waiting.push_back((request.answer, Some(request.ticket)));
                }
                _ = tick.tick() => {
                    if heard.elapsed() > SILENCE {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    if self.shared.is_up() {
                        self.ask(&resp::command(&[b"PING"]), Answer::Nothing);
                        self.look_after_rooms(ticks.is_multiple_of(TOUCH));
                        ticks = ticks.wrapping_add(1);
                    }
                }
            }
        }
    }

    fn ask(&mut self, command: &[u8], answer: Answer) {
        self.output.extend_from_slice(command);
        self.waiting.push_back((answer, None));
    }

    fn set_up(&mut self, address: &RedisAddress) {
        self.has_complained = false;
        let user = address.user.as_deref().unwrap_or("default");
        let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some(password) = &address.password {
            hello.extend([b"AUTH", user.as_bytes(), password.as_bytes()]);
        }
        self.ask(&resp::command(&hello), Answer::Setup);
        let database = address.database.to_string();
        self.ask(
            &resp::command(&[b"SELECT", database.as_bytes()]),
            Answer::Setup,
        );
        let shared = Arc::clone(&self.shared);
        for script in shared.scripts.all() {
            let load = resp::command(&[b"SCRIPT", b"LOAD", script.text.as_bytes()]);
            self.ask(&load, Answer::Setup);
        }
        // Its answer is a push, after those of all others.
        let subscribe = resp::command(&[b"SUBSCRIBE", shared.channel.as_bytes()]);
        self.output.extend_from_slice(&subscribe);
    }

    /// Acts on what has come.
    fn take(&mut self, value: &Value<'_>) -> io::Result<()> {
        if let Value::Push(items) = value {
            match items.as_slice() {
                [Value::Text(b"subscribe"), ..] => self.subscribed(),
                [Value::Text(b"message"), _, Value::Text(message)] => self.message(message),
                _ => {}
            }
            return Ok(());
        }
        // The ticket of a request ends with its answer.
        let Some((answer, _ticket)) = self.waiting.pop_front() else {
            return Err(io::Error::other("an answer to nothing has come"));
        };
        if let Value::Error(text) = value {
            let text = String::from_utf8_lossy(text);
            // Someone has emptied the script cache: the next connection fills it again.
            if matches!(answer, Answer::Setup) || text.starts_with("NOSCRIPT") {
                return Err(io::Error::other(text.into_owned()));
            }
            if !std::mem::replace(&mut self.has_complained, true) {
                tracing::warn!("hub \"{}\": Redis refuses: {text}", self.shared.hub);
            }
        }
        match answer {
            Answer::Setup | Answer::Nothing => {}
            Answer::Published(to) => {
                let _ = to.send(position(value));
            }
            Answer::Looked { room, enters, to } => {
                let look = self.look(value);
                if let Ok(look) = &look
                    && enters
                {
                    self.rooms.entry(room).or_insert(Known {
                        position: look.position,
                        is_resuming: false,
                        is_behind: false,
                    });
                }
                let _ = to.send(look);
            }
            Answer::Resumed(room) => {
                let look = self.look(value);
                self.resumed(&room, look);
            }
        }
        Ok(())
    }

    fn subscribed(&mut self) {
        tracing::info!("hub \"{}\" is connected to its backplane", self.shared.hub);
        self.shared.set_up(true);
        let directory = Arc::clone(&self.directory);
        self.rooms.retain(|room, _| directory.is_occupied(room));
        let rooms: Vec<Arc<str>> = self.rooms.keys().map(Arc::clone).collect();
        for room in rooms {
            self.resume(&room);
        }
    }

    /// Asks for all that has not been delivered.
    fn resume(&mut self, room: &Arc<str>) {
        let Some(known) = self.rooms.get_mut(room) else {
            return;
        };
        known.is_resuming = true;
        let since = Since::All(known.position, MISSED);
        let command = self.shared.look_command(room, since);
        self.ask(&command, Answer::Resumed(Arc::clone(room)));
    }

    fn resumed(&mut self, room: &Arc<str>, look: Result<Look, Refused>) {
        let Some(known) = self.rooms.get_mut(room) else {
            return;
        };
        known.is_resuming = false;
        known.is_behind = look.is_err() || !self.directory.has_room(room);
        let Ok(look) = look else {
            return;
        };
        if known.is_behind {
            return;
        }
        if look.is_complete {
            for (offset, frame) in look.messages {
                self.directory
                    .to_room(room, Audience::All, Some(offset), &frame);
            }
        } else {
            let has_words = self.shared.mode == HubMode::Rooms;
            let frame = has_words.then(|| event::gap(room, look.position));
            self.directory
                .gap(room, look.position.offset, frame.as_ref());
        }
        known.position = look.position;
    }

    /// A message has been published, here or at another gateway.
    fn message(&mut self, mut bytes: &[u8]) {
        if let Some(frame) = envelope::read_broadcast(bytes) {
            self.directory.to_workers(&Delivery::Everyone(frame));
            return;
        }
        let mut number = || envelope::word(&mut bytes)?.parse::<u64>().ok();
        let (Some(offset), Some(epoch)) = (number(), number()) else {
            return;
        };
        let Some(message) = envelope::read(self.shared.node, bytes) else {
            return;
        };
        // Who comes in will be told where the stream is then.
        let Some((room, _)) = self.rooms.get_key_value(message.room) else {
            return;
        };
        let room = Arc::clone(room);
        let Some(known) = self.rooms.get_mut(&room) else {
            return;
        };
        let is_known = epoch == known.position.epoch && offset <= known.position.offset;
        if known.is_resuming || is_known {
            return;
        }
        if !self.directory.has_room(&room) {
            known.is_behind = true;
            return;
        }
        if epoch != known.position.epoch || offset != known.position.offset + 1 {
            self.resume(&room);
            return;
        }
        known.position.offset = offset;
        let frame = message.finish(offset);
        self.directory
            .to_room(&room, message.audience, Some(offset), &frame);
    }

    fn look_after_rooms(&mut self, touches: bool) {
        let behind = self
            .rooms
            .iter()
            .filter(|(_, known)| known.is_behind && !known.is_resuming);
        let behind: Vec<Arc<str>> = behind.map(|(room, _)| Arc::clone(room)).collect();
        for room in behind {
            if self.directory.has_room(&room) {
                self.resume(&room);
            }
        }
        if !touches {
            return;
        }
        let directory = Arc::clone(&self.directory);
        self.rooms.retain(|room, _| directory.is_occupied(room));
        let rooms: Vec<Arc<str>> = self.rooms.keys().map(Arc::clone).collect();
        for some in rooms.chunks(TOUCHED) {
            let command = self.shared.touch_command(some);
            self.ask(&command, Answer::Nothing);
        }
    }

    fn look(&self, value: &Value<'_>) -> Result<Look, Refused> {
        let position = position(value)?;
        let Some([_, _, complete, messages]) = value.items() else {
            return Err(Refused::Busy);
        };
        let messages = messages.items().unwrap_or_default();
        let messages = messages
            .as_chunks::<2>()
            .0
            .iter()
            .filter_map(|[offset, message]| {
                let offset = offset.number()?;
                let message = envelope::read(self.shared.node, message.bytes()?)?;
                Some((offset, message.finish(offset)))
            });
        Ok(Look {
            position,
            is_complete: complete.number() == Some(1),
            messages: messages.collect(),
        })
    }
}

/// What every answer of a script begins with; 0 in place of it: there are too many rooms.
fn position(value: &Value<'_>) -> Result<Position, Refused> {
    match value.items() {
        Some([offset, epoch, ..]) => match (offset.number(), epoch.number()) {
            (Some(offset), Some(epoch)) => Ok(Position { offset, epoch }),
            _ => Err(Refused::Busy),
        },
        _ if *value == Value::Integer(0) => Err(Refused::TooManyRooms),
        _ => Err(Refused::Busy),
    }
}
