//! What all workers share of a hub.

use std::sync::Arc;

use super::backplane::Backplane;
use super::backplane::memory::Memory;
use super::backplane::redis::Redis;
use super::directory::Directory;
use crate::config;
use crate::websocket::handshake::Rules;

/// The part that lives through reloads: who is there, and what was said.
#[derive(Debug)]
pub struct Shared {
    /// Who is where.
    pub directory: Arc<Directory>,
    /// The order of messages, histories and presence.
    pub backplane: Box<dyn Backplane>,
}

/// A hub as one configuration has it.
#[derive(Debug)]
pub struct Hub {
    /// `[hubs.NAME]`
    pub config: config::Hub,
    /// What handshakes are measured by.
    pub rules: Rules,
    /// See [`Shared`].
    pub shared: Arc<Shared>,
}

impl Hub {
    /// The hub of this configuration. Where the one before it had a hub of that name, of the same mode and backplane,
    /// it is the same hub with other settings: its clients stay, and keep the settings that they came with.
    pub fn new(config: &config::Hub, previous: Option<&Self>) -> Self {
        let kept = previous.filter(|previous| {
            (previous.config.mode, &previous.config.backplane) == (config.mode, &config.backplane)
        });
        let shared = if let Some(kept) = kept {
            kept.shared.backplane.configure(config);
            Arc::clone(&kept.shared)
        } else {
            let directory = Arc::new(Directory::default());
            let backplane: Box<dyn Backplane> = match &config.backplane {
                config::Backplane::Memory => Box::new(Memory::new(&directory, config)),
                config::Backplane::Redis(address) => {
                    Box::new(Redis::new(&directory, config, address))
                }
            };
            Arc::new(Shared {
                directory,
                backplane,
            })
        };
        Self {
            config: config.clone(),
            rules: Rules {
                origins: config.origins.clone(),
                deflate: config.deflate,
            },
            shared,
        }
    }
}
