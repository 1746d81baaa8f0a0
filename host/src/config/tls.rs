//! `listeners[].tls` and `upstreams.NAME.tls`: which files. What is in them is looked at by [`crate::tls`].

pub(super) mod model;

use rustls::pki_types::ServerName;

use super::Scope;
use super::model::Origin;
use super::reader::{Node, Section};
use model::{
    CertificateFiles, ClientCertificates, ListenerTls, NamedFile, TlsVersion, UpstreamTls,
};

const PAIR: &str = r#"a table such as { cert = "site.pem", key = "site.key" }"#;
const CERTIFICATES: &str = r#"[{ cert = "site.pem", key = "site.key" }, ...]"#;
const FILE: &str = "a path to a PEM file";

/// What a listener's key says. `None`: something is wrong, and was reported.
pub(super) fn listener(node: &Node<'_>, scope: &Scope<'_>) -> Option<ListenerTls> {
    let mut section = node.section(
        r#"a table such as { certificates = [{ cert = "site.pem", key = "site.key" }] }"#,
    )?;
    let certificates = section.require("certificates", CERTIFICATES);
    let certificates = certificates.and_then(|node| pairs(&node, scope));
    let client = clients(&mut section, scope);
    let min_version = section.read("min_version", |node| {
        node.choice(&[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)])
    });
    section.finish();
    Some(ListenerTls {
        certificates: certificates?,
        client: client?,
        min_version: min_version.unwrap_or_default(),
    })
}

fn pairs(node: &Node<'_>, scope: &Scope<'_>) -> Option<Vec<CertificateFiles>> {
    let items = node.items()?;
    if items.is_empty() {
        node.unexpected(format_args!("at least one certificate, {PAIR}"));
    }
    let mut pairs: Vec<CertificateFiles> = Vec::new();
    for item in &items {
        let Some(pair) = pair(item, scope) else {
            continue;
        };
        if let Some(same) = pairs.iter().find(|other| other.cert == pair.cert) {
            let line = same.cert.origin.line;
            item.problem(format!("the same certificate as in line {line}"));
        }
        pairs.push(pair);
    }
    Some(pairs)
}

/// A certificate and its key.
pub(super) fn pair(node: &Node<'_>, scope: &Scope<'_>) -> Option<CertificateFiles> {
    let mut section = node.section(PAIR)?;
    let cert = section.require("cert", FILE);
    let key = section.require("key", FILE);
    section.finish();
    let cert = cert.and_then(|node| file(&node, scope));
    let key = key.and_then(|node| file(&node, scope));
    Some(CertificateFiles {
        cert: cert?,
        key: key?,
    })
}

