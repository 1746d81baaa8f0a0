//! The host's side of `log`: lines in the gateway's own log.
//!
//! A plugin has its share of lines (see [`Counts`]), over all its workers and instances, together with what it
//! writes to its standard output. What is beyond that is left out, and a line says how many they were.

use std::sync::Arc;

use super::bindings::sluicegate::plugin::log::{Host, Level};
use super::host_hub::Caller;
use super::registry::{Counts, Layer};
use super::state::State;

/// Longer lines are cut.
const MAX_BYTES: usize = 8 * 1024;

/// A plugin's own lines in the log.
#[derive(Debug, Clone)]
pub struct Output {
    /// The plugin's name.
    pub plugin: Arc<str>,
    counts: Arc<Counts>,
}

impl Output {
    /// Of this layer's plugin.
    pub fn new(layer: &Layer) -> Self {
        Self {
            plugin: Arc::clone(&layer.name),
            counts: Arc::clone(&layer.counts),
        }
    }

    /// Whether a line may be written now. Says what was left out before it.
    pub fn admits_line(&self) -> bool {
        let Some(left_out) = self.counts.lines.admit() else {
            return false;
        };
        if left_out > 0 {
            let plugin = &*self.plugin;
            tracing::warn!(target: "plugin", plugin, "{left_out} lines of its own were left out");
        }
        true
    }
}

impl Host for State {
    fn enabled(&mut self, level: Level) -> bool {
        match level {
            Level::Trace => tracing::enabled!(target: "plugin", tracing::Level::TRACE),
            Level::Debug => tracing::enabled!(target: "plugin", tracing::Level::DEBUG),
            Level::Info => tracing::enabled!(target: "plugin", tracing::Level::INFO),
            Level::Warn => tracing::enabled!(target: "plugin", tracing::Level::WARN),
            Level::Error => tracing::enabled!(target: "plugin", tracing::Level::ERROR),
        }
    }

    fn write(&mut self, level: Level, message: String) {
        if !self.enabled(level) || !self.output.admits_line() {
            return;
        }
        let message = printable(&message);
        let plugin = &*self.output.plugin;
        if let Some(caller) = &self.caller {
            return write_of_hub(plugin, caller, level, &message);
        }
        let request_id = self.exchange.request_id.to_str().unwrap_or("-");
        match level {
            Level::Trace => tracing::trace!(target: "plugin", plugin, request_id, "{message}"),
            Level::Debug => tracing::debug!(target: "plugin", plugin, request_id, "{message}"),
            Level::Info => tracing::info!(target: "plugin", plugin, request_id, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, request_id, "{message}"),
            Level::Error => tracing::error!(target: "plugin", plugin, request_id, "{message}"),
        }
    }
}

/// A line that is about a connection of a hub, whose request is long over.
fn write_of_hub(plugin: &str, caller: &Caller, level: Level, message: &str) {
    let (hub, client) = (&*caller.hub, &*caller.client.id);
    match level {
        Level::Trace => tracing::trace!(target: "plugin", plugin, hub, client, "{message}"),
        Level::Debug => tracing::debug!(target: "plugin", plugin, hub, client, "{message}"),
        Level::Info => tracing::info!(target: "plugin", plugin, hub, client, "{message}"),
        Level::Warn => tracing::warn!(target: "plugin", plugin, hub, client, "{message}"),
        Level::Error => tracing::error!(target: "plugin", plugin, hub, client, "{message}"),
    }
}

/// Cut, and with control characters escaped: a plugin that logs what a client sent must not let
/// the client write lines of its own, or commands to a terminal.
pub fn printable(message: &str) -> String {
    printable_up_to(message, MAX_BYTES)
}

/// As [`printable`], for what has several lines. All of them together are cut.
pub fn printable_lines(text: &str) -> String {
    let mut printed = String::new();
    for line in text.lines() {
        if printed.len() >= MAX_BYTES {
            break;
        }
        if !printed.is_empty() {
            printed.push('\n');
        }
        printed.push_str(&printable_up_to(line, MAX_BYTES - printed.len()));
    }
    printed
}

fn printable_up_to(message: &str, most: usize) -> String {
    let mut text = String::with_capacity(message.len().min(most));
    for character in message.chars() {
        let escaped = character.is_control().then(|| character.escape_default());
        let length = escaped
            .as_ref()
            .map_or(character.len_utf8(), ExactSizeIterator::len);
        if text.len() + length > most {
            text.push('…');
            break;
        }
        match escaped {
            Some(escaped) => text.extend(escaped),
            None => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(
            printable("a\r\nb\u{1b}[2J\u{85}é"),
            "a\\r\\nb\\u{1b}[2J\\u{85}é"
        );
        for long in ["é", "\u{1b}", "\r\n", "a"] {
            let long = long.repeat(MAX_BYTES);
            for cut in [printable(&long), printable_lines(&long)] {
                assert!(cut.len() <= MAX_BYTES + '…'.len_utf8(), "{}", cut.len());
            }
            assert!(printable(&long).ends_with('…') || long.len() <= MAX_BYTES);
        }
        assert_eq!(printable_lines("a\nb\x07\r\n\nc"), "a\nb\\u{7}\n\nc");
    }
}
