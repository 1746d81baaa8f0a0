//! After a 101: bytes pass between a client and a target as they come, and nobody looks at them.
//!
//! A tunnel that is idle holds no buffers: what comes in is read into a buffer that all tunnels of a worker share, and only what
//! the other end does not take at once is kept. That is also what stops the end that sends too fast.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::observe::metrics::{Metrics, OpenTunnel};
use crate::observe::record::Recorded;
use crate::timer::Timer;
use crate::transport::Stream;
use crate::upstream::target::InFlight;

/// One read.
const READ: usize = 64 * 1024;

thread_local! {
    /// Holds nothing between two polls.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// One end of a tunnel: its stream, and what has been read of it already.
#[derive(Debug)]
pub struct End {
    /// The stream.
    pub stream: Stream,
    /// Bytes that came behind the head.
    pub read_ahead: BytesMut,
}

/// The target's end of a tunnel that is to be opened.
#[derive(Debug)]
pub struct Opening {
    /// The target's connection.
    pub target: End,
    /// Counts at the target until the tunnel ends.
    pub in_flight: Option<InFlight>,
    /// How long nothing may come from either end.
    pub idle: Duration,
    /// Where open tunnels are counted.
    pub metrics: Option<Arc<Metrics>>,
}

/// Runs a tunnel to its end. An end that sends no more is passed on as what it is: the other direction goes on.
pub async fn run(mut client: End, mut opening: Box<Opening>, mut record: Recorded) {
    let _open = opening.metrics.take().map(OpenTunnel::new);
    let Opening { target, idle, .. } = &mut *opening;
    let mut up = Direction::new(&std::mem::take(&mut client.read_ahead));
    let mut down = Direction::new(&std::mem::take(&mut target.read_ahead));
    let mut timer = Timer::default();
    let ended = poll_fn(|cx| {
        let moved = up.moved + down.moved;
        let before = moved + client.stream.taken() + target.stream.taken();
        let upwards = up.poll(cx, &mut client.stream, &mut target.stream);
        let downwards = down.poll(cx, &mut target.stream, &mut client.stream);
        let is_over = match (upwards, downwards) {
            (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => Some(Err(error)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Some(Ok(())),
            _ => None,
        };
        if let Some(result) = is_over {
            return Poll::Ready(result);
        }
        let moved = up.moved + down.moved;
        // TLS takes bytes before its peer does.
        let now = moved + client.stream.taken() + target.stream.taken();
        if now != before || !timer.is_running() {
            timer.start(*idle);
        }
        timer.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await;
    record.tunnelled(down.moved, ended.is_ok());
    match ended {
        Ok(()) => {}
        Err(error) => {
            tracing::debug!("a tunnel ended: {error}");
            // What has broken off is passed on as that, be it reset, or cut off where TLS has an end of its own: an end in order would say
            // that all has arrived. Nobody has broken off a tunnel that is idle; a system's timeout has a number.
            if error.kind() != io::ErrorKind::TimedOut || error.raw_os_error().is_some() {
                client.stream.reset_when_dropped(true);
                target.stream.reset_when_dropped(true);
            }
        }
    }
}

/// One direction.
#[derive(Debug)]
struct Direction {
    /// What the other end did not take at once.
    waiting: BytesMut,
    /// The other end's stream has taken bytes, and may still hold some of them back.
    must_flush: bool,
    state: Flow,
    /// Bytes that the other end has taken.
    moved: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    /// Nothing more will come; the other end is to be told, behind what waits.
    Ending,
    Over,
}

impl Direction {
    fn new(read_ahead: &[u8]) -> Self {
        Self {
            // A copy: what was read ahead is a part of the buffer that the head was read into, and would keep all of it.
            waiting: BytesMut::from(read_ahead),
            must_flush: false,
            state: Flow::Open,
            moved: 0,
        }
    }

    /// Moves what can be moved. Ready when this direction is over.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_write_waiting(cx, to))?;
            match self.state {
                Flow::Over => return Poll::Ready(Ok(())),
                Flow::Ending => {
                    // An end that has gone already need not be told.
                    let _ = ready!(Pin::new(&mut *to).poll_shutdown(cx));
                    self.state = Flow::Over;
                }
                Flow::Open => ready!(
                    BUFFER.with_borrow_mut(|buffer| { self.poll_move(cx, from, to, buffer) })
                )?,
            }
        }
    }

    fn poll_write_waiting(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Stream,
    ) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(written);
            self.moved += written as u64;
            self.must_flush = true;
            if self.waiting.is_empty() {
                self.waiting = BytesMut::new();
            }
        }
        if self.must_flush {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.must_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, and writes what was read as far as it is taken.
    fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        buffer: &mut [u8],
    ) -> Poll<io::Result<()>> {
        let mut read = ReadBuf::new(buffer);
        ready!(Pin::new(from).poll_read(cx, &mut read))?;
        let mut rest = read.filled();
        if rest.is_empty() {
            self.state = Flow::Ending;
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(written) = Pin::new(to).poll_write(cx, rest) {
            let written = written?;
            self.moved += written as u64;
            self.must_flush = true;
            rest = rest.get(written..).unwrap_or(&[]);
        }
        self.waiting.extend_from_slice(rest);
        Poll::Ready(Ok(()))
    }
}
