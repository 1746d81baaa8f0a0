//! The first step of each way: a connection to an address, to whichever address of a name takes it first, or to a unix socket.
//!
//! A name's addresses are tried as "happy eyeballs" (RFC 8305) says: one after the other, the next one as soon as the one before has
//! failed, and at the latest after [`STAGGER`]; what connects first is taken, and the others are given up. Addresses that
//! failed, or were waited for in vain, come after the others for a while.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, UnixStream};

use super::ConnectError;
use super::clock::{Clock, Runtime};
use super::resolve::{Answer, Name, Resolver};
use crate::transport::Stream;
use crate::upstream::health;

/// How long an address has the field for itself (RFC 8305, section 8, the connection attempt delay).
const STAGGER: Duration = Duration::from_millis(250);

/// Where the first step leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// An address.
    Address(SocketAddr),
    /// A name, and a port.
    Name(Arc<Name>, u16),
    /// A unix socket.
    Unix(Arc<Path>),
}

impl Endpoint {
    /// A host, which is a name or an address without brackets, and a port.
    pub fn at(host: &str, port: u16, resolver: &Arc<Resolver>) -> Self {
        match host.parse::<IpAddr>() {
            Ok(address) => Self::Address(SocketAddr::new(address, port)),
            Err(_) => Self::Name(resolver.name(host), port),
        }
    }

    /// Has a name looked up before the first connection waits for it.
    pub fn prepare(&self) {
        if let Self::Name(name, _) = self {
            name.keep_fresh();
        }
    }

    /// Connects. Without a limit of time: that is the caller's.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn dial(&self) -> Result<Stream, ConnectError> {
        match self {
            Self::Address(address) => tcp(*address).await.map(Stream::from),
            Self::Name(name, port) => {
                let answer = name.answer().await.map_err(ConnectError::Dns)?;
                let connect = |ip| tcp(SocketAddr::new(ip, *port));
                race(&answer, name.next_turn(), &Runtime, connect)
                    .await
                    .map(Stream::from)
            }
            Self::Unix(path) => UnixStream::connect(path).await.map(Stream::from),
        }
        .map_err(ConnectError::Connect)
    }

    /// The number of where it leads at the moment: as long as it does not change, that does not either. To be asked for
    /// when a kept connection is used, for names that are used are kept fresh.
    pub fn generation(&self) -> u64 {
        match self {
            Self::Name(name, _) => {
                name.keep_fresh();
                name.generation()
            }
            Self::Address(_) | Self::Unix(_) => 0,
        }
    }

    /// Whether a connection to this address would still be made today.
    pub fn leads_to(&self, ip: IpAddr) -> bool {
        match self {
            Self::Name(name, _) => name.leads_to(ip),
            Self::Address(_) | Self::Unix(_) => true,
        }
    }

    /// Whether who connects waits for a name to be resolved.
    pub fn is_awaiting_name(&self) -> bool {
        matches!(self, Self::Name(name, _) if name.is_awaited())
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name, port) => write!(f, "{}:{port}", name.host()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

async fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Heads and small bodies are written whole; waiting to fill a segment only adds delay.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Attempts that are going on.
struct Race<'a, F, C: Clock> {
    answer: &'a Answer,
    clock: &'a C,
    attempts: Vec<Attempt<F>>,
}

struct Attempt<F> {
    ip: IpAddr,
    begun: Instant,
    connecting: Pin<Box<F>>,
}

impl<T, F: Future<Output = io::Result<T>>, C: Clock> Race<'_, F, C> {
    fn begin(&mut self, ip: IpAddr, connecting: F) {
        self.attempts.push(Attempt {
            ip,
            begun: self.clock.now(),
            connecting: Box::pin(connecting),
        });
    }

    /// Waits for one to end.
    async fn next(&mut self) -> (IpAddr, io::Result<T>) {
        std::future::poll_fn(|cx| {
            let mut ended = None;
            for (index, attempt) in self.attempts.iter_mut().enumerate() {
                if let Poll::Ready(result) = attempt.connecting.as_mut().poll(cx) {
                    ended = Some((index, result));
                    break;
                }
            }
            match ended {
                Some((index, result)) => Poll::Ready((self.attempts.remove(index).ip, result)),
                None => Poll::Pending,
            }
        })
        .await
    }
}

/// Those that have had their time and not connected are slower than the one that has, or all are too slow.
impl<F, C: Clock> Drop for Race<'_, F, C> {
    fn drop(&mut self) {
        for attempt in &self.attempts {
            if self.clock.now() - attempt.begun >= STAGGER {
                self.answer.avoid(attempt.ip, health::now());
            }
        }
    }
}

async fn race<T, F: Future<Output = io::Result<T>>>(
    answer: &Answer,
    turn: usize,
    clock: &impl Clock,
    connect: impl Fn(IpAddr) -> F,
) -> io::Result<T> {
    let mut race = Race {
        answer,
        clock,
        attempts: Vec::new(),
    };
    let mut left = answer.in_order(turn, health::now()).into_iter();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(ip) = left.next() {
            race.begin(ip, connect(ip));
        } else if race.attempts.is_empty() {
            return Err(last);
        }
        match clock.within(STAGGER, race.next()).await {
            Some((_, Ok(connection))) => return Ok(connection),
            Some((ip, Err(error))) => {
                answer.avoid(ip, health::now());
                last = io::Error::new(error.kind(), format!("{ip}: {error}"));
            }
            // The next one's turn has come.
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
