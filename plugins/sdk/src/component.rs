//! Between the generated bindings and the traits of [`crate::plugin`]: what [`export!`](crate::export) uses.
//! Nothing here is part of the SDK's promise.

use crate::bindings::director_hook::exports::sluicegate::plugin::director;
use crate::bindings::hub_hook::exports::sluicegate::plugin::hub;
use crate::bindings::lifecycle_hook::exports::sluicegate::plugin::lifecycle;
use crate::bindings::modifier_hook::exports::sluicegate::plugin::modifier;
use crate::bindings::request_body_hook::exports::sluicegate::plugin::request_body;
use crate::bindings::response_body_hook::exports::sluicegate::plugin::response_body;
use crate::bindings::sluicegate::plugin::subscription;
use crate::error::{Error, describe};
use crate::hub::{Action, Admission, Client, Hub, Message};
use crate::plugin::{
    BodyKind, Change, Direction, Director, Hook, Modifier, Plan, Plugin, Request, RequestBody,
    Response, ResponseBody, Transform, Verdict,
};
use std::cell::{OnceCell, RefCell};
use std::marker::PhantomData;

/// Where an instance keeps its configured plugin: one cell for each exported plugin type.
pub trait Slot: 'static {
    /// What is kept there.
    type Plugin: Plugin;
    /// The hooks that are exported: those of each interface.
    const HOOKS: &'static [&'static [Hook]];
    /// Lends the cell.
    fn with<R>(use_it: impl FnOnce(&OnceCell<Self::Plugin>) -> R) -> R;
}

/// Implements the hooks of the bindings with the plugin in the slot.
pub struct Adapter<S>(PhantomData<S>);

impl<S: Slot> Adapter<S> {
    fn configured<R>(hook: impl FnOnce(&S::Plugin) -> Result<R, Error>) -> Result<R, String> {
        S::with(|cell| match cell.get() {
            Some(plugin) => hook(plugin).map_err(|error| describe(error.as_ref())),
            None => Err("called before configure".to_owned()),
        })
    }
}

impl<S: Slot> lifecycle::Guest for Adapter<S> {
    fn configure(config: String) -> Result<(), String> {
        let config = crate::config::parse(&config)?;
        let plugin = S::Plugin::new(config).map_err(|error| describe(error.as_ref()))?;
        for hook in S::HOOKS.iter().copied().flatten() {
            let name = match hook {
                Hook::Director => subscription::Hook::Director,
                Hook::RequestBody => subscription::Hook::RequestBody,
                Hook::Modifier => subscription::Hook::Modifier,
                Hook::ResponseBody => subscription::Hook::ResponseBody,
                Hook::HubConnect => subscription::Hook::HubConnect,
                Hook::HubMessage => subscription::Hook::HubMessage,
                Hook::HubDisconnect => subscription::Hook::HubDisconnect,
            };
            if !plugin.needs(*hook) {
                subscription::skip(name);
            } else if let Some(interest) = plugin.interest(*hook) {
                subscription::collect(name, &interest.types, interest.limit)?;
            }
        }
        S::with(|cell| cell.set(plugin)).map_err(|_| "configured twice".to_owned())
    }
}

impl<S: Slot> director::Guest for Adapter<S>
where
    S::Plugin: Director,
{
    fn direct(request: &Request) -> Result<Direction, String> {
        Self::configured(|plugin| plugin.direct(request))
    }
}

impl<S: Slot> modifier::Guest for Adapter<S>
where
    S::Plugin: Modifier,
{
    fn modify(request: &Request, response: &Response) -> Result<Change, String> {
        Self::configured(|plugin| plugin.modify(request, response))
    }
}

impl<S: Slot> request_body::Guest for Adapter<S>
where
    S::Plugin: RequestBody,
{
    type Transform = Running;

    fn open(request: &Request, body: BodyKind) -> Result<request_body::Plan, String> {
        Ok(
            match Self::configured(|plugin| plugin.open(request, body))? {
                Plan::Pass => request_body::Plan::Pass,
                Plan::Collect(limit) => request_body::Plan::Collect(limit),
                Plan::Stream(transform) => request_body::Plan::Stream(
                    request_body::Transform::new(Running::new(transform)),
                ),
            },
        )
    }

    fn receive(request: &Request, body: Vec<u8>) -> Result<request_body::Verdict, String> {
        Ok(
            match Self::configured(|plugin| plugin.receive(request, body))? {
                Verdict::Unchanged => request_body::Verdict::Unchanged,
                Verdict::Replace(body) => request_body::Verdict::Replace(body),
                Verdict::Reply(reply) => request_body::Verdict::Reply(reply),
            },
        )
    }
}

impl<S: Slot> response_body::Guest for Adapter<S>
where
    S::Plugin: ResponseBody,
{
    type Transform = Running;

    fn open(
        request: &Request,
        response: &Response,
        body: BodyKind,
    ) -> Result<response_body::Plan, String> {
        Ok(
            match Self::configured(|plugin| plugin.open(request, response, body))? {
                Plan::Pass => response_body::Plan::Pass,
                Plan::Collect(limit) => response_body::Plan::Collect(limit),
                Plan::Stream(transform) => response_body::Plan::Stream(
                    response_body::Transform::new(Running::new(transform)),
                ),
            },
        )
    }

    fn receive(
        request: &Request,
        response: &Response,
        body: Vec<u8>,
    ) -> Result<response_body::Verdict, String> {
        Ok(
            match Self::configured(|plugin| plugin.receive(request, response, body))? {
                Verdict::Unchanged => response_body::Verdict::Unchanged,
                Verdict::Replace(body) => response_body::Verdict::Replace(body),
                Verdict::Reply(reply) => response_body::Verdict::Reply(reply),
            },
        )
    }
}

