//! What a configuration becomes before the first request: everything looked up, compiled and
//! numbered. Immutable; each worker has the same one, and an exchange keeps the one that it
//! began with.

mod connectors;
pub mod listeners;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Semaphore;

use crate::config::{self, Config, Problem, ServerLimits};
use crate::exchange::edit::Budget;
use crate::hub::Hub;
use crate::observe::metrics::{Metrics, RouteMetrics};
use crate::plugin::registry::{Progress, Registry};
use crate::plugin::running_hubs::RunningHubs;
use crate::route::{HostPattern, Pattern, Rule, Table};
use crate::tls::loader::Loader;
use crate::upstream::connect::resolve::Resolver;
use crate::upstream::connect::{Connectors, Way};
use crate::upstream::target::{Target, Upstream, same_targets};
use listeners::Listener;

/// See the module's documentation.
#[derive(Debug)]
pub struct Snapshot {
    /// `server.limits`
    pub limits: ServerLimits,
    /// The listeners, in the order in which they began to listen.
    pub listeners: Vec<Arc<Listener>>,
    /// `server.trusted_proxies`
    pub trusted_proxies: Vec<IpNet>,
    /// What plugins may add to a head.
    pub head_budget: Budget,
    /// Finds a request's route or hub; its indices are those of `routes`, and after them of `hubs`.
    pub table: Table,
    /// The routes.
    pub routes: Vec<Route>,
    /// The hubs.
    pub hubs: Vec<Arc<Hub>>,
    /// Their layers of plugins, outermost first: indices of the registry's layers.
    pub hub_layers: Vec<Vec<usize>>,
    /// Resolves the names of their targets.
    resolver: Arc<Resolver>,
    /// The upstreams.
    pub upstreams: Vec<Arc<Upstream>>,
    upstream_names: HashMap<String, usize>,
    /// What `upstreams` were made of.
    upstream_configs: Vec<config::Upstream>,
    /// What `routes` were made of.
    route_configs: Vec<config::Route>,
    /// Places in the pools of connections: one for each target, numbered below this.
    pub slots: usize,
    /// The plugins.
    pub registry: Registry,
    /// What is counted; `None` where nobody can ask for it.
    pub metrics: Option<Arc<Metrics>>,
    /// What is odd about what was loaded.
    pub warnings: Vec<Problem>,
    /// Certificates that have expired since they were loaded first, and are served on.
    pub expired: Vec<Problem>,
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
    /// Until the response's end; `None`: no limit.
    pub exchange_timeout: Option<Duration>,
    /// Room for exchanges at the same time, over all workers; `None`: no limit.
    pub concurrency: Option<Arc<Semaphore>>,
    /// Whether the client's Host goes upstream.
    pub preserve_host: bool,
    /// What is counted of it.
    pub metrics: Option<Arc<RouteMetrics>>,
}

