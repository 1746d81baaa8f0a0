//! What is told of an error that Redis has answered. Its text is not: servers repeat in it what they were sent, and that
//! is a password, or what a client has said.

/// The command that logs in.
pub(super) const HELLO: &str = "HELLO";
/// Longer than any of Redis.
const LONGEST: usize = 32;

/// The kind of an error, which its text begins with: `WRONGPASS`, `NOPERM`, `OOM`, …
pub(super) fn word(text: &[u8]) -> &str {
    let end = memchr::memchr(b' ', text).unwrap_or(text.len());
    let word = text.get(..end).unwrap_or_default();
    let is_kind = (1..=LONGEST).contains(&word.len()) && word.iter().all(u8::is_ascii_uppercase);
    let word = is_kind.then(|| std::str::from_utf8(word).ok()).flatten();
    word.unwrap_or("an error of its own kind")
}

/// Of a command that every connection begins with.
pub(super) fn of_setup(command: &str, word: &str) -> String {
    let needed = if command == HELLO {
        "; Redis 6 or newer is needed, and the right password"
    } else {
        ""
    };
    format!("{command} was refused ({word}){needed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_error_its_kind_is_told_and_nothing_else() {
        for (text, told) in [
            (
                &b"WRONGPASS invalid username-password pair"[..],
                "WRONGPASS",
            ),
            (
                b"ERR unknown command 'HELLO', with args beginning with: 's3cret'",
                "ERR",
            ),
            (b"NOAUTH", "NOAUTH"),
        ] {
            assert_eq!(word(text), told);
        }
        for text in [
            &b""[..],
            b" s3cret",
            b"s3cret is wrong",
            b"\xff x",
            &[b'X'; LONGEST + 1],
        ] {
            assert_eq!(word(text), "an error of its own kind", "{text:?}");
        }
    }
}
