//! `[plugins.NAME]`

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::Scope;
use super::model::{
    Allow, Breaker, ComponentSource, Isolation, OnFailure, Origin, Plugin, PluginLimits,
};
use super::name;
use super::reader::{Node, Section};

/// A page of linear memory is the least that a guest can have; 4 GiB is what a 32-bit guest can address.
const MEMORY: std::ops::RangeInclusive<u64> = 64 << 10..=4 << 30;

const COMPONENT: &str = r#"a component's file, or "builtin:NAME" for a stock plugin"#;

pub(super) fn read(root: &mut Section<'_>, scope: &Scope<'_>) -> BTreeMap<String, Plugin> {
    let mut plugins = BTreeMap::new();
    for (name, node) in root.section("plugins").entries() {
        name::check(&node, name);
        if let Some(plugin) = plugin(&node, scope) {
            plugins.insert(name.to_owned(), plugin);
        }
    }
    plugins
}

fn plugin(node: &Node<'_>, scope: &Scope<'_>) -> Option<Plugin> {
    let mut section = node.section("a table")?;
    let component = section
        .require("component", COMPONENT)
        .and_then(|node| component(&node, scope));
    let on_failure = section.read("on_failure", |node| {
        node.choice(&[("reject", OnFailure::Reject), ("skip", OnFailure::Skip)])
    });
    let isolation = section.read("isolation", |node| {
        node.choice(&[("reuse", Isolation::Reuse), ("request", Isolation::Request)])
    });
    let limits = limits(&mut section);
    let breaker = breaker(&mut section);
    let allow = allow(&mut section, scope);
    let config_node = section.take("config");
    let config = config_node.as_ref().and_then(Node::json_object);
    section.finish();
    Some(Plugin {
        component: component?,
        on_failure: on_failure.unwrap_or(OnFailure::Reject),
        isolation: isolation.unwrap_or(Isolation::Reuse),
        limits,
        breaker,
        allow,
        places: config_node.as_ref().map(Node::places).unwrap_or_default(),
        config: config.unwrap_or_default(),
        origin: Origin {
            path: node.path.clone(),
            line: node.line,
        },
    })
}

fn breaker(plugin: &mut Section<'_>) -> Breaker {
    let default = Breaker::default();
    let mut section = plugin.section("breaker");
    let breaker = Breaker {
        failures: section
            .read("failures", |node| node.whole(1..=1_000_000))
            .and_then(NonZeroU32::new)
            .unwrap_or(default.failures),
        rate: section.read("rate", Node::share).unwrap_or(default.rate),
        lost: section.read("lost", Node::duration).unwrap_or(default.lost),
        pause: section
            .read("pause", Node::duration)
            .unwrap_or(default.pause),
    };
    section.finish();
    breaker
}

/// Whether the file exists, and is a component, is found out by who loads it.
fn component(node: &Node<'_>, scope: &Scope<'_>) -> Option<ComponentSource> {
    let text = node.string_like(COMPONENT)?;
    let source = match text.strip_prefix("builtin:") {
        Some(name) => Some(ComponentSource::Builtin(name.to_owned())).filter(|_| !name.is_empty()),
        None if text.is_empty() || text.contains("://") => None,
        None => Some(ComponentSource::File(scope.folder.join(text))),
    };
    if source.is_none() {
        node.unexpected(COMPONENT);
    }
    source
}

fn limits(plugin: &mut Section<'_>) -> PluginLimits {
    let mut section = plugin.section("limits");
    let time = section
        .read("time", Node::duration)
        .unwrap_or(Duration::from_millis(10));
    let wall_node = section.take("wall");
    let wall = wall_node
        .as_ref()
        .and_then(Node::duration)
        .unwrap_or(Duration::from_secs(5));
    if let Some(node) = wall_node.filter(|_| wall < time) {
        node.warning("shorter than the limit `time`, which is therefore never reached");
    }
    let limits = PluginLimits {
        time,
        wall,
        memory: section
            .read("memory", |node| node.size(MEMORY))
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(16 << 20),
        instances: section
            .read("instances", |node| node.whole(1..=10_000))
            .and_then(NonZeroUsize::new)
            .unwrap_or(NonZeroUsize::MIN.saturating_add(63)),
    };
    section.finish();
    limits
}

