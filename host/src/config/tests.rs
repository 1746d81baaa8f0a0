//! The file as a whole: the contract's example, many problems at once, what is no TOML, and that no text panics.

use std::path::Path;

use proptest::prelude::*;

use super::*;

/// The configuration contract's example, with every key that it knows; what the contract shows as a
/// comment is here as one, too.
const CONTRACT: &str = r#"
[server]
workers = 0                          # 0: one per core
shutdown_grace = "30s"
trusted_proxies = ["127.0.0.1/32"]   # whose X-Forwarded-* is believed
plugins = []                         # outermost layer of every route's chain
limits = { connections = 10000, header_bytes = "64KiB", headers = 100, header_timeout = "10s", idle_timeout = "60s", body_bytes = "none" }

[[listeners]]
address = "127.0.0.1:8080"
# tls = { certificates = [ { cert = "site.pem", key = "site.key" } ] }
# protocols = ["h2", "http/1.1"]

[admin]
address = "127.0.0.1:9900"
# token = "env:SLUICEGATE_ADMIN_TOKEN"

[access_log]
format = "json"

[plugins.headers]
component = "builtin:header-rewrite"
on_failure = "reject"
isolation = "reuse"
limits = { time = "10ms", wall = "5s", memory = "16MiB", instances = 64 }
allow = { env = [], http = ["auth.internal:8080"], store = false }
[plugins.headers.config]
request = { set = { "x-user" = "anonymous" }, remove = ["x-secret"] }
response = { set = { "x-gateway" = "sluicegate" }, remove = ["server"] }

[upstreams.users]
balance = "weighted-round-robin"
# hash_on = "header:x-user"
targets = [
  { url = "http://127.0.0.1:9001", weight = 5 },
  { url = "http://127.0.0.1:9002" },
]
protocol = "http/1.1"
via = "direct"
via_mode = "auto"
timeouts = { connect = "2s", response = "30s", idle = "60s" }
retries = { attempts = 2, on = ["connect-failure", "502", "503"], budget = 0.2 }
health = { path = "/healthz", interval = "5s", timeout = "1s", healthy = 2, unhealthy = 3 }
outliers = { failures = 5, ejection = "30s", max_ejected = 0.5 }
# tls = { ca = "ca.pem", server_name = "users.internal", verify = true, client = { cert = "c.pem", key = "c.key" } }

[[routes]]
name = "users"
host = "api.example.com"
path = "/users/{id}"
methods = ["GET", "POST"]
upstream = "users"
plugins = ["headers", { use = "url", config = { strip_prefix = "/api" } }]
timeout = "60s"
preserve_host = false

[hubs.chat]
path = "/ws"
mode = "rooms"
plugins = []
limits = { connections = 100000, message = "64KiB", rate = "50/s", queue = "1MiB" }
ping = { interval = "25s", timeout = "8s" }
backplane = "memory"
"#;

