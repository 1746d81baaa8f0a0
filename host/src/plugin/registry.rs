//! The plugins of a configuration. Each use of a plugin with settings of its own is a *layer*; uses
//! with the same settings share one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use twox_hash::XxHash64;
use wasmtime::Engine;
use wasmtime::component::Linker;

use super::breaker::{self, Breaker};
use super::component::{LoadError, Loaded};
use super::deadline::thread_time;
use super::failure::{Failures, HookFailure};
use super::hooks::Hooks;
use super::host_hub_publish::{Grant, Outlet};
use super::instance::Instance;
use super::interest::Interests;
use super::state::State;
use super::{builtin, engine};
use crate::config::{
    self, ComponentSource, Config, Isolation, OnFailure, Origin, PluginLimits, PluginUse, Problem,
};
use crate::observe::throttle::Throttle;

/// What is counted of a plugin, over all its layers, workers and configurations.
#[derive(Debug)]
pub struct Counts {
    /// Instances that exist.
    pub instances: AtomicUsize,
    /// Instances that were made.
    pub made: AtomicU64,
    /// Hooks that failed.
    pub failures: Failures,
    /// Lines that it writes to the log itself.
    pub lines: Throttle,
    /// Lines about its failures.
    pub failure_lines: Throttle,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            instances: AtomicUsize::default(),
            made: AtomicU64::default(),
            failures: Failures::default(),
            lines: Throttle::new(100, 20),
            failure_lines: Throttle::new(10, 10),
        }
    }
}

/// One plugin with one configuration.
#[derive(Debug)]
pub struct Layer {
    /// The plugin's name in the configuration.
    pub name: Arc<str>,
    /// What happens when it fails.
    pub on_failure: OnFailure,
    /// How long an instance lives.
    pub isolation: Isolation,
    /// Its limits.
    pub limits: PluginLimits,
    /// Its configuration as JSON text.
    pub config: String,
    /// Its component.
    pub component: Arc<Loaded>,
    /// The hooks that are called.
    pub hooks: Hooks,
    /// Bodies that need not be asked about.
    pub interests: Interests,
    /// Hubs that it may send into.
    pub hubs: Grant,
    /// What is counted of the plugin.
    pub counts: Arc<Counts>,
    /// Leaves it alone when it keeps failing.
    pub breaker: Breaker,
    breaker_settings: config::Breaker,
    is_slow: AtomicBool,
}

impl Layer {
    /// Whether making an instance takes longer than a hook may: too long for a worker's thread.
    pub(super) fn is_slow(&self) -> bool {
        self.is_slow.load(Ordering::Relaxed)
    }

    /// From now on [`Self::is_slow`].
    pub(super) fn turns_slow(&self) {
        self.is_slow.store(true, Ordering::Relaxed);
    }

    /// Makes an instance, for which it has so much computing time. Where that comes to nothing it counts against the plugin.
    pub(super) fn make_within(&self, limit: Duration) -> Result<Instance, HookFailure> {
        let began = thread_time();
        let made = Instance::new(self, limit);
        let cost = thread_time().saturating_sub(began);
        match made {
            Ok(mut instance) => {
                instance.cost = cost;
                Ok(instance)
            }
            Err(failure) => {
                self.has_failed(cost);
                Err(failure)
            }
        }
    }

    /// A call has failed in a way that says something about the plugin, and has cost so much computing time.
    pub(super) fn has_failed(&self, cost: Duration) {
        if let Some(breaker::Change::Opened(pause)) = self.breaker.failed(Instant::now(), cost) {
            tracing::error!(
                plugin = &*self.name,
                "failed too often: not called for {pause:?}, its on_failure is applied"
            );
        }
    }

    /// A call has come to its end.
    pub(super) fn has_succeeded(&self) {
        if self.breaker.succeeded(Instant::now) == Some(breaker::Change::Closed) {
            tracing::info!(plugin = &*self.name, "called again");
        }
    }

    /// Whether its instances are the same as those of a layer with these settings would be.
    fn is_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.component, &other.component)
            && self.name == other.name
            && self.on_failure == other.on_failure
            && self.isolation == other.isolation
            && self.limits == other.limits
            && self.breaker_settings == other.breaker_settings
            && self.config == other.config
            && self.hubs.names() == other.hubs.names()
    }
}

