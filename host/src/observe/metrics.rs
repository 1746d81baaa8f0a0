//! Counters. Relaxed atomics: they are read now and then, and never decide anything. What every request counts is kept by
//! each worker for itself and added up when it is asked for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the buckets of durations, in seconds.
pub const BOUNDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// What is counted over the life of a gateway, however often its configuration changes.
#[derive(Debug)]
pub struct Metrics {
    workers: usize,
    routes: Mutex<BTreeMap<Arc<str>, Arc<RouteMetrics>>>,
    failures: Mutex<BTreeMap<&'static str, u64>>,
    failed_handshakes: Mutex<BTreeMap<&'static str, u64>>,
    tunnels: AtomicU64,
}

/// Counts an open tunnel for as long as it lives.
#[derive(Debug)]
pub struct OpenTunnel(Arc<Metrics>);

impl OpenTunnel {
    /// Begins to count.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        metrics.tunnels.fetch_add(1, Ordering::Relaxed);
        Self(metrics)
    }
}

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is counted of a route.
#[derive(Debug)]
pub struct RouteMetrics {
    workers: Box<[Shard]>,
}

/// One worker's part. Aligned so that no two workers write to one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    /// By the status' first digit, 1 to 5.
    statuses: [AtomicU64; 5],
    aborted: AtomicU64,
    bytes: AtomicU64,
    /// Each by its own bound; the last has none.
    durations: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

/// A route's counts, added up.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct RouteTotals {
    /// Responses by the status' first digit, 1 to 5.
    pub statuses: [u64; 5],
    /// Responses that broke off.
    pub aborted: u64,
    /// Bytes of response bodies.
    pub bytes: u64,
    /// Exchanges that took no longer than each of [`BOUNDS`], and all of them at last.
    pub durations: [u64; BOUNDS.len() + 1],
    /// What all exchanges took together.
    pub time: Duration,
}

/// A finished exchange.
#[derive(Debug, Clone, Copy)]
pub struct Finished {
    /// The worker that it was on.
    pub worker: usize,
    /// The status that was sent.
    pub status: u16,
    /// Whether the response broke off.
    pub aborted: bool,
    /// Bytes of the response's body.
    pub bytes: u64,
    /// From the request's head to the response's end.
    pub duration: Duration,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new(workers: usize) -> Self {
        Self {
            workers,
            routes: Mutex::default(),
            failures: Mutex::default(),
            failed_handshakes: Mutex::default(),
            tunnels: AtomicU64::new(0),
        }
    }

    /// The counts of a route, by its name: those that it has already, if there are any.
    pub fn route(&self, name: &Arc<str>) -> Arc<RouteMetrics> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let shards = std::iter::repeat_with(Shard::default).take(self.workers);
            Arc::new(RouteMetrics {
                workers: shards.collect(),
            })
        };
        Arc::clone(routes.entry(Arc::clone(name)).or_insert_with(new))
    }

    /// All routes that there are or were, by name.
    pub fn routes(&self) -> Vec<(Arc<str>, RouteTotals)> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes
            .iter()
            .map(|(name, route)| (Arc::clone(name), route.totals()))
            .collect()
    }

    /// Connections between clients and targets that have become something else than HTTP.
    pub fn open_tunnels(&self) -> u64 {
        self.tunnels.load(Ordering::Relaxed)
    }

    /// The gateway has answered itself, with this error type (RFC 9209).
    pub fn failed(&self, error_type: &'static str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures.entry(error_type).or_default() += 1;
    }

    /// A connection has ended before HTTP was spoken over it, for this reason.
    pub fn handshake_failed(&self, reason: &'static str) {
        let counts = self.failed_handshakes.lock();
        let mut counts = counts.unwrap_or_else(PoisonError::into_inner);
        *counts.entry(reason).or_default() += 1;
    }

    /// How many connections have ended before HTTP was spoken over them, by reason.
    pub fn failed_handshakes(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.failed_handshakes.lock();
        counts.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often the gateway has answered itself, by error type.
    pub fn failures(&self) -> BTreeMap<&'static str, u64> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.clone()
    }
}

impl RouteMetrics {
    /// Counts a finished exchange.
    pub fn finished(&self, exchange: &Finished) {
        let Some(shard) = self.workers.get(exchange.worker) else {
            return;
        };
        let add = |counter: Option<&AtomicU64>, number| {
            if let Some(counter) = counter {
                counter.fetch_add(number, Ordering::Relaxed);
            }
        };
        let class = usize::from(exchange.status / 100).wrapping_sub(1);
        add(shard.statuses.get(class), 1);
        if exchange.aborted {
            add(Some(&shard.aborted), 1);
        }
        add(Some(&shard.bytes), exchange.bytes);
        let seconds = exchange.duration.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        add(shard.durations.get(bucket), 1);
        let microseconds = u64::try_from(exchange.duration.as_micros()).unwrap_or(u64::MAX);
        add(Some(&shard.microseconds), microseconds);
    }

