//! The validated configuration: what the program uses. Every value in here has been checked, every
//! name refers to something that exists.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, Method, StatusCode};
use ipnet::IpNet;

use super::{Places, Via};
use crate::exchange::Scheme;

/// A whole configuration file.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that this was read from; relative paths in it start at its folder.
    pub source: PathBuf,
    /// `[server]`
    pub server: Server,
    /// `[[listeners]]`, at least one.
    pub listeners: Vec<super::Listener>,
    /// `[admin]`; absent: no admin listener.
    pub admin: Option<Admin>,
    /// `[access_log]`; absent: no access log.
    pub access_log: Option<AccessLog>,
    /// `[plugins.NAME]`
    pub plugins: BTreeMap<String, Plugin>,
    /// `[upstreams.NAME]`
    pub upstreams: BTreeMap<String, Upstream>,
    /// `[[routes]]`, in the file's order.
    pub routes: Vec<Route>,
    /// `[hubs.NAME]`
    pub hubs: BTreeMap<String, super::Hub>,
}

/// `[server]`
#[derive(Debug, Clone)]
pub struct Server {
    /// Worker threads; `workers = 0` in the file has become the number of cores.
    pub workers: NonZeroUsize,
    /// How long a shutdown waits for what is in flight.
    pub shutdown_grace: Duration,
    /// How long a shutdown goes on accepting after readiness has turned red.
    pub drain_delay: Duration,
    /// Whether changed files are reloaded by themselves.
    pub watch: bool,
    /// Peers whose `X-Forwarded-*` and `Forwarded` are believed and continued.
    pub trusted_proxies: Vec<IpNet>,
    /// The outermost layer of every route's chain.
    pub plugins: Vec<PluginUse>,
    /// `server.limits`
    pub limits: ServerLimits,
    /// `server.resolver`
    pub resolver: super::Resolver,
}

/// `server.limits`
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// Open client connections, over all listeners and workers. Exchanges of HTTP/2 beyond the first of each connection count
    /// as further ones.
    pub connections: usize,
    /// Bytes of a request head, request line included.
    pub header_bytes: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// From the first byte of a head (or the connection's start) to its end.
    pub header_timeout: Duration,
    /// From a connection's start until TLS and the PROXY protocol are done, where a listener has them.
    pub handshake_timeout: Duration,
    /// How long a kept-alive connection may wait for its next request.
    pub idle_timeout: Duration,
    /// Bytes of a request body; `None`: no limit ("none" in the file).
    pub body_bytes: Option<u64>,
    /// Exchanges at the same time over one connection of HTTP/2.
    pub streams: u32,
}

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub address: SocketAddr,
    /// What a caller has to present.
    pub token: Option<Secret>,
}

/// A text that is not to be seen in messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps it.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Whether it is this text. Takes as long for a guess that is nearly right as for any other of its length.
    pub fn is(&self, guess: &str) -> bool {
        let (mine, theirs) = (self.0.as_bytes(), guess.as_bytes());
        let differing = mine
            .iter()
            .zip(theirs)
            .fold(0, |differing, (a, b)| differing | (a ^ b));
        mine.len() == theirs.len() && std::hint::black_box(differing) == 0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// `[access_log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// `format`
    pub format: AccessLogFormat,
    /// `path`; "-" (the default) is standard output.
    pub path: AccessLogPath,
}

/// `access_log.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// One JSON object a line.
    Json,
    /// One line of text, near to the common log format.
    Text,
}

/// `access_log.path`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogPath {
    /// "-"
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// `[plugins.NAME]`
#[derive(Debug, Clone)]
pub struct Plugin {
    /// `component`
    pub component: ComponentSource,
    /// `on_failure`
    pub on_failure: OnFailure,
    /// `isolation`
    pub isolation: Isolation,
    /// `limits`
    pub limits: PluginLimits,
    /// `breaker`
    pub breaker: Breaker,
    /// `allow`
    pub allow: Allow,
    /// `config` as JSON; `{}` where there is none.
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Where its parts stand.
    pub places: Places,
    /// Where it stands in the file.
    pub origin: Origin,
}

/// `plugins.NAME.component`
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentSource {
    /// "builtin:NAME": one of the stock plugins.
    Builtin(String),
    /// A component's file, made absolute.
    File(PathBuf),
}

/// `plugins.NAME.on_failure`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// 500, nothing is forwarded.
    Reject,
    /// As if the plugin were not listed.
    Skip,
}

/// `plugins.NAME.isolation`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Instances are used again for later exchanges.
    Reuse,
    /// A fresh instance for each exchange.
    Request,
}

