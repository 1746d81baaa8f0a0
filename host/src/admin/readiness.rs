//! Whether the gateway is ready for requests, and why it is not.

use std::sync::atomic::Ordering;

use http::StatusCode;
use serde_json::{Map, json};

use super::Subject;
use super::answer::Answer;
use crate::config::Isolation;

/// Ready is a gateway that is not stopping and has an instance of every plugin that keeps some.
pub(super) fn answer(subject: &Subject) -> Answer {
    let mut reasons = Vec::new();
    if subject.running.is_stopping() {
        reasons.push("the gateway is stopping".to_owned());
    }
    let snapshot = subject.running.snapshot();
    let mut plugins = Map::new();
    for layer in &snapshot.registry.layers {
        let instances = layer.counts.instances.load(Ordering::Relaxed);
        if instances == 0 && layer.isolation == Isolation::Reuse {
            reasons.push(format!("plugin \"{}\" has no instance", layer.name));
        }
        let state = json!({
            "instances": instances,
            "resting": layer.breaker.is_open(),
            "failures": layer.counts.failures.load(Ordering::Relaxed),
        });
        plugins.insert(layer.name.to_string(), state);
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
