//! `hubs.NAME.backplane`

use super::super::reader::Node;
use super::model::{Backplane, RedisAddress};

const EXPECTED: &str = r#""memory", an address such as "redis://:PASSWORD@HOST:6379/0", or "env:NAME" with the name of an environment variable that has it"#;

/// What is wrong never repeats an address, which may have a password in it.
pub(super) fn read(node: &Node<'_>) -> Option<Backplane> {
    let text = node.string_like(EXPECTED)?;
    let text = node.held_by_environment(text)?;
    let text = &*text;
    if text == "memory" {
        return Some(Backplane::Memory);
    }
    if text.starts_with("nats://") {
        node.problem("NATS is not part of this version; allowed: \"memory\", \"redis://…\"");
        return None;
    }
    let redis = text.strip_prefix("redis://").and_then(redis);
    if redis.is_none() {
        node.problem(format!("expected {EXPECTED}"));
    }
    redis.map(Backplane::Redis)
}

fn redis(rest: &str) -> Option<RedisAddress> {
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((credentials, rest)) => (Some(credentials.split_once(':')?), rest),
        None => (None, rest),
    };
    let (place, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (
                host,
                port.strip_prefix(':').or(port.is_empty().then_some("")),
            )
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, Some("")),
        },
    };
    let decode = |text: &str| {
        let text = percent_encoding::percent_decode_str(text).decode_utf8();
        text.ok().map(String::from)
    };
    let (user, password) = match credentials {
        Some((user, password)) => (Some(decode(user)?), Some(decode(password)?)),
        None => (None, None),
    };
    let is_host = !host.is_empty() && !host.contains(['?', '#', ' ', '/', '[']);
    is_host.then_some(RedisAddress {
        host: host.to_owned(),
        port: match port? {
            "" => 6379,
            port => port.parse().ok().filter(|port| *port != 0)?,
        },
        database: match database {
            "" => 0,
            database => database.parse().ok()?,
        },
        user: user.filter(|user| !user.is_empty()),
        password,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let address = |text| {
            redis(text).map(|redis| {
                let credentials = (redis.user, redis.password);
                (redis.host, redis.port, redis.database, credentials)
            })
        };
        let plain =
            |host: &str, port, database| Some((host.to_owned(), port, database, (None, None)));
        assert_eq!(address("localhost"), plain("localhost", 6379, 0));
        assert_eq!(address("10.0.0.1:7/3"), plain("10.0.0.1", 7, 3));
        assert_eq!(address("[::1]:7"), plain("::1", 7, 0));
        assert_eq!(address("[::1]/2"), plain("::1", 6379, 2));
        let secret = Some("p@:/".to_owned());
        assert_eq!(
            address(":p%40%3a%2f@h"),
            Some(("h".to_owned(), 6379, 0, (None, secret.clone())))
        );
        assert_eq!(
            address("u:p%40%3a%2f@h"),
            Some(("h".to_owned(), 6379, 0, (Some("u".to_owned()), secret)))
        );
        for wrong in [
            "", ":1", "h:x", "h:0", "h:99999", "h/x", "u@h", "[::1", "[::1]x", "a:b:c", "h?x",
        ] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = format!("{:?}", redis("u:secret@h").unwrap());
        assert_eq!(shown, "redis://h:6379/0");
    }
}
