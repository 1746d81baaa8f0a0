//! The hooks of hubs, called as a hub calls them, without its sockets: the onion, what answers may be, and hostile guests.

mod admission;
mod hostile;
mod messages;

use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use sluicegate::config;
use sluicegate::exchange::Exchange;
use sluicegate::hub::hooks::{Action, Admission, ClientView, Hooks, Message, Rejected, Welcome};
use sluicegate::plugin::hub_chain::HubChain;
use sluicegate::plugin::pool::LayerPool;
use sluicegate::snapshot::Snapshot;

/// Does in each hook of a hub what its configuration says.
pub(crate) const HUB_PROBE: &str = env!("GUEST_HUB_PROBE");

/// The plugins of a hub on one worker.
pub(crate) struct Hub {
    pub(crate) chain: HubChain,
    snapshot: Arc<Snapshot>,
    pools: Vec<Rc<LayerPool>>,
}

/// A plugin of a hub with this configuration, and further lines for the plugin itself. Unless they say otherwise it has time
/// enough for the slowest machine.
fn hub_probe_with(name: &str, lines: &str, config: &str) -> String {
    let limits = if lines.contains("limits") {
        ""
    } else {
        "limits = { time = \"10s\", wall = \"10s\" }"
    };
    format!(
        "[plugins.{name}]\ncomponent = \"{HUB_PROBE}\"\n{lines}\n{limits}\nconfig = {{ {config} }}\n"
    )
}

pub(crate) fn hub_probe(name: &str, config: &str) -> String {
    hub_probe_with(name, "", config)
}

/// A hub with these plugins (tables of TOML), which are listed so.
#[track_caller]
pub(crate) fn hub_of(plugins: &[String], listed: &str) -> Hub {
    Hub::new(plugins, listed)
}

impl Hub {
    /// With these plugins (tables of TOML), which are listed so.
    #[track_caller]
    fn new(plugins: &[String], listed: &str) -> Self {
        let text = format!(
            "[server]\nworkers = 1\n{}\n[hubs.chat]\npath = \"/ws\"\nplugins = [{listed}]\n",
            plugins.join("\n")
        );
        let config = config::parse(&text, Path::new("gateway.toml"))
            .unwrap()
            .config;
        let snapshot = match Snapshot::new(&config, None, &mut |_| {}) {
            Ok(snapshot) => Arc::new(snapshot),
            Err(problems) => panic!("{problems:?}"),
        };
        let layers = snapshot.registry.layers.iter();
        let pools: Vec<Rc<LayerPool>> = layers
            .map(|layer| Rc::new(LayerPool::new(Arc::clone(layer))))
            .collect();
        let chain = HubChain::of(&snapshot, 0, &pools).unwrap();
        Self {
            chain,
            snapshot,
            pools,
        }
    }

    /// With one plugin that is called `p`.
    #[track_caller]
    fn with(config: &str) -> Self {
        Self::new(&[hub_probe("p", config)], r#""p""#)
    }

    /// A handshake with these fields.
    pub(crate) fn connect_with(
        &self,
        fields: &[(&'static str, &str)],
    ) -> Result<Admission, Rejected> {
        let mut exchange = Box::new(Exchange::vacant());
        exchange.snapshot = Arc::clone(&self.snapshot);
        for (name, value) in fields {
            exchange
                .request
                .headers
                .append(*name, value.parse().unwrap());
        }
        now(self.chain.on_connect(exchange))
    }

    #[track_caller]
    fn welcome(&self) -> Welcome {
        match self.connect_with(&[]) {
            Ok(Admission::Accept(welcome)) => welcome,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn message(&self, client: &ClientView, text: &str) -> Result<Vec<Action>, Rejected> {
        let message = Message::Text(text.to_owned());
        now(self.chain.on_message(client.clone(), message))
    }

    /// What comes of a message of a client that is in no room.
    #[track_caller]
    pub(crate) fn said(&self, text: &str) -> Vec<Action> {
        self.message(&client("ann", &[]), text).unwrap()
    }

    #[track_caller]
    fn gone(&self, client: &ClientView, code: u16, reason: &str) -> Vec<Action> {
        now(self
            .chain
            .on_disconnect(client.clone(), code, reason.to_owned()))
        .unwrap()
    }

    /// Instances of all plugins.
    fn instances(&self) -> usize {
        self.pools.iter().map(|pool| pool.live()).sum()
    }
}

/// Hooks never wait where an instance is free, so one poll is the whole of it.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a hook waits for something"),
    }
}

pub(crate) fn client(id: &str, rooms: &[&str]) -> ClientView {
    ClientView {
        id: id.into(),
        rooms: rooms.iter().map(|room| Arc::from(*room)).collect(),
        state: bytes::Bytes::new(),
    }
}

pub(crate) fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

pub(crate) fn reply(words: &str) -> Action {
    Action::Reply(text(words))
}