/// Who names authorities asks for certificates; whether those may be missing is for the user to say, and until then they may not.
fn clients(section: &mut Section<'_>, scope: &Scope<'_>) -> Option<ClientCertificates> {
    #[derive(Clone, Copy, PartialEq)]
    enum Asked {
        None,
        Optional,
        Required,
    }
    let choices = [
        ("none", Asked::None),
        ("optional", Asked::Optional),
        ("required", Asked::Required),
    ];
    let node = section.take("client");
    let ca_node = section.take("client_ca");
    let ca = match &ca_node {
        None => None,
        Some(node) => Some(file(node, scope)?),
    };
    let asked = match &node {
        Some(node) => node.choice(&choices)?,
        None if ca.is_some() => Asked::Required,
        None => Asked::None,
    };
    match (asked, ca) {
        (Asked::None, None) => Some(ClientCertificates::None),
        (Asked::None, Some(_)) => {
            if let Some(ca) = ca_node {
                ca.warning(r#"has no effect: client = "none" asks no client for a certificate"#);
            }
            Some(ClientCertificates::None)
        }
        (Asked::Optional, Some(ca)) => Some(ClientCertificates::Optional(ca)),
        (Asked::Required, Some(ca)) => Some(ClientCertificates::Required(ca)),
        (Asked::Optional | Asked::Required, None) => {
            if let Some(node) = node {
                node.problem(
                    "who has signed the certificates of clients is missing: client_ca = \"ca.pem\"",
                );
            }
            None
        }
    }
}

/// What an upstream's key says. `None`: it is no table, which was reported.
pub(super) fn upstream(node: &Node<'_>, scope: &Scope<'_>) -> Option<UpstreamTls> {
    let mut section = node.section(r#"a table such as { ca = "ca.pem" }"#)?;
    let ca = section.take("ca");
    let verify = section.take("verify");
    let tls = UpstreamTls {
        ca: ca.as_ref().and_then(|node| file(node, scope)),
        server_name: section.read("server_name", server_name),
        verify: verify.as_ref().and_then(Node::boolean).unwrap_or(true),
        client: section.read("client", |node| pair(node, scope)),
        origin: origin(node),
    };
    section.finish();
    if !tls.verify {
        if let Some(node) = verify {
            node.warning("whoever is in between can read and change what is sent: certificates are not verified");
        }
        if let Some(node) = ca {
            node.warning("has no effect: verify = false takes every certificate");
        }
    }
    Some(tls)
}

fn server_name(node: &Node<'_>) -> Option<ServerName<'static>> {
    const EXPECTED: &str = r#"a host name or an address, such as "users.internal""#;
    let name = ServerName::try_from(node.string_like(EXPECTED)?.to_owned()).ok();
    if name.is_none() {
        node.unexpected(EXPECTED);
    }
    name
}

pub(super) fn origin(node: &Node<'_>) -> Origin {
    Origin {
        path: node.path.clone(),
        line: node.line,
    }
}

/// A path, relative to the file.
pub(super) fn file(node: &Node<'_>, scope: &Scope<'_>) -> Option<NamedFile> {
    let path = node.string_like(FILE)?;
    if path.is_empty() {
        node.unexpected(FILE);
        return None;
    }
    // Whoever pastes a certificate here, or worse, need not see it repeated.
    if path.contains("-----BEGIN") {
        node.problem(format!("found PEM; expected {FILE}"));
        return None;
    }
    Some(NamedFile {
        path: scope.folder.join(path),
        origin: origin(node),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{accepted, refused, warned};
    use super::*;

    const LISTENER: &str = "[[listeners]]\naddress = \"[::1]:443\"\n[listeners.tls]\n";
    const PAIR: &str = "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]\n";

    fn tls(text: &str) -> ListenerTls {
        let mut config = accepted(&format!("{LISTENER}{text}"));
        config.listeners.remove(0).tls.unwrap()
    }

    #[test]
    fn files_start_at_the_configurations_folder() {
        let tls = tls(
            "certificates = [\n{ cert = \"a.pem\", key = \"/b/a.key\" },\n{ cert = \"../c.pem\", key = \"c.key\" }]",
        );
        let here = std::env::current_dir().unwrap();
        let paths: Vec<_> = tls.files().map(|file| file.path.clone()).collect();
        assert_eq!(
            paths,
            [
                here.join("a.pem"),
                "/b/a.key".into(),
                here.join("../c.pem"),
                here.join("c.key")
            ]
        );
        let origin = &tls.certificates[1].key.origin;
        assert_eq!(
            (&*origin.path, origin.line),
            ("listeners[0].tls.certificates[1].key", 6)
        );
        assert_eq!(
            (tls.client, tls.min_version),
            (ClientCertificates::None, TlsVersion::Tls12)
        );
    }

    #[test]
    fn certificates_of_clients_and_versions() {
        let client = |text: &str| tls(&format!("{PAIR}{text}")).client;
        let is_required = |client: &ClientCertificates| matches!(client, ClientCertificates::Required(ca) if ca.path.ends_with("ca.pem"));
        assert!(is_required(&client("client_ca = \"ca.pem\"")));
        assert!(is_required(&client(
            "client_ca = \"ca.pem\"\nclient = \"required\""
        )));
        assert!(matches!(
            client("client_ca = \"ca.pem\"\nclient = \"optional\""),
            ClientCertificates::Optional(_)
        ));
        assert_eq!(client("client = \"none\""), ClientCertificates::None);
        let (_, warnings) = warned(&format!(
            "{LISTENER}{PAIR}client_ca = \"ca.pem\"\nclient = \"none\""
        ));
        assert_eq!(
            warnings,
            [
                "5: listeners[0].tls.client_ca: has no effect: client = \"none\" asks no client for a certificate"
            ]
        );
        let version = tls(&format!("{PAIR}min_version = \"1.3\"")).min_version;
        assert_eq!(version, TlsVersion::Tls13);
    }

    #[test]
    fn what_is_refused() {
        for (text, expected) in [
            (
                "",
                "3: listeners[0].tls.certificates: missing; expected [{ cert = \"site.pem\", key = \"site.key\" }, ...]",
            ),
            (
                "certificates = []",
                "4: listeners[0].tls.certificates: found an empty array; expected at least one certificate, a table such as { cert = \"site.pem\", key = \"site.key\" }",
            ),
            (
                "certificates = [\"a.pem\"]",
                "4: listeners[0].tls.certificates[0]: found \"a.pem\"; expected a table such as { cert = \"site.pem\", key = \"site.key\" }",
            ),
            (
                "certificates = [{ cert = \"a.pem\" }]",
                "4: listeners[0].tls.certificates[0].key: missing; expected a path to a PEM file",
            ),
            (
                "certificates = [{ cert = \"a.pem\", key = \"\" }]",
                "4: listeners[0].tls.certificates[0].key: found \"\"; expected a path to a PEM file",
            ),
            (
                "certificates = [{ cert = \"a.pem\", key = \"-----BEGIN PRIVATE KEY-----MIGH\" }]",
                "4: listeners[0].tls.certificates[0].key: found PEM; expected a path to a PEM file",
            ),
            (
                "certificates = [{ cert = \"a.pem\", key = \"a\" },\n{ cert = \"a.pem\", key = \"b\" }]",
                "5: listeners[0].tls.certificates[1]: the same certificate as in line 4",
            ),
            (
                "certificates = [{ cert = \"a\", key = \"b\" }]\nclient = \"required\"",
                "5: listeners[0].tls.client: who has signed the certificates of clients is missing: client_ca = \"ca.pem\"",
            ),
            (
                "certificates = [{ cert = \"a\", key = \"b\" }]\nclient = \"yes\"",
                "5: listeners[0].tls.client: found \"yes\"; allowed: \"none\", \"optional\", \"required\"",
            ),
            (
                "certificates = [{ cert = \"a\", key = \"b\" }]\nmin_version = \"1.1\"",
                "5: listeners[0].tls.min_version: found \"1.1\"; allowed: \"1.2\", \"1.3\"",
            ),
            (
                "certificates = [{ cert = \"a\", key = \"b\" }]\nclient_cas = 1",
                "5: listeners[0].tls.client_cas: unknown key; did you mean \"client_ca\"?",
            ),
        ] {
            assert_eq!(refused(&format!("{LISTENER}{text}")), [expected], "{text}");
        }
    }

    #[test]
    fn tls_to_targets() {
        const TARGETS: &str = "[upstreams.u]\ntargets = [{ url = \"https://a.example\" }]\n";
        let upstream = |text: &str| {
            let mut config = accepted(&format!("{TARGETS}{text}"));
            config.upstreams.remove("u").unwrap().tls.unwrap()
        };
        let tls = upstream("");
        assert_eq!((tls.ca, tls.verify, tls.client), (None, true, None));
        assert_eq!((&*tls.origin.path, tls.origin.line), ("upstreams.u", 1));
        let tls = upstream(
            "tls = { ca = \"ca.pem\", server_name = \"b.example\", client = { cert = \"c.pem\", key = \"c.key\" } }",
        );
        assert_eq!(tls.server_name, Some("b.example".try_into().unwrap()));
        let files: Vec<_> = tls
            .files()
            .map(|file| file.path.file_name().unwrap().to_owned())
            .collect();
        assert_eq!(files, ["c.pem", "c.key", "ca.pem"]);

        let (config, warnings) = warned(&format!(
            "{TARGETS}tls = {{ ca = \"ca.pem\", verify = false }}"
        ));
        assert!(!config.upstreams["u"].tls.as_ref().unwrap().verify);
        assert_eq!(
            warnings,
            [
                "3: upstreams.u.tls.verify: whoever is in between can read and change what is sent: certificates are not verified",
                "3: upstreams.u.tls.ca: has no effect: verify = false takes every certificate",
            ]
        );
        let (config, warnings) =
            warned("[upstreams.u]\ntargets = [{ url = \"http://a\" }]\ntls = {}");
        assert_eq!(config.upstreams["u"].tls, None);
        assert_eq!(
            warnings,
            ["3: upstreams.u.tls: has no effect: no target is https://"]
        );
        for (text, expected) in [
            (
                "tls = { server_name = \"a b\" }",
                "3: upstreams.u.tls.server_name: found \"a b\"; expected a host name or an address, such as \"users.internal\"",
            ),
            (
                "tls = { verify = \"no\" }",
                "3: upstreams.u.tls.verify: found \"no\"; expected true or false",
            ),
            (
                "tls = { insecure = true }",
                "3: upstreams.u.tls.insecure: unknown key; allowed here: ca, client, server_name, verify",
            ),
            (
                "tls = true",
                "3: upstreams.u.tls: found true; expected a table such as { ca = \"ca.pem\" }",
            ),
        ] {
            assert_eq!(refused(&format!("{TARGETS}{text}")), [expected], "{text}");
        }
    }
}
