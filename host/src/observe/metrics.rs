//! Counters. Relaxed atomics: they are read now and then, and never decide anything.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Distinct metric names that plugins may make, all together.
const MAX_PLUGIN_METRICS: usize = 1000;

/// A plugin's metric.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PluginMetric {
    /// Sum of `increment`, or number of `observe` calls.
    pub count: u64,
    /// Sum of the observed values.
    pub sum: f64,
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
    let full = table.len() >= MAX_PLUGIN_METRICS;
    let key = (plugin.to_owned(), name);
    if full && !table.contains_key(&key) {
        return;
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
            metric.sum += value;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_plugin_and_ignores_bad_names() {
        plugin_increment("metrics-test", "hits".into(), 2);
        plugin_increment("metrics-test", "hits".into(), 3);
        plugin_observe("metrics-test", "size".into(), 1.5);
        plugin_observe("metrics-test", "size".into(), f64::NAN);
        plugin_increment("metrics-test", "no spaces".into(), 1);
        assert_eq!(plugin_metric("metrics-test", "hits").unwrap().count, 5);
        let size = plugin_metric("metrics-test", "size").unwrap();
        assert_eq!((size.count, size.sum), (1, 1.5));
        assert_eq!(plugin_metric("metrics-test", "no spaces"), None);
    }
}
