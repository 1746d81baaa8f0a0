//! One connection to a target, driven by whoever uses it.
//!
//! hyper splits a client connection into a handle that sends requests and a future that moves the
//! bytes. The usual way is to spawn the future as a task of its own; then each step of an exchange
//! wakes one task from the other. Here the exchange polls both: what happens on the upstream's
//! socket wakes the task that waits for it, directly. An idle connection is polled by nobody, so
//! [`Connection::is_alive`] looks at it now and then.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::target::Endpoint;
use crate::exchange::body::RequestBody;
use crate::small_write::SmallWrite;
use crate::timer::Timer;

type Driver = http1::Connection<TokioIo<SmallWrite<TcpStream>>, RequestBody>;

/// See the module's documentation.
#[derive(Debug)]
pub struct Connection {
    sender: http1::SendRequest<RequestBody>,
    /// `None` once the connection has ended.
    driver: Option<Driver>,
    /// For whatever the exchange waits for at the moment.
    pub timer: Timer,
    /// Exchanges that this connection has carried to their ends.
    pub served: u32,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name could not be resolved.
    #[error("name not resolved: {0}")]
    Dns(io::Error),
    /// No address of the target took the connection.
    #[error("no connection: {0}")]
    Connect(io::Error),
}

impl Connection {
    /// Connects. Without a limit of time: that is the caller's.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn open(endpoint: &Endpoint) -> Result<Self, ConnectError> {
        let stream = match endpoint {
            Endpoint::Address(address) => TcpStream::connect(address)
                .await
                .map_err(ConnectError::Connect)?,
            Endpoint::Name(name, port) => connect_by_name(name, *port).await?,
        };
        // Heads and small bodies are written whole; waiting to fill a segment only adds delay.
        stream.set_nodelay(true).map_err(ConnectError::Connect)?;
        let (sender, driver) = http1::Builder::new()
            .max_headers(256)
            // The largest response head, and the most that interim responses in a flood can make
            // one poll read before others have their turn.
            .max_buf_size(64 * 1024)
            .handshake(TokioIo::new(SmallWrite(stream)))
            .await
            .map_err(|error| ConnectError::Connect(io::Error::other(error)))?;
        Ok(Self {
            sender,
            driver: Some(driver),
            timer: Timer::default(),
            served: 0,
        })
    }

    /// Moves bytes in both directions as far as possible.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && Pin::new(driver).poll(cx).is_ready()
        {
            // Its error, if any, reaches the exchange through the response or its body.
            self.driver = None;
        }
    }

    /// Whether an idle connection was usable when it was looked at last. Enough before it is used:
    /// hyper reads before it writes, and gives the request back where the target has closed meanwhile.
    pub fn was_alive(&self) -> bool {
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Looks whether an idle connection can still be used.
    pub fn is_alive(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.was_alive()
    }

    /// Sends a request and waits for the response's head, moving bytes meanwhile. `on_wait` is
    /// polled whenever nothing moves; its result ends the waiting.
    ///
    /// # Errors
    /// Outer: `on_wait`'s. Inner: hyper's; it holds the request where nothing of it was sent.
    pub async fn send<E>(
        &mut self,
        request: Request<RequestBody>,
        mut on_wait: impl FnMut(&mut Timer, &mut Context<'_>) -> Poll<E>,
    ) -> Result<Result<Response<Incoming>, TrySendError<Request<RequestBody>>>, E> {
        let mut response = std::pin::pin!(self.sender.try_send_request(request));
        let driver = &mut self.driver;
        let timer = &mut self.timer;
        std::future::poll_fn(|cx| {
            if let Some(running) = driver
                && Pin::new(running).poll(cx).is_ready()
            {
                *driver = None;
            }
            if let Poll::Ready(result) = response.as_mut().poll(cx) {
                return Poll::Ready(Ok(result));
            }
            on_wait(timer, cx).map(Err)
        })
        .await
    }
}

async fn connect_by_name(name: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let addresses = tokio::net::lookup_host((name, port))
        .await
        .map_err(ConnectError::Dns)?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(ConnectError::Connect(last))
}