/// All layers of a configuration.
#[derive(Debug, Default)]
pub struct Registry {
    /// Layers; routes refer to them by index.
    pub layers: Vec<Arc<Layer>>,
    index: HashMap<(String, String), usize>,
    /// The engine, and what it was set up for.
    engine: Option<(Engine, engine::Settings)>,
    /// Components by what their files hold, so that one that has not changed is not compiled again.
    components: HashMap<Digest, Arc<Loaded>>,
    counts: BTreeMap<String, Arc<Counts>>,
    /// Where plugins find the running hubs.
    pub outlet: Arc<Outlet>,
}

/// Tells apart what a component's file holds: two hashes (XXH64 with different seeds) and the length.
type Digest = (u64, u64, usize);

fn digest(bytes: &[u8]) -> Digest {
    (
        XxHash64::oneshot(0, bytes),
        XxHash64::oneshot(1, bytes),
        bytes.len(),
    )
}

/// What happens while plugins are loaded, which can take seconds.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A plugin's component is being read, checked and compiled.
    Loading {
        /// The plugin's name.
        plugin: &'a str,
    },
    /// That is done.
    Loaded {
        /// How long it took.
        time: Duration,
    },
    /// It can't be used.
    Refused,
}

/// Told about [`Event`]s.
pub type Progress<'a> = &'a mut dyn FnMut(Event<'_>);

struct Loader<'a> {
    config: &'a Config,
    linker: Linker<State>,
    previous: Option<&'a Registry>,
    components: HashMap<&'a ComponentSource, Result<Arc<Loaded>, String>>,
    registry: Registry,
    problems: Vec<Problem>,
}

impl Registry {
    /// Loads every plugin and makes one instance of each layer, to see whether it takes its
    /// configuration. Nothing else runs. What `previous` has already and has not changed is taken over:
    /// the engine where it is large enough, components, and layers with their warm instances.
    ///
    /// # Errors
    /// All problems at once.
    pub fn load(
        config: &Config,
        previous: Option<&Self>,
        progress: Progress<'_>,
    ) -> Result<Self, Vec<Problem>> {
        let counts = previous.map_or_else(BTreeMap::new, |previous| previous.counts.clone());
        let outlet = previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.outlet));
        if config.plugins.is_empty() {
            return Ok(Self {
                counts,
                outlet,
                ..Self::default()
            });
        }
        let needed = settings(config);
        let (engine, settings, previous) = match previous {
            Some(Self {
                engine: Some((engine, settings)),
                ..
            }) if settings.suffices_for(&needed) => (engine.clone(), settings.clone(), previous),
            _ => {
                let engine = engine::new(&needed).map_err(|error| vec![internal(&error)])?;
                (engine, needed, None)
            }
        };
        let linker = super::component::linker(&engine).map_err(|error| vec![internal(&error)])?;
        let mut loader = Loader {
            config,
            linker,
            previous,
            components: HashMap::new(),
            registry: Self {
                engine: Some((engine, settings)),
                counts,
                outlet,
                ..Self::default()
            },
            problems: Vec::new(),
        };
        for name in config.plugins.keys() {
            progress(Event::Loading { plugin: name });
            let began = Instant::now();
            progress(if loader.load_component(name) {
                Event::Loaded {
                    time: began.elapsed(),
                }
            } else {
                Event::Refused
            });
        }
        for plugin_use in uses_on_routes(config) {
            loader.add_use(plugin_use, Place::Route);
        }
        for plugin_use in uses_in_hubs(config) {
            loader.add_use(plugin_use, Place::Hub);
        }
        if loader.problems.is_empty() {
            Ok(loader.registry)
        } else {
            Err(loader.problems)
        }
    }

    /// The layer of a use.
    pub fn layer_of(&self, config: &Config, plugin_use: &PluginUse) -> Option<usize> {
        let settings = settings_text(config, plugin_use)?;
        self.index
            .get(&(plugin_use.plugin.clone(), settings))
            .copied()
    }

    /// What is counted of each plugin that there is or was, by name.
    pub fn counts(&self) -> impl Iterator<Item = (&str, &Counts)> {
        self.counts
            .iter()
            .map(|(name, counts)| (name.as_str(), &**counts))
    }
}

