//! A request over a connection of its own.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};

use crate::message::Response;
use crate::wire::{Wire, chunk};

/// A request in the making: what is not asked for is not sent, except `Host`.
#[derive(Debug, Clone)]
#[must_use]
pub struct RequestBuilder {
    address: SocketAddr,
    method: String,
    target: String,
    host: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl RequestBuilder {
    /// A request to whatever listens there.
    pub fn new(address: SocketAddr, method: &str, target: &str) -> Self {
        Self {
            address,
            method: method.to_owned(),
            target: target.to_owned(),
            host: address.to_string(),
            fields: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Replaces `Host`, which is the gateway's address.
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Adds a field.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A body, with its `Content-Length`.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        let length = self.body.len().to_string();
        self.header("content-length", &length)
    }

    /// A chunked body.
    pub fn chunks(mut self, chunks: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        for data in chunks {
            self.body.extend_from_slice(&chunk(data.as_ref()));
        }
        self.body.extend_from_slice(b"0\r\n\r\n");
        self.header("transfer-encoding", "chunked")
    }

    /// The head, as it is sent.
    pub fn head(&self) -> String {
        let mut text = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\n",
            self.method, self.target, self.host
        );
        for (name, value) in &self.fields {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.push_str("\r\n");
        text
    }

    /// Sends it and reads the response.
    #[track_caller]
    pub fn send(&self) -> Response {
        let mut wire = Wire::new(TcpStream::connect(self.address).expect("the gateway listens"));
        self.send_over(&mut wire)
    }

    /// Sends it over an open connection and reads the response.
    #[track_caller]
    pub fn send_over(&self, wire: &mut Wire) -> Response {
        self.write(wire);
        wire.read_response(&self.method)
    }

    /// Sends it, without reading.
    pub fn write(&self, wire: &mut Wire) {
        // The gateway may answer, and close, before it has read everything.
        let _ = wire.try_write([self.head().as_bytes(), &self.body].concat());
    }
}
