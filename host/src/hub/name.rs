//! What rooms and clients may be called.

use std::sync::Arc;

/// Bytes of a name.
pub const LONGEST: usize = 128;

/// Whether this can be the name of a room, or a client's identifier: 1 to 128 bytes without control characters.
pub fn is_name(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// An identifier that nobody can guess: 128 random bits.
pub fn new_client_id() -> Arc<str> {
    format!("{:032x}", rand::random::<u128>()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["a", "lobby/1 ü", &"x".repeat(128)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a\n", "\u{85}", &"x".repeat(129)] {
            assert!(!is_name(name), "{name:?}");
        }
        assert!(is_name(&new_client_id()));
        assert_ne!(new_client_id(), new_client_id());
    }
}
