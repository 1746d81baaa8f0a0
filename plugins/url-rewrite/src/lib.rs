//! The stock plugin `url-rewrite`: changes the path and the query on their way to the upstream, or redirects.
//!
//! What the user writes is [`config::Config`]. [`path`], [`query`] and [`redirect`] are its three parts, checked and
//! compiled; they know nothing of the gateway.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod config;
mod escape;
pub mod path;
pub mod pattern;
pub mod query;
pub mod redirect;

use path::{PathRules, RewriteError};
use query::QueryRules;
use redirect::Redirect;
use sluicegate_plugin::prelude::*;
use std::borrow::Cow;

/// The plugin: what becomes of the path, then of the query, and where a redirect leads.
pub struct UrlRewrite {
    path: PathRules,
    query: QueryRules,
    redirect: Option<Redirect>,
}

impl Plugin for UrlRewrite {
    type Config = config::Config;

    fn new(config: config::Config) -> Result<Self> {
        Ok(Self {
            path: PathRules::new(&config)?,
            query: QueryRules::new(config.query)?,
            redirect: config.redirect.map(Redirect::new).transpose()?,
        })
    }

    fn needs(&self, _: Hook) -> bool {
        !self.path.is_empty() || !self.query.is_empty() || self.redirect.is_some()
    }
}

impl Director for UrlRewrite {
    fn direct(&self, request: &Request) -> Result<Direction> {
        match &self.redirect {
            Some(redirect) => self.redirected(request, redirect),
            None => self.forwarded(request),
        }
    }
}

impl UrlRewrite {
    fn forwarded(&self, request: &Request) -> Result<Direction> {
        // Values of the query may use the path: it is the one that came to this plugin.
        let query = (!self.query.is_empty()).then(|| request.query());
        let query = query.and_then(|query| self.query.rewrite(query.as_deref(), request));
        if !self.path.is_empty() {
            let path = request.path();
            match self
                .path
                .rewrite(&path, |name| request.path_parameter(name))
            {
                Ok(None) => {}
                Ok(Some(path)) => request.set_path(&path)?,
                Err(error) => return refused(error),
            }
        }
        if let Some(query) = query {
            request.set_query(query.as_deref())?;
        }
        Ok(Direction::Forward)
    }

    fn redirected(&self, request: &Request, redirect: &Redirect) -> Result<Direction> {
        let old_path = request.path();
        let old_query = request.query();
        let new_path = match self
            .path
            .rewrite(&old_path, |name| request.path_parameter(name))
        {
            Ok(path) => path.unwrap_or(Cow::Borrowed(&old_path)),
            Err(error) => return refused(error),
        };
        let new_query = self
            .query
            .rewrite(old_query.as_deref(), request)
            .unwrap_or_else(|| old_query.clone());
        let Some(location) = redirect.location(&new_path, new_query.as_deref(), request) else {
            return Ok(Reply::text(400, "malformed host\n").into());
        };
        if redirect::is_where_it_is(&location, &old_path, old_query.as_deref(), request) {
            return Ok(Direction::Forward);
        }
        Ok(Reply::new(redirect.status())
            .header("location", location)
            .into())
    }
}

/// What only a client's odd path can cause is answered; the rest is a mistake of the configuration.
fn refused(error: RewriteError) -> Result<Direction> {
    match error {
        RewriteError::NoPath | RewriteError::DotSegment => {
            Ok(Reply::text(400, "malformed path\n").into())
        }
        RewriteError::NoParameter(_) => Err(error.into()),
    }
}

sluicegate_plugin::export!(UrlRewrite: Director);
