//! What a configuration becomes before the first request: everything looked up, compiled and
//! numbered. Immutable; each worker has the same one, and an exchange keeps the one that it
//! began with.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Semaphore;

use crate::config::{Config, Problem, ServerLimits};
use crate::exchange::edit::Budget;
use crate::plugin::registry::{Progress, Registry};
use crate::route::{HostPattern, Pattern, Rule, Table};
use crate::upstream::target::Upstream;

/// See the module's documentation.
#[derive(Debug)]
pub struct Snapshot {
    /// `server.limits`
    pub limits: ServerLimits,
    /// `server.trusted_proxies`
    pub trusted_proxies: Vec<IpNet>,
    /// What plugins may add to a head.
    pub head_budget: Budget,
    /// Finds a request's route; its indices are indices of `routes`.
    pub table: Table,
    /// The routes.
    pub routes: Vec<Route>,
    /// The upstreams.
    pub upstreams: Vec<Arc<Upstream>>,
    upstream_names: HashMap<String, usize>,
    /// Number of targets over all upstreams.
    pub slots: usize,
    /// The plugins.
    pub registry: Registry,
}

/// What happens to the requests of one route.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// Index of its upstream.
    pub upstream: usize,
    /// Its layers of plugins, outermost first: indices of the registry's layers.
    pub layers: Vec<usize>,
    /// Until the response's head.
    pub timeout: Duration,
    /// Room for exchanges at the same time, over all workers; `None`: no limit.
    pub concurrency: Option<Arc<Semaphore>>,
    /// Whether the client's Host goes upstream.
    pub preserve_host: bool,
}

impl Snapshot {
    /// Loads the plugins of a configuration, and numbers everything.
    ///
    /// # Errors
    /// What is wrong with plugins; the rest has been checked when the file was read.
    pub fn new(config: &Config, progress: Progress<'_>) -> Result<Self, Vec<Problem>> {
        let registry = Registry::load(config, progress)?;
        let mut slots = 0..;
        let upstreams: Vec<Arc<Upstream>> = config
            .upstreams
            .iter()
            .map(|(name, upstream)| Arc::new(Upstream::new(name, upstream, &mut slots)))
            .collect();
        let upstream_names: HashMap<String, usize> = config
            .upstreams
            .keys()
            .enumerate()
            .map(|(index, name)| (name.clone(), index))
            .collect();
        let mut rules = Vec::new();
        let mut routes = Vec::new();
        for route in &config.routes {
            let unexpected = |message: String| {
                vec![Problem {
                    path: route.origin.path.clone(),
                    line: route.origin.line,
                    message,
                }]
            };
            let host = route
                .host
                .as_deref()
                .map(HostPattern::parse)
                .transpose()
                .map_err(|error| unexpected(error.to_string()))?;
            let pattern =
                Pattern::parse(&route.path).map_err(|error| unexpected(error.to_string()))?;
            let upstream = *upstream_names
                .get(&route.upstream)
                .ok_or_else(|| unexpected(format!("no upstream \"{}\"", route.upstream)))?;
            rules.push(Rule {
                host,
                pattern,
                methods: route.methods.clone(),
            });
            routes.push(Route {
                name: Arc::clone(&route.name),
                upstream,
                layers: config
                    .server
                    .plugins
                    .iter()
                    .chain(&route.plugins)
                    .filter_map(|plugin_use| registry.layer_of(config, plugin_use))
                    .collect(),
                timeout: route.timeout,
                concurrency: route.concurrency.map(|most| Arc::new(Semaphore::new(most))),
                preserve_host: route.preserve_host,
            });
        }
        Ok(Self {
            limits: config.server.limits.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            head_budget: Budget {
                bytes: config.server.limits.header_bytes,
                fields: config.server.limits.headers,
            },
            table: Table::new(rules),
            routes,
            slots: upstreams
                .iter()
                .map(|upstream| upstream.targets.len())
                .sum(),
            upstreams,
            upstream_names,
            registry,
        })
    }

    /// A snapshot without routes, for where there is no exchange.
    pub fn empty() -> Arc<Self> {
        static EMPTY: LazyLock<Arc<Snapshot>> = LazyLock::new(|| {
            Arc::new(Snapshot {
                limits: ServerLimits {
                    connections: 0,
                    header_bytes: 0,
                    headers: 0,
                    header_timeout: Duration::ZERO,
                    idle_timeout: Duration::ZERO,
                    body_bytes: None,
                },
                trusted_proxies: Vec::new(),
                head_budget: Budget {
                    bytes: 0,
                    fields: 0,
                },
                table: Table::new(Vec::new()),
                routes: Vec::new(),
                upstreams: Vec::new(),
                upstream_names: HashMap::new(),
                slots: 0,
                registry: Registry::default(),
            })
        });
        Arc::clone(&EMPTY)
    }

    /// The index of the upstream of that name.
    pub fn upstream_named(&self, name: &str) -> Option<usize> {
        self.upstream_names.get(name).copied()
    }
}