/// `plugins.NAME.limits`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginLimits {
    /// Computing time per hook.
    pub time: Duration,
    /// Time per hook with its waiting on host calls.
    pub wall: Duration,
    /// Linear memory per instance, bytes.
    pub memory: usize,
    /// Instances per worker.
    pub instances: NonZeroUsize,
}

/// `plugins.NAME.breaker`: when a plugin that keeps failing is left alone for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Breaker {
    /// Failures within ten seconds. Default 20.
    pub failures: NonZeroU32,
    /// And the share of all calls that they are, 0 to 1. Default 0.5.
    pub rate: f64,
    /// What two or more failures may cost a worker of computing time before they count as too many. Default 25 ms.
    pub lost: Duration,
    /// The first pause; each further one is twice as long, up to a minute. Default 1 s.
    pub pause: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failures: NonZeroU32::MIN.saturating_add(19),
            rate: 0.5,
            lost: Duration::from_millis(25),
            pause: Duration::from_secs(1),
        }
    }
}

/// `plugins.NAME.allow`: what a plugin may reach beyond what every plugin may.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allow {
    /// `hubs`: keys of `hubs` that it may send into.
    pub hubs: Vec<String>,
}

/// One entry of a `plugins = [...]` list: `"name"` or `{ use = "name", config = {...} }`.
#[derive(Debug, Clone)]
pub struct PluginUse {
    /// A key of [`Config::plugins`].
    pub plugin: String,
    /// `config` of this use; it takes the place of the plugin's own. `None`: the plugin's own.
    pub config: Option<serde_json::Map<String, serde_json::Value>>,
    /// Where its parts stand.
    pub places: Places,
    /// Where it stands in the file, for messages: `routes[0].plugins[1]`.
    pub origin: Origin,
}

/// A place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The key's path, such as `routes[2].upstream`.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
}

/// `[upstreams.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// `balance`
    pub balance: Algorithm,
    /// `hash_on`
    pub hash_on: HashOn,
    /// `targets`, at least one.
    pub targets: Vec<Target>,
    /// `timeouts`
    pub timeouts: Timeouts,
    /// What is spoken to its targets.
    pub protocol: UpstreamProtocol,
    /// `tls`; `None`: no target is reached by it.
    pub tls: Option<super::UpstreamTls>,
    /// `retries`
    pub retries: Retries,
    /// `limits`
    pub limits: UpstreamLimits,
    /// `outliers`; `None`: no target is ejected.
    pub outliers: Option<Outliers>,
    /// `health`; absent: targets are not checked.
    pub health: Option<HealthCheck>,
    /// `via`, `via_tls`, `via_mode` and `no_proxy`
    pub via: Via,
}

/// `upstreams.NAME.protocol`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpstreamProtocol {
    /// "http/1.1"
    #[default]
    Http1,
    /// "h2": over TLS by ALPN, without TLS by prior knowledge.
    Http2,
    /// "auto": what the target chooses over TLS (ALPN), HTTP/1.1 without.
    Auto,
}

/// `upstreams.NAME.balance`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// "random"
    Random,
    /// "round-robin" (the default)
    RoundRobin,
    /// "weighted-round-robin"
    WeightedRoundRobin,
    /// "consistent-hash"
    ConsistentHash {
        /// `bounded_load`; `None`: not bounded.
        bounded_load: Option<LoadFactor>,
    },
    /// "least-request"
    LeastRequest,
    /// "peak-ewma"
    PeakEwma,
    /// "maglev"
    Maglev {
        /// `bounded_load`; `None`: not bounded.
        bounded_load: Option<LoadFactor>,
    },
}

impl Algorithm {
    /// Whether requests are picked for by a hash of [`HashOn`].
    pub fn hashes(self) -> bool {
        matches!(self, Self::ConsistentHash { .. } | Self::Maglev { .. })
    }
}

/// `upstreams.NAME.bounded_load`: how many times the average load a target may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LoadFactor {
    thousandths: u32,
}

impl LoadFactor {
    /// What [`LoadFactor::thousandths`] counts are parts of.
    pub const UNIT: u32 = 1_000;

    /// A factor from 1.001 to 100, to a thousandth. With 1 itself there would be no room to choose; and
    /// who writes 125 means per cent.
    pub fn new(factor: f64) -> Option<Self> {
        let thousandths = (factor * f64::from(Self::UNIT)).round();
        if !(1_001.0..=100_000.0).contains(&thousandths) {
            return None;
        }
        #[expect(clippy::cast_sign_loss, reason = "it is in the range")]
        let thousandths = thousandths as u32;
        Some(Self { thousandths })
    }

