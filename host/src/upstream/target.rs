//! An upstream and its targets.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::HeaderValue;
use rand::RngExt as _;

use super::checks::Checks;
use super::health::{self, Health, Standing};
use super::limits::{Limits, Place};
use super::retries::Retries;
use super::slow_start::SlowStart;
use crate::balance::{self, Balancer};
use crate::config;

/// A group of targets that serve the same requests. Shared by all workers.
#[derive(Debug)]
pub struct Upstream {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its targets, in the file's order; a balancer's indices are indices of this list.
    pub targets: Vec<Target>,
    /// Picks among the targets.
    pub balancer: Box<dyn Balancer>,
    /// What a hashing balancer hashes.
    pub hash_on: config::HashOn,
    /// Time limits.
    pub timeouts: config::Timeouts,
    /// How many exchanges may go on at the same time; `None`: no limit.
    pub limits: Option<Limits>,
    /// When a request is sent to another target, too.
    pub retries: Retries,
    /// Whether the balancer wants to know how long attempts take: that needs looks at the clock.
    pub is_timed: bool,
    /// What active checks have found out; `None`: there are none.
    pub checks: Option<Checks>,
    /// Which targets are ejected; `None`: none ever is.
    health: Option<Health>,
    /// How long a target warms up after an ejection.
    after_ejection: Duration,
    slow_start: SlowStart,
}

/// One address that requests can be sent to.
#[derive(Debug)]
pub struct Target {
    /// Where to connect.
    pub endpoint: Endpoint,
    /// Host for the target's own requests.
    pub host: HeaderValue,
    /// Prefix of every path: "" or "/base".
    pub base_path: Arc<str>,
    /// Index of the target among all targets of the configuration: its place in the pools.
    pub slot: usize,
    in_flight: AtomicU32,
}

/// Where a target's connections go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An address.
    Address(SocketAddr),
    /// A name, resolved for each new connection, and a port.
    Name(Arc<str>, u16),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

impl Upstream {
    /// Makes an upstream of its configuration. `slots` gives out places in the pools.
    pub fn new(
        name: &str,
        config: &config::Upstream,
        slots: &mut dyn Iterator<Item = usize>,
    ) -> Self {
        let mut balancer = balance::from_algorithm(config.balance);
        let targets: Vec<Target> = config
            .targets
            .iter()
            .zip(slots)
            .map(|(target, slot)| {
                balancer.add(balance::Target {
                    name: &format!("{}:{}", target.host, target.port),
                    weight: target.weight,
                });
                Target::new(target, slot)
            })
            .collect();
        balancer.prepare();
        Self {
            name: name.into(),
            health: config
                .outliers
                .map(|outliers| Health::new(&outliers, targets.len())),
            after_ejection: config
                .outliers
                .map_or(Duration::ZERO, |outliers| outliers.slow_start),
            slow_start: SlowStart::new(targets.len()),
            checks: config
                .health
                .clone()
                .map(|settings| Checks::new(settings, targets.len())),
            is_timed: config.balance == config::Algorithm::PeakEwma,
            targets,
            balancer,
            hash_on: config.hash_on.clone(),
            timeouts: config.timeouts,
            limits: Limits::new(&config.limits),
            retries: Retries::new(&config.retries),
        }
    }

    /// What an attempt met: the balancer is told, and a target that fails again and again is ejected.
    /// `latency` is worth something only where the upstream [is timed](Self::is_timed).
    pub fn report(&self, index: usize, outcome: balance::Outcome) {
        if outcome.failed || self.is_timed {
            self.balancer.finished(index, outcome);
        }
        let Some(health) = &self.health else { return };
        if !outcome.failed {
            health.succeeded(index);
        } else if let Some(time) = health.failed(index, health::now) {
            tracing::warn!(
                upstream = &*self.name,
                target_address = self.name_of(index),
                "a target is ejected for {time:?}: it failed again and again"
            );
        }
    }

    /// Whether active checks say that a target is down.
    pub fn is_down(&self, index: usize) -> bool {
        self.checks
            .as_ref()
            .is_some_and(|checks| checks.is_down(index))
    }

    /// Whether a target is ejected at the moment.
    pub fn is_ejected(&self, index: usize) -> bool {
        let health = self.health.as_ref();
        health.is_some_and(|health| health.is_ejected(index, health::now()))
    }

    /// A target is back, and gets a growing share of its requests for so long.
    pub fn warm_up(&self, index: usize, length: Duration) {
        self.slow_start.begin(index, length, health::now());
    }

    /// Whether a target warms up at the moment.
    pub fn is_warming_up(&self, index: usize) -> bool {
        self.slow_start.is_going_on(index, health::now())
    }

    /// Whether a target is neither down nor ejected.
    fn is_in_service(&self, index: usize) -> bool {
        if self.is_down(index) {
            return false;
        }
        let Some(health) = &self.health else {
            return index < self.targets.len();
        };
        match health.standing(index, health::now) {
            Standing::Usable => true,
            Standing::Ejected => false,
            Standing::Returned => {
                self.warm_up(index, self.after_ejection);
                tracing::info!(
                    upstream = &*self.name,
                    target_address = self.name_of(index),
                    "an ejected target is back"
                );
                true
            }
        }
    }

    /// How often a target has been ejected.
    pub fn ejections(&self, index: usize) -> u64 {
        let health = self.health.as_ref();
        health.map_or(0, |health| health.ejections(index))
    }

