//! `upstreams.NAME.via`, `via_tls`, `via_mode` and `no_proxy`: targets that are reached through a forward proxy.

pub(super) mod model;

use percent_encoding::percent_decode_str;

use super::hostname::is_host;
use super::model::{Target, UpstreamProtocol};
use super::reader::{Node, Section};
use super::report::Report;
use super::target::Place;
use super::{Config, Scope, UpstreamTls, tls};
use crate::exchange::Scheme;
use crate::upstream::connect::proxy::Credentials;
use crate::upstream::connect::proxy::no_proxy::{Exception, NoProxy};
use model::{ForwardProxy, ProxyScheme, Via, ViaMode};

const EXPECTED: &str = r#""direct", an address such as "http://USER:PASSWORD@HOST:3128", "https://HOST:443", "socks5://HOST:1080" or "socks5h://HOST:1080", or "env:NAME" with the name of an environment variable that has it"#;
const NO_PROXY: &str = r#"a host such as "example.com" (with all below it), ".example.com" (only what is below it), "10.0.0.1", a range such as "10.0.0.0/8" or "fd00::/8", or "*", with or without a port: "example.com:8080", "[fd00::/8]:8080""#;
/// RFC 1929 has one octet for their lengths.
const LONGEST_SOCKS: usize = 255;
/// Above every need; heads have limits.
const LONGEST_HTTP: usize = 4096;

pub(super) fn read(upstream: &mut Section<'_>, scope: &Scope<'_>) -> Via {
    let node = upstream.take("via");
    let tls = upstream.take("via_tls");
    let mode = upstream.take("via_mode");
    let no_proxy = upstream.take("no_proxy");
    let via = node.as_ref().map(address);
    let chosen = mode
        .as_ref()
        .and_then(|mode| mode.choice(&[("auto", ViaMode::Auto), ("connect", ViaMode::Connect)]));
    let exceptions = no_proxy.as_ref().and_then(exceptions);
    let settings = tls.as_ref().map(|node| tls::upstream(node, scope));
    match via {
        Some(Some(Some(proxy))) => {
            let is_secure = proxy.protocol == ProxyScheme::Https;
            if let (Some(node), false) = (&tls, is_secure) {
                node.warning("has no effect: `via` is not https://");
            }
            let default = || node.as_ref().map(|via| UpstreamTls::new(tls::origin(via)));
            let settings = settings.unwrap_or_else(default).filter(|_| is_secure);
            if let (Some(node), Some(ViaMode::Connect)) = (&mode, chosen)
                && !proxy.protocol.is_http()
            {
                node.warning("has no effect: a SOCKS proxy knows tunnels only");
            }
            Via::Proxy(Box::new(ForwardProxy {
                mode: chosen.unwrap_or_default(),
                no_proxy: exceptions.unwrap_or_default(),
                tls: settings,
                ..proxy
            }))
        }
        // A wrong address is one problem, and not a second one for what goes with it.
        Some(None) => Via::Direct,
        None | Some(Some(None)) => {
            let is_connect = chosen == Some(ViaMode::Connect);
            let unused = [mode.filter(|_| is_connect), no_proxy, tls];
            for node in unused.into_iter().flatten() {
                node.warning("has no effect without a proxy in `via`");
            }
            Via::Direct
        }
    }
}

/// A client's Host that was to be preserved, and can't be.
pub(super) fn check_hosts(config: &Config, report: &Report) {
    for route in config.routes.iter().filter(|route| route.preserve_host) {
        let Some(upstream) = config.upstreams.get(&route.upstream) else {
            continue;
        };
        let Via::Proxy(proxy) = &upstream.via else {
            continue;
        };
        let is_absolute = proxy.protocol.is_http()
            && proxy.mode == ViaMode::Auto
            && upstream.protocol != UpstreamProtocol::Http2;
        let is_proxied = |target: &Target| match &target.place {
            Place::Network { host, port } => {
                target.scheme == Scheme::Http && !proxy.no_proxy.covers(host, *port)
            }
            Place::Unix(_) => false,
        };
        if is_absolute && upstream.targets.iter().any(is_proxied) {
            let path = format!("{}.preserve_host", route.origin.path);
            report.warning(
                path,
                route.origin.line,
                "has no effect on requests that go to the proxy of the upstream with their whole URL: it makes Host of \
                 that; via_mode = \"connect\" there sends it",
            );
        }
    }
}

