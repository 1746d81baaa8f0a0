//! A listener's side of TLS.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};

use super::loader::{Loader, Roots, fingerprint};
use super::provider;
use super::sni::Certificates;
use crate::config::{ClientCertificates, ListenerTls, NamedFile, TlsVersion};

/// What handshakes of one listener begin with. Shared by all workers.
#[derive(Debug, Clone)]
pub struct Acceptor {
    /// For each handshake.
    pub config: Arc<ServerConfig>,
    /// The fingerprints of its certificates' files.
    pub certificates: Vec<u64>,
    /// Changes when anything of it does.
    fingerprint: u64,
    /// Changes when who is let in does.
    clients: u64,
}

impl Acceptor {
    /// Loads what a listener names; `protocols`: those that clients may choose from (ALPN), the preferred one first. `None`: something is
    /// wrong, and was said to the loader.
    ///
    /// Where nothing has changed since `previous`, that goes on. Where only certificates have, clients may go on with the sessions that
    /// they have begun. Where it has changed who is let in, they may not: a session is resumed without looking at the client's
    /// certificate again.
    pub fn load(
        tls: &ListenerTls,
        protocols: &[&[u8]],
        loader: &mut Loader,
        previous: Option<&Self>,
    ) -> Option<Self> {
        let pairs = tls.certificates.iter().map(|files| {
            let pair = loader.pair(files);
            pair.map(|pair| (files, pair))
        });
        // All of them, so that everything that is wrong is said at once.
        let pairs: Vec<_> = pairs.collect();
        let roots = tls.client.authorities().map(|file| loader.roots(file));
        let pairs: Vec<_> = pairs.into_iter().collect::<Option<_>>()?;
        let certificates = Certificates::new(&pairs, loader);
        let roots = match roots {
            None => None,
            Some(roots) => Some(roots?),
        };

        let mut hasher = DefaultHasher::new();
        for (_, pair) in &pairs {
            pair.fingerprint.hash(&mut hasher);
        }
        protocols.hash(&mut hasher);
        (tls.min_version == TlsVersion::Tls13).hash(&mut hasher);
        let clients = clients(&tls.client, roots.as_ref());
        clients.hash(&mut hasher);
        let fingerprint = hasher.finish();
        if let Some(previous) = previous
            && previous.fingerprint == fingerprint
        {
            return Some(previous.clone());
        }

        let first = &tls.certificates.first()?.cert;
        let kept = previous.filter(|previous| previous.clients == clients);
        let ticketer = match kept {
            Some(previous) => Arc::clone(&previous.config.ticketer),
            None => ticketer(first, loader)?,
        };
        let verifier = verifier(&tls.client, roots, loader)?;
        let versions = match tls.min_version {
            TlsVersion::Tls12 => &[&TLS13, &TLS12][..],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider());
        let mut config = match builder.with_protocol_versions(versions) {
            Ok(builder) => builder
                .with_client_cert_verifier(verifier)
                .with_cert_resolver(Arc::new(certificates)),
            Err(error) => {
                loader.problem(first, format_args!("can't be used: {error}"));
                return None;
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        // Sessions are in the tickets that clients keep: nothing of them is kept here, and all workers can read them.
        config.ticketer = ticketer;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 2;
        Some(Self {
            config: Arc::new(config),
            certificates: pairs.iter().map(|(_, pair)| pair.certificate).collect(),
            fingerprint,
            clients,
        })
    }
}

/// Its keys are changed every six hours, and tickets of the last ones are good for as long again.
fn ticketer(first: &NamedFile, loader: &mut Loader) -> Option<Arc<dyn ProducesTickets>> {
    match Ticketer::new() {
        Ok(ticketer) => Some(ticketer),
        Err(error) => {
            loader.problem(first, format_args!("can't be used: {error}"));
            None
        }
    }
}

fn clients(client: &ClientCertificates, roots: Option<&Roots>) -> u64 {
    let kind = match client {
        ClientCertificates::None => 0,
        ClientCertificates::Optional(_) => 1,
        ClientCertificates::Required(_) => 2,
    };
    fingerprint(&[kind, roots.map_or(0, |roots| roots.fingerprint)])
}

fn verifier(
    client: &ClientCertificates,
    roots: Option<Roots>,
    loader: &mut Loader,
) -> Option<Arc<dyn ClientCertVerifier>> {
    let (Some(file), Some(roots)) = (client.authorities(), roots) else {
        return Some(WebPkiClientVerifier::no_client_auth());
    };
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots.store, provider());
    if let ClientCertificates::Optional(_) = client {
        builder = builder.allow_unauthenticated();
    }
    match builder.build() {
        Ok(verifier) => Some(verifier),
        Err(error) => {
            loader.problem(file, format_args!("can't be used: {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests;