impl Snapshot {
    /// Loads the plugins of a configuration, and numbers everything. What has not changed since
    /// `previous` is taken over: plugins with their instances, targets of upstreams with what is known of them, routes with
    /// who is on them.
    ///
    /// # Errors
    /// What is wrong with plugins and certificates; the rest has been checked when the file was read.
    pub fn new(
        config: &Config,
        previous: Option<&Self>,
        progress: Progress<'_>,
    ) -> Result<Self, Vec<Problem>> {
        // Before plugins, which can take long to compile.
        let served = previous.into_iter().flat_map(Self::certificates);
        let mut loader = Loader::default().following(served);
        let before = previous.map(|old| &*old.listeners);
        let listeners = listeners::load(config, before, &mut loader);
        let connectors = connectors::load(config, previous, &mut loader);
        let expired = loader.take_expired();
        let (problems, warnings) = loader.into_findings();
        if !problems.is_empty() {
            return Err(problems);
        }
        let registry = Registry::load(config, previous.map(|old| &old.registry), progress)?;
        let resolver = previous
            .map(|previous| &previous.resolver)
            .filter(|resolver| *resolver.settings() == config.server.resolver)
            .map_or_else(|| Resolver::new(config.server.resolver.clone()), Arc::clone);
        let upstreams = upstreams(config, previous, &resolver, &connectors);
        let upstream_names: HashMap<String, usize> = config
            .upstreams
            .keys()
            .enumerate()
            .map(|(index, name)| (name.clone(), index))
            .collect();
        let metrics = match previous {
            Some(previous) => previous.metrics.clone(),
            None => config
                .admin
                .as_ref()
                .map(|_| Arc::new(Metrics::new(config.server.workers.get()))),
        };
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
                exchange_timeout: route.exchange_timeout,
                concurrency: room(route, previous),
                preserve_host: route.preserve_host,
                metrics: metrics.as_ref().map(|metrics| metrics.route(&route.name)),
            });
        }
        let layers_of = |plugins: &[config::PluginUse]| {
            let layers = plugins.iter();
            layers
                .filter_map(|plugin_use| registry.layer_of(config, plugin_use))
                .collect::<Vec<usize>>()
        };
        let mut hubs = Vec::new();
        let mut hub_layers = Vec::new();
        for hub in config.hubs.values() {
            rules.push(hub_rule(hub)?);
            hub_layers.push(layers_of(&hub.plugins));
            let before = previous.and_then(|previous| previous.hub_named(&hub.name));
            hubs.push(Arc::new(Hub::new(hub, before.map(|before| &**before))));
        }
        registry.outlet.connect(Arc::new(RunningHubs(hubs.clone())));
        Ok(Self {
            limits: config.server.limits.clone(),
            listeners,
            trusted_proxies: config.server.trusted_proxies.clone(),
            head_budget: Budget {
                bytes: config.server.limits.header_bytes,
                fields: config.server.limits.headers,
            },
            table: Table::new(rules),
            routes,
            hubs,
            hub_layers,
            resolver,
            slots: targets_of(&upstreams)
                .map(|target| target.slot + 1)
                .max()
                .unwrap_or(0),
            upstream_configs: config.upstreams.values().cloned().collect(),
            route_configs: config.routes.clone(),
            upstreams,
            upstream_names,
            registry,
            metrics,
            warnings,
            expired,
        })
    }

    /// The fingerprints of the certificates that are served, to clients and to targets.
    fn certificates(&self) -> impl Iterator<Item = u64> + '_ {
        let listeners = self.listeners.iter();
        let listeners = listeners.filter_map(|listener| listener.tls.as_ref());
        let upstreams = self.upstreams.iter();
        let upstreams = upstreams.flat_map(|upstream| {
            let connectors = &upstream.connectors;
            connectors.targets.iter().chain(&connectors.proxy)
        });
        listeners
            .flat_map(|acceptor| acceptor.certificates.iter().copied())
            .chain(upstreams.filter_map(|connector| connector.certificate))
    }

    /// Slots of the targets that this snapshot has in common with another. A slot that has been given to another target
    /// since is not: the connections there lead elsewhere.
    pub fn slots_in_common<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = usize> + 'a {
        let theirs: HashMap<usize, &Way> = targets_of(&other.upstreams)
            .map(|target| (target.slot, &target.way))
            .collect();
        targets_of(&self.upstreams)
            .filter(move |target| theirs.get(&target.slot) == Some(&&target.way))
            .map(|target| target.slot)
    }

    /// The targets of all upstreams.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        targets_of(&self.upstreams)
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
                    handshake_timeout: Duration::ZERO,
                    idle_timeout: Duration::ZERO,
                    body_bytes: None,
                    streams: 0,
                },
                listeners: Vec::new(),
                trusted_proxies: Vec::new(),
                head_budget: Budget {
                    bytes: 0,
                    fields: 0,
                },
                table: Table::new(Vec::new()),
                routes: Vec::new(),
                hubs: Vec::new(),
                hub_layers: Vec::new(),
                resolver: Resolver::new(config::Resolver::default()),
                upstreams: Vec::new(),
                upstream_names: HashMap::new(),
                upstream_configs: Vec::new(),
                route_configs: Vec::new(),
                slots: 0,
                registry: Registry::default(),
                metrics: None,
                warnings: Vec::new(),
                expired: Vec::new(),
            })
        });
        Arc::clone(&EMPTY)
    }

    /// The hub that an index of the table means, if it is not that of a route.
    pub fn hub(&self, index: usize) -> Option<&Arc<Hub>> {
        self.hubs.get(index.checked_sub(self.routes.len())?)
    }

    /// The hub of that name.
    pub fn hub_named(&self, name: &str) -> Option<&Arc<Hub>> {
        self.hubs.iter().find(|hub| &*hub.config.name == name)
    }

    /// The index of the upstream of that name.
    pub fn upstream_named(&self, name: &str) -> Option<usize> {
        self.upstream_names.get(name).copied()
    }
}