/// Outer `None`: it is wrong, and reported. Inner: it is "direct". What is wrong never repeats an address, which may
/// have a password in it.
#[allow(clippy::option_option)] // the two mean different things
fn address(node: &Node<'_>) -> Option<Option<ForwardProxy>> {
    let Some(text) = node.as_str() else {
        node.problem(format!("expected {EXPECTED}"));
        return None;
    };
    let text = node.held_by_environment(text)?;
    let text = &*text;
    if text == "direct" {
        return Some(None);
    }
    match parse(text) {
        Ok(proxy) => Some(Some(proxy)),
        Err(reason) => {
            node.problem(format!("{reason}; expected {EXPECTED}"));
            None
        }
    }
}

fn parse(text: &str) -> Result<ForwardProxy, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("found no scheme")?;
    let scheme = scheme.to_ascii_lowercase();
    let (protocol, default_port) = match &*scheme {
        "http" => (ProxyScheme::Http, 80),
        "https" => (ProxyScheme::Https, 443),
        "socks5" => (ProxyScheme::Socks5, 1080),
        "socks5h" => (ProxyScheme::Socks5h, 1080),
        "socks4" | "socks4a" => return Err("SOCKS4 is not spoken"),
        _ => return Err("found another scheme"),
    };
    // A password may have an "@" in it that nobody has encoded, but a host has none.
    let (credentials, place) = match rest.rsplit_once('@') {
        Some((credentials, place)) => (Some(credentials), place),
        None => (None, rest),
    };
    let place = place.strip_suffix('/').unwrap_or(place);
    if place.contains(['/', '?', '#']) {
        return Err("found something behind host and port");
    }
    // A colon inside of brackets belongs to the address.
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (place, None),
    };
    if !is_host(host) {
        return Err("found a host that is neither a name nor an address (IPv6 in brackets)");
    }
    let port = match port {
        None => default_port,
        // `parse` alone would take "+80".
        Some(port) => Some(port)
            .filter(|port| port.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|port| port.parse().ok())
            .filter(|port| *port > 0)
            .ok_or("found a port that is not a number from 1 to 65535")?,
    };
    let credentials = credentials.map(|text| read_credentials(text, protocol));
    Ok(ForwardProxy {
        protocol,
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
        tls: None,
        credentials: credentials.transpose()?,
        mode: ViaMode::Auto,
        no_proxy: NoProxy::default(),
    })
}

fn read_credentials(text: &str, protocol: ProxyScheme) -> Result<Credentials, &'static str> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decode = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8();
        let decoded = decoded.map_err(|_| "found a user or password that is not UTF-8")?;
        // RFC 7617, section 2; and who writes them for SOCKS has mistyped something.
        if decoded.chars().any(char::is_control) {
            return Err("found a control character in the user or password");
        }
        Ok(decoded.into_owned())
    };
    let credentials = Credentials {
        user: decode(user)?,
        password: decode(password)?,
    };
    let parts = [&credentials.user, &credentials.password];
    match protocol {
        ProxyScheme::Http | ProxyScheme::Https => {
            // The first colon would end it (RFC 7617, section 2).
            if credentials.user.contains(':') {
                return Err("found a colon in the user, which Basic authentication can't send");
            }
            if parts.iter().any(|part| part.len() > LONGEST_HTTP) {
                return Err("found a user or password of more than 4096 bytes");
            }
        }
        ProxyScheme::Socks5 | ProxyScheme::Socks5h => {
            let range = 1..=LONGEST_SOCKS;
            if !parts.iter().all(|part| range.contains(&part.len())) {
                return Err(
                    "found a user or password that has not 1 to 255 bytes, as SOCKS5 wants",
                );
            }
        }
    }
    Ok(credentials)
}

fn exceptions(node: &Node<'_>) -> Option<NoProxy> {
    let items = node.items()?;
    let entries = items.iter().filter_map(|item| {
        let exception = Exception::parse(item.string_like(NO_PROXY)?, is_host);
        if exception.is_none() {
            item.unexpected(NO_PROXY);
        }
        exception
    });
    Some(NoProxy(entries.collect()))
}

#[cfg(test)]
mod tests;
