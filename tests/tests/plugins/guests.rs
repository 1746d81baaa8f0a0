//! The guests of `tests/guests`, and configurations that use them.

use sluicegate_tests::{Gateway, GatewayBuilder};

/// Does in each hook what its configuration says.
pub(crate) const PROBE: &str = env!("GUEST_PROBE");
/// Exports `director` and nothing after it; puts `director-only` into the request's `x-in`.
pub(crate) const DIRECTOR_ONLY: &str = env!("GUEST_DIRECTOR_ONLY");
/// A director that sends into a hub, which has to be granted.
pub(crate) const NOTIFIER: &str = env!("GUEST_NOTIFIER");
/// A component without any hook.
pub(crate) const NO_HOOKS: &str = env!("GUEST_NO_HOOKS");
/// A component that imports what the gateway does not give.
pub(crate) const FOREIGN_IMPORT: &str = env!("GUEST_FOREIGN_IMPORT");

/// A probe with this configuration (lines of TOML).
pub(crate) fn probe(name: &str, config: &str) -> String {
    probe_with(name, "", config)
}

/// A probe with further lines for the plugin itself. Unless they say otherwise it has time enough for the slowest
/// machine.
pub(crate) fn probe_with(name: &str, lines: &str, config: &str) -> String {
    let limits = if lines.contains("limits") {
        ""
    } else {
        "limits = { time = \"10s\", wall = \"10s\" }"
    };
    format!(
        "[plugins.{name}]\ncomponent = \"{PROBE}\"\n{lines}\n{limits}\n[plugins.{name}.config]\n{config}"
    )
}

/// A probe that leaves its name in `x-in` on the way in and in `x-out` on the way out.
pub(crate) fn marker(name: &str) -> String {
    probe(
        name,
        &format!(
            r#"request = [{{ do = "append-header", name = "x-in", value = "{name}" }}]
               response = [{{ do = "append-header", name = "x-out", value = "{name}" }}]"#
        ),
    )
}

/// One upstream, one route for everything, and this plugin (see [`probe`]) on it, which is called `p`.
pub(crate) fn through(plugin: &str, url: impl AsRef<str>) -> GatewayBuilder {
    chain(&[plugin.to_owned()], r#""p""#, url)
}

/// One upstream, one route for everything, and the listed plugins on it.
pub(crate) fn chain(plugins: &[String], listed: &str, url: impl AsRef<str>) -> GatewayBuilder {
    Gateway::new()
        .toml(&plugins.join("\n\n"))
        .upstream("a", [url.as_ref()])
        .route_with("/{*rest}", "a", &format!("plugins = [{listed}]"))
}
