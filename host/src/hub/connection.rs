//! One client's connection, from the end of the handshake to the end.
//!
//! One task reads, acts and writes. What it reads goes through a buffer that all connections of the worker share; what
//! it writes are frames that are shared as well. So a connection on which nothing happens owns neither, only what is in
//! [`Connection`]. A client that does not take its answers is not read from.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::Instant;

use super::admit::Accepted;
use super::client::{Birth, Client};
use super::codes;
use super::end_log;
use super::hooks::{ClientView, Hooks, Message};
use super::protocol::problem::Problem;
use super::protocol::{command, event};
use super::rate::{Rate, Verdict};
use super::worker::{Handled, WorkerHub, raw};
use crate::config::HubMode;
use crate::timer::Timer;
use crate::websocket::close::{ABNORMAL, Close, NO_STATUS};
use crate::websocket::frame::{self, Kind};
use crate::websocket::reader::{Event, Payload, Reader, Rules};

/// How long the closing handshake may take.
const CLOSING: Duration = Duration::from_secs(2);
/// Reads before other connections get their turn.
const ROUNDS: usize = 4;
/// What is still read, and not looked at, of a client that breaks the protocol.
const DISCARDED: usize = 256 * 1024;

/// How a connection came to its end.
enum End {
    /// Without a word.
    Gone,
    /// The client closes.
    Theirs(Option<Close>),
    /// The hub closes.
    Ours(Close),
    /// The hub closes, for what was read is no WebSocket: what follows can't be read.
    Broken(Close),
}

/// Serves a client until its connection ends; `read_ahead` is what came together with the request. Best spawned as a task
/// of its own, so that what reads requests does not take up memory for as long as the client stays.
pub async fn serve<S>(hub: Rc<WorkerHub>, accepted: Accepted, stream: S, read_ahead: Bytes)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let limits = hub.hub.config.limits;
    let client = Rc::new(Client::new(Birth {
        serial: hub.local.shared.directory.next_serial(),
        id: accepted.id,
        address: accepted.address,
        deflate: accepted.deflate,
        queue: limits.queue,
        policy: hub.hub.config.slow_clients,
        state: accepted.state,
    }));
    let presence = Presence::new(&hub, &client);
    let greeting = greet(&hub, &client, accepted.rooms, &accepted.greetings);
    let now = Instant::now();
    let mut connection = Connection {
        reader: Reader::new(Rules {
            message: limits.message,
            deflate: client.deflate.is_some(),
        }),
        stash: read_ahead.to_vec(),
        waiting: Some(Box::pin(greeting)),
        timer: Timer::default(),
        heard: now,
        pinged: None,
        spoke: now,
        interval: hub
            .hub
            .config
            .ping
            .interval
            .mul_f64(0.9 + 0.1 * rand::random::<f64>()),
        rate: limits.rate.map(|rate| Rate::new(rate, now)),
        stream,
        client: Rc::clone(&client),
        hub: Rc::clone(&hub),
    };
    drop(read_ahead);
    let end = std::future::poll_fn(|cx| connection.poll(cx)).await;
    if let End::Ours(close) | End::Broken(close) = &end {
        end_log::ended(&hub.hub.config.name, &client, close);
    }
    let hooks = hub.local.hooks();
    let hooks = hooks.filter(|hooks| !hooks.is_blind_to_ends());
    let view = hooks.map(|hooks| (hooks, client.view()));
    drop(presence);
    let told = match &end {
        End::Gone => None,
        End::Theirs(close) => Some(close.clone().unwrap_or(Close::new(NO_STATUS, ""))),
        End::Ours(close) | End::Broken(close) => Some(close.clone()),
    };
    // The closing handshake does not wait for plugins, nor they for it.
    // Boxed, so that a connection has no room for its end all its life.
    let closing = Box::pin(connection.close(end));
    match view {
        Some((hooks, view)) => {
            let told = told.unwrap_or(Close::new(ABNORMAL, ""));
            Box::pin(async {
                tokio::join!(closing, disconnected(&hub, &client, &*hooks, view, told));
            })
            .await;
        }
        None => closing.await,
    }
    drop(accepted.seat);
}

/// What a client is sent first, and the rooms that it is in from the start.
fn greet(
    hub: &Rc<WorkerHub>,
    client: &Rc<Client>,
    rooms: Vec<String>,
    greetings: &[Message],
) -> impl Future<Output = Option<Close>> + use<> {
    if hub.hub.config.mode == HubMode::Rooms {
        client.send(&event::welcome(&client.id));
    }
    for greeting in greetings {
        client.send(&raw(greeting));
    }
    let (hub, client) = (Rc::clone(hub), Rc::clone(client));
    async move { hub.put_in_first(&client, rooms).await }
}

