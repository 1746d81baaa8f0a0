//! A client of HTTP/2.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::wait::LIMIT;

/// A connection of HTTP/2, without TLS by prior knowledge. To be used inside of [`Http2::run`].
#[derive(Debug)]
pub struct Http2 {
    send: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// A whole response.
#[derive(Debug)]
pub struct Whole {
    /// Its head.
    pub head: Response<()>,
    /// Its body.
    pub body: Vec<u8>,
    /// What came behind its body.
    pub trailers: Option<HeaderMap>,
}

impl Whole {
    /// Its status.
    pub fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    /// A field's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name)?.to_str().ok()
    }

    /// Its body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }
}

impl Http2 {
    /// Runs a test's asynchronous part, for as long as anything may take.
    #[track_caller]
    pub fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let limited = async { tokio::time::timeout(3 * LIMIT, test).await };
        runtime.block_on(limited).expect("it ends in time")
    }

    /// Connects to an address.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self::over(stream).await
    }

    /// Speaks HTTP/2 over a stream.
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (send, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        Self { send, connection }
    }

    /// The sending half, as the h2 crate has it.
    pub async fn ready(&self) -> SendRequest<Bytes> {
        self.send.clone().ready().await.expect("a connection")
    }

    /// Begins a request: its response, and where its body goes.
    pub async fn begin(&self, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
        let mut send = self.ready().await;
        send.send_request(request, false).expect("a request")
    }

    /// A GET request, and its whole response.
    pub async fn get(&self, uri: &str) -> Whole {
        let request = Request::get(uri).body(()).expect("a request");
        self.send(request, "").await
    }

    /// A request with a body, and its whole response.
    pub async fn send(&self, request: Request<()>, body: impl Into<Bytes>) -> Whole {
        self.try_send(request, body).await.expect("a response")
    }

    /// As [`Self::send`].
    pub async fn try_send(
        &self,
        request: Request<()>,
        body: impl Into<Bytes>,
    ) -> Result<Whole, h2::Error> {
        let body = body.into();
        let mut send = self.send.clone().ready().await?;
        let (response, mut stream) = send.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            stream.send_data(body, true)?;
        }
        read(response.await?).await
    }

    /// How the connection ends.
    pub async fn ended(self) -> Result<(), h2::Error> {
        drop(self.send);
        self.connection.await.expect("the connection's task")
    }

    /// How the connection ends when its other end ends it.
    pub async fn closed(&mut self) -> Result<(), h2::Error> {
        (&mut self.connection).await.expect("the connection's task")
    }
}

/// Reads a response to its end.
pub async fn read(response: Response<RecvStream>) -> Result<Whole, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = poll_fn(|cx| stream.poll_trailers(cx)).await?;
    Ok(Whole {
        head: Response::from_parts(head, ()),
        body,
        trailers,
    })
}
