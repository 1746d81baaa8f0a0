//! `sluicegate demo`: what it prints can be pasted, and works.

use std::net::TcpStream;

use sluicegate_tests::{Process, Response, Wire, wait_until};

use crate::command_line::{Folder, compile_stock_plugins, sluicegate};

/// Does what a printed curl line says. Knows `-i`, `-s` and `-H`, which is all that it prints.
fn curl(line: &str) -> Response {
    let words: Vec<&str> = line.split_whitespace().collect();
    let url = words
        .iter()
        .find_map(|word| word.strip_prefix("http://"))
        .unwrap();
    let (authority, path) = url.split_once('/').unwrap();
    let quoted = line
        .split_once("-H '")
        .map(|(_, rest)| rest.split('\'').next().unwrap());
    let field = quoted
        .map(|field| format!("{field}\r\n"))
        .unwrap_or_default();
    let mut wire = Wire::new(TcpStream::connect(authority).unwrap());
    wire.write(format!(
        "GET /{path} HTTP/1.1\r\nhost: {authority}\r\n{field}\r\n"
    ));
    wire.read_response("GET")
}

fn start() -> Process {
    compile_stock_plugins();
    Process::gateway(["demo", "--listen", "127.0.0.1:0"])
}

#[test]
fn every_printed_line_works_and_an_interrupt_ends_it() {
    let mut demo = start();
    demo.address();
    wait_until("the instructions are printed", || {
        demo.stdout().contains("[[routes]]")
    });
    let text = demo.stdout();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("curl ")).collect();
    let line = |what: &str| {
        let found = lines.iter().find(|line| line.contains(what));
        *found.unwrap_or_else(|| panic!("no line with {what} in {text}"))
    };

    let through = curl(line("/api/orders/7"));
    assert_eq!(through.status(), 200);
    assert_eq!(through.header("x-gateway"), Some("sluicegate"));
    let body = through.text();
    assert!(body.contains("GET /orders/7 HTTP/1.1"), "{body}");
    assert!(body.contains("x-user: anonymous"), "{body}");
    assert!(!body.contains("x-secret"), "{body}");
    assert!(body.starts_with("Hello from WebAssembly!"), "{body}");

    let plain = curl(line("/plain/orders/7"));
    assert_eq!(plain.status(), 200);
    assert!(plain.text().contains("x-secret: 1234"), "{}", plain.text());
    assert!(
        plain.text().starts_with("Hello! This is upstream"),
        "{}",
        plain.text()
    );

    let old = curl(line("/old/orders/7"));
    assert_eq!(
        (old.status(), old.header("location")),
        (308, Some("/api/orders/7"))
    );

    assert_eq!(curl(line("/nowhere")).status(), 404);

    let seven = line("for i in 1 2 3 4 5 6 7");
    let names: Vec<String> = (0..7)
        .map(|_| {
            curl(seven.split(';').nth(1).unwrap())
                .text()
                .lines()
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    let of = |name: &str| names.iter().filter(|line| line.contains(name)).count();
    assert_eq!(
        (of("alder"), of("birch"), of("cedar")),
        (5, 1, 1),
        "{names:?}"
    );

    demo.signal("INT");
    let finished = demo.wait();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
}

#[test]
fn the_configuration_that_the_demo_prints_is_one_that_check_takes() {
    let demo = start();
    wait_until("the instructions are printed", || {
        demo.stdout().contains("name = \"old\"") && demo.stdout().ends_with("\n\n")
    });
    let text = demo.stdout();
    let start = text.find("  [server]").unwrap();
    let folder = Folder::with("gateway.toml", &text[start..]);
    let finished = sluicegate("check", &folder.path("gateway.toml"));
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
}
