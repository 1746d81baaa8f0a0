//! The plugins of a configuration. Each use of a plugin with settings of its own is a *layer*; uses
//! with the same settings share one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::Linker;

use super::component::{LoadError, Loaded};
use super::failure::HookFailure;
use super::hooks::Hooks;
use super::instance::Instance;
use super::interest::Interests;
use super::state::State;
use super::{builtin, engine};
use crate::config::{
    ComponentSource, Config, Isolation, OnFailure, PluginLimits, PluginUse, Problem,
};

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
}

/// All layers of a configuration.
#[derive(Debug, Default)]
pub struct Registry {
    /// Layers; routes refer to them by index.
    pub layers: Vec<Arc<Layer>>,
    index: HashMap<(String, String), usize>,
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
    components: HashMap<&'a ComponentSource, Result<Arc<Loaded>, String>>,
    registry: Registry,
    problems: Vec<Problem>,
}

impl Registry {
    /// Loads every plugin and makes one instance of each layer, to see whether it takes its
    /// configuration. Nothing else runs.
    ///
    /// # Errors
    /// All problems at once.
    pub fn load(config: &Config, progress: Progress<'_>) -> Result<Self, Vec<Problem>> {
        if config.plugins.is_empty() {
            return Ok(Self::default());
        }
        let engine = engine::new(&settings(config)).map_err(|error| vec![internal(&error)])?;
        let linker = super::component::linker(&engine).map_err(|error| vec![internal(&error)])?;
        let mut loader = Loader {
            config,
            linker,
            components: HashMap::new(),
            registry: Self::default(),
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
        let uses = config
            .server
            .plugins
            .iter()
            .chain(config.routes.iter().flat_map(|route| &route.plugins));
        for plugin_use in uses {
            loader.add_use(plugin_use);
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
}

fn settings(config: &Config) -> engine::Settings {
    let per_worker: usize = config
        .plugins
        .values()
        .map(|plugin| plugin.limits.instances.get())
        .sum();
    // One more for each use, for the instance that a check makes.
    let uses = config.server.plugins.len()
        + config
            .routes
            .iter()
            .map(|route| route.plugins.len())
            .sum::<usize>();
    let instances = per_worker
        .max(uses)
        .saturating_mul(config.server.workers.get())
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
        let linker = &self.linker;
        let loaded = self
            .components
            .entry(source)
            .or_insert_with(|| load(linker, source).map(Arc::new));
        let Err(message) = loaded else { return true };
        self.problems.push(Problem {
            path: format!("plugins.{name}.component"),
            line: plugin.origin.line,
            message: message.clone(),
        });
        false
    }

    fn add_use(&mut self, plugin_use: &PluginUse) {
        let Some(plugin) = self.config.plugins.get(&plugin_use.plugin) else {
            return;
        };
        let Some(Ok(component)) = self.components.get(&plugin.component) else {
            return;
        };
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
        };
        match Instance::new(&layer) {
            Ok(mut instance) => {
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
        let own = self.config.plugins.get(&plugin_use.plugin);
        let (path, line) = match (&plugin_use.config, own) {
            (None, Some(plugin)) => (
                format!("plugins.{}.config", plugin_use.plugin),
                plugin.origin.line,
            ),
            _ => (
                format!("{}.config", plugin_use.origin.path),
                plugin_use.origin.line,
            ),
        };
        let message = match failure {
            HookFailure::Guest(text) => {
                format!("plugin \"{}\" refuses it: {text}", plugin_use.plugin)
            }
            failure => format!(
                "plugin \"{}\" failed in configure: {failure}",
                plugin_use.plugin
            ),
        };
        Problem {
            path,
            line,
            message,
        }
    }
}

fn load(linker: &Linker<State>, source: &ComponentSource) -> Result<Loaded, String> {
    let load = |bytes: &[u8]| Loaded::new(linker, bytes);
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
            load(&bytes).map_err(|error: LoadError| format!("{}: {error}", path.display()))
        }
    }
}
