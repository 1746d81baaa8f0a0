//! Which connections are used again, and for whom.

use sluicegate::config;
use sluicegate::server::Server;
use sluicegate_tests::{Answer, RequestBuilder, Upstream};

/// A gateway whose file can change.
pub(crate) struct Changing {
    pub(crate) server: Server,
    file: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Changing {
    pub(crate) fn start(upstream: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, text(upstream)).unwrap();
        let loaded = config::load(&file).unwrap();
        let server = Server::start(&loaded.config, &mut |_| {}).unwrap();
        Self {
            server,
            file,
            _folder: folder,
        }
    }

    pub(crate) fn become_(&self, upstream: &str) {
        self.try_become(upstream).unwrap();
    }

    /// The problems, if it is refused.
    pub(crate) fn try_become(&self, upstream: &str) -> Result<(), String> {
        std::fs::write(&self.file, text(upstream)).unwrap();
        let reloaded = self.server.running().reload();
        reloaded.map(|_| ()).map_err(|error| error.to_string())
    }

    pub(crate) fn get(&self) -> String {
        let request = RequestBuilder::new(self.server.addresses()[0], "GET", "/");
        request.send().text().to_owned()
    }
}

fn text(upstream: &str) -> String {
    format!(
        "[server]\nworkers = 1\nshutdown_grace = \"0s\"\nwatch = false\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         [upstreams.a]\n{upstream}\n[[routes]]\npath = \"/{{*rest}}\"\nupstream = \"a\"\n"
    )
}

#[test]
fn a_connection_is_never_used_for_another_proxy_other_credentials_another_mode_or_target() {
    // Whether it is asked as a proxy or as a target.
    let echo = || {
        Upstream::start(|request| {
            if request.method() == "CONNECT" {
                return Answer::ok("");
            }
            Answer::ok(format!("connection {}", request.connection))
        })
    };
    let (one, other) = (echo(), echo());
    let via = |proxy: &Upstream, rest: &str| {
        let address = proxy.address();
        format!(
            "targets = [{{ url = \"http://origin.invalid\" }}]\nvia = \"http://{address}\"\n{rest}"
        )
    };
    let gateway = Changing::start(&via(&one, ""));
    assert_eq!(gateway.get(), "connection 0");
    assert_eq!(gateway.get(), "connection 0");
    // What does not matter to the target changes nothing.
    gateway.become_(&via(
        &one,
        "no_proxy = [\"x.example\"]\ntimeouts = { connect = \"3s\" }",
    ));
    assert_eq!(gateway.get(), "connection 0");
    // Another proxy.
    gateway.become_(&via(&other, ""));
    assert_eq!(gateway.get(), "connection 0");
    assert_eq!((one.connections(), other.connections()), (1, 1));
    // Credentials.
    let with =
        |password| via(&other, "").replace("http://127", &format!("http://u:{password}@127"));
    gateway.become_(&with("a"));
    assert_eq!(gateway.get(), "connection 1");
    gateway.become_(&with("b"));
    assert_eq!(gateway.get(), "connection 2");
    // The mode.
    gateway.become_(&(with("b") + "via_mode = \"connect\""));
    assert_eq!(gateway.get(), "connection 3");
    // The target, behind the same proxy.
    gateway.become_(&with("b").replace("origin.invalid", "second.invalid"));
    assert_eq!(gateway.get(), "connection 4");
    // No proxy at all.
    gateway.become_(&format!("targets = [{{ url = \"{}\" }}]", other.url()));
    assert_eq!(gateway.get(), "connection 5");
    let targets: Vec<String> = other
        .received()
        .iter()
        .map(|r| r.target().to_owned())
        .collect();
    assert_eq!(
        targets,
        [
            "http://origin.invalid/",
            "http://origin.invalid/",
            "http://origin.invalid/",
            "origin.invalid:80",
            "/",
            "http://second.invalid/",
            "/"
        ]
    );
}
