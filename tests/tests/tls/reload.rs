//! Certificates that change while the gateway runs.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use sluicegate_tests::{Answer, TlsClient, Upstream, wait_until};

use crate::gateway::Live;

fn shown(live: &Live) -> Vec<u8> {
    let client = TlsClient::trusting(&live.authority);
    let wire = client.connect(live.address(), "a.example").unwrap();
    wire.certificate()
}

#[test]
fn a_renewed_certificate_is_taken_up_and_open_connections_go_on() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let live = Live::secure("", &upstream);
    let client = TlsClient::trusting(&live.authority);
    let mut open = client.connect(live.address(), "a.example").unwrap();
    open.get("/", "a.example").unwrap();
    let before = shown(&live);

    live.authority
        .issue(&["a.example"])
        .write(live.folder.path(), "a");
    let reloaded = live.server.running().reload().unwrap();
    assert_eq!(reloaded.at_next_start, [""; 0]);

    assert_ne!(shown(&live), before);
    assert_eq!(open.get("/", "a.example").unwrap().1, "hello");
    // Sessions go on over it.
    let resumed = client.connect(live.address(), "a.example").unwrap();
    assert!(resumed.is_resumed());
}

#[test]
fn a_bad_one_is_refused_and_the_old_one_stays() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let live = Live::secure("", &upstream);
    let before = shown(&live);
    let old = live.authority.issue_until(&["a.example"], 2021);
    let other = live.authority.issue(&["a.example"]);
    let good = live.authority.issue(&["a.example"]);
    let cert = live.folder.path().join("a.pem");
    let key = live.folder.path().join("a.key");
    for (cert_text, key_text, expected) in [
        (
            &*old.cert,
            &*old.key,
            "has expired: it ended at 2021-01-01 00:00:00 UTC",
        ),
        (
            &*good.cert,
            &*other.key,
            "is not the key of the certificate in",
        ),
        (
            &*good.key,
            &*good.key,
            "holds a private key, and no certificate",
        ),
        ("", &*good.key, "is not PEM"),
    ] {
        std::fs::write(&cert, cert_text).unwrap();
        std::fs::write(&key, key_text).unwrap();
        let error = live.server.running().reload().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(
            error.contains("gateway.toml:8: listeners[0].tls.certificates[0]."),
            "{error}"
        );
        assert_eq!(shown(&live), before);
    }
    std::fs::remove_file(&cert).unwrap();
    let error = live.server.running().reload().unwrap_err().to_string();
    assert!(error.contains("cannot be read: No such file"), "{error}");
    assert_eq!(shown(&live), before);
    good.write(live.folder.path(), "a");
    live.server.running().reload().unwrap();
    assert_ne!(shown(&live), before);
}

#[test]
fn one_that_expires_while_it_is_served_is_no_reason_to_refuse_everything_else() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let live = Live::secure("", &upstream);
    let end = SystemTime::now() + Duration::from_secs(3);
    let short = live.authority.issue_until_time(&["a.example"], end);
    short.write(live.folder.path(), "a");
    live.server.running().reload().unwrap();
    let past = end + Duration::from_secs(1);
    wait_until("it has expired", || SystemTime::now() > past);
    for _ in 0..2 {
        let reloaded = live.server.running().reload().unwrap();
        let warnings = reloaded.warnings.join("\n");
        assert!(
            warnings.contains("a.pem\" has expired: it ended at"),
            "{warnings}"
        );
    }
    // Whoever starts with it, or comes with another that has expired, is refused.
    let loaded = sluicegate::config::load(&live.folder.path().join("gateway.toml")).unwrap();
    let error = sluicegate::server::load(&loaded.config, None, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("has expired"), "{error}");
    let old = live.authority.issue_until(&["a.example"], 2021);
    old.write(live.folder.path(), "a");
    let error = live.server.running().reload().unwrap_err().to_string();
    assert!(error.contains("has expired"), "{error}");
}

#[test]
fn what_a_refused_configuration_waits_for_is_watched() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let live = Live::secure("", &upstream);
    let before = shown(&live);
    let running = live.server.running();
    let watch = sluicegate::server::watch::start(Arc::clone(running)).unwrap();
    let file = live.folder.path().join("gateway.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text
        .replace("/a.pem", "/later.pem")
        .replace("/a.key", "/later.key");
    std::fs::write(&file, text).unwrap();
    wait_until("it is refused", || {
        running.refusals.load(Ordering::Relaxed) == 1
    });
    let new = live.authority.issue(&["a.example"]);
    new.write(live.folder.path(), "later");
    wait_until("it is taken up", || {
        running.reloads.load(Ordering::Relaxed) == 1
    });
    assert_ne!(shown(&live), before);
    drop(watch);
}

#[test]
fn a_listener_that_listens_keeps_its_tls_whatever_becomes_of_the_others() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let live = Live::secure("", &upstream);
    let before = shown(&live);
    let file = live.folder.path().join("gateway.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (head, rest) = text.split_once("[[listeners]]").unwrap();
    let moved = format!("{head}[[listeners]]\naddress = \"127.0.0.1:1\"\n[[listeners]]{rest}");
    std::fs::write(&file, &moved).unwrap();
    let reloaded = live.server.running().reload().unwrap();
    assert_eq!(reloaded.at_next_start, ["listeners"]);
    // As long as it is so, and no longer.
    let again = live.server.running().reload().unwrap();
    assert_eq!(again.at_next_start, ["listeners"]);
    std::fs::write(&file, &text).unwrap();
    let back = live.server.running().reload().unwrap();
    assert_eq!(back.at_next_start, [""; 0]);
    std::fs::write(&file, &moved).unwrap();
    live.server.running().reload().unwrap();
    assert_eq!(shown(&live), before);
    // Even where the file has it no more.
    let (_, rest) = rest.split_once("[upstreams.a]").unwrap();
    let gone = format!("{head}[[listeners]]\naddress = \"127.0.0.1:1\"\n[upstreams.a]{rest}");
    std::fs::write(&file, gone).unwrap();
    live.server.running().reload().unwrap();
    assert_eq!(shown(&live), before);
}

#[test]
fn changed_files_are_noticed_also_where_a_link_is_swapped_or_a_file_renamed() {
    let upstream = Upstream::start(|_| Answer::ok("hello"));
    let live = Live::secure("", &upstream);
    let watch = sluicegate::server::watch::start(Arc::clone(live.server.running())).unwrap();
    let mut before = shown(&live);
    let mut changed = |what: &str| {
        wait_until(what, || shown(&live) != before);
        before = shown(&live);
    };

    // Certificates and keys are new files under the same names.
    let new = live.authority.issue(&["a.example"]);
    new.write(live.folder.path(), "new");
    let path = |name: &str| live.folder.path().join(name);
    for end in ["pem", "key"] {
        std::fs::rename(path(&format!("new.{end}")), path(&format!("a.{end}"))).unwrap();
    }
    changed("a renamed certificate");

    // Both are links to where a link leads, as an orchestrator mounts them.
    for version in ["1", "2"] {
        let folder = path(version);
        std::fs::create_dir(&folder).unwrap();
        live.authority.issue(&["a.example"]).write(&folder, "a");
    }
    symlink("1", path("current")).unwrap();
    for end in ["pem", "key"] {
        let name = format!("a.{end}");
        symlink(format!("current/{name}"), path("link")).unwrap();
        std::fs::rename(path("link"), path(&name)).unwrap();
    }
    changed("links in place of the files");
    symlink("2", path("next")).unwrap();
    std::fs::rename(path("next"), path("current")).unwrap();
    changed("a swapped link");
    drop(watch);
}
