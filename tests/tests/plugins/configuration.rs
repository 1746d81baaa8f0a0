//! Configurations that a plugin refuses when they are loaded.

use crate::command_line::refused;
use crate::guests::{PROBE, probe};

const UPSTREAM: &str = "[upstreams.a]\ntargets = [{ url = \"http://127.0.0.1:9\" }]\n";

fn route(plugins: &str) -> String {
    format!("[[routes]]\npath = \"/\"\nupstream = \"a\"\nplugins = [{plugins}]\n")
}

#[test]
fn a_plugins_no_names_the_key_the_line_and_the_plugins_words() {
    let plugin = probe("mine", r#"refuse = "no tenant is called acme""#);
    refused(
        &format!("{plugin}\n{UPSTREAM}{}", route(r#""mine""#)),
        &[
            "gateway.toml:4: plugins.mine.config: ",
            "no tenant is called acme",
        ],
    );
}

#[test]
fn a_no_to_a_routes_own_configuration_names_the_route() {
    let plugin = probe("mine", "");
    let own = r#"{ use = "mine", config = { refuse = "not on this route" } }"#;
    refused(
        &format!("{plugin}\n{UPSTREAM}{}", route(&format!("\"mine\", {own}"))),
        &["routes[0].plugins[1].config: ", "not on this route"],
    );
}

#[test]
fn a_no_to_a_key_of_a_routes_own_configuration_names_the_key_and_its_line() {
    let plugin = "[plugins.mine]\ncomponent = \"builtin:header-rewrite\"\n";
    let own = "{ use = \"mine\", config = { request = {\n  remove = [\"x-a\", \"a b\"],\n} } }";
    refused(
        &format!("{plugin}{UPSTREAM}{}", route(&format!("\"mine\",\n{own}"))),
        &["gateway.toml:13: routes[0].plugins[1].config.request.remove: "],
    );
}

#[test]
fn a_no_to_a_plugin_of_the_server_is_told_too() {
    let plugin = probe("mine", r#"refuse = "not at all""#);
    refused(
        &format!(
            "[server]\nplugins = [\"mine\"]\n{plugin}\n{UPSTREAM}{}",
            route("")
        ),
        &["plugins.mine.config: ", "not at all"],
    );
}

#[test]
fn the_noes_of_several_plugins_are_told_at_once() {
    let one = probe("one", r#"refuse = "no one""#);
    let two = probe("two", r#"refuse = "no two""#);
    refused(
        &format!("{one}\n{two}\n{UPSTREAM}{}", route(r#""one", "two""#)),
        &[
            "plugins.one.config",
            "no one",
            "plugins.two.config",
            "no two",
        ],
    );
}

#[test]
fn a_key_that_a_plugin_does_not_know_is_refused_with_its_path() {
    let plugin = format!(
        "[plugins.mine]\ncomponent = \"{PROBE}\"\nconfig = {{ request = [{{ do = \"set-path\", valeu = \"/\" }}] }}\n"
    );
    refused(
        &format!("{plugin}\n{UPSTREAM}{}", route(r#""mine""#)),
        &["gateway.toml:6: plugins.mine.config.request[0]: ", "valeu"],
    );
}

#[test]
fn unknown_keys_of_the_stock_plugins_are_refused_by_name() {
    for (builtin, config, key) in [
        (
            "header-rewrite",
            "[plugins.mine.config.request]\nset = { x-a = \"b\" }\nsett = { x-a = \"b\" }",
            "8: plugins.mine.config.request.sett: ",
        ),
        (
            "url-rewrite",
            "config.strip_prefix = \"/a\"\nconfig.strip = \"/api\"",
            "7: plugins.mine.config.strip: ",
        ),
        (
            "body-mutate",
            "[[plugins.mine.config.response.replace]]\nfind = \"a\"\nwiht = \"b\"",
            "8: plugins.mine.config.response.replace[0].wiht: ",
        ),
    ] {
        let plugin = format!("[plugins.mine]\ncomponent = \"builtin:{builtin}\"\n{config}\n");
        refused(
            &format!("{plugin}\n{UPSTREAM}{}", route(r#""mine""#)),
            &[&format!(
                "gateway.toml:{key}plugin \"mine\" refuses it: unknown field"
            )],
        );
    }
}
