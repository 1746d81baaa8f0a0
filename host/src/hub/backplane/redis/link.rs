//! The connection to Redis.

mod input;
mod pulse;
mod refusal;
mod rooms;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::company::Company;
use super::presence::Presence;
use super::questions::Questions;
use super::request::{Answer, Line, Request, Ticket};
use super::resp::{self, Value};
use crate::config::RedisAddress;
use crate::hub::backplane::attendance::Node;
use crate::hub::directory::Directory;
use crate::side_thread::Stopped;
use input::Input;
use pulse::Pulse;
use rooms::{Known, position};

const CONNECT: Duration = Duration::from_secs(2);
/// That are subscribed to.
const CHANNELS: i64 = 3;
/// Between attempts: from the first to the last, each about twice the one before.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Between pings, and between heartbeats.
const PING: Duration = Duration::from_secs(1);
/// Pings between two times that rooms are kept from being forgotten.
const TOUCH: u32 = 10;
/// Rooms of one such command.
const TOUCHED: usize = 500;
/// No more requests are taken while so much waits to be written.
const OUTPUT: usize = 1 << 20;
/// Nothing is read either, for what comes may have to be answered.
const FULL: usize = 4 << 20;
/// For the last words to be written.
const FAREWELL: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Link {
    shared: Arc<Line>,
    directory: Arc<Directory>,
    presence: Arc<Presence>,
    company: Company,
    questions: Questions,
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
    presence: Arc<Presence>,
    mut requests: mpsc::Receiver<Request>,
    mut stopped: Stopped,
) {
    let (hub, node) = (Arc::clone(&shared.hub), Node(shared.node));
    let company = Company::new(&hub, node, &shared.company, &presence);
    let mut link = Link {
        shared,
        directory,
        presence,
        company,
        questions: Questions::default(),
        rooms: HashMap::new(),
        output: BytesMut::new(),
        waiting: VecDeque::new(),
        has_complained: false,
    };
    let mut pause = BACKOFF.0;
    let mut is_told = false;
    loop {
        let connected = link.serve(&address, &mut requests, &mut stopped).await;
        let was_up = link.shared.is_up();
        link.shared.set_up(false);
        // Nobody waits for what will not come.
        link.waiting.clear();
        link.questions.clear();
        link.output.clear();
        if was_up {
            pause = BACKOFF.0;
            is_told = false;
        }
        let Err(error) = connected else {
            return;
        };
        if !std::mem::replace(&mut is_told, true) {
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
    /// Until it is stopped, or the connection is lost.
    async fn serve(
        &mut self,
        address: &RedisAddress,
        requests: &mut mpsc::Receiver<Request>,
        stopped: &mut Stopped,
    ) -> io::Result<()> {
        let place = (address.host.as_str(), address.port);
        let mut stream = tokio::select! {
            () = stopped.wait() => return Ok(()),
            connected = tokio::time::timeout(CONNECT, TcpStream::connect(place)) => connected??,
        };
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = stream.split();
        self.set_up(address);
        let presence = Arc::clone(&self.presence);
        let mut input = Input::default();
        let mut pulse = Pulse::new(Instant::now());
        let mut ticks = 0_u32;
        let mut tick = tokio::time::interval(PING);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.speak();
            tokio::select! {
                () = stopped.wait() => {
                    if self.shared.is_up() {
                        let bye = self.company.bye();
                        self.output.extend_from_slice(&bye);
                        let _ = tokio::time::timeout(FAREWELL, writer.write_all(&self.output)).await;
                    }
                    return Ok(());
                }
                read = reader.read_buf(input.room()), if self.output.len() < FULL => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    pulse.hear(Instant::now());
                    while let Some((value, length)) = input.value()? {
                        self.take(&value)?;
                        input.skip(length);
                    }
                    input.settle()?;
                }
                written = writer.write(&self.output), if !self.output.is_empty() => {
                    self.output.advance(written?);
                }
                Some(request) = requests.recv(), if self.shared.is_up() && self.output.len() < OUTPUT => {
                    self.output.extend_from_slice(&request.command);
                    self.waiting.push_back((request.answer, Some(request.ticket)));
                }
                () = presence.wake.notified(), if self.shared.is_up() => {}
                _ = tick.tick() => {
                    if pulse.is_lost(Instant::now()) {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    self.questions.tick(self.company.others());
                    if self.shared.is_up() {
                        self.ask(&resp::command(&[b"PING"]), Answer::Nothing);
                        if let Some(beat) = self.company.beat() {
                            self.ask(&beat, Answer::Beat);
                        }
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

    /// Tells other gateways who is in the rooms here, as far as there is room for it.
    fn speak(&mut self) {
        while self.shared.is_up() && self.output.len() < OUTPUT {
            let Some(said) = self.company.next() else {
                return;
            };
            for command in said.commands {
                self.ask(&command, Answer::Nothing);
            }
            for room in said.left {
                self.vacate(&room);
            }
        }
    }

    fn set_up(&mut self, address: &RedisAddress) {
        self.has_complained = false;
        let user = address.user.as_deref().unwrap_or("default");
        let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some(password) = &address.password {
            hello.extend([b"AUTH", user.as_bytes(), password.as_bytes()]);
        }
        self.ask(&resp::command(&hello), Answer::Setup(refusal::HELLO));
        let database = address.database.to_string();
        self.ask(
            &resp::command(&[b"SELECT", database.as_bytes()]),
            Answer::Setup("SELECT"),
        );
        let shared = Arc::clone(&self.shared);
        for script in shared.scripts.all() {
            let load = resp::command(&[b"SCRIPT", b"LOAD", script.text.as_bytes()]);
            self.ask(&load, Answer::Setup("SCRIPT LOAD"));
        }
        // Its answers are pushes, after those of all others.
        let answers = shared.answers_of(shared.node);
        let channels = [&shared.channel, &shared.company, &answers].map(String::as_bytes);
        let [messages, company, answers] = channels;
        let subscribe = resp::command(&[b"SUBSCRIBE", messages, company, answers]);
        self.output.extend_from_slice(&subscribe);
    }

    /// Acts on what has come.
    fn take(&mut self, value: &Value<'_>) -> io::Result<()> {
        if let Value::Push(items) = value {
            match items.as_slice() {
                [Value::Text(b"subscribe"), _, Value::Integer(CHANNELS)] => self.subscribed(),
                [
                    Value::Text(b"message"),
                    Value::Text(channel),
                    Value::Text(message),
                ] => {
                    if *channel == self.shared.channel.as_bytes() {
                        self.message(message);
                    } else if *channel != self.shared.company.as_bytes() {
                        self.questions.hear(message);
                    } else if let Some(answer) = self.company.hear(message) {
                        self.ask(&answer, Answer::Nothing);
                    }
                }
                _ => {}
            }
            return Ok(());
        }
        // The ticket of a request ends with its answer.
        let Some((answer, _ticket)) = self.waiting.pop_front() else {
            return Err(io::Error::other("an answer to nothing has come"));
        };
        if let Value::Error(text) = value {
            let word = refusal::word(text);
            if let Answer::Setup(command) = answer {
                return Err(io::Error::other(refusal::of_setup(command, word)));
            }
            // Someone has emptied the script cache: the next connection fills it again.
            if word == "NOSCRIPT" {
                return Err(io::Error::other("Redis has forgotten the scripts"));
            }
            if matches!(answer, Answer::Beat) {
                self.company.skip_beat();
            }
            if !std::mem::replace(&mut self.has_complained, true) {
                tracing::warn!(
                    "hub \"{}\": Redis refuses a command ({word})",
                    self.shared.hub
                );
            }
        }
        match answer {
            Answer::Setup(_) | Answer::Nothing | Answer::Beat => {}
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
            Answer::Asked(number, to) => {
                // One of them is this gateway.
                if let Some(count) = value.number().and_then(|count| usize::try_from(count).ok()) {
                    self.questions.ask(number, count.saturating_sub(1), to);
                }
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
        let arrival = self.company.arrive();
        self.ask(&arrival, Answer::Nothing);
        let directory = Arc::clone(&self.directory);
        self.rooms.retain(|room, _| directory.is_occupied(room));
        let rooms: Vec<Arc<str>> = self.rooms.keys().map(Arc::clone).collect();
        for room in rooms {
            self.resume(&room);
        }
    }
}
