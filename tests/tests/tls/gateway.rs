//! Gateways with TLS, whose files are in a folder of the test's.

use std::net::SocketAddr;
use std::path::Path;

use sluicegate::config;
use sluicegate::server::Server;
use sluicegate_tests::{Authority, RequestBuilder, Upstream, wait_until};

/// A gateway whose configuration is a file.
pub(crate) struct Live {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) authority: Authority,
    pub(crate) server: Server,
}

/// Its configuration: `listener` is what comes behind `address`, with `CERT` for the certificates of the listener.
pub(crate) fn configuration(listener: &str, rest: &str, upstream: &Upstream) -> String {
    configuration_to(listener, rest, &upstream.url())
}

/// As [`configuration`], with the upstream's URL.
pub(crate) fn configuration_to(listener: &str, rest: &str, url: &str) -> String {
    format!(
        "[server]\nworkers = 2\nshutdown_grace = \"0s\"\nLIMITS\n[admin]\naddress = \"127.0.0.1:0\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n{listener}\n[upstreams.a]\ntargets = [{{ url = \"{url}\" }}]\n[[routes]]\npath = \"/{{*rest}}\"\nupstream = \"a\"\n{rest}\n"
    )
}

impl Live {
    /// With TLS for `a.example`, and these further keys of `tls`.
    pub(crate) fn secure(keys: &str, upstream: &Upstream) -> Self {
        let listener = format!("tls = {{ certificates = [CERT], {keys} }}");
        Self::start(&configuration(&listener, "", upstream))
    }

    /// `CERT` in the text becomes a certificate for `a.example`, `CA` the authority's file, `LIMITS` nothing.
    pub(crate) fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let cert = authority.issue(&["a.example"]).write(folder.path(), "a");
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).unwrap();
        let text = text
            .replace("CERT", &cert)
            .replace("\"CA\"", &format!("\"{}\"", ca.display()))
            .replace("LIMITS\n", "");
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, text).unwrap();
        let server = start(&file);
        Self {
            folder,
            authority,
            server,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    /// One sample of `/metrics`; 0 where there is none.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let admin = self.server.admin_address().unwrap();
        let metrics = RequestBuilder::new(admin, "GET", "/metrics").send();
        let line = metrics.text().lines().find_map(|line| {
            let value = line.strip_prefix(name)?;
            value.trim().parse().ok()
        });
        line.unwrap_or(0)
    }

    /// Waits until so many handshakes have failed for a reason.
    #[track_caller]
    pub(crate) fn wait_for_failed(&self, reason: &str, count: u64) {
        let name = format!("sluicegate_failed_handshakes_total{{reason=\"{reason}\"}}");
        wait_until(&name, || self.metric(&name) == count);
    }
}

pub(crate) fn start(file: &Path) -> Server {
    let loaded = config::load(file).unwrap();
    Server::start(&loaded.config, &mut |_| {}).unwrap()
}
