//! A component that was loaded, checked and compiled: what it exports is what it gets to see.

use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use super::bindings::Full;
use super::bindings::exports::sluicegate::plugin::{
    director, hub, lifecycle, modifier, request_body, response_body,
};
use super::bindings::sluicegate::plugin::{
    http, hub_publish, hub_types, log, metrics, subscription,
};
use super::hooks::Hooks;
use super::state::State;
use super::wasi;

/// A component and where its hooks are.
pub struct Loaded {
    pub(super) pre: InstancePre<State>,
    pub(super) lifecycle: lifecycle::GuestIndices,
    pub(super) director: Option<director::GuestIndices>,
    pub(super) request_body: Option<request_body::GuestIndices>,
    pub(super) modifier: Option<modifier::GuestIndices>,
    pub(super) response_body: Option<response_body::GuestIndices>,
    pub(super) hub: Option<hub::GuestIndices>,
    /// What it imports that has to be granted.
    pub needs: Needs,
}

/// Imports that a configuration has to grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// `hub-publish`
    pub hub_publish: bool,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("hooks", &self.hooks())
            .finish_non_exhaustive()
    }
}

/// Why a component can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A core module, or no WebAssembly at all.
    #[error("this is not a WebAssembly component: {0}")]
    NotAComponent(&'static str),
    /// It is malformed, or uses what the engine does not have.
    #[error("the component can't be compiled: {0}")]
    Compile(String),
    /// It exports no lifecycle.
    #[error(
        "the component does not export sluicegate:plugin/lifecycle@0.1.0, which every plugin needs"
    )]
    NoLifecycle,
    /// It exports no hook.
    #[error("the component exports no hook that the gateway knows; it exports {found}")]
    NoHook {
        /// What it does export.
        found: String,
    },
    /// It imports what the gateway does not give.
    #[error("the component imports {name}: {why}")]
    Import {
        /// The interface.
        name: String,
        /// What to do about it.
        why: &'static str,
    },
    /// An interface is there, but its functions have other types.
    #[error("the component was built against another contract: {0}")]
    Contract(String),
}

/// A linker with everything that plugins may import.
///
/// # Errors
/// wasmtime's, where a name is linked twice.
pub fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    http::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    log::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    metrics::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    subscription::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    hub_types::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    hub_publish::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    wasi::link(&mut linker)?;
    Ok(linker)
}

const PACKAGE: &str = "sluicegate:plugin/";

impl Loaded {
    /// Checks and compiles a component. Takes a while where the cache on disk does not have it.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn new(linker: &Linker<State>, bytes: &[u8]) -> Result<Self, LoadError> {
        check_kind(bytes)?;
        let component = Component::new(linker.engine(), bytes)
            .map_err(|error| LoadError::Compile(format!("{error:#}")))?;
        let needs = check_imports(&component)?;
        let exports = |interface: &str| {
            component
                .get_export_index(None, format!("{PACKAGE}{interface}@0.1.0"))
                .is_some()
        };
        let found = [
            exports("director"),
            exports("request-body"),
            exports("modifier"),
            exports("response-body"),
            exports("hub"),
        ];
        if !found.contains(&true) {
            return Err(LoadError::NoHook {
                found: export_names(&component),
            });
        }
        if !exports("lifecycle") {
            return Err(LoadError::NoLifecycle);
        }
        let pre = linker
            .instantiate_pre(&component)
            .map_err(|error| LoadError::Contract(format!("{error:#}")))?;
        let [
            has_director,
            has_request_body,
            has_modifier,
            has_response_body,
            has_hub,
        ] = found;
        let contract = |error: wasmtime::Error| LoadError::Contract(format!("{error:#}"));
        Ok(Self {
            lifecycle: lifecycle::GuestIndices::new(&pre).map_err(contract)?,
            director: has_director
                .then(|| director::GuestIndices::new(&pre))
                .transpose()
                .map_err(contract)?,
            request_body: has_request_body
                .then(|| request_body::GuestIndices::new(&pre))
                .transpose()
                .map_err(contract)?,
            modifier: has_modifier
                .then(|| modifier::GuestIndices::new(&pre))
                .transpose()
                .map_err(contract)?,
            response_body: has_response_body
                .then(|| response_body::GuestIndices::new(&pre))
                .transpose()
                .map_err(contract)?,
            hub: has_hub
                .then(|| hub::GuestIndices::new(&pre))
                .transpose()
                .map_err(contract)?,
            needs,
            pre,
        })
    }

    /// The hooks that it exports.
    pub fn hooks(&self) -> Hooks {
        Hooks {
            director: self.director.is_some(),
            request_body: self.request_body.is_some(),
            modifier: self.modifier.is_some(),
            response_body: self.response_body.is_some(),
            hub_connect: self.hub.is_some(),
            hub_message: self.hub.is_some(),
            hub_disconnect: self.hub.is_some(),
        }
    }
}

fn check_kind(bytes: &[u8]) -> Result<(), LoadError> {
    match bytes {
        // A component's version field has layer 1, a core module's layer 0.
        [b'\0', b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [b'\0', b'a', b's', b'm', ..] => Err(LoadError::NotAComponent(
            "it is a core module; build it with `cargo component build` or for the target wasm32-wasip2",
        )),
        [] => Err(LoadError::NotAComponent("the file is empty")),
        _ => Err(LoadError::NotAComponent(
            "the file does not begin like WebAssembly",
        )),
    }
}

/// Refuses what nobody gives; returns what has to be granted.
fn check_imports(component: &Component) -> Result<Needs, LoadError> {
    let engine = component.engine();
    let mut needs = Needs::default();
    for (name, _) in component.component_type().imports(engine) {
        let interface = name.split('@').next().unwrap_or(name);
        let why = match interface {
            "sluicegate:plugin/http"
            | "sluicegate:plugin/log"
            | "sluicegate:plugin/metrics"
            | "sluicegate:plugin/subscription"
            | "sluicegate:plugin/hub-types"
            | "wasi:filesystem/types"
            | "wasi:filesystem/preopens" => continue,
            "sluicegate:plugin/hub-publish" => {
                needs.hub_publish = true;
                continue;
            }
            _ if ["wasi:io/", "wasi:cli/", "wasi:clocks/", "wasi:random/"]
                .iter()
                .any(|package| interface.starts_with(package)) =>
            {
                continue;
            }
            _ if interface.starts_with("wasi:sockets/") => "plugins have no network",
            _ if interface.starts_with("wasi:http/") => "outgoing HTTP is not part of this version",
            _ => "the gateway does not provide this interface",
        };
        return Err(LoadError::Import {
            name: name.to_owned(),
            why,
        });
    }
    Ok(needs)
}

fn export_names(component: &Component) -> String {
    let engine = component.engine();
    let names: Vec<String> = component
        .component_type()
        .exports(engine)
        .map(|(name, _)| name.to_owned())
        .collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

/// Keeps the generated world's own type in use: hooks are looked up one by one instead.
#[allow(dead_code)]
type World = Full;
