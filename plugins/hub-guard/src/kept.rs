//! What is kept with a connection: when it has to end, and which rooms it may use.

/// No end.
const NEVER: u64 = u64::MAX;

/// Eight bytes of time, and the rooms after them.
pub fn to_bytes(until: Option<u64>, access: Option<&str>) -> Vec<u8> {
    let mut bytes = until.unwrap_or(NEVER).to_be_bytes().to_vec();
    bytes.extend_from_slice(access.unwrap_or_default().as_bytes());
    bytes
}

/// When the connection ends, in seconds since 1970, and the rooms.
pub fn from_bytes(bytes: &[u8]) -> (u64, &str) {
    match bytes.split_first_chunk() {
        Some((until, access)) => (
            u64::from_be_bytes(*until),
            std::str::from_utf8(access).unwrap_or_default(),
        ),
        // A connection from before the plugin was listed: without a token's rooms, and without an end.
        None => (NEVER, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_was() {
        assert_eq!(from_bytes(&to_bytes(Some(7), Some("j=a\n"))), (7, "j=a\n"));
        assert_eq!(from_bytes(&to_bytes(None, None)), (u64::MAX, ""));
        assert_eq!(from_bytes(b""), (u64::MAX, ""));
        assert_eq!(from_bytes(b"\xff\xff"), (u64::MAX, ""));
    }
}
