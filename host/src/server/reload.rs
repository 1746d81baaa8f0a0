//! Another configuration takes the place of the one that is being served.
//!
//! It is read, checked, compiled and configured beside the running one, and given to all workers at
//! once when it is whole; a bad one is refused and changes nothing. What is the same in both (plugins
//! and their instances, upstreams and their connections) is taken over, and what is replaced ends with the
//! last exchange that uses it.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use tokio::sync::watch;

use super::StartError;
use super::watch::{Sight, look};
use super::worker::Update;
use crate::config::{self, Config, ConfigError, ListenerTls, Problem, UpstreamTls};
use crate::snapshot::Snapshot;

/// Workers take up a configuration between two steps of their work, within milliseconds. One that does not within this
/// time is busy beyond measure; it follows when it can.
const PATIENCE: Duration = Duration::from_secs(5);

/// The configuration that is being served, and the way to another.
#[derive(Debug)]
pub struct Running {
    updates: watch::Sender<Update>,
    /// Locked while a configuration is loaded: one at a time.
    config: Mutex<Config>,
    /// What the last configuration is made of that was refused, as it was then: it may be waited for.
    refused: Mutex<Vec<(PathBuf, Sight)>>,
    workers: usize,
    at_start: AtStart,
    is_stopping: AtomicBool,
    /// Reloads that took effect.
    pub reloads: AtomicU64,
    /// Reloads that were refused.
    pub refusals: AtomicU64,
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Warnings about the new configuration, and what is worse of it and did not keep it from being taken up.
    pub warnings: Vec<String>,
    /// Keys that have changed and take effect at the next start only.
    pub at_next_start: Vec<&'static str>,
}

/// Why the configuration stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its plugins can't be used.
    #[error(transparent)]
    Plugins(#[from] StartError),
}

impl Running {
    /// Begins with a snapshot of this configuration. The receiver hears from each worker when it serves it.
    pub fn new(config: Config, snapshot: Arc<Snapshot>) -> (Self, mpsc::Receiver<()>) {
        let (served, is_served) = mpsc::channel();
        let running = Self {
            updates: watch::Sender::new(Update { snapshot, served }),
            workers: config.server.workers.get(),
            at_start: AtStart::of(&config),
            config: Mutex::new(config),
            refused: Mutex::new(Vec::new()),
            is_stopping: AtomicBool::new(false),
            reloads: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
        };
        (running, is_served)
    }

    /// What workers follow.
    pub fn subscribe(&self) -> watch::Receiver<Update> {
        self.updates.subscribe()
    }

    /// What is being served.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.updates.borrow().snapshot)
    }

    /// The gateway stops: it is not ready for new requests, though it still serves those that come.
    pub fn stopping(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::stopping`] was called.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// The files to watch: those of the configuration that is served, and of the one that was refused since.
    pub fn files(&self) -> Vec<PathBuf> {
        let config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files = files(&config);
        let refused = self.refused();
        files.extend(refused.into_iter().map(|(path, _)| path));
        files
    }

    /// The files of the configuration that was refused, as they were before it was tried; none where one was accepted since.
    pub(super) fn refused(&self) -> Vec<(PathBuf, Sight)> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.clone()
    }

    fn set_refused(&self, files: Vec<(PathBuf, Sight)>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = files;
    }

    /// Reads the configuration's file again. Takes as long as its plugins take to compile, and returns when all workers
    /// serve it.
    ///
    /// # Errors
    /// See [`ReloadError`]; everything stays as it was.
    pub fn reload(&self) -> Result<Reloaded, ReloadError> {
        let mut running = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.load(&running);
        match &result {
            Ok((_, reloaded)) => {
                self.reloads.fetch_add(1, Ordering::Relaxed);
                for key in &reloaded.at_next_start {
                    tracing::warn!("{key} has changed; that takes effect at the next start");
                }
                tracing::info!("reloaded {}", running.source.display());
            }
            Err(error) => {
                self.refusals.fetch_add(1, Ordering::Relaxed);
                tracing::error!("not reloaded, the configuration stays as it was:\n{error}");
            }
        }
        let (config, reloaded) = result?;
        *running = config;
        Ok(reloaded)
    }

    fn load(&self, running: &Config) -> Result<(Config, Reloaded), ReloadError> {
        let loaded = config::load(&running.source)?;
        let config = loaded.config;
        // Until it is accepted.
        self.set_refused(look(files(&config)));
        let snapshot = super::load(&config, Some(&self.snapshot()), &mut |_| {})?;
        self.set_refused(Vec::new());
        for problem in &snapshot.expired {
            tracing::error!("{}", problem.in_file(&config.source));
        }
        let in_file = |problem: &Problem| problem.in_file(&config.source).to_string();
        let warnings = loaded.warnings.iter().chain(&snapshot.warnings);
        let mut warnings: Vec<String> = warnings.map(in_file).collect();
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        warnings.extend(snapshot.expired.iter().map(in_file));
        let (served, is_served) = mpsc::channel();
        self.updates.send_replace(Update { snapshot, served });
        for _ in 0..self.workers {
            if is_served.recv_timeout(PATIENCE).is_err() {
                tracing::warn!("a worker has not taken up the new configuration yet");
                break;
            }
        }
        let reloaded = Reloaded {
            warnings,
            at_next_start: self.at_start.changes(&config),
        };
        Ok((config, reloaded))
    }
}

/// What a configuration is made of: its own file, the components', and those of certificates and keys.
fn files(config: &Config) -> Vec<PathBuf> {
    let components = config.plugins.values().filter_map(|plugin| {
        let config::ComponentSource::File(path) = &plugin.component else {
            return None;
        };
        Some(path.clone())
    });
    let listeners = config.listeners.iter();
    let listeners = listeners.filter_map(|listener| listener.tls.as_ref());
    let upstreams = config.upstreams.values();
    let upstreams = upstreams.flat_map(|upstream| upstream.tls.iter().chain(upstream.via.tls()));
    let files = listeners.flat_map(ListenerTls::files);
    let files = files.chain(upstreams.flat_map(UpstreamTls::files));
    let certificates = files.map(|file| file.path.clone());
    std::iter::once(config.source.clone())
        .chain(components)
        .chain(certificates)
        .collect()
}

/// Keys that sockets and threads were made of, as they were at the start.
#[derive(Debug, PartialEq)]
struct AtStart {
    /// What is listened on. All else of a listener can change while it listens.
    listeners: Vec<SocketAddr>,
    workers: NonZeroUsize,
    shutdown_grace: Duration,
    admin: Option<config::Admin>,
    access_log: Option<config::AccessLog>,
}

impl AtStart {
    fn of(config: &Config) -> Self {
        let listeners = config.listeners.iter();
        let mut listeners: Vec<_> = listeners.map(|listener| listener.address).collect();
        listeners.sort_unstable();
        Self {
            listeners,
            workers: config.server.workers,
            shutdown_grace: config.server.shutdown_grace,
            admin: config.admin.clone(),
            access_log: config.access_log.clone(),
        }
    }

    /// What another configuration has otherwise.
    fn changes(&self, config: &Config) -> Vec<&'static str> {
        let new = Self::of(config);
        [
            ("listeners", self.listeners != new.listeners),
            ("server.workers", self.workers != new.workers),
            (
                "server.shutdown_grace",
                self.shutdown_grace != new.shutdown_grace,
            ),
            ("admin", self.admin != new.admin),
            ("access_log", self.access_log != new.access_log),
        ]
        .into_iter()
        .filter_map(|(key, has_changed)| has_changed.then_some(key))
        .collect()
    }
}
