//! `check` and `run`, and what they say of certificates.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sluicegate_tests::{Authority, Finished, Process};

fn check(folder: &Path, certificates: &str) -> Finished {
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[listeners.tls]\ncertificates = [\n{certificates}\n]\n[upstreams.a]\ntargets = [{{ url = \"http://127.0.0.1:9\" }}]\n[[routes]]\npath = \"/\"\nupstream = \"a\"\n"
    );
    let file = folder.join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    Process::gateway(["check", "--config", &file.display().to_string()]).wait()
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = Authority::new();
    let good = authority.issue(&["a.example"]).write(folder, "good");
    let same = authority.issue(&["a.example"]).write(folder, "same");
    let old = authority
        .issue_until(&["b.example"], 2021)
        .write(folder, "old");
    let mut secret = authority.issue(&["c.example"]);
    secret.cert.clone_from(&secret.key);
    let key_twice = secret.write(folder, "secret");
    let none = "{ cert = \"none.pem\", key = \"good.key\" }";

    let finished = check(folder, &good);
    assert_eq!((finished.code(), &*finished.stderr), (0, ""));
    let finished = check(folder, &format!("{good},\n{old},\n{key_twice},\n{none}"));
    assert_eq!(finished.code(), 78);
    let stderr = finished
        .stderr
        .replace(&format!("{}/", folder.display()), "");
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "gateway.toml:6: listeners[0].tls.certificates[1].cert: \"old.pem\" has expired: it ended at 2021-01-01 00:00:00 UTC",
            "gateway.toml:7: listeners[0].tls.certificates[2].cert: \"secret.pem\" holds a private key, and no certificate",
            "gateway.toml:8: listeners[0].tls.certificates[3].cert: \"none.pem\" cannot be read: No such file or directory (os error 2)",
        ]
    );
    for line in secret.key.lines().skip(1) {
        assert!(line.starts_with('-') || !stderr.contains(line));
    }
    let finished = check(folder, &format!("{good},\n{same}"));
    assert!(
        finished.stderr.contains("is for \"a.example\", as that of line 5 is; two for the same host need keys of different kinds"),
        "{finished:?}"
    );
}

#[test]
fn a_certificate_that_ends_soon_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let soon = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "5",
            "-subj",
            "/CN=a.example",
            "-keyout",
            "a.key",
            "-out",
            "a.pem",
        ])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(soon.status.success(), "{soon:?}");
    let finished = check(folder, "{ cert = \"a.pem\", key = \"a.key\" }");
    assert_eq!(finished.code(), 0, "{finished:?}");
    let stderr = finished
        .stderr
        .replace(&format!("{}/", folder.display()), "");
    assert!(
        stderr.starts_with(
            "warning: gateway.toml:5: listeners[0].tls.certificates[0].cert: \"a.pem\" ends in "
        ),
        "{stderr}"
    );
}

#[test]
fn what_can_not_be_opened_is_told_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    Authority::new().issue(&["a.example"]).write(folder, "a");
    std::fs::remove_file(folder.join("a.key")).unwrap();
    // Opening a pipe would wait for somebody to write into it.
    let made = std::process::Command::new("mkfifo")
        .arg(folder.join("a.key"))
        .status()
        .unwrap();
    assert!(made.success());
    let finished = check(folder, "{ cert = \"a.pem\", key = \"a.key\" }");
    assert_eq!(finished.code(), 78);
    assert!(
        finished.stderr.contains("a.key\" is not a file"),
        "{finished:?}"
    );
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join("big.key"))
        .unwrap()
        .set_len(5 << 20)
        .unwrap();
    let finished = check(folder, "{ cert = \"a.pem\", key = \"big.key\" }");
    assert!(
        finished.stderr.contains("big.key\" is larger than 4 MiB"),
        "{finished:?}"
    );
}
