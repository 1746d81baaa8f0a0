//! A plugin on a route sends into hubs that it was granted.

use std::sync::{Arc, Mutex};

use sluicegate::hub::hooks::Message;
use sluicegate::plugin::host_hub_publish::{Hubs, Receivers, Refusal};
use sluicegate_tests::{Answer, Gateway, Upstream};

use crate::command_line::refused;
use crate::guests::NOTIFIER;
use crate::hub_hooks::hub_probe;

/// Stands where the running hubs would, and writes down what comes.
#[derive(Debug, Default)]
struct Recorded(Mutex<Vec<(String, Receivers, Message)>>);

impl Hubs for Recorded {
    fn send(&self, hub: &str, to: Receivers, message: Message) -> Result<(), Refusal> {
        if to == Receivers::Room("full".to_owned()) {
            return Err(Refusal::Unavailable("no room for it"));
        }
        self.0.lock().unwrap().push((hub.to_owned(), to, message));
        Ok(())
    }
}

const HUBS: &str = "[hubs.chat]\npath = \"/ws\"\n[hubs.news]\npath = \"/news\"\n";

fn notifier(lines: &str) -> String {
    format!(
        "[plugins.p]\ncomponent = \"{NOTIFIER}\"\nlimits = {{ time = \"10s\", wall = \"10s\" }}\n{lines}\n"
    )
}

#[test]
fn a_director_sends_into_the_hubs_that_it_was_granted() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let gateway = Gateway::new()
        .toml(&notifier(r#"allow = { hubs = ["chat"] }"#))
        .toml(HUBS)
        .upstream("a", [upstream.url()])
        .route_with("/{*rest}", "a", r#"plugins = ["p"]"#)
        .start();
    let recorded = Arc::new(Recorded::default());
    let outlet = Arc::clone(&gateway.running().snapshot().registry.outlet);
    outlet.connect(Arc::clone(&recorded) as Arc<dyn Hubs>);
    let long = "x".repeat(129);
    for (query, status, words) in [
        ("hub=chat&room=a&text=one", 202, ""),
        ("hub=chat&client=ann&text=two", 202, ""),
        ("hub=chat&text=three", 202, ""),
        ("hub=news&room=a&text=x", 409, "UnknownHub"),
        ("hub=none&room=a&text=x", 409, "UnknownHub"),
        ("hub=chat&room=&text=x", 409, "InvalidName"),
        (
            &*format!("hub=chat&client={long}&text=x"),
            409,
            "InvalidName",
        ),
        (
            "hub=chat&room=full&text=x",
            409,
            "Unavailable(\"no room for it\")",
        ),
    ] {
        let response = gateway.get(&format!("/?{query}")).send();
        assert_eq!(response.status(), status, "{query}");
        assert!(
            response.text().contains(words),
            "{query}: {}",
            response.text()
        );
    }
    let text = |text: &str| Message::Text(text.to_owned());
    let chat = || "chat".to_owned();
    assert_eq!(
        *recorded.0.lock().unwrap(),
        [
            (chat(), Receivers::Room("a".to_owned()), text("one")),
            (chat(), Receivers::Client("ann".to_owned()), text("two")),
            (chat(), Receivers::Everyone, text("three")),
        ]
    );
    assert!(upstream.received().is_empty());
}

const UPSTREAM: &str = "[upstreams.a]\ntargets = [{ url = \"http://127.0.0.1:9\" }]\n";

fn route(plugins: &str) -> String {
    format!("[[routes]]\npath = \"/\"\nupstream = \"a\"\nplugins = [{plugins}]\n")
}

#[test]
fn a_plugin_that_would_send_into_hubs_has_to_be_granted_one_that_there_is() {
    let rest = format!("{HUBS}{UPSTREAM}{}", route(r#""p""#));
    refused(
        &format!("{}{rest}", notifier("")),
        &[
            "plugins.p.component: the component imports sluicegate:plugin/hub-publish@0.1.0",
            "`allow = { hubs = [\"NAME\"] }`",
        ],
    );
    refused(
        &format!("{}{rest}", notifier(r#"allow = { hubs = ["chta"] }"#)),
        &["plugins.p.allow.hubs[0]: no hub named \"chta\"; did you mean \"chat\"?"],
    );
}

#[test]
fn nothing_is_sent_while_a_plugin_is_configured() {
    let lines = "allow = { hubs = [\"chat\"] }\nconfig = { early = \"chat\" }";
    refused(
        &format!("{}{HUBS}{UPSTREAM}{}", notifier(lines), route(r#""p""#)),
        &[
            "plugins.p.config: ",
            "no such hub is granted to this plugin",
        ],
    );
}

#[test]
fn a_plugin_is_listed_where_it_has_hooks() {
    let hub = |plugins: &str| format!("[hubs.chat]\npath = \"/ws\"\nplugins = [{plugins}]\n");
    let probe = hub_probe("mine", r#"message = [{ do = "forward" }]"#);
    refused(
        &format!("{probe}{UPSTREAM}{}{}", route(r#""mine""#), hub("")),
        &[
            "routes[0].plugins[0]: plugin \"mine\" has no hooks for routes, it exports hub; list it in hubs.NAME.plugins",
        ],
    );
    refused(
        &format!(
            "[server]\nplugins = [\"mine\"]\n{probe}{UPSTREAM}{}",
            route("")
        ),
        &["server.plugins[0]: plugin \"mine\" has no hooks for routes"],
    );
    let stock = "[plugins.mine]\ncomponent = \"builtin:url-rewrite\"\n";
    refused(
        &format!("{stock}{UPSTREAM}{}{}", route(""), hub(r#""mine""#)),
        &[
            "hubs.chat.plugins[0]: plugin \"mine\" has no hooks for hubs, it exports director; list it in the plugins of a route or of the server",
        ],
    );
}

#[test]
fn a_plugins_no_to_its_configuration_in_a_hub_names_the_hub() {
    let own = r#"{ use = "mine", config = { refuse = "not in this hub" } }"#;
    let hub = format!("[hubs.chat]\npath = \"/ws\"\nplugins = [{own}]\n");
    let probe = hub_probe("mine", "");
    refused(
        &format!("{probe}{UPSTREAM}{}{hub}", route("")),
        &["hubs.chat.plugins[0].config: ", "not in this hub"],
    );
    let guard = "[plugins.mine]\ncomponent = \"builtin:hub-guard\"\nconfig = { tokn = {} }\n";
    let hub = "[hubs.chat]\npath = \"/ws\"\nplugins = [\"mine\"]\n";
    refused(
        &format!("{guard}{UPSTREAM}{}{hub}", route("")),
        &["plugins.mine.config.tokn: ", "unknown field `tokn`"],
    );
}
