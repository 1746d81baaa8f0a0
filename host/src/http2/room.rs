//! How much of a stream its other end takes at the moment (flow control, RFC 9113, section 5.2).

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;

/// Waits until some of `wanted` bytes can be sent, and says how many. `None`: none ever will.
///
/// # Errors
/// The stream's.
pub fn poll_room(
    send: &mut SendStream<Bytes>,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<usize, h2::Error>>> {
    send.reserve_capacity(wanted);
    while send.capacity() == 0 {
        match ready!(send.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            ended => return Poll::Ready(ended),
        }
    }
    Poll::Ready(Some(Ok(wanted.min(send.capacity()))))
}
