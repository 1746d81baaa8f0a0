//! Calls of a hub's hooks. What they see of a connection is a few reference counts, which stay in the store for the time of
//! the call.

use wasmtime::component::Resource;

use super::{Action, Admission, Instance, not_exported, request};
use crate::exchange::Exchange;
use crate::plugin::bindings::ClientHandle;
use crate::plugin::bindings::sluicegate::plugin::hub_types::Message;
use crate::plugin::failure::HookFailure;
use crate::plugin::host_hub::Caller;

fn client() -> Resource<ClientHandle> {
    Resource::new_borrow(2)
}

impl Instance {
    /// `hub.on-connect`
    ///
    /// # Errors
    /// See [`HookFailure`].
    pub fn connect(&mut self, exchange: &mut Box<Exchange>) -> Result<Admission, HookFailure> {
        self.call(exchange, |this| match &this.hub {
            Some(guest) => guest.call_on_connect(&mut this.store, request()),
            None => Err(not_exported()),
        })
    }

    /// `hub.on-message`
    ///
    /// # Errors
    /// See [`HookFailure`].
    pub fn message(
        &mut self,
        caller: Caller,
        message: &Message,
    ) -> Result<Vec<Action>, HookFailure> {
        self.call_of_hub(caller, |this| match &this.hub {
            Some(guest) => guest.call_on_message(&mut this.store, client(), message),
            None => Err(not_exported()),
        })
    }

    /// `hub.on-disconnect`
    ///
    /// # Errors
    /// See [`HookFailure`].
    pub fn disconnect(
        &mut self,
        caller: Caller,
        code: u16,
        reason: &str,
    ) -> Result<Vec<Action>, HookFailure> {
        self.call_of_hub(caller, |this| match &this.hub {
            Some(guest) => guest.call_on_disconnect(&mut this.store, client(), code, reason),
            None => Err(not_exported()),
        })
    }

    /// Calls the guest with a hub's connection inside of its store.
    fn call_of_hub<T>(
        &mut self,
        caller: Caller,
        hook: impl FnOnce(&mut Self) -> wasmtime::Result<Result<T, String>>,
    ) -> Result<T, HookFailure> {
        self.store.data_mut().caller = Some(caller);
        let result = self.call_without_exchange(hook);
        self.store.data_mut().caller = None;
        result
    }
}
