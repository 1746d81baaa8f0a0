//! `upstreams.NAME.targets`

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::hostname::{self, is_host};
use super::model::Target;
use super::reader::{Node, Section, quoted};
use crate::exchange::Scheme;

const EXAMPLE: &str = r#"a table such as { url = "http://127.0.0.1:9001" }"#;

const URL: &str =
    "http://host[:port][/base], https://host[:port][/base] or unix:/path/of/socket[:/base]";

/// What the address of a unix socket has room for (unix(7), `sun_path`, without the zero at its end).
const LONGEST_SOCKET: usize = 107;

/// Where a target listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At a port.
    Network {
        /// Host name or address, without brackets.
        host: String,
        /// 80 or 443 where the URL has none, by its scheme.
        port: u16,
    },
    /// At a unix socket, whose path is absolute.
    Unix(Arc<Path>),
}

impl Place {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Network { host, port },
                Self::Network {
                    host: other,
                    port: other_port,
                },
            ) => host.eq_ignore_ascii_case(other) && port == other_port,
            _ => self == other,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

pub(super) fn read_all(upstream: &mut Section<'_>) -> Vec<Target> {
    let Some(node) = upstream.require("targets", r#"[{ url = "http://host:port" }, ...]"#) else {
        return Vec::new();
    };
    let Some(items) = node.items() else {
        return Vec::new();
    };
    if items.is_empty() {
        node.unexpected(format_args!("at least one target, {EXAMPLE}"));
    }
    let mut targets: Vec<(Target, usize)> = Vec::new();
    for item in &items {
        let Some(target) = target(item) else { continue };
        if let Some((_, line)) = targets.iter().find(|(other, _)| is_same(other, &target)) {
            item.warning(format!(
                "the same target as in line {line}; `weight` gives one a larger share"
            ));
        }
        targets.push((target, item.line));
    }
    targets.into_iter().map(|(target, _)| target).collect()
}

fn is_same(one: &Target, other: &Target) -> bool {
    one.scheme == other.scheme
        && one.place.is_same(&other.place)
        && one.base_path == other.base_path
}

fn target(item: &Node<'_>) -> Option<Target> {
    let mut section = item.section(EXAMPLE)?;
    let url = section.require("url", URL);
    let weight = section
        .read("weight", |node| node.whole(1..=65_535))
        .and_then(NonZeroU32::new);
    section.finish();
    let node = url?;
    match parse_url(node.string()?) {
        Ok(url) => Some(Target {
            scheme: url.scheme,
            place: url.place,
            authority: Arc::from(url.authority),
            base_path: Arc::from(url.base_path),
            weight: weight.unwrap_or(NonZeroU32::MIN),
        }),
        Err(reason) => {
            node.problem(format!("{reason}; expected {URL}"));
            None
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Url<'a> {
    scheme: Scheme,
    place: Place,
    authority: &'a str,
    base_path: &'a str,
}

/// `http://`, `https://` and `unix:` only, and no more of RFC 3986 than a target has use for. What is wrong is told in pieces that
/// cannot hold a password.
fn parse_url(text: &str) -> Result<Url<'_>, String> {
    if let Some((scheme, rest)) = text.split_once(':')
        && scheme.eq_ignore_ascii_case("unix")
    {
        return unix(rest);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("found no scheme".to_owned());
    };
    let scheme = if scheme.eq_ignore_ascii_case("http") {
        Scheme::Http
    } else if scheme.eq_ignore_ascii_case("https") {
        Scheme::Https
    } else {
        return Err(format!("found the scheme {}", quoted(scheme)));
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(authority_end).unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err("found a user name or password".to_owned());
    }
    let base_path = base_path(path)?;
    let (host, port) = host_and_port(authority, scheme)?;
    if scheme == Scheme::Https && ServerName::try_from(host).is_err() {
        return Err(format!(
            "found the host {}, which no certificate can be for",
            quoted(host)
        ));
    }
    Ok(Url {
        scheme,
        place: Place::Network {
            host: host.to_owned(),
            port,
        },
        authority,
        base_path,
    })
}

/// `unix:/path[:/base]`, as nginx writes it: a path of a file, in which nothing is percent-encoded.
fn unix(text: &str) -> Result<Url<'_>, String> {
    let (path, base) = text.split_once(':').unwrap_or((text, ""));
    let wrong = if !path.starts_with('/') {
        Some("is not absolute")
    } else if path.ends_with('/') {
        Some("is a folder")
    } else if path.contains('\0') {
        Some("holds a zero byte")
    } else {
        None
    };
    if let Some(wrong) = wrong {
        return Err(format!("found the path {}, which {wrong}", quoted(path)));
    }
    // Also as `unix:///path`, which other programs want.
    let path = format!("/{}", path.trim_start_matches('/'));
    if path.len() > LONGEST_SOCKET {
        return Err(format!(
            "found a path of {} bytes; the address of a unix socket holds {LONGEST_SOCKET}",
            path.len()
        ));
    }
    if !base.is_empty() && !base.starts_with('/') {
        return Err(format!(
            "found {} behind the socket's path, which is not a path",
            quoted(base)
        ));
    }
    Ok(Url {
        scheme: Scheme::Http,
        place: Place::Unix(Path::new(&path).into()),
        // There is no name that a client could have used; nginx and HAProxy send this one.
        authority: "localhost",
        base_path: base_path(base)?,
    })
}

