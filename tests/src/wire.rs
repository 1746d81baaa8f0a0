//! One end of a connection: writes bytes as they are given, reads messages without hiding their framing.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::head::{Head, field, find};
use crate::message::{Body, Chunk, End, ReadError, Response, Transcript};
use crate::wait::LIMIT;

/// What is kept for [`Wire::seen`].
const MOST_SEEN: usize = 1 << 20;

/// A connection. The reading methods without `try_` fail the test, and say what has come until then.
#[derive(Debug)]
pub struct Wire {
    stream: Arc<TcpStream>,
    held: Vec<u8>,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    /// Takes a connection over.
    pub fn new(stream: TcpStream) -> Self {
        Self::recording(Arc::new(stream), Arc::default())
    }

    pub(crate) fn recording(stream: Arc<TcpStream>, seen: Arc<Mutex<Vec<u8>>>) -> Self {
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(LIMIT)).expect("a socket");
        stream.set_write_timeout(Some(LIMIT)).expect("a socket");
        Self {
            stream,
            held: Vec::new(),
            seen,
        }
    }

    /// The socket below.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The first MiB that has come over this connection.
    pub fn seen(&self) -> Vec<u8> {
        self.seen.lock().unwrap().clone()
    }

    /// Sends.
    #[track_caller]
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes).expect("the other end reads");
    }

    /// Sends, where the other end may have gone.
    pub fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        (&*self.stream).write_all(bytes.as_ref())
    }

    /// Sends each byte in a segment of its own, as far as the system lets us.
    #[track_caller]
    pub fn write_byte_by_byte(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            self.write([*byte]);
            std::thread::yield_now();
        }
    }

    /// Sends one chunk.
    #[track_caller]
    pub fn write_chunk(&mut self, data: impl AsRef<[u8]>) {
        self.write(chunk(data.as_ref()));
    }

    /// Sends until nobody takes anything for `patience`; returns how much was taken, at most `most`.
    pub fn write_until_stalled(&mut self, most: usize, patience: Duration) -> usize {
        let piece = [b'x'; 16 * 1024];
        let mut taken = 0;
        self.stream
            .set_write_timeout(Some(patience))
            .expect("a socket");
        while taken < most {
            let end = piece.len().min(most - taken);
            match (&*self.stream).write(&piece[..end]) {
                Ok(written) => taken += written,
                Err(_) => break,
            }
        }
        self.stream
            .set_write_timeout(Some(LIMIT))
            .expect("a socket");
        taken
    }

    /// Closes our direction; the other stays open.
    pub fn half_close(&self) {
        // It may have been closed by the other end already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// From now on, dropping this resets the connection instead of closing it.
    pub fn reset_when_dropped(&self) {
        let socket = socket2::SockRef::from(&*self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a socket");
    }

    /// The next head.
    #[track_caller]
    pub fn read_head(&mut self) -> Head {
        ok(self.try_read_head())
    }

    /// The next head, if there is one.
    pub fn try_read_head(&mut self) -> Result<Head, ReadError> {
        let raw = self.read_through(b"\r\n\r\n", "a head")?;
        Ok(Head::parse(&raw))
    }

    /// So many bytes.
    #[track_caller]
    pub fn read_exact(&mut self, length: usize) -> Vec<u8> {
        ok(self.try_read_exact(length))
    }

    /// So many bytes, if they come.
    pub fn try_read_exact(&mut self, length: usize) -> Result<Vec<u8>, ReadError> {
        while self.held.len() < length {
            self.fill("a body")?;
        }
        Ok(self.take(length))
    }

    /// The next chunk of a chunked body; one without data is the last.
    #[track_caller]
    pub fn read_chunk(&mut self) -> Chunk {
        ok(self.try_read_chunk())
    }

    /// The next chunk, if it comes.
    pub fn try_read_chunk(&mut self) -> Result<Chunk, ReadError> {
        let line = self.read_line("a chunk's size")?;
        let digits = line.split(';').next().unwrap_or_default();
        let Ok(size) = usize::from_str_radix(digits, 16) else {
            panic!("not a chunk's size: {line:?}");
        };
        let data = self.try_read_exact(size)?;
        if size > 0 {
            let end = self.try_read_exact(2)?;
            assert_eq!(end, b"\r\n", "behind a chunk's data");
        }
        Ok(Chunk { line, data })
    }

    /// The fields behind the last chunk, up to the body's end.
    #[track_caller]
    pub fn read_trailers(&mut self) -> Vec<(String, String)> {
        ok(self.try_read_trailers())
    }

    fn try_read_trailers(&mut self) -> Result<Vec<(String, String)>, ReadError> {
        let mut trailers = Vec::new();
        loop {
            let line = self.read_line("a trailer")?;
            if line.is_empty() {
                return Ok(trailers);
            }
            trailers.push(field(&line));
        }
    }

    /// A chunked body.
    pub fn try_read_chunked(&mut self) -> Result<Body, ReadError> {
        let mut body = Body::default();
        loop {
            let chunk = self.try_read_chunk()?;
            if chunk.data.is_empty() {
                body.trailers = self.try_read_trailers()?;
                return Ok(body);
            }
            body.bytes.extend_from_slice(&chunk.data);
            body.chunks.push(chunk.data);
        }
    }

    /// A request's body.
    pub fn try_read_request_body(&mut self, head: &Head) -> Result<Body, ReadError> {
        if head.is_chunked() {
            return self.try_read_chunked();
        }
        Ok(Body {
            bytes: self.try_read_exact(head.length().unwrap_or(0))?,
            ..Body::default()
        })
    }

    /// The body of the response to a request with this method.
    pub fn try_read_response_body(&mut self, method: &str, head: &Head) -> Result<Body, ReadError> {
        if method == "HEAD" || matches!(head.status(), 101 | 204 | 304) {
            return Ok(Body::default());
        }
        if head.is_chunked() {
            return self.try_read_chunked();
        }
        let bytes = if let Some(length) = head.length() {
            self.try_read_exact(length)?
        } else {
            let rest = self.read_to_close();
            if rest.end != End::Closed {
                return Err(ReadError {
                    what: "the end of a body".to_owned(),
                    end: rest.end,
                    received: rest.bytes,
                });
            }
            rest.bytes
        };
        Ok(Body {
            bytes,
            ..Body::default()
        })
    }

    /// The response to a request with this method.
    #[track_caller]
    pub fn read_response(&mut self, method: &str) -> Response {
        ok(self.try_read_response(method))
    }

    /// The response, if a whole one comes.
    pub fn try_read_response(&mut self, method: &str) -> Result<Response, ReadError> {
        let mut interim = Vec::new();
        let mut head = self.try_read_head()?;
        while (100..200).contains(&head.status()) && head.status() != 101 {
            interim.push(std::mem::replace(&mut head, self.try_read_head()?));
        }
        let body = self.try_read_response_body(method, &head)?;
        Ok(Response {
            interim,
            head,
            body,
        })
    }

    /// Everything that still comes. Fails where the connection stays open.
    #[track_caller]
    pub fn read_to_close(&mut self) -> Transcript {
        let end = loop {
            match self.fill("the connection's end") {
                Ok(()) => {}
                Err(error) => break error.end,
            }
        };
        let bytes = std::mem::take(&mut self.held);
        assert!(
            end != End::TimedOut,
            "the connection stays open after {:?}",
            String::from_utf8_lossy(&bytes)
        );
        Transcript { bytes, end }
    }

    /// Waits until the other end has gone; what it sent before is dropped.
    #[track_caller]
    pub fn wait_for_close(&mut self) -> End {
        self.read_to_close().end
    }

    /// What has come and has not been read, without waiting for more than `patience`.
    pub fn peek(&mut self, patience: Duration) -> &[u8] {
        self.stream
            .set_read_timeout(Some(patience))
            .expect("a socket");
        // Nothing is an answer, too.
        let _ = self.fill("anything");
        self.stream.set_read_timeout(Some(LIMIT)).expect("a socket");
        &self.held
    }

    fn read_line(&mut self, what: &str) -> Result<String, ReadError> {
        let mut line = self.read_through(b"\r\n", what)?;
        line.truncate(line.len() - 2);
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn read_through(&mut self, mark: &[u8], what: &str) -> Result<Vec<u8>, ReadError> {
        let mut from = 0;
        loop {
            if let Some(position) = find(&self.held[from..], mark) {
                return Ok(self.take(from + position + mark.len()));
            }
            from = self.held.len().saturating_sub(mark.len());
            self.fill(what)?;
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.held.split_off(length);
        std::mem::replace(&mut self.held, rest)
    }

    fn fill(&mut self, what: &str) -> Result<(), ReadError> {
        let mut space = [0; 16 * 1024];
        let end = loop {
            match (&*self.stream).read(&mut space) {
                Ok(0) => break End::Closed,
                Ok(read) => {
                    let mut seen = self.seen.lock().unwrap();
                    let kept = read.min(MOST_SEEN.saturating_sub(seen.len()));
                    seen.extend_from_slice(&space[..kept]);
                    self.held.extend_from_slice(&space[..read]);
                    return Ok(());
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => break End::TimedOut,
                    _ => break End::Reset,
                },
            }
        };
        Err(ReadError {
            what: what.to_owned(),
            end,
            received: self.held.clone(),
        })
    }
}

#[track_caller]
fn ok<T>(result: Result<T, ReadError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// One chunk with its framing.
pub(crate) fn chunk(data: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{:x}\r\n", data.len()).into_bytes();
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(b"\r\n");
    bytes
}
