//! Loads the files that a configuration names, and collects what is wrong with them.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, InconsistentKeys, RootCertStore};

use super::certificate::{Facts, Validity};
use super::pem::{self, PemError};
use super::provider;
use crate::config::{CertificateFiles, NamedFile, Origin, Problem};

/// Collects over all listeners and upstreams of one configuration.
#[derive(Debug)]
pub struct Loader {
    now: SystemTime,
    /// The files of certificates that are served already, by their fingerprints.
    served: HashSet<u64>,
    /// What would be wrong with them if they were new.
    expired: Vec<Problem>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Read once, when something needs them.
    system_roots: Option<Roots>,
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Pair {
    /// What a handshake needs of it.
    pub key: Arc<CertifiedKey>,
    /// What the certificate says of itself.
    pub facts: Facts,
    /// Changes when the certificate's file does.
    pub certificate: u64,
    /// Changes when one of the files does.
    pub fingerprint: u64,
}

/// Who may sign certificates.
#[derive(Debug, Clone)]
pub struct Roots {
    /// For verifying.
    pub store: Arc<RootCertStore>,
    /// The certificates of a file; none where they are the system's.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Changes when they do.
    pub fingerprint: u64,
}

impl Default for Loader {
    fn default() -> Self {
        Self::at(SystemTime::now())
    }
}

impl Loader {
    /// Looks at certificates as they are at a time.
    pub fn at(now: SystemTime) -> Self {
        Self {
            now,
            served: HashSet::new(),
            expired: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            system_roots: None,
        }
    }

    /// Certificates that are served already are taken even when they have expired meanwhile: refusing them would not
    /// take them out of service, only keep everything else from being changed.
    #[must_use]
    pub fn following(mut self, served: impl IntoIterator<Item = u64>) -> Self {
        self.served.extend(served);
        self
    }

    /// Which certificates were taken all the same, and why they would not be if they were new.
    pub fn take_expired(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.expired)
    }

    /// What was found wrong and odd, in the file's order.
    pub fn into_findings(self) -> (Vec<Problem>, Vec<Problem>) {
        let (mut problems, mut warnings) = (self.problems, self.warnings);
        problems.sort_by_key(|problem| problem.line);
        warnings.sort_by_key(|problem| problem.line);
        (problems, warnings)
    }

    /// Says what is wrong with a file.
    pub fn problem(&mut self, file: &NamedFile, what: impl Display) {
        self.problems.push(finding(file, what));
    }

    /// Says what is wrong where no file is to blame.
    pub fn problem_at(&mut self, origin: &Origin, what: impl Display) {
        self.problems.push(Problem {
            path: origin.path.clone(),
            line: origin.line,
            message: what.to_string(),
        });
    }

    /// Says what is odd about a file.
    pub fn warning(&mut self, file: &NamedFile, what: impl Display) {
        self.warnings.push(finding(file, what));
    }