/// Where a plugin is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `server.plugins` or `routes[].plugins`
    Route,
    /// `hubs.NAME.plugins`
    Hub,
}

fn uses_on_routes(config: &Config) -> impl Iterator<Item = &PluginUse> {
    let routes = config.routes.iter().flat_map(|route| &route.plugins);
    config.server.plugins.iter().chain(routes)
}

fn uses_in_hubs(config: &Config) -> impl Iterator<Item = &PluginUse> {
    config.hubs.values().flat_map(|hub| &hub.plugins)
}

fn settings(config: &Config) -> engine::Settings {
    let per_worker: usize = config
        .plugins
        .values()
        .map(|plugin| plugin.limits.instances.get())
        .sum();
    // One more for each use, for the instance that a check makes.
    let uses = uses_on_routes(config).chain(uses_in_hubs(config)).count();
    let instances = per_worker
        .max(uses)
        .saturating_mul(config.server.workers.get())
        // While a configuration takes another's place, instances of both exist.
        .saturating_mul(2)
        + uses
        + 8;
    engine::Settings {
        instances: u32::try_from(instances)
            .unwrap_or(u32::MAX)
            .clamp(16, 20_000),
        memory: config
            .plugins
            .values()
            .map(|plugin| plugin.limits.memory)
            .max()
            .unwrap_or(0),
        cache: engine::default_cache(),
    }
}

fn settings_text(config: &Config, plugin_use: &PluginUse) -> Option<String> {
    let plugin = config.plugins.get(&plugin_use.plugin)?;
    let settings = plugin_use.config.as_ref().unwrap_or(&plugin.config);
    serde_json::to_string(settings).ok()
}

fn internal(error: &wasmtime::Error) -> Problem {
    Problem {
        path: "plugins".to_owned(),
        line: 0,
        message: format!("the WebAssembly engine can't be set up: {error:#}"),
    }
}

impl<'a> Loader<'a> {
    fn load_component(&mut self, name: &'a str) -> bool {
        let Some(plugin) = self.config.plugins.get(name) else {
            return false;
        };
        let source = &plugin.component;
        let (linker, previous) = (&self.linker, self.previous);
        let known = &mut self.registry.components;
        let loaded = self
            .components
            .entry(source)
            .or_insert_with(|| load(linker, previous, known, source));
        let message = match loaded {
            Ok(component) if component.needs.hub_publish && plugin.allow.hubs.is_empty() => {
                NOT_GRANTED.to_owned()
            }
            Ok(_) => return true,
            Err(message) => message.clone(),
        };
        self.problems.push(Problem {
            path: format!("plugins.{name}.component"),
            line: plugin.origin.line,
            message,
        });
        false
    }

    fn add_use(&mut self, plugin_use: &PluginUse, place: Place) {
        let Some(plugin) = self.config.plugins.get(&plugin_use.plugin) else {
            return;
        };
        let Some(Ok(component)) = self.components.get(&plugin.component) else {
            return;
        };
        if let Some(message) = misplaced(&plugin_use.plugin, component.hooks(), place) {
            self.problems.push(Problem {
                path: plugin_use.origin.path.clone(),
                line: plugin_use.origin.line,
                message,
            });
            return;
        }
        let Some(settings) = settings_text(self.config, plugin_use) else {
            return;
        };
        let key = (plugin_use.plugin.clone(), settings.clone());
        if self.registry.index.contains_key(&key) {
            return;
        }
        let mut layer = Layer {
            name: plugin_use.plugin.as_str().into(),
            on_failure: plugin.on_failure,
            isolation: plugin.isolation,
            limits: plugin.limits.clone(),
            config: settings,
            component: Arc::clone(component),
            hooks: component.hooks(),
            interests: Interests::default(),
            hubs: Grant::new(&plugin.allow.hubs, &self.registry.outlet),
            breaker: Breaker::new(plugin.breaker),
            breaker_settings: plugin.breaker,
            is_slow: AtomicBool::new(false),
            counts: Arc::clone(
                self.registry
                    .counts
                    .entry(plugin_use.plugin.clone())
                    .or_default(),
            ),
        };
        let kept = self.previous.and_then(|previous| {
            let mut kept = previous.layers.iter();
            kept.find(|kept| kept.is_like(&layer)).cloned()
        });
        if let Some(kept) = kept {
            self.registry.index.insert(key, self.registry.layers.len());
            self.registry.layers.push(kept);
            return;
        }
        match layer.make_within(layer.limits.wall) {
            Ok(mut instance) => {
                if instance.cost > layer.limits.time {
                    layer.turns_slow();
                }
                layer.interests = instance.take_interests();
                layer.hooks = layer.hooks.without(instance.skipped());
                self.registry.index.insert(key, self.registry.layers.len());
                self.registry.layers.push(Arc::new(layer));
            }
            Err(failure) => self.problems.push(self.refused(plugin_use, &failure)),
        }
    }

