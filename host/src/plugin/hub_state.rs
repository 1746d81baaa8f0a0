//! What the plugins of a hub keep with a connection.
//!
//! A hub keeps one run of bytes for all of them and knows nothing of what is in it: for each plugin that keeps something, its
//! name in the configuration and its own bytes, each with its length before it. By name, so that a reload that adds a plugin
//! or changes their order gives none of them the state of another. A connection whose plugins keep nothing costs nothing.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The most that one plugin may keep.
pub const MOST: usize = 16 * 1024;

/// What this plugin keeps; empty where it keeps nothing.
pub fn of(all: &Bytes, plugin: &str) -> Bytes {
    entries(all)
        .find(|(name, _)| &name[..] == plugin.as_bytes())
        .map(|(_, state)| state)
        .unwrap_or_default()
}

/// The same bytes with another state of this plugin.
#[must_use]
pub fn with(all: &Bytes, plugin: &str, state: &[u8]) -> Bytes {
    let mut changed = BytesMut::with_capacity(all.len() + state.len() + plugin.len() + 8);
    for (name, others) in entries(all) {
        if &name[..] != plugin.as_bytes() {
            put(&mut changed, &name, &others);
        }
    }
    if !state.is_empty() {
        put(&mut changed, plugin.as_bytes(), state);
    }
    changed.freeze()
}

fn put(all: &mut BytesMut, name: &[u8], state: &[u8]) {
    for part in [name, state] {
        all.put_u32(u32::try_from(part.len()).unwrap_or(u32::MAX));
        all.put_slice(part);
    }
}

/// Names and states, which share the memory of the whole.
fn entries(all: &Bytes) -> impl Iterator<Item = (Bytes, Bytes)> {
    let mut rest = all.clone();
    std::iter::from_fn(move || Some((part(&mut rest)?, part(&mut rest)?)))
}

fn part(rest: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(rest.try_get_u32().ok()?).ok()?;
    (length <= rest.len()).then(|| rest.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_plugin_has_its_own() {
        let none = Bytes::new();
        assert_eq!(of(&none, "a"), "");
        let one = with(&none, "a", b"1");
        let two = with(&one, "b", b"22");
        assert_eq!(
            (&of(&two, "a")[..], &of(&two, "b")[..]),
            (&b"1"[..], &b"22"[..])
        );
        assert_eq!(of(&two, "ab"), "");
        let changed = with(&two, "a", b"333");
        assert_eq!(
            (&of(&changed, "a")[..], &of(&changed, "b")[..]),
            (&b"333"[..], &b"22"[..])
        );
        let emptied = with(&with(&changed, "a", b""), "b", b"");
        assert!(emptied.is_empty());
    }

    proptest! {
        #[test]
        fn bytes_that_are_no_states_are_none(bytes: Vec<u8>, name in "[a-z]{0,3}", state: Vec<u8>) {
            let garbled = Bytes::from(bytes);
            let _ = of(&garbled, &name);
            let set = with(&garbled, &name, &state);
            prop_assert_eq!(&of(&set, &name)[..], &state[..]);
        }
    }
}
