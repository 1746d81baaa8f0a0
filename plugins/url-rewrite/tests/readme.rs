//! What the README shows is accepted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use sluicegate_plugin::Plugin;
use sluicegate_url_rewrite::UrlRewrite;

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
        for (name, plugin) in file["plugins"].as_table().unwrap() {
            let json = serde_json::to_string(&plugin["config"]).unwrap();
            let config = sluicegate_plugin::config::parse(&json).unwrap();
            UrlRewrite::new(config)
                .map_err(|error| format!("{name}: {error}"))
                .unwrap();
            accepted += 1;
        }
    }
    assert!(accepted > 0);
}