    /// The factor in thousandths, so that loads can be compared in whole numbers.
    pub fn thousandths(self) -> u32 {
        self.thousandths
    }
}

/// `upstreams.NAME.hash_on`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashOn {
    /// "client-ip" (the default)
    ClientIp,
    /// "header:NAME"
    Header(HeaderName),
    /// "cookie:NAME"
    Cookie(String),
    /// "query:NAME"
    Query(String),
    /// "path"
    Path,
    /// "plugin": what a plugin gave to `set-balance-key`.
    Plugin,
}

/// `upstreams.NAME.targets[]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whether there is TLS.
    pub scheme: Scheme,
    /// Where it listens.
    pub place: super::Place,
    /// What goes into Host when the client's is not preserved: as written in the URL, "localhost" for a unix socket.
    pub authority: Arc<str>,
    /// The path that request paths are joined to: "" or "/base", never with a slash at its end.
    pub base_path: Arc<str>,
    /// `weight`
    pub weight: NonZeroU32,
}

/// `upstreams.NAME.timeouts`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands. Default 2 s.
    pub connect: Duration,
    /// From the request's last byte to the response's head. Default 30 s.
    pub response: Duration,
    /// Between two pieces of a body, and of an unused kept connection. Default 60 s.
    pub idle: Duration,
    /// How long nothing may come from either end of an upgraded connection. Default 10 min.
    pub tunnel: Duration,
}

/// `upstreams.NAME.retries`
#[derive(Debug, Clone, PartialEq)]
pub struct Retries {
    /// Further targets that one request may be sent to. Default 0.
    pub attempts: usize,
    /// "connect-failure" in `on`. Default true.
    pub on_connect_failure: bool,
    /// The statuses in `on`. Default none.
    pub on: Vec<StatusCode>,
    /// `budget`: retries of what was sent, as a share of the requests, 0 to 1. Default 0.2.
    pub budget: f64,
}

/// `upstreams.NAME.limits`, over all workers
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamLimits {
    /// Connections that carry an exchange; `None` (the default): no limit.
    pub connections: Option<usize>,
    /// Requests that wait for one. Default 1024.
    pub pending: usize,
}

/// `upstreams.NAME.outliers`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outliers {
    /// Failures in a row that eject a target. Default 5.
    pub failures: u32,
    /// How long the first ejection lasts; each further one in a row by so much longer. Default 30 s.
    pub ejection: Duration,
    /// The share of the targets that may be ejected at the same time, 0 to 1. Default 0.5.
    pub max_ejected: f64,
    /// How long a target whose ejection has ended takes to get its whole share. Default 10 s.
    pub slow_start: Duration,
}

/// `upstreams.NAME.health`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What a check does.
    pub probe: Probe,
    /// Between two checks of a target, a tenth more or less. Default 5 s.
    pub interval: Duration,
    /// How long a check may take. Default 1 s.
    pub timeout: Duration,
    /// Passed checks in a row that bring a target up. Default 2.
    pub healthy: u32,
    /// Failed checks in a row that take it down. Default 3.
    pub unhealthy: u32,
    /// How long a target that has come up takes to get its whole share. Default 10 s.
    pub slow_start: Duration,
}

/// What a health check does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Connects, and nothing else.
    Connect,
    /// Sends a GET request.
    Http {
        /// Its path and query.
        path: PathAndQuery,
        /// Statuses that pass. Default 200 to 399.
        status: RangeInclusive<u16>,
    },
}

/// `[[routes]]`
#[derive(Debug, Clone)]
pub struct Route {
    /// `name`; default: its path.
    pub name: Arc<str>,
    /// `host`: exact in lower case, or `*.example.com`.
    pub host: Option<String>,
    /// `path`: a pattern that `route::Pattern` has accepted.
    pub path: String,
    /// `methods`; empty: all.
    pub methods: Vec<Method>,
    /// `upstream`: a key of [`Config::upstreams`].
    pub upstream: String,
    /// `plugins`
    pub plugins: Vec<PluginUse>,
    /// `timeout` of the whole exchange up to the end of the response's head; 60 s by default.
    pub timeout: Duration,
    /// `exchange_timeout` up to the response's last byte; `None` (the default): no limit.
    pub exchange_timeout: Option<Duration>,
    /// `concurrency`: exchanges at the same time, over all workers; `None` (the default): no limit.
    pub concurrency: Option<usize>,
    /// `preserve_host`
    pub preserve_host: bool,
    /// Where it stands in the file.
    pub origin: Origin,
}
