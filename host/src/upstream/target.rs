//! An upstream and its targets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::HeaderValue;

use super::checks::Checks;
use super::connect::resolve::Resolver;
use super::connect::{Connectors, Way};
use super::health::{self, Health, Standing};
use super::limits::{Limits, Place};
use super::retries::Retries;
use super::slow_start::SlowStart;
use crate::balance::{self, Balancer};
use crate::config;
use crate::exchange::Scheme;

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
    /// What it has for TLS.
    pub connectors: Connectors,
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
    pub(super) slow_start: SlowStart,
}

/// One address that requests can be sent to.
#[derive(Debug)]
pub struct Target {
    /// How it is reached.
    pub way: Way,
    /// What is spoken to it.
    pub protocol: config::UpstreamProtocol,
    /// Host for the target's own requests.
    pub host: HeaderValue,
    /// Prefix of every path: "" or "/base".
    pub base_path: Arc<str>,
    /// Index of the target among all targets of the configuration: its place in the pools.
    pub slot: usize,
    in_flight: Arc<AtomicU32>,
}

impl Upstream {
    /// Makes an upstream of its configuration. What is known of a target that `previous` has as well is taken over: whether it is
    /// ejected or down, what is going on there, its place in the pools; and so is what counts for all of them.
    /// `slots` gives out places to the others, `resolver` their names.
    pub fn following(
        name: &str,
        config: &config::Upstream,
        previous: Option<&Self>,
        slots: &mut dyn Iterator<Item = usize>,
        resolver: &Arc<Resolver>,
        connectors: Connectors,
    ) -> Self {
        let mut balancer = balance::from_algorithm(config.balance);
        let way = |target| Way::to(target, config, resolver, &connectors);
        let same = same_targets(previous, config, resolver, &connectors);
        let targets: Vec<Target> = config
            .targets
            .iter()
            .zip(&same)
            .filter_map(|(target, same)| {
                let before = previous.zip(*same);
                let before = before.and_then(|(previous, index)| previous.targets.get(index));
                let slot = before.map_or_else(|| slots.next(), |before| Some(before.slot))?;
                balancer.add(balance::Target {
                    name: &target.place.to_string(),
                    weight: target.weight,
                });
                Some(Target::new(
                    target,
                    way(target),
                    config.protocol,
                    slot,
                    before,
                ))
            })
            .collect();
        balancer.prepare();
        let checks = config.health.clone();
        Self {
            name: name.into(),
            health: config.outliers.map(|outliers| {
                let previous = previous.and_then(|previous| previous.health.as_ref());
                Health::following(&outliers, previous, &same)
            }),
            after_ejection: config
                .outliers
                .map_or(Duration::ZERO, |outliers| outliers.slow_start),
            slow_start: SlowStart::following(previous.map(|previous| &previous.slow_start), &same),
            checks: checks.map(|settings| {
                let previous = previous.and_then(|previous| previous.checks.as_ref());
                Checks::following(settings, previous, &same)
            }),
            is_timed: config.balance == config::Algorithm::PeakEwma,
            targets,
            balancer,
            hash_on: config.hash_on.clone(),
            timeouts: config.timeouts,
            connectors,
            limits: Limits::following(
                &config.limits,
                previous.and_then(|previous| previous.limits.as_ref()),
            ),
            retries: Retries::following(
                &config.retries,
                previous.map(|previous| &previous.retries),
            ),
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
    pub(super) fn is_in_service(&self, index: usize) -> bool {
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
        target.map_or_else(String::new, |target| target.way.to_string())
    }
}

/// For each target of a configuration the index that it has in `previous`: the one with the same URL and the same way to
/// it. How the URL is written may differ, where it leads may not.
pub fn same_targets(
    previous: Option<&Upstream>,
    config: &config::Upstream,
    resolver: &Arc<Resolver>,
    connectors: &Connectors,
) -> Vec<Option<usize>> {
    let mut left: Vec<(usize, &Target)> = previous
        .into_iter()
        .flat_map(|previous| previous.targets.iter().enumerate())
        .collect();
    let find = |target: &config::Target| {
        let way = Way::to(target, config, resolver, connectors);
        let position = left.iter().position(|(_, before)| {
            before.way.leads_where(&way) && before.base_path == target.base_path
        })?;
        Some(left.swap_remove(position).0)
    };
    config.targets.iter().map(find).collect()
}

impl Target {
    fn new(
        config: &config::Target,
        way: Way,
        protocol: config::UpstreamProtocol,
        slot: usize,
        before: Option<&Self>,
    ) -> Self {
        Self {
            way,
            protocol,
            host: HeaderValue::from_str(&config.authority).unwrap_or(HeaderValue::from_static("")),
            base_path: Arc::clone(&config.base_path),
            slot,
            in_flight: before.map_or_else(Arc::default, |before| Arc::clone(&before.in_flight)),
        }
    }

    /// The scheme of its requests.
    pub fn scheme(&self) -> &'static str {
        let scheme = match self.way.secure {
            Some(_) => Scheme::Https,
            None => Scheme::Http,
        };
        scheme.as_str()
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
