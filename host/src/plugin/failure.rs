//! How a hook can fail. All of it is for the log: the client learns that a plugin failed.

use std::error::Error;
use std::sync::Arc;

use wasmtime::Trap;

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
        }
    }
}

/// Why a hook failed.
#[derive(Debug, thiserror::Error)]
pub enum HookFailure {
    /// The guest returned an error: its own words.
    #[error("the plugin says: {0}")]
    Guest(String),
    /// It computed for longer than `limits.time`.
    #[error("it ran for longer than its time limit")]
    Deadline,
    /// It trapped; the text holds wasmtime's reason and the guest's stack.
    #[error("it trapped: {0}")]
    Trap(String),
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
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => Self::Deadline,
            _ => Self::Trap(format!("{error:?}")),
        }
    }

    /// Whether it says that something is wrong with the plugin itself: see [`super::breaker`].
    pub fn counts_against_plugin(&self) -> bool {
        matches!(self, Self::Deadline | Self::Trap(_) | Self::NoInstance(_))
    }

    /// Whether the instance may be used again. After a trap its memory may hold anything.
    pub fn spares_instance(&self) -> bool {
        matches!(
            self,
            Self::Guest(_) | Self::BodyTooLarge(_) | Self::BadAnswer(_)
        )
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
