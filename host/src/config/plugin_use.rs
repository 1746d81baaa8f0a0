//! `plugins = [...]`: the chains, in the server's and the routes' tables.

use super::Scope;
use super::model::{Origin, PluginUse};
use super::reader::Node;

/// The uses that are right, in the file's order.
pub(super) fn read_all(node: &Node<'_>, scope: &Scope<'_>) -> Option<Vec<PluginUse>> {
    Some(
        node.items()?
            .iter()
            .filter_map(|item| read(item, scope))
            .collect(),
    )
}

fn read(node: &Node<'_>, scope: &Scope<'_>) -> Option<PluginUse> {
    let (plugin, config, config_node) = if node.as_str().is_some() {
        (node.name_of("plugin", &scope.plugins), None, None)
    } else {
        let mut section = node
            .section(r#"a plugin's name, or a table such as { use = "NAME", config = {...} }"#)?;
        let plugin = section.require("use", "the name of a plugin");
        let config_node = section.take("config");
        let config = config_node.as_ref().and_then(Node::json_object);
        section.finish();
        let plugin = plugin?.name_of("plugin", &scope.plugins);
        (plugin, config, config_node)
    };
    let origin = Origin {
        path: node.path.clone(),
        line: node.line,
    };
    Some(PluginUse {
        plugin: plugin?.to_owned(),
        config,
        places: config_node.as_ref().map(Node::places).unwrap_or_default(),
        origin,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{accepted, refused};

    const PLUGINS: &str = "[plugins]\nheaders.component = \"builtin:header-rewrite\"\nurl.component = \"builtin:url-rewrite\"\n";

    #[test]
    fn names_and_tables_in_the_files_order() {
        let config = accepted(&format!(
            "{PLUGINS}[server]\nplugins = [\n  \"url\", {{ use = \"headers\" }},\n  {{ use = \"url\", config = {{ strip_prefix = \"/api\" }} }}\n]"
        ));
        let uses: Vec<(&str, Option<Value>, &str, usize)> = config
            .server
            .plugins
            .iter()
            .map(|used| {
                let config = used.config.clone().map(Value::Object);
                (
                    used.plugin.as_str(),
                    config,
                    used.origin.path.as_str(),
                    used.origin.line,
                )
            })
            .collect();
        assert_eq!(
            uses,
            [
                ("url", None, "server.plugins[0]", 6),
                ("headers", None, "server.plugins[1]", 6),
                (
                    "url",
                    Some(json!({ "strip_prefix": "/api" })),
                    "server.plugins[2]",
                    7
                ),
            ]
        );
    }

    #[test]
    fn what_is_refused() {
        for (uses, expected) in [
            (
                "\"headers\"",
                "5: server.plugins: found \"headers\"; expected an array",
            ),
            (
                "[\"haeders\"]",
                "5: server.plugins[0]: no plugin named \"haeders\"; did you mean \"headers\"?",
            ),
            (
                "[\"cache\"]",
                "5: server.plugins[0]: no plugin named \"cache\"; defined: \"headers\", \"url\"",
            ),
            (
                "[1]",
                "5: server.plugins[0]: found 1; expected a plugin's name, or a table such as { use = \"NAME\", config = {...} }",
            ),
            (
                "[{ config = {} }]",
                "5: server.plugins[0].use: missing; expected the name of a plugin",
            ),
            (
                "[{ use = 1 }]",
                "5: server.plugins[0].use: found 1; expected the name of one of the plugins",
            ),
            (
                "[{ use = \"ulr\" }]",
                "5: server.plugins[0].use: no plugin named \"ulr\"; did you mean \"url\"?",
            ),
            (
                "[{ use = \"url\", on_failure = \"skip\" }]",
                "5: server.plugins[0].on_failure: unknown key; allowed here: config, use",
            ),
            (
                "[{ use = \"url\", config = 1 }]",
                "5: server.plugins[0].config: found 1; expected a table",
            ),
        ] {
            assert_eq!(
                refused(&format!("{PLUGINS}[server]\nplugins = {uses}")),
                [expected],
                "{uses}"
            );
        }
        assert_eq!(
            refused("server.plugins = [\"url\"]"),
            ["1: server.plugins[0]: no plugin named \"url\"; none is defined"]
        );
    }
}
