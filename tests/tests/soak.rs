//! A soak: mixed routes, plugins, reloads and a target that dies and comes back, for as long as `SOAK_SECONDS` says (8 unless
//! it does). Memory stays flat, descriptors come back to where they were, and no request fails.
//!
//! The long run: `SOAK_SECONDS=600 cargo test --release -p sluicegate-tests --test soak -- --nocapture`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sluicegate_tests::{
    Answer, Process, RequestBuilder, TargetProcess, Upstream, Wire, wait_until,
};

/// What is asked for, in turn: method, path, body.
const REQUESTS: [(&str, &str, usize); 5] = [
    ("GET", "/plain/small", 0),
    ("GET", "/headers/small", 0),
    ("GET", "/chain/small", 0),
    ("GET", "/chain/large", 0),
    ("POST", "/headers/echo", 20_000),
];

fn upstream() -> Upstream {
    let large = "The quick brown fox. ".repeat(10_000);
    Upstream::start(move |request| {
        let text = |answer: Answer| answer.header("content-type", "text/plain");
        match request.target() {
            "/small" | "/plain/small" | "/headers/small" => text(Answer::ok("a fox")),
            "/large" => text(Answer::status(200)).chunks([large.as_str(), large.as_str()]),
            _ => Answer::ok(request.text()),
        }
    })
}

fn configuration(round: usize, listen: &str, admin: &str, targets: &[String]) -> String {
    let targets: Vec<String> = targets
        .iter()
        .map(|url| format!("{{ url = \"{url}\" }}"))
        .collect();
    format!(
        r#"[server]
workers = 2
watch = false
[[listeners]]
address = "{listen}"
[admin]
address = "{admin}"
[plugins.headers]
component = "builtin:header-rewrite"
limits = {{ time = "1s" }}
config = {{ request = {{ set = {{ "x-round" = "{round}" }} }} }}
[plugins.url]
component = "builtin:url-rewrite"
limits = {{ time = "1s" }}
config = {{ strip_prefix = "/chain" }}
[plugins.body]
component = "builtin:body-mutate"
limits = {{ time = "1s" }}
config = {{ response = {{ replace = [{{ find = "fox", with = "cat" }}] }} }}
[upstreams.a]
targets = [{targets}]
timeouts = {{ connect = "1s" }}
retries = {{ attempts = 2, on = ["connect-failure", "502"], budget = 1.0 }}
outliers = {{ failures = 3, ejection = "500ms" }}
[upstreams.echo]
targets = [{first}]
[[routes]]
path = "/plain/{{*rest}}"
upstream = "a"
[[routes]]
path = "/headers/{{*rest}}"
upstream = "a"
plugins = ["headers"]
[[routes]]
path = "/headers/echo"
upstream = "echo"
plugins = ["headers"]
[[routes]]
path = "/chain/{{*rest}}"
upstream = "a"
plugins = ["headers", "url", "body"]
"#,
        targets = targets.join(", "),
        first = targets[0],
    )
}

/// A free port that is not listened on.
fn free() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A client that asks for everything in turn, over connections that it keeps for a while.
fn client(address: SocketAddr, stop: &AtomicBool, served: &AtomicUsize) -> Result<(), String> {
    let body = "x".repeat(20_000);
    while !stop.load(Ordering::SeqCst) {
        let mut wire = Wire::new(TcpStream::connect(address).map_err(|error| error.to_string())?);
        for (method, path, length) in REQUESTS.iter().cycle().take(50) {
            let request = RequestBuilder::new(address, method, path).body(&body[..*length]);
            let response = request.send_over(&mut wire);
            let is_whole = match *path {
                "/plain/small" | "/headers/small" => response.text() == "a fox",
                "/chain/small" => response.text() == "a cat",
                "/chain/large" => {
                    response.text().len() == 2 * 210_000 && !response.text().contains("fox")
                }
                _ => response.text().len() == body.len(),
            };
            if response.status() != 200 || !is_whole {
                return Err(format!("{method} {path}: {response:?}")
                    .chars()
                    .take(500)
                    .collect());
            }
            served.fetch_add(1, Ordering::SeqCst);
        }
    }
    Ok(())
}

