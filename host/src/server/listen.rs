//! Listening sockets: one per listener and worker on the same address (`SO_REUSEPORT`), so that the
//! system spreads connections over the workers and no worker hands a connection to another.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::StartError;
use crate::config::Listener;

/// Connections that the system holds until they are accepted.
pub const BACKLOG: i32 = 4096;

/// The sockets of all workers.
#[derive(Debug)]
pub struct Sockets {
    /// Addresses in the configuration's order.
    pub addresses: Vec<SocketAddr>,
    /// For each worker, a socket for each listener.
    pub per_worker: Vec<Vec<TcpListener>>,
}

/// Whether somebody listens there already. Another gateway of the same user would not keep this one from listening as well.
pub fn is_taken(address: SocketAddr) -> bool {
    address.port() != 0
        && TcpListener::bind(address)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

/// Binds every listener for every worker.
///
/// # Errors
/// The first address that can't be had; nothing stays bound then.
pub fn bind(listeners: &[Listener], workers: usize) -> Result<Sockets, StartError> {
    let mut addresses = Vec::new();
    let mut per_worker: Vec<Vec<TcpListener>> = Vec::new();
    per_worker.resize_with(workers, Vec::new);
    for listener in listeners {
        let mut address = listener.address;
        let is_taken = is_taken(address);
        for sockets in &mut per_worker {
            let socket = open(address).map_err(|source| StartError::Listen { address, source })?;
            // Port 0: the first socket picks, the others join it.
            address = socket
                .local_addr()
                .map_err(|source| StartError::Listen { address, source })?;
            sockets.push(socket);
        }
        if is_taken {
            tracing::warn!(
                "another process listens on {address} as well, and gets a part of its connections; that is right only while one takes over from the other"
            );
        }
        addresses.push(address);
    }
    Ok(Sockets {
        addresses,
        per_worker,
    })
}

/// Binds an address that nobody else may have at the same time.
///
/// # Errors
/// The system's.
pub fn bind_alone(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn open(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
