//! The running hubs, as plugins on routes send into them.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::host_hub_publish::{Hubs, Receivers, Refusal};
use crate::hub::Hub;
use crate::hub::api::ApiError;
use crate::hub::hooks::Message;

/// The hubs of a configuration.
#[derive(Debug)]
pub struct RunningHubs(pub Vec<Arc<Hub>>);

impl Hubs for RunningHubs {
    fn send(&self, hub: &str, to: Receivers, message: Message) -> Result<(), Refusal> {
        let mut hubs = self.0.iter();
        let hub = hubs.find(|one| &*one.config.name == hub);
        let hub = Arc::clone(hub.ok_or(Refusal::UnknownHub)?);
        let mut sending = Box::pin(async move {
            match to {
                Receivers::Room(room) => hub.publish(&room, &message).await.map(drop),
                Receivers::Client(client) => hub.send_to(&client, &message).await.map(drop),
                Receivers::Everyone => hub.broadcast(&message),
            }
        });
        // A hub in memory has taken it by now; one that others share has it in hand, and the worker sees it through.
        match sending
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(sent) => sent.map_err(Refusal::from),
            Poll::Pending => {
                tokio::task::spawn_local(sending);
                Ok(())
            }
        }
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::TooLarge => Self::TooLarge,
            ApiError::BadName => Self::Unavailable("a room or a client can't be called that"),
            ApiError::NoBinary => Self::Unavailable("its messages are JSON, not binary"),
            ApiError::Refused(_) => Self::Unavailable("it is busy, or full"),
        }
    }
}
