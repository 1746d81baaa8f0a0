//! TLS to targets and forward proxies: the gateway is the client.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};

use super::loader::Loader;
use super::verifier::{Unverified, Verifier};
use super::{HTTP_1_1, provider};
use crate::config::UpstreamTls;

/// Server names whose sessions are kept, of one upstream.
const SESSIONS: usize = 256;

/// What handshakes with the targets of one upstream, or with its forward proxy, begin with. Shared by all workers, with the sessions that can be resumed.
#[derive(Debug, Clone)]
pub struct Connector {
    /// For each handshake.
    pub config: Arc<ClientConfig>,
    /// For those that have to end in HTTP/1.1.
    pub http1: Arc<ClientConfig>,
    /// The fingerprint of its own certificate's file.
    pub certificate: Option<u64>,
    /// Changes when anything of it does.
    fingerprint: u64,
}

impl PartialEq for Connector {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Connector {}

impl Connector {
    /// Loads what an upstream names, for its targets or its proxy; `protocols`: those that are offered (ALPN), the preferred one first. `None`: something is wrong, and
    /// was said.
    ///
    /// Where nothing has changed since `previous`, that goes on, with its sessions.
    pub fn load(
        tls: &UpstreamTls,
        protocols: &[&[u8]],
        loader: &mut Loader,
        previous: Option<&Self>,
    ) -> Option<Self> {
        let origin = &tls.origin;
        let client = tls.client.as_ref().map(|files| loader.pair(files));
        let roots = match (&tls.ca, tls.verify) {
            (_, false) => None,
            (Some(file), true) => Some(loader.roots(file)),
            (None, true) => Some(loader.system_roots(origin)),
        };
        let client = match client {
            None => None,
            Some(pair) => Some(pair?),
        };
        let roots = match roots {
            None => None,
            Some(roots) => Some(roots?),
        };

        let certificate = client.as_ref().map(|pair| pair.certificate);
        let mut hasher = DefaultHasher::new();
        protocols.hash(&mut hasher);
        client
            .as_ref()
            .map(|pair| pair.fingerprint)
            .hash(&mut hasher);
        roots
            .as_ref()
            .map(|roots| roots.fingerprint)
            .hash(&mut hasher);
        let fingerprint = hasher.finish();
        if let Some(previous) = previous
            && previous.fingerprint == fingerprint
        {
            return Some(previous.clone());
        }

        let verifier = match roots {
            None => Ok(Arc::new(Unverified) as Arc<dyn ServerCertVerifier>),
            Some(roots) => Verifier::new(roots).map(|verifier| Arc::new(verifier) as _),
        };
        let verifier = verifier
            .map_err(|error| loader.problem_at(origin, error))
            .ok()?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| loader.problem_at(origin, error))
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair.key)))
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        let config = Arc::new(config);
        let http1 = if protocols == [HTTP_1_1] {
            Arc::clone(&config)
        } else {
            // With the same sessions: what is spoken in one does not bind the next.
            let mut config = ClientConfig::clone(&config);
            config.alpn_protocols = vec![HTTP_1_1.to_vec()];
            Arc::new(config)
        };
        Some(Self {
            config,
            http1,
            certificate,
            fingerprint,
        })
    }
}

#[cfg(test)]
mod tests;