    /// A certificate, the chain behind it, and its key. `None`: something is wrong with them, and was said.
    pub fn pair(&mut self, files: &CertificateFiles) -> Option<Pair> {
        let cert = self.read(&files.cert, pem::certificates);
        let key = self.read(&files.key, pem::key);
        let (chain, cert_fingerprint) = cert?;
        let facts = self.facts(&files.cert, &chain, cert_fingerprint);
        let (key, key_fingerprint) = key?;
        let facts = facts?;
        let key = match CertifiedKey::from_der(chain, key, &provider()) {
            Ok(key) => Arc::new(key),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                let cert = files.cert.path.display();
                self.problem(
                    &files.key,
                    format_args!("is not the key of the certificate in \"{cert}\""),
                );
                return None;
            }
            Err(rustls::Error::InvalidCertificate(error)) => {
                let hint = match error {
                    CertificateError::Other(_) => {
                        "; certificates of version 1, as openssl makes them without extensions, are not taken: add a subjectAltName"
                    }
                    _ => "",
                };
                self.problem(
                    &files.cert,
                    format_args!("holds a certificate that can't be used: {error}{hint}"),
                );
                return None;
            }
            // The parser's words are about the form of the key, and short: but there is no promise.
            Err(_) => {
                self.problem(
                    &files.key,
                    "holds a private key that can't be used; RSA of 2048 bits or more, ECDSA on P-256, P-384 or P-521, and Ed25519 can",
                );
                return None;
            }
        };
        Some(Pair {
            key,
            facts,
            certificate: cert_fingerprint,
            fingerprint: fingerprint(&[cert_fingerprint, key_fingerprint]),
        })
    }

    /// Those of a file.
    pub fn roots(&mut self, file: &NamedFile) -> Option<Roots> {
        let (certificates, fingerprint) = self.read(file, pem::certificates)?;
        let mut store = RootCertStore::empty();
        for (number, certificate) in certificates.iter().enumerate() {
            if let Err(error) = store.add(certificate.clone()) {
                let number = number + 1;
                self.problem(
                    file,
                    format_args!(
                        "holds a certificate (number {number} in it) that can't be used: {error}"
                    ),
                );
                return None;
            }
            if let Some(Validity::Expired(end)) =
                Facts::of(certificate).map(|facts| facts.validity(self.now))
            {
                self.warning(
                    file,
                    format_args!(
                        "holds a certificate (number {} in it) that ended at {end}",
                        number + 1
                    ),
                );
            }
        }
        Some(Roots {
            store: Arc::new(store),
            certificates,
            fingerprint,
        })
    }

    /// The system's; `origin`: what needs them.
    pub fn system_roots(&mut self, origin: &Origin) -> Option<Roots> {
        if let Some(roots) = &self.system_roots {
            return Some(roots.clone());
        }
        let mut found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        found
            .certs
            .sort_unstable_by(|one, other| one.as_ref().cmp(other));
        let mut hasher = DefaultHasher::new();
        found.certs.hash(&mut hasher);
        // Among a system's roots there always are some that are too old or too odd.
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            let errors = errors.join("; ");
            self.problem_at(
                origin,
                format_args!(
                    "the system has no root certificates ({errors}); `ca` names a file with some"
                ),
            );
            return None;
        }
        let roots = Roots {
            store: Arc::new(store),
            certificates: Vec::new(),
            fingerprint: hasher.finish(),
        };
        self.system_roots = Some(roots.clone());
        Some(roots)
    }

    fn read<T>(
        &mut self,
        file: &NamedFile,
        parse: impl FnOnce(&[u8]) -> Result<T, PemError>,
    ) -> Option<(T, u64)> {
        let bytes = pem::read(&file.path);
        let parsed = bytes.and_then(|bytes| {
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            Ok((parse(&bytes)?, hasher.finish()))
        });
        match parsed {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.problem(file, error);
                None
            }
        }
    }

    /// Those of a chain's first certificate, which has to be valid now, or else be served already.
    fn facts(
        &mut self,
        file: &NamedFile,
        chain: &[CertificateDer<'_>],
        fingerprint: u64,
    ) -> Option<Facts> {
        let (first, behind) = chain.split_first()?;
        let Some(facts) = Facts::of(first) else {
            self.problem(file, "holds a certificate that can't be read");
            return None;
        };
        match facts.validity(self.now) {
            Validity::Good => {}
            Validity::EndsSoon { end, days } => {
                let left = match days {
                    0 => "within a day".to_owned(),
                    1 => "in 1 day".to_owned(),
                    days => format!("in {days} days"),
                };
                self.warning(file, format_args!("ends {left}, at {end}"));
            }
            Validity::Expired(end) => {
                let what = format_args!("has expired: it ended at {end}");
                if !self.served.contains(&fingerprint) {
                    self.problem(file, what);
                    return None;
                }
                self.expired.push(finding(file, what));
            }
            Validity::NotYet(begin) => {
                self.problem(file, format_args!("is not valid yet: it begins at {begin}"));
                return None;
            }
        }
        // Whether these matter depends on which roots the other end has.
        for (number, certificate) in behind.iter().enumerate() {
            let validity = Facts::of(certificate).map(|facts| facts.validity(self.now));
            if let Some(Validity::Expired(end)) = validity {
                let number = number + 2;
                self.warning(
                    file,
                    format_args!(
                        "has a certificate in its chain (number {number}) that ended at {end}"
                    ),
                );
            }
        }
        Some(facts)
    }
}