/// The example without its grant, and with the plugin that it leaves out.
fn contract_of_this_version() -> String {
    let without_grant = CONTRACT.replace(r#"http = ["auth.internal:8080"]"#, "http = []");
    format!("{without_grant}\n[plugins.url]\ncomponent = \"plugins/url.wasm\"\n")
}

fn problems(text: &str) -> Vec<String> {
    let error = parse(text, Path::new("gateway.toml")).unwrap_err();
    error.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn the_contracts_example_is_refused_for_what_this_version_does_not_do() {
    assert_eq!(
        problems(CONTRACT),
        [
            "gateway.toml:26: plugins.headers.allow.http: outgoing requests of plugins are not part of this version; found a grant; allowed: []",
            "gateway.toml:53: routes[0].plugins[1].use: no plugin named \"url\"; defined: \"headers\"",
        ]
    );
}

#[test]
fn the_rest_of_the_contracts_example_is_accepted_without_a_warning() {
    let loaded = parse(&contract_of_this_version(), Path::new("etc/gateway.toml")).unwrap();
    let config = &loaded.config;
    assert_eq!(config.source, Path::new("etc/gateway.toml"));
    assert_eq!(
        config.server.trusted_proxies,
        ["127.0.0.1/32".parse::<ipnet::IpNet>().unwrap()]
    );
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(
        config.access_log.as_ref().unwrap().format,
        AccessLogFormat::Json
    );
    assert_eq!(
        config.plugins.keys().collect::<Vec<_>>(),
        ["headers", "url"]
    );
    let url = std::env::current_dir()
        .unwrap()
        .join("etc/plugins/url.wasm");
    assert_eq!(
        config.plugins.get("url").unwrap().component,
        ComponentSource::File(url)
    );
    let users = config.upstreams.get("users").unwrap();
    assert_eq!(
        (users.balance, users.retries.attempts),
        (Algorithm::WeightedRoundRobin, 2)
    );
    let targets: Vec<_> = users
        .targets
        .iter()
        .map(|target| (target.place.to_string(), target.weight.get()))
        .collect();
    assert_eq!(
        targets,
        [
            ("127.0.0.1:9001".to_owned(), 5),
            ("127.0.0.1:9002".to_owned(), 1)
        ]
    );
    let route = config.routes.first().unwrap();
    assert_eq!(
        (&*route.name, route.host.as_deref(), route.methods.len()),
        ("users", Some("api.example.com"), 2)
    );
    let plugins: Vec<_> = route
        .plugins
        .iter()
        .map(|used| used.plugin.as_str())
        .collect();
    assert_eq!(plugins, ["headers", "url"]);

    assert_eq!(loaded.warnings, []);
}

#[test]
fn the_repositorys_example_is_accepted_without_a_warning() {
    let text = include_str!("../../../gateway.toml");
    let loaded = parse(text, Path::new("gateway.toml")).unwrap();
    assert_eq!(loaded.warnings, []);
    assert!(loaded.config.routes.len() > 1 && !loaded.config.server.plugins.is_empty());
}

#[test]
fn all_problems_are_reported_at_once_in_the_files_order() {
    let text = r#"
routs = []
[server]
workers = "many"
limits = { header_bytes = "64KB", headers = -1 }
[upstreams.users]
balance = "round robin"
targets = [
  { url = "ftp://127.0.0.1:9001" },
  { url = "http://127.0.0.1:9002", weight = 0 },
]
[[routes]]
path = "/a"
upstream = "usres"
[[routes]]
upstream = "users"
plugins = ["x"]
timeout = 5
"#;
    assert_eq!(
        problems(text),
        [
            "gateway.toml:2: routs: unknown key; did you mean \"routes\"?",
            "gateway.toml:4: server.workers: found \"many\"; expected a whole number from 0 to 1024",
            "gateway.toml:5: server.limits.header_bytes: found \"64KB\"; expected a size such as \"512B\", \"64KiB\", \"16MiB\" or \"1GiB\"",
            "gateway.toml:5: server.limits.headers: found -1; expected a whole number from 1 to 10000",
            "gateway.toml:7: upstreams.users.balance: found \"round robin\"; allowed: \"random\", \"round-robin\", \"weighted-round-robin\", \"consistent-hash\", \"least-request\", \"peak-ewma\", \"maglev\"",
            "gateway.toml:9: upstreams.users.targets[0].url: found the scheme \"ftp\"; expected http://host[:port][/base], https://host[:port][/base] or unix:/path/of/socket[:/base]",
            "gateway.toml:10: upstreams.users.targets[1].weight: found 0; expected a whole number from 1 to 65535",
            "gateway.toml:14: routes[0].upstream: no upstream named \"usres\"; did you mean \"users\"?",
            "gateway.toml:15: routes[1].path: missing; expected a path such as \"/users/{id}\" or \"/{*rest}\"",
            "gateway.toml:17: routes[1].plugins[0]: no plugin named \"x\"; none is defined",
            "gateway.toml:18: routes[1].timeout: found 5; expected a duration such as \"250ms\", \"2s\", \"1m\" or \"1h\"",
        ]
    );
}

#[test]
fn an_unknown_section_is_told_what_there_is() {
    let text = contract_of_this_version() + "[metrics]\nport = 1\n";
    let line = text.lines().count() - 1;
    assert_eq!(
        problems(&text),
        [format!(
            "gateway.toml:{line}: metrics: unknown key; allowed here: access_log, admin, hubs, listeners, plugins, routes, server, upstreams"
        )]
    );
}

#[test]
fn text_that_is_no_toml_is_told_by_line() {
    assert_eq!(
        problems("[server]\nworkers = 1\nworkers = 2\nshutdown_grace = 2s\n"),
        [
            "gateway.toml:3: not TOML: duplicate key",
            "gateway.toml:4: not TOML: string values must be quoted, expected literal string",
        ]
    );
    assert_eq!(
        problems("a = [\n1,\n"),
        ["gateway.toml:2: not TOML: unclosed array, expected `]`"]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_without_a_line() {
    let error = load(Path::new("no/such/gateway.toml")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no/such/gateway.toml: cannot be read: "),
        "{error}"
    );
}

#[test]
fn files_are_loaded_and_bytes_that_are_no_text_are_told_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, contract_of_this_version()).unwrap();
    let config = load(&path).unwrap().config;
    let url = std::path::absolute(folder.path())
        .unwrap()
        .join("plugins/url.wasm");
    assert_eq!(
        config.plugins.get("url").unwrap().component,
        ComponentSource::File(url)
    );

    std::fs::write(&path, b"[server]\nworkers = 1\nname = \"\xff\"\n").unwrap();
    let problems = load(&path).unwrap_err().problems;
    let expected = "found bytes that are not UTF-8, which TOML is written in".to_owned();
    assert_eq!(
        problems,
        [Problem {
            path: String::new(),
            line: 3,
            message: expected
        }]
    );
}

#[test]
fn windows_line_ends_count_as_one() {
    let text = contract_of_this_version()
        .replace('\n', "\r\n")
        .replace("workers = 0", "workers = x0");
    assert_eq!(
        problems(&text),
        ["gateway.toml:3: not TOML: string values must be quoted, expected literal string"]
    );
}

/// Lines of the example and of nonsense, shuffled: texts that are nearly right, which arbitrary ones never are.
fn shuffled_lines() -> impl Strategy<Value = String> {
    let lines: Vec<&'static str> = CONTRACT.lines().filter(|line| !line.is_empty()).collect();
    let nonsense = vec![
        "limits = 5",
        "targets = [1, [], {}]",
        "routes = {}",
        "use = []",
        "[plugins]",
        "a.b.\"c d\" = nan",
    ];
    let line = prop_oneof![8 => prop::sample::select(lines), 1 => prop::sample::select(nonsense)];
    prop::collection::vec(line, 0..40).prop_map(|lines| lines.join("\n"))
}

/// Values of every type, put where the example has one.
fn replaced_values() -> impl Strategy<Value = String> {
    let text = contract_of_this_version();
    let places = text.matches(" = ").count();
    let values = [
        "0",
        "-1",
        "1e400",
        "inf",
        "true",
        "\"\"",
        "\"env:X\"",
        "[]",
        "[[]]",
        "{}",
        "{ a = 1 }",
        "2026-01-01",
        "99999999999999999999",
    ];
    (0..places, prop::sample::select(values.to_vec())).prop_map(move |(place, value)| {
        let at = text.match_indices(" = ").nth(place).map_or(0, |(at, _)| at);
        let (before, after) = text.split_at(at);
        let (_, rest) = after.split_once('\n').unwrap_or((after, ""));
        format!("{before} = {value}\n{rest}")
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in prop_oneof![any::<String>(), shuffled_lines(), replaced_values()]) {
        if let Err(error) = parse(&text, Path::new("gateway.toml")) {
            prop_assert!(!error.problems.is_empty(), "refused without a reason:\n{text}");
            let lines = text.lines().count().max(1) + 1;
            for problem in &error.problems {
                prop_assert!((1..=lines).contains(&problem.line), "{problem:?}\n{text}");
                prop_assert!(!problem.message.is_empty());
            }
        }
    }
}
