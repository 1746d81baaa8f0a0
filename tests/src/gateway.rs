//! The gateway in this process.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use sluicegate::config;
use sluicegate::server::Server;
use sluicegate::server::reload::Running;

use crate::message::Transcript;
use crate::request::RequestBuilder;
use crate::upstream::Upstream;
use crate::wire::Wire;

/// A running gateway. Stopped when dropped, without a grace period unless its configuration gives one.
#[derive(Debug)]
pub struct Gateway {
    server: Server,
}

/// A gateway's configuration in the making.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct GatewayBuilder {
    text: String,
}

impl Gateway {
    /// Begins a configuration. Unless told otherwise the gateway listens on a free port and has one worker.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> GatewayBuilder {
        GatewayBuilder::default()
    }

    /// A configuration with one route, for everything, to this upstream, which is called `a`.
    pub fn in_front_of(upstream: &Upstream) -> GatewayBuilder {
        Self::in_front_of_url(upstream.url())
    }

    /// As [`Self::in_front_of`].
    pub fn in_front_of_url(url: impl AsRef<str>) -> GatewayBuilder {
        Self::new()
            .upstream("a", [url.as_ref()])
            .route("/{*rest}", "a")
    }

    /// A configuration as it stands in a file; more can be added.
    pub fn from_toml(text: &str) -> GatewayBuilder {
        Self::new().toml(text)
    }

    /// The configuration that it serves, with the state of its upstreams and plugins.
    pub fn running(&self) -> &Running {
        self.server.running()
    }

    /// Its first listener's address.
    pub fn address(&self) -> SocketAddr {
        self.addresses()[0]
    }

    /// Its listeners' addresses.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }

    /// Its admin listener's address, if it has one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.server.admin_address()
    }

    /// A request.
    pub fn request(&self, method: &str, target: &str) -> RequestBuilder {
        RequestBuilder::new(self.address(), method, target)
    }

    /// A GET request.
    pub fn get(&self, target: &str) -> RequestBuilder {
        self.request("GET", target)
    }

    /// A HEAD request.
    pub fn head(&self, target: &str) -> RequestBuilder {
        self.request("HEAD", target)
    }

    /// A POST request.
    pub fn post(&self, target: &str) -> RequestBuilder {
        self.request("POST", target)
    }

    /// A connection.
    #[track_caller]
    pub fn connect(&self) -> Wire {
        Wire::new(TcpStream::connect(self.address()).expect("the gateway listens"))
    }

    /// Sends these bytes over a connection of their own, and reads until the gateway closes it.
    #[track_caller]
    pub fn raw(&self, bytes: impl AsRef<[u8]>) -> Transcript {
        let mut wire = self.connect();
        // The gateway may answer and close before it has read everything.
        let _ = wire.try_write(bytes);
        wire.read_to_close()
    }

    /// Stops accepting, and returns when everything that was in flight has ended.
    pub fn shut_down(self) {
        self.server.shut_down();
    }
}

impl GatewayBuilder {
    /// Adds an upstream with these targets.
    pub fn upstream(self, name: &str, urls: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.upstream_with(name, urls, "")
    }

    /// Adds an upstream with these targets and further lines of TOML.
    pub fn upstream_with(
        self,
        name: &str,
        urls: impl IntoIterator<Item = impl AsRef<str>>,
        lines: &str,
    ) -> Self {
        let targets: Vec<String> = urls
            .into_iter()
            .map(|url| format!("{{ url = \"{}\" }}", url.as_ref()))
            .collect();
        let targets = targets.join(", ");
        self.toml(&format!(
            "[upstreams.{name}]\ntargets = [{targets}]\n{lines}"
        ))
    }

    /// Adds a route.
    pub fn route(self, path: &str, upstream: &str) -> Self {
        self.route_with(path, upstream, "")
    }

    /// Adds a route with further lines of TOML.
    pub fn route_with(self, path: &str, upstream: &str, lines: &str) -> Self {
        self.toml(&format!(
            "[[routes]]\npath = \"{path}\"\nupstream = \"{upstream}\"\n{lines}"
        ))
    }

    /// Adds lines to `[server]`.
    pub fn server(self, lines: &str) -> Self {
        self.toml(&format!("[server]\n{lines}"))
    }

    /// Adds text. It must begin with the header of a table.
    pub fn toml(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self.text.push_str("\n\n");
        self
    }

    /// The whole text, as it would stand in a file.
    pub fn text(&self) -> String {
        let mut text = self.text.clone();
        let mut defaults = String::new();
        for (key, value) in [("workers", "1"), ("shutdown_grace", "\"0s\"")] {
            if !text.contains(key) {
                let _ = writeln!(defaults, "{key} = {value}");
            }
        }
        if text.contains("[server]\n") {
            text = text.replacen("[server]\n", &format!("[server]\n{defaults}"), 1);
        } else {
            text = format!("[server]\n{defaults}\n{text}");
        }
        if !text.contains("[[listeners]]") {
            text.push_str("[[listeners]]\naddress = \"127.0.0.1:0\"\n");
        }
        text
    }

    /// Starts the gateway.
    #[track_caller]
    pub fn start(&self) -> Gateway {
        match self.try_start() {
            Ok(gateway) => gateway,
            Err(error) => panic!("the gateway does not start: {error}\n{}", self.text()),
        }
    }

    /// Starts the gateway; the error is what the command line would print.
    pub fn try_start(&self) -> Result<Gateway, String> {
        let loaded = config::parse(&self.text(), Path::new("gateway.toml"))
            .map_err(|error| error.to_string())?;
        Server::start(&loaded.config, &mut |_| {})
            .map(|server| Gateway { server })
            .map_err(|error| error.to_string())
    }
}