/// What a request has to be like for a hub. Any method: one that is no WebSocket is told so.
fn hub_rule(hub: &config::Hub) -> Result<Rule, Vec<Problem>> {
    let problem = |message: String| {
        vec![Problem {
            path: hub.origin.path.clone(),
            line: hub.origin.line,
            message,
        }]
    };
    let host = hub.host.as_deref().map(HostPattern::parse).transpose();
    Ok(Rule {
        host: host.map_err(|error| problem(error.to_string()))?,
        pattern: Pattern::parse(&hub.path).map_err(|error| problem(error.to_string()))?,
        methods: Vec::new(),
    })
}

/// Room for as many exchanges as a route may have at the same time. Where the route was there before, with
/// the same limit, it is the same room: those who are in it count on.
fn room(route: &config::Route, previous: Option<&Snapshot>) -> Option<Arc<Semaphore>> {
    let most = route.concurrency?;
    let is_same = |before: &config::Route| {
        (
            &before.host,
            &before.path,
            &before.methods,
            before.concurrency,
        ) == (&route.host, &route.path, &route.methods, route.concurrency)
    };
    let kept = previous.and_then(|previous| {
        let mut before = previous.route_configs.iter().zip(&previous.routes);
        before
            .find(|(config, _)| is_same(config))?
            .1
            .concurrency
            .clone()
    });
    kept.or_else(|| Some(Arc::new(Semaphore::new(most))))
}

fn targets_of(upstreams: &[Arc<Upstream>]) -> impl Iterator<Item = &Target> {
    upstreams.iter().flat_map(|upstream| &upstream.targets)
}

/// The upstreams: those that have not changed, and new ones. A target of a new one that was there before under the same upstream's
/// name goes on as it was; the others get the slots that are free.
fn upstreams(
    config: &Config,
    previous: Option<&Snapshot>,
    resolver: &Arc<Resolver>,
    connectors: &[Connectors],
) -> Vec<Arc<Upstream>> {
    let before = |name: &String| {
        let previous = previous?;
        let index = previous.upstream_named(name)?;
        previous
            .upstreams
            .get(index)
            .zip(previous.upstream_configs.get(index))
    };
    let mut taken = HashSet::new();
    for ((name, upstream), connectors) in config.upstreams.iter().zip(connectors) {
        let Some((before, _)) = before(name) else {
            continue;
        };
        let same = same_targets(Some(before), upstream, resolver, connectors);
        let kept = same.into_iter().flatten();
        let kept = kept.filter_map(|index| before.targets.get(index));
        taken.extend(kept.map(|target| target.slot));
    }
    let mut free = (0..).filter(|slot| !taken.contains(slot));
    let is_resolved_as_before =
        previous.is_some_and(|previous| Arc::ptr_eq(&previous.resolver, resolver));
    config
        .upstreams
        .iter()
        .zip(connectors)
        .map(|((name, upstream), connectors)| match before(name) {
            Some((before, config))
                if config == upstream
                    && is_resolved_as_before
                    && before.connectors == *connectors =>
            {
                Arc::clone(before)
            }
            before => {
                let before = before.map(|(before, _)| &**before);
                Arc::new(Upstream::following(
                    name,
                    upstream,
                    before,
                    &mut free,
                    resolver,
                    connectors.clone(),
                ))
            }
        })
        .collect()
}
