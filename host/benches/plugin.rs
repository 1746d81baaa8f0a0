//! What plugins cost a worker, without sockets: one hook call, a chain of three around an exchange, a fresh instance, and a
//! message of a hub's client.
//!
//! `cargo bench -p sluicegate --bench plugin`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(missing_docs)] // criterion's macros make public functions

use std::hint::black_box;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sluicegate::config;
use sluicegate::exchange::body::{RequestBody, ResponseBody};
use sluicegate::exchange::head::Stage;
use sluicegate::exchange::target::Target;
use sluicegate::exchange::{Exchange, ResponseHead};
use sluicegate::hub::hooks::{Action, Admission, ClientView, Hooks, Message};
use sluicegate::plugin::chain::{Chain, Inbound};
use sluicegate::plugin::hub_chain::HubChain;
use sluicegate::plugin::instance::Instance;
use sluicegate::plugin::pool::LayerPool;
use sluicegate::server::worker::{Generation, pools};
use sluicegate::snapshot::Snapshot;

// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GATEWAY: &str = r#"
[server]
workers = 1
[plugins.headers]
component = "builtin:header-rewrite"
config.request = { default = { "x-tenant" = "public" }, remove = ["x-secret"] }
[plugins.url]
component = "builtin:url-rewrite"
config = { strip_prefix = "/api" }
[plugins.body]
component = "builtin:body-mutate"
config.response = { replace = [{ find = "http://internal.example", with = "https://www.example.org" }] }
[upstreams.upstream]
targets = [{ url = "http://127.0.0.1:9" }]
[[routes]]
path = "/one/{*rest}"
upstream = "upstream"
plugins = ["headers"]
[[routes]]
path = "/three/{*rest}"
upstream = "upstream"
plugins = ["headers", "url", "body"]
"#;

const HUBS: &str = r#"
[server]
workers = 1
[plugins.size]
component = "builtin:hub-guard"
config.message = { max = "4KiB" }
[plugins.guard]
component = "builtin:hub-guard"
config.token = { tokens = [{ token = "0123456789abcdef", id = "ann" }] }
config.rooms = { join = ["hall", "user:{id}"], publish = ["hall"] }
config.message = { max = "4KiB", words = { deny = ["darn"], then = "mask" } }
[hubs.size]
path = "/size"
plugins = ["size"]
[hubs.guard]
path = "/guard"
plugins = ["guard"]
"#;

/// A worker's plugins, and the two routes' layers.
struct Worker {
    snapshot: Arc<Snapshot>,
    generation: Generation,
}

impl Worker {
    fn new() -> Self {
        let config = config::parse(GATEWAY, Path::new("bench.toml"))
            .expect("a valid configuration")
            .config;
        let snapshot =
            Arc::new(Snapshot::new(&config, None, &mut |_| {}).expect("the stock plugins"));
        let layers = pools(&snapshot, None);
        let generation = Generation::new(0, Arc::clone(&snapshot), layers, None);
        Self {
            snapshot,
            generation,
        }
    }

    fn layers(&self, route: &str) -> &[usize] {
        let route = self
            .snapshot
            .routes
            .iter()
            .find(|found| found.name.starts_with(route));
        &route.expect("a route of the configuration").layers
    }

    /// A request as a browser's would be by its number of fields, before the first plugin.
    fn exchange(&self) -> Box<Exchange> {
        let mut exchange = Box::new(Exchange::vacant());
        exchange.snapshot = Arc::clone(&self.snapshot);
        exchange.request.stage = Stage::Inbound;
        let target = PathAndQuery::from_static("/api/items/7?page=2");
        exchange.request.target = Target::from_client(target).expect("a valid target");
        let fields = [
            ("accept", "text/html,application/xhtml+xml"),
            ("accept-encoding", "identity"),
            ("accept-language", "en"),
            ("cookie", "session=0123456789abcdef"),
            ("user-agent", "bench/1.0"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("x-secret", "1"),
        ];
        for (name, value) in fields {
            exchange.request.headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        exchange
    }
}

fn answered(exchange: &mut Exchange, body: &Bytes) {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    exchange.request.stage = Stage::Sent;
    exchange.response = Some(ResponseHead::new(StatusCode::OK, headers));
}

/// 1 KiB with the words in three places.
fn body() -> Bytes {
    let mut text =
        "see http://internal.example/a and http://internal.example/b or http://internal.example/c "
            .to_owned();
    text.push_str(&"-".repeat(1024 - text.len()));
    text.into()
}

/// Hooks never wait where an instance is free and a body is in hand, so one poll is the whole of it.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a hook waits for something"),
    }
}

fn inbound(chain: &mut Chain<'_>, exchange: &mut Box<Exchange>) {
    let inbound =
        now(chain.inbound(exchange, RequestBody::Empty)).expect("plugins that do not fail");
    assert!(matches!(inbound, Inbound::Forward(_)));
}