/// One of several.
pub fn fingerprint(of: &[u64]) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

fn finding(file: &NamedFile, what: impl Display) -> Problem {
    Problem {
        path: file.origin.path.clone(),
        line: file.origin.line,
        message: format!("\"{}\" {what}", file.path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Authority, Pair as Generated, named};
    use super::*;

    /// Problems and warnings, without the folder.
    fn findings(loader: Loader, folder: &std::path::Path) -> (Vec<String>, Vec<String>) {
        let folder = format!("{}/", folder.display());
        let lines = |findings: Vec<Problem>| {
            let lines = findings.into_iter();
            let lines = lines.map(
                |Problem {
                     path,
                     line,
                     message,
                 }| format!("{line}: {path}: {message}"),
            );
            lines.map(|line| line.replace(&folder, "")).collect()
        };
        let (problems, warnings) = loader.into_findings();
        (lines(problems), lines(warnings))
    }

    #[test]
    fn a_good_pair_has_the_same_fingerprint_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let files = Generated::of(&["a.example"]).files(folder.path(), "a");
        let mut loader = Loader::default();
        let first = loader.pair(&files).unwrap();
        assert_eq!(first.facts.hosts, ["a.example"]);
        assert_eq!(loader.pair(&files).unwrap().fingerprint, first.fingerprint);
        Generated::of(&["a.example"]).files(folder.path(), "a");
        assert_ne!(loader.pair(&files).unwrap().fingerprint, first.fingerprint);
        assert_eq!(findings(loader, folder.path()), (vec![], vec![]));
    }

    #[test]
    fn what_is_wrong_with_a_pair() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (Generated::of(&["a"]), Generated::of(&["b"]));
        let problems = |pair: Generated| {
            let files = pair.files(folder.path(), "x");
            let mut loader = Loader::default();
            assert!(loader.pair(&files).is_none());
            let (problems, warnings) = findings(loader, folder.path());
            assert_eq!(warnings, Vec::<String>::new());
            // Nothing of the key's file is ever told.
            for line in pair.key.lines().filter(|line| line.len() > 20) {
                assert!(!problems.iter().any(|problem| problem.contains(line)));
            }
            problems
        };
        let pair = |cert: &str, key: &str| Generated {
            cert: cert.to_owned(),
            key: key.to_owned(),
        };
        assert_eq!(
            problems(pair(&a.cert, &b.key)),
            ["7: x.key: \"x.key\" is not the key of the certificate in \"x.pem\""]
        );
        // Both at once.
        assert_eq!(
            problems(pair(&a.key, &a.cert)),
            [
                "7: x.cert: \"x.pem\" holds a private key, and no certificate",
                "7: x.key: \"x.key\" holds a certificate, and no private key"
            ]
        );
        let broken = a.key.replacen("\nM", "\nA", 1);
        assert_eq!(
            problems(pair(&a.cert, &broken)),
            [
                "7: x.key: \"x.key\" holds a private key that can't be used; RSA of 2048 bits or more, ECDSA on P-256, P-384 or P-521, and Ed25519 can"
            ]
        );
        let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(
            problems(pair(odd, &a.key)),
            ["7: x.cert: \"x.pem\" holds a certificate that can't be read"]
        );
        let old = Generated::with(&["a"], |params| {
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        });
        assert_eq!(
            problems(old),
            ["7: x.cert: \"x.pem\" has expired: it ended at 2021-01-01 00:00:00 UTC"]
        );
        let new = Generated::with(&["a"], |params| {
            params.not_before = rcgen::date_time_ymd(2999, 1, 1);
        });
        assert_eq!(
            problems(new),
            ["7: x.cert: \"x.pem\" is not valid yet: it begins at 2999-01-01 00:00:00 UTC"]
        );
    }

    #[test]
    fn what_is_served_already_may_expire() {
        let folder = tempfile::tempdir().unwrap();
        let old = Generated::with(&["a"], |params| {
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        });
        let files = old.files(folder.path(), "x");
        let mut before =
            Loader::at(std::time::UNIX_EPOCH + std::time::Duration::from_hours(440_000));
        let served = before.pair(&files).unwrap().certificate;
        let mut loader = Loader::default().following([served]);
        assert!(loader.pair(&files).is_some());
        let expired = loader.take_expired();
        assert_eq!(expired.len(), 1);
        assert!(
            expired[0]
                .message
                .ends_with("has expired: it ended at 2021-01-01 00:00:00 UTC")
        );
        assert_eq!(findings(loader, folder.path()), (vec![], vec![]));
        let mut loader = Loader::default().following([served + 1]);
        assert!(loader.pair(&files).is_none());
    }

    #[test]
    fn what_is_odd_about_a_pair_is_told_and_taken() {
        let folder = tempfile::tempdir().unwrap();
        let ends = |pair: &Generated, days_before: u64| {
            let files = pair.files(folder.path(), "x");
            let end = std::time::UNIX_EPOCH + std::time::Duration::from_hours(447_072);
            let hours = days_before * 24 + 1;
            let mut loader = Loader::at(end - std::time::Duration::from_hours(hours));
            assert!(loader.pair(&files).is_some());
            let (problems, warnings) = findings(loader, folder.path());
            assert_eq!(problems, Vec::<String>::new());
            warnings
        };
        let mut pair = Generated::with(&["a"], |params| {
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        });
        assert_eq!(ends(&pair, 14), Vec::<String>::new());
        for (days, left) in [(13, "in 13 days"), (1, "in 1 day"), (0, "within a day")] {
            let expected = format!("7: x.cert: \"x.pem\" ends {left}, at 2021-01-01 00:00:00 UTC");
            assert_eq!(ends(&pair, days), [expected]);
        }
        let old = Generated::with(&["ca"], |params| {
            params.not_after = rcgen::date_time_ymd(2019, 1, 1);
        });
        pair.cert.push_str(&old.cert);
        assert_eq!(
            ends(&pair, 20),
            [
                "7: x.cert: \"x.pem\" has a certificate in its chain (number 2) that ended at 2019-01-01 00:00:00 UTC"
            ]
        );
    }

    #[test]
    fn roots() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let file = named(path.clone(), "ca");
        let (one, two) = (Authority::new(), Authority::new());
        std::fs::write(&path, one.pem() + &two.pem()).unwrap();
        let mut loader = Loader::default();
        let roots = loader.roots(&file).unwrap();
        assert_eq!((roots.store.len(), roots.certificates.len()), (2, 2));
        std::fs::write(&path, one.pem()).unwrap();
        assert_ne!(loader.roots(&file).unwrap().fingerprint, roots.fingerprint);
        std::fs::write(
            &path,
            one.pem() + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        assert!(loader.roots(&file).is_none());
        std::fs::remove_file(&path).unwrap();
        assert!(loader.roots(&file).is_none());
        let (problems, _) = findings(loader, folder.path());
        assert!(
            problems[0].starts_with(
                "7: ca: \"ca.pem\" holds a certificate (number 2 in it) that can't be used: "
            ),
            "{problems:?}"
        );
        assert!(
            problems[1].starts_with("7: ca: \"ca.pem\" cannot be read: No such file"),
            "{problems:?}"
        );
    }
}