    /// Exchanges that are going on with a target, over all workers.
    pub fn in_flight(&self, index: usize) -> u32 {
        self.targets.get(index).map_or(0, Target::in_flight)
    }

    fn name_of(&self, index: usize) -> String {
        let target = self.targets.get(index);
        target.map_or_else(String::new, |target| target.endpoint.to_string())
    }
}

/// An upstream none of whose targets is usable: a request has better chances at one that failed than at none.
#[derive(Debug)]
pub struct LastResort<'a>(pub &'a Upstream);

impl balance::Pool for LastResort<'_> {
    fn usable(&self, index: usize) -> bool {
        index < self.0.targets.len()
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.0.in_flight(index)
    }
}

/// An upstream as one request sees it. A target that warms up is there for it or is not, however often the balancer asks.
#[derive(Debug)]
pub struct View<'a> {
    upstream: &'a Upstream,
    /// The request's random number, once it was needed.
    draw: Cell<Option<f64>>,
}

impl<'a> View<'a> {
    /// Of a request that has been sent nowhere yet.
    pub fn new(upstream: &'a Upstream) -> Self {
        let draw = Cell::new(None);
        Self { upstream, draw }
    }

    /// The request is to be sent to another target: it takes one that warms up, too.
    pub fn take_any(&self) {
        self.draw.set(Some(0.0));
    }

    fn draw(&self) -> f64 {
        let draw = self.draw.get().unwrap_or_else(|| rand::rng().random());
        self.draw.set(Some(draw));
        draw
    }
}

impl balance::Pool for View<'_> {
    fn usable(&self, index: usize) -> bool {
        let slow_start = &self.upstream.slow_start;
        self.upstream.is_in_service(index) && slow_start.admits(index, health::now, || self.draw())
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.upstream.in_flight(index)
    }
}

impl Target {
    fn new(config: &config::Target, slot: usize) -> Self {
        let endpoint = match config.host.parse::<IpAddr>() {
            Ok(address) => Endpoint::Address(SocketAddr::new(address, config.port)),
            Err(_) => Endpoint::Name(config.host.as_str().into(), config.port),
        };
        Self {
            endpoint,
            host: HeaderValue::from_str(&config.authority).unwrap_or(HeaderValue::from_static("")),
            base_path: Arc::clone(&config.base_path),
            slot,
            in_flight: AtomicU32::new(0),
        }
    }

    /// Exchanges that are going on with this target, over all workers.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// Counts an exchange with a target for as long as it lives.
#[derive(Debug)]
pub struct InFlight {
    upstream: Arc<Upstream>,
    index: usize,
    place: Option<Place>,
}

impl InFlight {
    /// Begins to count.
    pub fn new(upstream: Arc<Upstream>, index: usize) -> Self {
        if let Some(target) = upstream.targets.get(index) {
            target.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        let place = None;
        Self {
            upstream,
            index,
            place,
        }
    }

    /// Keeps the exchange's place in the upstream's limits until the exchange ends.
    pub fn keep(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// The target.
    pub fn target(&self) -> Option<&Target> {
        self.upstream.targets.get(self.index)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(target) = self.target() {
            target.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::balance::{Candidates, Outcome};

    fn upstream(lines: &str) -> Upstream {
        let text = format!(
            "[upstreams.u]\ntargets = [{{ url = \"http://127.0.0.1:1\" }}, {{ url = \"http://127.0.0.1:2\" }}]\n{lines}\n[[routes]]\npath = \"/\"\nupstream = \"u\"\n"
        );
        let config = config::parse(&text, Path::new("gateway.toml"))
            .unwrap()
            .config;
        Upstream::new("u", config.upstreams.get("u").unwrap(), &mut (0..))
    }

    fn fail(upstream: &Upstream, index: usize) {
        let latency = Duration::ZERO;
        upstream.report(
            index,
            Outcome {
                latency,
                failed: true,
            },
        );
    }

    fn picks(upstream: &Upstream, pool: &dyn balance::Pool) -> Vec<usize> {
        let mut picks: Vec<usize> = Candidates::new(&*upstream.balancer, pool, 0).collect();
        picks.sort_unstable();
        picks
    }

    #[test]
    fn where_all_are_ejected_the_last_resort_is_all_of_them() {
        let upstream =
            upstream("outliers = { failures = 1, ejection = \"1h\", max_ejected = 1.0 }");
        let view = View::new(&upstream);
        assert_eq!(picks(&upstream, &view), [0, 1]);
        fail(&upstream, 0);
        assert_eq!(picks(&upstream, &view), [1]);
        fail(&upstream, 1);
        assert_eq!(picks(&upstream, &view), [0; 0]);
        assert_eq!(picks(&upstream, &LastResort(&upstream)), [0, 1]);
    }

    #[test]
    fn one_request_sees_a_target_that_warms_up_always_or_never() {
        let upstream = upstream("");
        upstream.warm_up(0, Duration::from_hours(1));
        for _ in 0..100 {
            let view = View::new(&upstream);
            let is_seen = balance::Pool::usable(&view, 0);
            assert!((0..100).all(|_| balance::Pool::usable(&view, 0) == is_seen));
            view.take_any();
            assert_eq!(picks(&upstream, &view), [0, 1]);
        }
    }
}
