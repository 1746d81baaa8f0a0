//! A server and a client of gRPC, both tonic's, whose messages are bytes.

use std::future::Future;
use std::pin::Pin;

use bytes::{Buf as _, BufMut as _, Bytes};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sluicegate_tests::Signal;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::server::StreamingService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};

/// Messages as they are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// What a method answers with.
type Messages = ReceiverStream<Result<Bytes, Status>>;
type Answering = Pin<Box<dyn Future<Output = Result<Response<Messages>, Status>> + Send>>;

/// A server; it lives as long as the test's runtime.
pub(crate) struct Server {
    pub(crate) url: String,
    /// A call of `/t/wait` or `/t/hang` has come.
    pub(crate) arrived: Signal,
    /// And has been given up.
    pub(crate) given_up: Signal,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            arrived: Signal::new(),
            given_up: Signal::new(),
        };
        let method = Method {
            path: String::new(),
            arrived: server.arrived.clone(),
            given_up: server.given_up.clone(),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let method = method.clone();
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let mut method = method.clone();
                    request.uri().path().clone_into(&mut method.path);
                    async move {
                        let mut grpc = tonic::server::Grpc::new(Plain);
                        Ok::<_, std::convert::Infallible>(grpc.streaming(method, request).await)
                    }
                });
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
        server
    }
}

/// A call of a method.
#[derive(Clone)]
struct Method {
    path: String,
    arrived: Signal,
    given_up: Signal,
}

/// Tells that a call is over.
struct GivenUp(Signal);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.give();
    }
}

impl StreamingService<Bytes> for Method {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = Answering;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Answering {
        let Self {
            path,
            arrived,
            given_up,
        } = self.clone();
        Box::pin(async move {
            let (metadata, _, mut messages) = request.into_parts();
            let (send, answers) = mpsc::channel(16);
            let mut response = Response::new(ReceiverStream::new(answers));
            match path.as_str() {
                // One message, turned round; metadata as they came.
                "/t/unary" => {
                    let message = messages.message().await?.unwrap();
                    let turned: Vec<u8> = message.iter().rev().copied().collect();
                    for name in ["x-ascii", "te", "grpc-timeout"] {
                        if let Some(value) = metadata.get(name) {
                            let name = format!("x-got-{name}");
                            let name = name.parse::<tonic::metadata::AsciiMetadataKey>().unwrap();
                            response.metadata_mut().insert(name, value.clone());
                        }
                    }
                    if let Some(value) = metadata.get_bin("x-bytes-bin") {
                        let metadata = response.metadata_mut();
                        metadata.insert_bin("x-got-bytes-bin", value.clone());
                    }
                    send.send(Ok(turned.into())).await.unwrap();
                }
                // All messages as one.
                "/t/collect" => {
                    let mut all = Vec::new();
                    while let Some(message) = messages.message().await? {
                        all.extend_from_slice(&message);
                        all.push(b'.');
                    }
                    send.send(Ok(all.into())).await.unwrap();
                }
                // A message for each byte, then a failure.
                "/t/expand" => {
                    let message = messages.message().await?.unwrap();
                    tokio::spawn(async move {
                        for byte in message {
                            let message = Bytes::from(vec![byte; 100]);
                            send.send(Ok(message)).await.unwrap();
                        }
                        let mut failure = Status::aborted("no more");
                        failure.metadata_mut().insert("x-why", "1".parse().unwrap());
                        send.send(Err(failure)).await.unwrap();
                    });
                }
                "/t/echo" => {
                    tokio::spawn(async move {
                        while let Ok(Some(message)) = messages.message().await {
                            send.send(Ok(message)).await.unwrap();
                        }
                    });
                }
                "/t/fail" => {
                    let mut failure =
                        Status::with_details(Code::NotFound, "100 % n\u{e9}", vec![0, 255].into());
                    let bytes = MetadataValue::from_bytes(&[1, 0, 2]);
                    failure.metadata_mut().insert_bin("x-why-bin", bytes);
                    return Err(failure);
                }
                // Never an answer.
                "/t/wait" => {
                    let _given_up = GivenUp(given_up);
                    arrived.give();
                    std::future::pending::<()>().await;
                }
                // One message, and never an end.
                "/t/hang" => {
                    send.send(Ok("first".into())).await.unwrap();
                    tokio::spawn(async move {
                        let _given_up = GivenUp(given_up);
                        arrived.give();
                        send.closed().await;
                    });
                }
                _ => return Err(Status::unimplemented("no such method")),
            }
            Ok(response)
        })
    }
}

/// A client of what is at this address.
pub(crate) async fn client(address: std::net::SocketAddr) -> tonic::client::Grpc<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.connect().await.unwrap();
    tonic::client::Grpc::new(channel)
}

/// A message as it stands in a body.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat().into()
}
