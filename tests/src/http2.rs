//! A client and an upstream of HTTP/2.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
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
        let mut builder = h2::client::Builder::new();
        // More than one stream's, so that one that is not read leaves room for the others.
        builder.initial_connection_window_size(1 << 20);
        let connected = builder.handshake(stream).await;
        let (send, connection) = connected.expect("HTTP/2");
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

    /// An extended CONNECT (RFC 8441) with further fields, and the head that answers it.
    pub async fn connect_to(
        &self,
        protocol: &'static str,
        uri: &str,
        fields: &[(&str, &str)],
    ) -> (Response<()>, Tunnel) {
        let mut send = self.ready().await;
        while !send.is_extended_connect_protocol_enabled() {
            // The other end's settings have not come yet.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut request = Request::connect(uri).extension(Protocol::from_static(protocol));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let (response, send) = send.send_request(request, false).expect("a request");
        let (head, receive) = response.await.expect("an answer").into_parts();
        let tunnel = Tunnel {
            send,
            receive,
            held: Vec::new(),
        };
        (Response::from_parts(head, ()), tunnel)
    }

    /// Opens a WebSocket.
    pub async fn web_socket(&self, uri: &str, fields: &[(&str, &str)]) -> Tunnel {
        let version = [("sec-websocket-version", "13")];
        let fields = [&version, fields].concat();
        let (head, tunnel) = self.connect_to("websocket", uri, &fields).await;
        assert_eq!(head.status(), 200, "{head:?}");
        tunnel
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

/// What is behind an extended CONNECT.
#[derive(Debug)]
pub struct Tunnel {
    send: SendStream<Bytes>,
    receive: RecvStream,
    held: Vec<u8>,
}

impl Tunnel {
    /// Sends, without regard to what the other end takes.
    pub fn write(&mut self, bytes: impl Into<Bytes>) {
        self.send.send_data(bytes.into(), false).expect("a stream");
    }

    /// Sends no more.
    pub fn half_close(&mut self) {
        let end = self.send.send_data(Bytes::new(), true);
        end.expect("a stream");
    }

    /// Resets the stream.
    pub fn reset(mut self) {
        self.send.send_reset(Reason::CANCEL);
    }

    /// So many bytes.
    pub async fn read_exact(&mut self, length: usize) -> Vec<u8> {
        while self.held.len() < length {
            let more = self.fill().await.expect("no reset");
            assert!(more, "the end, behind {:?}", self.held);
        }
        let rest = self.held.split_off(length);
        std::mem::replace(&mut self.held, rest)
    }

    /// All that comes up to the end.
    pub async fn read_to_end(&mut self) -> Result<Vec<u8>, h2::Error> {
        while self.fill().await? {}
        Ok(std::mem::take(&mut self.held))
    }

    async fn fill(&mut self) -> Result<bool, h2::Error> {
        let Some(data) = self.receive.data().await else {
            return Ok(false);
        };
        let data = data?;
        self.receive.flow_control().release_capacity(data.len())?;
        self.held.extend_from_slice(&data);
        Ok(true)
    }
}

/// Waits until `condition` holds, without keeping a connection's task from running.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let end = tokio::time::Instant::now() + LIMIT;
    while !condition() {
        let now = tokio::time::Instant::now();
        assert!(now < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
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

/// What an [`Http2Upstream`] does with a request.
#[derive(Debug)]
pub enum Reply {
    /// Answers it.
    Answer {
        /// Its head.
        head: Box<Response<()>>,
        /// Its body.
        body: Bytes,
        /// What comes behind the body.
        trailers: Option<HeaderMap>,
    },
    /// Resets its stream.
    Reset(Reason),
    /// Refuses further streams, and closes the connection without an answer to this one.
    GoAway,
}

impl Reply {
    /// A 200 with this body.
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self::Answer {
            head: Box::default(),
            body: body.into(),
            trailers: None,
        }
    }
}

/// An upstream that speaks HTTP/2, without TLS by prior knowledge. Gone when dropped.
#[derive(Debug)]
pub struct Http2Upstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    received: Arc<Mutex<Vec<Request<Vec<u8>>>>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Http2Upstream {
    /// Starts one that takes up to `most` streams at the same time. The script is given whole requests.
    pub fn start<F>(
        most: u32,
        script: impl Fn(Request<Vec<u8>>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), most, script)
    }

    /// As [`Self::start`], at this address.
    pub fn start_at<F>(
        address: SocketAddr,
        most: u32,
        script: impl Fn(Request<Vec<u8>>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = std::net::TcpListener::bind(address).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let received = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(script);
        runtime.spawn({
            let (connections, received) = (Arc::clone(&connections), Arc::clone(&received));
            async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(serve(
                        stream,
                        most,
                        Arc::clone(&script),
                        Arc::clone(&received),
                    ));
                }
            }
        });
        Self {
            address,
            connections,
            received,
            runtime: Some(runtime),
        }
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The requests, in the order in which they were complete.
    pub fn received(&self) -> Vec<Request<Vec<u8>>> {
        self.received.lock().unwrap().clone()
    }
}

impl Drop for Http2Upstream {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve<F>(
    stream: TcpStream,
    most: u32,
    script: Arc<impl Fn(Request<Vec<u8>>) -> F + Send + Sync + 'static>,
    received: Arc<Mutex<Vec<Request<Vec<u8>>>>>,
) where
    F: Future<Output = Reply> + Send + 'static,
{
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(most);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
        return;
    };
    let (gone, mut is_gone) = tokio::sync::mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            _ = is_gone.recv() => {
                connection.graceful_shutdown();
                // The frame goes out with the next poll; the connection is dropped right after.
                let last = tokio::time::timeout(std::time::Duration::from_millis(50), connection.accept());
                let _ = last.await;
                return;
            }
        };
        let Some(Ok((request, mut respond))) = accepted else {
            return;
        };
        let (script, received, gone) = (Arc::clone(&script), Arc::clone(&received), gone.clone());
        tokio::spawn(async move {
            let (head, mut stream) = request.into_parts();
            let mut body = Vec::new();
            while let Some(Ok(data)) = stream.data().await {
                let _ = stream.flow_control().release_capacity(data.len());
                body.extend_from_slice(&data);
            }
            let request = Request::from_parts(head, body);
            received.lock().unwrap().push(request.clone());
            match script(request).await {
                Reply::Answer {
                    head,
                    body,
                    trailers,
                } => {
                    let is_bodiless = body.is_empty() && trailers.is_none();
                    let Ok(mut send) = respond.send_response(*head, is_bodiless) else {
                        return;
                    };
                    if !body.is_empty() {
                        let _ = send.send_data(body, trailers.is_none());
                    }
                    if let Some(trailers) = trailers {
                        let _ = send.send_trailers(trailers);
                    }
                }
                Reply::Reset(reason) => respond.send_reset(reason),
                Reply::GoAway => {
                    let _ = gone.send(()).await;
                    std::future::pending::<()>().await;
                }
            }
        });
    }
}
