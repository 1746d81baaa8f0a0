//! `sluicegate demo`: sample upstreams on real sockets and a gateway in front of them, so that a
//! newcomer sees a request pass through three WebAssembly components.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::thread::JoinHandle;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

use crate::config;
use crate::plugin::registry::Progress;
use crate::server::listen::is_taken;
use crate::server::{Server, StartError};

/// Names of the sample upstreams.
const NAMES: [&str; 3] = ["alder", "birch", "cedar"];

/// A running demo.
#[derive(Debug)]
pub struct Demo {
    server: Server,
    upstreams: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
    config: String,
}

/// Why the demo does not run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The sample upstreams need sockets and a thread.
    #[error("the sample upstreams can't be started: {0}")]
    Upstreams(#[from] std::io::Error),
    /// Somebody listens there already.
    #[error(
        "{0} is taken, by another demo perhaps; end that, or give another address with --listen"
    )]
    Taken(SocketAddr),
    /// The demo's own configuration was refused.
    #[error("{0}")]
    Config(#[from] config::ConfigError),
    /// The gateway does not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Demo {
    /// Starts the upstreams, then the gateway.
    ///
    /// # Errors
    /// See [`DemoError`].
    pub fn start(listen: SocketAddr, progress: Progress<'_>) -> Result<Self, DemoError> {
        if is_taken(listen) {
            return Err(DemoError::Taken(listen));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut listeners = Vec::new();
        let mut upstreams = Vec::new();
        for name in NAMES {
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
            upstreams.push(listener.local_addr()?);
            listeners.push((name, listener));
        }
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::Builder::new()
            .name("sample-upstreams".into())
            .spawn(move || LocalSet::new().block_on(&runtime, serve_all(listeners, stopped)))?;
        let text = configuration(listen, &upstreams);
        let loaded = config::parse(&text, Path::new("demo.toml"))?;
        let server = Server::start(&loaded.config, progress)?;
        Ok(Self {
            server,
            upstreams,
            stop,
            thread,
            config: text,
        })
    }

    /// Where the gateway listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.addresses().first().copied()
    }

    /// The demo's configuration.
    pub fn configuration(&self) -> &str {
        &self.config
    }

    /// What to try, as text for a terminal.
    pub fn instructions(&self) -> String {
        let gateway = self
            .address()
            .map(|address| address.to_string())
            .unwrap_or_default();
        let targets: Vec<String> = NAMES
            .iter()
            .zip(&self.upstreams)
            .map(|(name, address)| format!("{name} {address}"))
            .collect();
        format!(
            "
Sluicegate is running at http://{gateway}
  a chat through a WebSocket hub: open http://{gateway}/chat in two browser windows
  sample upstreams: {targets}, weights 5, 1, 1
  /api/{{*rest}}   passes three WebAssembly components: header-rewrite, url-rewrite, body-mutate
  /plain/{{*rest}} passes none

Try (each upstream answers with what it received):

  # Through the three components: /api is stripped, x-user is set, x-secret removed,
  # \"Hello\" in the answer becomes \"Hello from WebAssembly\".
  curl -i http://{gateway}/api/orders/7 -H 'x-secret: 1234'

  # The same request without plugins.
  curl -i http://{gateway}/plain/orders/7 -H 'x-secret: 1234'

  # A component that answers itself: a redirect.
  curl -i http://{gateway}/old/orders/7

  # Smooth weighted round robin: a a b a c a a.
  for i in 1 2 3 4 5 6 7; do curl -s http://{gateway}/plain/ | head -n 1; done

  # No route, and the gateway's own answer.
  curl -i http://{gateway}/nowhere

Ctrl-C ends the demo. Its configuration, to start your own gateway.toml from:

{config}
",
            targets = targets.join(", "),
            config = indent(&self.config),
        )
    }

    /// Ends the gateway and the upstreams.
    pub fn stop(self) {
        self.server.shut_down();
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the sample upstreams have panicked");
        }
    }
}

fn indent(text: &str) -> String {
    text.lines().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "  {line}");
        text
    })
}

fn configuration(listen: SocketAddr, upstreams: &[SocketAddr]) -> String {
    let mut targets = String::new();
    for (address, weight) in upstreams.iter().zip([5, 1, 1]) {
        let _ = writeln!(
            targets,
            "  {{ url = \"http://{address}\", weight = {weight} }},"
        );
    }
    format!(
        r#"[server]
shutdown_grace = "2s"

[[listeners]]
address = "{listen}"

[plugins.headers]
component = "builtin:header-rewrite"
[plugins.headers.config]
request = {{ default = {{ "x-user" = "anonymous" }}, set = {{ "x-client" = "${{client_ip}}" }}, remove = ["x-secret"] }}
response = {{ set = {{ "x-gateway" = "sluicegate" }} }}

[plugins.url]
component = "builtin:url-rewrite"
config = {{ strip_prefix = "/api" }}

[plugins.body]
component = "builtin:body-mutate"
config = {{ response = {{ replace = [{{ find = "Hello", with = "Hello from WebAssembly" }}] }} }}

[hubs.chat]
path = "/chat/ws"

[upstreams.sample]
balance = "weighted-round-robin"
targets = [
{targets}]

[[routes]]
name = "api"
path = "/api/{{*rest}}"
upstream = "sample"
plugins = ["headers", "url", "body"]

[[routes]]
name = "plain"
path = "/plain/{{*rest}}"
upstream = "sample"

[[routes]]
name = "start"
path = "/"
upstream = "sample"

[[routes]]
name = "chat page"
path = "/chat"
upstream = "sample"

[[routes]]
name = "old"
path = "/old/{{*rest}}"
upstream = "sample"
plugins = [{{ use = "url", config = {{ template = "/api/{{*rest}}", redirect = {{ status = 308, to = "${{path}}" }} }} }}]
"#
    )
}

async fn serve_all(
    listeners: Vec<(&'static str, TcpListener)>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    for (name, listener) in listeners {
        tasks.spawn_local(accept(name, listener));
    }
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn accept(name: &'static str, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        connections.spawn_local(async move {
            let service = service_fn(move |request| show(name, request));
            // A client that goes away in the middle is no news in a demo.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// The page that talks to the demo's hub.
const CHAT: &str = include_str!("demo/chat.html");

/// Answers with what came, or with the chat's page.
async fn show(
    name: &'static str,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    const MOST: usize = 64 * 1024;
    let (head, body) = request.into_parts();
    if head.uri.path() == "/chat" {
        return Ok(page(CHAT, "text/html; charset=utf-8"));
    }
    let mut text = format!("Hello! This is upstream {name}. I received:\n\n");
    let _ = writeln!(text, "{} {} {:?}", head.method, head.uri, head.version);
    for (field, value) in &head.headers {
        let _ = writeln!(
            text,
            "{field}: {}",
            String::from_utf8_lossy(value.as_bytes())
        );
    }
    match Limited::new(body, MOST).collect().await {
        Ok(body) => {
            let bytes = body.to_bytes();
            if !bytes.is_empty() {
                let _ = writeln!(text, "\n{}", String::from_utf8_lossy(&bytes));
            }
        }
        Err(_) => text.push_str("\n(a body that I did not read to its end)\n"),
    }
    Ok(page(text, "text/plain; charset=utf-8"))
}

fn page(text: impl Into<Bytes>, media_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    let media_type = HeaderValue::from_static(media_type);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}