/// Grants are refused rather than ignored: the plugin would be missing what it was promised.
fn allow(plugin: &mut Section<'_>, scope: &Scope<'_>) -> Allow {
    let mut section = plugin.section("allow");
    section.read("env", |node| {
        grants(node, "environment variables", r#"["HOME"]"#)
    });
    section.read("http", |node| {
        grants(node, "outgoing requests", r#"["auth.internal:8080"]"#)
    });
    if let Some(store) = section.take("store")
        && store.boolean() == Some(true)
    {
        store.problem("the store is not part of this version; found true; allowed: false");
    }
    let hubs = section.read("hubs", |node| {
        let names = node.items()?;
        let known = names
            .iter()
            .filter_map(|name| name.name_of("hub", &scope.hubs));
        Some(known.map(str::to_owned).collect())
    });
    section.finish();
    Allow {
        hubs: hubs.unwrap_or_default(),
    }
}

fn grants(node: &Node<'_>, what: &str, example: &str) -> Option<()> {
    let items = node.items()?;
    let well_formed = items.iter().all(|item| {
        item.string_like(&format!("a string, as in {example}"))
            .is_some()
    });
    if well_formed && !items.is_empty() {
        node.problem(format!(
            "{what} of plugins are not part of this version; found a grant; allowed: []"
        ));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{accepted, refused, warned};
    use super::*;

    #[test]
    fn defaults() {
        let config = accepted("plugins.p.component = \"p.wasm\"");
        let plugin = config.plugins.get("p").unwrap();
        let file = std::env::current_dir().unwrap().join("p.wasm");
        assert_eq!(plugin.component, ComponentSource::File(file));
        assert_eq!(
            (plugin.on_failure, plugin.isolation),
            (OnFailure::Reject, Isolation::Reuse)
        );
        assert_eq!(plugin.limits.time, Duration::from_millis(10));
        assert_eq!(plugin.limits.wall, Duration::from_secs(5));
        assert_eq!(
            (plugin.limits.memory, plugin.limits.instances.get()),
            (16 << 20, 64)
        );
        assert!(plugin.config.is_empty());
        assert_eq!(plugin.breaker, Breaker::default());
    }

    #[test]
    fn everything_that_is_given_is_taken() {
        let config = accepted(
            r#"
            [plugins.p]
            component = "builtin:header-rewrite"
            on_failure = "skip"
            isolation = "request"
            limits = { time = "1ms", wall = "1s", memory = "1MiB", instances = 1 }
            allow = { env = [], http = [], store = false }
            breaker = { failures = 3, rate = 1, lost = "1s", pause = "2s" }
            [plugins.p.config]
            text = "a"
            numbers = [1, 0x10, 1.5, true]
            when = 2026-01-02
            deep = { a.b = [{ c = "d" }] }
            "#,
        );
        let plugin = config.plugins.get("p").unwrap();
        assert_eq!(
            plugin.component,
            ComponentSource::Builtin("header-rewrite".to_owned())
        );
        assert_eq!(
            (plugin.on_failure, plugin.isolation),
            (OnFailure::Skip, Isolation::Request)
        );
        assert_eq!(plugin.limits.time, Duration::from_millis(1));
        assert_eq!(plugin.limits.wall, Duration::from_secs(1));
        assert_eq!(
            (plugin.limits.memory, plugin.limits.instances.get()),
            (1 << 20, 1)
        );
        let breaker = Breaker {
            failures: NonZeroU32::MIN.saturating_add(2),
            rate: 1.0,
            lost: Duration::from_secs(1),
            pause: Duration::from_secs(2),
        };
        assert_eq!(plugin.breaker, breaker);
        assert_eq!(
            serde_json::Value::Object(plugin.config.clone()),
            json!({ "text": "a", "numbers": [1, 16, 1.5, true], "when": "2026-01-02", "deep": { "a": { "b": [{ "c": "d" }] } } })
        );
    }

    #[test]
    fn what_is_refused() {
        for (text, expected) in [
            ("plugins = 1", "1: plugins: found 1; expected a table"),
            (
                "plugins.p = \"p.wasm\"",
                "1: plugins.p: found \"p.wasm\"; expected a table",
            ),
            (
                "[plugins.p]",
                "1: plugins.p.component: missing; expected a component's file, or \"builtin:NAME\" for a stock plugin",
            ),
            (
                "[plugins.p]\ncomponent = \"builtin:\"",
                "2: plugins.p.component: found \"builtin:\"; expected a component's file, or \"builtin:NAME\" for a stock plugin",
            ),
            (
                "[plugins.p]\ncomponent = \"https://example.com/p.wasm\"",
                "2: plugins.p.component: found \"https://example.com/p.wasm\"; expected a component's file, or \"builtin:NAME\" for a stock plugin",
            ),
            (
                "[plugins.\"a b\"]\ncomponent = \"p.wasm\"",
                "1: plugins.\"a b\": found the name \"a b\"; expected 1 to 64 letters, digits, \"-\", \"_\" or \".\"",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\non_failure = \"ignore\"",
                "3: plugins.p.on_failure: found \"ignore\"; allowed: \"reject\", \"skip\"",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\nisolation = 1",
                "3: plugins.p.isolation: found 1; allowed: \"reuse\", \"request\"",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\nlimits.time = \"0ms\"",
                "3: plugins.p.limits.time: found \"0ms\"; expected a duration longer than zero",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\nlimits.memory = \"8GiB\"",
                "3: plugins.p.limits.memory: found \"8GiB\"; expected a size from \"64KiB\" to \"4GiB\"",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\nlimits.instances = 0",
                "3: plugins.p.limits.instances: found 0; expected a whole number from 1 to 10000",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\nallow.env = [\"HOME\"]",
                "3: plugins.p.allow.env: environment variables of plugins are not part of this version; found a grant; allowed: []",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\nallow.http = [\"auth.internal:8080\"]",
                "3: plugins.p.allow.http: outgoing requests of plugins are not part of this version; found a grant; allowed: []",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\nallow.http = [80]",
                "3: plugins.p.allow.http[0]: found 80; expected a string, as in [\"auth.internal:8080\"]",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\nallow.store = true",
                "3: plugins.p.allow.store: the store is not part of this version; found true; allowed: false",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\nallow.hubs = \"chat\"",
                "3: plugins.p.allow.hubs: found \"chat\"; expected an array",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\nallow.hubs = [\"chat\"]",
                "3: plugins.p.allow.hubs[0]: no hub named \"chat\"; none is defined",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\nallow.files = []",
                "3: plugins.p.allow.files: unknown key; allowed here: env, http, hubs, store",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\nconfig = []",
                "3: plugins.p.config: found an empty array; expected a table",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\nconfig.a = [{ b = inf }]",
                "3: plugins.p.config.a[0].b: found inf; expected a finite number, which is all that JSON has",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\nconfig.a = 9223372036854775808",
                "3: plugins.p.config.a: found 9223372036854775808; expected a whole number from -9223372036854775808 to 9223372036854775807",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\nbreaker.lost = \"0s\"",
                "3: plugins.p.breaker.lost: found \"0s\"; expected a duration longer than zero",
            ),
            (
                "[plugins.p]\ncomponent = \"p\"\nconfigs = {}",
                "3: plugins.p.configs: unknown key; did you mean \"config\"?",
            ),
        ] {
            assert_eq!(refused(text), [expected], "{text}");
        }
    }

    #[test]
    fn several_bad_values_in_one_config_are_all_reported() {
        let problems =
            refused("[plugins.p]\ncomponent = \"p\"\nconfig.a = nan\nconfig.b = [-inf, 1]");
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn a_wall_limit_below_the_computing_limit_is_odd() {
        let (_, warnings) =
            warned("[plugins.p]\ncomponent = \"p\"\nlimits = { time = \"1s\", wall = \"10ms\" }");
        assert_eq!(
            warnings,
            [
                "3: plugins.p.limits.wall: shorter than the limit `time`, which is therefore never reached"
            ]
        );
        accepted("[plugins.p]\ncomponent = \"p\"\nlimits = { time = \"1h\" }");
    }
}
