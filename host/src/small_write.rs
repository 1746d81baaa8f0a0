//! One plain write for what is small.
//!
//! hyper hands over a head and a body as two slices. The kernel takes longer to look through a list of
//! slices than a small body takes to copy, so what fits is written from one buffer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is copied at most, in bytes.
const SMALL: usize = 4 * 1024;

/// Writes slices, from one buffer if they are small together.
///
/// # Errors
/// The stream's.
pub fn poll_write_vectored<S: AsyncWrite>(
    stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [slice] = slices {
        return stream.poll_write(cx, slice);
    }
    let total = slices
        .iter()
        .fold(0, |sum: usize, slice| sum.saturating_add(slice.len()));
    if total > SMALL {
        return stream.poll_write_vectored(cx, slices);
    }
    let mut space = [std::mem::MaybeUninit::<u8>::uninit(); SMALL];
    let mut joined = ReadBuf::uninit(&mut space);
    for slice in slices {
        joined.put_slice(slice);
    }
    stream.poll_write(cx, joined.filled())
}

/// A stream that writes in this way.
#[derive(Debug)]
pub struct SmallWrite<S>(pub S);

impl<S: AsyncRead + Unpin> AsyncRead for SmallWrite<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SmallWrite<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_write_vectored(Pin::new(&mut self.get_mut().0), cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn slices_of_any_size_arrive_in_order() {
        for sizes in [
            &[0, 0][..],
            &[1],
            &[10, 0, 20],
            &[SMALL, 0],
            &[SMALL, 1],
            &[3 * SMALL, SMALL, 7],
        ] {
            let bytes: Vec<Vec<u8>> = (0_u8..)
                .zip(sizes)
                .map(|(index, size)| vec![index; *size])
                .collect();
            let (near, mut far) = tokio::io::duplex(8 * SMALL);
            let mut near = SmallWrite(near);
            let slices: Vec<IoSlice<'_>> = bytes.iter().map(|part| IoSlice::new(part)).collect();
            let written = near.write_vectored(&slices).await.unwrap();
            drop(near);
            let mut read = Vec::new();
            far.read_to_end(&mut read).await.unwrap();
            assert_eq!(read.len(), written);
            assert!(bytes.concat().starts_with(&read));
            assert!(written > 0 || bytes.concat().is_empty());
        }
    }
}
