//! What a scripted upstream answers.

use std::fmt::Write as _;
use std::time::Duration;

use crate::wire::{Wire, chunk};

/// A response, written as it is described. `Content-Length` and `Transfer-Encoding` are added as the body asks for.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    interim: Vec<(u16, Vec<(String, String)>)>,
    body: Framed,
    trailers: Vec<(String, String)>,
    pause: Duration,
    close: bool,
}

#[derive(Debug, Clone)]
enum Framed {
    None,
    Length(Vec<u8>),
    Chunked(Vec<Vec<u8>>),
    UntilClose(Vec<Vec<u8>>),
    Raw(Vec<u8>),
}

impl Answer {
    /// 200 with a body of known length.
    pub fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::status(200).body(body)
    }

    /// A status, without a body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
            interim: Vec::new(),
            body: Framed::None,
            trailers: Vec::new(),
            pause: Duration::ZERO,
            close: false,
        }
    }

    /// These bytes and nothing else, whatever they mean; then the connection is closed.
    pub fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self {
            body: Framed::Raw(bytes.as_ref().to_vec()),
            close: true,
            ..Self::status(0)
        }
    }

    /// Closes the connection without a word.
    pub fn nothing() -> Self {
        Self::raw("")
    }

    /// Adds a field. `Content-Length` given here is sent instead of the right one.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A body with `Content-Length`.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Framed::Length(body.as_ref().to_vec());
        self
    }

    /// A chunked body of these chunks, each written on its own.
    #[must_use]
    pub fn chunks(mut self, chunks: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        self.body = Framed::Chunked(owned(chunks));
        self
    }

    /// A body that ends with the connection, in pieces that are written each on its own.
    #[must_use]
    pub fn until_close(mut self, pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        self.body = Framed::UntilClose(owned(pieces));
        self.close = true;
        self
    }

    /// A field behind a chunked body.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// An interim response (1xx) before.
    #[must_use]
    pub fn interim(mut self, status: u16, fields: &[(&str, &str)]) -> Self {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.interim.push((status, fields));
        self
    }

    /// Waits between chunks or pieces, so that they arrive one by one.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Closes the connection afterwards, and says so.
    #[must_use]
    pub fn and_close(self) -> Self {
        Self {
            close: true,
            ..self.header("connection", "close")
        }
    }

    /// Writes the answer; `false` where the connection is to be closed then.
    pub(crate) fn write(&self, method: &str, wire: &mut Wire) -> bool {
        let bodiless = method == "HEAD" || matches!(self.status, 204 | 304);
        let mut result = wire.try_write(self.head());
        for (index, piece) in self.pieces().enumerate() {
            if bodiless || result.is_err() {
                break;
            }
            if index > 0 && !self.pause.is_zero() {
                std::thread::sleep(self.pause);
            }
            result = wire.try_write(piece);
        }
        result.is_ok() && !self.close
    }

    fn head(&self) -> Vec<u8> {
        if let Framed::Raw(bytes) = &self.body {
            return bytes.clone();
        }
        let mut text = String::new();
        for (status, fields) in &self.interim {
            push_head(&mut text, *status, fields);
        }
        let mut fields = self.fields.clone();
        let has = |name: &str| {
            self.fields
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name))
        };
        match &self.body {
            Framed::None
                if has("content-length") || matches!(self.status, 100..200 | 204 | 304) => {}
            Framed::Length(_) if has("content-length") => {}
            Framed::None => fields.push(("content-length".to_owned(), "0".to_owned())),
            Framed::Length(body) => {
                fields.push(("content-length".to_owned(), body.len().to_string()));
            }
            Framed::Chunked(_) => {
                fields.push(("transfer-encoding".to_owned(), "chunked".to_owned()));
            }
            Framed::UntilClose(_) | Framed::Raw(_) => {}
        }
        push_head(&mut text, self.status, &fields);
        text.into_bytes()
    }

    fn pieces(&self) -> impl Iterator<Item = Vec<u8>> {
        let pieces = match &self.body {
            Framed::None | Framed::Raw(_) => Vec::new(),
            Framed::Length(body) => vec![body.clone()],
            Framed::UntilClose(pieces) => pieces.clone(),
            Framed::Chunked(chunks) => {
                let mut end = String::from("0\r\n");
                push_fields(&mut end, &self.trailers);
                let mut pieces: Vec<Vec<u8>> = chunks.iter().map(|data| chunk(data)).collect();
                pieces.push(end.into_bytes());
                pieces
            }
        };
        pieces.into_iter()
    }
}

fn owned(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<Vec<u8>> {
    pieces
        .into_iter()
        .map(|piece| piece.as_ref().to_vec())
        .collect()
}

fn push_head(text: &mut String, status: u16, fields: &[(String, String)]) {
    let _ = write!(text, "HTTP/1.1 {status} Scripted\r\n");
    push_fields(text, fields);
}

fn push_fields(text: &mut String, fields: &[(String, String)]) {
    for (name, value) in fields {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
}
