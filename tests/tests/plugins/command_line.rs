//! `run` and `check` as a user meets them: exit statuses, one clear line for each mistake, nothing bound.

use std::net::TcpStream;
use std::path::{Path, PathBuf};

use sluicegate_tests::{Answer, Finished, Process, Refusing, Upstream, Wire};

use crate::guests::{FOREIGN_IMPORT, NO_HOOKS};

/// A folder of files for one test, gone with it.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn with(name: &str, text: impl AsRef<[u8]>) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.add(name, text);
        folder
    }

    pub(crate) fn add(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

/// Has the stock plugins compiled into the cache, so that no test's limit has to hold for that as well.
pub(crate) fn compile_stock_plugins() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let output = std::process::Command::new(Process::binary())
            .args(["check", "--config", "gateway.toml"])
            .current_dir(repository())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    });
}

pub(crate) fn sluicegate(mode: &str, config: &str) -> Finished {
    compile_stock_plugins();
    Process::gateway([mode, "--config", config]).wait()
}

/// A port that nobody listens on, and a configuration that would.
fn listening(rest: &str) -> (std::net::SocketAddr, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (
        address,
        format!("[[listeners]]\naddress = \"{address}\"\n\n{rest}"),
    )
}

const ROUTE: &str = "[upstreams.a]\ntargets = [{ url = \"http://127.0.0.1:9\" }]\n[[routes]]\npath = \"/\"\nupstream = \"a\"\n";

/// Both `check` and `run` refuse it with 78 and these words, and nothing is listening.
#[track_caller]
pub(crate) fn refused(config: &str, words: &[&str]) -> String {
    let (address, text) = listening(config);
    let folder = Folder::with("gateway.toml", &text);
    let file = folder.path("gateway.toml");
    let mut last = String::new();
    for mode in ["check", "run"] {
        let finished = sluicegate(mode, &file);
        assert_eq!(finished.code(), 78, "{mode}: {}", finished.stderr);
        assert_eq!(finished.stdout, "", "{mode}");
        for word in words {
            assert!(
                finished.stderr.contains(word),
                "{mode}: no {word:?} in {}",
                finished.stderr
            );
        }
        assert!(
            !finished.stderr.contains("listening"),
            "{}",
            finished.stderr
        );
        assert!(TcpStream::connect(address).is_err());
        last = finished.stderr;
    }
    last
}

fn plugin(component: &str) -> String {
    format!("[plugins.mine]\ncomponent = \"{component}\"\n\n{ROUTE}plugins = [\"mine\"]\n")
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

#[test]
fn check_takes_the_example_configuration() {
    let file = repository().join("gateway.toml");
    let finished = sluicegate("check", file.to_str().unwrap());
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert!(
        finished.stdout.contains("gateway.toml: ok"),
        "{}",
        finished.stdout
    );
    assert!(!finished.stderr.contains("warning"), "{}", finished.stderr);
}

#[test]
fn check_binds_nothing() {
    // The address is taken: whoever would bind it would fail.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let folder = Folder::with(
        "gateway.toml",
        format!("[[listeners]]\naddress = \"{address}\"\n{ROUTE}"),
    );
    assert_eq!(sluicegate("check", &folder.path("gateway.toml")).code(), 0);
    let run = sluicegate("run", &folder.path("gateway.toml"));
    assert_eq!(run.code(), 1, "{}", run.stderr);
    assert!(run.stderr.contains(&address.to_string()), "{}", run.stderr);
}

