//! `[hubs.NAME]`

mod backplane;
pub(super) mod model;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::model::{Origin, Route};
use super::reader::{Node, Section};
use super::route::{self, PATH};
use super::{Scope, limits, name, plugin_use};
use crate::route::Pattern;
use crate::websocket::handshake::Origins;
use model::{Backplane, History, Hub, HubLimits, HubMode, Ping, SlowClients};

const RATE: &str = r#"messages a second such as "50/s", or "none" for no limit"#;
const ORIGIN: &str = r#"an origin such as "https://example.com", or "*" for all"#;

/// Where a path leads already.
struct Taken {
    host: Option<String>,
    pattern: Pattern,
    place: String,
    line: usize,
}

pub(super) fn read(
    root: &mut Section<'_>,
    scope: &Scope<'_>,
    routes: &[Route],
) -> BTreeMap<String, Hub> {
    let mut taken: Vec<Taken> = routes
        .iter()
        .filter(|route| route.methods.is_empty())
        .filter_map(|route| {
            Some(Taken {
                host: route.host.clone(),
                pattern: Pattern::parse(&route.path).ok()?,
                place: route.origin.path.clone(),
                line: route.origin.line,
            })
        })
        .collect();
    let mut hubs = BTreeMap::new();
    for (name, node) in root.section("hubs").entries() {
        name::check(&node, name);
        let Some((hub, pattern)) = hub(&node, name, scope) else {
            continue;
        };
        let same = taken
            .iter()
            .find(|other| other.host == hub.host && route::same_paths(&other.pattern, &pattern));
        if let Some(other) = same {
            node.problem(format!(
                "never reached: {} of line {} matches the same host and path",
                other.place, other.line
            ));
        }
        taken.push(Taken {
            host: hub.host.clone(),
            pattern,
            place: node.path.clone(),
            line: node.line,
        });
        hubs.insert(name.to_owned(), hub);
    }
    hubs
}

fn hub(node: &Node<'_>, name: &str, scope: &Scope<'_>) -> Option<(Hub, Pattern)> {
    let mut section = node.section(r#"a table such as { path = "/ws" }"#)?;
    let host = section.read("host", route::host);
    let path = section
        .require("path", PATH)
        .and_then(|node| route::path(&node));
    let mode = section.read("mode", mode).unwrap_or(HubMode::Rooms);
    let plugins_node = section.take("plugins");
    let plugins = plugins_node
        .as_ref()
        .and_then(|node| plugin_use::read_all(node, scope))
        .unwrap_or_default();
    let hub = Hub {
        name: Arc::from(name),
        host,
        path: path.as_ref().map_or("", |(path, _)| path).to_owned(),
        mode,
        origins: section
            .read("origins", origins)
            .unwrap_or(Origins::Listed(Vec::new())),
        subprotocols: section.read("subprotocols", names).unwrap_or_default(),
        deflate: section.read("deflate", Node::boolean).unwrap_or(true),
        limits: hub_limits(&mut section),
        ping: ping(&mut section),
        idle: section
            .read("idle_timeout", |node| or_none(node, Node::duration))
            .flatten(),
        slow_clients: section
            .read("slow_clients", slow_clients)
            .unwrap_or(SlowClients::Disconnect),
        history: history(&mut section),
        backplane: section
            .read("backplane", backplane::read)
            .unwrap_or(Backplane::Memory),
        origin: Origin {
            path: node.path.clone(),
            line: node.line,
        },
        plugins,
    };
    warn_of_idle_keys(&mut section, hub.mode);
    section.finish();
    if hub.mode == HubMode::Hooks && hub.plugins.is_empty() {
        plugins_node.as_ref().unwrap_or(node).problem(
            "a hub of mode \"hooks\" does what its plugins decide: list at least one in `plugins`",
        );
    }
    let (_, pattern) = path?;
    Some((hub, pattern))
}

/// Keys that mean nothing in a mode: whoever writes one expects what will not be.
fn warn_of_idle_keys(section: &mut Section<'_>, mode: HubMode) {
    let (key, why) = match mode {
        HubMode::Rooms => (
            "subprotocols",
            "of no effect: a hub of mode \"rooms\" speaks its own protocol, sluicegate.hub.v1",
        ),
        HubMode::Echo | HubMode::Relay | HubMode::Hooks => (
            "history",
            "of no effect: only a hub of mode \"rooms\" keeps histories",
        ),
    };
    if let Some(node) = section.take(key) {
        node.warning(why);
    }
}

fn mode(node: &Node<'_>) -> Option<HubMode> {
    const MODES: [(&str, HubMode); 4] = [
        ("rooms", HubMode::Rooms),
        ("echo", HubMode::Echo),
        ("relay", HubMode::Relay),
        ("hooks", HubMode::Hooks),
    ];
    one_of(node, &MODES)
}

fn slow_clients(node: &Node<'_>) -> Option<SlowClients> {
    const POLICIES: [(&str, SlowClients); 2] = [
        ("disconnect", SlowClients::Disconnect),
        ("drop-oldest", SlowClients::DropOldest),
    ];
    one_of(node, &POLICIES)
}

fn one_of<T: Copy>(node: &Node<'_>, words: &[(&'static str, T)]) -> Option<T> {
    let found = words
        .iter()
        .find(|(word, _)| node.as_str() == Some(word))
        .map(|(_, value)| *value);
    if found.is_none() {
        node.not_one_of(words.iter().map(|(word, _)| *word));
    }
    found
}