async fn disconnected(
    hub: &Rc<WorkerHub>,
    client: &Rc<Client>,
    hooks: &dyn Hooks,
    view: ClientView,
    close: Close,
) {
    let reason = close.reason.into_owned();
    if let Ok(actions) = hooks.on_disconnect(view, close.code, reason).await {
        let meant = |action: &super::hooks::Action| {
            matches!(
                action,
                super::hooks::Action::Publish(..) | super::hooks::Action::SendTo(..)
            )
        };
        let actions = actions.into_iter().filter(meant).collect();
        Rc::clone(hub)
            .carry_out(Rc::clone(client), actions, None)
            .await;
    }
}

/// A client is known for as long as this lives, even if its task is ended from outside.
struct Presence {
    hub: Rc<WorkerHub>,
    client: Rc<Client>,
}

impl Presence {
    fn new(hub: &Rc<WorkerHub>, client: &Rc<Client>) -> Self {
        hub.local.admit(client);
        Self {
            hub: Rc::clone(hub),
            client: Rc::clone(client),
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.hub.local.dismiss(&self.client);
    }
}

/// See the module's documentation.
struct Connection<S> {
    hub: Rc<WorkerHub>,
    client: Rc<Client>,
    stream: S,
    reader: Reader,
    /// What has been read and not been looked at.
    stash: Vec<u8>,
    /// What has to be known before more is read.
    waiting: Option<Pin<Box<dyn Future<Output = Option<Close>>>>>,
    timer: Timer,
    /// When something came, or something was taken.
    heard: Instant,
    pinged: Option<Instant>,
    /// When a message came.
    spoke: Instant,
    /// Between pings; not the same for all, so that they don't all come at once.
    interval: Duration,
    rate: Option<Rate>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.client.watch(cx.waker());
        if let Some(close) = self.client.take_fate() {
            return Poll::Ready(End::Ours(close));
        }
        let mut is_paused = false;
        let mut rounds = 0;
        loop {
            if let Some(waiting) = &mut self.waiting {
                match waiting.as_mut().poll(cx) {
                    Poll::Ready(None) => self.waiting = None,
                    Poll::Ready(Some(close)) => return Poll::Ready(End::Ours(close)),
                    Poll::Pending => break,
                }
            }
            if self.is_backed_up() {
                is_paused = true;
                break;
            }
            if rounds == ROUNDS {
                cx.waker().wake_by_ref();
                break;
            }
            rounds += 1;
            match self.poll_input(cx) {
                Poll::Ready(None) => {}
                Poll::Ready(Some(end)) => return Poll::Ready(end),
                Poll::Pending => break,
            }
        }
        let mut written = 0;
        let result = {
            let mut output = self.hub.local.output.borrow_mut();
            let mut outbox = self.client.outbox.borrow_mut();
            outbox.poll_write(cx, &mut self.stream, &mut output, &mut written)
        };
        if let Poll::Ready(Err(_)) = result {
            return Poll::Ready(End::Gone);
        }
        if is_paused && written > 0 {
            // It can't answer a ping that it has not come to yet; but it lives.
            self.heard = Instant::now();
            if !self.is_backed_up() {
                cx.waker().wake_by_ref();
            }
        }
        self.poll_timer(cx)
    }

