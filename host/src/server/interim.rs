//! Interim responses (1xx) on their way to a client. hyper's server has no call to send them, so
//! the guard writes them to the socket in front of the final response.

use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::io::AsyncWrite;

use crate::exchange::hop_by_hop;

/// At most this much waits for one client: an upstream may not make us hoard.
const MAX_BYTES: usize = 64 * 1024;

/// A queue between the upstream's side of an exchange, where hyper calls back from a place that
/// must be `Send`, and the client's connection.
#[derive(Debug, Default)]
pub struct Interim {
    queued: AtomicBool,
    bytes: Mutex<BytesMut>,
}

impl Interim {
    /// Queues a response. Dropped where too many wait already.
    pub fn push(&self, status: StatusCode, headers: &HeaderMap) {
        let mut headers = headers.clone();
        hop_by_hop::strip(&mut headers);
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() > MAX_BYTES {
            return;
        }
        let reason = status.canonical_reason().unwrap_or("");
        let _ = write!(bytes, "HTTP/1.1 {} {reason}\r\n", status.as_u16());
        for (name, value) in &headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        self.queued.store(true, Ordering::Release);
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_write(
        &self,
        cx: &mut Context<'_>,
        mut stream: Pin<&mut impl AsyncWrite>,
    ) -> Poll<io::Result<()>> {
        if !self.queued.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        while !bytes.is_empty() {
            let written = ready!(stream.as_mut().poll_write(cx, &bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            bytes.advance(written);
        }
        self.queued.store(false, Ordering::Release);
        Poll::Ready(Ok(()))
    }
}