/// `Some(None)` is "none": a value that is right, where `None` is one that is wrong.
#[expect(clippy::option_option, reason = "the two differ")]
fn or_none<'t, T>(node: &Node<'t>, read: impl FnOnce(&Node<'t>) -> Option<T>) -> Option<Option<T>> {
    if node.as_str() == Some("none") {
        return Some(None);
    }
    read(node).map(Some)
}

fn rate(node: &Node<'_>) -> Option<NonZeroU32> {
    let rate = node
        .as_str()
        .and_then(|text| text.strip_suffix("/s"))
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|digits| digits.parse::<NonZeroU32>().ok())
        .filter(|rate| rate.get() <= 1_000_000);
    if rate.is_none() {
        node.unexpected(RATE);
    }
    rate
}

/// As browsers write them: a scheme, a host and a port that is not the scheme's own.
fn origins(node: &Node<'_>) -> Option<Origins> {
    let items = node.items()?;
    if let [only] = items.as_slice()
        && only.as_str() == Some("*")
    {
        return Some(Origins::Any);
    }
    let mut listed = Vec::new();
    for item in &items {
        let Some(text) = item.string_like(ORIGIN) else {
            continue;
        };
        let is_origin = text.split_once("://").is_some_and(|(scheme, rest)| {
            !scheme.is_empty()
                && !rest.is_empty()
                && !rest.contains(['/', '?', '#', '@', '*', ' '])
                && text.is_ascii()
        });
        if text == "*" {
            item.problem("\"*\" stands for all origins, and has to stand alone");
        } else if is_origin {
            listed.push(text.to_ascii_lowercase());
        } else {
            item.unexpected(ORIGIN);
        }
    }
    Some(Origins::Listed(listed))
}

fn names(node: &Node<'_>) -> Option<Vec<String>> {
    const EXPECTED: &str = r#"the name of a subprotocol, such as "chat.v1""#;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let mut names = Vec::new();
    for item in &node.items()? {
        let Some(name) = item.string_like(EXPECTED) else {
            continue;
        };
        if name.is_empty() || !name.bytes().all(is_token) {
            item.unexpected(EXPECTED);
        }
        names.push(name.to_owned());
    }
    Some(names)
}

fn hub_limits(hub: &mut Section<'_>) -> HubLimits {
    let mut section = hub.section("limits");
    let default = HubLimits::default();
    let read = HubLimits {
        connections: section
            .read("connections", |node| node.whole(limits::COUNT))
            .unwrap_or(default.connections),
        connections_per_address: section
            .read("connections_per_address", |node| {
                or_none(node, |node| node.whole(limits::COUNT))
            })
            .unwrap_or(default.connections_per_address),
        message: size(&mut section, "message", 125..=1 << 30).unwrap_or(default.message),
        rate: section
            .read("rate", |node| or_none(node, rate))
            .unwrap_or(default.rate),
        queue: size(&mut section, "queue", 1 << 10..=1 << 30).unwrap_or(default.queue),
        rooms: section
            .read("rooms", |node| node.whole(limits::COUNT))
            .unwrap_or(default.rooms),
        rooms_per_client: section
            .read("rooms_per_client", |node| node.whole(1..=10_000))
            .unwrap_or(default.rooms_per_client),
    };
    section.finish();
    read
}

fn size(
    section: &mut Section<'_>,
    key: &'static str,
    range: std::ops::RangeInclusive<u64>,
) -> Option<usize> {
    section
        .read(key, |node| node.size(range))
        .and_then(|bytes| usize::try_from(bytes).ok())
}

fn ping(hub: &mut Section<'_>) -> Ping {
    let mut section = hub.section("ping");
    let default = Ping::default();
    let ping = Ping {
        interval: section
            .read("interval", Node::duration)
            .unwrap_or(default.interval),
        timeout: section
            .read("timeout", Node::duration)
            .unwrap_or(default.timeout),
    };
    section.finish();
    ping
}

fn history(hub: &mut Section<'_>) -> History {
    let mut section = hub.section("history");
    let default = History::default();
    let history = History {
        messages: section
            .read("messages", |node| node.whole(0..=10_000))
            .unwrap_or(default.messages),
        age: section.read("age", Node::duration).unwrap_or(default.age),
        memory: size(&mut section, "memory", 0..=1 << 40).unwrap_or(default.memory),
    };
    section.finish();
    history
}

impl Default for HubLimits {
    fn default() -> Self {
        Self {
            connections: 100_000,
            connections_per_address: None,
            message: 64 << 10,
            rate: NonZeroU32::new(50),
            queue: 1 << 20,
            rooms: 10_000,
            rooms_per_client: 100,
        }
    }
}

impl Default for Ping {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(25),
            timeout: Duration::from_secs(8),
        }
    }
}

impl Default for History {
    fn default() -> Self {
        Self {
            messages: 100,
            age: Duration::from_mins(5),
            memory: 64 << 20,
        }
    }
}

#[cfg(test)]
mod tests;
