//! What upstreams have for TLS.

use super::Snapshot;
use crate::config::{self, Config, UpstreamProtocol};
use crate::tls::client::Connector;
use crate::tls::loader::Loader;
use crate::tls::{HTTP_1_1, HTTP_2};
use crate::upstream::connect::Connectors;

/// Those of a configuration, in the order of its upstreams. What is wrong with their files is left with the loader.
pub(super) fn load(
    config: &Config,
    previous: Option<&Snapshot>,
    loader: &mut Loader,
) -> Vec<Connectors> {
    let mut load = |(name, upstream): (&String, &config::Upstream)| {
        let before = previous.and_then(|previous| {
            let index = previous.upstream_named(name)?;
            Some(&previous.upstreams.get(index)?.connectors)
        });
        let protocols: &[&[u8]] = match upstream.protocol {
            UpstreamProtocol::Http1 => &[HTTP_1_1],
            UpstreamProtocol::Http2 => &[HTTP_2],
            UpstreamProtocol::Auto => &[HTTP_2, HTTP_1_1],
        };
        let mut connector = |tls: Option<&config::UpstreamTls>, protocols, before| {
            Connector::load(tls?, protocols, loader, before)
        };
        Connectors {
            targets: connector(
                upstream.tls.as_ref(),
                protocols,
                before.and_then(|before| before.targets.as_ref()),
            ),
            proxy: connector(
                upstream.via.tls(),
                &[HTTP_1_1],
                before.and_then(|before| before.proxy.as_ref()),
            ),
        }
    };
    config.upstreams.iter().map(&mut load).collect()
}
