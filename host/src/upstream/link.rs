//! What carries one exchange to a target: a connection of HTTP/1 that it has to itself, or a stream of HTTP/2 among others.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::Frame;

use super::connection::{Connection, Unanswered};
use super::http2::stream::Stream;
use crate::exchange::body::BodyError;
use crate::timer::Timer;

/// See the module's documentation.
#[derive(Debug)]
pub enum Link {
    /// HTTP/1.1.
    Http1(Box<Connection>),
    /// HTTP/2.
    Http2(Box<Stream>),
}

/// A response's head.
#[derive(Debug)]
pub struct Head {
    /// Its status; 101 and all that are not interim.
    pub status: StatusCode,
    /// As received.
    pub headers: HeaderMap,
}

/// Calls the same method of whichever it is.
macro_rules! with {
    ($self:ident, $link:ident => $call:expr) => {
        match $self {
            Self::Http1($link) => $call,
            Self::Http2($link) => $call,
        }
    };
}

impl Link {
    /// Whether the connection has carried an exchange before: then it may have been closed meanwhile.
    pub fn is_reused(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.served > 0,
            Self::Http2(stream) => stream.is_reused(),
        }
    }

    /// For whatever the exchange waits for at the moment.
    pub fn timer(&mut self) -> &mut Timer {
        with!(self, link => &mut link.timer)
    }

    /// Sends the request that has begun and waits for the response's head; `on_interim` is shown interim responses.
    /// `on_wait` is polled whenever nothing moves; its result ends the waiting.
    ///
    /// # Errors
    /// Outer: `on_wait`'s. Inner: see [`Unanswered`].
    pub async fn send<E>(
        &mut self,
        on_interim: impl FnMut(StatusCode, &HeaderMap),
        on_wait: impl FnMut(&mut Timer, &mut Context<'_>) -> Poll<E>,
    ) -> Result<Result<Head, Unanswered>, E> {
        match self {
            Self::Http1(connection) => {
                let sent = connection.send(on_interim, on_wait).await?;
                Ok(sent.map(|head| Head {
                    status: head.status,
                    headers: head.headers,
                }))
            }
            // Boxed: it would make every request's future larger.
            Self::Http2(stream) => Box::pin(stream.send(on_interim, on_wait)).await,
        }
    }

    /// The next piece of the response's body. The rest of the request is sent meanwhile.
    pub fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        with!(self, link => link.poll_body(cx))
    }

    /// Sends more of the request while the response is not read.
    pub fn drive_upload(&mut self, cx: &mut Context<'_>) {
        with!(self, link => link.drive_upload(cx));
    }

    /// Whether all of the response's body has been read.
    pub fn is_body_done(&self) -> bool {
        with!(self, link => link.is_body_done())
    }

    /// How much of the response's body is to come, where that is known.
    pub fn remaining_body(&self) -> Option<u64> {
        with!(self, link => link.remaining_body())
    }

    /// The head did not come in time: what else goes over the same connection may be lost as well.
    pub fn is_late(&mut self) {
        if let Self::Http2(stream) = self {
            stream.is_late();
        }
    }
}
