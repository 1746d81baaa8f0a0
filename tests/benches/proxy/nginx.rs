//! nginx: plain, with the forwarding fields that the gateway writes, and with the chain's work in Lua.

use std::path::PathBuf;
use std::process::Command;

use crate::in_path;
use crate::proxy::{Configure, Contender, Kind, Ports};
use crate::work::{DEFAULT, DEFAULTED, FIND, PREFIX, REMOVED, WITH};

/// Everything but the servers: one worker, no log, connections that are kept for ever.
pub(crate) fn frame(Ports { room, .. }: Ports<'_>, modules: &str, http: &str) -> String {
    let room = room.0.display();
    format!(
        "{modules}
daemon off;
worker_processes 1;
pid {room}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path {room}/nginx-body;
    proxy_temp_path {room}/nginx-proxy;
    fastcgi_temp_path {room}/nginx-fastcgi;
    uwsgi_temp_path {room}/nginx-uwsgi;
    scgi_temp_path {room}/nginx-scgi;
    {http}
}}
"
    )
}

pub(crate) fn contenders() -> Vec<Contender> {
    let Some(program) = in_path("nginx") else {
        return Vec::new();
    };
    let contender = |name: &str, kind, config: Configure| Contender {
        name: name.to_owned(),
        kind,
        program: program.clone(),
        config: ("nginx.conf", config),
        arguments: vec!["-e", "stderr", "-c"],
    };
    let mut all = vec![
        contender(
            "nginx",
            Kind::Plain,
            Box::new(|ports| proxy(ports, "", "", "")),
        ),
        contender(
            "nginx + forwarding fields",
            Kind::Plain,
            Box::new(|ports| proxy(ports, "", "", FORWARDED)),
        ),
        contender("nginx, TLS", Kind::Tls, Box::new(secure)),
        contender("nginx, TLS handshakes", Kind::Handshake, Box::new(secure)),
    ];
    if let Some(modules) = lua_modules() {
        let config = move |ports: Ports<'_>| proxy(ports, &modules, "", &lua());
        all.push(contender("nginx + Lua", Kind::Chain, Box::new(config)));
    }
    all
}

fn proxy(ports: Ports<'_>, modules: &str, http: &str, location: &str) -> String {
    let Ports {
        listen, upstream, ..
    } = ports;
    let servers = format!(
        r#"{http}
    upstream upstream {{
        server 127.0.0.1:{upstream};
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{listen};
        location / {{
            proxy_pass http://upstream;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            {location}
        }}
    }}"#
    );
    frame(ports, modules, &servers)
}

/// The plain proxy behind TLS.
fn secure(ports: Ports<'_>) -> String {
    let room = ports.room.0.display();
    let certificate =
        format!("ssl_certificate {room}/cert.pem; ssl_certificate_key {room}/key.pem;");
    let listen = format!("listen 127.0.0.1:{};", ports.listen);
    let secure = format!("listen 127.0.0.1:{} ssl;", ports.listen);
    let versions = "ssl_protocols TLSv1.2 TLSv1.3;";
    proxy(ports, "", &format!("{certificate} {versions}"), "").replace(&listen, &secure)
}

/// What the gateway writes of its own accord.
const FORWARDED: &str = r#"
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Forwarded "for=$remote_addr;host=\"$http_host\";proto=$scheme";
            proxy_set_header X-Request-Id $request_id;
"#;

/// The lines that load the Lua module, where it is installed.
fn lua_modules() -> Option<String> {
    let output = Command::new("nginx").arg("-V").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let folder: PathBuf = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("--modules-path="))?
        .into();
    let files = ["ndk_http_module.so", "ngx_http_lua_module.so"].map(|name| folder.join(name));
    files.iter().all(|file| file.is_file()).then(|| {
        files
            .map(|file| format!("load_module {};", file.display()))
            .join("\n")
    })
}

/// The chain's work. Words are searched for as plain text, which is the fastest that Lua offers, and the answer goes out
/// chunked: its head leaves before its body is known.
fn lua() -> String {
    let variable = DEFAULTED.replace('-', "_");
    let cut = PREFIX.len() + 1;
    format!(
        r#"
            access_by_lua_block {{
                if not ngx.var.http_{variable} then ngx.req.set_header("{DEFAULTED}", "{DEFAULT}") end
                ngx.req.clear_header("{REMOVED}")
                local uri = ngx.var.uri
                if string.sub(uri, 1, {cut}) == "{PREFIX}/" then ngx.req.set_uri(string.sub(uri, {cut})) end
            }}
            header_filter_by_lua_block {{
                ngx.header.content_length = nil
            }}
            body_filter_by_lua_block {{
                local chunk, last = ngx.arg[1], ngx.arg[2]
                local ctx = ngx.ctx
                if not last then
                    ctx.body = ctx.body and (ctx.body .. chunk) or chunk
                    ngx.arg[1] = nil
                    return
                end
                local text = ctx.body and (ctx.body .. chunk) or chunk
                local from, to = string.find(text, "{FIND}", 1, true)
                if from then
                    local parts, count, next = {{}}, 0, 1
                    while from do
                        parts[count + 1] = string.sub(text, next, from - 1)
                        parts[count + 2] = "{WITH}"
                        count = count + 2
                        next = to + 1
                        from, to = string.find(text, "{FIND}", next, true)
                    end
                    parts[count + 1] = string.sub(text, next)
                    text = table.concat(parts)
                end
                ngx.arg[1] = text
            }}
"#
    )
}
