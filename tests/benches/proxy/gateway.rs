//! The gateway: plain, with one plugin that changes heads, and with the chain of three.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::proxy::{Contender, Kind, Ports};
use crate::work::{DEFAULT, DEFAULTED, FIND, PREFIX, REMOVED, WITH};

/// The release binary, built now where none is named.
pub(crate) fn binary() -> Outcome<PathBuf> {
    if let Some(named) = std::env::var_os("SLUICEGATE") {
        return Ok(named.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("the crate has no parent folder")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(root)
        .args([
            "build",
            "--release",
            "-p",
            "sluicegate",
            "--bin",
            "sluicegate",
        ])
        .status()?;
    if !built.success() {
        return Err("the gateway can't be built".into());
    }
    // This program is TARGET/release/deps/proxy-HASH.
    let own = std::env::current_exe()?;
    let folder = own
        .ancestors()
        .nth(2)
        .ok_or("this program stands in no target folder")?;
    let binary = folder.join("sluicegate");
    if binary.is_file() {
        Ok(binary)
    } else {
        Err(format!("{} is not there", binary.display()).into())
    }
}

pub(crate) fn contenders(binary: &Path) -> Vec<Contender> {
    [
        ("sluicegate", Kind::Plain),
        ("sluicegate + one header plugin", Kind::Header),
        ("sluicegate + three plugins", Kind::Chain),
        ("sluicegate, TLS", Kind::Tls),
        ("sluicegate, TLS handshakes", Kind::Handshake),
        ("sluicegate, HTTP/2", Kind::Http2),
    ]
    .into_iter()
    .map(|(name, kind)| Contender {
        name: name.to_owned(),
        kind,
        program: binary.to_owned(),
        config: ("gateway.toml", Box::new(move |ports| config(ports, kind))),
        arguments: vec!["run", "--config"],
    })
    .collect()
}

fn config(
    Ports {
        listen,
        upstream,
        room,
    }: Ports<'_>,
    kind: Kind,
) -> String {
    let headers = format!(
        r#"
[plugins.headers]
component = "builtin:header-rewrite"
config.request = {{ default = {{ "{DEFAULTED}" = "{DEFAULT}" }}, remove = ["{REMOVED}"] }}
"#
    );
    let others = format!(
        r#"
[plugins.url]
component = "builtin:url-rewrite"
config = {{ strip_prefix = "{PREFIX}" }}
[plugins.body]
component = "builtin:body-mutate"
config = {{ response = {{ replace = [{{ find = "{FIND}", with = "{WITH}" }}] }} }}
"#
    );
    let (plugins, chain) = match kind {
        Kind::Plain | Kind::Tls | Kind::Handshake | Kind::Http2 => (String::new(), ""),
        Kind::Header => (headers, r#""headers""#),
        Kind::Chain => (headers + &others, r#""headers", "url", "body""#),
    };
    let tls = match kind {
        Kind::Tls | Kind::Handshake => {
            let room = room.0.display();
            format!(
                r#"tls = {{ certificates = [{{ cert = "{room}/cert.pem", key = "{room}/key.pem" }}] }}"#
            )
        }
        _ => String::new(),
    };
    format!(
        r#"
[server]
workers = 1
[[listeners]]
address = "127.0.0.1:{listen}"
{tls}
{plugins}
[upstreams.upstream]
targets = [{{ url = "http://127.0.0.1:{upstream}" }}]
[[routes]]
path = "/{{*rest}}"
upstream = "upstream"
plugins = [{chain}]
"#
    )
}
