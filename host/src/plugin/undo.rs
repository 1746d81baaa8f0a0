//! `on_failure = "skip"`: a plugin that fails half way leaves nothing of what it had done.

use crate::config::OnFailure;
use crate::exchange::head::Stage;
use crate::exchange::{Exchange, Notes, RequestHead, ResponseHead};

/// What a plugin can change, as it was before its hooks of one phase ran. Kept only for plugins
/// that may be skipped: the others don't pay for the copy.
#[derive(Debug)]
pub struct Before {
    /// `None` where it can't be changed any more.
    request: Option<RequestHead>,
    response: Option<ResponseHead>,
    notes: Notes,
}

impl Before {
    /// A copy, if the plugin is one to be skipped.
    pub fn keep(exchange: &Exchange, on_failure: OnFailure) -> Option<Self> {
        (on_failure == OnFailure::Skip).then(|| Self {
            request: (exchange.request.stage == Stage::Inbound).then(|| exchange.request.clone()),
            response: exchange.response.clone(),
            notes: exchange.notes.clone(),
        })
    }

    /// Puts everything back.
    pub fn restore(self, exchange: &mut Exchange) {
        if let Some(request) = self.request {
            exchange.request = request;
        }
        exchange.response = self.response;
        exchange.notes = self.notes;
    }
}
