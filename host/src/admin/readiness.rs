//! Whether the gateway is ready for requests, and why it is not.

use std::sync::atomic::Ordering;

use http::StatusCode;
use serde_json::{Map, json};

use super::Subject;
use super::answer::Answer;
use crate::config::Isolation;

/// Ready is a gateway that is not stopping and could make an instance of every plugin that keeps some, and
/// whose hubs have their backplanes. A plugin that fails
/// later is told about here, and does not take the routes of all others out of service.
pub(super) fn answer(subject: &Subject) -> Answer {
    let mut reasons = Vec::new();
    if subject.running.is_stopping() {
        reasons.push("the gateway is stopping".to_owned());
    }
    let snapshot = subject.running.snapshot();
    let mut plugins = Map::new();
    for layer in &snapshot.registry.layers {
        let instances = layer.counts.instances.load(Ordering::Relaxed);
        let made = layer.counts.made.load(Ordering::Relaxed);
        if made == 0 && layer.isolation == Isolation::Reuse {
            reasons.push(format!(
                "no instance of plugin \"{}\" could be made",
                layer.name
            ));
        }
        let state = json!({
            "instances": instances,
            "resting": layer.breaker.is_open(),
            "failures": layer.counts.failures.total(),
        });
        plugins.insert(layer.name.to_string(), state);
    }
    for hub in &snapshot.hubs {
        if !hub.shared.backplane.is_connected() {
            reasons.push(format!(
                "hub \"{}\" has no connection to its backplane",
                hub.config.name
            ));
        }
    }
    reasons.dedup();
    let status = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({ "ready": reasons.is_empty(), "reasons": reasons, "plugins": plugins });
    Answer::json(&body).with_status(status)
}
