//! Sends what a request says into a hub: `GET /publish?hub=H&room=R&text=T`, or with `client=C`, or with neither for all.
//! Answers 202, or 409 with the refusal.

use sluicegate_plugin::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// A hub to send into while it is configured.
    early: Option<String>,
}

struct Notifier;

impl Plugin for Notifier {
    type Config = Config;

    fn new(config: Config) -> Result<Self> {
        if let Some(hub) = &config.early {
            hubs::publish(hub, "early", "too early")?;
        }
        Ok(Self)
    }
}

impl Director for Notifier {
    fn direct(&self, request: &Request) -> Result<Direction> {
        let query = request.query().unwrap_or_default();
        let value = |name: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find_map(|(key, value)| (key == name).then_some(value))
        };
        let hub = value("hub").ok_or("which hub?")?;
        let text = value("text").unwrap_or_default();
        let sent = match (value("room"), value("client")) {
            (Some(room), _) => hubs::publish(hub, room, text),
            (None, Some(client)) => hubs::send_to(hub, client, text),
            (None, None) => hubs::publish_all(hub, text),
        };
        Ok(match sent {
            Ok(()) => Reply::new(202).into(),
            Err(error) => Reply::text(409, format!("{error:?}: {error}")).into(),
        })
    }
}

sluicegate_plugin::export!(Notifier: Director);
