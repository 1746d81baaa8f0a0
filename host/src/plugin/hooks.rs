//! Which hooks of a plugin are called: those that its component exports, less those that it says its
//! configuration does not need.

use super::bindings::sluicegate::plugin::subscription::{Hook, Host};
use super::interest::Interest;
use super::state::State;

/// A set of hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools)] // one for each hook of the contract
pub struct Hooks {
    /// `director`
    pub director: bool,
    /// `request-body`
    pub request_body: bool,
    /// `modifier`
    pub modifier: bool,
    /// `response-body`
    pub response_body: bool,
}

impl Hooks {
    /// Those that are not in `skipped`.
    #[must_use]
    pub fn without(self, skipped: Self) -> Self {
        Self {
            director: self.director && !skipped.director,
            request_body: self.request_body && !skipped.request_body,
            modifier: self.modifier && !skipped.modifier,
            response_body: self.response_body && !skipped.response_body,
        }
    }

    /// Their names in the contract.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [
            (self.director, "director"),
            (self.request_body, "request-body"),
            (self.modifier, "modifier"),
            (self.response_body, "response-body"),
        ]
        .into_iter()
        .filter_map(|(there, name)| there.then_some(name))
    }
}

impl Host for State {
    fn skip(&mut self, hook: Hook) {
        match hook {
            Hook::Director => self.skipped.director = true,
            Hook::RequestBody => self.skipped.request_body = true,
            Hook::Modifier => self.skipped.modifier = true,
            Hook::ResponseBody => self.skipped.response_body = true,
        }
    }

    fn collect(&mut self, hook: Hook, types: Vec<String>, limit: u64) -> Result<(), String> {
        let interest = match hook {
            Hook::RequestBody => &mut self.interests.request,
            Hook::ResponseBody => &mut self.interests.response,
            Hook::Director | Hook::Modifier => {
                return Err("a hook of a head has no bodies to collect".to_owned());
            }
        };
        *interest = Some(Interest::new(&types, limit)?);
        Ok(())
    }
}
