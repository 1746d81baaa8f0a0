use super::super::testing::{accepted, refused, warned};
use super::*;

fn hub(text: &str) -> Hub {
    let mut config = accepted(&format!("[hubs.chat]\npath = \"/ws\"\n{text}"));
    config.hubs.remove("chat").unwrap()
}

#[test]
fn defaults() {
    let hub = hub("");
    assert_eq!((&*hub.name, &*hub.path, hub.host), ("chat", "/ws", None));
    assert_eq!(hub.mode, HubMode::Rooms);
    assert_eq!(hub.origins, Origins::Listed(Vec::new()));
    assert_eq!(hub.limits, HubLimits::default());
    assert_eq!(hub.limits.rate.unwrap().get(), 50);
    assert_eq!(hub.ping, Ping::default());
    assert_eq!(hub.history, History::default());
    assert_eq!(hub.slow_clients, SlowClients::Disconnect);
    assert_eq!(hub.backplane, Backplane::Memory);
    assert_eq!((hub.idle, hub.deflate), (None, true));
}

#[test]
fn values() {
    let hub = hub(r#"
host = "Chat.example.com"
mode = "relay"
origins = ["https://Example.com", "http://localhost:3000"]
subprotocols = ["chat.v1"]
deflate = false
limits = { connections = 5, connections_per_address = 2, message = "1KiB", rate = "none", queue = "64KiB", rooms = 3, rooms_per_client = 1 }
ping = { interval = "1s", timeout = "2s" }
idle_timeout = "1m"
slow_clients = "drop-oldest"
backplane = "memory"
"#);
    assert_eq!(hub.host.as_deref(), Some("chat.example.com"));
    assert_eq!(hub.mode, HubMode::Relay);
    let listed = ["https://example.com", "http://localhost:3000"];
    assert_eq!(
        hub.origins,
        Origins::Listed(listed.map(String::from).into())
    );
    assert_eq!(hub.subprotocols, ["chat.v1"]);
    assert_eq!(
        hub.limits,
        HubLimits {
            connections: 5,
            connections_per_address: Some(2),
            message: 1024,
            rate: None,
            queue: 65_536,
            rooms: 3,
            rooms_per_client: 1,
        }
    );
    assert_eq!(hub.ping.timeout, Duration::from_secs(2));
    assert_eq!(hub.idle, Some(Duration::from_mins(1)));
    assert_eq!(hub.slow_clients, SlowClients::DropOldest);
    assert!(!hub.deflate);
}

#[test]
fn histories() {
    let history = hub("history = { messages = 0, age = \"1s\", memory = \"0B\" }").history;
    assert_eq!((history.messages, history.memory), (0, 0));
    assert_eq!(history.age, Duration::from_secs(1));
}

#[test]
fn all_origins() {
    assert_eq!(hub("origins = [\"*\"]").origins, Origins::Any);
}

#[test]
fn what_is_refused() {
    for (text, expected) in [
        (
            "mode = \"room\"",
            "3: hubs.chat.mode: found \"room\"; allowed: \"rooms\", \"echo\", \"relay\", \"hooks\"",
        ),
        (
            "mode = \"hooks\"",
            "1: hubs.chat: a hub of mode \"hooks\" does what its plugins decide: list at least one in `plugins`",
        ),
        (
            "mode = \"hooks\"\nplugins = []",
            "4: hubs.chat.plugins: a hub of mode \"hooks\" does what its plugins decide: list at least one in `plugins`",
        ),
        (
            "plugins = [\"guard\"]",
            "3: hubs.chat.plugins[0]: no plugin named \"guard\"; none is defined",
        ),
        (
            "backplane = \"nats://127.0.0.1\"",
            "3: hubs.chat.backplane: NATS is not part of this version; allowed: \"memory\", \"redis://…\"",
        ),
        (
            "backplane = \"env:SLUICEGATE_IS_NOT_SET\"",
            "3: hubs.chat.backplane: this environment variable is not set",
        ),
        (
            "backplane = \"disk\"",
            "3: hubs.chat.backplane: expected \"memory\", an address such as \"redis://:PASSWORD@HOST:6379/0\", or \"env:NAME\" with the name of an environment variable that has it",
        ),
        (
            "limits.rate = \"50\"",
            "3: hubs.chat.limits.rate: found \"50\"; expected messages a second such as \"50/s\", or \"none\" for no limit",
        ),
        (
            "limits.rate = \"0/s\"",
            "3: hubs.chat.limits.rate: found \"0/s\"; expected messages a second such as \"50/s\", or \"none\" for no limit",
        ),
        (
            "limits.message = \"1B\"",
            "3: hubs.chat.limits.message: found \"1B\"; expected a size from \"125B\" to \"1GiB\"",
        ),
        (
            "limits.connexions = 1",
            "3: hubs.chat.limits.connexions: unknown key; did you mean \"connections\"?",
        ),
        (
            "ping.interval = \"0s\"",
            "3: hubs.chat.ping.interval: found \"0s\"; expected a duration longer than zero",
        ),
        (
            "origins = [\"example.com\"]",
            "3: hubs.chat.origins[0]: found \"example.com\"; expected an origin such as \"https://example.com\", or \"*\" for all",
        ),
        (
            "origins = [\"https://a\", \"*\"]",
            "3: hubs.chat.origins[1]: \"*\" stands for all origins, and has to stand alone",
        ),
        (
            "subprotocols = [\"a b\"]",
            "3: hubs.chat.subprotocols[0]: found \"a b\"; expected the name of a subprotocol, such as \"chat.v1\"",
        ),
        (
            "slow_clients = \"wait\"",
            "3: hubs.chat.slow_clients: found \"wait\"; allowed: \"disconnect\", \"drop-oldest\"",
        ),
        (
            "pings = 1",
            "3: hubs.chat.pings: unknown key; did you mean \"ping\"?",
        ),
    ] {
        let text = format!("[hubs.chat]\npath = \"/ws\"\n{text}");
        assert_eq!(refused(&text), [expected], "{text}");
    }
    assert_eq!(
        refused("[hubs.chat]\nmode = \"echo\""),
        ["1: hubs.chat.path: missing; expected a path such as \"/users/{id}\" or \"/{*rest}\""]
    );
}

#[test]
fn a_path_that_is_taken() {
    assert_eq!(
        refused(
            "[hubs.a]\npath = \"/fallback\"\n[hubs.b]\npath = \"/{x}\"\n[hubs.c]\npath = \"/{y}\""
        ),
        [
            "1: hubs.a: never reached: routes[0] of line 11 matches the same host and path",
            "5: hubs.c: never reached: hubs.b of line 3 matches the same host and path",
        ]
    );
}

#[test]
fn a_gateway_may_be_hubs_alone() {
    let loaded = super::super::parse(
        "[hubs.chat]\npath = \"/ws\"",
        std::path::Path::new("gateway.toml"),
    );
    assert_eq!(loaded.unwrap().config.hubs.len(), 1);
}

#[test]
fn keys_that_mean_nothing_in_a_mode_are_warned_about() {
    let warnings = |lines: &str| warned(&format!("[hubs.chat]\npath = \"/ws\"\n{lines}")).1;
    assert_eq!(
        warnings("mode = \"relay\"\nhistory.messages = 5"),
        ["4: hubs.chat.history: of no effect: only a hub of mode \"rooms\" keeps histories"]
    );
    assert_eq!(
        warnings("subprotocols = [\"v1\"]"),
        [
            "3: hubs.chat.subprotocols: of no effect: a hub of mode \"rooms\" speaks its own protocol, sluicegate.hub.v1"
        ]
    );
    for lines in [
        "mode = \"relay\"\nsubprotocols = [\"v1\"]",
        "history.messages = 5",
    ] {
        assert!(warnings(lines).is_empty());
    }
}
