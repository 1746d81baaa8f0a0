//! What has come in over a connection and has not been taken yet.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// One read: enough for nearly every head, and for many small bodies with it.
const LEAST: usize = 8 * 1024;
/// One read of a body that fills every read.
const MOST: usize = 64 * 1024;
/// Room that is too small to be read into.
const TOO_SMALL: usize = 1024;

/// See the module's documentation.
#[derive(Debug)]
pub struct Inbox {
    /// The bytes.
    pub bytes: BytesMut,
    /// How much is read at once.
    size: usize,
    /// Whether the other end has said that nothing more will come.
    pub has_ended: bool,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            bytes: BytesMut::new(),
            size: LEAST,
            has_ended: false,
        }
    }
}

impl Inbox {
    /// Reads once, behind what is there already; the number of bytes, 0 at the end of the stream.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Poll<io::Result<usize>> {
        if self.has_ended {
            return Poll::Ready(Ok(0));
        }
        if self.bytes.capacity() - self.bytes.len() < TOO_SMALL {
            self.bytes.reserve(self.size);
        }
        let room = self.bytes.capacity() - self.bytes.len();
        let read = ready!(pin!(stream.read_buf(&mut self.bytes)).poll(cx))?;
        self.has_ended = read == 0;
        if read == room {
            self.size = (2 * self.size).min(MOST);
        } else if read < self.size / 4 {
            self.size = (self.size / 2).max(LEAST);
        }
        Poll::Ready(Ok(read))
    }

    /// Lets go of the buffer, where nothing is in it: a connection that is idle needs none.
    pub fn release(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn reads_more_at_once_while_reads_are_filled() {
        let bytes = vec![7; 10 * MOST];
        let mut stream = &bytes[..];
        let mut inbox = Inbox::default();
        let mut sizes = Vec::new();
        loop {
            let read = poll_fn(|cx| inbox.poll_fill(cx, &mut stream))
                .await
                .unwrap();
            if read == 0 {
                break;
            }
            sizes.push(read);
            assert!(inbox.bytes.split().iter().all(|byte| *byte == 7));
        }
        assert_eq!(sizes.iter().sum::<usize>(), bytes.len());
        assert_eq!(sizes.first(), Some(&LEAST));
        assert!(sizes.contains(&MOST), "{sizes:?}");
        assert!(inbox.has_ended);
        inbox.release();
        assert_eq!(inbox.bytes.capacity(), 0);
    }
}
