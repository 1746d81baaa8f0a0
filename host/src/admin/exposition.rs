//! What is counted, in Prometheus' text format (version 0.0.4).

use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering;

use super::Subject;
use crate::hub::directory::Directory;
use crate::observe::metrics::{self, BOUNDS};
use crate::upstream::target::Upstream;

/// A text in the making.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Begins a family. `kind` is `counter`, `gauge` or `histogram`.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (number, (label, text)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"");
            for character in text.chars() {
                match character {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    character => self.0.push(character),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

pub(super) fn text(subject: &Subject) -> String {
    let mut text = Text::default();
    requests(&mut text, subject);
    upstreams(&mut text, subject);
    plugins(&mut text, subject);
    hubs(&mut text, subject);
    process(&mut text, subject);
    text.0
}

fn requests(text: &mut Text, subject: &Subject) {
    let snapshot = subject.running.snapshot();
    let Some(metrics) = &snapshot.metrics else {
        return;
    };
    let routes = metrics.routes();
    let name = "sluicegate_requests_total";
    text.family(name, "counter", "Responses, by route and class of status.");
    for (route, totals) in &routes {
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        for (class, count) in classes.iter().zip(totals.statuses) {
            text.sample(name, &[("route", route), ("code", class)], count);
        }
    }
    text.single(
        "sluicegate_tunnels",
        "gauge",
        "Upgraded connections (WebSockets) between clients and targets.",
        metrics.open_tunnels(),
    );
    let name = "sluicegate_responses_aborted_total";
    text.family(
        name,
        "counter",
        "Responses that broke off, or whose client went away.",
    );
    for (route, totals) in &routes {
        text.sample(name, &[("route", route)], totals.aborted);
    }
    let name = "sluicegate_response_body_bytes_total";
    text.family(name, "counter", "Bytes of response bodies.");
    for (route, totals) in &routes {
        text.sample(name, &[("route", route)], totals.bytes);
    }
    let name = "sluicegate_request_duration_seconds";
    text.family(
        name,
        "histogram",
        "From a request's head to the end of its response.",
    );
    for (route, totals) in &routes {
        let bounds = BOUNDS.iter().map(ToString::to_string);
        let bounds = bounds.chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(totals.durations) {
            let labels = [("route", &**route), ("le", &bound)];
            text.sample(&format!("{name}_bucket"), &labels, count);
        }
        let labels = [("route", &**route)];
        let sum = totals.time.as_secs_f64();
        text.sample(&format!("{name}_sum"), &labels, sum);
        let count = totals.durations.last().copied().unwrap_or_default();
        text.sample(&format!("{name}_count"), &labels, count);
    }
    let name = "sluicegate_failures_total";
    text.family(
        name,
        "counter",
        "Answers of the gateway itself, by proxy error type (RFC 9209).",
    );
    for (error, count) in metrics.failures() {
        text.sample(name, &[("error", error)], count);
    }
    let name = "sluicegate_failed_handshakes_total";
    text.family(
        name,
        "counter",
        "Connections that ended before HTTP was spoken: in TLS or the PROXY protocol.",
    );
    for (reason, count) in metrics.failed_handshakes() {
        text.sample(name, &[("reason", reason)], count);
    }
}

fn upstreams(text: &mut Text, subject: &Subject) {
    let snapshot = subject.running.snapshot();
    let mut family =
        |name: &str, kind: &str, help: &str, value: &dyn Fn(&Upstream, usize) -> u64| {
            text.family(name, kind, help);
            for upstream in &snapshot.upstreams {
                for (index, target) in upstream.targets.iter().enumerate() {
                    let way = target.way.to_string();
                    let labels = [("upstream", &*upstream.name), ("target", &way)];
                    text.sample(name, &labels, value(upstream, index));
                }
            }
        };
    family(
        "sluicegate_upstream_in_flight",
        "gauge",
        "Exchanges that are going on with a target.",
        &|upstream, index| {
            let target = upstream.targets.get(index);
            target.map_or(0, |target| u64::from(target.in_flight()))
        },
    );
    family(
        "sluicegate_upstream_available",
        "gauge",
        "Whether a target is neither down nor ejected.",
        &|upstream, index| u64::from(!upstream.is_down(index) && !upstream.is_ejected(index)),
    );
    family(
        "sluicegate_upstream_ejections_total",
        "counter",
        "Times that a target was ejected.",
        &Upstream::ejections,
    );
}

fn plugins(text: &mut Text, subject: &Subject) {
    let snapshot = subject.running.snapshot();
    let counts: Vec<_> = snapshot.registry.counts().collect();
    let name = "sluicegate_plugin_instances";
    text.family(name, "gauge", "Instances of a plugin, over all workers.");
    for (plugin, counts) in &counts {
        let instances = counts.instances.load(Ordering::Relaxed);
        text.sample(name, &[("plugin", plugin)], instances);
    }
    let name = "sluicegate_plugin_instances_made_total";
    text.family(name, "counter", "Instances that were made of a plugin.");
    for (plugin, counts) in &counts {
        let made = counts.made.load(Ordering::Relaxed);
        text.sample(name, &[("plugin", plugin)], made);
    }
    let name = "sluicegate_plugin_failures_total";
    text.family(
        name,
        "counter",
        "Hooks of a plugin that failed, by kind; those that were not called because it rests are among them.",
    );
    for (plugin, counts) in &counts {
        for (kind, failures) in counts.failures.by_kind() {
            text.sample(name, &[("plugin", plugin), ("kind", kind)], failures);
        }
    }
    let name = "sluicegate_plugin_resting";
    let help = "Whether a plugin, in one of its uses, is left alone for a while because it has failed too often.";
    text.family(name, "gauge", help);
    let layers = &snapshot.registry.layers;
    for (plugin, _) in &counts {
        let mut uses = layers.iter().filter(|layer| *layer.name == **plugin);
        let rests = uses.any(|layer| layer.breaker.is_open());
        text.sample(name, &[("plugin", plugin)], u8::from(rests));
    }
    let own = metrics::plugin_metrics();
    let name = "sluicegate_plugin_metric_count";
    text.family(
        name,
        "counter",
        "What plugins count themselves: sums, and numbers of observations.",
    );
    for ((plugin, metric), value) in &own {
        text.sample(name, &[("plugin", plugin), ("metric", metric)], value.count);
    }
    let name = "sluicegate_plugin_metric_sum";
    text.family(name, "counter", "Sums of what plugins observe themselves.");
    for ((plugin, metric), value) in &own {
        if let Some(sum) = value.sum {
            text.sample(name, &[("plugin", plugin), ("metric", metric)], sum);
        }
    }
}

fn hubs(text: &mut Text, subject: &Subject) {
    let snapshot = subject.running.snapshot();
    let mut family = |name: &str, help: &str, value: &dyn Fn(&Directory) -> usize| {
        text.family(name, "gauge", help);
        for hub in &snapshot.hubs {
            let labels = [("hub", &*hub.config.name)];
            text.sample(name, &labels, value(&hub.shared.directory));
        }
    };
    family(
        "sluicegate_hub_connections",
        "Connections of a hub, over all workers.",
        &Directory::connections,
    );
    family(
        "sluicegate_hub_rooms",
        "Rooms that somebody is in.",
        &Directory::rooms,
    );
}

fn process(text: &mut Text, subject: &Subject) {
    let name = "sluicegate_reloads_total";
    text.family(
        name,
        "counter",
        "Times that the configuration was loaded again.",
    );
    let running = &subject.running;
    for (result, count) in [("taken", &running.reloads), ("refused", &running.refusals)] {
        text.sample(name, &[("result", result)], count.load(Ordering::Relaxed));
    }
    text.single(
        "sluicegate_connections",
        "gauge",
        "Open client connections, and exchanges of HTTP/2 beyond the first of each.",
        subject.connections.load(Ordering::Relaxed),
    );
    if let Some(bytes) = resident_bytes() {
        text.single(
            "process_resident_memory_bytes",
            "gauge",
            "Memory of the process.",
            bytes,
        );
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        text.single(
            "process_open_fds",
            "gauge",
            "Open file descriptors of the process.",
            files.count(),
        );
    }
}

/// From `/proc/self/status` (proc(5)), in bytes.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.single("a", "gauge", "A.", 1);
        text.sample("b", &[("x", "a\"b\\c\nd"), ("y", "")], 2.5);
        assert_eq!(
            text.0,
            "# HELP a A.\n# TYPE a gauge\na 1\nb{x=\"a\\\"b\\\\c\\nd\",y=\"\"} 2.5\n"
        );
    }
}
