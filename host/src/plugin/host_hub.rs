//! The host's side of `hub-types`: the connection that a hub's hook is called for, as a handle.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::Resource;

use super::bindings::ClientHandle;
use super::bindings::sluicegate::plugin::hub_types::{Host, HostClient};
use super::state::State;
use crate::hub::hooks::ClientView;

/// The longest name of a room or a client, in bytes.
pub const MAX_NAME: usize = 128;

/// Whether a plugin may call a room or a client so. A control character in a name would be one in logs.
pub fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Who a hook is called for: reference counts, nothing else.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The hub's name.
    pub hub: Arc<str>,
    /// The connection.
    pub client: ClientView,
    /// What the called plugin keeps with it.
    pub state: Bytes,
}

impl Host for State {}

impl HostClient for State {
    fn id(&mut self, _: Resource<ClientHandle>) -> String {
        self.caller
            .as_ref()
            .map_or_else(String::new, |caller| (*caller.client.id).to_owned())
    }

    fn hub(&mut self, _: Resource<ClientHandle>) -> String {
        self.caller
            .as_ref()
            .map_or_else(String::new, |caller| (*caller.hub).to_owned())
    }

    fn rooms(&mut self, _: Resource<ClientHandle>) -> Vec<String> {
        let rooms = self.caller.as_ref().map(|caller| &caller.client.rooms);
        rooms.map_or_else(Vec::new, |rooms| {
            rooms.iter().map(|room| (**room).to_owned()).collect()
        })
    }

    fn is_in(&mut self, _: Resource<ClientHandle>, room: String) -> bool {
        self.caller
            .as_ref()
            .is_some_and(|caller| caller.client.rooms.iter().any(|one| **one == *room))
    }

    fn state(&mut self, _: Resource<ClientHandle>) -> Vec<u8> {
        self.caller
            .as_ref()
            .map_or_else(Vec::new, |caller| caller.state.to_vec())
    }

    fn drop(&mut self, _: Resource<ClientHandle>) -> wasmtime::Result<()> {
        Ok(())
    }
}
