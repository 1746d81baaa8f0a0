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
    /// `hub.on-connect`
    pub hub_connect: bool,
    /// `hub.on-message`
    pub hub_message: bool,
    /// `hub.on-disconnect`
    pub hub_disconnect: bool,
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
            hub_connect: self.hub_connect && !skipped.hub_connect,
            hub_message: self.hub_message && !skipped.hub_message,
            hub_disconnect: self.hub_disconnect && !skipped.hub_disconnect,
        }
    }

    /// Whether there is one for the exchanges of routes.
    pub fn is_for_routes(self) -> bool {
        self.director || self.request_body || self.modifier || self.response_body
    }

    /// Whether there is one for the connections of hubs.
    pub fn is_for_hubs(self) -> bool {
        self.hub_connect || self.hub_message || self.hub_disconnect
    }

    /// The names of their interfaces in the contract.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [
            (self.director, "director"),
            (self.request_body, "request-body"),
            (self.modifier, "modifier"),
            (self.response_body, "response-body"),
            (self.is_for_hubs(), "hub"),
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
            Hook::HubConnect => self.skipped.hub_connect = true,
            Hook::HubMessage => self.skipped.hub_message = true,
            Hook::HubDisconnect => self.skipped.hub_disconnect = true,
        }
    }

    fn collect(&mut self, hook: Hook, types: Vec<String>, limit: u64) -> Result<(), String> {
        let interest = match hook {
            Hook::RequestBody => &mut self.interests.request,
            Hook::ResponseBody => &mut self.interests.response,
            _ => return Err("this hook has no bodies to collect".to_owned()),
        };
        *interest = Some(Interest::new(&types, limit)?);
        Ok(())
    }
}