    /// Whether so much waits to be written that nothing more is read.
    fn is_backed_up(&self) -> bool {
        self.client.outbox.borrow().bytes() > self.client.queue / 4
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        if !self.stash.is_empty() {
            let mut stash = std::mem::take(&mut self.stash);
            return Poll::Ready(self.consume(&mut stash));
        }
        let local = Rc::clone(&self.hub.local);
        let mut input = local.input.borrow_mut();
        let mut buffer = ReadBuf::new(&mut input);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                Poll::Ready(self.consume(buffer.filled_mut()))
            }
            Poll::Ready(_) => Poll::Ready(Some(End::Gone)),
        }
    }

    /// Acts on what has come; what can't be acted on yet is kept.
    fn consume(&mut self, bytes: &mut [u8]) -> Option<End> {
        self.heard = Instant::now();
        self.pinged = None;
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let (taken, event) = match self.reader.read(rest) {
                Ok(read) => read,
                Err(close) => return Some(End::Broken(close)),
            };
            done += taken;
            let handled = match event {
                None | Some(Event::Pong) => Handled::Done,
                Some(Event::Ping(payload)) => {
                    self.client.push(frame::pong(&payload));
                    Handled::Done
                }
                Some(Event::Close(close)) => return Some(End::Theirs(close)),
                Some(Event::Message(kind, payload)) => self.message(kind, payload),
            };
            match handled {
                Handled::Done if self.is_backed_up() => {}
                Handled::Done => continue,
                Handled::Close(close) => return Some(End::Ours(close)),
                Handled::Later(waiting) => self.waiting = Some(waiting),
            }
            self.stash = bytes.get(done..).unwrap_or_default().to_vec();
            break;
        }
        None
    }

    fn message(&mut self, kind: Kind, payload: Payload<'_>) -> Handled {
        self.spoke = self.heard;
        if let Some(rate) = &mut self.rate {
            match rate.admit(self.heard) {
                Verdict::Pass => {}
                Verdict::Refuse if self.hub.hub.config.mode == HubMode::Rooms => {
                    // So that the client knows which one was not taken.
                    let text = std::str::from_utf8(&payload).unwrap_or_default();
                    let id = command::read(text).id;
                    self.client.send(&event::error(id, Problem::RateLimited));
                    return Handled::Done;
                }
                // Raw messages have no words for it.
                Verdict::Refuse | Verdict::Flood => return Handled::Close(codes::FLOOD),
            }
        }
        let hooks = self.hub.local.hooks();
        let Some(hooks) = hooks.filter(|hooks| !hooks.is_blind_to_messages()) else {
            return self.hub.take(&self.client, kind, &payload);
        };
        let bytes = payload.into_vec();
        let message = match kind {
            Kind::Binary => Message::Binary(bytes.into()),
            Kind::Text => match String::from_utf8(bytes) {
                Ok(text) => Message::Text(text),
                Err(_) => return Handled::Done,
            },
        };
        let answer = hooks.on_message(self.client.view(), message.clone());
        let (hub, client) = (Rc::clone(&self.hub), Rc::clone(&self.client));
        Handled::Later(Box::pin(async move {
            match answer.await {
                Ok(actions) => hub.carry_out(client, actions, Some(message)).await,
                Err(_) => Some(codes::PLUGIN),
            }
        }))
    }

    /// Pings, and ends what is silent for too long.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let config = &self.hub.hub.config;
        loop {
            let of_ping = match self.pinged {
                None => self.heard + self.interval,
                Some(pinged) => pinged.max(self.heard) + config.ping.timeout,
            };
            let of_idleness = config.idle.map(|idle| self.spoke + idle);
            let deadline = of_idleness.map_or(of_ping, |idle| idle.min(of_ping));
            self.timer.start_at(deadline);
            if self.timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if of_idleness.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(End::Ours(codes::IDLE));
            }
            if of_ping > now {
                continue;
            }
            if self.pinged.is_some() {
                return Poll::Ready(End::Ours(codes::NO_PONG));
            }
            self.pinged = Some(now);
            self.client.push(frame::ping());
        }
    }

    /// The closing handshake (RFC 6455, section 7.1), for as long as it may take.
    async fn close(mut self, end: End) {
        // Whoever the other side waits for has gone with the connection.
        self.waiting = None;
        let _ = tokio::time::timeout(CLOSING, async {
            match end {
                End::Gone => Ok(()),
                End::Theirs(close) => {
                    let code = close.map_or(NO_STATUS, |close| close.code);
                    self.write_close(&Close::new(code, "")).await?;
                    self.stream.shutdown().await
                }
                End::Ours(close) => {
                    self.write_close(&close).await?;
                    self.wait_for_close().await?;
                    self.stream.shutdown().await
                }
                End::Broken(close) => {
                    self.write_close(&close).await?;
                    self.stream.shutdown().await?;
                    self.discard().await
                }
            }
        })
        .await;
    }

    /// Writes what waits, and the close frame after it.
    async fn write_close(&mut self, close: &Close) -> std::io::Result<()> {
        self.client.outbox.borrow_mut().push(frame::close(close));
        let hub = Rc::clone(&self.hub);
        std::future::poll_fn(|cx| {
            let mut output = hub.local.output.borrow_mut();
            let mut outbox = self.client.outbox.borrow_mut();
            outbox.poll_write(cx, &mut self.stream, &mut output, &mut 0)
        })
        .await
    }

    /// Reads until the other side's close frame; what comes before it is too late.
    async fn wait_for_close(&mut self) -> std::io::Result<()> {
        let mut buffer = std::mem::take(&mut self.stash);
        loop {
            let mut done = 0;
            while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
                match self.reader.read(rest) {
                    Ok((_, Some(Event::Close(_)))) | Err(_) => return Ok(()),
                    Ok((taken, _)) => done += taken,
                }
            }
            buffer.resize(2048, 0);
            let size = self.stream.read(&mut buffer).await?;
            buffer.truncate(size);
            if size == 0 {
                return Ok(());
            }
        }
    }

    async fn discard(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 2048];
        let mut discarded = 0;
        while discarded < DISCARDED {
            match self.stream.read(&mut buffer).await? {
                0 => break,
                size => discarded += size,
            }
        }
        Ok(())
    }
}