    /// A plugin's no, under the key that its configuration stands at.
    fn refused(&self, plugin_use: &PluginUse, failure: &HookFailure) -> Problem {
        let name = &plugin_use.plugin;
        let own = self.config.plugins.get(name);
        let (whole, places) = match (&plugin_use.config, own) {
            (None, Some(plugin)) => (&plugin.origin, &plugin.places),
            _ => (&plugin_use.origin, &plugin_use.places),
        };
        let whole = Origin {
            path: format!("{}.config", whole.path),
            line: whole.line,
        };
        let (place, message) = match failure {
            HookFailure::Guest(text) => {
                let (place, what) = places.named_by(text).unwrap_or((&whole, text));
                (place, format!("plugin \"{name}\" refuses it: {what}"))
            }
            failure => (
                &whole,
                format!("plugin \"{name}\" failed in configure: {failure}"),
            ),
        };
        Problem {
            path: place.path.clone(),
            line: place.line,
            message,
        }
    }
}

const NOT_GRANTED: &str = "the component imports sluicegate:plugin/hub-publish@0.1.0, which sends into hubs; \
    grant it the ones that it may send into with `allow = { hubs = [\"NAME\"] }`";

/// What is wrong with listing a plugin where nothing that it exports is ever called.
fn misplaced(name: &str, hooks: Hooks, place: Place) -> Option<String> {
    let found = || hooks.names().collect::<Vec<_>>().join(", ");
    match place {
        Place::Route if !hooks.is_for_routes() => Some(format!(
            "plugin \"{name}\" has no hooks for routes, it exports {}; list it in hubs.NAME.plugins",
            found()
        )),
        Place::Hub if !hooks.is_for_hubs() => Some(format!(
            "plugin \"{name}\" has no hooks for hubs, it exports {}; list it in the plugins of a route or of the server",
            found()
        )),
        _ => None,
    }
}

fn load(
    linker: &Linker<State>,
    previous: Option<&Registry>,
    known: &mut HashMap<Digest, Arc<Loaded>>,
    source: &ComponentSource,
) -> Result<Arc<Loaded>, String> {
    let mut load = |bytes: &[u8]| -> Result<Arc<Loaded>, LoadError> {
        let digest = digest(bytes);
        let same = known
            .get(&digest)
            .or_else(|| previous?.components.get(&digest));
        let loaded = match same {
            Some(loaded) => Arc::clone(loaded),
            None => Arc::new(Loaded::new(linker, bytes)?),
        };
        known.insert(digest, Arc::clone(&loaded));
        Ok(loaded)
    };
    match source {
        ComponentSource::Builtin(name) => {
            let bytes = builtin::component(name).ok_or_else(|| {
                let known: Vec<_> = builtin::names().collect();
                format!(
                    "no built-in plugin \"{name}\"; there are {}",
                    known.join(", ")
                )
            })?;
            load(bytes).map_err(|error| error.to_string())
        }
        ComponentSource::File(path) => {
            let bytes =
                std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            load(&bytes).map_err(|error| format!("{}: {error}", path.display()))
        }
    }
}