fn base_path(path: &str) -> Result<&str, String> {
    if path.contains('#') {
        return Err("found a fragment (\"#\")".to_owned());
    }
    if path.contains('?') {
        return Err("found a query (\"?\")".to_owned());
    }
    check_path(path)?;
    Ok(path.trim_end_matches('/'))
}

fn host_and_port(authority: &str, scheme: Scheme) -> Result<(&str, u16), String> {
    // A colon inside of brackets belongs to the address.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if !is_host(host) {
        return Err(format!(
            "found the host {}, which is not {}",
            quoted(host),
            hostname::EXPECTED
        ));
    }
    let port = match port {
        None => match scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        },
        // `parse` alone would take "+80".
        Some(port) => Some(port)
            .filter(|port| port.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|port| port.parse().ok())
            .filter(|port| *port > 0)
            .ok_or_else(|| {
                format!(
                    "found the port {}, which is not a number from 1 to 65535",
                    quoted(port)
                )
            })?,
    };
    Ok((host.trim_matches(['[', ']']), port))
}

/// RFC 3986, 3.3, and no "." or ".." segments: upstreams and caches disagree on who resolves them.
fn check_path(path: &str) -> Result<(), String> {
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let fine = match byte {
            b'%' => [bytes.next(), bytes.next()]
                .iter()
                .all(|digit| digit.is_some_and(|d| d.is_ascii_hexdigit())),
            _ => byte.is_ascii_alphanumeric() || b"/:@-._~!$&'()*+,;=".contains(&byte),
        };
        if !fine {
            return Err(format!(
                "found the path {}, with something in it that has to be percent-encoded",
                quoted(path)
            ));
        }
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(format!(
            "found the path {}, with a dot segment",
            quoted(path)
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{accepted, refused, warned};
    use super::*;

    #[test]
    fn urls() {
        for (text, host, port, authority, base_path) in [
            (
                "http://127.0.0.1:9001",
                "127.0.0.1",
                9001,
                "127.0.0.1:9001",
                "",
            ),
            (
                "http://users.internal",
                "users.internal",
                80,
                "users.internal",
                "",
            ),
            (
                "http://users.internal/",
                "users.internal",
                80,
                "users.internal",
                "",
            ),
            ("HTTP://Users:080/a/b/", "Users", 80, "Users:080", "/a/b"),
            ("http://[::1]:9001/a", "::1", 9001, "[::1]:9001", "/a"),
            ("http://[::1]", "::1", 80, "[::1]", ""),
            (
                "http://my_service:1/a@b:c/%2F~",
                "my_service",
                1,
                "my_service:1",
                "/a@b:c/%2F~",
            ),
            ("http://h//", "h", 80, "h", ""),
            ("https://h/b", "h", 443, "h", "/b"),
            ("https://[::1]:80", "::1", 80, "[::1]:80", ""),
            ("https://my_service", "my_service", 443, "my_service", ""),
        ] {
            assert_eq!(
                parse_url(text),
                Ok(Url {
                    scheme: if text.starts_with("https") {
                        Scheme::Https
                    } else {
                        Scheme::Http
                    },
                    place: Place::Network {
                        host: host.to_owned(),
                        port,
                    },
                    authority,
                    base_path
                }),
                "{text}"
            );
        }
    }

    #[test]
    fn unix_sockets() {
        let longest = format!("unix:/{}", "a".repeat(LONGEST_SOCKET - 1));
        for (text, path, base_path) in [
            ("unix:/run/app.sock", "/run/app.sock", ""),
            ("UNIX:///run/my app?.sock:/", "/run/my app?.sock", ""),
            ("unix:/a:/b/c/", "/a", "/b/c"),
            (&longest, longest.strip_prefix("unix:").unwrap(), ""),
        ] {
            let expected = Url {
                scheme: Scheme::Http,
                place: Place::Unix(Path::new(path).into()),
                authority: "localhost",
                base_path,
            };
            assert_eq!(parse_url(text), Ok(expected), "{text}");
        }
        assert_eq!(
            parse_url(&format!("{longest}a")),
            Err("found a path of 108 bytes; the address of a unix socket holds 107".to_owned())
        );
    }

    #[test]
    fn what_is_no_url() {
        for (text, reason) in [
            ("127.0.0.1:9001", "found no scheme"),
            ("", "found no scheme"),
            ("https://u:hunter2@h", "found a user name or password"),
            ("ftp://h", "found the scheme \"ftp\""),
            (
                "unix:run/x.sock",
                "found the path \"run/x.sock\", which is not absolute",
            ),
            ("unix:", "found the path \"\", which is not absolute"),
            ("unix:/run/", "found the path \"/run/\", which is a folder"),
            (
                "unix:/a\0b",
                "found the path \"/a\\0b\", which holds a zero byte",
            ),
            (
                "unix:/x.sock:80",
                "found \"80\" behind the socket's path, which is not a path",
            ),
            ("unix:/x.sock:/a?b", "found a query (\"?\")"),
            ("http://u:hunter2@h", "found a user name or password"),
            ("http://h?q", "found a query (\"?\")"),
            ("http://h/#f", "found a fragment (\"#\")"),
            ("http://h/a#f?", "found a fragment (\"#\")"),
            (
                "http://h:",
                "found the port \"\", which is not a number from 1 to 65535",
            ),
            (
                "http://h:0",
                "found the port \"0\", which is not a number from 1 to 65535",
            ),
            (
                "http://h:+80",
                "found the port \"+80\", which is not a number from 1 to 65535",
            ),
            (
                "http://h:65536",
                "found the port \"65536\", which is not a number from 1 to 65535",
            ),
            (
                "http://h/a b",
                "found the path \"/a b\", with something in it that has to be percent-encoded",
            ),
            (
                "http://h/%2",
                "found the path \"/%2\", with something in it that has to be percent-encoded",
            ),
            (
                "http://h/é",
                "found the path \"/é\", with something in it that has to be percent-encoded",
            ),
            (
                "http://h/a/../b",
                "found the path \"/a/../b\", with a dot segment",
            ),
        ] {
            assert_eq!(parse_url(text), Err(reason.to_owned()), "{text}");
        }
        for text in [
            "http://",
            "http://:80",
            "http:///a",
            "http://::1",
            "http://[::1",
            "http://[::1]a:80",
            "http://a b",
            "http://[a]:1",
        ] {
            let reason = parse_url(text).unwrap_err();
            assert!(reason.starts_with("found the host "), "{text}: {reason}");
        }
    }

    #[test]
    fn weights() {
        let config = accepted(
            "upstreams.u.balance = \"weighted-round-robin\"\nupstreams.u.targets = [{ url = \"http://a\" }, { url = \"http://b\", weight = 65535 }]",
        );
        let weights: Vec<u32> = config
            .upstreams
            .get("u")
            .unwrap()
            .targets
            .iter()
            .map(|target| target.weight.get())
            .collect();
        assert_eq!(weights, [1, 65_535]);
    }

    #[test]
    fn what_is_refused() {
        for (targets, expected) in [
            (
                "[]",
                "1: upstreams.u.targets: found an empty array; expected at least one target, a table such as { url = \"http://127.0.0.1:9001\" }",
            ),
            (
                "[\"http://a\"]",
                "1: upstreams.u.targets[0]: found \"http://a\"; expected a table such as { url = \"http://127.0.0.1:9001\" }",
            ),
            (
                "[{}]",
                "1: upstreams.u.targets[0].url: missing; expected http://host[:port][/base], https://host[:port][/base] or unix:/path/of/socket[:/base]",
            ),
            (
                "[{ url = 1 }]",
                "1: upstreams.u.targets[0].url: found 1; expected a string",
            ),
            (
                "[{ url = \"http://u:hunter2@h\" }]",
                "1: upstreams.u.targets[0].url: found a user name or password; expected http://host[:port][/base], https://host[:port][/base] or unix:/path/of/socket[:/base]",
            ),
            (
                "[{ url = \"http://h\", weight = 0 }]",
                "1: upstreams.u.targets[0].weight: found 0; expected a whole number from 1 to 65535",
            ),
            (
                "[{ url = \"http://h\", weight = 65536 }]",
                "1: upstreams.u.targets[0].weight: found 65536; expected a whole number from 1 to 65535",
            ),
            (
                "[{ url = \"http://h\", wieght = 1 }]",
                "1: upstreams.u.targets[0].wieght: unknown key; did you mean \"weight\"?",
            ),
        ] {
            assert_eq!(
                refused(&format!("upstreams.u.targets = {targets}")),
                [expected],
                "{targets}"
            );
        }
    }

    #[test]
    fn a_target_that_is_listed_twice_is_odd() {
        let (_, warnings) = warned(
            "[upstreams.u]\ntargets = [\n{ url = \"http://a:80/\" },\n{ url = \"http://b\" },\n{ url = \"http://A\" }]",
        );
        assert_eq!(
            warnings,
            [
                "5: upstreams.u.targets[2]: the same target as in line 3; `weight` gives one a larger share"
            ]
        );
    }
}