    fn totals(&self) -> RouteTotals {
        let mut totals = RouteTotals::default();
        let mut microseconds = 0;
        for shard in &self.workers {
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            for (total, counter) in totals.statuses.iter_mut().zip(&shard.statuses) {
                *total += read(counter);
            }
            for (total, counter) in totals.durations.iter_mut().zip(&shard.durations) {
                *total += read(counter);
            }
            totals.aborted += read(&shard.aborted);
            totals.bytes += read(&shard.bytes);
            microseconds += read(&shard.microseconds);
        }
        let mut below = 0;
        for total in &mut totals.durations {
            below += *total;
            *total = below;
        }
        totals.time = Duration::from_micros(microseconds);
        totals
    }
}

/// Distinct metric names that one plugin may make: none can take another's.
const MAX_PLUGIN_METRICS: usize = 200;

/// A plugin's metric.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PluginMetric {
    /// Sum of `increment`, or number of `observe` calls.
    pub count: u64,
    /// Sum of the observed values; `None` where none was observed: a counter.
    pub sum: Option<f64>,
}

type Table = BTreeMap<(String, String), PluginMetric>;

static PLUGIN_METRICS: Mutex<Table> = Mutex::new(Table::new());

fn update(plugin: &str, name: String, change: impl FnOnce(&mut PluginMetric)) {
    let valid = !name.is_empty()
        && name.len() <= 64
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if !valid {
        return;
    }
    let mut table = PLUGIN_METRICS
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let key = (plugin.to_owned(), name);
    if !table.contains_key(&key) {
        let first = (plugin.to_owned(), String::new());
        let own = table
            .range(first..)
            .take_while(|((other, _), _)| other == plugin);
        if own.count() >= MAX_PLUGIN_METRICS {
            return;
        }
    }
    change(table.entry(key).or_default());
}

/// `metrics.increment` of a plugin. Names that are not `[a-z0-9_]+` are ignored.
pub fn plugin_increment(plugin: &str, name: String, by: u64) {
    update(plugin, name, |metric| {
        metric.count = metric.count.saturating_add(by);
    });
}

/// `metrics.observe` of a plugin.
pub fn plugin_observe(plugin: &str, name: String, value: f64) {
    if value.is_finite() {
        update(plugin, name, |metric| {
            metric.count = metric.count.saturating_add(1);
            metric.sum = Some(metric.sum.unwrap_or_default() + value);
        });
    }
}

/// A plugin's metric as it stands.
pub fn plugin_metric(plugin: &str, name: &str) -> Option<PluginMetric> {
    let table = PLUGIN_METRICS
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    table.get(&(plugin.to_owned(), name.to_owned())).copied()
}

/// All metrics of plugins, by plugin and name.
pub fn plugin_metrics() -> Vec<((String, String), PluginMetric)> {
    let table = PLUGIN_METRICS
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    table
        .iter()
        .map(|(key, metric)| (key.clone(), *metric))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_routes_counts_are_added_up_over_workers_and_configurations() {
        let metrics = Metrics::new(2);
        let name: Arc<str> = "r".into();
        for (worker, status, milliseconds) in
            [(0, 200, 1), (1, 204, 2), (1, 503, 20_000), (7, 200, 1)]
        {
            metrics.route(&name).finished(&Finished {
                worker,
                status,
                aborted: status == 503,
                bytes: 10,
                duration: Duration::from_millis(milliseconds),
            });
        }
        let routes = metrics.routes();
        let totals = &routes[0].1;
        assert_eq!(totals.statuses, [0, 2, 0, 0, 1]);
        assert_eq!((totals.aborted, totals.bytes), (1, 30));
        assert_eq!(totals.durations[0], 1);
        assert_eq!(totals.durations[1], 2);
        assert_eq!(totals.durations[BOUNDS.len() - 1], 2);
        assert_eq!(totals.durations[BOUNDS.len()], 3);
        assert_eq!(totals.time, Duration::from_millis(20_003));
        metrics.failed("dns_error");
        metrics.failed("dns_error");
        assert_eq!(metrics.failures()["dns_error"], 2);
    }

    #[test]
    fn counts_by_plugin_and_ignores_bad_names() {
        plugin_increment("metrics-test", "hits".into(), 2);
        plugin_increment("metrics-test", "hits".into(), 3);
        plugin_observe("metrics-test", "size".into(), 1.5);
        plugin_observe("metrics-test", "size".into(), f64::NAN);
        plugin_increment("metrics-test", "no spaces".into(), 1);
        assert_eq!(plugin_metric("metrics-test", "hits").unwrap().count, 5);
        let size = plugin_metric("metrics-test", "size").unwrap();
        assert_eq!((size.count, size.sum), (1, Some(1.5)));
        assert_eq!(plugin_metric("metrics-test", "no spaces"), None);
    }
}
