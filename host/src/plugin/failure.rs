//! How a hook can fail. All of it is for the log: the client learns that a plugin failed.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use wasmtime::{Trap, WasmBacktrace};

use super::host_log::{printable, printable_lines};
use super::registry::Layer;
use crate::exchange::Failure;

/// The hooks, named as in the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// `lifecycle.configure`
    Configure,
    /// `director.direct`
    Direct,
    /// `request-body`: `open`, `receive` and the transform
    RequestBody,
    /// `modifier.modify`
    Modify,
    /// `response-body`: `open`, `receive` and the transform
    ResponseBody,
    /// `hub.on-connect`
    HubConnect,
    /// `hub.on-message`
    HubMessage,
    /// `hub.on-disconnect`
    HubDisconnect,
}

impl Hook {
    /// As the contract calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Direct => "direct",
            Self::RequestBody => "request-body",
            Self::Modify => "modify",
            Self::ResponseBody => "response-body",
            Self::HubConnect => "on-connect",
            Self::HubMessage => "on-message",
            Self::HubDisconnect => "on-disconnect",
        }
    }
}

/// Why a hook failed.
#[derive(Debug, thiserror::Error)]
pub enum HookFailure {
    /// The guest returned an error: its own words, made [`printable`].
    #[error("the plugin says: {0}")]
    Guest(String),
    /// It computed for longer than `limits.time`.
    #[error("it ran for longer than its time limit")]
    Deadline {
        /// Where it was; may be empty.
        stack: String,
    },
    /// It trapped.
    #[error("it trapped: {reason}")]
    Trap {
        /// What kind of trap.
        reason: String,
        /// Where it was; may be empty.
        stack: String,
    },
    /// No instance could be made.
    #[error("no instance: {0}")]
    NoInstance(String),
    /// It has failed too often, and is not called for a while.
    #[error("it is not called for a while, after too many failures")]
    Resting,
    /// All instances that `limits.instances` allows are in use.
    #[error("all its instances are in use")]
    Exhausted,
    /// A body was larger than the plugin's `collect` allows.
    #[error("the body is larger than the {0} bytes that it collects")]
    BodyTooLarge(u64),
    /// An answer of the guest's that can't be used.
    #[error("it gave an unusable answer: {0}")]
    BadAnswer(String),
}

impl HookFailure {
    /// A failed call of a typed function.
    pub fn from_call(error: &wasmtime::Error) -> Self {
        let stack = error
            .downcast_ref::<WasmBacktrace>()
            .map_or_else(String::new, |stack| printable_lines(&stack.to_string()));
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => Self::Deadline { stack },
            _ => Self::Trap {
                reason: printable(&error.root_cause().to_string()),
                stack,
            },
        }
    }

    /// The guest's own words.
    pub fn from_guest(text: &str) -> Self {
        Self::Guest(printable(text))
    }

    /// The guest's own words about its configuration, which are shown to whoever wrote that: lines stay lines.
    pub fn from_configure(text: &str) -> Self {
        Self::Guest(printable_lines(text))
    }

    /// Where the guest was when it was stopped.
    fn stack(&self) -> Option<&str> {
        match self {
            Self::Deadline { stack } | Self::Trap { stack, .. } if !stack.is_empty() => Some(stack),
            _ => None,
        }
    }

    /// Whether it says that something is wrong with the plugin itself: see [`super::breaker`].
    pub fn counts_against_plugin(&self) -> bool {
        matches!(
            self,
            Self::Deadline { .. } | Self::Trap { .. } | Self::NoInstance(_)
        )
    }

    /// The computing time that it has cost a worker whose hooks have `limit`, as far as that is worth a look: what failed
    /// otherwise failed early.
    pub fn cost(&self, limit: Duration) -> Duration {
        match self {
            // See `deadline`.
            Self::Deadline { .. } => limit + limit / 2,
            _ => Duration::ZERO,
        }
    }

    /// The kind of failure, as metrics call it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Guest(_) => "error",
            Self::Deadline { .. } => "deadline",
            Self::Trap { .. } => "trap",
            Self::NoInstance(_) => "no-instance",
            Self::Resting => "resting",
            Self::Exhausted => "exhausted",
            Self::BodyTooLarge(_) => "body-too-large",
            Self::BadAnswer(_) => "bad-answer",
        }
    }

    /// Whether the instance may be used again. After a trap its memory may hold anything.
    pub fn spares_instance(&self) -> bool {
        matches!(
            self,
            Self::Guest(_) | Self::BodyTooLarge(_) | Self::BadAnswer(_)
        )
    }
}

/// Failed hooks of a plugin, by [`HookFailure::kind`].
#[derive(Debug, Default)]
pub struct Failures(Mutex<BTreeMap<&'static str, u64>>);

impl Failures {
    fn count(&self, failure: &HookFailure) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(failure.kind()).or_default() += 1;
    }

    /// How many of each kind that there was.
    pub fn by_kind(&self) -> BTreeMap<&'static str, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.by_kind().values().sum()
    }
}

/// Counts a failed hook; whether there is room for it in the log.
fn count(layer: &Layer, failure: &HookFailure) -> bool {
    layer.counts.failures.count(failure);
    let Some(left_out) = layer.counts.failure_lines.admit() else {
        return false;
    };
    if left_out > 0 {
        let plugin = &*layer.name;
        tracing::warn!(plugin, "{left_out} lines about its failures were left out");
    }
    true
}

/// Counts a failed hook and writes it to the log, as far as the plugin's share of lines goes.
pub fn report(layer: &Layer, hook: Hook, request_id: &HeaderValue, failure: &HookFailure) {
    if !count(layer, failure) {
        return;
    }
    let (plugin, hook) = (&*layer.name, hook.name());
    let request_id = request_id.to_str().unwrap_or("-");
    tracing::error!(plugin, hook, request_id, "plugin failed: {failure}");
    if let Some(stack) = failure.stack() {
        tracing::debug!(plugin, hook, request_id, "{stack}");
    }
}

/// As [`report`], of a connection of a hub, whose request is long over.
pub fn report_of_hub(layer: &Layer, hook: Hook, hub: &str, client: &str, failure: &HookFailure) {
    if !count(layer, failure) {
        return;
    }
    let (plugin, hook) = (&*layer.name, hook.name());
    tracing::error!(plugin, hook, hub, client, "plugin failed: {failure}");
    if let Some(stack) = failure.stack() {
        tracing::debug!(plugin, hook, hub, client, "{stack}");
    }
}

/// What ends a body whose plugin failed in it. The plugin's own words are in the log by then.
#[derive(Debug, thiserror::Error)]
#[error("{0} failed within a body")]
pub struct BrokeBody(pub Arc<str>);

impl BrokeBody {
    /// The plugin's failure, if it is what broke a body off.
    pub fn cause(error: &(dyn Error + 'static)) -> Option<Failure> {
        let broke = error.downcast_ref::<Self>()?;
        Some(Failure::Plugin(broke.to_string()))
    }
}
