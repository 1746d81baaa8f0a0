//! The host's side of `metrics`.

use super::bindings::sluicegate::plugin::metrics::Host;
use super::state::State;
use crate::observe::metrics;

impl Host for State {
    fn increment(&mut self, name: String, by: u64) {
        metrics::plugin_increment(&self.output.plugin, name, by);
    }

    fn observe(&mut self, name: String, value: f64) {
        metrics::plugin_observe(&self.output.plugin, name, value);
    }
}
