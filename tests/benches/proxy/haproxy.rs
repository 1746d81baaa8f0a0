//! `HAProxy`, plain.

use crate::in_path;
use crate::proxy::{Contender, Kind, Ports};

pub(crate) fn contenders() -> Vec<Contender> {
    let haproxy = in_path("haproxy").map(|program| Contender {
        name: "HAProxy".to_owned(),
        kind: Kind::Plain,
        program,
        config: ("haproxy.cfg", Box::new(config)),
        arguments: vec!["-db", "-f"],
    });
    haproxy.into_iter().collect()
}

fn config(
    Ports {
        listen, upstream, ..
    }: Ports<'_>,
) -> String {
    format!(
        "
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option http-keep-alive
    http-reuse always
frontend front
    bind 127.0.0.1:{listen}
    default_backend back
backend back
    server upstream 127.0.0.1:{upstream} pool-max-conn 64
"
    )
}
