//! `[hubs.*]`, which this version does not have.

use super::reader::Section;

/// A hub answers requests; to start without one would send its clients to the routes.
pub(super) fn refuse(root: &mut Section<'_>) {
    for (_, hub) in root.section("hubs").entries() {
        hub.problem("WebSocket hubs are not part of this version");
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::refused;

    #[test]
    fn each_hub_is_refused() {
        assert_eq!(
            refused("[hubs.chat]\npath = \"/ws\"\n[hubs.news]\npath = \"/news\""),
            [
                "1: hubs.chat: WebSocket hubs are not part of this version",
                "3: hubs.news: WebSocket hubs are not part of this version",
            ]
        );
    }
}
