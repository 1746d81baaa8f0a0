//! Listeners, workers and client connections.
//!
//! - [`listen`]: sockets, one per listener and worker
//! - [`worker`]: one thread with its own runtime, connections, upstream pool and plugin instances
//! - [`connection`]: one client's connection from accept to close
//! - [`handshake`]: what it passes before HTTP: the PROXY protocol ([`proxy_protocol`]), TLS
//! - [`socket`]: the connection's bytes: heads, bodies, and what is to be written
//! - [`answer`]: writes a response
//! - [`http2`]: a connection of HTTP/2, and its exchanges
//! - [`downstream`]: the client's side of one exchange, of either version
//! - [`reload`]: another configuration takes the place of the running one; [`watch`]: when a file changes
//!
//! [`Server`] is the whole of it, for the command line and for tests.

pub mod answer;
pub mod connection;
pub mod downstream;
pub mod handshake;
pub mod http2;
pub mod listen;
pub mod proxy_protocol;
pub mod reload;
pub mod socket;
pub mod watch;
pub mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::admin::{Admin, Subject};
use crate::config::{AccessLogPath, Config, Problem};
use crate::observe::access_log::AccessLog;
use crate::plugin::registry::Progress;
use crate::side_thread::SideThread;
use crate::snapshot::Snapshot;
use crate::upstream::prober;
use reload::Running;

/// A running gateway.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    running: Arc<Running>,
    admin: Option<Admin>,
    prober: Option<SideThread>,
    drain_delay: Duration,
    draining: tokio::sync::watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
}

/// Why the gateway does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What the configuration names can't be used: plugins, certificates.
    #[error("{}", list(file, problems))]
    Plugins {
        /// The configuration file.
        file: PathBuf,
        /// What is wrong.
        problems: Vec<Problem>,
    },
    /// An address can't be listened on.
    #[error("listeners: {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The access log can't be opened.
    #[error("access_log.path: {path}")]
    AccessLog {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A thread or runtime can't be had.
    #[error("can't start a worker: {0}")]
    Worker(std::io::Error),
}

fn list(file: &std::path::Path, problems: &[Problem]) -> String {
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| problem.in_file(file).to_string())
        .collect();
    lines.join("\n")
}

impl StartError {
    /// Whether the configuration is to blame, not the machine at this moment.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Plugins { .. })
    }
}

/// Loads what the configuration names, without binding anything. What has not changed since `previous` is taken over.
///
/// # Errors
/// [`StartError::Plugins`]
pub fn load(
    config: &Config,
    previous: Option<&Snapshot>,
    progress: Progress<'_>,
) -> Result<Arc<Snapshot>, StartError> {
    Snapshot::new(config, previous, progress)
        .map(Arc::new)
        .map_err(|problems| StartError::Plugins {
            file: config.source.clone(),
            problems,
        })
}

impl Server {
    /// Loads the plugins, then binds the listeners, then serves: no port is open before
    /// everything behind it is ready.
    ///
    /// # Errors
    /// See [`StartError`]; nothing runs then.
    pub fn start(config: &Config, progress: Progress<'_>) -> Result<Self, StartError> {
        let snapshot = load(config, None, progress)?;
        let access_log = config
            .access_log
            .as_ref()
            .map(AccessLog::open)
            .transpose()
            .map_err(|source| StartError::AccessLog {
                path: access_log_path(config),
                source,
            })?;
        let workers = config.server.workers.get();
        let sockets = listen::bind(&config.listeners, workers)?;
        let (draining, _) = tokio::sync::watch::channel(false);
        let connections = Arc::new(AtomicUsize::new(0));
        let admin_socket = config
            .admin
            .as_ref()
            .map(|admin| {
                listen::bind_alone(admin.address).map_err(|source| StartError::Listen {
                    address: admin.address,
                    source,
                })
            })
            .transpose()?;
        let (running, is_served) = Running::new(config.clone(), snapshot);
        let mut server = Self {
            addresses: sockets.addresses,
            running: Arc::new(running),
            admin: None,
            prober: None,
            drain_delay: config.server.drain_delay,
            draining,
            workers: Vec::new(),
        };
        for (number, listeners) in sockets.per_worker.into_iter().enumerate() {
            let seed = worker::Seed {
                number,
                snapshots: server.running.subscribe(),
                listeners,
                draining: server.draining.subscribe(),
                grace: config.server.shutdown_grace,
                connections: Arc::clone(&connections),
                access_log: access_log.clone(),
            };
            let thread = worker::spawn(seed).map_err(StartError::Worker)?;
            server.workers.push(thread);
        }
        // Each worker has its instances ready, or has ended.
        for _ in 0..workers {
            let _ = is_served.recv_timeout(Duration::from_mins(1));
        }
        // Always: the next configuration may have something to check.
        let prober = prober::start(server.running.subscribe()).map_err(StartError::Worker)?;
        server.prober = Some(prober);
        if let (Some(listener), Some(admin)) = (admin_socket, &config.admin) {
            let subject = Subject {
                running: Arc::clone(&server.running),
                connections,
                token: admin.token.clone(),
            };
            server.admin = Some(Admin::start(listener, subject).map_err(StartError::Worker)?);
        }
        Ok(server)
    }

    /// The addresses that are listened on, in the configuration's order; a port 0 has become the
    /// one that was picked.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the admin listener is, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::address)
    }

    /// The configuration that is being served, to be replaced by another.
    pub fn running(&self) -> &Arc<Running> {
        &self.running
    }

    /// Says that it is not ready any more, waits `server.drain_delay`, stops accepting, lets what is in
    /// flight finish within `server.shutdown_grace`, and waits for the workers to end.
    pub fn shut_down(mut self) {
        self.finish();
        // The hubs' last words to others are said once nobody has them any more.
        drop(self);
        crate::side_thread::wait_for_ending();
    }

    fn finish(&mut self) {
        if self.workers.is_empty() {
            return;
        }
        self.running.stopping();
        std::thread::sleep(self.drain_delay);
        self.draining.send_replace(true);
        self.prober = None;
        for thread in self.workers.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker has panicked");
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.finish();
    }
}

fn access_log_path(config: &Config) -> PathBuf {
    match config.access_log.as_ref().map(|log| &log.path) {
        Some(AccessLogPath::File(path)) => path.clone(),
        _ => PathBuf::from("-"),
    }
}

/// How long a refused client may take to read its answer before the connection is closed.
const LINGER: Duration = Duration::from_secs(1);
