//! One connection, and how many exchanges it carries.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::time::Instant;

use crate::http1::response::MAX_BYTES;
use crate::transport::Stream;
use crate::upstream::connect::{Destination, Way};

/// What a target may send of one response before it is taken.
const STREAM_WINDOW: u32 = 128 * 1024;
/// What a target may send of all responses before it is taken: the most that there is (RFC 9113, section 6.9.1). With less, a few
/// clients that read nothing would use all of it, and nobody else's response would come.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// Streams at the same time before a target has said how many it takes.
const FIRST_STREAMS: usize = 100;
/// What small pieces of responses may cost in memory while they wait to be taken, over all streams; a target that sends so many of
/// them to clients that read so little loses the connection.
const FRAME_BUDGET: usize = 8 * 1024 * 1024;
/// What waits to be written of one request's body.
const SEND_BUFFER: usize = 64 * 1024;

/// See the module's documentation.
#[derive(Debug)]
pub struct Shared {
    send: SendRequest<Bytes>,
    in_use: Cell<usize>,
    served: Cell<bool>,
    is_over: Cell<bool>,
    destination: Destination,
    /// When it was first seen without exchanges, since the last one.
    idle_since: Cell<Option<Instant>>,
}

/// A place on a connection, until it is dropped.
#[derive(Debug)]
pub struct Place(Rc<Shared>);

impl Shared {
    /// Begins HTTP/2 on a stream. A task of the worker drives the connection until it ends.
    ///
    /// # Errors
    /// The connection's.
    pub async fn begin(stream: Stream) -> Result<Rc<Self>, h2::Error> {
        let mut builder = Builder::new();
        builder
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(MAX_BYTES as u32)
            // Until the target says how many it takes (RFC 9113, section 6.5.2).
            .initial_max_send_streams(FIRST_STREAMS)
            // Streams are reset because clients have gone. What was on its way for them is not the target's fault, and others
            // share the connection.
            .max_concurrent_reset_streams(4096)
            .reset_stream_duration(Duration::from_secs(5))
            .max_local_error_reset_streams(None)
            .data_frame_budget(FRAME_BUDGET)
            .enable_push(false);
        let destination = Destination::of(&stream);
        let (send, connection) = builder.handshake(stream).await?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!("an HTTP/2 connection to a target ended: {error}");
            }
        });
        Ok(Rc::new(Self {
            send,
            in_use: Cell::new(0),
            served: Cell::new(false),
            is_over: Cell::new(false),
            destination,
            idle_since: Cell::new(None),
        }))
    }

    /// Whether the connection can carry one more exchange, and leads to where its target is today. If it does not lead there, no
    /// other exchange is begun on it.
    pub fn has_room_to(&self, way: &Way) -> bool {
        if !self.destination.is_still(way) {
            self.is_over.set(true);
        }
        self.has_room()
    }

    fn has_room(&self) -> bool {
        self.is_usable() && self.in_use.get() < self.send.current_max_send_streams()
    }

    /// A place for an exchange, if the connection can carry one more.
    pub fn take_place(self: &Rc<Self>) -> Option<Place> {
        self.has_room().then(|| self.occupy())
    }

    /// A place for an exchange for which there [is room](Self::has_room_to).
    pub(super) fn occupy(self: &Rc<Self>) -> Place {
        self.in_use.set(self.in_use.get() + 1);
        self.idle_since.set(None);
        Place(Rc::clone(self))
    }

    /// Whether new exchanges can be begun, as far as is known.
    pub fn is_usable(&self) -> bool {
        if self.is_over.get() {
            return false;
        }
        // After a GOAWAY or the connection's end there is an error. Pending: all streams are in use.
        let polled = self
            .send
            .clone()
            .poll_ready(&mut Context::from_waker(Waker::noop()));
        if matches!(polled, Poll::Ready(Err(_))) {
            self.is_over.set(true);
        }
        !self.is_over.get()
    }

    /// Exchanges that it carries.
    pub fn in_use(&self) -> usize {
        self.in_use.get()
    }

    /// Since when nothing has been going on, as far as was looked.
    pub fn idle_since(&self, now: Instant) -> Option<Instant> {
        if self.in_use.get() > 0 {
            return None;
        }
        let since = self.idle_since.get().unwrap_or(now);
        self.idle_since.set(Some(since));
        Some(since)
    }
}

impl Place {
    /// For sending the request.
    pub fn sender(&self) -> SendRequest<Bytes> {
        self.0.send.clone()
    }

    /// Whether the connection has brought a response before.
    pub fn is_reused(&self) -> bool {
        self.0.served.get()
    }

    /// A response has come.
    pub fn served(&self) {
        self.0.served.set(true);
    }

    /// No other exchange is to be begun on this connection. Those that have begun go on.
    pub fn retire(&self) {
        self.0.is_over.set(true);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_use.set(self.0.in_use.get() - 1);
    }
}