impl<S: Slot> hub::Guest for Adapter<S>
where
    S::Plugin: Hub,
{
    fn on_connect(request: &Request) -> Result<Admission, String> {
        Self::configured(|plugin| plugin.connect(request))
    }

    fn on_message(client: &Client, message: Message) -> Result<Vec<Action>, String> {
        Self::configured(|plugin| plugin.message(client, message))
    }

    fn on_disconnect(client: &Client, code: u16, reason: String) -> Result<Vec<Action>, String> {
        Self::configured(|plugin| plugin.disconnect(client, code, &reason))
    }
}

/// A transform that the gateway holds a handle of. The bindings give out shared references only.
pub struct Running(RefCell<Box<dyn Transform>>);

impl Running {
    fn new(transform: Box<dyn Transform>) -> Self {
        Self(RefCell::new(transform))
    }

    fn run(
        &self,
        step: impl FnOnce(&mut dyn Transform) -> Result<Vec<u8>, Error>,
    ) -> Result<Vec<u8>, String> {
        let mut transform = self
            .0
            .try_borrow_mut()
            .map_err(|_| "a transform was called from within itself".to_owned())?;
        step(transform.as_mut()).map_err(|error| describe(error.as_ref()))
    }
}

impl request_body::GuestTransform for Running {
    fn push(&self, chunk: Vec<u8>) -> Result<Vec<u8>, String> {
        self.run(|transform| transform.push(chunk))
    }
    fn finish(&self) -> Result<Vec<u8>, String> {
        self.run(|transform| transform.finish())
    }
}

impl response_body::GuestTransform for Running {
    fn push(&self, chunk: Vec<u8>) -> Result<Vec<u8>, String> {
        self.run(|transform| transform.push(chunk))
    }
    fn finish(&self) -> Result<Vec<u8>, String> {
        self.run(|transform| transform.finish())
    }
}

/// Makes a component of a plugin: `export!(Hello: Director, Modifier);`
///
/// The hooks that are named ([`Director`](crate::Director), [`RequestBody`](crate::RequestBody),
/// [`Modifier`](crate::Modifier), [`ResponseBody`](crate::ResponseBody), [`Hub`](crate::Hub)) are exported, and exporting is subscribing:
/// the gateway never calls, buffers or copies for a hook that is not there, nor for one that
/// [`Plugin::needs`](crate::Plugin::needs) declines. The lifecycle is always exported.
///
/// On other targets than wasm it only checks the types, so that `cargo test` runs natively.
#[macro_export]
macro_rules! export {
    ($plugin:ty: $($hook:ident),+ $(,)?) => {
        const _: () = {
            ::std::thread_local! {
                static CONFIGURED: ::std::cell::OnceCell<$plugin> = const { ::std::cell::OnceCell::new() };
            }
            enum Slot {}
            impl $crate::component::Slot for Slot {
                type Plugin = $plugin;
                const HOOKS: &'static [&'static [$crate::Hook]] = &[$($crate::__hooks_of!($hook)),+];
                fn with<R>(use_it: impl FnOnce(&::std::cell::OnceCell<$plugin>) -> R) -> R {
                    CONFIGURED.with(use_it)
                }
            }
            type Component = $crate::component::Adapter<Slot>;
            $crate::__export_hook!(Lifecycle, Component, lifecycle_hook, lifecycle, export_lifecycle);
            $($crate::__export_hook!($hook, Component);)+
        };
    };
}

/// What [`Plugin::needs`](crate::Plugin::needs) is asked about for a trait.
#[doc(hidden)]
#[macro_export]
macro_rules! __hooks_of {
    (Hub) => {
        &[
            $crate::Hook::HubConnect,
            $crate::Hook::HubMessage,
            $crate::Hook::HubDisconnect,
        ]
    };
    (Director) => {
        &[$crate::Hook::Director]
    };
    (RequestBody) => {
        &[$crate::Hook::RequestBody]
    };
    (Modifier) => {
        &[$crate::Hook::Modifier]
    };
    (ResponseBody) => {
        &[$crate::Hook::ResponseBody]
    };
    // `__export_hook` says what is wrong.
    ($other:ident) => {
        &[]
    };
}

/// Exports one hook by its trait's name.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    (Director, $component:ident) => {
        $crate::__export_hook!(Director, $component, director_hook, director, export_director);
    };
    (Modifier, $component:ident) => {
        $crate::__export_hook!(Modifier, $component, modifier_hook, modifier, export_modifier);
    };
    (RequestBody, $component:ident) => {
        $crate::__export_hook!(RequestBody, $component, request_body_hook, request_body, export_request_body);
    };
    (ResponseBody, $component:ident) => {
        $crate::__export_hook!(ResponseBody, $component, response_body_hook, response_body, export_response_body);
    };
    (Hub, $component:ident) => {
        $crate::__export_hook!(Hub, $component, hub_hook, hub, export_hub);
    };
    ($other:ident, $component:ident) => {
        ::std::compile_error!(::std::concat!(
            "no hook is called ", ::std::stringify!($other),
            "; there are Director, RequestBody, Modifier, ResponseBody and Hub"
        ));
    };
    ($hook:ident, $component:ident, $world:ident, $interface:ident, $export:ident) => {
        #[cfg(target_family = "wasm")]
        $crate::bindings::$world::$export!($component with_types_in $crate::bindings::$world);
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            // The names of a component's exports are not symbols that a native linker takes.
            const fn implements<T: $crate::bindings::$world::exports::sluicegate::plugin::$interface::Guest>() {}
            implements::<$component>();
        };
    };
}
