//! The stock plugins, built by the build script and embedded: `component = "builtin:NAME"`.

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// The component of that name.
pub fn component(name: &str) -> Option<&'static [u8]> {
    COMPONENTS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, bytes)| *bytes)
}

/// All names.
pub fn names() -> impl Iterator<Item = &'static str> {
    COMPONENTS.iter().map(|(name, _)| *name)
}