/// A gauge of the admin listener.
fn gauge(admin: SocketAddr, name: &str) -> u64 {
    let response = RequestBuilder::new(admin, "GET", "/metrics").send();
    let line = response
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.trim().parse().ok())
        .unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn nothing_grows_and_nothing_fails() {
    let seconds = std::env::var("SOAK_SECONDS").ok();
    let seconds: u64 = seconds.map_or(8, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (steady, shaky) = (upstream(), upstream());
    let (listen, admin, target) = (free(), free(), free());
    let targets = [steady.url(), format!("http://{target}")];
    let mut other = Some(TargetProcess::start_at(target, &shaky));
    let file = folder.path().join("gateway.toml");
    let write = |round: usize| {
        let text = configuration(round, &listen.to_string(), &admin.to_string(), &targets);
        std::fs::write(&file, text).unwrap();
    };
    write(0);
    let mut gateway = Process::gateway(["run", "--config", file.to_str().unwrap()]);
    assert_eq!(gateway.address(), listen);
    wait_until("the admin listener answers", || {
        TcpStream::connect(admin).is_ok()
    });
    let descriptors = gauge(admin, "process_open_fds ");

    let (stop, served) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            std::thread::spawn(move || client(listen, &stop, &served))
        })
        .collect();
    let began = Instant::now();
    let mut memory = Vec::new();
    let mut reloads = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        let served_before = served.load(Ordering::SeqCst);
        reloads += 1;
        write(reloads);
        let response = RequestBuilder::new(admin, "POST", "/reload").send();
        assert_eq!(response.status(), 200, "{}", response.text());
        // The other target goes away and comes back. It finishes what it has begun: a body that breaks off halfway is no
        // gateway's to mend.
        other = match other {
            Some(process) => {
                process.stop();
                None
            }
            None => Some(TargetProcess::start_at(target, &shaky)),
        };
        wait_until("requests are served", || {
            served.load(Ordering::SeqCst) >= served_before + 200
                || clients.iter().any(std::thread::JoinHandle::is_finished)
        });
        memory.push(gauge(admin, "process_resident_memory_bytes "));
        if clients.iter().any(std::thread::JoinHandle::is_finished) {
            break;
        }
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        if !matches!(client.join(), Ok(Ok(()))) {
            let log = gateway.stderr();
            let end: Vec<&str> = log.lines().rev().take(40).collect();
            panic!(
                "a client failed, after {reloads} reloads and {} requests; the gateway runs: {}; the end of its log, last line first:\n{}",
                served.load(Ordering::SeqCst),
                gateway.is_running(),
                end.join("\n")
            );
        }
    }
    drop(other);
    let served = served.load(Ordering::SeqCst);
    let (early, late) = (median(&memory, 3, 10), median(&memory, 9, 10));
    println!(
        "{served} requests, {reloads} reloads, memory {} MiB early and {} MiB late",
        early >> 20,
        late >> 20
    );
    assert!(served > 100 && reloads > 1);
    // A short run still warms up.
    let growth = if seconds >= 300 { 1.05 } else { 1.3 };
    assert!(
        late as f64 <= early as f64 * growth,
        "memory grew from {early} to {late}: {memory:?}"
    );
    // Connections that are kept to the targets, and the one that asks.
    wait_until("descriptors are back", || {
        gauge(admin, "process_open_fds ") <= descriptors + 2 * 8 + 1
    });
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), 0);
}

/// The median of a tenth of the samples and its neighbours, so many tenths from the start.
fn median(samples: &[u64], tenth: usize, of: usize) -> u64 {
    let at = samples.len() * tenth / of;
    let from = at.saturating_sub(samples.len() / of);
    let mut part: Vec<u64> = samples[from..=at.min(samples.len() - 1)].to_vec();
    part.sort_unstable();
    part[part.len() / 2]
}