/// What the chain has done, checked once: figures of plugins that do nothing would say nothing.
fn check(worker: &Worker) {
    let layers = worker.layers("/three");
    let mut exchange = worker.exchange();
    let mut chain = Chain::new(&worker.generation.layers, layers);
    inbound(&mut chain, &mut exchange);
    assert_eq!(
        exchange
            .request
            .headers
            .get("x-tenant")
            .expect("set by the plugin"),
        "public"
    );
    assert!(!exchange.request.headers.contains_key("x-secret"));
    assert_eq!(exchange.request.target.path(), "/items/7");
    answered(&mut exchange, &body());
    let out = now(chain.outbound(&mut exchange, ResponseBody::whole(body()), layers.len()))
        .expect("no failure");
    let out = now(out.collect_up_to(4096)).expect("a body in hand");
    let expected = String::from_utf8_lossy(&body())
        .replace("http://internal.example", "https://www.example.org");
    assert_eq!(out, expected);
}

/// A message of 128 bytes in the hub's protocol, through one plugin.
fn messages(criterion: &mut Criterion, worker: &Worker) {
    let config = config::parse(HUBS, Path::new("bench.toml"));
    let config = config.expect("a valid configuration").config;
    let snapshot = Snapshot::new(&config, None, &mut |_| {}).expect("the stock plugins");
    let layers = snapshot.registry.layers.iter();
    let pools: Vec<Rc<LayerPool>> = layers
        .map(|layer| Rc::new(LayerPool::new(Arc::clone(layer))))
        .collect();
    let text = format!(
        r#"{{"type":"publish","room":"hall","id":7,"data":"{}"}}"#,
        "hello ".repeat(13)
    );
    for (name, hub) in [
        (
            "a hub's message through a plugin that looks at its size",
            "size",
        ),
        (
            "a hub's message through one that reads rooms and words",
            "guard",
        ),
    ] {
        let mut hubs = snapshot.hubs.iter();
        let place = hubs.position(|found| &*found.config.name == hub);
        let chain = HubChain::of(&snapshot, place.expect("a hub"), &pools).expect("a plugin");
        let mut exchange = worker.exchange();
        let token = HeaderValue::from_static("Bearer 0123456789abcdef");
        exchange.request.headers.insert(AUTHORIZATION, token);
        let Ok(Admission::Accept(welcome)) = now(chain.on_connect(exchange)) else {
            panic!("{hub} lets nobody in");
        };
        let client = ClientView {
            id: "ann".into(),
            rooms: ["hall", "user:ann"].map(Arc::from).into(),
            state: welcome.state,
        };
        let message = Message::Text(text.clone());
        let call = |(client, message)| now(chain.on_message(client, message));
        let actions = call((client.clone(), message.clone())).expect("no failure");
        assert_eq!(actions, [Action::Forward]);
        criterion.bench_function(name, |bencher| {
            let arguments = || (client.clone(), message.clone());
            bencher.iter_batched(arguments, call, BatchSize::SmallInput);
        });
    }
}

fn plugins(criterion: &mut Criterion) {
    let worker = Worker::new();
    check(&worker);
    let pools = &worker.generation.layers;

    criterion.bench_function("one hook call that changes two request fields", |bencher| {
        let layers = worker.layers("/one");
        let call = |mut exchange| {
            inbound(&mut Chain::new(pools, layers), &mut exchange);
            exchange
        };
        bencher.iter_batched(|| worker.exchange(), call, BatchSize::SmallInput);
    });

    criterion.bench_function("a header-only plugin, in and out", |bencher| {
        let layers = worker.layers("/one");
        let body = body();
        let call = |mut exchange| {
            let mut chain = Chain::new(pools, layers);
            inbound(&mut chain, &mut exchange);
            answered(&mut exchange, &body);
            let out = now(chain.outbound(
                &mut exchange,
                ResponseBody::whole(body.clone()),
                layers.len(),
            ));
            (exchange, out.is_ok())
        };
        bencher.iter_batched(|| worker.exchange(), call, BatchSize::SmallInput);
    });

    criterion.bench_function(
        "a chain of three, in and out with a body of 1 KiB",
        |bencher| {
            let layers = worker.layers("/three");
            let body = body();
            let call = |mut exchange| {
                let mut chain = Chain::new(pools, layers);
                inbound(&mut chain, &mut exchange);
                answered(&mut exchange, &body);
                let out = now(chain.outbound(
                    &mut exchange,
                    ResponseBody::whole(body.clone()),
                    layers.len(),
                ));
                (exchange, out.is_ok())
            };
            bencher.iter_batched(|| worker.exchange(), call, BatchSize::SmallInput);
        },
    );

    messages(criterion, &worker);

    criterion.bench_function("a fresh instance of the header-only plugin", |bencher| {
        let layer = &pools[worker.layers("/one")[0]].layer;
        bencher.iter(|| black_box(Instance::new(layer, layer.limits.wall).is_ok()));
    });
}

criterion_group!(benches, plugins);
criterion_main!(benches);
