//! The host's side of `log`: lines in the gateway's own log.

use super::bindings::sluicegate::plugin::log::{Host, Level};
use super::state::State;

/// Longer lines are cut.
const MAX_BYTES: usize = 8 * 1024;

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
        let message = printable(&message);
        let plugin = &*self.plugin;
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

/// Cut, and with control characters escaped: a plugin that logs what a client sent must not let
/// the client write lines of its own, or commands to a terminal.
pub fn printable(message: &str) -> String {
    let mut end = message.len().min(MAX_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let (kept, cut) = message.split_at_checked(end).unwrap_or((message, ""));
    let mut text = String::with_capacity(kept.len());
    for character in kept.chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    if !cut.is_empty() {
        text.push('…');
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
        let long = "é".repeat(MAX_BYTES);
        let cut = printable(&long);
        assert!(cut.ends_with('…') && cut.len() <= MAX_BYTES + '…'.len_utf8());
    }
}