#[test]
fn a_file_that_is_not_there() {
    for mode in ["check", "run"] {
        let finished = sluicegate(mode, "/nowhere/gateway.toml");
        assert_eq!(finished.code(), 78);
        assert!(
            finished.stderr.contains("/nowhere/gateway.toml"),
            "{}",
            finished.stderr
        );
    }
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once_with_their_lines_and_keys() {
    let errors = refused(
        "[server]\nworker = 2\n\n[upstreams.users]\nbalance = \"round-robbin\"\ntargets = [{ url = \"http://127.0.0.1:9\" }]\n\n[[routes]]\npath = \"/\"\nupstream = \"usres\"\nplugins = [\"absent\"]\n",
        &[
            "gateway.toml:5: server.worker: unknown key; did you mean \"workers\"?",
            "gateway.toml:8: upstreams.users.balance: found \"round-robbin\"",
            "gateway.toml:13: routes[0].upstream: no upstream named \"usres\"; did you mean \"users\"?",
            "gateway.toml:14: routes[0].plugins[0]: no plugin named \"absent\"",
        ],
    );
    assert_eq!(errors.lines().count(), 4, "{errors}");
}

#[test]
fn text_that_is_no_toml() {
    refused("[upstreams\n", &["gateway.toml:4"]);
}

#[test]
fn a_component_that_is_not_there() {
    let errors = refused(
        &plugin("absent.wasm"),
        &["plugins.mine", "absent.wasm", "No such file"],
    );
    assert_eq!(errors.matches("absent.wasm").count(), 1, "{errors}");
}

#[test]
fn a_component_that_is_garbage_empty_cut_or_a_core_module() {
    let whole = std::fs::read(NO_HOOKS).unwrap();
    let core_module = b"\0asm\x01\0\0\0".to_vec();
    let folder = Folder::with("garbage.wasm", "this is a text");
    folder.add("empty.wasm", "");
    folder.add("cut.wasm", &whole[..whole.len() / 2]);
    folder.add("module.wasm", core_module);
    for (file, words) in [
        ("garbage.wasm", "is not a WebAssembly component"),
        ("empty.wasm", "the file is empty"),
        ("cut.wasm", "can't be compiled"),
        ("module.wasm", "it is a core module; build it with"),
    ] {
        refused(
            &plugin(&folder.path(file)),
            &["plugins.mine.component", file, words],
        );
    }
}

#[test]
fn a_component_without_a_hook() {
    refused(
        &plugin(NO_HOOKS),
        &[
            "plugins.mine.component",
            "exports no hook that the gateway knows",
            "test:unrelated/greeter",
        ],
    );
}

#[test]
fn a_component_that_imports_what_is_not_given() {
    refused(
        &plugin(FOREIGN_IMPORT),
        &[
            "plugins.mine.component",
            "imports test:foreign/secrets",
            "does not provide",
        ],
    );
}

#[test]
fn a_stock_plugin_that_does_not_exist() {
    refused(
        &plugin("builtin:header-rewirte"),
        &[
            "plugins.mine.component",
            "header-rewirte",
            "header-rewrite, url-rewrite, body-mutate",
        ],
    );
}

#[test]
fn a_component_that_no_route_uses_must_be_good_all_the_same() {
    let text = format!("[plugins.mine]\ncomponent = \"{NO_HOOKS}\"\n{ROUTE}");
    refused(&text, &["plugins.mine.component", "exports no hook"]);
}

#[test]
fn a_target_that_is_down_is_answered_502_while_the_others_serve() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let down = Refusing::start();
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[upstreams.up]\ntargets = [{{ url = \"{}\" }}]\n[upstreams.down]\ntargets = [{{ url = \"{}\" }}]\n[[routes]]\npath = \"/up\"\nupstream = \"up\"\n[[routes]]\npath = \"/down\"\nupstream = \"down\"\n",
        upstream.url(),
        down.url()
    );
    let folder = Folder::with("gateway.toml", &text);
    let mut process = Process::gateway(["run", "--config", &folder.path("gateway.toml")]);
    let mut wire = Wire::new(TcpStream::connect(process.address()).unwrap());
    for _ in 0..3 {
        wire.write("GET /down HTTP/1.1\r\nhost: a\r\n\r\n");
        let response = wire.read_response("GET");
        assert_eq!(response.status(), 502);
        let status = response.header("proxy-status").unwrap();
        assert!(
            status.starts_with("sluicegate; error=connection_refused"),
            "{status}"
        );
        assert!(
            !response.text().contains("127.0.0.1"),
            "{}",
            response.text()
        );
        wire.write("GET /up HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(wire.read_response("GET").text(), "hello");
    }
    drop(wire);
    process.signal("TERM");
    assert_eq!(process.wait().code(), 0);
}
