//! What the README shows is accepted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use sluicegate_hub_guard::HubGuard;
use sluicegate_plugin::Plugin;

#[test]
fn the_examples_are_accepted() {
    let readme = include_str!("../README.md");
    let mut accepted = 0;
    for block in readme
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
    {
        let file: toml::Table = block.parse().unwrap();
        let plugins = file.get("plugins").and_then(toml::Value::as_table);
        for (name, plugin) in plugins.into_iter().flatten() {
            let json = serde_json::to_string(&plugin["config"]).unwrap();
            let config = sluicegate_plugin::config::parse(&json).unwrap();
            HubGuard::new(config)
                .map_err(|error| format!("{name}: {error}"))
                .unwrap();
            accepted += 1;
        }
    }
    assert!(accepted > 0);
}
