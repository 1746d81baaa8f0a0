//! Clients that cost little: they count frames, and don't look into them.

use std::net::SocketAddr;

use sluicegate_tests::frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::Outcome;

type Sent<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

pub(crate) struct Socket {
    reader: Reader,
    writer: Writer,
}

pub(crate) struct Reader {
    stream: OwnedReadHalf,
    held: Vec<u8>,
}

pub(crate) struct Writer(OwnedWriteHalf);

impl Socket {
    /// Opens one. A worker's queue of new connections is short, so they are opened one after the other.
    pub(crate) async fn open(address: SocketAddr, lines: &str) -> Outcome<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET /hub HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut held = Vec::with_capacity(512);
        let end = loop {
            if stream.read_buf(&mut held).await? == 0 {
                return Err("closed".into());
            }
            if let Some(end) = held.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
        };
        if !held.starts_with(b"HTTP/1.1 101") {
            return Err(String::from_utf8_lossy(&held).into());
        }
        let held = held.split_off(end);
        let (reader, writer) = stream.into_split();
        Ok(Self {
            reader: Reader {
                stream: reader,
                held,
            },
            writer: Writer(writer),
        })
    }

    pub(crate) async fn send(&mut self, text: &str) -> Outcome<()> {
        Ok(self
            .writer
            .0
            .write_all(&frame(0x81, text.as_bytes()))
            .await?)
    }

    pub(crate) async fn receive(&mut self, count: usize) -> Outcome<()> {
        Ok(self
            .reader
            .receive(count)
            .await
            .map_err(|error| error.to_string())?)
    }

    pub(crate) fn split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }
}

impl Writer {
    pub(crate) async fn send_many(&self, text: &str, count: usize) -> Sent<()> {
        let batch = frame(0x81, text.as_bytes()).repeat(count);
        let mut left = &batch[..];
        while !left.is_empty() {
            self.0.writable().await?;
            match self.0.try_write(left) {
                Ok(size) => left = &left[size..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Reader {
    /// Reads so many frames.
    pub(crate) async fn receive(&mut self, count: usize) -> Sent<()> {
        let mut left = count;
        loop {
            let mut at = 0;
            while left > 0 {
                let Some(size) = frame_size(self.held.get(at..).unwrap_or_default()) else {
                    break;
                };
                if at + size > self.held.len() {
                    break;
                }
                at += size;
                left -= 1;
            }
            self.held.drain(..at);
            if left == 0 {
                return Ok(());
            }
            self.held.reserve(64 * 1024);
            if self.stream.read_buf(&mut self.held).await? == 0 {
                return Err("closed".into());
            }
        }
    }
}

fn frame_size(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [_, 126, a, b, ..] => Some(4 + usize::from(u16::from_be_bytes([*a, *b]))),
        [_, 127, rest @ ..] => {
            let length = u64::from_be_bytes(*rest.first_chunk()?);
            Some(10 + usize::try_from(length).ok()?)
        }
        [_, 126, ..] => None,
        [_, length, ..] => Some(2 + usize::from(*length)),
        _ => None,
    }
}
