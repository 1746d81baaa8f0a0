//! What is read from a connection.

use crate::head::{Head, find};

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In order: everything that was sent has been read.
    Closed,
    /// By a reset: the other end says that what was read is not the whole.
    Reset,
    /// Not at all, within the limit.
    TimedOut,
}

/// Why something could not be read.
#[derive(Debug, Clone)]
pub struct ReadError {
    /// What was waited for.
    pub what: String,
    /// What came instead.
    pub end: End,
    /// What had been read and not been used.
    pub received: Vec<u8>,
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.received);
        let shown: String = text.chars().take(2000).collect();
        write!(
            f,
            "waited for {}, got {:?} after {} bytes: {shown:?}",
            self.what,
            self.end,
            self.received.len()
        )
    }
}

/// Everything until the end of a connection.
#[derive(Debug, Clone)]
pub struct Transcript {
    /// What came.
    pub bytes: Vec<u8>,
    /// And then.
    pub end: End,
}

impl Transcript {
    /// As text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The status of the first response; 0 where nothing came.
    pub fn status(&self) -> u16 {
        if self.bytes.is_empty() {
            return 0;
        }
        Head::parse(&self.bytes).status()
    }

    /// The statuses of all responses, as far as they have a `Content-Length`.
    pub fn statuses(&self) -> Vec<u16> {
        let mut rest = self.bytes.as_slice();
        let mut statuses = Vec::new();
        while let Some(end) = find(rest, b"\r\n\r\n") {
            let head = Head::parse(&rest[..end + 4]);
            statuses.push(head.status());
            let body = end + 4 + head.length().unwrap_or(0);
            rest = rest.get(body..).unwrap_or(&[]);
        }
        statuses
    }
}

/// One chunk of a chunked body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its first line, without CRLF.
    pub line: String,
    /// Its data; empty for the last one.
    pub data: Vec<u8>,
}

/// A message's body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// What it consists of.
    pub bytes: Vec<u8>,
    /// The chunks that it came in, if it was chunked.
    pub chunks: Vec<Vec<u8>>,
    /// The fields behind the last chunk.
    pub trailers: Vec<(String, String)>,
}

/// A whole response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Interim responses (1xx) that came before.
    pub interim: Vec<Head>,
    /// Its head.
    pub head: Head,
    /// Its body.
    pub body: Body,
}

impl Response {
    /// Its status.
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// The first value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// All values of a field.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.head.headers(name)
    }

    /// The value of a trailer field.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        let found = self.body.trailers.iter();
        found
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .next()
    }

    /// The body as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body.bytes).expect("a body of text")
    }
}
