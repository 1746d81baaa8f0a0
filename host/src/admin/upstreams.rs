//! The upstreams and the state of their targets.

use serde_json::{Value, json};

use crate::server::reload::Running;

pub(super) fn list(running: &Running) -> Value {
    let snapshot = running.snapshot();
    let upstreams = snapshot.upstreams.iter().map(|upstream| {
        let targets = upstream.targets.iter().enumerate().map(|(index, target)| {
            json!({
                "target": target.way.to_string(),
                "in_flight": target.in_flight(),
                "down": upstream.is_down(index),
                "ejected": upstream.is_ejected(index),
                "warming_up": upstream.is_warming_up(index),
                "ejections": upstream.ejections(index),
            })
        });
        let targets: Vec<Value> = targets.collect();
        json!({ "name": &*upstream.name, "targets": targets })
    });
    Value::Array(upstreams.collect())
}
