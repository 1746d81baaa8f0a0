//! How long a client's connection has taken nothing. What fits into the buffers of the h2 crate is written by it alone, when the
//! exchange that it belongs to has ended long since; so it is the connection that is looked at.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::timer::Timer;
use crate::transport::Stream;

/// What is known of a connection's writes. Clones are one.
#[derive(Debug, Default, Clone)]
pub struct Writing(Rc<State>);

#[derive(Debug, Default)]
struct State {
    blocked_since: Cell<Option<Instant>>,
    is_given_up: Cell<bool>,
}

impl Writing {
    /// Whether there is something to be written that the client does not take now.
    pub fn is_blocked(&self) -> bool {
        self.0.blocked_since.get().is_some()
    }

    /// Ready when the client has taken nothing for so long of what there is for it. What waits in the kernel is then thrown
    /// away together with the connection.
    pub fn poll_overdue(
        &self,
        cx: &mut Context<'_>,
        timer: &mut Timer,
        patience: Duration,
    ) -> Poll<()> {
        let Some(since) = self.0.blocked_since.get() else {
            timer.stop();
            return Poll::Pending;
        };
        timer.start_at(since + patience);
        let overdue = timer.poll(cx);
        self.0.is_given_up.set(overdue.is_ready());
        overdue
    }

    fn note<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let since = &self.0.blocked_since;
        match result {
            Poll::Ready(_) => since.set(None),
            Poll::Pending if since.get().is_none() => since.set(Some(Instant::now())),
            Poll::Pending => {}
        }
        result
    }
}

/// A client's connection whose writes are looked at.
#[derive(Debug)]
pub struct Watched {
    stream: Stream,
    writing: Writing,
}

impl Watched {
    /// With what tells of its writes.
    pub fn new(stream: Stream) -> (Self, Writing) {
        let writing = Writing::default();
        let watched = Self {
            stream,
            writing: writing.clone(),
        };
        (watched, writing)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.writing.0.is_given_up.get() {
            self.stream.reset_when_dropped(true);
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.writing.note(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.writing.note(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.writing.note(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.writing.note(result)
    }
}
