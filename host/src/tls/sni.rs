//! Which certificate a client gets: that of the host that it names (RFC 6066, section 3), which the certificates' own names
//! decide. Several for the same host are told apart by the kind of their keys.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::loader::{Loader, Pair};
use crate::config::CertificateFiles;

/// The certificates of one listener.
#[derive(Debug)]
pub struct Certificates {
    exact: Hosts,
    /// By what comes behind the asterisk's dot.
    wildcards: Hosts,
    /// For clients that name no host, or one that none is for.
    default: Candidates,
}

type Candidates = Vec<Arc<CertifiedKey>>;
type Hosts = HashMap<Box<str>, Candidates>;

impl Certificates {
    /// Of those that the configuration lists. What makes no sense about them is said to the loader.
    pub fn new(pairs: &[(&CertificateFiles, Pair)], loader: &mut Loader) -> Self {
        let mut certificates = Self {
            exact: HashMap::new(),
            wildcards: HashMap::new(),
            default: Vec::new(),
        };
        for (number, (files, pair)) in pairs.iter().enumerate() {
            if number > 0 && pair.facts.hosts.is_empty() {
                let names = if pair.facts.has_other_names {
                    "names no host"
                } else {
                    "has no names"
                };
                loader.warning(
                    &files.cert,
                    format_args!("{names}, so no client can ask for it: only the first certificate of a listener is for the rest"),
                );
            }
            for host in &pair.facts.hosts {
                let kind = pair.key.key.algorithm();
                let mut before = pairs.get(..number).unwrap_or_default().iter();
                let same = before.find(|(_, before)| {
                    before.key.key.algorithm() == kind && before.facts.hosts.contains(host)
                });
                if let Some((other, _)) = same {
                    let line = other.cert.origin.line;
                    loader.problem(
                        &files.cert,
                        format_args!("is for \"{host}\", as that of line {line} is; two for the same host need keys of different kinds"),
                    );
                }
                let (hosts, name) = match host.strip_prefix("*.") {
                    Some(parent) => (&mut certificates.wildcards, parent),
                    None => (&mut certificates.exact, host.as_str()),
                };
                let candidates = hosts.entry(name.into()).or_default();
                candidates.push(Arc::clone(&pair.key));
            }
        }
        if let Some(((_, first), others)) = pairs.split_first() {
            certificates.default.push(Arc::clone(&first.key));
            let is_twin = |pair: &Pair| {
                let mut hosts = pair.facts.hosts.iter();
                hosts.any(|host| first.facts.hosts.contains(host))
            };
            let twins = others.iter().filter(|(_, pair)| is_twin(pair));
            let twins = twins.map(|(_, pair)| Arc::clone(&pair.key));
            certificates.default.extend(twins);
        }
        certificates
    }

    fn find(&self, host: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let candidates = host
            .and_then(|host| {
                // Some clients write the root's dot.
                let host = host.strip_suffix('.').unwrap_or(host);
                self.exact.get(host).or_else(|| {
                    let (_, parent) = host.split_once('.')?;
                    self.wildcards.get(parent)
                })
            })
            .unwrap_or(&self.default);
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let found = candidates.iter().find(fits).or(candidates.first());
        found.cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // In lower case: rustls sees to that.
        self.find(hello.server_name(), hello.signature_schemes())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};

    use super::super::certificate::Facts;
    use super::super::testing::Pair as Generated;
    use super::*;

    const ECDSA: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
    const ED25519: SignatureScheme = SignatureScheme::ED25519;

    fn generated(hosts: &[&str], is_ed25519: bool) -> Generated {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let algorithm = if is_ed25519 {
            &PKCS_ED25519
        } else {
            &PKCS_ECDSA_P256_SHA256
        };
        let key = KeyPair::generate_for(algorithm).unwrap();
        Generated {
            cert: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// Of certificates with these hosts; what the loader was told.
    fn certificates(all: &[(&[&str], bool)]) -> (Certificates, Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let mut loader = Loader::default();
        let files: Vec<_> = all
            .iter()
            .enumerate()
            .map(|(number, (hosts, is_ed25519))| {
                generated(hosts, *is_ed25519).files(folder.path(), &number.to_string())
            })
            .collect();
        let pairs: Vec<_> = files
            .iter()
            .map(|files| (files, loader.pair(files).unwrap()))
            .collect();
        let certificates = Certificates::new(&pairs, &mut loader);
        let (problems, warnings) = loader.into_findings();
        let folder = format!("{}/", folder.path().display());
        let messages = |findings: Vec<crate::config::Problem>| {
            let messages = findings.into_iter();
            messages
                .map(|finding| finding.message.replace(&folder, ""))
                .collect()
        };
        (certificates, messages(problems), messages(warnings))
    }

    fn hosts(
        certificates: &Certificates,
        host: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> String {
        let key = certificates.find(host, schemes).unwrap();
        Facts::of(&key.cert[0]).unwrap().hosts.join(" ")
    }

    #[test]
    fn the_certificates_own_names_decide() {
        let (certificates, problems, warnings) = certificates(&[
            (&["first.example"], false),
            (&["A.example", "*.b.example"], false),
            (&["x.b.example"], false),
        ]);
        assert_eq!((problems, warnings), (vec![], vec![]));
        for (host, expected) in [
            (Some("a.example"), "a.example *.b.example"),
            (Some("a.example."), "a.example *.b.example"),
            (Some("y.b.example"), "a.example *.b.example"),
            (Some("x.b.example"), "x.b.example"),
            // A wildcard is for one label, and for at least one.
            (Some("y.x.b.example"), "first.example"),
            (Some("b.example"), "first.example"),
            (Some("first.example"), "first.example"),
            (Some("other.example"), "first.example"),
            (Some("localhost"), "first.example"),
            (None, "first.example"),
        ] {
            assert_eq!(hosts(&certificates, host, &[ECDSA]), expected, "{host:?}");
        }
    }

    #[test]
    fn two_kinds_of_keys_for_a_host_are_picked_by_what_the_client_can() {
        let (certificates, problems, _) =
            certificates(&[(&["a", "ecdsa"], false), (&["a", "ed25519"], true)]);
        assert_eq!(problems, Vec::<String>::new());
        for host in [Some("a"), None] {
            for (schemes, expected) in [
                (&[ED25519][..], "a ed25519"),
                (&[ECDSA], "a ecdsa"),
                (&[ED25519, ECDSA], "a ecdsa"),
                (&[SignatureScheme::RSA_PSS_SHA256], "a ecdsa"),
            ] {
                assert_eq!(hosts(&certificates, host, schemes), expected);
            }
        }
    }

    #[test]
    fn a_host_twice_and_a_certificate_for_nobody() {
        let (_, problems, warnings) = certificates(&[
            (&[], false),
            (&["a", "a"], false),
            (&["b", "A"], false),
            (&[], false),
        ]);
        assert_eq!(
            problems,
            [
                "\"2.pem\" is for \"a\", as that of line 7 is; two for the same host need keys of different kinds"
            ]
        );
        assert_eq!(
            warnings,
            [
                "\"3.pem\" has no names, so no client can ask for it: only the first certificate of a listener is for the rest"
            ]
        );
    }
}
