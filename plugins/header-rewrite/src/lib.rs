//! The stock plugin `header-rewrite`: sets, appends, defaults, removes and renames header fields on both sides.
//!
//! What the user writes is [`config::Config`]; [`rules::Rules`] is that checked, compiled and put in order.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod config;
mod name;
pub mod rules;

use rules::Rules;
use sluicegate_plugin::prelude::*;

/// The plugin: the rules of either side.
pub struct HeaderRewrite {
    request: Rules,
    response: Rules,
}

impl Plugin for HeaderRewrite {
    type Config = config::Config;

    fn new(config: config::Config) -> Result<Self> {
        Ok(Self {
            request: Rules::for_request(config.request)?,
            response: Rules::for_response(config.response)?,
        })
    }

    fn needs(&self, hook: Hook) -> bool {
        match hook {
            Hook::Director => !self.request.is_empty(),
            Hook::Modifier => !self.response.is_empty(),
            _ => true,
        }
    }
}

impl Director for HeaderRewrite {
    fn direct(&self, request: &Request) -> Result<Direction> {
        self.request.apply(request, request)?;
        if let Some(host) = self.request.host(request) {
            request.set_authority(&host)?;
        }
        Ok(Direction::Forward)
    }
}

impl Modifier for HeaderRewrite {
    fn modify(&self, request: &Request, response: &Response) -> Result<Change> {
        self.response.apply(response, &(request, response))?;
        Ok(Change::Forward)
    }
}

sluicegate_plugin::export!(HeaderRewrite: Director, Modifier);
